//! The peers: who is connected, what each has said of itself, its share of our attention, and what it is blamed for.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};

use super::action::Offence;
use super::event::PeerId;
use super::limits::{
    ANNOUNCEMENT_BURST, ANNOUNCEMENTS_PER_SECOND, OLD_BLOCK_BURST, OLD_BLOCKS_PER_SECOND, REFUSALS_MAX, REQUEST_BURST,
    REQUESTS_PER_PEER_MAX, REQUESTS_PER_SECOND, SCORE_DECAY_MS, SCORE_MAX,
};
use crate::message::Status;

/// How many identities that are not connected are remembered with their blame.
const REMEMBERED_MAX: usize = 1024;

/// Counts a peer's points of blame, which fade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blame {
    points: u32,
    at_ms: u64,
}

impl Blame {
    /// Returns the points that are left at `now_ms`.
    pub(crate) fn points(self, now_ms: u64) -> u32 {
        let faded = u32::try_from(now_ms.saturating_sub(self.at_ms) / SCORE_DECAY_MS).unwrap_or(u32::MAX);
        self.points.saturating_sub(faded)
    }

    fn add(&mut self, points: u32, now_ms: u64) -> u32 {
        *self = Self { points: self.points(now_ms).saturating_add(points), at_ms: now_ms };
        self.points
    }
}

/// Says whether a request of a peer is answered, or an announcement read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// It is.
    Granted,
    /// The peer has used its share up.
    Exceeded,
    /// It has done so for long enough to be blamed.
    Flooding,
}

/// Counts what a peer may still have of something: so much at once, and so much a second in the long run.
#[derive(Debug)]
struct Allowance {
    burst: u64,
    per_second: u64,
    /// What is left, in thousandths.
    left: u64,
    at_ms: u64,
    refusals: u64,
    /// For how many refusals one that is granted makes up.
    makes_up: u64,
}

impl Allowance {
    /// Of what the peer passes on for others, who may be many: it is blamed for refusals in a row.
    fn of_passing(burst: u64, per_second: u64, now_ms: u64) -> Self {
        Self { burst, per_second, left: burst * 1000, at_ms: now_ms, refusals: 0, makes_up: u64::MAX }
    }

    /// Of what the peer does by itself, and is told of a refusal: it is blamed where more is refused than granted.
    fn of_asking(burst: u64, per_second: u64, now_ms: u64) -> Self {
        Self { makes_up: 1, ..Self::of_passing(burst, per_second, now_ms) }
    }

    fn take(&mut self, now_ms: u64) -> Share {
        let gained = now_ms.saturating_sub(self.at_ms).saturating_mul(self.per_second);
        self.left = self.left.saturating_add(gained).min(self.burst * 1000);
        self.at_ms = now_ms;
        if let Some(left) = self.left.checked_sub(1000) {
            (self.left, self.refusals) = (left, self.refusals.saturating_sub(self.makes_up));
            return Share::Granted;
        }
        self.refusals += 1;
        if self.refusals < REFUSALS_MAX {
            return Share::Exceeded;
        }
        self.refusals = 0;
        Share::Flooding
    }
}

/// Holds what is known of a connected peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) is_reserved: bool,
    pub(crate) connected_at: u64,
    /// What the peer says of itself; `None` until it has introduced itself.
    pub(crate) status: Option<Box<Status>>,
    /// What it calls itself, whether its status fits ours or not; empty until it has introduced itself.
    pub(crate) agent: String,
    /// Its clock minus ours.
    pub(crate) clock_offset_ms: i64,
    /// When it was last asked for its status.
    pub(crate) status_asked_at: u64,
    /// When it was last asked what is in its pool.
    pub(crate) pool_asked_at: u64,
    /// Requests of ours that it has not answered.
    pub(crate) in_flight: usize,
    /// How many requests in a row it has not answered in time.
    pub(crate) unanswered: u32,
    /// How often in a row it was asked for its chain in vain.
    pub(crate) failed_syncs: u32,
    /// How often what is asked of it at once is halved, since its answers do not come in time.
    pub(crate) caution: u32,
    /// Gossip that came before it had introduced itself.
    pub(crate) gossip_unread: u32,
    /// A head of its whose branch we refuse.
    pub(crate) refused_head: Option<B256>,
    /// Until when it is not asked for sync, having failed to answer.
    pub(crate) rests_until: u64,
    requests: Allowance,
    announcements: Allowance,
    old_blocks: Allowance,
}

