//! How far a sync is: rate and time left.

/// Tells how far a sync is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The head when the sync began.
    pub start: u64,
    /// The head now.
    pub current: u64,
    /// The head that is aimed at.
    pub target: u64,
    /// Blocks imported in a second, since the beginning.
    pub blocks_per_second: f64,
    /// Milliseconds left at this rate; `None` until there is a rate.
    pub left_ms: Option<u64>,
}

/// Counts the imports of a sync.
#[derive(Debug)]
pub(crate) struct Meter {
    start: u64,
    start_ms: u64,
    imported: u64,
}

impl Meter {
    pub(crate) fn new(start: u64, now_ms: u64) -> Self {
        Self { start, start_ms: now_ms, imported: 0 }
    }

    pub(crate) fn count(&mut self) {
        self.imported += 1;
    }

    pub(crate) fn progress(&self, current: u64, target: u64, now_ms: u64) -> Progress {
        let elapsed_ms = now_ms.saturating_sub(self.start_ms);
        let left = u128::from(target.saturating_sub(current));
        let left_ms = (u128::from(elapsed_ms) * left).checked_div(u128::from(self.imported));
        // A count of blocks is far below 2^52, where this would round.
        #[allow(clippy::cast_precision_loss)]
        let blocks_per_second = self.imported as f64 * 1000.0 / elapsed_ms.max(1) as f64;
        Progress {
            start: self.start,
            current,
            target: target.max(current),
            blocks_per_second,
            left_ms: left_ms.and_then(|left| u64::try_from(left).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_tells_the_time_left() {
        let mut meter = Meter::new(100, 1000);
        assert_eq!(meter.progress(100, 500, 1000).left_ms, None);
        (0..100).for_each(|_| meter.count());
        let progress = meter.progress(200, 500, 3000);
        assert_eq!((progress.blocks_per_second, progress.left_ms), (50.0, Some(6000)));
    }
}
