//! Catching up: headers first from the heaviest peer, seals checked; bodies from several peers at once, senders recovered ahead of the
//! import; imports in order. What a branch asks to be imported must first prove by its headers that it is heavier than our chain.
//!
//! Nothing of this is stored: what was imported is in the ledger, and a sync that begins anew goes on where that ends.

mod headers;
mod progress;
mod queue;
mod sizes;

use std::cmp::Reverse;
use std::collections::VecDeque;

use alloy_primitives::{B256, U256};
use chain::{ImportError, ImportOutcome, ViewError};
use consensus::{RecoveredBlock, fork_choice};

use super::action::{Action, Offence};
use super::blocks::Source;
use super::event::PeerId;
use super::job::Job;
use super::limits::{CAUTION_MAX, IMPORTS_AHEAD_MAX, STALLS_MAX, STATUS_MS, SYNC_JOBS_MAX};
use super::requests::Purpose;
use super::verify::Anchor;
use super::{Context, Machine};
use crate::message::{CompactBlock, Gossip, Request, WitnessedHeader};
use progress::Meter;
pub use progress::Progress;
use queue::Queue;

/// How long a peer that lacked a body or failed to answer is not asked again, in milliseconds; twice as long each time in a row.
const REST_MS: u64 = 2_000;
/// How often that doubles at the most.
const REST_DOUBLINGS_MAX: u32 = 4;
/// How long the import waits for a body before somebody else is asked for it, in milliseconds.
const FRONT_MS: u64 = 3_000;
/// After so many milliseconds without any progress a sync begins anew.
const STUCK_MS: u64 = 45_000;
/// How soon a peer is asked again for its status on account of a block that we cannot place, in milliseconds.
const STATUS_AGAIN_MS: u64 = 1_000;

/// Says what is done with verified headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
    /// They are kept until their blocks are imported.
    Keeping,
    /// They were too many to be kept before they had proven anything: their work is counted, and each answer leaves a mark.
    Counting,
    /// They have proven their work; they are fetched again and kept, each answer up to its mark.
    Again,
}

/// A header that was verified: its number and hash.
#[derive(Clone, Copy, Debug)]
struct Mark {
    number: u64,
    hash: B256,
}

/// What a peer was asked for: headers that follow one of these hashes, and how many.
#[derive(Debug)]
struct HeaderRequest {
    locator: Vec<B256>,
    count: usize,
}

/// One attempt to reach a peer's head.
pub(crate) struct Session {
    /// Our name for it: answers and jobs of an earlier one are not taken for this one's.
    id: u64,
    /// Whose chain it is.
    peer: PeerId,
    /// The head that it claimed.
    target: B256,
    /// Its number.
    target_number: u64,
    /// The total difficulty that it claimed for it. No block is fetched before its headers come to as much.
    claimed: U256,
    /// The total difficulty of our own chain at the beginning.
    work_before: U256,
    /// The first header's anchor, and the total difficulty up to there.
    origin: Option<(Anchor, U256)>,
    /// What is done with the headers.
    walk: Walk,
    /// The last header of each verified answer.
    marks: VecDeque<Mark>,
    /// The last verified header.
    tail: Option<Anchor>,
    /// Total difficulty up to the tail.
    tail_work: U256,
    /// The number of the last block that both chains have.
    ancestor: u64,
    /// The request for headers that the peer has not answered yet.
    asked: Option<HeaderRequest>,
    /// The hash of the last one of the headers that are being verified.
    verifying: Option<B256>,
    /// Those that follow, where they came meanwhile.
    ahead: Option<(HeaderRequest, Vec<WitnessedHeader>)>,
    /// Whether headers of this peer were verified.
    has_shown: bool,
    /// Whether the peer has no further header.
    headers_end: bool,
    /// Whether the headers prove the work that was claimed, and more of it than our chain has.
    is_heavier: bool,
    queue: Queue,
    jobs: usize,
    stalls: u32,
    moved_at: u64,
}

