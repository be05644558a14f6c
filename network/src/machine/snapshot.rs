//! Starting from a state snapshot: the headers up to a peer's finalized block, verified from our genesis block on; the state at that
//! block, piece by piece, verified against the header's root before it is used; then the sync goes on from there.
//!
//! One peer serves one attempt, so that what turns out wrong has one sender. Its headers are followed up to its head, and only where they
//! come to the work that it claims is its state used: a branch that cost little does not become the chain of a new node. After a few
//! attempts that fail the node executes the chain from its beginning.

use alloy_primitives::{B256, U256};
use chain::{ImportError, ImportOutcome, Need, SnapshotBuilder, ViewError};

use super::action::{Action, Alarm, Offence};
use super::event::PeerId;
use super::job::{Job, Piece};
use super::limits::{SNAPSHOT_ATTEMPTS_MAX, SNAPSHOT_LOST_MAX, SNAPSHOT_PIECE_MS, SNAPSHOT_REST_MS};
use super::requests::Purpose;
use super::verify::{Anchor, HeaderEntry, HeaderFault};
use super::{Context, Machine};
use crate::message::limits::HEADERS_MAX;
use crate::message::{Request, Response, Status};

/// Says how far an attempt is.
#[allow(clippy::large_enum_variant, reason = "there is one stage at a time")]
enum Stage {
    /// Headers are coming; those that are verified, up to the target, and the last one.
    Headers(Vec<HeaderEntry>, Box<Anchor>),
    /// The state is coming; `None` while a piece is with a job.
    State(Option<Box<SnapshotBuilder>>),
    /// The ledger is taking it.
    Adopting,
}

struct Attempt {
    id: u64,
    peer: PeerId,
    target: B256,
    number: u64,
    /// The total difficulty that the peer claims for its head, and that of the headers so far.
    claimed: U256,
    work: U256,
    stage: Stage,
    /// Whether something is asked for or being verified.
    is_busy: bool,
    /// Before this time nothing is asked.
    asks_from: u64,
    /// How many answers in a row did not come.
    lost: u32,
}

/// Holds the state of the start from a snapshot.
#[derive(Default)]
pub(crate) struct SnapshotStart {
    attempt: Option<Attempt>,
    is_given_up: bool,
    /// Whether the operator knows that a chain is too long.
    is_too_long_told: bool,
}

impl SnapshotStart {
    /// Tells whether an attempt is under way.
    pub(crate) fn is_active(&self) -> bool {
        self.attempt.is_some()
    }

    /// Tells whether an answer or a job belongs to the attempt that is under way.
    pub(crate) fn is(&self, id: u64) -> bool {
        self.attempt.as_ref().is_some_and(|attempt| attempt.id == id)
    }

    /// Returns about how many bytes are held.
    pub(crate) fn bytes(&self) -> usize {
        match self.attempt.as_ref().map(|attempt| &attempt.stage) {
            Some(Stage::Headers(headers, _)) => headers.len() * 1024,
            Some(Stage::State(Some(builder))) => builder.bytes(),
            Some(Stage::State(None) | Stage::Adopting) | None => 0,
        }
    }
}

impl Machine {
    /// Begins to fetch a snapshot from a peer, where that is wanted and worth it; tells whether it does.
    pub(crate) fn consider_snapshot(
        &mut self,
        context: &mut Context<'_>,
        peer: PeerId,
        status: &Status,
        id: u64,
    ) -> Result<bool, ViewError> {
        let wanted = self.config.start_from_snapshot && !self.snapshot.is_given_up && context.view.head().number == 0;
        let able =
            status.finalized >= self.config.snapshot_distance_min.max(1) && status.history_from <= status.finalized;
        if !wanted || !able {
            return Ok(false);
        }
        let header_bytes = usize::try_from(status.finalized).unwrap_or(usize::MAX).saturating_mul(1024);
        if header_bytes > self.config.snapshot_bytes_max / 2 {
            // Others may say something else.
            if !std::mem::replace(&mut self.snapshot.is_too_long_told, true) {
                let problem = format!("{} headers, as a peer says it has, are too many", status.finalized);
                context.push(Action::Alarm(Alarm::SnapshotFailed(problem)));
            }
            return Ok(false);
        }
        let Some(anchor) = Anchor::read(&context.view, context.view.head().clone())? else { return Ok(false) };
        let stage = Stage::Headers(Vec::new(), Box::new(anchor));
        let (target, number) = (status.finalized_hash, status.finalized);
        let (claimed, work) = (status.total_difficulty, context.view.head_td());
        self.snapshot.attempt =
            Some(Attempt { id, peer, target, number, claimed, work, stage, is_busy: false, asks_from: 0, lost: 0 });
        self.drive_snapshot(context)?;
        Ok(true)
    }

