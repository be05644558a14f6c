//! Who may be connected: the allow-list, the peers that were cut off, and how many at a time, in all and from one address.
//!
//! Refusing here is cheap: before the handshake by address, after it by peer id, and no protocol is spoken with the refused.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::address::ip_of;

/// How many peers are remembered as cut off; the one that is free soonest makes room.
const BANS_MAX: usize = 1024;
/// How many connections of one origin may be half open: begun, and who is there is not known yet. Honest ones are so for moments, and come
/// again where they were refused; one origin alone cannot take all the room that there is for them ([`HALF_OPEN_MAX`]).
const HALF_OPEN_PER_ORIGIN_MAX: usize = 8;
/// How many connections that others have begun may be half open in all: a few kilobytes each.
pub(crate) const HALF_OPEN_MAX: u32 = 256;

/// Says why a connection was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is an allow-list, and the peer is not on it.
    #[error("{0} is not on the allow-list")]
    NotAllowed(PeerId),
    /// The peer misbehaved.
    #[error("{peer} is cut off for a while: {reason}")]
    Banned {
        /// The peer.
        peer: PeerId,
        /// Seconds left.
        left_s: u64,
        /// What it did.
        reason: String,
    },
    /// The address has enough connections.
    #[error("{address} has {limit} connections already (--p2p.maxperip)")]
    Address {
        /// The address.
        address: IpAddr,
        /// The limit.
        limit: usize,
    },
    /// The address begins connections and does not finish them.
    #[error("{address} has begun {limit} connections that are not finished")]
    HalfOpen {
        /// The address.
        address: IpAddr,
        /// The limit.
        limit: usize,
    },
    /// All places are taken.
    #[error("all {limit} places for peers are taken (--maxpeers)")]
    Full {
        /// The limit.
        limit: usize,
    },
}

/// Holds the limits of a [`Gate`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct GateLimits {
    /// The most peers at a time; trusted ones come on top.
    pub(crate) peers_max: usize,
    /// The most connections from one address.
    pub(crate) per_address_max: usize,
}

#[derive(Debug)]
struct Ban {
    until: Instant,
    reason: String,
}

/// A connection that stands.
#[derive(Debug)]
struct Standing {
    peer: PeerId,
    /// Where it came from; none: we called.
    from: Option<IpAddr>,
}

/// Decides about connections; part of the swarm.
pub(crate) struct Gate {
    limits: GateLimits,
    allowed: Option<HashSet<PeerId>>,
    trusted: HashSet<PeerId>,
    bans: HashMap<PeerId, Ban>,
    /// Where the connections come from that are half open.
    half_open: HashMap<ConnectionId, IpAddr>,
    standing: HashMap<ConnectionId, Standing>,
    closing: VecDeque<PeerId>,
}

impl Gate {
    /// Makes a gate; without an allow-list everyone is welcome.
    pub(crate) fn new(limits: GateLimits, allowed: Option<HashSet<PeerId>>, trusted: HashSet<PeerId>) -> Self {
        let (bans, half_open, standing) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { limits, allowed, trusted, bans, half_open, standing, closing: VecDeque::new() }
    }

    /// Replaces the allow-list, and closes the connections of those who are not on it.
    pub(crate) fn allow_only(&mut self, allowed: Option<HashSet<PeerId>>) {
        self.allowed = allowed;
        let connected: HashSet<PeerId> = self.standing.values().map(|standing| standing.peer).collect();
        let strangers: Vec<PeerId> = connected.into_iter().filter(|peer| !self.is_allowed(peer)).collect();
        self.closing.extend(strangers);
    }

    /// Lets a peer in whatever the number of peers, or no longer.
    pub(crate) fn set_trusted(&mut self, peer: PeerId, trusted: bool) {
        if trusted {
            self.trusted.insert(peer);
        } else {
            self.trusted.remove(&peer);
        }
    }

    /// Tells whether a peer may come whatever the number of peers.
    pub(crate) fn is_trusted(&self, peer: &PeerId) -> bool {
        self.trusted.contains(peer)
    }

    /// Closes a peer's connections and refuses it for a while.
    pub(crate) fn ban(&mut self, peer: PeerId, duration: Duration, reason: String, now: Instant) {
        self.bans.retain(|_, ban| ban.until > now);
        if self.bans.len() >= BANS_MAX
            && let Some(first) = self.bans.iter().min_by_key(|(_, ban)| ban.until).map(|(peer, _)| *peer)
        {
            self.bans.remove(&first);
        }
        self.bans.insert(peer, Ban { until: now + duration, reason });
        self.closing.push_back(peer);
    }

    /// Forgets what a peer did.
    pub(crate) fn pardon(&mut self, peer: &PeerId) {
        self.bans.remove(peer);
    }

    /// Tells whether a peer may be called or may come now.
    pub(crate) fn check_peer(&self, peer: &PeerId, now: Instant) -> Result<(), Refused> {
        if !self.is_allowed(peer) {
            return Err(Refused::NotAllowed(*peer));
        }
        match self.bans.get(peer).and_then(|ban| Some((ban, ban.until.checked_duration_since(now)?))) {
            Some((ban, left)) if !left.is_zero() => {
                Err(Refused::Banned { peer: *peer, left_s: left.as_secs().max(1), reason: ban.reason.clone() })
            }
            _ => Ok(()),
        }
    }

