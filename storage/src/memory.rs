//! The store in memory, for tests and simulation. Nothing survives it but its clones.

use crate::{Batch, Durability, Entry, EntryIterator, Reader, Snapshot, StorageError, Store, Table, TableSize, Write};
use parking_lot::RwLock;
use std::{collections::BTreeMap, ops::Bound, path::Path, sync::Arc};

/// A store in memory. A clone is another handle on the same tables, so that a test can "reopen" what it dropped.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    tables: Arc<RwLock<Tables>>,
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// All tables of one moment. A clone shares the rows; a table is copied when it is written while somebody shares it.
#[derive(Clone, Debug, Default)]
struct Tables([Arc<Rows>; Table::COUNT]);

impl MemoryStore {
    /// Makes an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn rows(&self, table: Table) -> Arc<Rows> {
        Arc::clone(self.tables.read().rows(table))
    }
}

impl Tables {
    fn rows(&self, table: Table) -> &Arc<Rows> {
        &self.0[table.index()]
    }
}

impl Reader for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.tables.read().rows(table).get(key).cloned())
    }

    fn seek(&self, table: Table, key: &[u8]) -> Result<Option<Entry>, StorageError> {
        Ok(first_from(self.tables.read().rows(table), Bound::Included(key)))
    }

    fn iterate(&self, table: Table, key: &[u8]) -> EntryIterator<'_> {
        let rows = self.rows(table);
        let mut from = Bound::Included(key.to_vec());
        Box::new(std::iter::from_fn(move || {
            let entry = first_from(&rows, as_slice(&from))?;
            from = Bound::Excluded(entry.0.clone());
            Some(Ok(entry))
        }))
    }

    fn iterate_back(&self, table: Table, key: &[u8]) -> EntryIterator<'_> {
        let rows = self.rows(table);
        let mut to = Bound::Included(key.to_vec());
        Box::new(std::iter::from_fn(move || {
            let (key, value) = rows.range::<[u8], _>((Bound::Unbounded, as_slice(&to))).next_back()?;
            to = Bound::Excluded(key.clone());
            Some(Ok((key.clone(), value.clone())))
        }))
    }
}

impl Store for MemoryStore {
    fn snapshot(&self) -> Snapshot {
        Arc::new(self.tables.read().clone())
    }

    fn commit(&self, batch: Batch, _durability: Durability) -> Result<(), StorageError> {
        let mut tables = self.tables.write();
        for write in batch.into_writes() {
            match write {
                Write::Put(table, key, value) => Arc::make_mut(&mut tables.0[table.index()]).insert(key, value),
                Write::Delete(table, key) => Arc::make_mut(&mut tables.0[table.index()]).remove(&key),
            };
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn checkpoint(&self, path: &Path) -> Result<(), StorageError> {
        Err(StorageError::Io(format!("{}: a store in memory has no files to copy", path.display())))
    }

    fn compact(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn size(&self, table: Table) -> Result<TableSize, StorageError> {
        let rows = self.rows(table);
        let bytes = rows.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        let widen = |count: usize| u64::try_from(count).expect("a size in memory fits 64 bits");
        Ok(TableSize { rows: widen(rows.len()), bytes: widen(bytes) })
    }
}

/// A snapshot: rows that no commit touches, so that walks borrow them.
impl Reader for Tables {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.rows(table).get(key).cloned())
    }

    fn seek(&self, table: Table, key: &[u8]) -> Result<Option<Entry>, StorageError> {
        Ok(first_from(self.rows(table), Bound::Included(key)))
    }

    fn iterate(&self, table: Table, key: &[u8]) -> EntryIterator<'_> {
        let range = self.rows(table).range::<[u8], _>((Bound::Included(key), Bound::Unbounded));
        Box::new(range.map(|(key, value)| Ok((key.clone(), value.clone()))))
    }

    fn iterate_back(&self, table: Table, key: &[u8]) -> EntryIterator<'_> {
        let range = self.rows(table).range::<[u8], _>((Bound::Unbounded, Bound::Included(key)));
        Box::new(range.rev().map(|(key, value)| Ok((key.clone(), value.clone()))))
    }
}

fn first_from(rows: &Rows, from: Bound<&[u8]>) -> Option<Entry> {
    rows.range::<[u8], _>((from, Bound::Unbounded)).next().map(|(key, value)| (key.clone(), value.clone()))
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}
