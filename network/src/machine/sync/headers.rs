//! The headers of a sync: where the peer's chain leaves ours, what follows, and whether it is heavier.

use alloy_primitives::B256;
use chain::ViewError;
use consensus::fork_choice;

use super::super::action::{Action, Offence};
use super::super::event::PeerId;
use super::super::job::Job;
use super::super::limits::HEADERS_AHEAD_MAX;
use super::super::requests::Purpose;
use super::super::verify::{Anchor, HeaderEntry, HeaderFault};
use super::super::{Context, Machine};
use crate::message::limits::{HEADERS_MAX, LOCATOR_MAX};
use crate::message::{Request, WitnessedHeader};

/// How many of the newest blocks stand in a locator one by one, before its steps double.
const LOCATOR_DENSE: u64 = 10;

/// Returns hashes of our chain, newest first, the genesis block last.
fn locator(context: &Context<'_>) -> Result<Vec<B256>, ViewError> {
    let mut number = context.view.head().number;
    let (mut hashes, mut step) = (Vec::new(), 1u64);
    while number > 0 && hashes.len() + 1 < LOCATOR_MAX {
        hashes.extend(context.view.canonical_hash(number)?);
        if u64::try_from(hashes.len()).unwrap_or(u64::MAX) >= LOCATOR_DENSE {
            step = step.saturating_mul(2);
        }
        number = number.saturating_sub(step);
    }
    hashes.push(context.view.genesis_hash());
    Ok(hashes)
}

impl Machine {
    /// Asks for the next headers, where there is room for them.
    pub(super) fn ask_headers(&mut self, context: &mut Context<'_>) -> Result<(), ViewError> {
        let Some(session) = &mut self.sync.session else { return Ok(()) };
        let room = session.queue.len() + HEADERS_MAX <= HEADERS_AHEAD_MAX;
        if session.headers_busy || session.headers_end || !room {
            return Ok(());
        }
        session.locator = match &session.tail {
            Some(tail) => vec![tail.parent.hash()],
            None => locator(context)?,
        };
        session.headers_busy = true;
        let (id, peer, locator) = (session.id, session.peer, session.locator.clone());
        let count = u64::try_from(HEADERS_MAX).unwrap_or(u64::MAX);
        self.send(context, peer, Purpose::Headers(id), Request::Headers { locator, count });
        Ok(())
    }

    /// Takes headers: they are verified by a job.
    pub(crate) fn on_headers(
        &mut self,
        context: &mut Context<'_>,
        id: u64,
        peer: PeerId,
        mut headers: Vec<WitnessedHeader>,
    ) -> Result<(), ViewError> {
        let Some(session) = self.sync.session.as_mut().filter(|session| session.id == id) else { return Ok(()) };
        session.moved_at = context.now_ms;
        session.headers_end = headers.len() < HEADERS_MAX;
        if let Some(known) = self.peers.get_mut(peer) {
            known.headers_lost = 0;
        }
        let Some(first) = headers.first().map(|first| first.header.parent_hash) else {
            session.headers_busy = false;
            return self.on_headers_end(context);
        };
        if !session.locator.contains(&first) {
            self.punish(context, peer, Offence::WrongResponse, "headers that begin elsewhere".to_owned());
            return self.end_sync(context);
        }
        let anchor = match session.tail.clone() {
            Some(tail) => Some(tail),
            None => self.place(context, first)?,
        };
        let Some(mut anchor) = anchor else { return self.end_sync(context) };
        // What is stored already, on whatever branch, was verified when it came: so a sync goes on where another one ended.
        let mut known = 0;
        for header in &headers {
            if header.header.parent_hash != anchor.parent.hash() {
                break;
            }
            let hash = header.header.hash_slow();
            let Some(stored) = context.view.header_by_hash(hash)? else { break };
            let is_ours = context.view.is_canonical(stored.number, hash)?;
            let work = context.view.total_difficulty(hash)?;
            let Some(session) = &mut self.sync.session else { return Ok(()) };
            if is_ours {
                session.ancestor = stored.number;
            }
            session.tail_work = work.unwrap_or(session.tail_work);
            anchor = Anchor { grandparent_timestamp: Some(anchor.parent.timestamp), parent: stored };
            known += 1;
        }
        headers.drain(..known);
        let Some(session) = &mut self.sync.session else { return Ok(()) };
        session.tail = Some(anchor.clone());
        if headers.is_empty() {
            session.headers_busy = false;
            return self.on_headers_end(context);
        }
        let anchor = Box::new(anchor);
        context.push(Action::Run(Box::new(Job::VerifyHeaders { session: id, peer, anchor, headers })));
        Ok(())
    }

