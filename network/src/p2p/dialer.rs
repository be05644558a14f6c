//! Whom to call, and when: named peers for as long as the node runs, found ones while there is room. Pure: the time is an argument.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

/// How many peers are known at most; who is named always is.
const TARGETS_MAX: usize = 1024;
/// How many addresses of one peer are known at most.
const ADDRESSES_MAX: usize = 16;
/// The first pause after a call in vain; each further one doubles it.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause before a static peer is called again.
const PAUSE_STATIC: Duration = Duration::from_secs(15);
/// The longest pause before anyone else is.
const PAUSE_MAX: Duration = Duration::from_secs(120);
/// A found peer that was called in vain so often is forgotten.
const FAILURES_MAX: u32 = 6;
/// How long a connection must have stood for not being one in vain: whoever does not want us ends it within a second or so.
const STOOD_MIN: Duration = Duration::from_secs(5);
/// How many calls are made at one time.
const CALLS_AT_ONCE: usize = 8;

/// Says why a peer is called; the greater reason stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// Others know it, or it was a peer before.
    Found,
    /// It tells about others; called while there are no peers.
    Boot,
    /// The operator wants it connected.
    Static,
}

#[derive(Debug)]
struct Target {
    addresses: Vec<Multiaddr>,
    reason: Reason,
    failures: u32,
    next: Instant,
    /// Since when it is connected.
    since: Option<Instant>,
}

/// Says how many peers there are and may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Peers now.
    pub(crate) peers: usize,
    /// How many the node looks for.
    pub(crate) wanted: usize,
}

/// Knows whom to call.
#[derive(Debug, Default)]
pub(crate) struct Dialer {
    targets: HashMap<PeerId, Target>,
}

impl Dialer {
    /// Notes a peer and an address of it.
    pub(crate) fn add(&mut self, peer: PeerId, address: Multiaddr, reason: Reason, now: Instant) {
        if !self.targets.contains_key(&peer) && reason == Reason::Found && self.targets.len() >= TARGETS_MAX {
            return;
        }
        let target = Target { addresses: Vec::new(), reason, failures: 0, next: now, since: None };
        let target = self.targets.entry(peer).or_insert(target);
        target.reason = target.reason.max(reason);
        if reason != Reason::Found {
            target.next = now;
        }
        if target.addresses.contains(&address) {
            return;
        }
        target.addresses.insert(0, address);
        target.addresses.truncate(ADDRESSES_MAX);
    }

    /// Forgets a peer; tells whether it was named by the operator.
    pub(crate) fn remove(&mut self, peer: &PeerId) -> bool {
        self.targets.remove(peer).is_some_and(|target| target.reason == Reason::Static)
    }

    /// Tells why a peer is called, where it is.
    pub(crate) fn reason(&self, peer: &PeerId) -> Option<Reason> {
        self.targets.get(peer).map(|target| target.reason)
    }

    /// Returns the addresses of a peer, the newest first.
    pub(crate) fn addresses(&self, peer: &PeerId) -> impl Iterator<Item = &Multiaddr> {
        self.targets.get(peer).into_iter().flat_map(|target| &target.addresses)
    }

    /// Notes that a peer is connected.
    pub(crate) fn connected(&mut self, peer: &PeerId, now: Instant) {
        if let Some(target) = self.targets.get_mut(peer) {
            target.since.get_or_insert(now);
        }
    }

    /// Notes that a peer is connected no longer. Where the connection has not stood for long, the call was in vain.
    pub(crate) fn disconnected(&mut self, peer: &PeerId, now: Instant) {
        let Some(target) = self.targets.get_mut(peer) else { return };
        let Some(since) = target.since.take() else { return };
        if now.saturating_duration_since(since) < STOOD_MIN {
            return self.failed(peer, now);
        }
        (target.failures, target.next) = (0, now + PAUSE_FIRST);
    }

    /// Notes that a call was in vain.
    pub(crate) fn failed(&mut self, peer: &PeerId, now: Instant) {
        let Some(target) = self.targets.get_mut(peer) else { return };
        target.failures = target.failures.saturating_add(1);
        let longest = if target.reason == Reason::Static { PAUSE_STATIC } else { PAUSE_MAX };
        let pause = PAUSE_FIRST.saturating_mul(1 << (target.failures - 1).min(10)).min(longest);
        target.next = now + pause;
        if target.reason == Reason::Found && target.failures >= FAILURES_MAX {
            self.targets.remove(peer);
        }
    }