/// Holds the state of the sync.
#[derive(Default)]
pub(crate) struct Sync {
    session: Option<Session>,
    next_id: u64,
    meter: Option<Meter>,
    imported_any: bool,
}

impl Sync {
    /// Returns how many bytes of blocks are held.
    pub(crate) fn bytes(&self) -> usize {
        /// A header with its witness in the queue.
        const HEADER: usize = 1200;
        self.session.as_ref().map_or(0, |session| {
            let ahead = session.ahead.as_ref().map_or(0, |(_, headers)| headers.len());
            session.queue.bytes() + (session.queue.len() + ahead) * HEADER
        })
    }

    /// Follows a peer's newer head, for the progress.
    pub(crate) fn note_target(&mut self, peer: PeerId, head_number: u64) {
        if let Some(session) = self.session.as_mut().filter(|session| session.peer == peer) {
            session.target_number = session.target_number.max(head_number);
        }
    }
}

impl Machine {
    /// Returns how far a sync is; `None` where none is under way.
    pub fn progress(&self, ledger: &chain::LedgerHandle, now_ms: u64) -> Option<Progress> {
        let session = self.sync.session.as_ref()?;
        let meter = self.sync.meter.as_ref()?;
        Some(meter.progress(ledger.view().head().number, session.target_number, now_ms))
    }

    /// Begins a sync with the peer that claims most work, where that is more than ours and none is under way. Those whom the operator
    /// names are asked before others, and who has claimed much before and let us have less is asked after all others.
    pub(crate) fn consider_sync(&mut self, context: &mut Context<'_>) -> Result<(), ViewError> {
        if self.sync.session.is_some() || self.snapshot.is_active() {
            return Ok(());
        }
        let (ours, now_ms) = (context.view.head_td(), context.now_ms);
        let candidates = self.peers.welcome().filter(|(_, peer)| {
            let refused =
                peer.refused_head.is_some() && peer.refused_head == peer.status.as_ref().map(|status| status.head);
            fork_choice::replaces(peer.claimed_work(), ours)
                && !refused
                && peer.rests_until <= now_ms
                && peer.has_room()
        });
        let best = candidates
            .max_by_key(|(id, peer)| (Reverse(peer.failed_syncs), peer.is_reserved, peer.claimed_work(), Reverse(*id)));
        let Some((peer, status)) = best.and_then(|(id, peer)| Some((id, peer.status.clone()?))) else { return Ok(()) };
        // The head that is being imported may be the one that the peer claims.
        if self.blocks.is_importing(status.head) {
            return Ok(());
        }
        self.sync.next_id += 1;
        if self.consider_snapshot(context, peer, &status, self.sync.next_id)? {
            return Ok(());
        }
        let target_number = status.head_number;
        self.sync.session = Some(Session {
            id: self.sync.next_id,
            peer,
            target: status.head,
            target_number,
            claimed: status.total_difficulty,
            work_before: ours,
            origin: None,
            walk: Walk::Keeping,
            marks: VecDeque::new(),
            tail: None,
            tail_work: U256::ZERO,
            ancestor: 0,
            asked: None,
            verifying: None,
            ahead: None,
            has_shown: false,
            headers_end: false,
            is_heavier: false,
            queue: Queue::default(),
            jobs: 0,
            stalls: 0,
            moved_at: now_ms,
        });
        self.sync.imported_any = false;
        self.sync.meter = Some(Meter::new(context.view.head().number, now_ms));
        self.drive_sync(context)
    }

    /// Does whatever a sync can do now.
    pub(crate) fn drive_sync(&mut self, context: &mut Context<'_>) -> Result<(), ViewError> {
        if self.sync.session.is_none() {
            return self.consider_sync(context);
        }
        self.ask_headers(context)?;
        self.import_ready(context)?;
        self.recover_empty(context);
        self.hurry_front(context);
        self.ask_bodies(context);
        self.finish_sync(context)
    }

