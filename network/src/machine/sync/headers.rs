//! The headers of a sync: where the peer's chain leaves ours, what follows, and whether it is heavier.

use alloy_primitives::B256;
use chain::ViewError;
use consensus::fork_choice;

use super::super::action::{Action, Offence};
use super::super::event::PeerId;
use super::super::job::Job;
use super::super::limits::{HEADERS_AHEAD_MAX, HEADERS_FIRST};
use super::super::requests::Purpose;
use super::super::verify::{Anchor, HeaderEntry, HeaderFault};
use super::super::{Context, Machine};
use super::queue::Queue;
use super::{HeaderRequest, Mark, Session, Walk};
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

impl Session {
    /// Tells whether headers are on their way or being verified.
    pub(super) fn awaits_headers(&self) -> bool {
        self.asked.is_some() || self.verifying.is_some() || self.ahead.is_some()
    }

    /// Tells whether the next headers can be asked for: while the last ones are being verified too, save where they end at a mark.
    fn can_ask(&self) -> bool {
        let verifying = if self.verifying.is_some() { HEADERS_MAX } else { 0 };
        let has_room = self.queue.len() + verifying + HEADERS_MAX <= HEADERS_AHEAD_MAX;
        let must_wait = self.verifying.is_some() && (!self.has_shown || self.walk == Walk::Again);
        self.asked.is_none() && self.ahead.is_none() && !self.headers_end && has_room && !must_wait
    }

    /// Returns how many headers are missing up to the next mark, where headers are fetched again.
    fn to_next_mark(&self) -> Option<usize> {
        let (mark, tail) = (self.marks.front().filter(|_| self.walk == Walk::Again)?, self.tail.as_ref()?);
        usize::try_from(mark.number.saturating_sub(tail.parent.number)).ok()
    }

    /// Takes verified headers, which follow the tail unless it has changed meanwhile.
    fn take_headers(&mut self, entries: Vec<HeaderEntry>) {
        for entry in entries {
            let Some(tail) = &self.tail else { return };
            if entry.header.parent_hash != tail.parent.hash() {
                return;
            }
            let (timestamp, header) = (tail.parent.timestamp, entry.header.clone());
            self.tail_work = self.tail_work.saturating_add(header.difficulty);
            self.tail = Some(Anchor { grandparent_timestamp: Some(timestamp), parent: header });
            if self.walk != Walk::Counting {
                self.queue.push(entry, timestamp);
            }
        }
        let Some(tail) = &self.tail else { return };
        let mark = Mark { number: tail.parent.number, hash: tail.parent.hash() };
        match self.walk {
            Walk::Again => {
                self.marks.pop_front();
                if self.marks.is_empty() {
                    self.walk = Walk::Keeping;
                }
            }
            Walk::Keeping if self.is_heavier => {}
            Walk::Keeping | Walk::Counting => self.marks.push_back(mark),
        }
    }

    /// Keeps no headers any more where they have become too many before they have proven what was claimed.
    fn make_room(&mut self) {
        if self.walk == Walk::Keeping && self.queue.len() + HEADERS_MAX > HEADERS_AHEAD_MAX {
            (self.walk, self.queue) = (Walk::Counting, Queue::default());
        }
    }

    /// Begins to fetch the headers again, where they were only counted, under another name: what is still on its way follows others.
    fn begin_again(&mut self, id: u64) {
        if let (Walk::Counting, Some((anchor, work))) = (self.walk, self.origin.take()) {
            (self.id, self.asked, self.ahead) = (id, None, None);
            (self.walk, self.tail, self.tail_work, self.headers_end) = (Walk::Again, Some(anchor), work, false);
        } else {
            self.marks.clear();
        }
    }
}

impl Machine {
    /// Asks for the next headers, where there is room for them.
    pub(super) fn ask_headers(&mut self, context: &mut Context<'_>) -> Result<(), ViewError> {
        let Some(session) = self.sync.session.as_mut().filter(|session| session.can_ask()) else { return Ok(()) };
        let caution = self.peers.get(session.peer).map_or(0, |peer| peer.caution);
        let locator = match (session.verifying, &session.tail) {
            (Some(last), _) => vec![last],
            (None, Some(tail)) => vec![tail.parent.hash()],
            (None, None) => locator(context)?,
        };
        let most = if session.has_shown { HEADERS_MAX } else { HEADERS_FIRST };
        let count = session.to_next_mark().unwrap_or((most >> caution).max(1));
        session.asked = Some(HeaderRequest { locator: locator.clone(), count });
        let (id, peer) = (session.id, session.peer);
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.send(context, peer, Purpose::Headers(id), Request::Headers { locator, count });
        Ok(())
    }

    /// Takes headers: they are verified by a job, after those that came before.
    pub(crate) fn on_headers(
        &mut self,
        context: &mut Context<'_>,
        id: u64,
        peer: PeerId,
        headers: Vec<WitnessedHeader>,
    ) -> Result<(), ViewError> {
        let Some(session) = self.sync.session.as_mut().filter(|session| session.id == id) else { return Ok(()) };
        let Some(asked) = session.asked.take() else { return Ok(()) };
        session.moved_at = context.now_ms;
        if headers.len() > asked.count {
            self.punish(context, peer, Offence::WrongResponse, "more headers than were asked for".to_owned());
            return self.end_sync(context);
        }
        if session.verifying.is_some() {
            session.ahead = Some((asked, headers));
            return Ok(());
        }
        self.follow_headers(context, asked, headers)
    }

