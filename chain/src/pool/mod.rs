//! The transaction pool: what waits to be mined, under geth's rules, limits and words.
//!
//! A sender's transactions are *executable* as far as their nonces follow the account's own without a gap and its balance covers
//! them in sum; the others are *queued*. The pool reads accounts through [`HeadState`] and has no clock of its own. It follows
//! the chain by [`Pool::on_new_head`], which reads again only the accounts that the new blocks name; any other account is read
//! again when it adds something, or when [`Pool::recheck`] names it because one of its transactions failed to execute. It
//! neither gossips nor executes.

mod account;
mod config;
mod contents;
mod errors;
mod explain;
mod gas;
mod head;
mod index;
mod journal;
mod ordering;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::BTreeMap;

use alloy_primitives::map::HashMap;
use alloy_primitives::{Address, B256};
use consensus::RecoveredTransaction;
use parking_lot::{Mutex, RwLock};
use rayon::prelude::*;

pub use config::{PoolConfig, TRANSACTION_BYTES_MAX, TransactionOrder, TransactionOrigin};
pub use errors::{DropReason, PoolError};
pub use explain::{MISSING_NONCES_MAX, Obstacle, Waiting};
pub use gas::{TRANSACTION_GAS_MAX, floor_gas, intrinsic_gas};
pub use head::{HeadFacts, HeadState};
pub use journal::{JournalError, JournalReport};
pub use ordering::BestTransactions;

use account::{Account, Entry};
use contents::{Admission, Candidate, Contents, by_arrival};
use head::sender_facts;
use journal::Journal;
use ordering::Terms;
use validate::validate_alone;

/// How many journal entries are decoded and recovered at a time.
const JOURNAL_BATCH: usize = 1024;

/// Says what an addition did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The transaction's hash.
    pub hash: B256,
    /// What left the pool since the last report, for this one or before it.
    pub dropped: Vec<(B256, DropReason)>,
    /// Whether the next block may hold it.
    pub executable: bool,
    /// Why it is not in the journal though it should be: it would not survive a restart.
    pub journal_error: Option<JournalError>,
}

/// Holds a transaction in the pool and what the pool knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PooledTransaction {
    /// The transaction.
    pub transaction: RecoveredTransaction,
    /// When it was added, in seconds.
    pub added_at: u64,
    /// Who brought it.
    pub origin: TransactionOrigin,
    /// Whether the next block may hold it.
    pub executable: bool,
}

/// Counts what is in the pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Executable transactions.
    pub pending: usize,
    /// Queued transactions.
    pub queued: usize,
    /// The memory in bytes that they take, roughly.
    pub bytes: usize,
}

/// Lists what is in the pool, by sender and nonce.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolContent {
    /// Executable transactions.
    pub pending: BTreeMap<Address, BTreeMap<u64, RecoveredTransaction>>,
    /// Queued transactions.
    pub queued: BTreeMap<Address, BTreeMap<u64, RecoveredTransaction>>,
}

/// The transaction pool. All methods may be called from any thread.
#[derive(Debug)]
pub struct Pool {
    contents: RwLock<Contents>,
    /// Taken before `contents` where both are.
    journal: Option<Mutex<Journal>>,
    takes_impersonated: bool,
}

impl Pool {
    /// Makes an empty pool.
    pub fn new(config: PoolConfig) -> Self {
        let journal = config.journal.clone().map(|path| Mutex::new(Journal::new(path)));
        let takes_impersonated = config.takes_impersonated;
        Self { contents: RwLock::new(Contents::new(config)), journal, takes_impersonated }
    }

    /// Tells whether transactions that nobody has signed are taken, as on a development chain.
    pub fn takes_impersonated(&self) -> bool {
        self.takes_impersonated
    }

    /// Adds a transaction. `now` is the clock in seconds.
    ///
    /// # Errors
    /// The reason for which it is refused; the pool is as it was before.
    pub fn add(
        &self,
        tx: RecoveredTransaction,
        origin: TransactionOrigin,
        state: &dyn HeadState,
        now: u64,
    ) -> Result<Added, PoolError> {
        let mut added = self.add_unjournaled(tx.clone(), origin, state, now)?;
        let is_local = self.journal.is_some() && self.contents.read().is_local(tx.sender());
        if let Some(journal) = self.journal.as_ref().filter(|_| is_local) {
            added.journal_error = self.append_to(&mut journal.lock(), &tx).err();
        }
        Ok(added)
    }

    fn add_unjournaled(
        &self,
        transaction: RecoveredTransaction,
        origin: TransactionOrigin,
        state: &dyn HeadState,
        now: u64,
    ) -> Result<Added, PoolError> {
        let hash = transaction.hash();
        if self.contains(hash) {
            return Err(PoolError::AlreadyKnown);
        }
        let head = state.head();
        if transaction.is_impersonated() && !self.takes_impersonated {
            return Err(PoolError::InvalidSender);
        }
        validate_alone(&transaction, head)?;
        let facts = sender_facts(state, &transaction)?;
        let (seen_at, base_fee) = (head.number, head.base_fee);
        let admission = Admission::Submitted(origin);
        let mut contents = self.contents.write();
        contents.admit(Candidate { transaction, admission, facts, seen_at, base_fee, now })?;
        let executable = contents.get(hash).is_some_and(|(_, executable)| executable);
        let dropped = std::mem::take(&mut contents.unreported);
        Ok(Added { hash, dropped, executable, journal_error: None })
    }

