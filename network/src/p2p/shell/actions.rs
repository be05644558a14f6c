//! What the machine wants done.

use std::time::{Duration, Instant};

use libp2p::gossipsub::{IdentTopic, MessageAcceptance, MessageId, PublishError};
use libp2p::request_response::ResponseChannel;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};
use tracing::{debug, error, info, warn};

use super::answers::Delivery;
use super::events::{plain, plain_name};
use super::work::{Import, Internal, run_job, serve_request};
use super::{PARTING, Parting, Shell, ShellError};
use crate::machine::limits::{BAN_MS, MISMATCH_BAN_MS};
use crate::machine::{self, Action, Event, InboundId, RequestFailure, Verdict};
use crate::message::{GossipId, Request, Response, Status, Topic};
use crate::p2p::board::{Counters, RefusedPeer};
use crate::p2p::exchange::Parcel;
use crate::p2p::handle::PeerChange;

impl Shell {
    /// Does one thing that the machine wants.
    pub(super) fn perform(&mut self, action: Action) -> Result<(), ShellError> {
        match action {
            Action::Send { peer, request, message } => self.send(peer, request, &message),
            Action::Respond { inbound, response, .. } => self.answer(inbound, response.encode()),
            Action::Serve { inbound, message, .. } => self.serve(inbound, *message),
            Action::Publish { topic, data } => self.publish(topic, data),
            Action::Verdict { peer, id, verdict } => self.judge(peer, id, verdict),
            Action::Import(block) => self.import(Import::Block(block))?,
            Action::Adopt(snapshot) => {
                info!(number = snapshot.block().number(), "starting from the state at this block");
                self.import(Import::Snapshot(snapshot))?;
            }
            Action::Run(job) => run_job(job, self.ledger.clone(), self.clock_ms, self.results.clone()),
            Action::Welcome { peer, status } => self.welcome(peer, *status),
            Action::Punish { peer, offence, detail, points } => {
                let Some(peer) = self.numbers.peer(peer) else { return Ok(()) };
                let detail = plain(&detail);
                info!(%peer, ?offence, detail, points, "a peer misbehaves");
                Counters::add(&self.board.counters.offences, 1);
                self.score(peer, points);
            }
            Action::Disconnect { peer, reason, ban_ms, agent } => {
                self.part(peer, reason, Duration::from_millis(ban_ms), agent);
            }
            Action::Alarm(alarm) => {
                error!(%alarm, "ALARM");
                self.board.raise_alarm(alarm.to_string());
            }
            Action::WakeAt(at) => self.wake_ms = Some(self.wake_ms.map_or(at, |known| known.min(at))),
        }
        Ok(())
    }

    fn import(&self, import: Import) -> Result<(), ShellError> {
        if self.importer.import(import) { Ok(()) } else { Err(ShellError::Worker("import thread")) }
    }

    fn send(&mut self, peer: machine::PeerId, request: machine::RequestId, message: &Request) {
        let target = self.numbers.peer(peer).filter(|target| self.swarm.is_connected(target));
        let Some(target) = target else {
            let result = Err(RequestFailure::Disconnected);
            let event = Internal::Event(Event::Response { peer, request, result });
            let results = self.results.clone();
            tokio::spawn(async move {
                // The task may have ended meanwhile.
                let _ = results.send(event).await;
            });
            return;
        };
        let bytes = message.encode();
        Counters::add(&self.board.counters.requests_out, 1);
        Counters::add(&self.board.counters.bytes_out, bytes.len());
        let id = self.swarm.behaviour_mut().exchange.send_request(&target, bytes.into());
        self.asked.insert(id, (peer, request));
    }

    /// Writes the answer that the machine gives to a peer's request.
    fn answer(&mut self, inbound: InboundId, bytes: Vec<u8>) {
        let delivery = self.answers.given(inbound, bytes.len());
        self.deliver(delivery, bytes);
    }

    /// Writes the answer that was made to a peer's request, and begins to make the next one.
    pub(super) fn on_served(&mut self, inbound: InboundId, bytes: Vec<u8>) {
        let delivery = self.answers.made(inbound, bytes.len());
        self.deliver(delivery, bytes);
        self.serve_waiting();
    }

    fn deliver(&mut self, delivery: Delivery<ResponseChannel<Parcel>>, bytes: Vec<u8>) {
        let (channel, bytes) = match delivery {
            Delivery::Write(channel) => (channel, bytes),
            Delivery::NoRoom(channel) => (channel, refusal("read first what was answered before")),
            Delivery::Gone => return,
        };
        Counters::add(&self.board.counters.bytes_out, bytes.len());
        // The peer may be gone, and then nobody reads.
        let _ = self.swarm.behaviour_mut().exchange.send_response(channel, bytes.into());
    }

    fn serve(&mut self, inbound: InboundId, message: Request) {
        if self.answers.wait(inbound, message) {
            self.serve_waiting();
        } else {
            self.answer(inbound, refusal("too many requests at a time"));
        }
    }

    /// Answers from the store what waits for it, as far as there is room.
    pub(super) fn serve_waiting(&mut self) {
        while let Some((inbound, message)) = self.answers.start() {
            let (ledger, results) = (self.ledger.clone(), self.results.clone());
            tokio::spawn(async move {
                let served = tokio::task::spawn_blocking(move || serve_request(&ledger, inbound, &message)).await;
                // Its place must be free again.
                let served = served.unwrap_or_else(|_| Internal::Served(inbound, refusal("an error of this node")));
                // The task may have ended meanwhile.
                let _ = results.send(served).await;
            });
        }
    }

