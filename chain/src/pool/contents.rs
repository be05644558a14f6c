//! What is in the pool, behind its lock: accounts, the hash index, and the limits.

use std::sync::Arc;

use alloy_consensus::Transaction as _;
use alloy_primitives::map::{AddressMap, AddressSet, B256Map};
use alloy_primitives::{Address, B256};
use consensus::{Fork, RecoveredTransaction};

use super::account::{Account, Entry, Facts, Rank, cost};
use super::config::{PoolConfig, TransactionOrigin};
use super::errors::{DropReason, PoolError};
use super::index::Index;
use super::validate::{tip_cap, validate_funds, validate_replacement};

/// What an entry takes in memory beside its encoding, roughly: the decoded fields, the map nodes, the index.
const ENTRY_BYTES: usize = 768;

/// How many senders of local transactions are remembered after their transactions have left.
pub(super) const LOCALS_MAX: usize = 65_536;

/// Says on what terms a transaction comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Somebody submits it.
    Submitted(TransactionOrigin),
    /// It comes back from a block that left the chain: some miner has found its price good enough.
    Returned,
}

/// A valid transaction that asks for a place, with what the state says of its sender.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) transaction: RecoveredTransaction,
    pub(super) admission: Admission,
    pub(super) facts: Facts,
    /// The number of the block whose state `facts` is.
    pub(super) seen_at: u64,
    pub(super) base_fee: Option<u64>,
    pub(super) now: u64,
}

/// An entry that lost its place, with what is needed to give it back.
#[derive(Debug)]
struct Victim {
    entry: Entry,
    reason: DropReason,
    facts: Facts,
    beat: u64,
}

#[derive(Debug)]
pub(super) struct Contents {
    pub(super) config: PoolConfig,
    pub(super) accounts: AddressMap<Arc<Account>>,
    pub(super) by_hash: B256Map<(Address, u64)>,
    pub(super) index: Index,
    /// Memory in bytes that all entries take.
    pub(super) bytes: usize,
    /// Senders of local transactions, beside those of the configuration.
    locals: AddressSet,
    sequence: u64,
    /// Number and next fork of the head that was last told.
    pub(super) head: Option<(u64, Fork)>,
    /// The next nonces of the senders in the newest blocks: a reader of an older state does not know them.
    pub(super) mined: AddressMap<u64>,
    /// Senders that added something by an older state than the pool's: the next head reads them again.
    pub(super) doubtful: AddressSet,
    /// Dropped, and not yet told to anybody.
    pub(super) unreported: Vec<(B256, DropReason)>,
}

impl Contents {
    pub(super) fn new(config: PoolConfig) -> Self {
        Self {
            index: Index::new(config.account_slots),
            config,
            accounts: AddressMap::default(),
            by_hash: B256Map::default(),
            bytes: 0,
            locals: AddressSet::default(),
            sequence: 0,
            head: None,
            mined: AddressMap::default(),
            doubtful: AddressSet::default(),
            unreported: Vec::new(),
        }
    }

    pub(super) fn is_local(&self, address: Address) -> bool {
        self.config.locals.contains(&address)
            || self.locals.contains(&address)
            || self.accounts.get(&address).is_some_and(|account| account.is_local())
    }

    /// Returns an entry and whether it is executable.
    pub(super) fn get(&self, hash: B256) -> Option<(&Entry, bool)> {
        let (address, nonce) = self.by_hash.get(&hash)?;
        let account = self.accounts.get(address)?;
        Some((account.get(*nonce)?, *nonce < account.next()))
    }

    /// Gives the candidate a place. On success, what it drove out is in `unreported`; on failure nothing has changed.
    pub(super) fn admit(&mut self, mut candidate: Candidate) -> Result<(), PoolError> {
        let (hash, sender) = (candidate.transaction.hash(), candidate.transaction.sender());
        if self.by_hash.contains_key(&hash) {
            return Err(PoolError::AlreadyKnown);
        }
        let is_outdated = self.head.is_some_and(|(number, _)| candidate.seen_at < number);
        if is_outdated {
            let mined = self.mined.get(&sender).copied().unwrap_or(0);
            candidate.facts.nonce = candidate.facts.nonce.max(mined);
        }
        self.note_facts(sender, &candidate);
        self.check(&candidate)?;
        if is_outdated {
            self.doubtful.insert(sender);
        }
        let Candidate { transaction, admission, facts, base_fee, now, .. } = candidate;
        let origin = match admission {
            Admission::Submitted(origin) => origin,
            Admission::Returned => TransactionOrigin::Remote,
        };
        let newly_local = origin == TransactionOrigin::Local && !self.config.no_locals && !self.is_local(sender);
        self.sequence += 1;
        let rank = Rank::new(&transaction, base_fee);
        let cost = cost(&transaction);
        let entry = Entry { transaction, sequence: self.sequence, added_at: now, origin, cost, rank, floor: rank };

        let beat = self.accounts.get(&sender).map(|account| account.beat);
        let replaced = self.put(entry, facts, now, newly_local);
        if let Err(error) = self.make_room_for(hash) {
            if let (Some(entry), Some(beat)) = (replaced, beat) {
                self.put(entry, facts, beat, false);
            }
            self.change(sender, |account| {
                account.beat = beat.unwrap_or(now);
                account.set_local(account.is_local() && !newly_local);
            });
            return Err(error);
        }
        if newly_local && self.locals.len() < LOCALS_MAX {
            self.locals.insert(sender);
        }
        if let Some(entry) = replaced {
            self.unreported.push((entry.hash(), DropReason::Replaced { by: hash }));
        }
        Ok(())
    }

