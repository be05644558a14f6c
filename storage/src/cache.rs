//! A cache of rows in front of snapshots: reads of the newest state cost a look-up in memory.
//!
//! Snapshots of several moments share one cache. Each cached row knows since which version it holds; a version is what one
//! [`RowCache::advance`] leads to. A view reads a cached row only where the row is not younger than the view, and puts rows
//! there only while its own version is the newest, so that no view ever sees another moment's row.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::{Entry, EntryIterator, Reader, Snapshot, StorageError, Table, Write};

/// How many locks the rows of one table are spread over.
const SHARDS: usize = 16;
/// What a row costs beside its key and value: two vectors, a version, the map's own room.
const ROW_OVERHEAD_BYTES: usize = 96;

/// Holds recently used rows of the tables that execution reads.
pub struct RowCache {
    version: AtomicU64,
    shards: Vec<Mutex<Shard>>,
    shard_bytes_max: usize,
}

/// Two generations of rows: what is used moves to the young one; when that is full, it becomes the old one and the old one goes.
#[derive(Default)]
struct Shard {
    young: Rows,
    old: Rows,
    young_bytes: usize,
}

/// Seeded at random, so that nobody can choose keys that collide.
type Rows = HashMap<Vec<u8>, Row, foldhash::fast::RandomState>;

struct Row {
    value: Option<Vec<u8>>,
    since: u64,
}

/// Returns the place of a table among the cached ones.
fn cached(table: Table) -> Option<usize> {
    match table {
        Table::Accounts => Some(0),
        Table::Slots => Some(1),
        Table::AccountTrie => Some(2),
        Table::StorageTries => Some(3),
        Table::Code => Some(4),
        Table::Meta
        | Table::Headers
        | Table::Bodies
        | Table::Receipts
        | Table::Numbers
        | Table::Canonical
        | Table::Transactions
        | Table::Invalid
        | Table::Changes
        | Table::AccountHistory
        | Table::SlotHistory
        | Table::AddressIndex
        | Table::EventIndex
        | Table::Shadows
        | Table::ShadowChanges
        | Table::Sessions
        | Table::Queued
        | Table::Retained => None,
    }
}

impl RowCache {
    /// Makes an empty cache that holds about `bytes` of rows.
    pub fn new(bytes: usize) -> Arc<Self> {
        const TABLES: usize = 5;
        let shards = (0..TABLES * SHARDS).map(|_| Mutex::default()).collect();
        // Half of the room for each generation. Slots and trie nodes take most of it; an even share would waste the rest.
        let shard_bytes_max = bytes / 2 / SHARDS / 3;
        Arc::new(Self { version: AtomicU64::new(0), shards, shard_bytes_max })
    }

    /// Returns `snapshot` read through the cache; it must hold exactly what the last [`RowCache::advance`] committed.
    pub fn view(self: &Arc<Self>, snapshot: Snapshot) -> Snapshot {
        let version = self.version.load(Ordering::Acquire);
        Arc::new(CachedSnapshot { cache: Arc::clone(self), snapshot, version })
    }

    /// Takes the rows of a batch that was committed. Snapshots taken from now on belong to the new version.
    pub fn advance(&self, writes: impl IntoIterator<Item = Write>) {
        // First the version: from here on no older view puts rows into the cache.
        let since = self.version.fetch_add(1, Ordering::AcqRel) + 1;
        for write in writes {
            let (table, key, value) = match write {
                Write::Put(table, key, value) => (table, key, Some(value)),
                Write::Delete(table, key) => (table, key, None),
            };
            if let Some(shard) = self.shard(table, &key) {
                shard.lock().put(key, Row { value, since }, self.shard_bytes_max);
            }
        }
    }

    /// Tells whether rows of `table` are cached, so that [`RowCache::advance`] must hear of their changes.
    pub fn holds(table: Table) -> bool {
        cached(table).is_some()
    }

