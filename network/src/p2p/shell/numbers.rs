//! The numbers by which the machine knows peers: one for each identity, the same over reconnections.

use std::collections::{BTreeMap, HashMap, HashSet};

use libp2p::PeerId;

use crate::machine;

/// How many identities have a number; those that are gone longest lose theirs.
const IDENTITIES_MAX: usize = 8192;

/// Gives numbers to peers.
#[derive(Default)]
pub(super) struct Numbers {
    by_peer: HashMap<PeerId, u64>,
    by_number: BTreeMap<u64, PeerId>,
    next: u64,
}

impl Numbers {
    /// Returns a peer's number; a new one where it has none. `kept` keep theirs.
    pub(super) fn of(&mut self, peer: PeerId, kept: &HashSet<PeerId>) -> machine::PeerId {
        if let Some(number) = self.by_peer.get(&peer) {
            return machine::PeerId(*number);
        }
        if self.by_peer.len() >= IDENTITIES_MAX
            && let Some((number, old)) = self.by_number.iter().find(|(_, peer)| !kept.contains(peer))
        {
            let (number, old) = (*number, *old);
            self.by_number.remove(&number);
            self.by_peer.remove(&old);
        }
        let number = self.next;
        self.next += 1;
        self.by_peer.insert(peer, number);
        self.by_number.insert(number, peer);
        machine::PeerId(number)
    }

    /// Returns a peer's number, where it has one.
    pub(super) fn known(&self, peer: &PeerId) -> Option<machine::PeerId> {
        self.by_peer.get(peer).copied().map(machine::PeerId)
    }

    /// Returns whose number it is.
    pub(super) fn peer(&self, number: machine::PeerId) -> Option<PeerId> {
        self.by_number.get(&number.0).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_keeps_its_number_and_the_list_is_bounded() {
        let (mut numbers, first) = (Numbers::default(), PeerId::random());
        let kept = HashSet::from([first]);
        let number = numbers.of(first, &kept);
        for _ in 0..IDENTITIES_MAX + 10 {
            numbers.of(PeerId::random(), &kept);
        }
        assert_eq!(numbers.of(first, &kept), number);
        assert_eq!((numbers.peer(number), numbers.known(&first)), (Some(first), Some(number)));
        assert_eq!(numbers.known(&PeerId::random()), None);
        assert_eq!((numbers.by_peer.len(), numbers.by_number.len()), (IDENTITIES_MAX, IDENTITIES_MAX));
    }
}
