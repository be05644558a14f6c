//! The limits: who is exempt, who leaves first, and that a flood reaches nobody who can pay.

use alloy_consensus::TxLegacy;
use alloy_primitives::{Bytes, U256};

use super::support::{Bench, World, address, cheap, check, legacy, signed, stranger};
use crate::pool::contents::LOCALS_MAX;
use crate::pool::{DropReason, Pool, PoolConfig, PoolError, TransactionOrigin};

fn small() -> PoolConfig {
    PoolConfig { account_slots: 2, global_slots: 6, account_queue: 2, global_queue: 4, ..PoolConfig::default() }
}

#[test]
fn the_largest_account_gives_way_first() {
    let bench = Bench::new(small());
    let of_one: Vec<_> = (0..6).map(|nonce| signed(1, legacy(nonce, 100))).collect();
    for transaction in &of_one {
        bench.remote(transaction).unwrap();
    }
    // Its own next one finds no room; another account's does, though it pays less.
    assert_eq!(bench.remote(&signed(1, legacy(6, 100))), Err(PoolError::PoolFull));
    let added = bench.remote(&signed(2, legacy(0, 1))).unwrap();
    assert_eq!(added.dropped, vec![(of_one[5].hash(), DropReason::PoolFull)]);
}

#[test]
fn where_all_have_their_share_the_cheapest_gives_way() {
    let bench = Bench::new(small());
    for (sender, price) in [(1, 50), (2, 30), (3, 40)] {
        bench.remote(&signed(sender, legacy(0, price))).unwrap();
        bench.remote(&signed(sender, legacy(1, price + 100))).unwrap();
    }
    assert_eq!(bench.remote(&signed(4, legacy(0, 30))), Err(PoolError::Outbid));
    let added = bench.remote(&signed(4, legacy(0, 31))).unwrap();
    // A well-paid transaction behind a badly paid one is worth no more than that.
    assert_eq!(added.dropped, vec![(signed(2, legacy(1, 130)).hash(), DropReason::Underpriced)]);
    assert_eq!(bench.counts(), (6, 0));
}

#[test]
fn a_refused_gap_filler_leaves_all_as_it_was() {
    let bench = Bench::new(PoolConfig { account_slots: 16, ..small() });
    for nonce in 0..5 {
        bench.remote(&signed(1, legacy(nonce, 100))).unwrap();
    }
    bench.remote(&signed(2, legacy(1, 1))).unwrap();
    bench.remote(&signed(2, legacy(2, 1))).unwrap();
    let before = bench.pool.content();
    bench.remote(&signed(3, legacy(0, 50))).unwrap();
    assert_eq!(bench.remote(&signed(2, legacy(0, 1))), Err(PoolError::Outbid));
    assert_eq!(
        bench.pool.content_from(address(2)),
        crate::pool::PoolContent { queued: before.queued, ..Default::default() }
    );
    assert_eq!(bench.counts(), (6, 2));
}

#[test]
fn queues_are_limited_by_account_and_in_all() {
    let bench = Bench::new(small());
    bench.remote(&signed(1, legacy(5, 1))).unwrap();
    bench.remote(&signed(1, legacy(6, 1))).unwrap();
    assert_eq!(bench.remote(&signed(1, legacy(7, 1))), Err(PoolError::PoolFull));
    let added = bench.remote(&signed(1, legacy(4, 1))).unwrap();
    assert_eq!(added.dropped, vec![(signed(1, legacy(6, 1)).hash(), DropReason::AccountQueueFull)]);
    bench.remote(&signed(2, legacy(5, 1))).unwrap();
    bench.remote(&signed(2, legacy(6, 1))).unwrap();
    let added = bench.remote(&signed(3, legacy(5, 1))).unwrap();
    assert_eq!(added.dropped, vec![(signed(2, legacy(6, 1)).hash(), DropReason::PoolFull)]);
    assert_eq!(bench.counts(), (0, 4));
}

#[test]
fn locals_are_exempt_from_price_limit_eviction_and_lifetime() {
    let mut bench = Bench::new(small());
    for nonce in (0..10).chain(20..30) {
        bench.local(&signed(1, legacy(nonce, 0))).unwrap();
    }
    assert_eq!(bench.counts(), (10, 10));
    // What a local account's peer brings is local too.
    bench.remote(&signed(1, legacy(10, 0))).unwrap();
    bench.now += 1_000_000;
    assert_eq!(bench.pool.expire(bench.now), vec![]);

    let bench = Bench::new(PoolConfig { no_locals: true, locals: [address(2)].into(), ..small() });
    assert!(matches!(bench.local(&signed(1, legacy(0, 0))), Err(PoolError::Underpriced { .. })));
    bench.remote(&signed(2, legacy(0, 0))).unwrap();
}

