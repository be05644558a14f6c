//! The order in which a miner takes transactions.

use super::support::{Bench, address, dynamic, legacy, signed};
use crate::pool::{PoolConfig, TransactionOrder};

/// Adds transactions given as (sender, nonce, price) and checks which, by their place in the list, a miner gets and when.
fn check(order: TransactionOrder, transactions: &[(u64, u64, u128)], expected: &[usize]) {
    let bench = Bench::new(PoolConfig { price_limit_wei: 0, ..PoolConfig::default() });
    let signed: Vec<_> =
        transactions.iter().map(|&(sender, nonce, price)| signed(sender, legacy(nonce, price))).collect();
    for transaction in &signed {
        bench.remote(transaction).unwrap();
    }
    let best = bench.pool.best(order, Some(10), 1);
    let found: Vec<usize> = best.map(|tx| signed.iter().position(|signed| *signed == tx).unwrap()).collect();
    assert_eq!(found, expected, "{order:?} of {transactions:?}");
}

#[test]
fn arrival_order_keeps_the_entrance_whatever_the_price() {
    check(TransactionOrder::Arrival, &[(1, 0, 20), (2, 0, 90), (1, 1, 50), (3, 0, 40)], &[0, 1, 2, 3]);
}

#[test]
fn arrival_order_puts_a_late_gap_filler_before_what_waited_for_it() {
    check(TransactionOrder::Arrival, &[(1, 1, 20), (1, 2, 20), (2, 0, 20), (1, 0, 20), (3, 0, 20)], &[2, 3, 0, 1, 4]);
}

#[test]
fn price_order_takes_the_highest_tip_first_and_equals_by_arrival() {
    let transactions = [(1, 0, 20), (2, 0, 90), (1, 1, 99), (3, 0, 40), (4, 0, 40), (2, 1, 11)];
    check(TransactionOrder::Price, &transactions, &[1, 3, 4, 0, 2, 5]);
}

#[test]
fn an_account_ends_at_what_does_not_pay_the_base_fee_or_the_minimum_tip() {
    for order in [TransactionOrder::Arrival, TransactionOrder::Price] {
        check(order, &[(1, 0, 9), (1, 1, 99), (2, 0, 10), (2, 1, 99), (3, 0, 11)], &[4]);
    }
}

#[test]
fn locals_need_no_minimum_tip() {
    let bench = Bench::new(PoolConfig::default());
    let (local, remote) = (signed(1, dynamic(0, 20, 0)), signed(2, dynamic(0, 20, 4)));
    bench.local(&local).unwrap();
    bench.remote(&remote).unwrap();
    let best = |tip| bench.pool.best(TransactionOrder::Price, Some(10), tip).collect::<Vec<_>>();
    assert_eq!(best(4), vec![remote, local.clone()]);
    assert_eq!(best(5), vec![local]);
}

#[test]
fn a_skipped_account_gives_nothing_more() {
    let bench = Bench::new(PoolConfig::default());
    for (sender, nonce) in [(1, 0), (2, 0), (1, 1), (2, 1)] {
        bench.remote(&signed(sender, legacy(nonce, 1))).unwrap();
    }
    let mut best = bench.pool.best(TransactionOrder::Arrival, None, 0);
    assert_eq!(best.next().unwrap().sender(), address(1));
    best.skip_account(address(1));
    assert!(best.all(|transaction| transaction.sender() == address(2)));
}

#[test]
fn a_snapshot_does_not_see_what_comes_after_it() {
    let bench = Bench::new(PoolConfig::default());
    bench.remote(&signed(1, legacy(0, 1))).unwrap();
    let best = bench.pool.best(TransactionOrder::Arrival, None, 0);
    bench.remote(&signed(1, legacy(1, 1))).unwrap();
    bench.remote(&signed(2, legacy(0, 1))).unwrap();
    assert_eq!(best.count(), 1);
    assert_eq!(bench.pool.pending_transactions().len(), 3);
}