    /// Hands blocks that are ready to the ledger, in order.
    fn import_ready(&mut self, context: &mut Context<'_>) -> Result<(), ViewError> {
        while self.blocks.importing_count() < IMPORTS_AHEAD_MAX {
            let Some(session) = &mut self.sync.session else { return Ok(()) };
            let Some(block) = session.queue.take_ready() else { return Ok(()) };
            let peer = session.peer;
            session.moved_at = context.now_ms;
            // Gossip may have brought it meanwhile.
            if self.blocks.is_importing(block.hash()) || context.view.record(block.hash())?.is_some() {
                continue;
            }
            self.import(context, block, Source::Sync(peer));
        }
        Ok(())
    }

    /// Makes blocks of headers that say that their bodies are empty.
    fn recover_empty(&mut self, context: &mut Context<'_>) {
        while let Some(session) = &mut self.sync.session {
            if !session.is_heavier || session.jobs >= SYNC_JOBS_MAX {
                return;
            }
            let (id, peer) = (session.id, session.peer);
            let blocks = session.queue.take_empty();
            if blocks.is_empty() {
                return;
            }
            session.jobs += 1;
            context.push(Action::Run(Box::new(Job::RecoverBodies { session: id, peer, blocks })));
        }
    }

    /// Asks every peer that has room for bodies.
    fn ask_bodies(&mut self, context: &mut Context<'_>) {
        let Some(session) = self.sync.session.as_ref().filter(|session| session.is_heavier) else { return };
        let (header_peer, now_ms) = (session.peer, context.now_ms);
        // The peer whose chain it is has them all; the others probably.
        let able = |(_, peer): &(PeerId, &super::peers::Peer)| peer.has_room() && peer.rests_until <= now_ms;
        let mut peers: Vec<(PeerId, u64)> = self
            .peers
            .welcome()
            .filter(able)
            .map(|(id, peer)| (id, peer.status.as_ref().map_or(0, |status| status.head_number)))
            .collect();
        peers.sort_by_key(|(id, _)| (*id != header_peer, *id));
        for (peer, head_number) in peers {
            let up_to = if peer == header_peer { u64::MAX } else { head_number };
            while self.peers.get(peer).is_some_and(super::peers::Peer::has_room) {
                let Some(session) = &mut self.sync.session else { return };
                if session.jobs >= SYNC_JOBS_MAX {
                    return;
                }
                let caution = self.peers.get(peer).map_or(0, |peer| peer.caution);
                let hashes = session.queue.take_wanted(up_to, caution);
                if hashes.is_empty() {
                    break;
                }
                self.send(context, peer, Purpose::Bodies(hashes.clone()), Request::Bodies(hashes));
            }
        }
    }

    /// Gives up an answer that the import waits for, where it takes long and somebody else can be asked.
    fn hurry_front(&mut self, context: &mut Context<'_>) {
        let now_ms = context.now_ms;
        let Some(session) = self.sync.session.as_mut().filter(|_| self.blocks.importing_count() == 0) else { return };
        let Some(front) = session.queue.front_coming() else { return };
        let Some((request, peer)) = self.requests.late_body(front, now_ms.saturating_sub(FRONT_MS)) else { return };
        let able = |peer: &super::peers::Peer| peer.has_room() && peer.rests_until <= now_ms;
        if !self.peers.welcome().any(|(id, other)| id != peer && able(other)) {
            return;
        }
        let Some(Purpose::Bodies(asked)) = self.requests.close(request, peer).map(|open| open.purpose) else { return };
        session.queue.want_again(&asked);
        if let Some(known) = self.peers.get_mut(peer) {
            known.in_flight = known.in_flight.saturating_sub(1);
        }
        self.rest(context, peer);
    }

