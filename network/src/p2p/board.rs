//! What the network's task tells the rest of the node: who is connected, who was refused and why, and some counts. Read by
//! JSON-RPC, metrics and logs without asking the task.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use libp2p::{Multiaddr, PeerId};
use parking_lot::Mutex;

use crate::message::Status;

/// How many refused peers are remembered.
const REFUSED_MAX: usize = 64;

/// A connected peer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Who it is.
    pub id: PeerId,
    /// Where it is.
    pub address: Multiaddr,
    /// Our end of the connection.
    pub local: Multiaddr,
    /// What it calls itself.
    pub agent: String,
    /// Whether it called us.
    pub is_inbound: bool,
    /// What it says of its chain; none: it has not introduced itself yet, or is no node.
    pub status: Option<Status>,
    /// Its clock minus ours, in milliseconds.
    pub clock_offset_ms: i64,
    /// Points of blame.
    pub points: u32,
    /// Round trip, in milliseconds.
    pub latency_ms: Option<u64>,
}

/// A peer that was refused, refused us, or could not be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPeer {
    /// Who it is, where that is known.
    pub id: Option<PeerId>,
    /// Where it is.
    pub address: String,
    /// What it calls itself; empty where it did not come to that.
    pub agent: String,
    /// Why.
    pub reason: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// What a reason for which a peer is refused rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// The peer ended it and said nothing.
    Guess,
    /// What a call or a visit came to.
    Attempt,
    /// The two have talked, and this was found.
    Finding,
}

