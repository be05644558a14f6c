//! New transactions: announced by name, fetched from who holds them, added to the pool, and announced on. A node says of a
//! transaction only that it holds it, so announcements are not passed on: each node makes its own.

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::{B256, keccak256};
use chain::{PoolError, ViewError};
use consensus::RecoveredTransaction;

use super::action::{Action, Offence};
use super::bounded::Seen;
use super::event::PeerId;
use super::job::Job;
use super::limits::{
    GATHER_MS, HOLDERS_MAX, POOL_MS, REFUSED_MAX, TRANSACTION_JOBS_MAX, WANTED_GRANTED, WANTED_MAX, WANTED_PER_PEER,
};
use super::requests::Purpose;
use super::serve::notice;
use super::{Context, Machine};
use crate::message::limits::{NOTICES_MAX, RESPONSE_BYTES_SOFT, TRANSACTION_BYTES_MAX, TRANSACTIONS_MAX};
use crate::message::{Announcement, Gossip, Notice, Request};

/// A transaction that we do not have.
struct Wanted {
    size_bytes: usize,
    /// Who holds it; the first has announced it first.
    holders: Vec<PeerId>,
    /// Whether it is asked for, or with a job.
    is_coming: bool,
}

/// What one peer holds of the wanted transactions.
#[derive(Default)]
struct Shares {
    /// How many they are.
    count: usize,
    /// In the order in which it has announced them; what is no longer wanted of it may stand here until it is met.
    order: VecDeque<B256>,
}

/// Holds what is known of transactions that are on their way in and out.
pub(crate) struct Transactions {
    wanted: BTreeMap<B256, Wanted>,
    shares: BTreeMap<PeerId, Shares>,
    refused: Seen,
    untold: Vec<Notice>,
    tell_at: Option<u64>,
    jobs: usize,
    pool_asked_at: u64,
}

impl Default for Transactions {
    fn default() -> Self {
        Self {
            wanted: BTreeMap::new(),
            shares: BTreeMap::new(),
            refused: Seen::new(REFUSED_MAX),
            untold: Vec::new(),
            tell_at: None,
            jobs: 0,
            pool_asked_at: 0,
        }
    }
}

impl Transactions {
    /// Counts the transactions that are wanted.
    pub(crate) fn wanted_count(&self) -> usize {
        self.wanted.len()
    }

    fn forget(&mut self, hash: B256) {
        if let Some(wanted) = self.wanted.remove(&hash) {
            for holder in wanted.holders {
                self.release(holder);
            }
        }
    }

    fn release(&mut self, holder: PeerId) {
        if let Some(shares) = self.shares.get_mut(&holder) {
            shares.count -= 1;
            if shares.count == 0 {
                self.shares.remove(&holder);
            }
        }
    }

    /// Takes a holder from a wanted transaction; without any the transaction is not wanted any more.
    fn drop_holder(&mut self, hash: B256, holder: PeerId) {
        let Some(wanted) = self.wanted.get_mut(&hash) else { return };
        wanted.is_coming = false;
        let before = wanted.holders.len();
        wanted.holders.retain(|known| *known != holder);
        let (gone, none_left) = (wanted.holders.len() < before, wanted.holders.is_empty());
        if gone {
            self.release(holder);
        }
        if none_left {
            self.wanted.remove(&hash);
        }
    }

    fn want(&mut self, notice: &Notice, peer: PeerId) {
        let share = self.shares.get(&peer).map_or(0, |shares| shares.count);
        if share >= WANTED_PER_PEER {
            return;
        }
        if self.wanted.len() >= WANTED_MAX && share < WANTED_GRANTED && !self.wanted.contains_key(&notice.hash) {
            self.make_room();
        }
        let is_full = self.wanted.len() >= WANTED_MAX;
        match self.wanted.get_mut(&notice.hash) {
            Some(wanted) if wanted.holders.contains(&peer) || wanted.holders.len() >= HOLDERS_MAX => return,
            Some(wanted) => wanted.holders.push(peer),
            None if is_full => return,
            None => {
                let size_bytes = usize::try_from(notice.size_bytes).unwrap_or(usize::MAX);
                let wanted = Wanted { size_bytes, holders: vec![peer], is_coming: false };
                self.wanted.insert(notice.hash, wanted);
            }
        }
        let shares = self.shares.entry(peer).or_default();
        shares.count += 1;
        shares.order.push_back(notice.hash);
        // What is no longer wanted goes before it piles up.
        if shares.order.len() > 2 * WANTED_PER_PEER {
            shares.order.retain(|hash| self.wanted.get(hash).is_some_and(|wanted| wanted.holders.contains(&peer)));
        }
    }

