//! What happens in the swarm.

use std::io::ErrorKind;
use std::sync::atomic::Ordering;
use std::time::Instant;

use libp2p::core::ConnectedPoint;
use libp2p::gossipsub::{MessageAcceptance, MessageId};
use libp2p::request_response::{self, InboundFailure, InboundRequestId, Message, OutboundFailure};
use libp2p::swarm::{DialError, ListenError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, gossipsub, identify, kad, mdns, ping};
use tracing::{debug, info, warn};

use super::answers::End;
use super::reasons::{self, Cause};
use super::{Shell, ShellError};
use crate::machine::{Event, RequestFailure};
use crate::message::Buffer;
use crate::message::limits::AGENT_BYTES_MAX;
use crate::p2p::address::{ip_of, without_peer};
use crate::p2p::behaviour::{NodeBehaviourEvent, note_addresses, usable};
use crate::p2p::board::{Counters, Ground, Peer, RefusedPeer};
use crate::p2p::dialer::Reason;
use crate::p2p::exchange::{PROTOCOL, Parcel};
use crate::p2p::handle::PeerChange;
use crate::p2p::names::gossip_id;

/// How many pings in a row are lost on a connection, beside the first, before it is closed: that is about a minute and a half, in which a
/// slow line would have brought one.
const PINGS_LOST_MAX: u32 = 3;

impl Shell {
    /// Takes what happened in the swarm.
    pub(super) fn on_swarm_event(&mut self, event: SwarmEvent<NodeBehaviourEvent>) -> Result<(), ShellError> {
        match event {
            SwarmEvent::Behaviour(event) => return self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => self.on_established(peer_id, &endpoint),
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, cause, .. } => {
                self.pings_lost.remove(&connection_id);
                if num_established > 0 {
                    return Ok(());
                }
                let cause = cause.map_or_else(|| "closed".to_owned(), |cause| cause.to_string());
                return self.on_closed(peer_id, cause);
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => self.on_call_failed(peer, &error),
            SwarmEvent::IncomingConnectionError { peer_id, send_back_addr, error, .. } => {
                self.on_visit_failed(peer_id, &send_back_addr, error);
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                info!(address = %format!("{address}/p2p/{}", self.swarm.local_peer_id()), "others reach this node at");
                self.board.listens(address);
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => self.board.listens_no_longer(&address),
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                warn!(?addresses, ?reason, "the node listens there no longer");
                addresses.iter().for_each(|address| self.board.listens_no_longer(address));
            }
            SwarmEvent::ListenerError { error, .. } => debug!(%error, "a connection cannot be accepted"),
            _ => {}
        }
        Ok(())
    }

