//! Places for connections. When all are taken, those that have been idle for longest make room, so that connections which ask nothing
//! never keep out those that do.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Of so many connections one makes room when there is none, so that looking for them is seldom.
const SHARE_CLOSED: usize = 64;

/// The places.
#[derive(Debug)]
pub(crate) struct Slots {
    most: usize,
    begun: Instant,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    by_id: HashMap<u64, Arc<Activity>>,
}

/// What a connection does.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Requests that are being answered.
    running: AtomicUsize,
    /// Since when none is, in milliseconds.
    idle_since_ms: AtomicU64,
    closing: Notify,
}

impl Slots {
    /// Makes so many places.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, begun: Instant::now(), taken: Mutex::default() })
    }

    /// Takes a place; `None` where every connection is being served.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Slot> {
        let activity = Arc::new(Activity::default());
        activity.idle_since_ms.store(self.now_ms(), Ordering::Relaxed);
        let mut taken = self.taken.lock();
        if taken.by_id.len() >= self.most {
            close_idle(&mut taken.by_id, self.most / SHARE_CLOSED + 1);
        }
        if taken.by_id.len() >= self.most {
            return None;
        }
        let id = taken.next;
        taken.next += 1;
        taken.by_id.insert(id, Arc::clone(&activity));
        Some(Slot { slots: Arc::clone(self), id, activity })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Closes up to `count` connections, those that have been idle for longest.
fn close_idle(by_id: &mut HashMap<u64, Arc<Activity>>, count: usize) {
    let idle = by_id.iter().filter(|(_, activity)| activity.running.load(Ordering::Relaxed) == 0);
    let mut idle: Vec<_> = idle.map(|(id, activity)| (activity.idle_since_ms.load(Ordering::Relaxed), *id)).collect();
    idle.sort_unstable();
    for (_, id) in idle.into_iter().take(count) {
        if let Some(activity) = by_id.remove(&id) {
            activity.closing.notify_one();
        }
    }
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    id: u64,
    activity: Arc<Activity>,
}

impl Slot {
    /// Says that a request is being answered, until the result is dropped.
    pub(crate) fn run(&self) -> Running<'_> {
        self.activity.running.fetch_add(1, Ordering::Relaxed);
        Running(self)
    }

    /// Waits until the place is needed for another connection.
    pub(crate) async fn is_wanted(&self) {
        self.activity.closing.notified().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.taken.lock().by_id.remove(&self.id);
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Running<'a>(&'a Slot);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Self(slot) = self;
        slot.activity.idle_since_ms.store(slot.slots.now_ms(), Ordering::Relaxed);
        slot.activity.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures::FutureExt as _;

    fn is_wanted(slot: &Slot) -> bool {
        slot.is_wanted().now_or_never().is_some()
    }

    #[test]
    fn the_longest_idle_makes_room() {
        let slots = Slots::new(2);
        let (first, second) = (slots.enter().unwrap(), slots.enter().unwrap());
        // The first one asks, and is then idle for a shorter time than the second.
        std::thread::sleep(std::time::Duration::from_millis(2));
        drop(first.run());
        let third = slots.enter().unwrap();
        assert_eq!([is_wanted(&first), is_wanted(&second), is_wanted(&third)], [false, true, false]);
        drop(second);
        assert!(slots.enter().is_some(), "the first one made room");
    }

    #[test]
    fn who_is_served_stays() {
        let slots = Slots::new(2);
        let (first, second) = (slots.enter().unwrap(), slots.enter().unwrap());
        let running = (first.run(), second.run());
        assert!(slots.enter().is_none());
        assert_eq!([is_wanted(&first), is_wanted(&second)], [false, false]);
        drop(running);
        assert!(slots.enter().is_some());
    }

    #[test]
    fn a_place_is_free_when_it_is_left() {
        let slots = Slots::new(1);
        for _ in 0..10 {
            let slot = slots.enter().unwrap();
            let _running = slot.run();
            assert!(slots.enter().is_none());
        }
    }
}
