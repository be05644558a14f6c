//! Reading the index, a page at a time, newest first.

use alloy_primitives::{Address, B256};
use storage::{EntryIterator, Reader, Snapshot, StorageError, Table};

use super::Coverage;
use super::rows::{self, Roles};
use crate::view::ViewError;

/// A transaction in which an address takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRow {
    /// The block's number.
    pub number: u64,
    /// The transaction's index in the block.
    pub index: u32,
    /// What the address is there.
    pub roles: Roles,
}

/// A log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventRow {
    /// The block's number.
    pub number: u64,
    /// The log's index in the block.
    pub log_index: u32,
    /// The transaction's index in the block.
    pub index: u32,
    /// The log's place among those of its transaction.
    pub place: u32,
}

/// Which logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventScope {
    /// All of a contract.
    Emitter(Address),
    /// All with this first topic. Others may be among them: only half of the topic is compared.
    Topic(B256),
    /// All of a contract with this first topic. Others of the contract may be among them.
    EmitterAndTopic(Address, B256),
    /// All token transfers from and to an address.
    Holder(Address),
}

impl EventScope {
    fn key(&self) -> Vec<u8> {
        match *self {
            Self::Emitter(address) => rows::emitter(address),
            Self::Topic(first) => rows::topic(first),
            Self::EmitterAndTopic(address, first) => rows::emitter_and_topic(address, first),
            Self::Holder(address) => rows::holder(address),
        }
    }
}

/// Reads the index of one moment.
#[derive(Clone)]
pub struct IndexReader {
    snapshot: Snapshot,
    /// The first block that is covered.
    pub first: u64,
}

impl IndexReader {
    /// Returns the reader of an index that covers the chain up to `head`; none: there is none.
    pub(crate) fn of(snapshot: &Snapshot, head: B256) -> Result<Option<Self>, StorageError> {
        let coverage = Coverage::read(&**snapshot)?.filter(|coverage| coverage.last == head);
        Ok(coverage.map(|coverage| Self { snapshot: snapshot.clone(), first: coverage.first }))
    }

    /// Walks the transactions of an address before a place (block and transaction), newest first.
    pub fn address<'a>(
        &'a self,
        address: Address,
        (number, index): (u64, u32),
    ) -> impl Iterator<Item = Result<AddressRow, ViewError>> + 'a {
        let start = rows::address_key(address, number, index);
        let entries = below(self.snapshot.iterate_back(Table::AddressIndex, &start), start.to_vec());
        let ours = entries.take_while(move |row| row.as_ref().map_or(true, |(key, _)| key.starts_with(&address[..])));
        ours.map(|row| {
            let (key, value) = row?;
            Ok(address_row(&key, &value).ok_or_else(|| bad_row(Table::AddressIndex))?)
        })
    }

    /// Walks the logs of a scope before a place (block and log), newest first.
    pub fn events<'a>(
        &'a self,
        scope: &EventScope,
        (number, log_index): (u64, u32),
    ) -> impl Iterator<Item = Result<EventRow, ViewError>> + 'a {
        let prefix = scope.key();
        let start = rows::event_key(&prefix, number, log_index);
        let entries = below(self.snapshot.iterate_back(Table::EventIndex, &start), start);
        let ours = entries.take_while(move |row| row.as_ref().map_or(true, |(key, _)| key.starts_with(&prefix)));
        ours.map(|row| {
            let (key, value) = row?;
            Ok(event_row(&key, &value).ok_or_else(|| bad_row(Table::EventIndex))?)
        })
    }

    /// Returns the nearest block at or before `number` in which an address takes part.
    ///
    /// # Errors
    /// The store failed.
    pub fn block_before(&self, address: Address, number: u64) -> Result<Option<u64>, ViewError> {
        let row = self.address(address, (number.saturating_add(1), 0)).next().transpose()?;
        Ok(row.map(|row| row.number))
    }

    /// Returns the nearest block at or after `number` in which an address takes part.
    ///
    /// # Errors
    /// The store failed.
    pub fn block_after(&self, address: Address, number: u64) -> Result<Option<u64>, ViewError> {
        let row = self.snapshot.seek(Table::AddressIndex, &rows::address_key(address, number, 0))?;
        let Some((key, value)) = row.filter(|(key, _)| key.starts_with(&address[..])) else { return Ok(None) };
        let row = address_row(&key, &value).ok_or_else(|| bad_row(Table::AddressIndex))?;
        Ok(Some(row.number))
    }
}

/// Leaves the first entry out where it is the place itself.
fn below(entries: EntryIterator<'_>, start: Vec<u8>) -> impl Iterator<Item = Result<storage::Entry, StorageError>> {
    entries.skip_while(move |row| row.as_ref().is_ok_and(|(key, _)| *key >= start))
}

fn address_row(key: &[u8], value: &[u8]) -> Option<AddressRow> {
    let (number, index) = key.get(20..)?.split_first_chunk::<8>()?;
    let roles = *value.first()?;
    Some(AddressRow { number: u64::from_be_bytes(*number), index: u32_of(index)?, roles: Roles(roles) })
}

fn event_row(key: &[u8], value: &[u8]) -> Option<EventRow> {
    let (number, log_index) = key.last_chunk::<12>()?.split_first_chunk::<8>()?;
    let (index, place) = value.split_first_chunk::<4>()?;
    Some(EventRow {
        number: u64::from_be_bytes(*number),
        log_index: u32_of(log_index)?,
        index: u32::from_be_bytes(*index),
        place: u32_of(place)?,
    })
}

fn u32_of(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

fn bad_row(table: Table) -> StorageError {
    StorageError::Row {
        table,
        problem: "a row of the index is malformed; `drawbridge db index drop` and `build`".to_owned(),
    }
}