impl Peer {
    fn new(is_reserved: bool, now_ms: u64) -> Self {
        Self {
            is_reserved,
            connected_at: now_ms,
            status: None,
            agent: String::new(),
            clock_offset_ms: 0,
            status_asked_at: now_ms,
            pool_asked_at: 0,
            in_flight: 0,
            unanswered: 0,
            failed_syncs: 0,
            caution: 0,
            gossip_unread: 0,
            refused_head: None,
            rests_until: 0,
            requests: Allowance::of_asking(REQUEST_BURST, REQUESTS_PER_SECOND, now_ms),
            announcements: Allowance::of_passing(ANNOUNCEMENT_BURST, ANNOUNCEMENTS_PER_SECOND, now_ms),
            old_blocks: Allowance::of_passing(OLD_BLOCK_BURST, OLD_BLOCKS_PER_SECOND, now_ms),
        }
    }

    /// Takes the share of one request.
    pub(crate) fn take_share(&mut self, now_ms: u64) -> Share {
        self.requests.take(now_ms)
    }

    /// Takes the share of one announcement of transactions.
    pub(crate) fn take_announcement(&mut self, now_ms: u64) -> Share {
        self.announcements.take(now_ms)
    }

    /// Takes the share of one announcement of a block that is old news.
    pub(crate) fn take_old_block(&mut self, now_ms: u64) -> Share {
        self.old_blocks.take(now_ms)
    }

    /// Tells whether the peer can be asked something more.
    pub(crate) fn has_room(&self) -> bool {
        self.status.is_some() && self.in_flight < REQUESTS_PER_PEER_MAX
    }

    /// Returns the total difficulty that the peer claims.
    pub(crate) fn claimed_work(&self) -> U256 {
        self.status.as_ref().map_or(U256::ZERO, |status| status.total_difficulty)
    }
}

/// Holds the peers, connected and remembered.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    connected: BTreeMap<PeerId, Peer>,
    blame: BTreeMap<PeerId, Blame>,
    banned: BTreeMap<PeerId, u64>,
}

impl Peers {
    /// Adds a connected peer.
    pub(crate) fn connect(&mut self, peer: PeerId, is_reserved: bool, now_ms: u64) {
        self.connected.insert(peer, Peer::new(is_reserved, now_ms));
    }

    /// Forgets a connected peer, but not what it is blamed for.
    pub(crate) fn disconnect(&mut self, peer: PeerId) -> Option<Peer> {
        self.connected.remove(&peer)
    }

    /// Returns a connected peer.
    pub(crate) fn get(&self, peer: PeerId) -> Option<&Peer> {
        self.connected.get(&peer)
    }

    /// Returns a connected peer to be changed.
    pub(crate) fn get_mut(&mut self, peer: PeerId) -> Option<&mut Peer> {
        self.connected.get_mut(&peer)
    }

    /// Walks the connected peers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.connected.iter().map(|(id, peer)| (*id, peer))
    }

    /// Walks the peers that have introduced themselves.
    pub(crate) fn welcome(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.iter().filter(|(_, peer)| peer.status.is_some())
    }

    /// Tells whether a peer is connected and has introduced itself.
    pub(crate) fn is_welcome(&self, peer: PeerId) -> bool {
        self.get(peer).is_some_and(|peer| peer.status.is_some())
    }

    /// Counts the connected peers that are not reserved.
    pub(crate) fn ordinary_count(&self) -> usize {
        self.connected.values().filter(|peer| !peer.is_reserved).count()
    }

    /// Adds to a peer's blame and returns its points.
    pub(crate) fn blame(&mut self, peer: PeerId, offence: Offence, now_ms: u64) -> u32 {
        if self.blame.len() >= REMEMBERED_MAX && !self.blame.contains_key(&peer) {
            self.blame.retain(|_, blame| blame.points(now_ms) > 0);
            if self.blame.len() >= REMEMBERED_MAX {
                self.blame.pop_first();
            }
        }
        let blame = self.blame.entry(peer).or_default();
        let room = offence.points_max().saturating_sub(blame.points(now_ms));
        blame.add(offence.weight().min(room), now_ms)
    }

    /// Returns a peer's points.
    pub(crate) fn points(&self, peer: PeerId, now_ms: u64) -> u32 {
        self.blame.get(&peer).map_or(0, |blame| blame.points(now_ms))
    }

    /// Keeps a peer out until `until_ms`.
    pub(crate) fn ban(&mut self, peer: PeerId, until_ms: u64, now_ms: u64) {
        self.banned.retain(|_, until| *until > now_ms);
        if self.banned.len() >= REMEMBERED_MAX {
            self.banned.pop_first();
        }
        self.banned.insert(peer, until_ms);
        // It has paid for what it did, and starts anew when it comes back.
        self.blame.remove(&peer);
    }

    /// Forgets what a peer is blamed for, and that it is kept out.
    pub(crate) fn pardon(&mut self, peer: PeerId) {
        self.blame.remove(&peer);
        self.banned.remove(&peer);
    }

    /// Returns until when a peer is kept out, where it is.
    pub(crate) fn banned_until(&self, peer: PeerId, now_ms: u64) -> Option<u64> {
        self.banned.get(&peer).copied().filter(|until| *until > now_ms)
    }
}