    fn is_allowed(&self, peer: &PeerId) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(peer))
    }

    fn check_room(&self, peer: &PeerId) -> Result<(), Refused> {
        let limit = self.limits.peers_max;
        let others: HashSet<&PeerId> =
            self.standing.values().map(|standing| &standing.peer).filter(|other| !self.is_trusted(other)).collect();
        if self.is_trusted(peer) || others.contains(peer) || others.len() < limit {
            return Ok(());
        }
        Err(Refused::Full { limit })
    }

    fn check_address(&self, address: IpAddr) -> Result<(), Refused> {
        let limit = self.limits.per_address_max;
        let here = self.standing.values().filter(|standing| standing.from == Some(address)).count();
        if here < limit { Ok(()) } else { Err(Refused::Address { address, limit }) }
    }

    fn check_half_open(&self, address: IpAddr) -> Result<(), Refused> {
        let (limit, origin) = (HALF_OPEN_PER_ORIGIN_MAX, origin(address));
        let here = self.half_open.values().filter(|other| **other == origin).count();
        if here < limit { Ok(()) } else { Err(Refused::HalfOpen { address, limit }) }
    }

    fn enter(&mut self, id: ConnectionId, peer: PeerId, from: Option<IpAddr>) -> Result<(), ConnectionDenied> {
        self.check_peer(&peer, Instant::now()).and_then(|()| self.check_room(&peer)).map_err(ConnectionDenied::new)?;
        // Other parts of the swarm may still refuse; then the swarm tells that the listening or calling failed.
        self.standing.insert(id, Standing { peer, from });
        Ok(())
    }
}

