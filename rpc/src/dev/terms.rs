//! The time of a development chain, and what its operator wants of the next block.

use std::fmt;
use std::time::Duration;

use alloy_primitives::B256;
use consensus::Header;
use consensus::validation::Departures;
use parking_lot::Mutex;

use crate::services::Clock;

/// Keeps the time of a development chain and what is wanted of its next block. The node's miner asks it before it builds a block and
/// tells it of the block that came of it.
pub struct DevTerms {
    system: Clock,
    wishes: Mutex<Wishes>,
}

/// What can be wished, and how far the chain's time is from the system's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// The chain's time minus the system's, in seconds.
    pub(crate) offset_s: i64,
    /// The next block's timestamp.
    pub(crate) timestamp: Option<u64>,
    /// How far apart the timestamps of blocks are, in seconds.
    pub(crate) interval_s: Option<u64>,
    /// The next block's base fee in wei.
    pub(crate) base_fee: Option<u64>,
    /// The next block's PREVRANDAO.
    pub(crate) mix_hash: Option<B256>,
    /// The gas limit of all blocks to come.
    pub(crate) gas_limit: Option<u64>,
    /// Whether somebody steers the chain: then timestamps always grow.
    pub(crate) is_steered: bool,
    /// Whether the log keeps silent about what contracts say.
    pub(crate) is_silent: bool,
}

/// Says what the next block is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextBlock {
    /// Its timestamp in seconds.
    pub timestamp: u64,
    /// What it has against the rules.
    pub departures: Departures,
}

impl fmt::Debug for DevTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevTerms").field("wishes", &self.wishes.lock()).finish_non_exhaustive()
    }
}

impl DevTerms {
    /// Begins with a chain whose head has the timestamp `head_s` (seconds): where that is ahead of the system's time, as after a
    /// restart of a chain whose time was moved, the chain's time goes on from there.
    pub fn new(system: Clock, head_s: u64) -> Self {
        let ahead = i64::try_from(head_s.saturating_sub(system())).unwrap_or(i64::MAX);
        Self { system, wishes: Mutex::new(Wishes { offset_s: ahead, ..Wishes::default() }) }
    }

    /// Returns the chain's time in seconds since 1970.
    pub fn now(&self) -> u64 {
        self.now_with(&self.wishes.lock())
    }

    fn now_with(&self, wishes: &Wishes) -> u64 {
        (self.system)().saturating_add_signed(wishes.offset_s)
    }

    /// Says what the block on `parent` is to be. From the first request on that steers the chain its timestamp is above its parent's,
    /// as tests of contracts expect; before, blocks of the same second have the same one.
    pub fn next_block(&self, parent: &Header) -> NextBlock {
        let wishes = self.wishes.lock();
        let wanted = wishes.timestamp.or(wishes.interval_s.map(|interval| parent.timestamp.saturating_add(interval)));
        let least = parent.timestamp.saturating_add(u64::from(wishes.is_steered));
        let timestamp = wanted.unwrap_or_else(|| self.now_with(&wishes)).max(least);
        let Wishes { base_fee, mix_hash, gas_limit, .. } = *wishes;
        NextBlock { timestamp, departures: Departures { base_fee, mix_hash, gas_limit } }
    }

    /// Notes that `mined` is the new head: what was wanted of it is not wanted of the next one, and the chain's time goes on from
    /// there, where a timestamp was wanted or the head is ahead.
    pub fn mined(&self, mined: &Header) {
        let mut wishes = self.wishes.lock();
        let was_chosen = wishes.timestamp == Some(mined.timestamp);
        let is_ahead = mined.timestamp > self.now_with(&wishes);
        if was_chosen || is_ahead {
            wishes.offset_s = self.offset_to(mined.timestamp);
        }
        (wishes.timestamp, wishes.base_fee, wishes.mix_hash) = (None, None, None);
    }

