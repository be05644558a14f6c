//! The network's core: what a node does about its peers, as a pure machine. Events go in, actions come out; the time and the
//! randomness are arguments, and there is no socket, no clock and no thread. The shell and a simulation run the same machine.
//!
//! The machine reads the ledger (its view and its pool) and never writes to it: imports and jobs are actions.

mod action;
mod blocks;
mod bounded;
mod config;
mod event;
mod fork_id;
mod handshake;
mod job;
pub mod limits;
mod orphans;
mod peers;
mod requests;
mod rules;
pub mod serve;
mod snapshot;
mod sync;
mod transactions;
pub mod verify;

use std::sync::Arc;

use chain::{ChainView, LedgerHandle, ViewError};
use rand::Rng;

pub use action::{Action, Alarm, Offence, Verdict};
pub use config::MachineConfig;
pub use event::{Event, InboundId, PeerId, RequestFailure, RequestId};
pub use job::{Job, JobResult, Piece, Rebuild, RebuildFault};
pub use limits::{SCORE_MAX, TICK_MS};
pub use rules::rules_of;
pub use sync::Progress;

use crate::message::{Buffer, DecodeError, Gossip, GossipId, Request, Response, Status, Topic};
use blocks::Blocks;
pub(crate) use bounded::Seen;
use fork_id::Forks;
use limits::{
    ALARMS_MAX, BAN_MS, CLOCK_WARN_MS, HANDSHAKE_MS, MISMATCH_BAN_MS, STATUS_MS, STRANGER_GOSSIP_MAX, UNANSWERED_MAX,
};
use peers::{Peers, Share, is_cut_off};
use requests::{Open, Purpose, Requests};
use snapshot::SnapshotStart;
use sync::Sync;
use transactions::Transactions;

/// What one event is handled with.
pub(crate) struct Context<'a> {
    pub(crate) now_ms: u64,
    pub(crate) rng: &'a mut dyn Rng,
    pub(crate) ledger: &'a LedgerHandle,
    pub(crate) view: Arc<ChainView>,
    pub(crate) actions: Vec<Action>,
}

impl Context<'_> {
    pub(crate) fn push(&mut self, action: Action) {
        self.actions.push(action);
    }
}

/// The machine. One task owns it and gives it one event after the other.
pub struct Machine {
    config: MachineConfig,
    forks: Forks,
    peers: Peers,
    requests: Requests,
    blocks: Blocks,
    transactions: Transactions,
    sync: Sync,
    snapshot: SnapshotStart,
    /// Heads about which the operator was told already.
    alarmed: Seen,
    clock_warned: bool,
    /// Requests that will not be answered, since their peer is gone.
    lost: Vec<Open>,
}

impl Machine {
    /// Makes the machine of a node whose chain is `view`.
    ///
    /// # Errors
    /// Our own store failed.
    pub fn new(config: MachineConfig, view: &ChainView) -> Result<Self, ViewError> {
        let genesis = view.header_by_number(0)?.ok_or(ViewError::UnknownBlock)?;
        let forks = Forks::new(view.spec(), genesis.hash(), genesis.timestamp);
        Ok(Self {
            config,
            forks,
            peers: Peers::default(),
            requests: Requests::default(),
            blocks: Blocks::default(),
            transactions: Transactions::default(),
            sync: Sync::default(),
            snapshot: SnapshotStart::default(),
            alarmed: Seen::new(ALARMS_MAX),
            clock_warned: false,
            lost: Vec::new(),
        })
    }

    /// Handles one event and returns what is to be done, in order. `now_ms` is the clock in milliseconds since 1970.
    ///
    /// # Errors
    /// Our own store failed: the node must stop. Nothing that peers send is an error.
    pub fn handle(
        &mut self,
        event: Event,
        now_ms: u64,
        rng: &mut dyn Rng,
        ledger: &LedgerHandle,
    ) -> Result<Vec<Action>, ViewError> {
        let view = ledger.view();
        let mut context = Context { now_ms, rng, ledger, view, actions: Vec::new() };
        self.dispatch(&mut context, event)?;
        while let Some(open) = self.lost.pop() {
            self.on_lost(&mut context, open)?;
        }
        Ok(context.actions)
    }

    /// Returns about how many bytes of peers' data the machine holds.
    pub fn held_bytes(&self) -> usize {
        /// A wanted transaction with its holders; an open request.
        const WANTED: usize = 256;
        let small = self.transactions.wanted_count() + self.requests.len();
        self.blocks.bytes() + self.sync.bytes() + self.snapshot.bytes() + small * WANTED
    }