    fn shard(&self, table: Table, key: &[u8]) -> Option<&Mutex<Shard>> {
        let place = cached(table)?;
        // Hashed keys differ in every byte, trie paths in their last nibbles.
        let mix =
            key.iter().rev().take(3).fold(key.len(), |mix, byte| mix.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        self.shards.get(place * SHARDS + mix % SHARDS)
    }
}

impl Shard {
    /// Returns a row's value for a view of `version`; `None` where the cache does not know it.
    fn get(&mut self, key: &[u8], version: u64, bytes_max: usize) -> Option<Option<Vec<u8>>> {
        if let Some(row) = self.young.get(key) {
            return (row.since <= version).then(|| row.value.clone());
        }
        let (key, row) = self.old.remove_entry(key)?;
        let answer = (row.since <= version).then(|| row.value.clone());
        self.put(key, row, bytes_max);
        answer
    }

    fn put(&mut self, key: Vec<u8>, row: Row, bytes_max: usize) {
        self.old.remove(&key);
        self.young_bytes += key.len() + row.value.as_ref().map_or(0, Vec::len) + ROW_OVERHEAD_BYTES;
        self.young.insert(key, row);
        if self.young_bytes > bytes_max {
            let room = self.young.len();
            self.old = std::mem::replace(&mut self.young, Rows::with_capacity_and_hasher(room, Default::default()));
            self.young_bytes = 0;
        }
    }
}

struct CachedSnapshot {
    cache: Arc<RowCache>,
    snapshot: Snapshot,
    version: u64,
}

impl Reader for CachedSnapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(shard) = self.cache.shard(table, key) else { return self.snapshot.get(table, key) };
        if let Some(value) = shard.lock().get(key, self.version, self.cache.shard_bytes_max) {
            return Ok(value);
        }
        let value = self.snapshot.get(table, key)?;
        let mut shard = shard.lock();
        // Under the lock: a writer that comes later finds this row and replaces it; one that came earlier has raised the version.
        if self.cache.version.load(Ordering::Acquire) == self.version {
            shard.put(key.to_vec(), Row { value: value.clone(), since: self.version }, self.cache.shard_bytes_max);
        }
        Ok(value)
    }

    fn seek(&self, table: Table, key: &[u8]) -> Result<Option<Entry>, StorageError> {
        self.snapshot.seek(table, key)
    }

    fn iterate(&self, table: Table, key: &[u8]) -> EntryIterator<'_> {
        self.snapshot.iterate(table, key)
    }

    fn iterate_back(&self, table: Table, key: &[u8]) -> EntryIterator<'_> {
        self.snapshot.iterate_back(table, key)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::{Batch, Durability, MemoryStore, Store};

    fn commit(store: &MemoryStore, cache: &RowCache, changes: &[(u8, Option<u8>)]) {
        let mut batch = Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(Table::Accounts, [*key], [*value]),
                None => batch.delete(Table::Accounts, [*key]),
            }
        }
        let writes = batch.writes().to_vec();
        store.commit(batch, Durability::Process).unwrap();
        cache.advance(writes);
    }

    proptest! {
        /// Views of every moment read what their own snapshot holds, whatever was cached, evicted or overtaken meanwhile.
        #[test]
        fn a_view_reads_what_its_snapshot_holds(
            steps in prop::collection::vec(
                (prop::collection::vec((0u8..8, prop::option::of(any::<u8>())), 0..4), prop::collection::vec((0usize..9, 0u8..8), 0..20)),
                1..12,
            ),
            bytes in 0usize..100_000,
        ) {
            let (store, cache) = (MemoryStore::new(), RowCache::new(bytes));
            let mut views = vec![(store.snapshot(), cache.view(store.snapshot()))];
            for (changes, reads) in steps {
                commit(&store, &cache, &changes);
                views.push((store.snapshot(), cache.view(store.snapshot())));
                for (view, key) in reads {
                    let (plain, cached) = &views[view % views.len()];
                    let expected = plain.get(Table::Accounts, &[key]).unwrap();
                    prop_assert_eq!(cached.get(Table::Accounts, &[key]).unwrap(), expected);
                }
            }
        }
    }

    #[test]
    fn a_small_cache_stays_small() {
        let (store, cache) = (MemoryStore::new(), RowCache::new(48_000));
        let view = cache.view(store.snapshot());
        for n in 0..10_000u32 {
            view.get(Table::Slots, &n.to_be_bytes()).unwrap();
        }
        let rows_of = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            shard.young.len() + shard.old.len()
        };
        let rows: usize = cache.shards.iter().map(rows_of).sum();
        assert!((1..600).contains(&rows), "{rows} rows");
    }
}