    /// Finds the block of ours after which a peer's headers begin.
    fn place(&mut self, context: &Context<'_>, hash: B256) -> Result<Option<Anchor>, ViewError> {
        let Some(header) = context.view.header_by_hash(hash)? else { return Ok(None) };
        let work = context.view.total_difficulty(hash)?;
        if let Some(session) = &mut self.sync.session {
            session.ancestor = header.number;
            session.tail_work = work.unwrap_or_default();
        }
        Anchor::read(&context.view, header)
    }

    /// Takes verified headers into the queue.
    pub(crate) fn on_headers_verified(
        &mut self,
        context: &mut Context<'_>,
        id: u64,
        peer: PeerId,
        result: Result<Vec<HeaderEntry>, HeaderFault>,
    ) -> Result<(), ViewError> {
        let Some(session) = self.sync.session.as_mut().filter(|session| session.id == id) else { return Ok(()) };
        session.headers_busy = false;
        session.moved_at = context.now_ms;
        let entries = match result {
            Ok(entries) => entries,
            Err(fault) => {
                self.punish(context, peer, Offence::InvalidHeader, fault.to_string());
                return self.end_sync(context);
            }
        };
        for entry in entries {
            let Some(tail) = &session.tail else { break };
            // A sync that lost its peer meanwhile has another tail.
            if entry.header.parent_hash != tail.parent.hash() {
                break;
            }
            let (timestamp, header) = (tail.parent.timestamp, entry.header.clone());
            session.tail_work = session.tail_work.saturating_add(header.difficulty);
            session.tail = Some(Anchor { grandparent_timestamp: Some(timestamp), parent: header });
            session.queue.push(entry, timestamp);
        }
        let was_heavier = session.is_heavier;
        session.is_heavier |= fork_choice::replaces(session.tail_work, context.view.head_td());
        if !session.is_heavier && session.queue.len() + HEADERS_MAX > HEADERS_AHEAD_MAX {
            self.refuse_branch();
            return Ok(());
        }
        // Once only: later on our own chain is the one that is being followed.
        let proven = session.is_heavier && !was_heavier;
        if proven && session.ancestor < context.view.finalized_number() {
            let (target, ancestor) = (session.target, session.ancestor);
            self.alarm_below_finalized(context, peer, target, ancestor, context.view.finalized_number());
            self.refuse_branch();
            return Ok(());
        }
        if session.headers_end && !session.is_heavier {
            return self.on_headers_end(context);
        }
        self.drive_sync(context)
    }

    /// Judges a chain of which all headers are here.
    fn on_headers_end(&mut self, context: &mut Context<'_>) -> Result<(), ViewError> {
        let Some(session) = &self.sync.session else { return Ok(()) };
        if session.is_heavier || !session.headers_end {
            return self.drive_sync(context);
        }
        let (peer, proven) = (session.peer, session.tail_work.max(context.view.head_td()));
        let known = self.peers.get(peer);
        let same_claim =
            known.and_then(|peer| peer.status.as_ref()).is_some_and(|status| status.head == session.target);
        let claimed = known.map(super::super::peers::Peer::claimed_work).unwrap_or_default();
        self.sync.session = None;
        // The chain may have moved under the request; a claim that is told again is a false one.
        if same_claim && fork_choice::replaces(claimed, proven) {
            let detail = format!("claims total difficulty {claimed}, its headers come to {proven}");
            self.punish(context, peer, Offence::FalseClaim, detail);
            if let Some(known) = self.peers.get_mut(peer) {
                known.refused_head = known.status.as_ref().map(|status| status.head);
            }
        }
        self.consider_sync(context)
    }

    /// Does without headers that did not come.
    pub(crate) fn on_headers_lost(
        &mut self,
        context: &mut Context<'_>,
        id: u64,
        peer: PeerId,
    ) -> Result<(), ViewError> {
        self.rest(context, peer);
        if let Some(known) = self.peers.get_mut(peer) {
            known.headers_lost = known.headers_lost.saturating_add(1);
        }
        if let Some(session) = self.sync.session.as_mut().filter(|session| session.id == id) {
            session.headers_busy = false;
            session.stalls += 1;
            if session.queue.is_empty() {
                self.sync.session = None;
            }
        }
        self.drive_sync(context)
    }
}