    /// Follows the chain to a new head, whose state is `state`: `mined` are the transactions of the blocks that became
    /// canonical, `returned` those of the blocks that left, oldest first. Returns what left the pool unmined.
    ///
    /// Where the store fails, an account is taken to be as it was, but for its mined nonces.
    pub fn on_new_head(
        &self,
        state: &dyn HeadState,
        mined: &mut dyn Iterator<Item = &RecoveredTransaction>,
        returned: Vec<RecoveredTransaction>,
        now: u64,
    ) -> Vec<(B256, DropReason)> {
        let mut contents = self.contents.write();
        contents.follow(state, mined, returned, now);
        std::mem::take(&mut contents.unreported)
    }

    /// Reads accounts again whose transactions failed to execute, and returns what left the pool for it.
    pub fn recheck(&self, senders: &[Address], state: &dyn HeadState) -> Vec<(B256, DropReason)> {
        let mut contents = self.contents.write();
        for sender in senders {
            contents.refresh(*sender, state, &HashMap::default());
        }
        contents.make_room();
        std::mem::take(&mut contents.unreported)
    }

    /// Drops the queued transactions that waited too long, and returns what left the pool. `now` is the clock in seconds.
    pub fn expire(&self, now: u64) -> Vec<(B256, DropReason)> {
        let mut contents = self.contents.write();
        contents.expire(now);
        std::mem::take(&mut contents.unreported)
    }

    /// Returns what left the pool since the last report: for [`Pool::remove`], [`Pool::clear`] and
    /// [`Pool::set_price_limit`], which themselves report nothing.
    pub fn take_dropped(&self) -> Vec<(B256, DropReason)> {
        std::mem::take(&mut self.contents.write().unreported)
    }

    /// Tells whether the transaction with this hash is in the pool.
    pub fn contains(&self, hash: B256) -> bool {
        self.contents.read().by_hash.contains_key(&hash)
    }

    /// Returns the transaction with this hash.
    pub fn get(&self, hash: B256) -> Option<PooledTransaction> {
        let contents = self.contents.read();
        let (entry, executable) = contents.get(hash)?;
        let Entry { transaction, added_at, origin, .. } = entry.clone();
        Some(PooledTransaction { transaction, added_at, origin, executable })
    }

    /// Explains why the transaction with this hash waits; `None` where it is not in the pool. `base_fee` is the next block's,
    /// `min_tip` the least effective tip that this node's miner takes from remote accounts; both in wei.
    pub fn explain(&self, hash: B256, base_fee: Option<u64>, min_tip: u128) -> Option<Waiting> {
        explain::explain(&self.contents.read(), hash, base_fee, min_tip)
    }

    /// Returns the nonce behind an account's executable transactions; `None` where it has none.
    pub fn pending_nonce(&self, address: Address) -> Option<u64> {
        let contents = self.contents.read();
        contents.accounts.get(&address).filter(|account| account.executable_count() > 0).map(|account| account.next())
    }

    /// Counts what is in the pool.
    pub fn status(&self) -> PoolStatus {
        let contents = self.contents.read();
        PoolStatus { pending: contents.index.executable, queued: contents.index.queued, bytes: contents.bytes }
    }

    /// Lists what is in the pool.
    pub fn content(&self) -> PoolContent {
        let contents = self.contents.read();
        let mut content = PoolContent::default();
        for (address, account) in &contents.accounts {
            list_account(*address, account, &mut content);
        }
        content
    }

    /// Lists what one account has in the pool.
    pub fn content_from(&self, address: Address) -> PoolContent {
        let contents = self.contents.read();
        let mut content = PoolContent::default();
        if let Some(account) = contents.accounts.get(&address) {
            list_account(address, account, &mut content);
        }
        content
    }

    /// Returns all transactions in order of arrival.
    pub fn all_transactions(&self) -> Vec<RecoveredTransaction> {
        let contents = self.contents.read();
        by_arrival(contents.accounts.values().flat_map(|account| account.entries()))
    }

    /// Returns the executable transactions in order of arrival.
    pub fn pending_transactions(&self) -> Vec<RecoveredTransaction> {
        let contents = self.contents.read();
        by_arrival(contents.accounts.values().flat_map(|account| account.executables()))
    }