    /// Has headers verified that follow the tail, and asks for the next ones.
    fn follow_headers(
        &mut self,
        context: &mut Context<'_>,
        asked: HeaderRequest,
        mut headers: Vec<WitnessedHeader>,
    ) -> Result<(), ViewError> {
        let Some(session) = &mut self.sync.session else { return Ok(()) };
        let (id, peer, is_short) = (session.id, session.peer, headers.len() < asked.count);
        if session.walk == Walk::Again && is_short {
            // The peer's chain is another one by now.
            return self.end_sync(context);
        }
        session.headers_end = is_short;
        let Some(first) = headers.first().map(|first| first.header.parent_hash) else {
            return self.on_headers_end(context);
        };
        if !asked.locator.contains(&first) {
            self.punish(context, peer, Offence::WrongResponse, "headers that begin elsewhere".to_owned());
            return self.end_sync(context);
        }
        let anchor = match session.tail.clone() {
            Some(tail) => Some(tail),
            None => self.place(context, first)?,
        };
        let Some(anchor) = anchor else { return self.end_sync(context) };
        let known = self.pass_known(context, anchor, &headers)?;
        headers.drain(..known);
        let Some(session) = &mut self.sync.session else { return Ok(()) };
        let Some(last) = headers.last().map(|last| last.header.hash_slow()) else {
            return self.on_headers_end(context);
        };
        let Some(tail) = session.tail.clone() else { return Ok(()) };
        session.verifying = Some(last);
        session.origin.get_or_insert_with(|| (tail.clone(), session.tail_work));
        let ends_at = session.marks.front().filter(|_| session.walk == Walk::Again).map(|mark| mark.hash);
        let anchor = Box::new(tail);
        context.push(Action::Run(Box::new(Job::VerifyHeaders { session: id, peer, anchor, headers, ends_at })));
        self.ask_headers(context)
    }

    /// Goes on with the headers that came while others were verified, and with all else.
    fn go_on(&mut self, context: &mut Context<'_>) -> Result<(), ViewError> {
        if let Some((asked, headers)) = self.sync.session.as_mut().and_then(|session| session.ahead.take()) {
            self.follow_headers(context, asked, headers)?;
        }
        self.drive_sync(context)
    }

    /// Passes over the first headers that are stored already, on whatever branch, and returns how many they are. They were verified when
    /// they came: so a sync goes on where another one ended.
    fn pass_known(
        &mut self,
        context: &Context<'_>,
        mut anchor: Anchor,
        headers: &[WitnessedHeader],
    ) -> Result<usize, ViewError> {
        let Some(session) = &mut self.sync.session else { return Ok(0) };
        let mut known = 0;
        // What is fetched again has its mark at the end, and is taken whole.
        for header in headers.iter().filter(|_| session.walk != Walk::Again) {
            if header.header.parent_hash != anchor.parent.hash() {
                break;
            }
            let hash = header.header.hash_slow();
            let Some(stored) = context.view.header_by_hash(hash)? else { break };
            if context.view.is_canonical(stored.number, hash)? {
                session.ancestor = stored.number;
            }
            session.tail_work = context.view.total_difficulty(hash)?.unwrap_or(session.tail_work);
            anchor = Anchor { grandparent_timestamp: Some(anchor.parent.timestamp), parent: stored };
            known += 1;
        }
        session.tail = Some(anchor);
        Ok(known)
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
        session.verifying = None;
        session.moved_at = context.now_ms;
        session.stalls = 0;
        let entries = match result {
            Ok(entries) => entries,
            // The peer's chain may be another one by now.
            Err(_) if session.walk == Walk::Again => return self.end_sync(context),
            Err(fault) => {
                self.punish(context, peer, Offence::InvalidHeader, fault.to_string());
                return self.end_sync(context);
            }
        };
        session.take_headers(entries);
        session.has_shown = true;
        if let Some(known) = self.peers.get_mut(peer) {
            known.caution = known.caution.saturating_sub(1);
        }
        if !session.is_heavier {
            let work = session.tail_work;
            session.is_heavier = work >= session.claimed && fork_choice::replaces(work, context.view.head_td());
            if session.is_heavier {
                return self.on_claim_proven(context);
            }
            session.make_room();
            let far = session.target_number.saturating_add(u64::try_from(HEADERS_MAX).unwrap_or(u64::MAX));
            if session.tail.as_ref().is_some_and(|tail| tail.parent.number > far) {
                session.headers_end = true;
            }
        }
        if session.headers_end && !session.is_heavier {
            return self.on_headers_end(context);
        }
        self.go_on(context)
    }

    /// Goes on to the blocks, now that the headers have shown what was claimed.
    fn on_claim_proven(&mut self, context: &mut Context<'_>) -> Result<(), ViewError> {
        let Some(session) = &mut self.sync.session else { return Ok(()) };
        if session.ancestor < context.view.finalized_number() {
            let (peer, target, ancestor) = (session.peer, session.target, session.ancestor);
            self.alarm_below_finalized(context, peer, target, ancestor, context.view.finalized_number());
            self.refuse_branch();
            return Ok(());
        }
        self.sync.next_id += 1;
        session.begin_again(self.sync.next_id);
        self.go_on(context)
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
        self.close_session(context);
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
        if let Some(session) = self.sync.session.as_mut().filter(|session| session.id == id) {
            session.asked = None;
            session.stalls += 1;
            if session.tail.is_none() {
                self.close_session(context);
            }
        }
        self.drive_sync(context)
    }
}
