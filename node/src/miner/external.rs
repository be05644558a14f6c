//! Work for miners elsewhere: blocks that were built and wait for a nonce, and what those miners say of their speed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B64, B256, U256};
use chain::Candidate;
use consensus::seal;
use parking_lot::Mutex;

/// The most blocks that wait: one after the other replaces an earlier one while transactions come.
const WAITING_MAX: usize = 16;
/// The most miners whose speed is kept.
const MINERS_MAX: usize = 1024;
/// How long a report of speed counts; miners report every few seconds (geth's rule).
const REPORT_COUNTS: Duration = Duration::from_secs(10);

/// What a miner needs to search a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// What is hashed with the nonce.
    pub seal_hash: B256,
    /// The greatest digest that counts.
    pub target: U256,
    /// The block's number.
    pub number: u64,
}

/// Says why there is no work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoWork {
    /// Nobody is named to be paid.
    #[error("etherbase must be explicitly specified")]
    NoEtherbase,
    /// Who is named may not mine.
    #[error("the etherbase {0} is not an authorized miner of this chain")]
    NotAuthorized(Address),
    /// No block is wanted now: an empty one would not be valid.
    #[error("no mining work available yet")]
    NothingToMine,
    /// The block cannot be built.
    #[error("{0}")]
    Failed(String),
}

/// A block that waits for its nonce.
struct Waiting {
    work: Work,
    candidate: Candidate,
    /// The count of events when it was built.
    events: u64,
    built: Instant,
}

/// Keeps what miners elsewhere work on.
#[derive(Default)]
pub(super) struct External {
    waiting: Mutex<Vec<Waiting>>,
    speeds: Mutex<BTreeMap<B256, (u64, Instant)>>,
}

impl External {
    /// Returns the newest work on `head` for `beneficiary` that need not be built again: nothing happened since, or it holds
    /// transactions and is younger than `recommit`.
    pub(super) fn current(&self, head: B256, beneficiary: Address, events: u64, recommit: Duration) -> Option<Work> {
        let waiting = self.waiting.lock();
        let newest = waiting.last().filter(|newest| {
            let header = newest.candidate.header();
            header.parent_hash == head && header.beneficiary == beneficiary
        })?;
        let is_young = newest.candidate.transaction_count() > 0 && newest.built.elapsed() < recommit;
        (newest.events == events || is_young).then_some(newest.work)
    }

    /// Adds a block that was built; `events` is the count of events before.
    pub(super) fn add(&self, candidate: Candidate, events: u64) -> Work {
        let header = candidate.header();
        let work =
            Work { seal_hash: seal::seal_hash(header), target: seal::target(header.difficulty), number: header.number };
        let mut waiting = self.waiting.lock();
        waiting.retain(|other| other.work.seal_hash != work.seal_hash);
        if waiting.len() >= WAITING_MAX {
            waiting.remove(0);
        }
        waiting.push(Waiting { work, candidate, events, built: Instant::now() });
        work
    }

    /// Takes the block with this seal hash that waits on `head`, where `nonce` seals it.
    pub(super) fn take(&self, seal_hash: B256, nonce: B64, head: B256) -> Option<Candidate> {
        let mut waiting = self.waiting.lock();
        let place = waiting.iter().position(|one| one.work.seal_hash == seal_hash)?;
        let one = &waiting[place];
        let digest = U256::from_be_bytes(seal::digest(seal_hash, nonce).0);
        if digest > one.work.target || one.candidate.header().parent_hash != head {
            return None;
        }
        Some(waiting.remove(place).candidate)
    }

    /// Forgets all blocks: the head has moved.
    pub(super) fn clear(&self) {
        self.waiting.lock().clear();
    }

    /// Notes what a miner says of its speed, in hashes per second.
    pub(super) fn report(&self, id: B256, hashes_per_second: u64) {
        let mut speeds = self.speeds.lock();
        speeds.retain(|_, (_, at)| at.elapsed() <= REPORT_COUNTS);
        if speeds.len() < MINERS_MAX || speeds.contains_key(&id) {
            speeds.insert(id, (hashes_per_second, Instant::now()));
        }
    }

    /// Returns the speed of all of them, in hashes per second.
    pub(super) fn hash_rate(&self) -> u64 {
        let speeds = self.speeds.lock();
        let recent = speeds.values().filter(|(_, at)| at.elapsed() <= REPORT_COUNTS);
        recent.fold(0, |sum, (rate, _)| sum.saturating_add(*rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_add_up_and_are_replaced() {
        let external = External::default();
        assert_eq!(external.hash_rate(), 0);
        external.report(B256::repeat_byte(1), 10);
        external.report(B256::repeat_byte(2), 5);
        external.report(B256::repeat_byte(1), 20);
        assert_eq!(external.hash_rate(), 25);
        external.report(B256::repeat_byte(3), u64::MAX);
        assert_eq!(external.hash_rate(), u64::MAX);
    }

    #[test]
    fn miners_are_bounded() {
        let external = External::default();
        for id in 0..2 * MINERS_MAX {
            external.report(B256::from(U256::from(id)), 1);
        }
        assert_eq!(external.hash_rate(), u64::try_from(MINERS_MAX).unwrap_or(u64::MAX));
    }
}