    /// Returns the executable transactions in the order in which a miner takes them, as they are at this moment. `base_fee` is
    /// the next block's, `min_tip` the least effective tip of remote accounts' transactions; both in wei.
    pub fn best(&self, order: TransactionOrder, base_fee: Option<u64>, min_tip: u128) -> BestTransactions {
        let contents = self.contents.read();
        let executable = contents.accounts.iter().filter(|(_, account)| account.executable_count() > 0);
        let accounts = executable.map(|(address, account)| (*address, account.clone())).collect();
        drop(contents);
        BestTransactions::new(accounts, Terms { order, base_fee, min_tip })
    }

    /// Returns who has something in the pool.
    pub fn senders(&self) -> Vec<Address> {
        self.contents.read().accounts.keys().copied().collect()
    }

    /// Forgets everything and holds `wanted` instead, by the state of a new head; what is not valid there is left out. Returns what
    /// left the pool.
    pub fn replace(
        &self,
        wanted: Vec<RecoveredTransaction>,
        state: &dyn HeadState,
        now: u64,
    ) -> Vec<(B256, DropReason)> {
        let mut dropped = {
            let mut contents = self.contents.write();
            contents.clear();
            contents.follow(state, &mut std::iter::empty(), Vec::new(), now);
            std::mem::take(&mut contents.unreported)
        };
        for transaction in wanted {
            let hash = transaction.hash();
            // Whatever is refused has left the pool, which the list says already.
            if self.add_unjournaled(transaction, TransactionOrigin::Local, state, now).is_ok() {
                dropped.retain(|(gone, _)| *gone != hash);
            }
        }
        // Otherwise what was forgotten would come back with the next start. The next rotation makes up for a failure.
        let _ = self.rotate_journal();
        dropped
    }

    /// Removes a transaction, and tells whether it was there. Those behind it are queued then.
    pub fn remove(&self, hash: B256) -> bool {
        let mut contents = self.contents.write();
        let removed = contents.drop_one(hash, DropReason::Removed);
        contents.make_room();
        removed
    }

    /// Removes everything, and returns how many it were.
    pub fn clear(&self) -> usize {
        self.contents.write().clear()
    }

    /// Sets the least tip cap in wei of remote transactions; those that pay less leave.
    pub fn set_price_limit(&self, price_limit_wei: u128) {
        let mut contents = self.contents.write();
        contents.config.price_limit_wei = price_limit_wei;
        contents.drop_underpriced();
    }

    /// Adds the journal's transactions as local ones, and writes it anew. Does nothing where no journal is configured.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn load_journal(&self, state: &dyn HeadState, now: u64) -> Result<JournalReport, JournalError> {
        let Some(journal) = &self.journal else { return Ok(JournalReport::default()) };
        let mut journal = journal.lock();
        let (mut added, mut refused, mut unreadable, mut state_failed) = (0, 0, 0, false);
        let mut dropped = Vec::new();
        let report = journal.read(JOURNAL_BATCH, |transactions| {
            // One that nobody has signed is refused below, where it is not wanted.
            let recover = RecoveredTransaction::recover_or_impersonate;
            let recovered: Vec<_> = transactions.into_par_iter().map(recover).collect();
            for transaction in recovered {
                let Ok(transaction) = transaction else {
                    unreadable += 1;
                    continue;
                };
                match self.add_unjournaled(transaction, TransactionOrigin::Local, state, now) {
                    Ok(report) => {
                        added += 1;
                        dropped.extend(report.dropped);
                    }
                    Err(error) => {
                        refused += 1;
                        state_failed |= matches!(error, PoolError::State(_));
                    }
                }
            }
        })?;
        self.contents.write().unreported.append(&mut dropped);
        // What was refused because our own store failed is worth another attempt.
        if !state_failed {
            self.rotate(&mut journal)?;
        }
        Ok(JournalReport { added, refused, unreadable: report.unreadable + unreadable, torn: report.torn })
    }

    /// Writes the journal anew with what local accounts have in the pool, and returns how many they are.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn rotate_journal(&self) -> Result<usize, JournalError> {
        self.journal.as_ref().map_or(Ok(0), |journal| self.rotate(&mut journal.lock()))
    }

    fn append_to(&self, journal: &mut Journal, transaction: &RecoveredTransaction) -> Result<(), JournalError> {
        journal.append(transaction.transaction())?;
        if journal.is_long() {
            self.rotate(journal)?;
        }
        Ok(())
    }

    fn rotate(&self, journal: &mut Journal) -> Result<usize, JournalError> {
        let transactions = self.contents.read().local_transactions();
        journal.rotate(&transactions)?;
        Ok(transactions.len())
    }
}

/// Lists an account's transactions.
fn list_account(address: Address, account: &Account, content: &mut PoolContent) {
    let by_nonce = |entry: &Entry| (entry.nonce(), entry.transaction.clone());
    let pending: BTreeMap<_, _> = account.executables().map(by_nonce).collect();
    let queued: BTreeMap<_, _> = account.queued().map(by_nonce).collect();
    if !pending.is_empty() {
        content.pending.insert(address, pending);
    }
    if !queued.is_empty() {
        content.queued.insert(address, queued);
    }
}