    /// Takes what the candidate's state says of an account that is here, if that state is the pool's.
    fn note_facts(&mut self, sender: Address, candidate: &Candidate) {
        let is_current = self.head.is_none_or(|(number, _)| number == candidate.seen_at);
        if is_current && self.accounts.get(&sender).is_some_and(|account| account.facts() != candidate.facts) {
            let used = self.change(sender, |account| account.update(candidate.facts)).unwrap_or_default();
            self.drop_all(used, DropReason::NonceTooLow);
            self.make_room();
        }
    }

    fn check(&self, candidate: &Candidate) -> Result<(), PoolError> {
        let Candidate { transaction, admission, facts, .. } = candidate;
        let sender = transaction.sender();
        let is_exempt = match admission {
            Admission::Submitted(TransactionOrigin::Local) if !self.config.no_locals => true,
            Admission::Submitted(_) => self.is_local(sender),
            Admission::Returned => true,
        };
        let (tip_wei, minimum_wei) = (tip_cap(transaction), self.config.price_limit_wei);
        if tip_wei < minimum_wei && !is_exempt {
            return Err(PoolError::Underpriced { tip_wei, minimum_wei });
        }
        let account = self.accounts.get(&sender).map(Arc::as_ref);
        let known = account.map_or(0, |account| account.facts().nonce);
        let (next, tx) = (facts.nonce.max(known), transaction.nonce());
        if tx < next {
            return Err(PoolError::NonceTooLow { next, tx });
        }
        validate_funds(transaction, facts.balance, account)?;
        match account.and_then(|account| account.get(tx)) {
            Some(old) => validate_replacement(&old.transaction, transaction, self.config.price_bump_percent),
            None => Ok(()),
        }
    }

    /// Brings the pool back within its limits after `newcomer` came in, or takes the newcomer out again.
    fn make_room_for(&mut self, newcomer: B256) -> Result<(), PoolError> {
        let mut victims: Vec<Victim> = Vec::new();
        while let Some((address, nonce, reason)) = self.next_victim(Some(newcomer)) {
            let victim = self.oust(address, nonce, reason);
            if victim.entry.hash() != newcomer {
                victims.push(victim);
                continue;
            }
            // The newcomer is worth least: all as before. Its own followers may be among the victims.
            for Victim { entry, facts, beat, .. } in victims {
                self.put(entry, facts, beat, false);
            }
            return Err(match victim.reason {
                DropReason::Underpriced => PoolError::Outbid,
                _ => PoolError::PoolFull,
            });
        }
        self.unreported.extend(victims.into_iter().map(|victim| (victim.entry.hash(), victim.reason)));
        Ok(())
    }

    /// Brings the pool back within its limits after a change of the state.
    pub(super) fn make_room(&mut self) {
        while let Some((address, nonce, reason)) = self.next_victim(None) {
            let victim = self.oust(address, nonce, reason);
            self.unreported.push((victim.entry.hash(), victim.reason));
        }
    }

    /// Names who must leave next, if a limit is exceeded. A queued transaction never drives out an executable one.
    fn next_victim(&self, newcomer: Option<B256>) -> Option<(Address, u64, DropReason)> {
        let (config, index) = (&self.config, &self.index);
        let queued =
            |address: Address, reason| Some((address, self.accounts.get(&address)?.last_queued()?.nonce(), reason));
        let executable =
            |address: Address, reason| Some((address, self.accounts.get(&address)?.last_executable()?.nonce(), reason));
        let longest = index.longest_queue();

        if let Some((count, address)) = longest {
            if count > config.account_queue {
                return queued(address, DropReason::AccountQueueFull);
            }
            if index.remote_queued > config.global_queue {
                return queued(address, DropReason::PoolFull);
            }
        }
        if index.remote_executable > config.global_slots {
            return match index.largest() {
                Some(address) => executable(address, DropReason::PoolFull),
                None => executable(index.cheapest()?, DropReason::Underpriced),
            };
        }
        if self.bytes > config.bytes_max {
            if let Some((_, address)) = longest {
                return queued(address, DropReason::PoolFull);
            }
            let newcomer_waits = newcomer.and_then(|hash| self.get(hash)).is_some_and(|(_, executable)| !executable);
            if let Some(address) = index.cheapest().filter(|_| !newcomer_waits) {
                return executable(address, DropReason::Underpriced);
            }
            let (address, nonce) = *self.by_hash.get(&newcomer?)?;
            return Some((address, nonce, DropReason::PoolFull));
        }
        None
    }

