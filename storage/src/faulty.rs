//! The store that fails when it is told to: proves that its users survive a failing disk.

use crate::{Batch, Durability, Entry, EntryIterator, Reader, Snapshot, StorageError, Store, Table, TableSize};
use parking_lot::Mutex;
use std::path::Path;

/// Wraps a store and makes its n-th write fail.
///
/// Commits and syncs count as writes. From the failed write on, every further write fails with nothing done, as on a disk that is gone, until
/// [`heal`](Self::heal); reads go on. A test runs its scenario once without a fault, takes [`writes`](Self::writes), and
/// repeats it with the fault at each of them.
#[derive(Debug, Default)]
pub struct FaultyStore<S> {
    inner: S,
    state: Mutex<State>,
}

/// Says how a write fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written, and an error is returned.
    Before,
    /// Everything is written, and an error is returned all the same.
    After,
    /// Nothing is written, and the error says that the disk is full.
    Full,
}

#[derive(Debug, Default)]
struct State {
    writes: u64,
    planned: Option<(u64, Fault)>,
    broken: Option<Fault>,
}

/// What the next write does.
enum Fate {
    Succeeds,
    Fails(Fault),
}

impl<S> FaultyStore<S> {
    /// Wraps `inner`; nothing fails yet.
    pub fn new(inner: S) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Makes the `nth` write from now on fail; 1 is the next one. Starts the count of writes anew.
    pub fn fail_at(&self, nth: u64, fault: Fault) {
        *self.state.lock() = State { writes: 0, planned: Some((nth, fault)), broken: None };
    }

    /// Makes writes succeed again and forgets the planned fault.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.planned = None;
        state.broken = None;
    }

    /// Returns how many writes were asked for, failed ones included, since the start or the last [`fail_at`](Self::fail_at).
    pub fn writes(&self) -> u64 {
        self.state.lock().writes
    }

    /// Returns whether the planned fault has happened.
    pub fn has_failed(&self) -> bool {
        self.state.lock().broken.is_some()
    }

    /// Returns the wrapped store.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Unwraps the store.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn next_fate(&self) -> Fate {
        let mut state = self.state.lock();
        state.writes += 1;
        match (state.broken, state.planned) {
            (Some(Fault::Full), _) => Fate::Fails(Fault::Full),
            (Some(Fault::Before | Fault::After), _) => Fate::Fails(Fault::Before),
            (None, Some((nth, fault))) if state.writes == nth => {
                state.broken = Some(fault);
                Fate::Fails(fault)
            }
            _ => Fate::Succeeds,
        }
    }

    fn write(&self, write: impl FnOnce() -> Result<(), StorageError>) -> Result<(), StorageError> {
        match self.next_fate() {
            Fate::Succeeds => write(),
            Fate::Fails(Fault::Before) => Err(injected("before")),
            Fate::Fails(Fault::Full) => Err(StorageError::Full("injected: no space".to_owned())),
            Fate::Fails(Fault::After) => write().and(Err(injected("after"))),
        }
    }
}

fn injected(moment: &str) -> StorageError {
    StorageError::Io(format!("injected fault {moment} the write"))
}

impl<S: Reader> Reader for FaultyStore<S> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.inner.get(table, key)
    }

    fn seek(&self, table: Table, key: &[u8]) -> Result<Option<Entry>, StorageError> {
        self.inner.seek(table, key)
    }

    fn iterate(&self, table: Table, key: &[u8]) -> EntryIterator<'_> {
        self.inner.iterate(table, key)
    }

    fn iterate_back(&self, table: Table, key: &[u8]) -> EntryIterator<'_> {
        self.inner.iterate_back(table, key)
    }

    fn iterate_prefix<'a>(&'a self, table: Table, prefix: &'a [u8]) -> EntryIterator<'a> {
        self.inner.iterate_prefix(table, prefix)
    }
}

impl<S: Store> Store for FaultyStore<S> {
    fn snapshot(&self) -> Snapshot {
        self.inner.snapshot()
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StorageError> {
        self.write(|| self.inner.commit(batch, durability))
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.write(|| self.inner.sync())
    }

    fn checkpoint(&self, path: &Path) -> Result<(), StorageError> {
        self.inner.checkpoint(path)
    }

    fn compact(&self) -> Result<(), StorageError> {
        self.inner.compact()
    }

    fn size(&self, table: Table) -> Result<TableSize, StorageError> {
        self.inner.size(table)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::MemoryStore;

    fn put(store: &impl Store, value: &str) -> Result<(), StorageError> {
        let mut batch = Batch::default();
        batch.put(Table::Meta, "key", value);
        store.commit(batch, Durability::Process)
    }

    fn value(store: &impl Reader) -> Option<String> {
        store.get(Table::Meta, b"key").unwrap().map(|value| String::from_utf8(value).unwrap())
    }

    #[test]
    fn the_nth_write_fails_before_or_after_it_is_applied() {
        for (fault, expected) in [(Fault::Before, "1"), (Fault::After, "2")] {
            let store = FaultyStore::new(MemoryStore::new());
            store.fail_at(2, fault);
            put(&store, "1").unwrap();
            assert!(!store.has_failed());
            put(&store, "2").unwrap_err();
            assert_eq!(value(&store).as_deref(), Some(expected));
            assert!(store.has_failed());
        }
    }

    #[test]
    fn a_broken_store_stays_broken_until_it_heals() {
        let store = FaultyStore::new(MemoryStore::new());
        store.fail_at(1, Fault::After);
        put(&store, "1").unwrap_err();
        put(&store, "2").unwrap_err();
        store.sync().unwrap_err();
        assert_eq!((store.writes(), value(&store).as_deref()), (3, Some("1")));
        store.heal();
        put(&store, "3").unwrap();
        assert_eq!(value(store.inner()).as_deref(), Some("3"));
    }

    #[test]
    fn a_full_store_writes_nothing_until_there_is_space() {
        let store = FaultyStore::new(MemoryStore::new());
        store.fail_at(2, Fault::Full);
        put(&store, "1").unwrap();
        for _ in 0..2 {
            assert!(matches!(put(&store, "2"), Err(StorageError::Full(_))));
        }
        assert_eq!(value(&store).as_deref(), Some("1"));
        store.heal();
        put(&store, "2").unwrap();
        assert_eq!(value(&store).as_deref(), Some("2"));
    }

    #[test]
    fn writes_counts_commits_and_syncs() {
        let store = FaultyStore::new(MemoryStore::new());
        put(&store, "1").unwrap();
        store.sync().unwrap();
        assert_eq!(store.writes(), 2);
    }
}