#[test]
fn so_many_local_senders_are_remembered() {
    let (pool, world) = (Pool::new(PoolConfig::default()), World::default());
    let count = u64::try_from(LOCALS_MAX).unwrap() + 1;
    for number in 0..count {
        pool.add(cheap(stranger(number), 0, 0), TransactionOrigin::Local, &world, 0).unwrap();
    }
    assert_eq!(pool.clear(), LOCALS_MAX + 1);
    let remote = |number| pool.add(cheap(stranger(number), 0, 0), TransactionOrigin::Remote, &world, 0).is_ok();
    assert!(remote(0) && remote(count - 2) && !remote(count - 1));
}

#[test]
fn remote_queued_transactions_expire_after_their_accounts_last_addition() {
    let mut bench = Bench::new(PoolConfig { lifetime_s: 100, ..PoolConfig::default() });
    let queued = signed(1, legacy(5, 1));
    bench.remote(&queued).unwrap();
    bench.remote(&signed(2, legacy(0, 1))).unwrap();
    bench.now += 60;
    bench.remote(&signed(1, legacy(0, 1))).unwrap();
    assert_eq!(bench.pool.expire(bench.now + 100), vec![]);
    assert_eq!(bench.pool.expire(bench.now + 101), vec![(queued.hash(), DropReason::Expired)]);
    check(&bench.pool);
    assert_eq!(bench.counts(), (2, 0));
}

#[test]
fn a_raised_price_limit_drops_cheap_remotes_only() {
    let bench = Bench::new(PoolConfig::default());
    let cheap = signed(1, legacy(0, 5));
    bench.remote(&cheap).unwrap();
    bench.remote(&signed(1, legacy(1, 50))).unwrap();
    bench.local(&signed(2, legacy(0, 5))).unwrap();
    bench.pool.set_price_limit(6);
    check(&bench.pool);
    assert_eq!(bench.pool.take_dropped(), vec![(cheap.hash(), DropReason::BelowPriceLimit)]);
    assert_eq!(bench.counts(), (1, 1));
    assert_eq!(bench.pool.clear(), 2);
    check(&bench.pool);
    assert_eq!((bench.counts(), bench.pool.take_dropped().len()), ((0, 0), 2));
}

#[test]
fn the_byte_limit_holds_for_all_and_queued_ones_leave_first() {
    let bench = Bench::new(PoolConfig { bytes_max: 300_000, ..PoolConfig::default() });
    let large = |sender, nonce, price, seed| {
        let input = Bytes::from(vec![seed; 90_000]);
        signed(sender, TxLegacy { gas_limit: 4_000_000, input, ..legacy(nonce, price) })
    };
    let queued = large(1, 5, 9, 1);
    bench.remote(&queued).unwrap();
    bench.remote(&large(2, 0, 3, 1)).unwrap();
    bench.remote(&large(3, 0, 2, 1)).unwrap();
    // A queued one drives out only its like, the newest first: itself.
    assert_eq!(bench.remote(&large(4, 5, 99, 1)), Err(PoolError::PoolFull));
    let added = bench.remote(&large(4, 0, 2, 1)).unwrap();
    assert_eq!(added.dropped, vec![(queued.hash(), DropReason::PoolFull)]);
    assert_eq!(bench.remote(&large(5, 0, 2, 1)), Err(PoolError::Outbid));
    assert_eq!(bench.local(&large(6, 5, 9, 1)), Err(PoolError::PoolFull));
    for sender in 7..10 {
        assert_eq!(bench.local(&large(sender, 0, 1, 1)).unwrap().dropped.len(), 1);
    }
    assert_eq!(bench.local(&large(11, 0, 1, 1)), Err(PoolError::PoolFull));
    assert_eq!(bench.counts(), (3, 0));
}

/// The attack that evicts what can be mined by what never will be: future nonces, overdrafts and cheap first links.
#[test]
fn a_flood_of_future_and_overdraft_transactions_evicts_no_funded_executable_one() {
    let pool = Pool::new(PoolConfig::default());
    let mut world = World::default();
    let funded: Vec<_> = (0..1_280).flat_map(|n| (0..4).map(move |nonce| cheap(stranger(n), nonce, 2))).collect();
    for transaction in &funded {
        assert!(pool.add(transaction.clone(), TransactionOrigin::Remote, &world, 0).unwrap().executable);
    }
    let (mut dropped, mut taken) = (0, 0);
    for number in 0..100_000 {
        let attacker = stranger(1_000_000 + number % 1_000);
        let round = number / 1_000;
        // Enough for one transaction at the high price, or nothing behind a gap is covered in sum.
        world.accounts.insert(attacker, (0, U256::from(21_000 * 1_000), false));
        let nonce = if number % 2 == 0 { 1 + round } else { round };
        let price = if number % 2 == 1 && round == 0 { 1 } else { 1_000 };
        if let Ok(added) = pool.add(cheap(attacker, nonce, price), TransactionOrigin::Remote, &world, 0) {
            taken += 1;
            dropped += added.dropped.iter().filter(|(hash, _)| funded.iter().any(|tx| tx.hash() == *hash)).count();
        }
    }
    check(&pool);
    assert_eq!(dropped, 0, "of {} funded ones, with {taken} of the flood taken", funded.len());
    assert!(funded.iter().all(|transaction| pool.get(transaction.hash()).unwrap().executable));
}