    /// Takes bodies: they are recovered by a job.
    pub(crate) fn on_bodies(
        &mut self,
        context: &mut Context<'_>,
        peer: PeerId,
        asked: &[B256],
        bodies: Vec<Vec<u8>>,
    ) -> Result<(), ViewError> {
        if bodies.len() > asked.len() {
            self.punish(context, peer, Offence::WrongResponse, "more bodies than were asked for".to_owned());
            return self.on_bodies_lost(context, peer, asked);
        }
        let (given, lacking) = asked.split_at(bodies.len());
        if let Some(session) = &mut self.sync.session {
            session.queue.want_again(lacking);
            let bare = session.queue.bare(given);
            // What is no longer wanted has another session behind it.
            if bare.len() == given.len() && !bare.is_empty() {
                let blocks = bare.into_iter().zip(bodies).map(|((entry, time), body)| (entry, time, body)).collect();
                session.jobs += 1;
                session.moved_at = context.now_ms;
                context.push(Action::Run(Box::new(Job::RecoverBodies { session: session.id, peer, blocks })));
            } else {
                session.queue.want_again(given);
            }
        }
        if given.is_empty() {
            self.rest(context, peer);
        } else if let Some(known) = self.peers.get_mut(peer) {
            known.caution = known.caution.saturating_sub(1);
        }
        self.drive_sync(context)
    }

    /// Lets a peer rest that lacks what was asked for, and asks it for less the next time; nobody is to blame.
    fn rest(&mut self, context: &mut Context<'_>, peer: PeerId) {
        let Some(known) = self.peers.get_mut(peer) else { return };
        let doublings = known.caution.min(REST_DOUBLINGS_MAX);
        known.caution = known.caution.saturating_add(1).min(CAUTION_MAX);
        known.rests_until = context.now_ms.saturating_add(REST_MS << doublings);
        context.push(Action::WakeAt(known.rests_until));
    }

    /// Wants bodies again that a peer did not send.
    pub(crate) fn on_bodies_lost(
        &mut self,
        context: &mut Context<'_>,
        peer: PeerId,
        asked: &[B256],
    ) -> Result<(), ViewError> {
        if let Some(session) = &mut self.sync.session {
            session.queue.want_again(asked);
        }
        self.rest(context, peer);
        self.drive_sync(context)
    }

    /// Takes recovered blocks, or blames who sent what does not fit.
    pub(crate) fn on_recovered(
        &mut self,
        context: &mut Context<'_>,
        id: u64,
        peer: PeerId,
        hashes: &[B256],
        result: Result<Vec<RecoveredBlock>, String>,
    ) -> Result<(), ViewError> {
        if let Some(session) = self.sync.session.as_mut().filter(|session| session.id == id) {
            session.jobs = session.jobs.saturating_sub(1);
        }
        match result {
            Ok(blocks) => {
                if let Some(session) = &mut self.sync.session {
                    session.moved_at = context.now_ms;
                    session.queue.ready(blocks);
                }
            }
            Err(problem) => {
                if let Some(session) = &mut self.sync.session {
                    session.queue.want_again(hashes);
                }
                self.punish(context, peer, Offence::InvalidHeader, format!("body: {problem}"));
            }
        }
        self.drive_sync(context)
    }

    /// Learns what became of a block of a sync.
    pub(crate) fn on_sync_imported(
        &mut self,
        context: &mut Context<'_>,
        peer: PeerId,
        result: &Result<ImportOutcome, ImportError>,
    ) -> Result<(), ViewError> {
        let Some(session) = self.sync.session.as_mut().filter(|session| session.peer == peer) else { return Ok(()) };
        match result {
            Ok(_) => {
                session.moved_at = context.now_ms;
                self.sync.imported_any = true;
                if let Some(meter) = &mut self.sync.meter {
                    meter.count();
                }
            }
            Err(ImportError::BelowFinalized { .. }) => self.refuse_branch(),
            Err(_) => self.end_sync(context)?,
        }
        Ok(())
    }