    /// Asks for what an attempt needs next, unless its peer rests.
    pub(crate) fn drive_snapshot(&mut self, context: &mut Context<'_>) -> Result<(), ViewError> {
        let Some(attempt) = self.snapshot.attempt.as_mut().filter(|attempt| !attempt.is_busy) else { return Ok(()) };
        let (id, peer, target) = (attempt.id, attempt.peer, attempt.target);
        if attempt.asks_from > context.now_ms {
            return Ok(());
        }
        let patience_ms = SNAPSHOT_PIECE_MS << attempt.lost;
        let request = match &mut attempt.stage {
            Stage::Headers(_, anchor) => {
                let most = u64::try_from(HEADERS_MAX).unwrap_or(u64::MAX);
                // Up to the target, and then on to the head.
                let left = attempt.number.saturating_sub(anchor.parent.number);
                let count = if left == 0 { most } else { left.min(most) };
                Request::Headers { locator: vec![anchor.parent.hash()], count }
            }
            Stage::State(None) | Stage::Adopting => return Ok(()),
            Stage::State(Some(builder)) => match builder.need() {
                Need::Accounts(from) => Request::Accounts { block: target, from },
                Need::Slots(account, from) => Request::Slots { block: target, account, from },
                Need::Codes(hashes) => Request::Codes(hashes),
                Need::Block => Request::Bodies(vec![target]),
                Need::Nothing => return self.adopt_snapshot(context),
            },
        };
        attempt.is_busy = true;
        self.send(context, peer, Purpose::Snapshot { id, patience_ms }, request);
        Ok(())
    }

    /// Hands a whole snapshot to the ledger.
    fn adopt_snapshot(&mut self, context: &mut Context<'_>) -> Result<(), ViewError> {
        let Some(attempt) = &mut self.snapshot.attempt else { return Ok(()) };
        let Stage::State(builder) = std::mem::replace(&mut attempt.stage, Stage::Adopting) else { return Ok(()) };
        if let Some(snapshot) = builder.and_then(|builder| builder.finish()) {
            // It is old news to everyone.
            self.blocks.mark_seen(attempt.target);
            context.push(Action::Adopt(Box::new(snapshot)));
        }
        Ok(())
    }

    /// Takes a peer's answer to a request of an attempt.
    pub(crate) fn on_snapshot_answer(
        &mut self,
        context: &mut Context<'_>,
        id: u64,
        response: Response,
    ) -> Result<(), ViewError> {
        let Some(attempt) = self.snapshot.attempt.as_mut().filter(|attempt| attempt.id == id) else { return Ok(()) };
        let peer = attempt.peer;
        attempt.lost = 0;
        let job = match (&mut attempt.stage, response) {
            (Stage::Headers(_, anchor), Response::Headers(headers)) => {
                let left = attempt.number.saturating_sub(anchor.parent.number);
                if headers.is_empty() {
                    return self
                        .fail_snapshot(context, "the peer's headers end before they show the work that it claims");
                }
                if left > 0 && u64::try_from(headers.len()).unwrap_or(u64::MAX) > left {
                    self.punish(context, peer, Offence::WrongResponse, "more headers than were asked for".to_owned());
                    return self.fail_snapshot(context, "more headers than were asked for");
                }
                Job::VerifyHeaders { session: id, peer, anchor: anchor.clone(), headers, ends_at: None }
            }
            (Stage::State(builder), response) => {
                let Some(taken) = builder.take() else { return Ok(()) };
                let piece = match response {
                    Response::Accounts(chunk) => Piece::Accounts((chunk.rows, chunk.is_last)),
                    Response::Slots(chunk) => Piece::Slots((chunk.rows, chunk.is_last)),
                    Response::Codes(codes) => Piece::Codes(codes),
                    Response::Bodies(bodies) => Piece::Block(bodies),
                    _ => return self.fail_snapshot(context, "another kind of response than was asked for"),
                };
                Job::Snapshot { session: id, builder: taken, piece }
            }
            _ => return self.fail_snapshot(context, "another kind of response than was asked for"),
        };
        context.push(Action::Run(Box::new(job)));
        Ok(())
    }