    fn on_behaviour_event(&mut self, event: NodeBehaviourEvent) -> Result<(), ShellError> {
        match event {
            NodeBehaviourEvent::Gossip(gossipsub::Event::Message { propagation_source, message_id, message }) => {
                self.on_gossip(propagation_source, &message_id, message)
            }
            NodeBehaviourEvent::Exchange(event) => self.on_exchange(event),
            NodeBehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_identified(peer_id, info)
            }
            NodeBehaviourEvent::Ping(event) => {
                self.on_ping(event);
                Ok(())
            }
            NodeBehaviourEvent::Kademlia(kad::Event::RoutingUpdated { peer, addresses, .. }) => {
                self.on_found(peer, addresses.iter().cloned().collect());
                Ok(())
            }
            NodeBehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    debug!(%peer, %address, "found on the local network");
                    if let Some(kademlia) = self.swarm.behaviour_mut().kademlia.as_mut() {
                        note_addresses(kademlia, peer, vec![address.clone()]);
                    }
                    self.on_found(peer, vec![address]);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn on_ping(&mut self, event: ping::Event) {
        let ping::Event { peer, connection, result } = event;
        match result {
            Ok(round_trip) => {
                self.pings_lost.remove(&connection);
                let latency = u64::try_from(round_trip.as_millis()).ok();
                self.board.with_peer(&peer, |known| known.latency_ms = latency);
            }
            // It answers what it knows.
            Err(ping::Failure::Unsupported) => {}
            Err(error) => {
                let lost = self.pings_lost.entry(connection).or_default();
                *lost += 1;
                debug!(%peer, %error, lost, "a ping is lost");
                if *lost >= PINGS_LOST_MAX {
                    // It may be gone already.
                    let _ = self.swarm.close_connection(connection);
                }
            }
        }
    }

    fn on_found(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        let now = Instant::now();
        for address in addresses {
            let address = without_peer(address);
            self.dialer.add(peer, address, Reason::Found, now);
        }
    }

    fn on_established(&mut self, peer: PeerId, endpoint: &ConnectedPoint) {
        let (local, address) = match endpoint {
            ConnectedPoint::Dialer { address, .. } => (Multiaddr::empty(), address.clone()),
            ConnectedPoint::Listener { local_addr, send_back_addr } => (local_addr.clone(), send_back_addr.clone()),
        };
        debug!(%peer, %address, "connected");
        if self.parting.get(&peer).is_some_and(|parting| parting.at.is_none()) {
            // It is back before it was gone.
            self.parting.remove(&peer);
            self.swarm.behaviour_mut().gossip.remove_blacklisted_peer(&peer);
        }
        if !self.announced.contains(&peer) {
            self.visitors.arrived(peer, Instant::now());
        }
        self.dialer.connected(&peer, Instant::now());
        self.board.connected(Peer {
            id: peer,
            address: without_peer(address),
            local,
            agent: String::new(),
            is_inbound: endpoint.is_listener(),
            status: None,
            clock_offset_ms: 0,
            points: 0,
            latency_ms: None,
        });
    }

    fn on_closed(&mut self, peer: PeerId, cause: String) -> Result<(), ShellError> {
        debug!(%peer, cause, "disconnected");
        let is_ours = self.parting.remove(&peer).is_some();
        let is_no_node = self.visitors.forget(&peer);
        self.answers.forget(&peer);
        self.dialer.disconnected(&peer, Instant::now());
        self.swarm.behaviour_mut().gossip.remove_blacklisted_peer(&peer);
        let known = self.board.disconnected(&peer);
        if let Some(known) = known.filter(|known| known.status.is_some()) {
            info!(%peer, cause, peers = self.board.peer_count(), "a peer has gone");
            // Nobody may listen.
            let _ = self.changes.send(PeerChange { peer, address: known.address.to_string(), gone: Some(cause) });
        } else if !is_ours && !is_no_node && self.dialer.reason(&peer) >= Some(Reason::Boot) {
            let me = self.swarm.local_peer_id();
            let text = format!("it closed the connection at once: it may not list this node, {me}, or have no room");
            self.not_reached(peer, Cause { text, is_guess: true });
        }
        if self.announced.remove(&peer) {
            let peer = self.numbers.of(peer, &self.announced);
            return self.handle(Event::Disconnected { peer });
        }
        Ok(())
    }

    /// Tells the machine of a peer, once: when it is known to speak the protocol.
    fn announce(&mut self, peer: PeerId) -> Result<(), ShellError> {
        if self.parting.contains_key(&peer) || !self.announced.insert(peer) {
            return Ok(());
        }
        self.visitors.forget(&peer);
        let is_reserved =
            self.swarm.behaviour().gate.is_trusted(&peer) || self.dialer.reason(&peer) == Some(Reason::Static);
        let peer = self.numbers.of(peer, &self.announced);
        self.handle(Event::Connected { peer, is_reserved })
    }

    fn on_identified(&mut self, peer: PeerId, info: identify::Info) -> Result<(), ShellError> {
        let connected_at = self.board.with_peer(&peer, |known| {
            known.agent = plain_name(&info.agent_version);
            known.address.clone()
        });
        let Some(connected_at) = connected_at else { return Ok(()) };
        if self.config.discover {
            let told = usable(info.listen_addrs, &connected_at);
            if let Some(kademlia) = self.swarm.behaviour_mut().kademlia.as_mut() {
                note_addresses(kademlia, peer, told.clone());
            }
            self.on_found(peer, told);
        }
        if info.protocols.contains(&PROTOCOL) {
            return self.announce(peer);
        }
        self.visitors.has_spoken(&peer);
        Ok(())
    }

    fn on_gossip(&mut self, source: PeerId, name: &MessageId, message: gossipsub::Message) -> Result<(), ShellError> {
        let wanted = (self.names.topic(message.topic.as_str()), gossip_id(name), self.parting.contains_key(&source));
        let (Some(topic), Some(id), false) = wanted else {
            // What has no verdict would be kept until it is too old.
            let gossip = &mut self.swarm.behaviour_mut().gossip;
            gossip.report_message_validation_result(name, &source, MessageAcceptance::Ignore);
            return Ok(());
        };
        self.announce(source)?;
        let peer = self.numbers.of(source, &self.announced);
        self.handle(Event::Gossip { peer, id, topic, data: message.data })
    }

    fn on_exchange(&mut self, event: request_response::Event<Parcel, Parcel>) -> Result<(), ShellError> {
        match event {
            request_response::Event::Message {
                peer,
                message: Message::Request { request_id, request, channel },
                ..
            } => {
                Counters::add(&self.board.counters.requests_in, 1);
                // Its room is held until the machine has decoded it.
                let Parcel { bytes: request, room: _room } = request;
                Counters::add(&self.board.counters.bytes_in, request.len());
                if self.parting.contains_key(&peer) {
                    return Ok(());
                }
                self.announce(peer)?;
                let inbound = self.answers.asked(peer, request_id, request.len(), channel);
                let peer = self.numbers.of(peer, &self.announced);
                self.handle(Event::Request { peer, inbound, data: request })
            }
            request_response::Event::Message { message: Message::Response { request_id, response }, .. } => {
                let Parcel { bytes: response, room: _room } = response;
                Counters::add(&self.board.counters.bytes_in, response.len());
                self.on_answered(request_id, Ok(response))
            }
            request_response::Event::OutboundFailure { request_id, error, .. } => {
                self.board.counters.requests_failed.fetch_add(1, Ordering::Relaxed);
                self.on_answered(request_id, Err(failure_of(error)))
            }
            request_response::Event::InboundFailure { peer, request_id, error, .. } => {
                debug!(%peer, %error, "a peer's request came to nothing");
                // One that took longer than it may was at least being read.
                let is_left = matches!(&error, InboundFailure::Io(error) if error.kind() == ErrorKind::TimedOut);
                self.on_answer_ended(&request_id, if is_left { End::Left } else { End::Lost });
                Ok(())
            }
            request_response::Event::ResponseSent { request_id, .. } => {
                self.on_answer_ended(&request_id, End::Read);
                Ok(())
            }
        }
    }

    fn on_answer_ended(&mut self, request: &InboundRequestId, end: End) {
        if let Some(peer) = self.answers.ended(request, end) {
            self.part_from_unreading(peer);
        }
        self.serve_waiting();
    }

    fn on_answered(
        &mut self,
        id: request_response::OutboundRequestId,
        result: Result<Buffer, RequestFailure>,
    ) -> Result<(), ShellError> {
        let Some((peer, request)) = self.asked.remove(&id) else { return Ok(()) };
        self.handle(Event::Response { peer, request, result })
    }

    pub(super) fn on_call_failed(&mut self, peer: PeerId, error: &DialError) {
        if matches!(error, DialError::DialPeerConditionFalse(_)) {
            return;
        }
        self.dialer.failed(&peer, Instant::now());
        let cause = reasons::of_call(error, self.config.swarm_key);
        debug!(%peer, reason = cause.text, "a call was in vain");
        // Whom the operator named is told of; others come and go.
        if self.dialer.reason(&peer) >= Some(Reason::Boot) {
            self.not_reached(peer, cause);
        }
    }

    /// Notes a peer that could not be reached or turned us away, and tells it when that is news.
    pub(super) fn refused_by(&mut self, peer: PeerId, reason: String) {
        self.not_reached(peer, Cause { text: reason, is_guess: false });
    }

    fn not_reached(&mut self, peer: PeerId, Cause { text: reason, is_guess }: Cause) {
        let address = self.dialer.addresses(&peer).next().map(ToString::to_string).unwrap_or_default();
        let at_ms = self.now_ms();
        let refused = RefusedPeer { id: Some(peer), address, agent: String::new(), reason, at_ms };
        let (address, reason) = (refused.address.clone(), refused.reason.clone());
        let ground = if is_guess { Ground::Guess } else { Ground::Attempt };
        if self.board.note(refused, ground) {
            warn!(%peer, address, reason, "no connection to a peer");
        }
    }

    fn on_visit_failed(&mut self, peer: Option<PeerId>, from: &Multiaddr, error: ListenError) {
        match reasons::of_visit(&error, from, self.config.swarm_key) {
            Some(cause) => self.turned_away(peer, from, cause),
            None => debug!(%from, %error, "a visitor went before it said anything"),
        }
    }

    /// Notes somebody who came and was turned away, and tells it when that is news.
    pub(super) fn refused_visit(&mut self, peer: Option<PeerId>, from: &Multiaddr, reason: String) {
        self.turned_away(peer, from, Cause { text: reason, is_guess: false });
    }

    fn turned_away(&mut self, peer: Option<PeerId>, from: &Multiaddr, cause: Cause) {
        let Cause { text: reason, is_guess } = cause;
        // Each visit comes from another port.
        let address = ip_of(from).map_or_else(|| from.to_string(), |ip| ip.to_string());
        let at_ms = self.now_ms();
        let refused =
            RefusedPeer { id: peer, address: address.clone(), agent: String::new(), reason: reason.clone(), at_ms };
        let ground = if is_guess { Ground::Guess } else { Ground::Attempt };
        if self.board.note(refused, ground) {
            let peer = peer.map(|peer| peer.to_string());
            warn!(peer, address, reason, "refused a connection");
        }
    }
}

fn failure_of(error: OutboundFailure) -> RequestFailure {
    match error {
        OutboundFailure::Timeout => RequestFailure::Timeout,
        OutboundFailure::DialFailure | OutboundFailure::ConnectionClosed => RequestFailure::Disconnected,
        OutboundFailure::UnsupportedProtocols => RequestFailure::Unsupported,
        OutboundFailure::Io(error) => RequestFailure::Io(error.to_string()),
    }
}

/// How much of a text that a peer has a part in is shown: several rules with both sides' values.
const SHOWN_CHARS_MAX: usize = 4096;

/// Returns a text in which something stands that a peer has said, as it may be shown: without what a terminal would obey, or show in
/// another order.
pub(super) fn plain(text: &str) -> String {
    let is_plain = |char: &char| {
        !char.is_control()
            && !matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(is_plain).take(SHOWN_CHARS_MAX).collect()
}

/// Returns what a peer calls itself as it may be shown.
pub(super) fn plain_name(agent: &str) -> String {
    plain(agent).chars().take(AGENT_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_peers_say_is_shown_without_what_a_terminal_obeys() {
        for (said, shown) in [
            ("Drawbridge/näme/日本", "Drawbridge/näme/日本"),
            ("config.\u{1b}[2Jx\r\n: ours 1, theirs \u{7}2", "config.[2Jx: ours 1, theirs 2"),
            ("\u{9b}31ma\u{202e}b\u{2066}c\u{200b}", "31mabc"),
        ] {
            assert_eq!(plain(said), shown);
        }
        assert_eq!(plain(&"a".repeat(10_000)).len(), SHOWN_CHARS_MAX);
    }
}