    /// Parts from a peer that leaves unread what it asks for.
    pub(super) fn part_from_unreading(&mut self, peer: PeerId) {
        let known = self.board.with_peer(&peer, |known| (known.address.to_string(), known.agent.clone()));
        let (address, agent) = known.unwrap_or_default();
        let reason = "it does not read the answers that it asks for".to_owned();
        Counters::add(&self.board.counters.parted, 1);
        let at_ms = self.now_ms();
        let refused = RefusedPeer { id: Some(peer), address: address.clone(), agent, reason: reason.clone(), at_ms };
        if self.board.refuse(refused) {
            warn!(%peer, address, reason, "parted from a peer");
        }
        let parting = Parting { at: Some(Instant::now()), ban: Duration::from_millis(MISMATCH_BAN_MS), reason };
        self.parting.entry(peer).or_insert(parting);
    }

    fn publish(&mut self, topic: Topic, data: Vec<u8>) {
        let Some((_, name)) = self.names.topics().iter().find(|(known, _)| *known == topic) else { return };
        let (topic, bytes) = (IdentTopic::new(name), data.len());
        match self.swarm.behaviour_mut().gossip.publish(topic, data) {
            Ok(_) => {
                Counters::add(&self.board.counters.gossip_out, 1);
                Counters::add(&self.board.counters.bytes_out, bytes);
            }
            Err(PublishError::NoPeersSubscribedToTopic | PublishError::Duplicate) => {}
            Err(error) => debug!(%error, "a message cannot be published"),
        }
    }

    fn judge(&mut self, peer: machine::PeerId, id: GossipId, verdict: Verdict) {
        let Some(peer) = self.numbers.peer(peer) else { return };
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Reject => MessageAcceptance::Reject,
            Verdict::Ignore => MessageAcceptance::Ignore,
        };
        if verdict == Verdict::Reject {
            Counters::add(&self.board.counters.gossip_rejected, 1);
            self.names.reject(id);
        }
        let id = MessageId::from(id.0.to_vec());
        self.swarm.behaviour_mut().gossip.report_message_validation_result(&id, &peer, acceptance);
    }

    fn welcome(&mut self, number: machine::PeerId, status: Status) {
        let Some(peer) = self.numbers.peer(number) else { return };
        let (agent, head) = (plain_name(&status.agent), status.head_number);
        let offset_ms = self.machine.peer(number, self.now_ms()).map_or(0, |(_, offset_ms, _)| offset_ms);
        if self.board.welcome(&peer, status, offset_ms) {
            let address = self.board.with_peer(&peer, |known| known.address.to_string()).unwrap_or_default();
            info!(%peer, address, agent, head, peers = self.board.peer_count(), "a peer has come");
            // Nobody may listen.
            let _ = self.changes.send(PeerChange { peer, address, gone: None });
        }
    }

    /// Parts from a peer: what was answered is still written, and then its connections are closed.
    fn part(&mut self, peer: machine::PeerId, reason: String, ban: Duration, agent: String) {
        let Some(peer) = self.numbers.peer(peer) else { return };
        self.announced.remove(&peer);
        // What it still sends is not even looked at.
        self.swarm.behaviour_mut().gossip.blacklist_peer(&peer);
        let known = self.board.with_peer(&peer, |known| {
            known.status = None;
            (known.address.to_string(), known.agent.clone())
        });
        let (address, identified) = known.unwrap_or_default();
        // Rules that differ are told by the names that the peer gives them.
        let reason = plain(&reason);
        // The status names it at once; what `identify` brings may come too late.
        let agent = if agent.is_empty() { identified } else { plain_name(&agent) };
        Counters::add(&self.board.counters.parted, 1);
        let refused = RefusedPeer { id: Some(peer), address: address.clone(), agent, reason, at_ms: self.now_ms() };
        let reason = refused.reason.clone();
        if self.board.refuse(refused) {
            warn!(%peer, address, reason, "parted from a peer");
        }
        let _ = self.changes.send(PeerChange { peer, address, gone: Some(reason.clone()) });
        // Whoever is kept out for long needs no answer.
        let patience = if ban >= Duration::from_millis(BAN_MS) { Duration::ZERO } else { PARTING };
        self.parting.insert(peer, Parting { at: Some(Instant::now() + patience), ban, reason });
    }

    /// Calls a peer.
    pub(super) fn call(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        if addresses.is_empty() {
            self.dialer.failed(&peer, Instant::now());
            return self.refused_by(peer, "its name cannot be looked up".to_owned());
        }
        let options = DialOpts::peer_id(peer).condition(PeerCondition::DisconnectedAndNotDialing);
        // Why a call fails is told by an event, save where this node itself does not make it.
        if let Err(error) = self.swarm.dial(options.addresses(addresses).build()) {
            self.on_call_failed(peer, &error);
        }
    }
}

/// Returns the answer by which a request is refused.
fn refusal(reason: &str) -> Vec<u8> {
    Response::Refused(reason.to_owned()).encode()
}
