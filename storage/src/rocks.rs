//! The store on disk: RocksDB, one column family for each table.
//!
//! What a crash leaves behind: the write-ahead log is always on, and recovery is point-in-time. It replays whole batches up to the
//! first record that is torn or damaged and stops there. So a killed process reopens with everything it committed, and a
//! power cut costs at most the batches that were not yet synced, never half of one. Where the log ends before what had been synced, it
//! was damaged later, which is [`StorageError::LogDamaged`] and not a quiet loss. Damage anywhere else (table files, manifest) is reported
//! as [`StorageError::Corrupt`], on opening or on the read that meets it.

mod error;
mod holes;
mod mark;
mod options;
mod pid;

use self::error::translate;
use self::mark::{Mark, Synced};
pub use self::options::RocksOptions;
use self::pid::PidFile;
use crate::{
    Batch, Durability, Entry, EntryIterator, Reader, Snapshot, StorageError, Store, Table, TableSet, TableSize, Write,
    rocks::options::Tuning,
};
use rocksdb::{
    BottommostLevelCompaction, ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB, Direction, IteratorMode,
    PrefixRange, ReadOptions, WriteBatch, WriteOptions, checkpoint::Checkpoint, properties,
};
use self_cell::self_cell;
use std::{
    path::Path,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
};

/// A store on disk.
///
/// Snapshots keep the database open: its lock is released when the store and all its snapshots are dropped.
pub struct RocksStore {
    database: Arc<Database>,
    tables: TableSet,
    options: ReadOptions,
    /// Absent in a database that is opened for reading alone.
    mark: Option<Mark>,
    /// Whether the last commit found no space. Until one finds space again the log must not be synced: RocksDB would take that failure
    /// for another, final one.
    is_full: AtomicBool,
}

/// Closes in this order: the PID file first, so that it never names a process that no longer holds the lock.
struct Opened {
    _pid: Option<PidFile>,
    rocks: DB,
}

/// The handle of each table that the database has, at the table's number, found once instead of by name on each access.
struct Families<'a>([Option<&'a ColumnFamily>; Table::COUNT]);

self_cell!(
    struct Database {
        owner: Opened,
        #[covariant]
        dependent: Families,
    }
);

/// Read options that name the snapshot, and the snapshot, dropped in this order.
struct View<'a> {
    options: ReadOptions,
    snapshot: rocksdb::Snapshot<'a>,
}

self_cell!(
    struct RocksSnapshot {
        owner: Arc<Database>,
        #[covariant]
        dependent: View,
    }
);

impl RocksStore {
    /// Opens the database in the directory `path`, which is created first where `options.create` allows it.
    ///
    /// # Errors
    /// The database is in use, corrupt, absent, or the operating system refuses. It ends before what had been synced
    /// ([`StorageError::LogDamaged`]), and `options.accept_loss` is not set.
    pub fn open(path: &Path, options: RocksOptions) -> Result<Self, StorageError> {
        prepare_directory(path, &options)?;
        let synced = Synced::read(path);
        if !synced.has_its_manifest(path) && !options.accept_loss {
            return Err(StorageError::Corrupt(format!(
                "{}: the manifest is not the one that was synced",
                path.display()
            )));
        }
        if !options.read_only {
            holes::cut_logs(path).map_err(|error| io_error(path, &error))?;
        }
        let tuning = Tuning::new(&options);
        let families = family_names(path, &tuning, &options)?.into_iter().map(|name| {
            let family_options = tuning.family(&name);
            ColumnFamilyDescriptor::new(name, family_options)
        });
        let rocks = if options.read_only {
            DB::open_cf_descriptors_read_only(&tuning.database, path, families, false)
        } else {
            DB::open_cf_descriptors(&tuning.database, path, families)
        }
        .map_err(|error| translate(error, path))?;

        let recovered = rocks.latest_sequence_number();
        if recovered < synced.sequence && !options.accept_loss {
            return Err(StorageError::LogDamaged { synced: synced.sequence, recovered });
        }
        let (mark, pid) = if options.read_only {
            (None, None)
        } else {
            // What recovery read is in the log or in table files; it is on the disk after the next sync.
            let mark = Mark::create(path, recovered.min(synced.sequence)).map_err(|error| io_error(path, &error))?;
            (Some(mark), PidFile::write(path))
        };
        let database =
            Database::try_new(Opened { _pid: pid, rocks }, |opened| find_families(&opened.rocks, options.tables))?;
        Ok(Self {
            database: Arc::new(database),
            tables: options.tables,
            options: ReadOptions::default(),
            mark,
            is_full: AtomicBool::new(false),
        })
    }

    /// Notes that all changes up to `sequence` are on the disk.
    fn mark_synced(&self, sequence: u64) {
        if let Some(mark) = &self.mark {
            mark.raise(sequence);
        }
    }
}

impl std::fmt::Debug for RocksStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RocksStore").field("path", &self.database.rocks().path()).finish_non_exhaustive()
    }
}