    /// Returns a connected peer's status, clock offset (theirs minus ours, in milliseconds) and points of blame, for `admin_peers`.
    pub fn peer(&self, peer: PeerId, now_ms: u64) -> Option<(Option<&Status>, i64, u32)> {
        let known = self.peers.get(peer)?;
        Some((known.status.as_deref(), known.clock_offset_ms, self.peers.points(peer, now_ms)))
    }

    /// Returns a peer's points of blame, which fade, whether it is connected or not.
    pub fn points(&self, peer: PeerId, now_ms: u64) -> u32 {
        self.peers.points(peer, now_ms)
    }

    fn dispatch(&mut self, context: &mut Context<'_>, event: Event) -> Result<(), ViewError> {
        match event {
            Event::Connected { peer, is_reserved } => self.on_connected(context, peer, is_reserved),
            Event::Disconnected { peer } => {
                self.part_from(peer);
                Ok(())
            }
            Event::Pardoned { peer } => {
                self.peers.pardon(peer);
                Ok(())
            }
            Event::Gossip { peer, id, topic, data } => self.on_gossip(context, peer, id, topic, &data),
            Event::Request { peer, inbound, data } => self.on_request(context, peer, inbound, &data),
            Event::Response { peer, request, result } => self.on_response(context, peer, request, result),
            Event::Imported { hash, result } => self.on_imported(context, hash, result),
            Event::Adopted(result) => self.on_adopted(context, result),
            Event::JobDone(result) => self.on_job_done(context, *result),
            Event::NewHead { added } => self.on_new_head(context, &added),
            Event::NewTransaction(tx) => {
                self.on_new_transaction(context, &tx);
                Ok(())
            }
            Event::Tick => self.on_tick(context),
        }
    }

    fn on_job_done(&mut self, context: &mut Context<'_>, result: JobResult) -> Result<(), ViewError> {
        match result {
            JobResult::Headers { session, result, .. } if self.snapshot.is(session) => {
                self.on_snapshot_headers(context, result)
            }
            JobResult::Snapshot { session, builder, result } if self.snapshot.is(session) => {
                self.on_snapshot_piece(context, builder, result)
            }
            // Of an attempt that was given up meanwhile.
            JobResult::Snapshot { .. } => Ok(()),
            JobResult::Headers { session, peer, result } => self.on_headers_verified(context, session, peer, result),
            JobResult::Bodies { session, peer, hashes, result } => {
                self.on_recovered(context, session, peer, &hashes, result)
            }
            JobResult::Rebuilt { id, result } => self.on_rebuilt(context, id, result),
            JobResult::Transactions { peer, outcomes, malformed } => {
                self.on_transactions_added(context, peer, outcomes, malformed);
                Ok(())
            }
        }
    }

    fn on_gossip(
        &mut self,
        context: &mut Context<'_>,
        peer: PeerId,
        id: GossipId,
        topic: Topic,
        data: &[u8],
    ) -> Result<(), ViewError> {
        let verdict = |verdict| Action::Verdict { peer, id, verdict };
        if !self.peers.is_welcome(peer) {
            context.push(verdict(Verdict::Ignore));
            self.on_stranger_gossip(context, peer);
            return Ok(());
        }
        if topic == Topic::Transactions && !self.may_announce(context, peer) {
            context.push(verdict(Verdict::Ignore));
            return Ok(());
        }
        match Gossip::decode(topic, data) {
            Err(error) => {
                context.push(verdict(Verdict::Reject));
                self.punish(context, peer, Offence::Malformed, format!("gossip: {error}"));
                Ok(())
            }
            // A snapshot is adopted by a node that has no block of its own yet.
            Ok(Gossip::Block(_)) if self.snapshot.is_active() => {
                context.push(verdict(Verdict::Ignore));
                Ok(())
            }
            Ok(Gossip::Block(block)) => self.on_block(context, peer, Some(id), block),
            Ok(Gossip::Transactions(announcement)) => {
                context.push(verdict(Verdict::Ignore));
                self.on_notices(context, peer, &announcement.notices)
            }
        }
    }

