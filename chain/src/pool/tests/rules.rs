//! Each refusal with its words; replacement; funds; gas.

use alloy_consensus::{TxEip1559, TxLegacy};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use consensus::{Fork, RecoveredTransaction};

use super::support::{
    Bench, CHAIN_ID, ETHER, World, address, blob, delegation, dynamic, legacy, signed, with_access_list,
};
use crate::pool::{DropReason, PoolConfig, PoolError, TransactionOrigin, floor_gas, intrinsic_gas};

fn creation(input: Vec<u8>, gas_limit: u64) -> TxLegacy {
    TxLegacy { to: TxKind::Create, input: Bytes::from(input), gas_limit, ..legacy(0, 1) }
}

fn refusal(world: World, transaction: RecoveredTransaction) -> String {
    let mut bench = Bench::new(PoolConfig::default());
    bench.world = world;
    let error = bench.remote(&transaction).unwrap_err();
    assert_eq!(bench.counts(), (0, 0));
    error.to_string()
}

#[test]
fn what_breaks_a_rule_of_transactions_is_refused_in_geths_words() {
    let large = Bytes::from(vec![0; 131_072]);
    let cases: Vec<(RecoveredTransaction, &str)> = vec![
        (signed(1, legacy(u64::MAX, 1)), "nonce has max value"),
        (signed(1, dynamic(0, 1, 2)), "max priority fee per gas higher than max fee per gas"),
        (signed(1, legacy(0, 0)), "transaction gas price below minimum: gas tip cap 0, minimum needed 1"),
        (
            signed(1, TxLegacy { gas_limit: 20_999, ..legacy(0, 1) }),
            "intrinsic gas too low: gas 20999, minimum needed 21000",
        ),
        (
            signed(1, TxLegacy { gas_limit: 21_200, input: Bytes::from(vec![1; 10]), ..legacy(0, 1) }),
            "insufficient gas for floor data gas cost: gas 21200, minimum needed 21400",
        ),
        (
            signed(1, TxLegacy { gas_limit: 16_777_217, ..legacy(0, 1) }),
            "transaction gas limit too high (cap: 16777216, tx: 16777217)",
        ),
        (signed(1, TxLegacy { input: large, ..legacy(0, 1) }), "oversized data: transaction size 131176, limit 131072"),
        (signed(1, creation(vec![1; 49_153], 10_000_000)), "max initcode size exceeded: code size 49153, limit 49152"),
        (signed(1, blob()), "blob transactions are not supported: a private chain has no data-availability layer"),
        (signed(1, delegation(0, 100_000)), "set code tx must have at least one authorization tuple"),
        (signed(1, TxLegacy { chain_id: Some(7), ..legacy(0, 1) }), "invalid chain id for signer: have 7 want 4242"),
    ];
    for (transaction, words) in cases {
        assert_eq!(refusal(World::default(), transaction), words);
    }
}

#[test]
fn a_type_of_a_later_fork_is_refused() {
    let cases = [
        (Fork::Istanbul, signed(1, with_access_list(0, AccessList::default(), 21_000)), "type 1", "Berlin"),
        (Fork::Berlin, signed(1, dynamic(0, 1, 1)), "type 2", "London"),
        (Fork::Cancun, signed(1, delegation(1, 100_000)), "type 4", "Prague"),
    ];
    for (fork, transaction, kind, name) in cases {
        let words = format!("transaction type not supported: {kind} rejected, pool not yet in {name}");
        assert_eq!(refusal(World::at(fork), transaction), words);
    }
    assert_eq!(refusal(World::at(Fork::Homestead), signed(1, legacy(0, 1))), "invalid sender");
}

#[test]
fn what_the_sender_cannot_do_is_refused_in_geths_words() {
    let mut world = World::default();
    world.set(1, 5, ETHER);
    world.set(2, 0, 21_009);
    world.accounts.insert(address(3), (0, U256::from(ETHER), true));
    world.head.gas_limit = 1_000_000;
    let cases = [
        (signed(1, legacy(4, 1)), "nonce too low: next nonce 5, tx nonce 4".to_owned()),
        (
            signed(2, TxLegacy { value: U256::from(10), ..legacy(0, 1) }),
            "insufficient funds for gas * price + value: balance 21009, tx cost 21010, overshot 1".to_owned(),
        ),
        (signed(3, legacy(0, 1)), format!("sender not an eoa: address {}", address(3))),
        (signed(1, TxLegacy { gas_limit: 1_000_001, ..legacy(5, 1) }), "exceeds block gas limit".to_owned()),
    ];
    for (transaction, words) in cases {
        assert_eq!(refusal(world.clone(), transaction), words);
    }
    world.fails = true;
    assert_eq!(refusal(world, signed(1, legacy(5, 1))), "the state is corrupt: as the test wants it");
}