impl Reader for RocksStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.database.get(table, key, &self.options)
    }

    fn seek(&self, table: Table, key: &[u8]) -> Result<Option<Entry>, StorageError> {
        self.database.walk(table, key, Direction::Forward, ReadOptions::default()).next().transpose()
    }

    fn iterate(&self, table: Table, key: &[u8]) -> EntryIterator<'_> {
        Box::new(self.database.walk(table, key, Direction::Forward, ReadOptions::default()))
    }

    fn iterate_back(&self, table: Table, key: &[u8]) -> EntryIterator<'_> {
        Box::new(self.database.walk(table, key, Direction::Reverse, ReadOptions::default()))
    }

    fn iterate_prefix<'a>(&'a self, table: Table, prefix: &'a [u8]) -> EntryIterator<'a> {
        Box::new(self.database.walk(table, prefix, Direction::Forward, within(prefix, ReadOptions::default())))
    }
}

impl Store for RocksStore {
    fn snapshot(&self) -> Snapshot {
        Arc::new(RocksSnapshot::new(Arc::clone(&self.database), |database| {
            let snapshot = database.rocks().snapshot();
            let mut options = ReadOptions::default();
            options.set_snapshot(&snapshot);
            View { options, snapshot }
        }))
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StorageError> {
        let mut writes = WriteBatch::with_capacity_bytes(encoded_size(batch.writes()));
        for write in batch.writes() {
            match write {
                Write::Put(table, key, value) => writes.put_cf(&self.database.family(*table), key, value),
                Write::Delete(table, key) => writes.delete_cf(&self.database.family(*table), key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Disk);
        let written = self.database.rocks().write_opt(writes, &options).map_err(|error| self.database.blame(error));
        self.is_full.store(matches!(written, Err(StorageError::Full(_))), Ordering::Relaxed);
        written?;
        if durability == Durability::Disk {
            self.mark_synced(self.database.rocks().latest_sequence_number());
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(StorageError::Full("the log goes on when there is space again".to_owned()));
        }
        // Taken first: a commit that comes meanwhile may miss the sync.
        let sequence = self.database.rocks().latest_sequence_number();
        self.database.rocks().flush_wal(true).map_err(|error| self.database.blame(error))?;
        self.mark_synced(sequence);
        Ok(())
    }

    /// Files are hard-linked where the file system allows it, so that the copy costs little time and space.
    fn checkpoint(&self, path: &Path) -> Result<(), StorageError> {
        Checkpoint::new(self.database.rocks())
            .and_then(|checkpoint| checkpoint.create_checkpoint(path))
            .map_err(|error| self.database.blame(error))
    }

    fn compact(&self) -> Result<(), StorageError> {
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        for table in self.tables.tables().iter().copied() {
            self.database.rocks().compact_range_cf_opt(
                &self.database.family(table),
                None::<&[u8]>,
                None::<&[u8]>,
                &options,
            );
        }
        // A manual compaction returns nothing; what went wrong in it is counted.
        match self.database.rocks().property_int_value(properties::BACKGROUND_ERRORS) {
            Ok(None | Some(0)) => Ok(()),
            Ok(Some(count)) => {
                Err(StorageError::Io(format!("{count} background errors, the LOG file in the database has them")))
            }
            Err(error) => Err(self.database.blame(error)),
        }
    }

    fn size(&self, table: Table) -> Result<TableSize, StorageError> {
        let Some(family) = self.database.readable(table) else { return Ok(TableSize::default()) };
        let number = |property| {
            let value = self.database.rocks().property_int_value_cf(&family, property);
            value.map(Option::unwrap_or_default).map_err(|error| self.database.blame(error))
        };
        let bytes =
            number(properties::LIVE_SST_FILES_SIZE)?.saturating_add(number(properties::CUR_SIZE_ALL_MEM_TABLES)?);
        Ok(TableSize { rows: number(properties::ESTIMATE_NUM_KEYS)?, bytes })
    }
}

impl Reader for RocksSnapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.borrow_owner().get(table, key, &self.borrow_dependent().options)
    }

    fn seek(&self, table: Table, key: &[u8]) -> Result<Option<Entry>, StorageError> {
        self.borrow_owner().walk(table, key, Direction::Forward, self.read_options()).next().transpose()
    }

    fn iterate(&self, table: Table, key: &[u8]) -> EntryIterator<'_> {
        Box::new(self.borrow_owner().walk(table, key, Direction::Forward, self.read_options()))
    }

    fn iterate_back(&self, table: Table, key: &[u8]) -> EntryIterator<'_> {
        Box::new(self.borrow_owner().walk(table, key, Direction::Reverse, self.read_options()))
    }

    fn iterate_prefix<'a>(&'a self, table: Table, prefix: &'a [u8]) -> EntryIterator<'a> {
        Box::new(self.borrow_owner().walk(table, prefix, Direction::Forward, within(prefix, self.read_options())))
    }
}

impl RocksSnapshot {
    fn read_options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.borrow_dependent().snapshot);
        options
    }
}

impl Database {
    fn rocks(&self) -> &DB {
        &self.borrow_owner().rocks
    }