    /// Returns whom to call now, with their addresses, and takes it that they are called.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        connected: &HashSet<PeerId>,
        room: Room,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut due: Vec<_> = self
            .targets
            .iter()
            .filter(|(peer, target)| target.next <= now && !connected.contains(peer))
            .filter(|(_, target)| match target.reason {
                Reason::Static => true,
                Reason::Boot => room.peers == 0,
                Reason::Found => room.peers < room.wanted,
            })
            .map(|(peer, target)| (target.reason, target.failures, *peer))
            .collect();
        due.sort_by_key(|(reason, failures, peer)| (std::cmp::Reverse(*reason), *failures, *peer));
        due.truncate(CALLS_AT_ONCE);
        let mut calls = Vec::with_capacity(due.len());
        for (_, _, peer) in due {
            let Some(target) = self.targets.get_mut(&peer) else { continue };
            // Until the call is known to have failed or not, at the latest after the transport's time-out.
            target.next = now + Duration::from_secs(12);
            calls.push((peer, target.addresses.clone()));
        }
        calls
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FREE: Room = Room { peers: 0, wanted: 4 };
    const FULL: Room = Room { peers: 4, wanted: 4 };

    fn address() -> Multiaddr {
        "/ip4/10.0.0.1/tcp/1".parse().unwrap()
    }

    fn called(dialer: &mut Dialer, now: Instant, connected: &[PeerId], room: Room) -> Vec<PeerId> {
        let connected = connected.iter().copied().collect();
        dialer.due(now, &connected, room).into_iter().map(|(peer, _)| peer).collect()
    }

    #[test]
    fn named_peers_are_called_always_and_others_while_there_is_room() {
        let (named, boot, found, now) = (PeerId::random(), PeerId::random(), PeerId::random(), Instant::now());
        let dialer = || {
            let mut dialer = Dialer::default();
            for (peer, reason) in [(found, Reason::Found), (boot, Reason::Boot), (named, Reason::Static)] {
                dialer.add(peer, address(), reason, now);
            }
            dialer
        };
        assert_eq!(called(&mut dialer(), now, &[], FREE), [named, boot, found]);
        assert_eq!(called(&mut dialer(), now, &[], FULL), [named]);
        assert_eq!(called(&mut dialer(), now, &[named], Room { peers: 1, wanted: 4 }), [found]);
    }

    #[test]
    fn calls_in_vain_come_at_growing_intervals() {
        let (peer, mut now) = (PeerId::random(), Instant::now());
        let mut dialer = Dialer::default();
        dialer.add(peer, address(), Reason::Static, now);
        for seconds in [1, 2, 4, 8, 15, 15, 15, 15] {
            assert_eq!(called(&mut dialer, now, &[], FULL), [peer]);
            assert_eq!(called(&mut dialer, now, &[], FULL), [], "not twice at a time");
            dialer.failed(&peer, now);
            assert_eq!(called(&mut dialer, now + Duration::from_millis(seconds * 1000 - 1), &[], FULL), []);
            now += Duration::from_secs(seconds);
        }
        dialer.connected(&peer, now);
        now += STOOD_MIN;
        dialer.disconnected(&peer, now);
        assert_eq!(called(&mut dialer, now + Duration::from_secs(1), &[], FULL), [peer], "a lost one is called soon");
    }

    #[test]
    fn who_ends_the_connection_soon_is_called_at_growing_intervals_too() {
        let (peer, mut now) = (PeerId::random(), Instant::now());
        let mut dialer = Dialer::default();
        dialer.add(peer, address(), Reason::Static, now);
        for seconds in [1, 2, 4, 8, 15, 15] {
            assert_eq!(called(&mut dialer, now, &[], FULL), [peer]);
            dialer.connected(&peer, now);
            // A second connection gives no further time.
            dialer.connected(&peer, now);
            now += STOOD_MIN - Duration::from_secs(1);
            dialer.disconnected(&peer, now);
            assert_eq!(called(&mut dialer, now + Duration::from_millis(seconds * 1000 - 1), &[], FULL), []);
            now += Duration::from_secs(seconds);
        }
        // Whoever was found alone is forgotten in the end.
        let found = PeerId::random();
        dialer.add(found, address(), Reason::Found, now);
        for _ in 0..FAILURES_MAX {
            dialer.connected(&found, now);
            dialer.disconnected(&found, now);
        }
        assert_eq!(dialer.reason(&found), None);
    }

    #[test]
    fn who_was_found_and_never_answers_is_forgotten_and_the_list_is_bounded() {
        let (peer, now) = (PeerId::random(), Instant::now());
        let mut dialer = Dialer::default();
        dialer.add(peer, address(), Reason::Found, now);
        for _ in 0..FAILURES_MAX {
            dialer.failed(&peer, now);
        }
        assert_eq!(dialer.reason(&peer), None);
        for _ in 0..2 * TARGETS_MAX {
            dialer.add(PeerId::random(), address(), Reason::Found, now);
        }
        assert_eq!(dialer.targets.len(), TARGETS_MAX);
        dialer.add(peer, address(), Reason::Static, now);
        assert_eq!(dialer.reason(&peer), Some(Reason::Static));
        assert!(dialer.remove(&peer) && !dialer.remove(&peer));
    }
}