    /// Does without the last one that was announced by whoever has announced most, where nobody else has it.
    fn make_room(&mut self) {
        let Some((peer, shares)) = self.shares.iter().max_by_key(|(peer, shares)| (shares.count, **peer)) else {
            return;
        };
        let is_alone = |wanted: &Wanted| !wanted.is_coming && wanted.holders == [*peer];
        let last = shares.order.iter().rev().find(|hash| self.wanted.get(*hash).is_some_and(is_alone)).copied();
        if let Some(hash) = last {
            self.forget(hash);
        }
    }

    /// Takes the hashes that are to be asked of a peer now.
    fn take_batch(&mut self, peer: PeerId) -> Vec<B256> {
        let (mut batch, mut bytes) = (Vec::new(), 0usize);
        let Some(shares) = self.shares.get_mut(&peer) else { return batch };
        while shares.order.front().is_some_and(|hash| !self.wanted.contains_key(hash)) {
            shares.order.pop_front();
        }
        for hash in &shares.order {
            let Some(wanted) = self.wanted.get_mut(hash) else { continue };
            if wanted.is_coming || !wanted.holders.contains(&peer) {
                continue;
            }
            bytes = bytes.saturating_add(wanted.size_bytes);
            if batch.len() == TRANSACTIONS_MAX || (bytes > RESPONSE_BYTES_SOFT && !batch.is_empty()) {
                break;
            }
            wanted.is_coming = true;
            batch.push(*hash);
        }
        batch
    }
}

impl Machine {
    /// Takes note of what a peer holds, and fetches what we lack.
    pub(crate) fn on_notices(
        &mut self,
        context: &mut Context<'_>,
        peer: PeerId,
        notices: &[Notice],
    ) -> Result<(), ViewError> {
        if notices.iter().any(|notice| notice.kind == 3) {
            let detail = "a blob transaction was announced".to_owned();
            self.punish(context, peer, Offence::InvalidTransaction, detail);
            return Ok(());
        }
        for notice in notices {
            let too_long = notice.size_bytes > u64::try_from(TRANSACTION_BYTES_MAX).unwrap_or(u64::MAX);
            let known = context.ledger.pool().contains(notice.hash) || self.transactions.refused.contains(notice.hash);
            if !too_long && !known && context.view.transaction(notice.hash)?.is_none() {
                self.transactions.want(notice, peer);
            }
        }
        self.fetch_transactions(context, peer);
        Ok(())
    }

    fn fetch_transactions(&mut self, context: &mut Context<'_>, peer: PeerId) {
        if self.transactions.jobs >= TRANSACTION_JOBS_MAX
            || !self.peers.get(peer).is_some_and(super::peers::Peer::has_room)
        {
            return;
        }
        let batch = self.transactions.take_batch(peer);
        if !batch.is_empty() {
            let message = Request::Transactions(batch.clone());
            self.send(context, peer, Purpose::Transactions(batch), message);
        }
    }

    /// Adds fetched transactions to the pool, by a job.
    pub(crate) fn on_transactions(
        &mut self,
        context: &mut Context<'_>,
        peer: PeerId,
        asked: &[B256],
        transactions: Vec<Vec<u8>>,
    ) {
        // The hash of a transaction is that of its encoding, so that what was not asked for is told without decoding.
        let hashes: Vec<B256> = transactions.iter().map(keccak256).collect();
        for hash in asked.iter().filter(|hash| !hashes.contains(hash)) {
            self.transactions.drop_holder(*hash, peer);
        }
        if hashes.iter().any(|hash| !asked.contains(hash)) || hashes.len() > asked.len() {
            hashes.iter().for_each(|hash| self.transactions.drop_holder(*hash, peer));
            let detail = "transactions that were not asked for".to_owned();
            self.punish(context, peer, Offence::WrongResponse, detail);
            return;
        }
        if !transactions.is_empty() {
            self.transactions.jobs += 1;
            context.push(Action::Run(Box::new(Job::AddTransactions { peer, transactions })));
        }
    }

    /// Does without transactions that a peer did not send.
    pub(crate) fn on_transactions_lost(&mut self, context: &mut Context<'_>, peer: PeerId, asked: &[B256]) {
        asked.iter().for_each(|hash| self.transactions.drop_holder(*hash, peer));
        self.fetch_from_all(context);
    }