    /// Returns a table to write; one that came later is there wherever writing is allowed.
    fn family(&self, table: Table) -> &ColumnFamily {
        self.readable(table).expect("a database is asked for tables of its own set only")
    }

    /// Returns a table to read; `None`: the program that wrote the database did not know it.
    fn readable(&self, table: Table) -> Option<&ColumnFamily> {
        self.borrow_dependent().0[table.index()]
    }

    fn get(&self, table: Table, key: &[u8], options: &ReadOptions) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(family) = self.readable(table) else { return Ok(None) };
        match self.rocks().get_pinned_cf_opt(&family, key, options) {
            Ok(value) => Ok(value.map(|bytes| bytes.to_vec())),
            Err(error) => Err(self.blame(error)),
        }
    }

    fn walk<'s>(
        &'s self,
        table: Table,
        key: &[u8],
        direction: Direction,
        options: ReadOptions,
    ) -> impl Iterator<Item = Result<Entry, StorageError>> + use<'s> {
        let entries = self
            .readable(table)
            .map(|family| self.rocks().iterator_cf_opt(&family, options, IteratorMode::From(key, direction)));
        entries.into_iter().flatten().map(|entry| match entry {
            Ok((key, value)) => Ok((key.into_vec(), value.into_vec())),
            Err(error) => Err(self.blame(error)),
        })
    }

    fn blame(&self, error: rocksdb::Error) -> StorageError {
        translate(error, self.rocks().path())
    }
}

/// Makes the iterator end after the last key that begins with `prefix`, so that it does not wade through deleted rows behind it.
fn within(prefix: &[u8], mut options: ReadOptions) -> ReadOptions {
    options.set_iterate_range(PrefixRange(prefix));
    options
}

/// Returns about how many bytes the batch will take in the log, so that its buffer is allocated once.
fn encoded_size(writes: &[Write]) -> usize {
    /// Tag, column family and the two lengths, at their usual widths.
    const OVERHEAD_BYTES: usize = 8;
    let sizes = writes.iter().map(|write| match write {
        Write::Put(_, key, value) => OVERHEAD_BYTES + key.len() + value.len(),
        Write::Delete(_, key) => OVERHEAD_BYTES + key.len(),
    });
    12 + sizes.sum::<usize>()
}

/// Creates the directory where that is allowed, and refuses one that lost its `CURRENT` file: RocksDB would take it for empty and
/// start a new database over the old one.
fn prepare_directory(path: &Path, options: &RocksOptions) -> Result<(), StorageError> {
    if path.join("CURRENT").exists() {
        return Ok(());
    }
    if options.create && !options.read_only {
        create_durably(path).map_err(|error| io_error(path, &error))?;
    }
    let entries = std::fs::read_dir(path).map_err(|error| io_error(path, &error))?;
    let has_data =
        entries.flatten().any(|entry| entry.path().extension().is_some_and(|kind| kind == "sst" || kind == "log"));
    if has_data {
        return Err(StorageError::Corrupt(format!("{}: the file CURRENT is missing", path.display())));
    }
    if !options.create || options.read_only {
        return Err(StorageError::Io(format!("{}: no database here", path.display())));
    }
    Ok(())
}

/// Creates a directory and those above it, each of them on the disk in the one above before anything is put into it: otherwise a power cut
/// could take a database whose own files were all synced.
fn create_durably(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_durably(above)?;
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other?,
    }
    std::fs::File::open(above)?.sync_all()
}

fn io_error(path: &Path, error: &std::io::Error) -> StorageError {
    let cause = format!("{}: {error}", path.display());
    match error.kind() {
        std::io::ErrorKind::StorageFull => StorageError::Full(cause),
        _ => StorageError::Io(cause),
    }
}

/// Returns the tables, and whatever else the database has: a newer Drawbridge may have added tables, and its format version can
/// be read only from an open database.
fn family_names(path: &Path, tuning: &Tuning, options: &RocksOptions) -> Result<Vec<String>, StorageError> {
    let tables = options.tables.tables();
    let mut names: Vec<String> = tables.iter().map(|table| table.name().to_owned()).collect();
    if path.join("CURRENT").exists() {
        let present = DB::list_cf(&tuning.database, path).map_err(|error| translate(error, path))?;
        if options.read_only {
            // No table is made here, so that one which an earlier program did not know cannot be opened.
            names.retain(|name| {
                present.contains(name) || !tables.iter().any(|table| table.came_later() && table.name() == name)
            });
        }
        names.extend(present.into_iter().filter(|name| tables.iter().all(|table| table.name() != name)));
    }
    Ok(names)
}

fn find_families(rocks: &DB, set: TableSet) -> Result<Families<'_>, StorageError> {
    let find = |table: Table| match rocks.cf_handle(table.name()) {
        None if !table.came_later() => Err(StorageError::Corrupt(format!("table {} is missing", table.name()))),
        found => Ok(found),
    };
    let mut families = [None; Table::COUNT];
    for table in set.tables().iter().copied() {
        families[table.index()] = find(table)?;
    }
    Ok(Families(families))
}
