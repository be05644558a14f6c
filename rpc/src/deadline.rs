//! Time limits of methods: flags that one thread sets when their time is up. To begin and to end one costs a lock, since most are over
//! long before their time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How often the thread looks while there are deadlines: none of them wakes it.
const TICK: Duration = Duration::from_millis(20);

/// The clock of all deadlines; its thread ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Deadlines {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Wakes the thread from its sleep when there were none.
    begun: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    by_time: BTreeMap<(Instant, u64), Arc<AtomicBool>>,
    is_asleep: bool,
    is_over: bool,
}

/// A flag that is set when the time is up. Dropping it stops the clock.
#[derive(Debug)]
pub(crate) struct Deadline {
    passed: Arc<AtomicBool>,
    key: (Instant, u64),
    shared: Arc<Shared>,
}

impl Deadlines {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives none.
    pub(crate) fn start() -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new().name("rpc-deadlines".to_owned()).spawn(move || of_thread.run())?;
        Ok(Self { shared })
    }

    /// Begins a deadline after `limit`.
    pub(crate) fn after(&self, limit: Duration) -> Deadline {
        let passed = Arc::new(AtomicBool::new(false));
        let mut waiting = self.shared.waiting.lock();
        let key = (Instant::now() + limit, waiting.next);
        waiting.next += 1;
        waiting.by_time.insert(key, Arc::clone(&passed));
        if waiting.is_asleep {
            self.shared.begun.notify_one();
        }
        Deadline { passed, key, shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Deadlines {
    fn drop(&mut self) {
        self.shared.waiting.lock().is_over = true;
        self.shared.begun.notify_one();
    }
}

impl Shared {
    fn run(&self) {
        let mut waiting = self.waiting.lock();
        let mut was_empty = false;
        while !waiting.is_over {
            let now = Instant::now();
            while let Some(entry) = waiting.by_time.first_entry().filter(|entry| entry.key().0 <= now) {
                entry.remove().store(true, Ordering::Relaxed);
            }
            // Under load there is none only now and then: the sleep begins after a whole tick without any.
            let is_empty = waiting.by_time.is_empty();
            if is_empty && was_empty {
                waiting.is_asleep = true;
                self.begun.wait(&mut waiting);
                waiting.is_asleep = false;
            } else {
                let first = waiting.by_time.first_key_value().map(|((time, _), _)| *time);
                let until = first.map_or(now + TICK, |first| first.min(now + TICK));
                self.begun.wait_until(&mut waiting, until);
            }
            was_empty = is_empty;
        }
    }
}

impl Deadline {
    /// Returns the flag.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.passed
    }

    /// Tells whether the time is up.
    pub(crate) fn has_passed(&self) -> bool {
        self.passed.load(Ordering::Relaxed)
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.shared.waiting.lock().by_time.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wait(deadline: &Deadline) -> Duration {
        let begun = Instant::now();
        while !deadline.has_passed() {
            std::thread::sleep(Duration::from_millis(1));
        }
        begun.elapsed()
    }

    #[test]
    fn a_flag_is_set_when_its_time_is_up_and_not_before() {
        let deadlines = Deadlines::start().unwrap();
        // The second one finds the thread asleep, the third beside a later one.
        for round in 0..3 {
            let later = (round == 2).then(|| deadlines.after(Duration::from_secs(3600)));
            let waited = wait(&deadlines.after(Duration::from_millis(30)));
            assert!(waited >= Duration::from_millis(30), "{waited:?}");
            assert!(later.is_none_or(|later| !later.has_passed()));
            while round == 0 && !deadlines.shared.waiting.lock().is_asleep {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn what_is_over_leaves_nothing_behind() {
        let deadlines = Deadlines::start().unwrap();
        let kept: Vec<_> = (0..100).map(|_| deadlines.after(Duration::from_secs(3600))).collect();
        assert_eq!(deadlines.shared.waiting.lock().by_time.len(), 100);
        drop(kept);
        assert!(deadlines.shared.waiting.lock().by_time.is_empty());
    }
}
