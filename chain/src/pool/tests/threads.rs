//! Additions, blocks and snapshots from several threads at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::support::{World, cheap, check, stranger};
use crate::pool::{Pool, PoolConfig, PoolError, TransactionOrder, TransactionOrigin};

#[test]
fn nothing_is_lost_between_threads() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 3_000;
    let directory = tempfile::tempdir().unwrap();
    let journal = Some(directory.path().join("transactions.rlp"));
    let pool = Pool::new(PoolConfig { journal, ..PoolConfig::default() });
    pool.journal.as_ref().unwrap().lock().appended_bytes_max = 50_000;
    let (accepted, mut mined) = (AtomicUsize::new(0), 0);
    let mut world = World::default();
    let first = world.clone();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (pool, world, accepted) = (&pool, &first, &accepted);
                scope.spawn(move || {
                    for nonce in 0..EACH {
                        // The state is the first one throughout, as that of a slow reader is.
                        match pool.add(cheap(stranger(sender), nonce, 1), TransactionOrigin::Local, world, 0) {
                            Ok(added) => {
                                assert_eq!((added.dropped, added.journal_error), (vec![], None));
                                accepted.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => assert!(matches!(error, PoolError::NonceTooLow { .. }), "{error}"),
                        }
                    }
                })
            })
            .collect();
        while !writers.iter().all(thread::ScopedJoinHandle::is_finished) {
            let block: Vec<_> = pool.best(TransactionOrder::Arrival, Some(0), 0).take(50).collect();
            mined += block.len();
            world.mine(&block);
            assert_eq!(pool.on_new_head(&world, &mut block.iter(), Vec::new(), 0), vec![]);
        }
    });
    check(&pool);
    assert_eq!(accepted.into_inner(), usize::try_from(SENDERS * EACH).unwrap());
    assert_eq!(mined + pool.status().pending, usize::try_from(SENDERS * EACH).unwrap());
}
