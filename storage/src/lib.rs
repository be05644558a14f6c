//! Storage: one ordered key-value seam with a RocksDB, a memory and a fault-injecting implementation, and the tables on one
//! screen.
//!
//! A [`Store`] holds byte strings in [`Table`]s. All writes of one import go into one [`Batch`], which is committed whole or
//! not at all. Readers hold a [`Snapshot`] and never wait for the writer.

mod cache;
mod error;
mod faulty;
mod memory;
mod rocks;
mod stage;
mod table;

pub use cache::RowCache;
pub use error::StorageError;
pub use faulty::{Fault, FaultyStore};
pub use memory::MemoryStore;
pub use rocks::{RocksOptions, RocksStore};
pub use stage::Stage;
pub use table::{Table, TableSet};

use std::path::Path;
use std::sync::Arc;

/// A key with its value.
pub type Entry = (Vec<u8>, Vec<u8>);
/// Walks entries in key order.
pub type EntryIterator<'a> = Box<dyn Iterator<Item = Result<Entry, StorageError>> + 'a>;

/// Reads tables. Implemented by stores (the newest state) and by snapshots (one moment's state).
pub trait Reader: Send + Sync {
    /// Returns the value under `key`.
    ///
    /// # Errors
    /// The store failed or is corrupt.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// Returns the first entry whose key is `key` or comes after it, in one seek.
    ///
    /// # Errors
    /// The store failed or is corrupt.
    fn seek(&self, table: Table, key: &[u8]) -> Result<Option<Entry>, StorageError>;

    /// Walks the entries from `key` on, ascending.
    fn iterate(&self, table: Table, key: &[u8]) -> EntryIterator<'_>;

    /// Walks the entries from `key` on, descending (the first is `key` itself or what comes before it).
    fn iterate_back(&self, table: Table, key: &[u8]) -> EntryIterator<'_>;

    /// Walks the entries whose keys begin with `prefix`, ascending.
    fn iterate_prefix<'a>(&'a self, table: Table, prefix: &'a [u8]) -> EntryIterator<'a> {
        Box::new(self.iterate(table, prefix).take_while(move |entry| match entry {
            Ok((key, _)) => key.starts_with(prefix),
            Err(_) => true,
        }))
    }
}

/// A view of one moment, which later commits do not change.
pub type Snapshot = Arc<dyn Reader>;

/// Says how far a commit must have got before it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// In the write-ahead log, in the operating system's hands: survives a killed process.
    Process,
    /// On the disk: survives a power cut.
    Disk,
}

/// One change in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Puts a value under a key.
    Put(Table, Vec<u8>, Vec<u8>),
    /// Deletes a key.
    Delete(Table, Vec<u8>),
}

impl Write {
    /// Returns the table that is changed.
    pub fn table(&self) -> Table {
        match self {
            Self::Put(table, ..) | Self::Delete(table, _) => *table,
        }
    }
}

/// Collects changes that are committed together; a later change of the same key wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    writes: Vec<Write>,
}

impl Batch {
    /// Puts `value` under `key`.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.writes.push(Write::Put(table, key.into(), value.into()));
    }

    /// Deletes `key`; nothing happens where it is absent.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.writes.push(Write::Delete(table, key.into()));
    }

    /// Returns the changes in order.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Consumes the batch into its changes.
    pub fn into_writes(self) -> Vec<Write> {
        self.writes
    }

    /// Tells whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

/// An ordered key-value store with tables, snapshots and atomic batches.
pub trait Store: Reader {
    /// Takes a view of this moment.
    fn snapshot(&self) -> Snapshot;

    /// Commits all of `batch` or nothing.
    ///
    /// # Errors
    /// The store failed; nothing of the batch is visible.
    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StorageError>;

    /// Brings all that was committed so far to the disk.
    ///
    /// # Errors
    /// The store failed.
    fn sync(&self) -> Result<(), StorageError>;

    /// Makes a copy of the store, as of this moment, in the directory `path`, which must not exist yet; commits go on meanwhile.
    ///
    /// # Errors
    /// `path` exists or cannot be written, or the store has no files.
    fn checkpoint(&self, path: &Path) -> Result<(), StorageError>;

    /// Rewrites all tables, so that deleted rows give their space back.
    ///
    /// # Errors
    /// The store failed.
    fn compact(&self) -> Result<(), StorageError>;

    /// Returns, for a table, about how many rows it has and how many bytes it takes on disk.
    ///
    /// # Errors
    /// The store failed.
    fn size(&self, table: Table) -> Result<TableSize, StorageError>;
}

/// Says how large a table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableSize {
    /// Rows, estimated.
    pub rows: u64,
    /// Bytes on disk and in write buffers.
    pub bytes: u64,
}

/// A shared store is a store.
impl<S: Reader + ?Sized> Reader for Arc<S> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        (**self).get(table, key)
    }

    fn seek(&self, table: Table, key: &[u8]) -> Result<Option<Entry>, StorageError> {
        (**self).seek(table, key)
    }

    fn iterate(&self, table: Table, key: &[u8]) -> EntryIterator<'_> {
        (**self).iterate(table, key)
    }

    fn iterate_back(&self, table: Table, key: &[u8]) -> EntryIterator<'_> {
        (**self).iterate_back(table, key)
    }

    fn iterate_prefix<'a>(&'a self, table: Table, prefix: &'a [u8]) -> EntryIterator<'a> {
        (**self).iterate_prefix(table, prefix)
    }
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn snapshot(&self) -> Snapshot {
        (**self).snapshot()
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StorageError> {
        (**self).commit(batch, durability)
    }

    fn sync(&self) -> Result<(), StorageError> {
        (**self).sync()
    }

    fn checkpoint(&self, path: &Path) -> Result<(), StorageError> {
        (**self).checkpoint(path)
    }

    fn compact(&self) -> Result<(), StorageError> {
        (**self).compact()
    }

    fn size(&self, table: Table) -> Result<TableSize, StorageError> {
        (**self).size(table)
    }
}
