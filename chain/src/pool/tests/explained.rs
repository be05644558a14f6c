//! What the pool says of a transaction that waits.

use alloy_primitives::{B256, U256};

use super::support::{Bench, dynamic, legacy, signed};
use crate::pool::{MISSING_NONCES_MAX, Obstacle, PoolConfig};

/// A pool with these transactions of one sender, remote or local, and what it says of the last.
fn check(nonces_and_prices: &[(u64, u128)], local: bool, min_tip: u128, executable: bool, obstacles: &[Obstacle]) {
    let bench = Bench::new(PoolConfig::default());
    let mut last = B256::ZERO;
    for (nonce, price) in nonces_and_prices {
        let transaction = signed(1, legacy(*nonce, *price));
        last = transaction.hash();
        if local { bench.local(&transaction) } else { bench.remote(&transaction) }.unwrap();
    }
    let waiting = bench.pool.explain(last, Some(10), min_tip).unwrap();
    assert_eq!((waiting.executable, &*waiting.obstacles), (executable, obstacles), "{nonces_and_prices:?}");
    assert_eq!(waiting.behind, nonces_and_prices.len() - 1);
}

#[test]
fn each_obstacle_is_named() {
    let gap = |missing: &[u64], missing_count| Obstacle::NonceGap { next: 0, missing: missing.to_vec(), missing_count };
    check(&[(0, 10)], false, 0, true, &[]);
    check(&[(2, 10)], false, 0, false, &[gap(&[0, 1], 2)]);
    check(&[(0, 10), (1, 10), (3, 10)], false, 0, false, &[gap(&[2], 1)]);
    check(&[(0, 9)], false, 0, true, &[Obstacle::FeeCap { nonce: 0, fee_cap_wei: 9, base_fee_wei: 10 }]);
    // The one before it is the obstacle.
    check(&[(0, 9), (1, 20)], false, 0, true, &[Obstacle::FeeCap { nonce: 0, fee_cap_wei: 9, base_fee_wei: 10 }]);
    check(&[(0, 12)], false, 3, true, &[Obstacle::Tip { nonce: 0, tip_wei: 2, minimum_wei: 3 }]);
    check(&[(0, 12)], true, 3, true, &[]);
}

#[test]
fn a_long_gap_is_counted_and_named_in_part() {
    let missing: Vec<u64> = (0..MISSING_NONCES_MAX as u64).collect();
    check(&[(1_000_000, 10)], false, 0, false, &[Obstacle::NonceGap { next: 0, missing, missing_count: 1_000_000 }]);
}

#[test]
fn a_balance_that_fell_is_named_with_what_is_needed() {
    let mut bench = Bench::new(PoolConfig::default());
    bench.world.set(1, 0, 2 * 21_000 * 100);
    let [first, second] = [0, 1].map(|nonce| signed(1, dynamic(nonce, 100, 100)));
    bench.remote(&first).unwrap();
    bench.remote(&second).unwrap();
    bench.world.set(1, 0, 3 * 21_000 * 50);
    bench.pool.recheck(&[first.sender()], &bench.world);
    let waiting = bench.pool.explain(second.hash(), Some(10), 0).unwrap();
    let needed = U256::from(2 * 21_000 * 100);
    let expected = Obstacle::Balance { nonce: 1, balance: U256::from(3 * 21_000 * 50), needed };
    assert_eq!((waiting.executable, waiting.obstacles), (false, vec![expected]));
    assert_eq!(bench.pool.explain(B256::ZERO, None, 0), None);
}