    /// Tells whether one more announcement of a peer is read; who goes on beyond its share is blamed.
    fn may_announce(&mut self, context: &mut Context<'_>, peer: PeerId) -> bool {
        let share = self.peers.get_mut(peer).map(|known| known.take_announcement(context.now_ms));
        if share == Some(Share::Flooding) {
            self.punish(context, peer, Offence::Flood, "announcements beyond its share".to_owned());
        }
        share == Some(Share::Granted)
    }

    /// Counts the gossip of a peer that has not introduced itself; nothing of it is read.
    fn on_stranger_gossip(&mut self, context: &mut Context<'_>, peer: PeerId) {
        let Some(known) = self.peers.get_mut(peer) else { return };
        known.gossip_unread = known.gossip_unread.saturating_add(1);
        if known.gossip_unread > STRANGER_GOSSIP_MAX {
            let reason = format!("{STRANGER_GOSSIP_MAX} gossip messages and no status");
            self.cut_off(context, peer, reason, BAN_MS);
        }
    }

    fn on_connected(&mut self, context: &mut Context<'_>, peer: PeerId, is_reserved: bool) -> Result<(), ViewError> {
        let now_ms = context.now_ms;
        if let Some(until) = self.peers.banned_until(peer, now_ms) {
            let reason = format!("cut off before, and out for {} s more", until.saturating_sub(now_ms) / 1000);
            let (ban_ms, agent) = (until.saturating_sub(now_ms), String::new());
            context.push(Action::Disconnect { peer, reason, ban_ms, agent });
            return Ok(());
        }
        if !is_reserved && self.peers.ordinary_count() >= self.config.peers_max {
            let reason = format!("too many peers, at most {} (--maxpeers)", self.config.peers_max);
            context.push(Action::Disconnect { peer, reason, ban_ms: 0, agent: String::new() });
            return Ok(());
        }
        self.peers.connect(peer, is_reserved, now_ms);
        self.ask_status(context, peer)
    }

    /// Tells a peer our status and asks for its own.
    fn ask_status(&mut self, context: &mut Context<'_>, peer: PeerId) -> Result<(), ViewError> {
        let status = handshake::our_status(&self.config, &self.forks, &context.view, context.now_ms)?;
        if let Some(known) = self.peers.get_mut(peer) {
            known.status_asked_at = context.now_ms;
        }
        self.send(context, peer, Purpose::Status, Request::Status(Box::new(status)));
        Ok(())
    }

    /// Sends a request.
    fn send(&mut self, context: &mut Context<'_>, peer: PeerId, purpose: Purpose, message: Request) {
        if let Some(known) = self.peers.get_mut(peer) {
            known.in_flight += 1;
        }
        let request = self.requests.open(peer, purpose, context.now_ms);
        context.push(Action::Send { peer, request, message: Box::new(message) });
    }