    /// Takes verified headers.
    pub(crate) fn on_snapshot_headers(
        &mut self,
        context: &mut Context<'_>,
        result: Result<Vec<HeaderEntry>, HeaderFault>,
    ) -> Result<(), ViewError> {
        let Some(attempt) = &mut self.snapshot.attempt else { return Ok(()) };
        attempt.is_busy = false;
        let (peer, target, number) = (attempt.peer, attempt.target, attempt.number);
        let Stage::Headers(headers, anchor) = &mut attempt.stage else { return Ok(()) };
        match result {
            Err(fault) => {
                self.punish(context, peer, Offence::InvalidHeader, fault.to_string());
                return self.fail_snapshot(context, "an invalid header");
            }
            Ok(entries) => {
                for entry in entries {
                    let grandparent_timestamp = Some(anchor.parent.timestamp);
                    **anchor = Anchor { parent: entry.header.clone(), grandparent_timestamp };
                    attempt.work = attempt.work.saturating_add(entry.header.difficulty);
                    if entry.header.number <= number {
                        headers.push(entry);
                    }
                }
            }
        }
        if anchor.parent.number == number && anchor.parent.hash() != target {
            return self.fail_snapshot(context, "the peer's chain has moved");
        }
        if anchor.parent.number < number || attempt.work < attempt.claimed {
            return self.drive_snapshot(context);
        }
        let headers = std::mem::take(headers).into_iter().map(|entry| (entry.header, entry.witness)).collect();
        attempt.stage = Stage::State(SnapshotBuilder::new(headers).map(Box::new));
        self.drive_snapshot(context)
    }

    /// Goes on after a piece was verified.
    pub(crate) fn on_snapshot_piece(
        &mut self,
        context: &mut Context<'_>,
        builder: Box<SnapshotBuilder>,
        result: Result<(), String>,
    ) -> Result<(), ViewError> {
        let Some(attempt) = &mut self.snapshot.attempt else { return Ok(()) };
        attempt.is_busy = false;
        let peer = attempt.peer;
        match result {
            Ok(()) if builder.bytes() > self.config.snapshot_bytes_max => {
                self.snapshot.attempt = None;
                self.give_up_snapshot(
                    context,
                    format!("the state is larger than {} bytes", self.config.snapshot_bytes_max),
                );
                self.drive_sync(context)
            }
            Ok(()) => {
                attempt.stage = Stage::State(Some(builder));
                self.drive_snapshot(context)
            }
            Err(problem) => {
                self.punish(context, peer, Offence::InvalidState, problem.clone());
                self.fail_snapshot(context, &problem)
            }
        }
    }

    /// Learns whether the ledger has taken the snapshot.
    pub(crate) fn on_adopted(
        &mut self,
        context: &mut Context<'_>,
        result: Result<ImportOutcome, ImportError>,
    ) -> Result<(), ViewError> {
        self.snapshot.attempt = None;
        if let Err(error) = result {
            self.give_up_snapshot(context, error.to_string());
        }
        self.drive_sync(context)
    }

    /// Asks again for what did not come, where the peer is still there: a while later, since it may have refused to be asked so often.
    pub(crate) fn on_snapshot_lost(&mut self, context: &mut Context<'_>) -> Result<(), ViewError> {
        let Some(attempt) = &mut self.snapshot.attempt else { return Ok(()) };
        attempt.lost += 1;
        attempt.is_busy = false;
        // Who does not even begin to answer keeps nobody else from it.
        let has_begun = !matches!(&attempt.stage, Stage::Headers(headers, _) if headers.is_empty());
        let (peer, lost) = (attempt.peer, attempt.lost);
        if has_begun && lost < SNAPSHOT_LOST_MAX && self.peers.is_welcome(peer) {
            attempt.asks_from = context.now_ms.saturating_add(SNAPSHOT_REST_MS);
            context.push(Action::WakeAt(attempt.asks_from));
            return Ok(());
        }
        self.fail_snapshot(context, "a peer that does not answer")
    }

    /// Ends an attempt; the next one may have another peer.
    pub(crate) fn fail_snapshot(&mut self, context: &mut Context<'_>, problem: &str) -> Result<(), ViewError> {
        let is_failing = |attempt: &mut Attempt| !matches!(attempt.stage, Stage::Adopting);
        let Some(attempt) = self.snapshot.attempt.take_if(is_failing) else { return Ok(()) };
        self.note_failed_sync(context, attempt.peer);
        // Whoever has failed less often is asked before.
        if self.peers.get(attempt.peer).is_some_and(|peer| peer.failed_syncs >= SNAPSHOT_ATTEMPTS_MAX) {
            self.give_up_snapshot(context, problem.to_owned());
        }
        self.drive_sync(context)
    }

    fn give_up_snapshot(&mut self, context: &mut Context<'_>, problem: String) {
        self.snapshot.is_given_up = true;
        context.push(Action::Alarm(Alarm::SnapshotFailed(problem)));
    }
}