/// Tells whether so many points cut a peer off.
pub(crate) fn is_cut_off(points: u32) -> bool {
    points >= SCORE_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blame_adds_up_and_fades() {
        let mut peers = Peers::default();
        assert_eq!(peers.blame(PeerId(1), Offence::PassedInvalidBlock, 0), 10);
        assert_eq!(peers.blame(PeerId(1), Offence::PassedInvalidBlock, 4 * SCORE_DECAY_MS), 16);
        assert_eq!(peers.points(PeerId(1), 100 * SCORE_DECAY_MS), 0);
        assert!(is_cut_off(peers.blame(PeerId(2), Offence::Malformed, 0)));
    }

    #[test]
    fn who_is_pardoned_starts_anew() {
        let mut peers = Peers::default();
        peers.ban(PeerId(1), 1000, 0);
        peers.blame(PeerId(2), Offence::Flood, 0);
        for peer in [PeerId(1), PeerId(2)] {
            peers.pardon(peer);
            assert_eq!((peers.banned_until(peer, 1), peers.points(peer, 0)), (None, 0));
        }
    }

    #[test]
    fn what_is_remembered_of_strangers_is_bounded() {
        let mut peers = Peers::default();
        let count = u64::try_from(REMEMBERED_MAX).unwrap() * 2;
        for peer in 0..count {
            peers.blame(PeerId(peer), Offence::PassedInvalidBlock, 0);
            peers.ban(PeerId(peer + count), 10, 0);
        }
        assert_eq!((peers.blame.len(), peers.banned.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
    }

    #[test]
    fn a_peer_that_asks_more_than_its_share_is_refused_and_then_blamed() {
        let mut peer = Peer::new(false, 0);
        let granted = (0..REQUEST_BURST).all(|_| peer.take_share(0) == Share::Granted);
        assert!(granted);
        let refused = (1..REFUSALS_MAX).all(|_| peer.take_share(0) == Share::Exceeded);
        assert!(refused);
        assert_eq!(peer.take_share(0), Share::Flooding);
        // A second later it has the share of a second.
        let granted = (0..REQUESTS_PER_SECOND).all(|_| peer.take_share(1000) == Share::Granted);
        assert!(granted);
        assert_eq!(peer.take_share(1000), Share::Exceeded);
    }

    #[test]
    fn a_peer_that_goes_on_asking_is_blamed_though_some_of_it_is_granted() {
        // So many a second, for a minute: when is it blamed first?
        let blamed_after = |each_second: u64, take: fn(&mut Peer, u64) -> Share| {
            let mut peer = Peer::new(false, 0);
            (0..60 * each_second)
                .map(|turn| turn * 1000 / each_second)
                .find(|at| take(&mut peer, *at) == Share::Flooding)
        };
        assert_eq!(blamed_after(REQUESTS_PER_SECOND, Peer::take_share), None);
        assert_eq!(blamed_after(REQUESTS_PER_SECOND * 3 / 2, Peer::take_share), None);
        assert!(blamed_after(REQUESTS_PER_SECOND * 4, Peer::take_share).is_some_and(|at| at < 3000));
        // What many others have said comes through one peer where a node has no more, and it cannot help that.
        assert_eq!(blamed_after(ANNOUNCEMENTS_PER_SECOND * 8, Peer::take_announcement), None);
        assert!(blamed_after(ANNOUNCEMENTS_PER_SECOND * 80, Peer::take_announcement).is_some());
    }
}
