//! That additions and snapshots stay quick. The bounds are generous: they catch a wrong order of growth, not a slow machine.

use std::time::Instant;

use super::support::{World, cheap, stranger};
use crate::pool::{Pool, PoolConfig, TransactionOrder, TransactionOrigin};

const COUNT: u64 = 50_000;

/// Adds `COUNT` transactions of so many senders, and returns microseconds per addition, and those of a snapshot and its first 1,000.
fn measure(senders: u64, origin: TransactionOrigin, price: impl Fn(u64) -> u128) -> (f64, f64) {
    let (pool, world) = (Pool::new(PoolConfig::default()), World::default());
    let transaction = |number: u64| cheap(stranger(number % senders), number / senders, price(number));
    let transactions: Vec<_> = (0..COUNT).map(transaction).collect();
    let start = Instant::now();
    for transaction in transactions {
        // Where the pool is full, a refusal must be as quick as an addition.
        let _ = pool.add(transaction, origin, &world, 0);
    }
    let addition = start.elapsed().as_secs_f64() * 1e6 / COUNT as f64;
    let start = Instant::now();
    let taken = pool.best(TransactionOrder::Arrival, Some(0), 0).take(1_000).count();
    assert_eq!(taken, 1_000);
    (addition, start.elapsed().as_secs_f64() * 1e6)
}

#[test]
fn additions_do_not_slow_down_with_the_size_of_the_pool_or_of_an_account() {
    let cases = [
        ("one local sender", measure(1, TransactionOrigin::Local, |_| 1)),
        ("1,000 local senders", measure(1_000, TransactionOrigin::Local, |_| 1)),
        ("50,000 local senders", measure(COUNT, TransactionOrigin::Local, |_| 1)),
        ("a full pool, equal prices", measure(1_000, TransactionOrigin::Remote, |_| 1)),
        ("a full pool, rising prices", measure(COUNT, TransactionOrigin::Remote, |number| u128::from(number) + 1)),
        ("one remote sender", measure(1, TransactionOrigin::Remote, |_| 1)),
    ];
    for (name, (addition, snapshot)) in cases {
        eprintln!("{name}: {addition:.2} µs an addition, {snapshot:.0} µs a snapshot and 1,000 of it");
        assert!(addition < 200.0 && snapshot < 500_000.0, "{name}");
    }
}

#[test]
fn a_block_costs_what_its_senders_have_waiting_and_not_the_whole_pool() {
    for senders in [1, 1_000] {
        let (pool, mut world) = (Pool::new(PoolConfig::default()), World::default());
        for number in 0..COUNT {
            let transaction = cheap(stranger(number % senders), number / senders, 1);
            pool.add(transaction, TransactionOrigin::Local, &world, 0).unwrap();
        }
        let mined: Vec<_> = pool.best(TransactionOrder::Arrival, Some(0), 0).take(1_000).collect();
        world.mine(&mined);
        let start = Instant::now();
        assert_eq!(pool.on_new_head(&world, &mut mined.iter(), Vec::new(), 0), vec![]);
        let elapsed = start.elapsed();
        eprintln!("{senders} senders: {elapsed:?} for a block of 1,000 with {COUNT} in the pool");
        assert!(elapsed.as_millis() < 500);
        assert_eq!(pool.status().pending, 49_000);
    }
}
