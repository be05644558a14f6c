//! Who is connected and has not shown yet that it is a node: whoever says nothing, or is no node, keeps its place for a while only.
//! Pure: the time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::PeerId;

/// How long whoever is connected may say nothing at all.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How long whoever has said that it is no node may stay: a boot node closes a connection of which nobody makes use a little sooner.
const VISIT_MAX: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug)]
struct Visitor {
    since: Instant,
    has_spoken: bool,
}

/// Somebody whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overdue {
    /// Who it is.
    pub(super) peer: PeerId,
    /// Whether it has said who it is.
    pub(super) has_spoken: bool,
}

/// Knows who is connected and is no peer.
#[derive(Debug, Default)]
pub(super) struct Visitors {
    visitors: HashMap<PeerId, Visitor>,
}

impl Visitors {
    /// Notes somebody who is connected; a further connection gives no further time.
    pub(super) fn arrived(&mut self, peer: PeerId, now: Instant) {
        self.visitors.entry(peer).or_insert(Visitor { since: now, has_spoken: false });
    }

    /// Notes that somebody has said who it is, and that it is no node.
    pub(super) fn has_spoken(&mut self, peer: &PeerId) {
        if let Some(visitor) = self.visitors.get_mut(peer) {
            visitor.has_spoken = true;
        }
    }

    /// Forgets somebody who has become a peer or is gone; tells whether it had said that it is no node.
    pub(super) fn forget(&mut self, peer: &PeerId) -> bool {
        self.visitors.remove(peer).is_some_and(|visitor| visitor.has_spoken)
    }

    /// Takes those whose time is over.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Overdue> {
        let is_over = |_: &PeerId, visitor: &mut Visitor| {
            let time = if visitor.has_spoken { VISIT_MAX } else { SILENCE_MAX };
            now.saturating_duration_since(visitor.since) >= time
        };
        let over = self.visitors.extract_if(is_over);
        over.map(|(peer, visitor)| Overdue { peer, has_spoken: visitor.has_spoken }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says who must go after so many seconds of those who arrive at once, of whom the second one has said who it is.
    fn check(seconds: u64, further: impl FnOnce(&mut Visitors, &[PeerId; 2], Instant), expected: &[usize]) {
        let (mut visitors, begun) = (Visitors::default(), Instant::now());
        let peers = [PeerId::random(), PeerId::random()];
        peers.iter().for_each(|peer| visitors.arrived(*peer, begun));
        visitors.has_spoken(&peers[1]);
        let now = begun + Duration::from_secs(seconds);
        further(&mut visitors, &peers, now);
        let mut over: Vec<usize> = Vec::new();
        for overdue in visitors.overdue(now) {
            let index = usize::from(overdue.peer == peers[1]);
            assert_eq!(overdue.has_spoken, index == 1);
            over.push(index);
        }
        over.sort_unstable();
        assert_eq!(over, expected, "after {seconds} s");
        assert_eq!(visitors.overdue(now), [], "nobody is told twice");
    }

    #[test]
    fn the_silent_go_soon_and_guests_later() {
        check(14, |_, _, _| {}, &[]);
        check(15, |_, _, _| {}, &[0]);
        check(89, |_, _, _| {}, &[0]);
        check(90, |_, _, _| {}, &[0, 1]);
    }

    #[test]
    fn a_further_connection_or_saying_the_same_again_gives_no_further_time() {
        check(15, |visitors, peers, now| visitors.arrived(peers[0], now), &[0]);
        check(90, |visitors, peers, _| visitors.has_spoken(&peers[1]), &[0, 1]);
    }

    #[test]
    fn peers_and_those_who_left_are_no_visitors() {
        // The second one has said that it is no node.
        let forget = |visitors: &mut Visitors, peers: &[PeerId; 2]| peers.map(|peer| visitors.forget(&peer));
        check(90, |visitors, peers, _| assert_eq!(forget(visitors, peers), [false, true]), &[]);
    }
}
