//! Additions, blocks and snapshots from several threads at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::RwLock;

use super::support::{World, cheap, check, stranger};
use crate::pool::{Pool, PoolConfig, TransactionOrder, TransactionOrigin};

#[test]
fn nothing_is_lost_between_threads() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 3_000;
    let directory = tempfile::tempdir().unwrap();
    let journal = Some(directory.path().join("transactions.rlp"));
    let pool = Pool::new(PoolConfig { journal, ..PoolConfig::default() });
    pool.journal.as_ref().unwrap().lock().appended_bytes_max = 50_000;
    let (accepted, mut mined) = (AtomicUsize::new(0), 0);
    let world = RwLock::new(Arc::new(World::default()));
    thread::scope(|scope| {
        let writers: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (pool, world, accepted) = (&pool, &world, &accepted);
                scope.spawn(move || {
                    for nonce in 0..EACH {
                        // By the time of the addition the head may be another one.
                        let state = world.read().clone();
                        let transaction = cheap(stranger(sender), nonce, 1);
                        let added = pool.add(transaction, TransactionOrigin::Local, &*state, 0).unwrap();
                        assert_eq!((added.dropped, added.journal_error), (vec![], None));
                        accepted.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        while !writers.iter().all(thread::ScopedJoinHandle::is_finished) {
            let block: Vec<_> = pool.best(TransactionOrder::Arrival, Some(0), 0).take(50).collect();
            mined += block.len();
            let mut next = World::clone(&world.read());
            next.mine(&block);
            *world.write() = Arc::new(next);
            let state = world.read().clone();
            assert_eq!(pool.on_new_head(&*state, &mut block.iter(), Vec::new(), 0), vec![]);
        }
    });
    // The next head reads again whoever added by an older state.
    let state = world.into_inner();
    assert_eq!(pool.on_new_head(&*state, &mut [].iter(), Vec::new(), 0), vec![]);
    check(&pool);
    assert_eq!(accepted.into_inner(), usize::try_from(SENDERS * EACH).unwrap());
    assert_eq!(mined + pool.status().pending, usize::try_from(SENDERS * EACH).unwrap());
}
