//! How the pool follows the chain.

use alloy_consensus::TxLegacy;
use alloy_primitives::U256;
use consensus::Fork;

use super::support::{Bench, ETHER, World, address, check, delegation, legacy, signed};
use crate::pool::{DropReason, PoolConfig, PoolError, TransactionOrigin};

#[test]
fn mined_transactions_leave_without_a_report() {
    let mut bench = Bench::new(PoolConfig::default());
    let transactions: Vec<_> = (0..3).map(|nonce| signed(1, legacy(nonce, 1))).collect();
    for transaction in &transactions {
        bench.remote(transaction).unwrap();
    }
    assert_eq!(bench.mine(&transactions[..2]), vec![]);
    assert_eq!((bench.counts(), bench.pool.pending_nonce(address(1))), ((1, 0), Some(3)));
}

#[test]
fn a_mined_rival_is_named() {
    let mut bench = Bench::new(PoolConfig::default());
    let (ours, rival) = (signed(1, legacy(0, 1)), signed(1, legacy(0, 2)));
    bench.remote(&ours).unwrap();
    bench.remote(&signed(1, legacy(1, 1))).unwrap();
    assert_eq!(
        bench.mine(std::slice::from_ref(&rival)),
        vec![(ours.hash(), DropReason::Replaced { by: rival.hash() })]
    );
    assert_eq!(bench.counts(), (1, 0));
}

#[test]
fn a_sender_that_spent_its_money_loses_what_it_cannot_pay() {
    let mut bench = Bench::new(PoolConfig::default());
    let mined = signed(1, legacy(0, 1));
    let dear = signed(1, TxLegacy { value: U256::from(ETHER / 2), ..legacy(1, 1) });
    let cheap = signed(1, legacy(2, 1));
    for transaction in [&mined, &dear, &cheap] {
        bench.remote(transaction).unwrap();
    }
    bench.world.set(1, 0, 100_000);
    assert_eq!(bench.mine(&[mined]), vec![(dear.hash(), DropReason::InsufficientFunds)]);
    assert_eq!(bench.counts(), (0, 1));
}

#[test]
fn a_fallen_gas_limit_and_a_fork_drop_what_no_block_can_hold() {
    let mut bench = Bench::new(PoolConfig::default());
    let (mined, large) = (signed(1, legacy(0, 1)), signed(1, TxLegacy { gas_limit: 9_000_000, ..legacy(1, 1) }));
    bench.remote(&mined).unwrap();
    bench.remote(&large).unwrap();
    bench.world.head.gas_limit = 8_000_000;
    assert_eq!(bench.mine(&[mined]), vec![(large.hash(), DropReason::ExceedsBlockGasLimit)]);

    let mut bench = Bench::new(PoolConfig::default());
    bench.world.head.fork = Fork::Prague;
    let large = signed(1, TxLegacy { gas_limit: 20_000_000, ..legacy(0, 1) });
    bench.remote(&large).unwrap();
    bench.mine(&[]);
    bench.world.head.fork = Fork::Osaka;
    let error = PoolError::GasLimitAboveTransactionCap { cap: 16_777_216, gas: 20_000_000 };
    assert_eq!(bench.mine(&[]), vec![(large.hash(), DropReason::Invalid(Box::new(error)))]);
}

#[test]
fn transactions_of_dropped_blocks_come_back() {
    let mut bench = Bench::new(PoolConfig::default());
    let transactions: Vec<_> = (0..4).map(|nonce| signed(1, legacy(nonce, 1))).collect();
    let free = signed(2, legacy(0, 0));
    for transaction in &transactions {
        bench.remote(transaction).unwrap();
    }
    bench.mine(&transactions[..3]);
    // The new branch has the first one only, and is higher; the second sender's money came from the old branch.
    bench.world.set(1, 1, ETHER);
    bench.world.set(3, 0, 0);
    bench.world.head.number += 1;
    let poor = signed(3, legacy(0, 1));
    let mut returned = transactions[..3].to_vec();
    returned.extend([free.clone(), poor.clone()]);
    let dropped = bench.pool.on_new_head(&bench.world, &mut transactions[..1].iter(), returned, bench.now);
    check(&bench.pool);
    assert_eq!(dropped, vec![(poor.hash(), DropReason::InsufficientFunds)]);
    assert_eq!(bench.counts(), (4, 0));
    assert!(bench.pool.contains(free.hash()), "what a miner took for nothing may come back");
    assert_eq!(bench.pool.pending_nonce(address(1)), Some(4));
}

#[test]
fn the_receivers_of_undone_payments_are_read_again() {
    let mut bench = Bench::new(PoolConfig::default());
    let payment = signed(1, TxLegacy { to: address(2).into(), value: U256::from(5), ..legacy(0, 1) });
    bench.mine(std::slice::from_ref(&payment));
    let spending = signed(2, legacy(0, 1));
    bench.remote(&spending).unwrap();
    bench.world.set(1, 0, ETHER);
    bench.world.set(2, 0, 0);
    let dropped = bench.pool.on_new_head(&bench.world, &mut [].iter(), vec![payment], bench.now);
    assert_eq!(dropped, vec![(spending.hash(), DropReason::InsufficientFunds)]);
    assert_eq!(bench.counts(), (1, 0));
}

#[test]
fn a_reader_of_the_state_before_the_head_adds_nothing_that_is_mined() {
    let mut bench = Bench::new(PoolConfig::default());
    let (before, transaction) = (bench.world.clone(), signed(1, legacy(0, 1)));
    bench.mine(std::slice::from_ref(&transaction));
    let result = bench.pool.add(transaction, TransactionOrigin::Remote, &before, 0);
    assert_eq!(result, Err(PoolError::NonceTooLow { next: 1, tx: 0 }));
}

#[test]
fn a_nonce_that_an_authorization_moved_is_noticed_at_the_next_addition() {
    let mut bench = Bench::new(PoolConfig::default());
    let old = signed(1, legacy(0, 1));
    bench.remote(&old).unwrap();
    bench.mine(&[signed(2, delegation(1, 46_000))]);
    bench.world.set(1, 1, ETHER);
    let added = bench.remote(&signed(1, legacy(1, 1))).unwrap();
    assert!(added.executable);
    assert_eq!(added.dropped, vec![(old.hash(), DropReason::NonceTooLow)]);
}

#[test]
fn a_failing_store_keeps_what_is_not_mined() {
    let mut bench = Bench::new(PoolConfig::default());
    let transactions: Vec<_> = (0..3).map(|nonce| signed(1, legacy(nonce, 1))).collect();
    for transaction in &transactions {
        bench.remote(transaction).unwrap();
    }
    let state = World { fails: true, ..bench.world.clone() };
    assert_eq!(bench.pool.on_new_head(&state, &mut transactions[..2].iter(), vec![], 0), vec![]);
    bench.world.set(1, 2, ETHER);
    check(&bench.pool);
    assert_eq!((bench.counts(), bench.pool.pending_nonce(address(1))), ((1, 0), Some(3)));
}