#[test]
fn the_remaining_words_are_geths() {
    let cases = [
        (PoolError::AlreadyKnown, "already known"),
        (PoolError::ReplacementUnderpriced, "replacement transaction underpriced"),
        (PoolError::Outbid, "transaction underpriced"),
        (PoolError::PoolFull, "txpool is full"),
    ];
    for (error, words) in cases {
        assert_eq!(error.to_string(), words);
    }
}

#[test]
fn the_same_transaction_is_known() {
    let bench = Bench::new(PoolConfig::default());
    let transaction = signed(1, legacy(0, 1));
    let added = bench.remote(&transaction).unwrap();
    assert_eq!((added.hash, added.executable, added.dropped), (transaction.hash(), true, vec![]));
    assert_eq!(bench.remote(&transaction), Err(PoolError::AlreadyKnown));
    let pooled = bench.pool.get(transaction.hash()).unwrap();
    assert_eq!((pooled.added_at, pooled.origin, pooled.executable), (1_000, TransactionOrigin::Remote, true));
}

#[test]
fn all_of_a_senders_executable_transactions_are_paid_for() {
    let mut bench = Bench::new(PoolConfig::default());
    bench.world.set(1, 0, 50_000);
    bench.remote(&signed(1, legacy(0, 1))).unwrap();
    bench.remote(&signed(1, legacy(1, 1))).unwrap();
    let over = bench.remote(&signed(1, legacy(2, 1))).unwrap_err().to_string();
    let words =
        "insufficient funds for gas * price + value: balance 50000, queued cost 42000, tx cost 21000, overshot 13000";
    assert_eq!(over, words);
    let over = bench.remote(&signed(1, legacy(1, 2))).unwrap_err().to_string();
    let words =
        "insufficient funds for gas * price + value: balance 50000, queued cost 42000, tx bumped 21000, overshot 13000";
    assert_eq!(over, words);
}

#[test]
fn a_queued_transaction_that_became_unaffordable_in_sum_waits() {
    let mut bench = Bench::new(PoolConfig::default());
    bench.world.set(1, 0, 50_000);
    for nonce in [1, 2] {
        assert!(!bench.remote(&signed(1, legacy(nonce, 1))).unwrap().executable);
    }
    bench.remote(&signed(1, legacy(0, 1))).unwrap();
    assert_eq!(bench.counts(), (2, 1));
    assert_eq!(bench.pool.pending_nonce(address(1)), Some(2));
    bench.world.set(1, 0, 63_000);
    assert_eq!(bench.pool.recheck(&[address(1)], &bench.world), vec![]);
    assert_eq!(bench.counts(), (3, 0));
}

#[test]
fn a_replacement_raises_both_caps_by_the_bump() {
    // Bump, old caps, new caps, whether it may replace.
    let cases = [
        (10, (100, 100), (110, 110), true),
        (10, (100, 50), (109, 55), false),
        (10, (100, 100), (110, 109), false),
        (10, (100, 50), (110, 55), true),
        (10, (15, 15), (16, 16), true),
        (10, (1, 1), (1, 1), false),
        (10, (1, 1), (2, 2), true),
        (10, (0, 0), (0, 0), true),
        (10, (100, 0), (110, 0), true),
        (0, (100, 100), (100, 100), true),
        (0, (100, 100), (99, 99), false),
        (100, (10, 10), (19, 19), false),
        (100, (10, 10), (20, 20), true),
        (10, (u128::MAX, 1), (u128::MAX, 2), false),
    ];
    for (bump, old, new, replaces) in cases {
        let config = PoolConfig { price_bump_percent: bump, price_limit_wei: 0, ..PoolConfig::default() };
        let mut bench = Bench::new(config);
        bench.world.accounts.insert(address(1), (0, U256::MAX, false));
        let old = signed(1, dynamic(0, old.0, old.1));
        let new = signed(1, TxEip1559 { value: U256::from(1), ..dynamic(0, new.0, new.1) });
        bench.remote(&old).unwrap();
        let result = bench.remote(&new).map(|added| added.dropped);
        if replaces {
            assert_eq!(result, Ok(vec![(old.hash(), DropReason::Replaced { by: new.hash() })]));
            assert!(!bench.pool.contains(old.hash()) && bench.pool.contains(new.hash()));
        } else {
            assert_eq!(result, Err(PoolError::ReplacementUnderpriced));
            assert!(bench.pool.contains(old.hash()) && !bench.pool.contains(new.hash()));
        }
        assert_eq!(bench.counts(), (1, 0));
    }
}

