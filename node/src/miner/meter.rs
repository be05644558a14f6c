//! The hash rate: exact counts of hashes over the last half minute.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How far back the rate looks.
const WINDOW: Duration = Duration::from_secs(30);

/// Counts hashes over time.
#[derive(Debug, Default)]
pub(crate) struct HashMeter {
    samples: Mutex<VecDeque<(Instant, u64)>>,
}

impl HashMeter {
    /// Notes that `hashes` were tried until now, since the last note.
    pub(crate) fn add(&self, hashes: u64) {
        let now = Instant::now();
        let mut samples = self.samples.lock();
        samples.push_back((now, hashes));
        while samples.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            samples.pop_front();
        }
    }

    /// Returns hashes per second, `running` being those of the search that is not noted yet.
    pub(crate) fn rate(&self, running: u64) -> u64 {
        let now = Instant::now();
        let samples = self.samples.lock();
        let recent = samples.iter().filter(|(at, _)| now.duration_since(*at) <= WINDOW);
        let (first, hashes) = recent.fold((None, running), |(first, sum), (at, hashes)| {
            // The first sample only marks the beginning: its hashes were tried before it.
            (first.or(Some(*at)), if first.is_some() { sum.saturating_add(*hashes) } else { sum })
        });
        let elapsed_ms = first.map_or(0, |first| now.duration_since(first).as_millis());
        let rate = u128::from(hashes).saturating_mul(1000).checked_div(elapsed_ms).unwrap_or(0);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_miner_has_no_rate() {
        assert_eq!(HashMeter::default().rate(0), 0);
    }

    #[test]
    fn the_rate_is_hashes_over_time() {
        let meter = HashMeter::default();
        let start = Instant::now() - Duration::from_secs(10);
        meter.samples.lock().extend([(start, 500), (start + Duration::from_secs(5), 1_000_000)]);
        let rate = meter.rate(1_000_000);
        assert!((199_000..=200_000).contains(&rate), "{rate}");
    }
}