/// Counts what happened since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Gossip messages that came: new ones, those that were known, and those of peers that are being parted from.
    pub gossip_in: AtomicU64,
    /// Gossip messages that we published.
    pub gossip_out: AtomicU64,
    /// Gossip messages that were invalid.
    pub gossip_rejected: AtomicU64,
    /// Requests that came.
    pub requests_in: AtomicU64,
    /// Requests that we sent.
    pub requests_out: AtomicU64,
    /// Requests of ours that failed.
    pub requests_failed: AtomicU64,
    /// Bytes of gossip and requests that came.
    pub bytes_in: AtomicU64,
    /// Bytes of gossip and requests that we sent.
    pub bytes_out: AtomicU64,
    /// Offences of peers.
    pub offences: AtomicU64,
    /// Peers that were cut off.
    pub parted: AtomicU64,
    /// Alarms for the operator.
    pub alarms: AtomicU64,
    /// Facts of the ledger that came faster than they were taken.
    pub facts_lost: AtomicU64,
    /// Blocks of peers that were imported.
    pub import_blocks: AtomicU64,
    /// Gas used by them.
    pub import_gas: AtomicU64,
    /// Time that their imports took, in microseconds.
    pub import_micros: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, amount: usize) {
        counter.fetch_add(u64::try_from(amount).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// How far the node is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Where it began to catch up.
    pub starting: u64,
    /// The highest block that it follows.
    pub highest: u64,
}

/// What the network's task tells the rest of the node.
#[derive(Debug, Default)]
pub struct Board {
    state: Mutex<State>,
    /// The counts.
    pub counters: Counters,
}

#[derive(Debug, Default)]
struct State {
    peers: BTreeMap<PeerId, Peer>,
    refused: VecDeque<(RefusedPeer, Ground)>,
    listening: Vec<Multiaddr>,
    external: Vec<Multiaddr>,
    behind: Option<Behind>,
    alarm: Option<String>,
}

impl Board {
    /// Returns the connected peers that are nodes, by peer id.
    pub fn peers(&self) -> Vec<Peer> {
        self.state.lock().peers.values().filter(|peer| peer.status.is_some()).cloned().collect()
    }

    /// Returns how many peers have introduced themselves.
    pub fn peer_count(&self) -> usize {
        self.state.lock().peers.values().filter(|peer| peer.status.is_some()).count()
    }

    /// Returns who was refused of late, the newest first.
    pub fn refused(&self) -> Vec<RefusedPeer> {
        self.state.lock().refused.iter().rev().map(|(refused, _)| refused.clone()).collect()
    }

    /// Returns the addresses under which others reach the node: those that it was told first, then those that it listens on.
    pub fn addresses(&self) -> Vec<Multiaddr> {
        let state = self.state.lock();
        state.external.iter().chain(&state.listening).cloned().collect()
    }

    /// Tells whether the node listens.
    pub fn is_listening(&self) -> bool {
        !self.state.lock().listening.is_empty()
    }

    /// Returns how far the node is behind, where it is.
    pub fn behind(&self) -> Option<Behind> {
        self.state.lock().behind
    }

    /// Returns the highest block that a peer says it has.
    pub fn best_known(&self) -> Option<u64> {
        let state = self.state.lock();
        state.peers.values().filter_map(|peer| peer.status.as_ref()).map(|status| status.head_number).max()
    }

    /// Returns the median of the peers' clocks minus ours, in milliseconds; none without peers.
    pub fn clock_offset_ms(&self) -> Option<i64> {
        let state = self.state.lock();
        let welcome = state.peers.values().filter(|peer| peer.status.is_some());
        let mut offsets: Vec<i64> = welcome.map(|peer| peer.clock_offset_ms).collect();
        offsets.sort_unstable();
        offsets.get(offsets.len() / 2).copied()
    }

    /// Returns the last alarm.
    pub fn alarm(&self) -> Option<String> {
        self.state.lock().alarm.clone()
    }

    pub(crate) fn set_external(&self, external: Vec<Multiaddr>) {
        self.state.lock().external = external;
    }

    pub(crate) fn listens(&self, address: Multiaddr) {
        let mut state = self.state.lock();
        if !state.listening.contains(&address) {
            state.listening.push(address);
        }
    }

    pub(crate) fn listens_no_longer(&self, address: &Multiaddr) {
        self.state.lock().listening.retain(|known| known != address);
    }

    pub(crate) fn set_behind(&self, behind: Option<Behind>) {
        self.state.lock().behind = behind;
    }

    pub(crate) fn raise_alarm(&self, text: String) {
        Counters::add(&self.counters.alarms, 1);
        self.state.lock().alarm = Some(text);
    }

    pub(crate) fn connected(&self, peer: Peer) {
        self.state.lock().peers.entry(peer.id).or_insert(peer);
    }

    pub(crate) fn disconnected(&self, peer: &PeerId) -> Option<Peer> {
        self.state.lock().peers.remove(peer)
    }

    /// Changes what is known of a connected peer.
    pub(crate) fn with_peer<T>(&self, peer: &PeerId, change: impl FnOnce(&mut Peer) -> T) -> Option<T> {
        self.state.lock().peers.get_mut(peer).map(change)
    }

    /// Notes a peer that introduced itself, with its clock minus ours in milliseconds; tells whether that is new.
    pub(crate) fn welcome(&self, peer: &PeerId, status: Status, clock_offset_ms: i64) -> bool {
        let mut state = self.state.lock();
        state.refused.retain(|(refused, _)| refused.id != Some(*peer));
        let Some(known) = state.peers.get_mut(peer) else { return false };
        known.clock_offset_ms = clock_offset_ms;
        known.status.replace(status).is_none()
    }

    /// Notes a peer with which was talked and that is refused for what was found; tells whether the reason is news.
    pub(crate) fn refuse(&self, refused: RefusedPeer) -> bool {
        self.note(refused, Ground::Finding)
    }

    /// Notes a peer that was refused, refused us, or could not be reached; tells whether the reason is news. What was found stays where
    /// there is only a guess: a peer that was told why it is refused just closes the next connection.
    pub(crate) fn note(&self, mut refused: RefusedPeer, mut ground: Ground) -> bool {
        let mut state = self.state.lock();
        let same = |(known, _): &(RefusedPeer, Ground)| {
            known.id == refused.id && (known.id.is_some() || known.address == refused.address)
        };
        let old = state.refused.iter().position(same).and_then(|index| state.refused.remove(index));
        if let Some((old, Ground::Finding)) = old.as_ref().filter(|_| ground == Ground::Guess) {
            (refused.reason, refused.agent, ground) = (old.reason.clone(), old.agent.clone(), Ground::Finding);
        }
        let is_news = old.is_none_or(|(old, _)| old.reason != refused.reason);
        state.refused.push_back((refused, ground));
        if state.refused.len() > REFUSED_MAX {
            state.refused.pop_front();
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(id: Option<PeerId>, reason: &str) -> RefusedPeer {
        RefusedPeer { id, address: "a".to_owned(), agent: String::new(), reason: reason.to_owned(), at_ms: 0 }
    }

    #[test]
    fn a_refusal_is_news_once_and_the_list_is_bounded() {
        let (board, peer) = (Board::default(), PeerId::random());
        assert!(board.refuse(refused(Some(peer), "genesis hash")));
        assert!(!board.refuse(refused(Some(peer), "genesis hash")));
        assert!(board.refuse(refused(Some(peer), "clock")));
        assert_eq!(board.refused(), [refused(Some(peer), "clock")]);
        for _ in 0..2 * REFUSED_MAX {
            board.refuse(refused(Some(PeerId::random()), "x"));
        }
        assert_eq!(board.refused().len(), REFUSED_MAX);
    }

    #[test]
    fn a_guess_takes_nothing_from_what_was_found() {
        let (board, peer) = (Board::default(), PeerId::random());
        let note = |reason: &str, ground: Ground| board.note(refused(Some(peer), reason), ground);
        let now = || board.refused().remove(0).reason;
        assert!(note("it closed", Ground::Guess));
        assert!(board.refuse(refused(Some(peer), "genesis hash")));
        assert!(!note("it closed", Ground::Guess) && !note("it closed", Ground::Guess));
        assert_eq!(now(), "genesis hash");
        assert!(note("connection refused", Ground::Attempt), "it is not even there any more");
        assert!(note("it closed", Ground::Guess));
        assert_eq!(now(), "it closed");
    }
}
