//! Walking accounts and slots in the order of their hashed keys, at the head or at any block whose history is kept.

use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::{B256, U256};
use alloy_trie::TrieAccount;
use storage::{Entry, Table};

use super::apply::ChangeRecord;
use super::{StateError, StateSource, StateView, has_storage};

/// Says why a walk or a proof did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The deadline passed.
    #[error("request timed out")]
    Cancelled,
    /// Our own store failed.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<storage::StorageError> for ReadError {
    fn from(error: storage::StorageError) -> Self {
        Self::State(error.into())
    }
}

/// Holds a part of a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Hashed keys, ascending, with their values.
    pub entries: Vec<(B256, T)>,
    /// The key at which the next part begins; `None` where nothing follows.
    pub next: Option<B256>,
}

impl StateView {
    /// Returns up to `most` accounts whose hashed addresses are `first` or come after it.
    ///
    /// # Errors
    /// Cancelled, or the store failed.
    pub fn accounts_from(
        &self,
        first: B256,
        most: usize,
        cancelled: &AtomicBool,
    ) -> Result<Page<TrieAccount>, ReadError> {
        let tables = (Table::Accounts, Table::AccountHistory);
        self.page(tables, &[], first, most, cancelled, |key| self.account_by_hash(key))
    }

    /// Returns up to `most` slots of an account whose hashed numbers are `first` or come after it.
    ///
    /// # Errors
    /// Cancelled, or the store failed.
    pub fn slots_from(
        &self,
        address_hash: B256,
        first: B256,
        most: usize,
        cancelled: &AtomicBool,
    ) -> Result<Page<U256>, ReadError> {
        if !has_storage(self.account_by_hash(address_hash)?.as_ref()) {
            return Ok(Page { entries: Vec::new(), next: None });
        }
        let tables = (Table::Slots, Table::SlotHistory);
        self.page(tables, address_hash.as_slice(), first, most, cancelled, |slot_hash| {
            Ok(Some(self.slot_by_hash(address_hash, slot_hash)?).filter(|value| !value.is_zero()))
        })
    }

    /// Returns the number of the first block from `from` on that changed the account under `address_hash`, up to the head.
    ///
    /// # Errors
    /// The store failed.
    pub fn next_change(&self, address_hash: B256, from: u64) -> Result<Option<u64>, StateError> {
        let key = [address_hash.as_slice(), &from.to_be_bytes()].concat();
        let found = self.reader().seek(Table::AccountHistory, &key)?;
        Ok(number_of_change(found, address_hash))
    }

    /// Returns the number of the last block up to `to` that changed the account under `address_hash`.
    ///
    /// # Errors
    /// The store failed.
    pub fn previous_change(&self, address_hash: B256, to: u64) -> Result<Option<u64>, StateError> {
        let key = [address_hash.as_slice(), &to.to_be_bytes()].concat();
        let found = self.reader().iterate_back(Table::AccountHistory, &key).next().transpose()?;
        Ok(number_of_change(found, address_hash))
    }

    /// Returns the hashed addresses of the accounts that canonical block `number` changed; `None` where its history was pruned.
    ///
    /// # Errors
    /// The store failed.
    pub fn changed_accounts(&self, number: u64) -> Result<Option<Vec<B256>>, StateError> {
        let record = ChangeRecord::read(self.reader(), number)?;
        Ok(record.map(|record| record.accounts.chunks_exact(32).map(B256::from_slice).collect()))
    }

    /// Walks the keys that are there at the head or were changed since, and keeps those that have a value here.
    fn page<T>(
        &self,
        (now, history): (Table, Table),
        prefix: &[u8],
        first: B256,
        most: usize,
        cancelled: &AtomicBool,
        value: impl Fn(B256) -> Result<Option<T>, StateError>,
    ) -> Result<Page<T>, ReadError> {
        let mut entries = Vec::new();
        let mut at = Some(first);
        while let Some(from) = at {
            if cancelled.load(Ordering::Relaxed) {
                return Err(ReadError::Cancelled);
            }
            let key = [prefix, from.as_slice()].concat();
            let mut found = key_below(self.reader().seek(now, &key)?, prefix);
            if self.number.is_some() {
                let changed = key_below(self.reader().seek(history, &key)?, prefix);
                found = [found, changed].into_iter().flatten().min();
            }
            let Some(key) = found else { break };
            if let Some(value) = value(key)? {
                if entries.len() == most {
                    return Ok(Page { entries, next: Some(key) });
                }
                entries.push((key, value));
            }
            at = U256::from_be_bytes(key.0).checked_add(U256::ONE).map(B256::from);
        }
        Ok(Page { entries, next: None })
    }
}

/// Returns the 32 bytes that follow the prefix in a found key.
fn key_below(found: Option<Entry>, prefix: &[u8]) -> Option<B256> {
    let (key, _) = found?;
    let below = key.strip_prefix(prefix)?;
    below.get(..32).map(B256::from_slice)
}

fn number_of_change(found: Option<Entry>, address_hash: B256) -> Option<u64> {
    let (key, _) = found?;
    let number = key.strip_prefix(address_hash.as_slice())?;
    number.try_into().ok().map(u64::from_be_bytes)
}