    fn offset_to(&self, time_s: u64) -> i64 {
        let system = i128::from((self.system)());
        let most = i128::from(i64::MAX);
        i64::try_from((i128::from(time_s) - system).clamp(-most, most)).unwrap_or(0)
    }

    /// Returns the system's time in seconds since 1970.
    pub(crate) fn system_now(&self) -> u64 {
        (self.system)()
    }

    /// Moves the chain's time forward, and returns how far it is from the system's, in seconds.
    pub(crate) fn increase_time(&self, seconds: u64) -> i64 {
        let mut wishes = self.wishes.lock();
        wishes.offset_s = wishes.offset_s.saturating_add_unsigned(seconds);
        wishes.offset_s
    }

    /// Sets the chain's time.
    pub(crate) fn set_time(&self, time_s: u64) {
        self.wishes.lock().offset_s = self.offset_to(time_s);
    }

    /// Tells whether the log is to tell what contracts say by `console.log`.
    pub fn tells_console(&self) -> bool {
        !self.wishes.lock().is_silent
    }

    /// Changes what is wanted.
    pub(crate) fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.wishes.lock());
    }

    /// Returns what is wanted, and the chain's time.
    pub(crate) fn kept(&self) -> (Wishes, u64) {
        let wishes = self.wishes.lock();
        (*wishes, self.now_with(&wishes))
    }

    /// Wants again what was wanted, and goes on from the time that it was then.
    pub(crate) fn restore(&self, (wishes, time_s): (Wishes, u64)) {
        *self.wishes.lock() = Wishes { offset_s: self.offset_to(time_s), ..wishes };
    }
}

/// Says what makes the miner of a development chain mine. Both may be so, or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevPace {
    /// Each transaction that can be mined.
    pub automine: bool,
    /// So much time since the last block.
    pub interval: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn terms(system: &Arc<AtomicU64>, head: u64) -> DevTerms {
        let system = Arc::clone(system);
        DevTerms::new(Arc::new(move || system.load(Ordering::Relaxed)), head)
    }

    fn header(timestamp: u64) -> Header {
        Header { timestamp, ..Header::default() }
    }

    #[test]
    fn time_goes_on_from_a_head_that_is_ahead() {
        let system = Arc::new(AtomicU64::new(100));
        assert_eq!(terms(&system, 40).now(), 100);
        assert_eq!(terms(&system, 400).now(), 400);
    }

    #[test]
    fn timestamps_grow_and_a_chosen_one_is_taken_once() {
        let system = Arc::new(AtomicU64::new(100));
        let terms = terms(&system, 0);
        assert_eq!(terms.next_block(&header(100)).timestamp, 100);
        terms.wish(|wishes| wishes.is_steered = true);
        assert_eq!(terms.next_block(&header(50)).timestamp, 100);
        assert_eq!(terms.next_block(&header(100)).timestamp, 101);
        terms.wish(|wishes| (wishes.timestamp, wishes.base_fee) = (Some(300), Some(7)));
        let next = terms.next_block(&header(101));
        assert_eq!((next.timestamp, next.departures.base_fee), (300, Some(7)));
        terms.mined(&header(300));
        assert_eq!(terms.next_block(&header(300)), NextBlock { timestamp: 301, departures: Departures::default() });
        system.store(110, Ordering::Relaxed);
        assert_eq!(terms.next_block(&header(300)).timestamp, 310);
        terms.wish(|wishes| wishes.interval_s = Some(12));
        assert_eq!(terms.next_block(&header(310)).timestamp, 322);
    }

    #[test]
    fn time_moves_and_comes_back_with_what_was_kept() {
        let system = Arc::new(AtomicU64::new(100));
        let terms = terms(&system, 0);
        let kept = terms.kept();
        assert_eq!((terms.increase_time(50), terms.increase_time(5), terms.now()), (50, 55, 155));
        terms.set_time(70);
        assert_eq!(terms.now(), 70);
        system.store(130, Ordering::Relaxed);
        terms.restore(kept);
        assert_eq!(terms.now(), 100);
    }
}