#[test]
fn a_filled_gap_makes_what_waited_executable() {
    let bench = Bench::new(PoolConfig::default());
    let transactions: Vec<_> = (0..5).map(|nonce| signed(1, legacy(nonce, 1))).collect();
    for nonce in [4, 1, 2] {
        assert!(!bench.remote(&transactions[nonce]).unwrap().executable);
    }
    assert_eq!((bench.counts(), bench.pool.pending_nonce(address(1))), ((0, 3), None));
    assert!(bench.remote(&transactions[0]).unwrap().executable);
    assert_eq!((bench.counts(), bench.pool.pending_nonce(address(1))), ((3, 1), Some(3)));
    assert!(bench.remote(&transactions[3]).unwrap().executable);
    assert_eq!((bench.counts(), bench.pool.pending_nonce(address(1))), ((5, 0), Some(5)));

    assert!(bench.pool.remove(transactions[1].hash()));
    assert!(!bench.pool.remove(transactions[1].hash()));
    assert_eq!((bench.counts(), bench.pool.pending_nonce(address(1))), ((1, 3), Some(1)));
    assert_eq!(bench.pool.take_dropped(), vec![(transactions[1].hash(), DropReason::Removed)]);
    let content = bench.pool.content();
    assert_eq!(content, bench.pool.content_from(address(1)));
    assert!(content.pending[&address(1)].keys().eq(&[0]));
    assert!(content.queued[&address(1)].keys().eq(&[2, 3, 4]));
    assert_eq!(bench.pool.content_from(address(2)), crate::pool::PoolContent::default());
}

#[test]
fn intrinsic_gas_is_that_of_the_yellow_paper_and_its_amendments() {
    let item = AccessListItem { address: Address::repeat_byte(1), storage_keys: vec![B256::ZERO; 3] };
    let list = with_access_list(0, AccessList(vec![item.clone(), item]), 0);
    let data = TxLegacy { input: Bytes::from_static(&[0, 0, 0, 1, 2]), ..legacy(0, 1) };
    // Transaction, fork, intrinsic gas, floor.
    let cases = [
        (signed(1, legacy(0, 1)), Fork::Frontier, 21_000, 0),
        (signed(1, legacy(0, 1)), Fork::Osaka, 21_000, 21_000),
        (signed(1, data.clone()), Fork::Byzantium, 21_000 + 3 * 4 + 2 * 68, 0),
        (signed(1, data.clone()), Fork::Istanbul, 21_000 + 3 * 4 + 2 * 16, 0),
        (signed(1, data), Fork::Prague, 21_000 + 3 * 4 + 2 * 16, 21_000 + 10 * (3 + 2 * 4)),
        (signed(1, creation(vec![1; 33], 0)), Fork::Frontier, 21_000 + 33 * 68, 0),
        (signed(1, creation(vec![1; 33], 0)), Fork::Homestead, 53_000 + 33 * 68, 0),
        (signed(1, creation(vec![1; 33], 0)), Fork::Paris, 53_000 + 33 * 16, 0),
        (signed(1, creation(vec![1; 33], 0)), Fork::Shanghai, 53_000 + 33 * 16 + 2 * 2, 0),
        (signed(1, list), Fork::Berlin, 21_000 + 2 * 2_400 + 6 * 1_900, 0),
        (signed(1, delegation(2, 0)), Fork::Prague, 21_000 + 2 * 25_000, 21_000),
    ];
    for (transaction, fork, intrinsic, floor) in cases {
        assert_eq!((intrinsic_gas(&transaction, fork), floor_gas(&transaction, fork)), (intrinsic, floor), "{fork:?}");
    }
}

#[test]
fn transactions_of_all_types_are_taken() {
    let bench = Bench::new(PoolConfig::default());
    let transactions = [
        signed(1, TxLegacy { chain_id: None, ..legacy(0, 1) }),
        signed(1, with_access_list(1, AccessList::default(), 21_000)),
        signed(1, dynamic(2, 1, 1)),
        signed(2, delegation(1, 46_000)),
        signed(3, TxLegacy { to: TxKind::Create, gas_limit: 60_000, ..legacy(0, 1) }),
    ];
    for transaction in &transactions {
        assert!(bench.remote(transaction).unwrap().executable);
    }
    assert_eq!(bench.counts(), (5, 0));
    assert_eq!(transactions[1].chain_id(), Some(CHAIN_ID));
}

use alloy_consensus::Transaction as _;