/// Returns what stands for all addresses that one machine is likely to have: those of a /64 network of IPv6 (RFC 4291, section 2.5.4).
fn origin(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => address.into(),
            None => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        },
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let Some(address) = ip_of(remote) else { return Ok(()) };
        self.check_address(address).and_then(|()| self.check_half_open(address)).map_err(ConnectionDenied::new)?;
        // Where another part of the swarm refuses, the swarm tells that the listening failed.
        self.half_open.insert(id, origin(address));
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.half_open.remove(&id);
        let from = ip_of(remote);
        if let Some(address) = from.filter(|_| !self.is_trusted(&peer)) {
            self.check_address(address).map_err(ConnectionDenied::new)?;
        }
        self.enter(id, peer, from).map(|()| dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let checked = peer.map_or(Ok(()), |peer| self.check_peer(&peer, Instant::now()));
        checked.map(|()| Vec::new()).map_err(ConnectionDenied::new)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.enter(id, peer, None).map(|()| dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let gone = match event {
            FromSwarm::ConnectionClosed(closed) => closed.connection_id,
            FromSwarm::DialFailure(failed) => failed.connection_id,
            FromSwarm::ListenFailure(failed) => failed.connection_id,
            _ => return,
        };
        self.half_open.remove(&gone);
        self.standing.remove(&gone);
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        match self.closing.pop_front() {
            Some(peer_id) => Poll::Ready(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::All }),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use libp2p::swarm::{ListenError, ListenFailure};

    use super::*;

    const LIMITS: GateLimits = GateLimits { peers_max: 2, per_address_max: 3 };

    fn gate(allowed: Option<Vec<PeerId>>, trusted: Vec<PeerId>) -> Gate {
        Gate::new(LIMITS, allowed.map(|peers| peers.into_iter().collect()), trusted.into_iter().collect())
    }

    fn arrive(gate: &mut Gate, id: usize, peer: PeerId, from: [u8; 4]) -> Result<(), Refused> {
        let remote: Multiaddr = Multiaddr::from(std::net::Ipv4Addr::from(from));
        let id = ConnectionId::new_unchecked(id);
        let local = Multiaddr::empty();
        let entered = gate
            .handle_pending_inbound_connection(id, &local, &remote)
            .and_then(|()| gate.handle_established_inbound_connection(id, peer, &local, &remote));
        entered.map(drop).map_err(|denied| denied.downcast::<Refused>().expect("the gate's own reason"))
    }

    #[test]
    fn only_listed_peers_come_where_there_is_a_list() {
        let (listed, stranger) = (PeerId::random(), PeerId::random());
        let mut gate = gate(Some(vec![listed]), vec![]);
        assert_eq!(arrive(&mut gate, 1, listed, [10, 0, 0, 1]), Ok(()));
        assert_eq!(arrive(&mut gate, 2, stranger, [10, 0, 0, 2]), Err(Refused::NotAllowed(stranger)));
        gate.allow_only(Some(HashSet::from([stranger])));
        assert_eq!(gate.closing, [listed], "whoever leaves the list is cut off at once");
        assert_eq!(arrive(&mut gate, 3, stranger, [10, 0, 0, 2]), Ok(()));
    }

    #[test]
    fn places_are_limited_but_not_for_trusted_peers() {
        let peers: Vec<_> = (0..4).map(|_| PeerId::random()).collect();
        let mut gate = gate(None, vec![peers[3]]);
        assert_eq!(arrive(&mut gate, 0, peers[0], [10, 0, 0, 1]), Ok(()));
        assert_eq!(arrive(&mut gate, 1, peers[1], [10, 0, 0, 2]), Ok(()));
        assert_eq!(arrive(&mut gate, 2, peers[2], [10, 0, 0, 3]), Err(Refused::Full { limit: 2 }));
        assert_eq!(arrive(&mut gate, 3, peers[0], [10, 0, 0, 1]), Ok(()), "a second connection takes no second place");
        assert_eq!(arrive(&mut gate, 4, peers[3], [10, 0, 0, 4]), Ok(()));
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let mut gate = gate(None, vec![]);
        gate.limits.peers_max = 100;
        for id in 0..3 {
            assert_eq!(arrive(&mut gate, id, PeerId::random(), [10, 0, 0, 1]), Ok(()));
        }
        let refused = arrive(&mut gate, 3, PeerId::random(), [10, 0, 0, 1]);
        assert_eq!(refused, Err(Refused::Address { address: [10, 0, 0, 1].into(), limit: 3 }));
        assert_eq!(arrive(&mut gate, 4, PeerId::random(), [10, 0, 0, 2]), Ok(()));
    }

    fn begin(gate: &mut Gate, id: usize, from: &str) -> Result<(), Refused> {
        let remote = Multiaddr::from(from.parse::<IpAddr>().expect("an address"));
        let begun =
            gate.handle_pending_inbound_connection(ConnectionId::new_unchecked(id), &Multiaddr::empty(), &remote);
        begun.map_err(|denied| denied.downcast::<Refused>().expect("the gate's own reason"))
    }

    fn fail(gate: &mut Gate, id: usize) {
        let (address, error) = (Multiaddr::empty(), ListenError::Aborted);
        gate.on_swarm_event(FromSwarm::ListenFailure(ListenFailure {
            local_addr: &address,
            send_back_addr: &address,
            error: &error,
            connection_id: ConnectionId::new_unchecked(id),
            peer_id: None,
        }));
    }

    #[test]
    fn one_origin_cannot_take_all_the_room_for_beginnings() {
        for (first, others, elsewhere) in [
            ("10.0.0.1", ["10.0.0.1", "::ffff:10.0.0.1"], "10.0.0.2"),
            ("2001:db8::1", ["2001:db8::1", "2001:db8:0:0:ffff::2"], "2001:db8:0:1::1"),
        ] {
            let mut gate = gate(None, vec![]);
            for id in 0..HALF_OPEN_PER_ORIGIN_MAX {
                assert_eq!(begin(&mut gate, id, first), Ok(()));
            }
            for other in others {
                let refused = Refused::HalfOpen { address: other.parse().expect("an address"), limit: 8 };
                assert_eq!(begin(&mut gate, 100, other), Err(refused));
            }
            assert_eq!(begin(&mut gate, 101, elsewhere), Ok(()));
            // Whoever gives up, or comes in, makes room.
            fail(&mut gate, 0);
            assert_eq!(begin(&mut gate, 102, first), Ok(()));
        }
    }

    #[test]
    fn who_has_come_in_is_no_longer_half_open() {
        let mut gate = gate(None, vec![]);
        gate.limits = GateLimits { peers_max: 100, per_address_max: 100 };
        for id in 0..2 * HALF_OPEN_PER_ORIGIN_MAX {
            assert_eq!(arrive(&mut gate, id, PeerId::random(), [10, 0, 0, 1]), Ok(()));
        }
        // Nor is whoever was refused when it was known.
        gate.limits.peers_max = 0;
        for id in 100..100 + 2 * HALF_OPEN_PER_ORIGIN_MAX {
            let refused = arrive(&mut gate, id, PeerId::random(), [10, 0, 0, 1]);
            assert_eq!(refused, Err(Refused::Full { limit: 0 }));
        }
        assert_eq!(gate.half_open.len(), 0);
    }

    #[test]
    fn who_was_cut_off_stays_away_for_its_time() {
        let (peer, now) = (PeerId::random(), Instant::now());
        let mut gate = gate(None, vec![]);
        gate.ban(peer, Duration::from_secs(60), "sent an invalid block".into(), now);
        let refused = gate.check_peer(&peer, now + Duration::from_secs(30)).unwrap_err();
        assert_eq!(refused, Refused::Banned { peer, left_s: 30, reason: "sent an invalid block".into() });
        assert_eq!(gate.check_peer(&peer, now + Duration::from_secs(61)), Ok(()));
        gate.pardon(&peer);
        assert_eq!(gate.check_peer(&peer, now), Ok(()));
        for _ in 0..2 * BANS_MAX {
            gate.ban(PeerId::random(), Duration::from_secs(60), String::new(), now);
        }
        assert_eq!(gate.bans.len(), BANS_MAX);
    }
}