    /// Puts an entry in and returns the one that had its nonce.
    fn put(&mut self, entry: Entry, facts: Facts, beat: u64, make_local: bool) -> Option<Entry> {
        let sender = entry.transaction.sender();
        self.bytes += footprint(&entry);
        self.by_hash.insert(entry.hash(), (sender, entry.nonce()));
        if !self.accounts.contains_key(&sender) {
            let is_local = self.is_local(sender);
            self.accounts.insert(sender, Arc::new(Account::new(facts, is_local, beat)));
        }
        let replaced = self.change(sender, |account| {
            account.beat = beat;
            if make_local {
                account.set_local(true);
            }
            account.insert(entry)
        });
        let replaced = replaced.expect("the account was made above");
        if let Some(entry) = &replaced {
            self.forget(entry);
        }
        replaced
    }

    fn oust(&mut self, address: Address, nonce: u64, reason: DropReason) -> Victim {
        let taken = self.change(address, |account| (account.facts(), account.beat, account.remove(nonce)));
        let (facts, beat, entry) = taken.expect("a victim's account is here");
        let entry = entry.expect("a victim is in its account");
        self.forget(&entry);
        Victim { entry, reason, facts, beat }
    }

    /// Takes out an entry, if it is here, and notes why.
    pub(super) fn drop_one(&mut self, hash: B256, reason: DropReason) -> bool {
        let Some(&(address, nonce)) = self.by_hash.get(&hash) else { return false };
        let entry = self.change(address, |account| account.remove(nonce)).flatten();
        self.drop_all(entry.into_iter().collect(), reason);
        true
    }

    /// Notes that entries, which are already taken out of their account, are dropped.
    pub(super) fn drop_all(&mut self, entries: Vec<Entry>, reason: DropReason) {
        for entry in entries {
            self.forget(&entry);
            self.unreported.push((entry.hash(), reason.clone()));
        }
    }

    /// Takes an entry out of all but its account.
    pub(super) fn forget(&mut self, entry: &Entry) {
        self.bytes -= footprint(entry);
        self.by_hash.remove(&entry.hash());
    }

    /// Changes an account and keeps the index true; an account without transactions is gone.
    pub(super) fn change<R>(&mut self, address: Address, change: impl FnOnce(&mut Account) -> R) -> Option<R> {
        let account = self.accounts.get_mut(&address)?;
        self.index.remove(address, account);
        let result = change(Arc::make_mut(account));
        if account.is_empty() {
            self.accounts.remove(&address);
        } else {
            self.index.add(address, account);
        }
        Some(result)
    }

    /// Drops what waits for an earlier nonce in remote accounts to which nothing was added for the pool's lifetime.
    pub(super) fn expire(&mut self, now: u64) {
        let is_old = |address: &Address| {
            self.accounts.get(address).is_some_and(|account| account.beat.saturating_add(self.config.lifetime_s) < now)
        };
        let old: Vec<Address> = self.index.queuing().filter(is_old).collect();
        for address in old {
            let expired = self.change(address, |account| {
                let next = account.next();
                account.extract(|entry| entry.nonce() >= next)
            });
            self.drop_all(expired.unwrap_or_default(), DropReason::Expired);
        }
    }

    /// Drops the remote transactions that pay less than the price limit.
    pub(super) fn drop_underpriced(&mut self) {
        let limit = self.config.price_limit_wei;
        let remote = self.accounts.iter().filter(|(_, account)| !account.is_local());
        let addresses: Vec<Address> = remote.map(|(address, _)| *address).collect();
        for address in addresses {
            let cheap = self.change(address, |account| account.extract(|entry| tip_cap(&entry.transaction) < limit));
            self.drop_all(cheap.unwrap_or_default(), DropReason::BelowPriceLimit);
        }
        self.make_room();
    }

    /// Drops everything and returns how much it was.
    pub(super) fn clear(&mut self) -> usize {
        let count = self.by_hash.len();
        let hashes = std::mem::take(&mut self.by_hash).into_keys();
        self.unreported.extend(hashes.map(|hash| (hash, DropReason::Removed)));
        self.accounts.clear();
        self.index = Index::new(self.config.account_slots);
        self.bytes = 0;
        count
    }

    /// Returns the transactions of local accounts in order of arrival.
    pub(super) fn local_transactions(&self) -> Vec<RecoveredTransaction> {
        let locals = self.accounts.values().filter(|account| account.is_local());
        by_arrival(locals.flat_map(|account| account.entries()))
    }
}

/// Returns the transactions of `entries` in order of arrival.
pub(super) fn by_arrival<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<RecoveredTransaction> {
    let mut entries: Vec<&Entry> = entries.collect();
    entries.sort_unstable_by_key(|entry| entry.sequence);
    entries.into_iter().map(|entry| entry.transaction.clone()).collect()
}

/// Returns the memory in bytes that an entry takes, roughly.
fn footprint(entry: &Entry) -> usize {
    entry.transaction.size_bytes() + ENTRY_BYTES
}