    fn fetch_from_all(&mut self, context: &mut Context<'_>) {
        if self.transactions.wanted.is_empty() {
            return;
        }
        let peers: Vec<PeerId> = self.peers.welcome().map(|(id, _)| id).collect();
        for peer in peers {
            self.fetch_transactions(context, peer);
        }
    }

    /// Learns what the pool says to fetched transactions.
    pub(crate) fn on_transactions_added(
        &mut self,
        context: &mut Context<'_>,
        peer: PeerId,
        outcomes: Vec<(B256, Result<(), PoolError>)>,
        malformed: Vec<(B256, String)>,
    ) {
        self.transactions.jobs = self.transactions.jobs.saturating_sub(1);
        let mut wrong = Vec::new();
        for (hash, outcome) in outcomes {
            self.transactions.forget(hash);
            match outcome {
                Err(error @ PoolError::WrongChainId { .. }) => wrong.push((hash, error.to_string())),
                Ok(()) | Err(PoolError::AlreadyKnown | PoolError::State(_)) => {}
                // It may be good again later, but not because another peer has it too.
                Err(_) => {
                    self.transactions.refused.insert(hash);
                }
            }
        }
        for (hash, problem) in malformed.into_iter().chain(wrong) {
            self.transactions.forget(hash);
            self.transactions.refused.insert(hash);
            self.punish(context, peer, Offence::InvalidTransaction, format!("transaction {hash}: {problem}"));
        }
        self.fetch_from_all(context);
    }

    /// Takes note of a transaction that entered our pool: peers are told within [`GATHER_MS`].
    pub(crate) fn on_new_transaction(&mut self, context: &mut Context<'_>, tx: &RecoveredTransaction) {
        self.transactions.forget(tx.hash());
        if tx.size_bytes() > TRANSACTION_BYTES_MAX {
            return;
        }
        // So never more than one announcement waits.
        self.transactions.untold.push(notice(tx));
        if self.transactions.untold.len() >= NOTICES_MAX {
            self.tell_transactions(context);
        } else if self.transactions.tell_at.is_none() {
            let at = context.now_ms.saturating_add(GATHER_MS);
            self.transactions.tell_at = Some(at);
            context.push(Action::WakeAt(at));
        }
    }

    fn tell_transactions(&mut self, context: &mut Context<'_>) {
        self.transactions.tell_at = None;
        let notices = std::mem::take(&mut self.transactions.untold);
        if !notices.is_empty() {
            let salt = context.rng.next_u64();
            self.publish(context, &Gossip::Transactions(Announcement { salt, notices }));
        }
    }

    /// Tells what has been gathered, and asks a peer what gossip may have missed.
    pub(crate) fn tick_transactions(&mut self, context: &mut Context<'_>) {
        if self.transactions.tell_at.is_some_and(|at| at <= context.now_ms) {
            self.tell_transactions(context);
        }
        if context.now_ms.saturating_sub(self.transactions.pool_asked_at) >= POOL_MS {
            self.transactions.pool_asked_at = context.now_ms;
            // What was refused once, for want of funds say, gets another try.
            self.transactions.refused = Seen::new(REFUSED_MAX);
            // In turn, so that what one peer alone has comes to light in a known time.
            let able = self.peers.welcome().filter(|(_, peer)| peer.has_room());
            if let Some((peer, _)) = able.min_by_key(|(id, peer)| (peer.pool_asked_at, *id)) {
                self.ask_pool(context, peer);
            }
        }
        self.fetch_from_all(context);
    }

    /// Asks a peer what is in its pool.
    pub(crate) fn ask_pool(&mut self, context: &mut Context<'_>, peer: PeerId) {
        if let Some(known) = self.peers.get_mut(peer) {
            known.pool_asked_at = context.now_ms;
        }
        self.send(context, peer, Purpose::Pool, Request::Pool);
    }

    /// Drops a peer that is gone from the holders.
    pub(crate) fn forget_transactions_of(&mut self, peer: PeerId) {
        let held = self.transactions.wanted.iter().filter(|(_, wanted)| wanted.holders.contains(&peer));
        let held: Vec<(B256, bool)> = held.map(|(hash, wanted)| (*hash, wanted.is_coming)).collect();
        for (hash, is_coming) in held {
            self.transactions.drop_holder(hash, peer);
            if let Some(wanted) = self.transactions.wanted.get_mut(&hash) {
                wanted.is_coming = is_coming;
            }
        }
    }
}
