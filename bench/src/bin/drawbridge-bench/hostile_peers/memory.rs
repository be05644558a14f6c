//! The memory of a process, watched from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bench::process::resident_bytes;

/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(20);

/// Watches a process until it is dropped.
pub(crate) struct Memory {
    peak: Arc<AtomicU64>,
    process: u32,
}

impl Memory {
    /// Begins to watch.
    pub(crate) fn watch(process: u32) -> Self {
        let peak = Arc::new(AtomicU64::new(resident_bytes(process).unwrap_or(0)));
        let watched = Arc::downgrade(&peak);
        std::thread::spawn(move || {
            while let Some(peak) = watched.upgrade() {
                // The process may be gone, and then its peak stays.
                peak.fetch_max(resident_bytes(process).unwrap_or(0), Ordering::Relaxed);
                drop(peak);
                std::thread::sleep(EVERY);
            }
        });
        Self { peak, process }
    }

    /// Returns the bytes that are resident now.
    pub(crate) fn now(&self) -> u64 {
        resident_bytes(self.process).unwrap_or(0)
    }

    /// Begins anew to look for the most.
    pub(crate) fn forget_peak(&self) {
        self.peak.store(self.now(), Ordering::Relaxed);
    }

    /// Returns the most bytes that were resident since then.
    pub(crate) fn peak(&self) -> u64 {
        let now = self.now();
        self.peak.fetch_max(now, Ordering::Relaxed).max(now)
    }
}