    fn on_request(
        &mut self,
        context: &mut Context<'_>,
        peer: PeerId,
        inbound: InboundId,
        data: &[u8],
    ) -> Result<(), ViewError> {
        let refuse = |context: &mut Context<'_>, reason: &str| {
            let response = Box::new(Response::Refused(reason.to_owned()));
            context.push(Action::Respond { peer, inbound, response });
        };
        let Some(known) = self.peers.get_mut(peer) else {
            refuse(context, "not connected");
            return Ok(());
        };
        match known.take_share(context.now_ms) {
            Share::Granted => {}
            Share::Exceeded => {
                refuse(context, "too many requests");
                return Ok(());
            }
            Share::Flooding => {
                refuse(context, "too many requests");
                self.punish(context, peer, Offence::Overload, "requests beyond its share".to_owned());
                return Ok(());
            }
        }
        let welcome = known.status.is_some();
        match Request::decode(data) {
            Err(error) => {
                refuse(context, "malformed");
                self.punish(context, peer, Offence::Malformed, format!("request: {error}"));
            }
            Ok(Request::Status(status)) => {
                let ours = handshake::our_status(&self.config, &self.forks, &context.view, context.now_ms)?;
                let response = Box::new(Response::Status(Box::new(ours)));
                context.push(Action::Respond { peer, inbound, response });
                self.greet(context, peer, status, context.now_ms)?;
            }
            Ok(_) if !welcome => refuse(context, "introduce yourself by a status first"),
            Ok(message) => self.serve(context, peer, inbound, message),
        }
        Ok(())
    }

    /// Answers a request from what is here, or has it answered from the ledger.
    fn serve(&self, context: &mut Context<'_>, peer: PeerId, inbound: InboundId, message: Request) {
        if let Request::BlockTransactions { block, transactions } = &message
            && let Some(found) = self.blocks.pick(*block, transactions)
        {
            let response = Box::new(Response::BlockTransactions(found));
            context.push(Action::Respond { peer, inbound, response });
            return;
        }
        context.push(Action::Serve { peer, inbound, message: Box::new(message) });
    }

    /// Takes a peer's status: it is one of ours, or we part.
    fn greet(
        &mut self,
        context: &mut Context<'_>,
        peer: PeerId,
        status: Box<Status>,
        asked_at: u64,
    ) -> Result<(), ViewError> {
        let offset = handshake::clock_offset_ms(status.clock_ms, asked_at, context.now_ms);
        let ours = handshake::our_status(&self.config, &self.forks, &context.view, context.now_ms)?;
        let head_timestamp = context.view.head().timestamp;
        let found = handshake::mismatches(&ours, &status, &self.forks, head_timestamp, offset);
        let Some(known) = self.peers.get_mut(peer) else { return Ok(()) };
        known.clock_offset_ms = offset;
        known.agent.clone_from(&status.agent);
        if !found.is_empty() {
            let reason = found.join("; ");
            self.cut_off(context, peer, reason, MISMATCH_BAN_MS);
            return Ok(());
        }
        let is_new = known.status.is_none();
        self.sync.note_target(peer, status.head_number);
        known.status = Some(status.clone());
        context.push(Action::Welcome { peer, status });
        if is_new {
            self.ask_pool(context, peer);
        }
        self.drive_sync(context)
    }

    fn on_response(
        &mut self,
        context: &mut Context<'_>,
        peer: PeerId,
        request: RequestId,
        result: Result<Buffer, RequestFailure>,
    ) -> Result<(), ViewError> {
        let Some(open) = self.requests.close(request, peer) else { return Ok(()) };
        if let Some(known) = self.peers.get_mut(peer) {
            known.in_flight = known.in_flight.saturating_sub(1);
            known.unanswered = if result.is_ok() { 0 } else { known.unanswered };
        }
        match result.map(|data| Response::decode(&data)) {
            Ok(Ok(response)) => self.on_answer(context, open, response),
            Ok(Err(error)) => self.on_malformed(context, open, &error),
            Err(failure) => self.on_failure(context, open, &failure),
        }
    }

    fn on_answer(&mut self, context: &mut Context<'_>, open: Open, response: Response) -> Result<(), ViewError> {
        match (&open.purpose, response) {
            (Purpose::Status, Response::Status(status)) => self.greet(context, open.peer, status, open.sent_at),
            (Purpose::Headers(session), Response::Headers(headers)) => {
                self.on_headers(context, *session, open.peer, headers)
            }
            (Purpose::Bodies(asked), Response::Bodies(bodies)) => self.on_bodies(context, open.peer, asked, bodies),
            (Purpose::Transactions(asked), Response::Transactions(transactions)) => {
                self.on_transactions(context, open.peer, asked, transactions);
                Ok(())
            }
            (Purpose::BlockTransactions(id), Response::BlockTransactions(transactions)) => {
                self.on_block_transactions(context, *id, transactions)
            }
            (_, Response::Refused(_)) => self.on_lost(context, open),
            (Purpose::Snapshot { id, .. }, response) => self.on_snapshot_answer(context, *id, response),
            (Purpose::Pool, Response::Pool(notices)) => self.on_notices(context, open.peer, &notices),
            _ => {
                let detail = format!("another kind of response than was asked for: {:?}", open.purpose);
                self.punish(context, open.peer, Offence::WrongResponse, detail);
                self.on_lost(context, open)
            }
        }
    }

    fn on_malformed(&mut self, context: &mut Context<'_>, open: Open, error: &DecodeError) -> Result<(), ViewError> {
        self.punish(context, open.peer, Offence::Malformed, format!("response: {error}"));
        self.on_lost(context, open)
    }

    fn on_failure(&mut self, context: &mut Context<'_>, open: Open, failure: &RequestFailure) -> Result<(), ViewError> {
        match failure {
            RequestFailure::Timeout => {
                let unanswered = self.peers.get_mut(open.peer).map_or(0, |known| {
                    known.unanswered += 1;
                    known.unanswered
                });
                if unanswered >= UNANSWERED_MAX {
                    self.cut_off(context, open.peer, format!("{unanswered} requests without an answer"), 0);
                }
            }
            RequestFailure::Unsupported => self.cut_off(context, open.peer, failure.to_string(), MISMATCH_BAN_MS),
            RequestFailure::Disconnected | RequestFailure::Io(_) => {}
        }
        self.on_lost(context, open)
    }

    /// Does without an answer.
    fn on_lost(&mut self, context: &mut Context<'_>, open: Open) -> Result<(), ViewError> {
        match open.purpose {
            Purpose::Headers(session) => self.on_headers_lost(context, session, open.peer),
            Purpose::Bodies(asked) => self.on_bodies_lost(context, open.peer, &asked),
            Purpose::Transactions(asked) => {
                self.on_transactions_lost(context, open.peer, &asked);
                Ok(())
            }
            Purpose::BlockTransactions(id) => self.ask_missing_elsewhere(context, id),
            Purpose::Snapshot { id, .. } if self.snapshot.is(id) => self.on_snapshot_lost(context),
            Purpose::Snapshot { .. } | Purpose::Status | Purpose::Pool => Ok(()),
        }
    }

    fn on_tick(&mut self, context: &mut Context<'_>) -> Result<(), ViewError> {
        let now_ms = context.now_ms;
        for open in self.requests.late(now_ms) {
            if let Some(known) = self.peers.get_mut(open.peer) {
                known.in_flight = known.in_flight.saturating_sub(1);
            }
            self.on_failure(context, open, &RequestFailure::Timeout)?;
        }
        let strangers = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.status.is_none() && now_ms.saturating_sub(peer.connected_at) >= HANDSHAKE_MS);
        let strangers: Vec<PeerId> = strangers.map(|(id, _)| id).collect();
        for peer in strangers {
            self.cut_off(context, peer, format!("no status within {} s", HANDSHAKE_MS / 1000), MISMATCH_BAN_MS);
        }
        let due = |peer: &peers::Peer| now_ms.saturating_sub(peer.status_asked_at) >= STATUS_MS;
        let due: Vec<PeerId> = self.peers.welcome().filter(|(_, peer)| due(peer)).map(|(id, _)| id).collect();
        for peer in due {
            self.ask_status(context, peer)?;
        }
        self.watch_clock(context);
        self.tick_transactions(context);
        self.wake_orphans(context)?;
        self.drive_snapshot(context)?;
        self.drive_sync(context)
    }

    /// Warns once where most peers agree that our clock is off.
    fn watch_clock(&mut self, context: &mut Context<'_>) {
        let mut offsets: Vec<i64> = self.peers.welcome().map(|(_, peer)| peer.clock_offset_ms).collect();
        offsets.sort_unstable();
        let Some(median) = offsets.get(offsets.len() / 2).copied() else { return };
        let is_off = offsets.len() >= 2 && median.unsigned_abs() >= CLOCK_WARN_MS;
        if is_off && !self.clock_warned {
            context.push(Action::Alarm(Alarm::ClockOff { peers: offsets.len(), offset_ms: median }));
        }
        self.clock_warned = is_off;
    }

    /// Adds to a peer's blame; too much of it cuts the peer off.
    fn punish(&mut self, context: &mut Context<'_>, peer: PeerId, offence: Offence, detail: String) {
        if self.peers.get(peer).is_none() {
            return;
        }
        let points = self.peers.blame(peer, offence, context.now_ms);
        context.push(Action::Punish { peer, offence, detail: detail.clone(), points });
        if is_cut_off(points) {
            self.cut_off(context, peer, detail, BAN_MS);
        }
    }

    /// Parts from a peer for a while.
    fn cut_off(&mut self, context: &mut Context<'_>, peer: PeerId, reason: String, ban_ms: u64) {
        let Some(agent) = self.peers.get(peer).map(|known| known.agent.clone()) else { return };
        if ban_ms > 0 {
            self.peers.ban(peer, context.now_ms.saturating_add(ban_ms), context.now_ms);
        }
        context.push(Action::Disconnect { peer, reason, ban_ms, agent });
        self.part_from(peer);
    }

    /// Forgets a peer that is gone, and what it was asked.
    fn part_from(&mut self, peer: PeerId) {
        if self.peers.disconnect(peer).is_none() {
            return;
        }
        self.lost.extend(self.requests.of(peer));
        self.forget_blocks_of(peer);
        self.forget_transactions_of(peer);
        self.forget_sync_of(peer);
    }
}
