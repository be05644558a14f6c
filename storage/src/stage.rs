//! A stage: changes that are not committed yet, laid over a snapshot, and read through it.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::{Batch, Entry, EntryIterator, Reader, Snapshot, StorageError, Table};

type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Collects the changes of one import over a snapshot; reading a stage sees them. Undoing and connecting several blocks
/// in one stage and committing it as one batch is what makes a reorganisation atomic.
pub struct Stage {
    base: Snapshot,
    tables: Vec<Changes>,
}

impl Stage {
    /// Begins a stage without changes.
    pub fn new(base: Snapshot) -> Self {
        Self { base, tables: Table::ALL.iter().map(|_| Changes::new()).collect() }
    }

    /// Puts `value` under `key`.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.tables[index(table)].insert(key.into(), Some(value.into()));
    }

    /// Deletes `key`.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.tables[index(table)].insert(key.into(), None);
    }

    /// Returns how many rows differ from the base.
    pub fn len(&self) -> usize {
        self.tables.iter().map(BTreeMap::len).sum()
    }

    /// Tells whether nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(BTreeMap::is_empty)
    }

    /// Turns the changes into one batch, table by table in key order.
    pub fn into_batch(self) -> Batch {
        let mut batch = Batch::default();
        for (table, changes) in Table::ALL.into_iter().zip(self.tables) {
            for (key, value) in changes {
                match value {
                    Some(value) => batch.put(table, key, value),
                    None => batch.delete(table, key),
                }
            }
        }
        batch
    }
}

fn index(table: Table) -> usize {
    usize::from(table as u8)
}

impl Reader for Stage {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        match self.tables[index(table)].get(key) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(table, key),
        }
    }

    fn seek(&self, table: Table, key: &[u8]) -> Result<Option<Entry>, StorageError> {
        if self.tables[index(table)].is_empty() {
            return self.base.seek(table, key);
        }
        self.iterate(table, key).next().transpose()
    }

    fn iterate(&self, table: Table, key: &[u8]) -> EntryIterator<'_> {
        let changes = self.tables[index(table)].range::<[u8], _>((Bound::Included(key), Bound::Unbounded));
        Box::new(Merged::new(self.base.iterate(table, key), changes, |base, change| base < change))
    }

    fn iterate_back(&self, table: Table, key: &[u8]) -> EntryIterator<'_> {
        let changes = self.tables[index(table)].range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).rev();
        Box::new(Merged::new(self.base.iterate_back(table, key), changes, |base, change| base > change))
    }
}

/// Merges the base's entries with the changes; where both have a key, the change wins.
struct Merged<'a, I: Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>> {
    base: std::iter::Peekable<EntryIterator<'a>>,
    changes: std::iter::Peekable<I>,
    base_first: fn(&[u8], &[u8]) -> bool,
}

impl<'a, I: Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>> Merged<'a, I> {
    fn new(base: EntryIterator<'a>, changes: I, base_first: fn(&[u8], &[u8]) -> bool) -> Self {
        Self { base: base.peekable(), changes: changes.peekable(), base_first }
    }
}

impl<'a, I: Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>> Iterator for Merged<'a, I> {
    type Item = Result<Entry, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((change_key, _)) = self.changes.peek() else { return self.base.next() };
            if let Some(base) = self.base.peek() {
                let Ok((base_key, _)) = base else { return self.base.next() };
                if (self.base_first)(base_key, change_key) {
                    return self.base.next();
                }
                if base_key == *change_key {
                    self.base.next();
                }
            }
            let (key, value) = self.changes.next()?;
            if let Some(value) = value {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
    }
}