    /// Ends a sync whose branch is not to be followed until the peer has another head.
    fn refuse_branch(&mut self) {
        if let Some(session) = self.sync.session.take()
            && let Some(peer) = self.peers.get_mut(session.peer)
        {
            peer.refused_head = Some(session.target);
        }
    }

    fn finish_sync(&mut self, context: &mut Context<'_>) -> Result<(), ViewError> {
        let Some(session) = &self.sync.session else { return Ok(()) };
        let idle = session.queue.is_empty() && session.jobs == 0 && !session.awaits_headers();
        let done = idle && session.headers_end && self.blocks.importing_count() == 0;
        let stuck = context.now_ms.saturating_sub(session.moved_at) >= STUCK_MS;
        if done || stuck || session.stalls >= STALLS_MAX {
            self.end_sync(context)?;
        }
        Ok(())
    }

    /// Drops the session. Who has claimed more than we have come to, and has not brought us on either, is asked after others.
    fn close_session(&mut self, context: &mut Context<'_>) -> Option<Session> {
        let session = self.sync.session.take()?;
        let ours = context.view.head_td();
        let kept = ours >= session.claimed || ours > session.work_before;
        if kept {
            if let Some(known) = self.peers.get_mut(session.peer) {
                known.failed_syncs = 0;
            }
        } else {
            self.note_failed_sync(context, session.peer);
        }
        Some(session)
    }

    /// Remembers that a peer was asked for its chain in vain.
    pub(crate) fn note_failed_sync(&mut self, context: &mut Context<'_>, peer: PeerId) {
        let Some(known) = self.peers.get_mut(peer) else { return };
        let doublings = known.failed_syncs.min(REST_DOUBLINGS_MAX);
        known.failed_syncs = known.failed_syncs.saturating_add(1);
        let until = context.now_ms.saturating_add(REST_MS << doublings);
        known.rests_until = known.rests_until.max(until);
        context.push(Action::WakeAt(until));
    }

    /// Ends a sync, and tells the peers of the head that it has led to.
    pub(crate) fn end_sync(&mut self, context: &mut Context<'_>) -> Result<(), ViewError> {
        if self.close_session(context).is_none() {
            return Ok(());
        }
        let head = context.view.head().hash();
        if std::mem::take(&mut self.sync.imported_any)
            && let Some(block) = context.view.block_by_hash(head)?
            && self.blocks.mark_seen(head)
        {
            self.publish(context, &Gossip::Block(Box::new(CompactBlock::of(&block))));
        }
        // The peer's claim may be out of date; its next status tells, and begins the next sync.
        let due: Vec<PeerId> = self
            .peers
            .welcome()
            .filter(|(_, peer)| fork_choice::replaces(peer.claimed_work(), context.view.head_td()))
            .map(|(id, _)| id)
            .collect();
        for peer in due {
            self.ask_status_soon(context, peer)?;
        }
        Ok(())
    }

    /// Asks a peer for its status, unless that was done a moment ago.
    pub(crate) fn ask_status_soon(&mut self, context: &mut Context<'_>, peer: PeerId) -> Result<(), ViewError> {
        let Some(known) = self.peers.get_mut(peer) else { return Ok(()) };
        let next = known.status_asked_at.saturating_add(STATUS_AGAIN_MS);
        if next <= context.now_ms {
            return self.ask_status(context, peer);
        }
        // As if the regular time were then.
        known.status_asked_at = next.saturating_sub(STATUS_MS).min(known.status_asked_at);
        context.push(Action::WakeAt(next));
        Ok(())
    }

    /// Goes on without a peer that is gone.
    pub(crate) fn forget_sync_of(&mut self, peer: PeerId) {
        if let Some(session) = self.sync.session.as_mut().filter(|session| session.peer == peer) {
            session.headers_end = true;
            (session.asked, session.ahead) = (None, None);
            if !session.is_heavier || session.queue.is_empty() {
                self.sync.session = None;
            }
        }
    }
}
