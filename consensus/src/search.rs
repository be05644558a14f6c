//! The seal search: counts nonces up until a digest meets the target. One call runs on one thread; the caller makes
//! the threads and gives each its own start.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alloy_primitives::{B64, B256, U256};
use tiny_keccak::keccakf;

use crate::block::Header;
use crate::seal;

/// How many hashes a thread tries between looking at `cancelled` (about half a millisecond).
pub const HASHES_PER_CHECK: u64 = 1024;

/// Holds one search job, shared by its threads.
#[derive(Debug)]
pub struct SearchJob {
    /// The seal hash to search for.
    pub seal_hash: B256,
    /// The greatest digest that counts.
    pub target: U256,
    /// Set by anyone to end the search; set by the finder.
    pub cancelled: AtomicBool,
    /// Hashes tried so far by all threads, exact once the search has ended.
    pub hashes: AtomicU64,
}

impl SearchJob {
    /// Makes the job that seals `header`, whose other fields must be final.
    pub fn new(header: &Header) -> Self {
        Self {
            seal_hash: seal::seal_hash(header),
            target: seal::target(header.difficulty),
            cancelled: AtomicBool::new(false),
            hashes: AtomicU64::new(0),
        }
    }

    /// Ends the search of all threads within [`HASHES_PER_CHECK`] hashes.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Tells whether the search has been ended, by its finder or by anyone else.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// Searches nonces `start`, `start + stride`, … until one meets the target or the job is cancelled.
///
/// The caller gives each of n threads another start and the stride n. Returns `None` when the job was cancelled, also
/// by another thread that found a nonce.
pub fn search(job: &SearchJob, start: u64, stride: u64) -> Option<B64> {
    let mut nonce = start;
    while !job.is_cancelled() {
        if let Some((found, tried)) = search_batch(job, nonce, stride) {
            job.hashes.fetch_add(tried, Ordering::Relaxed);
            job.cancel();
            return Some(found);
        }
        job.hashes.fetch_add(HASHES_PER_CHECK, Ordering::Relaxed);
        nonce = nonce.wrapping_add(stride.wrapping_mul(HASHES_PER_CHECK));
    }
    None
}

/// Tries [`HASHES_PER_CHECK`] nonces, without counting them; returns the one that meets the target, and how many were tried with it.
pub fn search_batch(job: &SearchJob, start: u64, stride: u64) -> Option<(B64, u64)> {
    let block = first_block(job.seal_hash);
    let target = job.target.into_limbs();
    let mut nonce = start;
    for tried in 1..=HASHES_PER_CHECK {
        let mut state = block;
        // Keccak reads its lanes little-endian, the nonce is written big-endian.
        state[4] = nonce.swap_bytes();
        keccakf(&mut state);
        if meets(&state, &target) {
            return Some((B64::from(nonce), tried));
        }
        nonce = nonce.wrapping_add(stride);
    }
    None
}

/// Returns the Keccak state after absorbing seal hash ‖ nonce, with nonce 0: 40 bytes of message, then the padding
/// 0x01 … 0x80 up to the rate of 136 bytes.
fn first_block(seal_hash: B256) -> [u64; 25] {
    let mut state = [0; 25];
    for (lane, bytes) in state.iter_mut().zip(seal_hash.as_chunks::<8>().0) {
        *lane = u64::from_le_bytes(*bytes);
    }
    state[5] = 0x01;
    state[16] = 0x80 << 56;
    state
}

/// Compares the digest in the first four lanes with the target's limbs (least significant first).
fn meets(state: &[u64; 25], target: &[u64; 4]) -> bool {
    for (lane, limb) in state.iter().zip(target.iter().rev()) {
        let digest = lane.swap_bytes();
        if digest != *limb {
            return digest < *limb;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;
    use crate::test_chain::any_header;

    fn job(seal_hash: B256, difficulty: u64) -> SearchJob {
        let target = seal::target(U256::from(difficulty));
        SearchJob { seal_hash, target, cancelled: AtomicBool::new(false), hashes: AtomicU64::new(0) }
    }

    #[test]
    fn a_cancelled_job_tries_nothing_more() {
        let job = job(B256::ZERO, 1);
        job.cancel();
        assert_eq!(search(&job, 0, 1), None);
        assert_eq!(job.hashes.into_inner(), 0);
    }

    #[test]
    fn cancelling_ends_a_hopeless_search() {
        let job = SearchJob { target: U256::ZERO, ..job(B256::ZERO, 1) };
        let found = thread::scope(|scope| {
            let searcher = scope.spawn(|| search(&job, 0, 1));
            while job.hashes.load(Ordering::Relaxed) < 10 * HASHES_PER_CHECK {
                thread::yield_now();
            }
            job.cancel();
            searcher.join().unwrap()
        });
        assert_eq!(found, None);
        assert_eq!(job.hashes.into_inner() % HASHES_PER_CHECK, 0);
    }

    #[test]
    fn threads_share_a_job_and_one_of_them_ends_it() {
        let job = job(B256::repeat_byte(7), 20_000);
        let found: Vec<B64> = thread::scope(|scope| {
            let searchers: Vec<_> = (0..4)
                .map(|start| {
                    scope.spawn({
                        let job = &job;
                        move || search(job, start, 4)
                    })
                })
                .collect();
            searchers.into_iter().filter_map(|searcher| searcher.join().unwrap()).collect()
        });
        assert!(!found.is_empty());
        for nonce in found {
            assert!(U256::from_be_bytes(seal::digest(job.seal_hash, nonce).0) <= job.target);
        }
    }

    #[test]
    fn nonces_wrap_around() {
        assert!(search(&job(B256::ZERO, 4000), u64::MAX - 3, 2).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_found_nonce_seals_its_header(mut header in any_header(), start: u64, difficulty in 1u64..2000, stride in 1u64..9) {
            header.difficulty = U256::from(difficulty);
            let job = SearchJob::new(&header);
            let nonce = search(&job, start, stride).unwrap();
            seal::apply(&mut header, nonce);
            prop_assert_eq!(seal::verify(&header), Ok(()));
            // The nonces before it are none, and each was counted once.
            let tried = job.hashes.into_inner();
            let step = |n: u64| B64::from(start.wrapping_add(stride.wrapping_mul(n)));
            prop_assert_eq!(step(tried - 1), nonce);
            for n in 0..tried - 1 {
                prop_assert!(U256::from_be_bytes(seal::digest(job.seal_hash, step(n)).0) > job.target);
            }
        }
    }
}
