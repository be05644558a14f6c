//! What RocksDB's store does beyond the seam: locks, damage, crashes, copies.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use storage::{Batch, Durability, Reader, RocksOptions, RocksStore, StorageError, Store, Table, TableSet};
use tempfile::TempDir;

fn open(path: &Path) -> Result<RocksStore, StorageError> {
    RocksStore::open(path, RocksOptions::default())
}

fn put(store: &RocksStore, key: u32, value: &[u8]) {
    let mut batch = Batch::default();
    batch.put(Table::Accounts, key.to_be_bytes(), value);
    batch.put(Table::Slots, key.to_be_bytes(), value);
    store.commit(batch, Durability::Process).unwrap();
}

fn files(directory: &Path, matches: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| matches(path.file_name().unwrap().to_str().unwrap()))
        .collect();
    paths.sort();
    paths
}

/// Inverts bytes in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    let end = (middle + 16).min(bytes.len());
    bytes[middle..end].iter_mut().for_each(|byte| *byte = !*byte);
    fs::write(path, bytes).unwrap();
}

/// Makes a database with rows in table files and some in the log, closed.
fn sample() -> TempDir {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).unwrap();
    for key in 0..2000 {
        put(&store, key, &[7; 50]);
    }
    store.compact().unwrap();
    for key in 2000..2010 {
        put(&store, key, &[8; 50]);
    }
    directory
}

/// Reads every row, as a verification would.
fn read_all(directory: &Path) -> Result<usize, StorageError> {
    let store = open(directory)?;
    let mut rows = 0;
    for table in Table::ALL {
        for entry in store.iterate(table, &[]) {
            entry?;
            rows += 1;
        }
    }
    Ok(rows)
}

#[test]
fn rows_survive_a_drop_without_close() {
    let directory = sample();
    assert_eq!(read_all(directory.path()).unwrap(), 4020);
}

#[test]
fn a_second_open_says_who_has_the_lock() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).unwrap();
    let expected = StorageError::Locked { path: directory.path().display().to_string(), pid: Some(std::process::id()) };
    assert_eq!(open(directory.path()).unwrap_err(), expected);
    drop(store);
    open(directory.path()).unwrap();
}

#[test]
fn a_snapshot_outlives_its_store_and_keeps_the_lock() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).unwrap();
    put(&store, 1, b"one");
    let snapshot = store.snapshot();
    drop(store);
    assert_eq!(snapshot.get(Table::Accounts, &1_u32.to_be_bytes()).unwrap().as_deref(), Some(&b"one"[..]));
    assert!(matches!(open(directory.path()), Err(StorageError::Locked { .. })));
    drop(snapshot);
    open(directory.path()).unwrap();
    assert!(files(directory.path(), |name| name.ends_with(".pid")).is_empty());
}

#[test]
fn a_damaged_file_is_corruption() {
    for (name, matches) in [
        ("table files", (|name: &str| name.ends_with(".sst")) as fn(&str) -> bool),
        ("MANIFEST", |name| name.starts_with("MANIFEST")),
        ("CURRENT", |name| name == "CURRENT"),
    ] {
        let directory = sample();
        let found = files(directory.path(), matches);
        assert!(!found.is_empty(), "{name}");
        found.iter().for_each(|path| damage(path));
        let result = read_all(directory.path());
        assert!(matches!(result, Err(StorageError::Corrupt(_))), "{name}: {result:?}");
    }
}

#[test]
fn a_missing_file_is_corruption() {
    for (name, matches) in [
        ("table files", (|name: &str| name.ends_with(".sst")) as fn(&str) -> bool),
        ("MANIFEST", |name| name.starts_with("MANIFEST")),
        ("CURRENT", |name| name == "CURRENT"),
    ] {
        let directory = sample();
        files(directory.path(), matches).iter().for_each(|path| fs::remove_file(path).unwrap());
        let result = read_all(directory.path());
        assert!(matches!(result, Err(StorageError::Corrupt(_))), "{name}: {result:?}");
    }
}

#[test]
fn a_damaged_read_reports_corruption_in_get_too() {
    let directory = sample();
    let store = open(directory.path()).unwrap();
    files(directory.path(), |name| name.ends_with(".sst")).iter().for_each(|path| damage(path));
    let failed = (0..2000_u32).find_map(|key| store.get(Table::Accounts, &key.to_be_bytes()).err());
    assert!(matches!(failed, Some(StorageError::Corrupt(_))), "{failed:?}");
}

#[test]
fn a_torn_log_reopens_at_whole_batches() {
    let directory = TempDir::new().unwrap();
    {
        let store = open(directory.path()).unwrap();
        for key in 0..100 {
            put(&store, key, &[9; 40]);
        }
    }
    let log = files(directory.path(), |name| name.ends_with(".log")).pop().unwrap();
    let whole = fs::read(&log).unwrap();
    for cut in [0, 1, 7, 150, whole.len() / 2, whole.len() - 1, whole.len()] {
        let copy = TempDir::new().unwrap();
        for file in files(directory.path(), |_| true) {
            fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
        }
        fs::write(copy.path().join(log.file_name().unwrap()), &whole[..cut]).unwrap();
        let store = open(copy.path()).unwrap();
        let count = |table| store.iterate(table, &[]).map(Result::unwrap).count();
        assert_eq!(count(Table::Accounts), count(Table::Slots), "cut at {cut}: half a batch");
        let rows = u32::try_from(count(Table::Accounts)).unwrap();
        for key in 0..rows {
            assert!(store.get(Table::Accounts, &key.to_be_bytes()).unwrap().is_some(), "cut at {cut}: a hole at {key}");
        }
        assert_eq!(rows == 100, cut == whole.len(), "cut at {cut}: {rows} rows");
    }
}

/// Copies a database directory, which nobody has open.
fn copy_of(directory: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for file in files(directory, |_| true) {
        fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
    }
    copy
}

/// Makes a database whose rows are all in the log, synced at the end where `synced`, and returns the path of the log.
fn logged(rows: u32, value: &[u8], synced: bool) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    {
        let store = open(directory.path()).unwrap();
        for key in 0..rows {
            put(&store, key, value);
        }
        if synced {
            store.sync().unwrap();
        }
    }
    let log = files(directory.path(), |name| name.ends_with(".log")).pop().unwrap();
    (directory, log)
}

#[test]
fn a_hole_in_the_log_never_lets_later_batches_through() {
    // Records of 1024 bytes: 7 of the frame, 12 of the batch, twice tag, table, lengths and key (9), and the values. So each
    // block of 32 KiB begins with a record, as it would by chance now and then.
    const RECORD: usize = 1024;
    let value = [9; (RECORD - 7 - 12 - 2 * 9 - 1) / 2];
    let directory = TempDir::new().unwrap();
    {
        let store = open(directory.path()).unwrap();
        for key in 0..100_u32 {
            let mut batch = Batch::default();
            batch.put(Table::Accounts, key.to_be_bytes(), value);
            batch.put(Table::Slots, key.to_be_bytes(), [&value[..], &[9]].concat());
            store.commit(batch, Durability::Process).unwrap();
        }
    }
    let log = files(directory.path(), |name| name.ends_with(".log")).pop().unwrap();
    let whole = fs::read(&log).unwrap();
    assert_eq!(whole.len(), 100 * RECORD);
    for (from, to) in
        [(28_672, 32_768), (0, 32_768), (32_768, 65_536), (16_384, 65_536), (61_440, 65_536), (36_864, 40_960)]
    {
        let copy = copy_of(directory.path());
        let mut holed = whole.clone();
        holed[from..to].fill(0);
        fs::write(copy.path().join(log.file_name().unwrap()), &holed).unwrap();
        let store = open(copy.path()).unwrap();
        for table in [Table::Accounts, Table::Slots] {
            assert_eq!(store.iterate(table, &[]).count(), from / RECORD, "a hole from {from} to {to}");
        }
    }
}

#[test]
fn a_log_that_was_damaged_after_its_sync_is_told_and_not_dropped() {
    let (directory, log) = logged(200, &[9; 300], true);
    let whole = fs::read(&log).unwrap();
    for (case, bytes) in [
        ("a bit", {
            let mut bytes = whole.clone();
            bytes[whole.len() / 2] ^= 1;
            bytes
        }),
        ("the last byte", whole[..whole.len() - 1].to_vec()),
        ("half", whole[..whole.len() / 2].to_vec()),
        ("all", Vec::new()),
        ("a page", {
            let mut bytes = whole.clone();
            bytes[4096..8192].fill(0);
            bytes
        }),
    ] {
        let copy = copy_of(directory.path());
        fs::write(copy.path().join(log.file_name().unwrap()), &bytes).unwrap();
        for _ in 0..2 {
            let result = open(copy.path());
            assert!(matches!(result, Err(StorageError::LogDamaged { synced: 400, .. })), "{case}: {result:?}");
        }
        let accepting = RocksOptions { accept_loss: true, ..RocksOptions::default() };
        let store = RocksStore::open(copy.path(), accepting).unwrap();
        let rows = store.iterate(Table::Accounts, &[]).map(Result::unwrap).count();
        assert!(rows < 200, "{case}");
        assert_eq!(rows, store.iterate(Table::Slots, &[]).map(Result::unwrap).count(), "{case}");
        drop(store);
        open(copy.path()).unwrap();
    }
    fs::remove_file(&log).unwrap();
    assert!(open(directory.path()).is_err(), "the whole log is missing");
}

#[test]
fn an_older_manifest_is_refused() {
    let directory = TempDir::new().unwrap();
    let manifest = {
        let store = open(directory.path()).unwrap();
        let manifest = files(directory.path(), |name| name.starts_with("MANIFEST")).pop().unwrap();
        for round in 0..2 {
            put(&store, round, b"row");
            store.compact().unwrap();
        }
        store.sync().unwrap();
        manifest
    };
    let whole = fs::read(&manifest).unwrap();
    let mut refused = 0;
    for size in (0..whole.len()).step_by(40) {
        let copy = copy_of(directory.path());
        fs::write(copy.path().join(manifest.file_name().unwrap()), &whole[..size]).unwrap();
        let result = open(copy.path());
        assert!(matches!(result, Err(StorageError::Corrupt(_))), "{size} bytes: {result:?}");
        refused += 1;
    }
    assert!(refused > 10, "{refused}");
    let store = open(directory.path()).unwrap();
    assert_eq!(store.iterate(Table::Accounts, &[]).count(), 2);
}

#[test]
fn a_torn_log_that_was_not_synced_reopens() {
    let (directory, log) = logged(200, &[9; 300], false);
    let whole = fs::read(&log).unwrap();
    fs::write(&log, &whole[..whole.len() - 10]).unwrap();
    let store = open(directory.path()).unwrap();
    assert_eq!(store.iterate(Table::Accounts, &[]).count(), 199);
}

#[test]
fn absent_databases_and_forbidden_places_are_io_errors() {
    let directory = TempDir::new().unwrap();
    let absent = directory.path().join("absent");
    let result = RocksStore::open(&absent, RocksOptions { create: false, ..RocksOptions::default() });
    assert!(matches!(result, Err(StorageError::Io(_))), "{result:?}");
    assert!(!absent.exists());
    let file = directory.path().join("file");
    fs::write(&file, "no directory").unwrap();
    let result = open(&file);
    assert!(matches!(result, Err(StorageError::Io(_))), "{result:?}");
    let result = RocksStore::open(&absent, RocksOptions { read_only: true, ..RocksOptions::default() });
    assert!(matches!(result, Err(StorageError::Io(_))), "{result:?}");
}

#[test]
fn read_only_works_beside_the_owner_and_refuses_commits() {
    let directory = TempDir::new().unwrap();
    let owner = open(directory.path()).unwrap();
    put(&owner, 1, b"one");
    let reader =
        RocksStore::open(directory.path(), RocksOptions { read_only: true, ..RocksOptions::default() }).unwrap();
    assert_eq!(reader.get(Table::Slots, &1_u32.to_be_bytes()).unwrap().as_deref(), Some(&b"one"[..]));
    let mut batch = Batch::default();
    batch.put(Table::Meta, *b"key", *b"value");
    assert!(reader.commit(batch, Durability::Process).is_err());
    put(&owner, 2, b"two");
}

#[test]
fn a_table_that_earlier_programs_did_not_know_reads_empty_and_is_made_where_it_may_be() {
    let directory = TempDir::new().unwrap();
    put(&open(directory.path()).unwrap(), 1, b"one");
    let names = rocksdb::DB::list_cf(&rocksdb::Options::default(), directory.path()).unwrap();
    let mut earlier = rocksdb::DB::open_cf(&rocksdb::Options::default(), directory.path(), &names).unwrap();
    for table in [Table::AddressIndex, Table::EventIndex] {
        earlier.drop_cf(table.name()).unwrap();
    }
    drop(earlier);
    // Another program has written the manifest.
    let options = RocksOptions { accept_loss: true, ..RocksOptions::default() };
    let reader = RocksStore::open(directory.path(), RocksOptions { read_only: true, ..options }).unwrap();
    assert_eq!(reader.get(Table::Slots, &1_u32.to_be_bytes()).unwrap().as_deref(), Some(&b"one"[..]));
    assert_eq!(reader.get(Table::EventIndex, b"key").unwrap(), None);
    assert!(reader.iterate(Table::AddressIndex, &[]).next().is_none());
    assert!(reader.snapshot().seek(Table::AddressIndex, &[]).unwrap().is_none());
    drop(reader);
    let owner = RocksStore::open(directory.path(), options).unwrap();
    let mut batch = Batch::default();
    batch.put(Table::EventIndex, *b"key", *b"value");
    owner.commit(batch, Durability::Process).unwrap();
    assert_eq!(owner.get(Table::EventIndex, b"key").unwrap().as_deref(), Some(&b"value"[..]));
}

#[test]
fn a_checkpoint_is_a_database_of_its_moment() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory.path().join("live")).unwrap();
    put(&store, 1, b"one");
    let copy = directory.path().join("copy");
    store.checkpoint(&copy).unwrap();
    put(&store, 2, b"two");
    let restored = open(&copy).unwrap();
    assert_eq!(restored.iterate(Table::Accounts, &[]).count(), 1);
    assert!(store.checkpoint(&copy).is_err(), "an existing directory is not overwritten");
}

/// The child of the next test: writes until it is killed.
#[test]
fn killed_child() {
    let Ok(path) = std::env::var("DRAWBRIDGE_TEST_KILLED_CHILD") else { return };
    let store = open(Path::new(&path)).unwrap();
    let first = u32::try_from(store.iterate(Table::Accounts, &[]).count()).unwrap();
    for key in first.. {
        put(&store, key, &[3; 200]);
        // Tells the parent what is committed: a row in this file was acknowledged.
        fs::write(Path::new(&path).with_extension("acknowledged"), key.to_string()).unwrap();
    }
}

#[test]
fn a_killed_process_reopens_with_all_it_committed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("db");
    let acknowledged = path.with_extension("acknowledged");
    for round in 1..=3_u32 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed_child"])
            .env("DRAWBRIDGE_TEST_KILLED_CHILD", &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let read = || fs::read_to_string(&acknowledged).ok().and_then(|text| text.parse::<u32>().ok());
        while read().is_none_or(|key| key < round * 500) {
            assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let key = read().unwrap_or(round * 500);
        let store = open(&path).unwrap();
        let rows = store.iterate(Table::Accounts, &[]).map(Result::unwrap).count();
        assert!(rows > usize::try_from(key).unwrap(), "{key} was acknowledged, {rows} rows are there");
        assert_eq!(rows, store.iterate(Table::Slots, &[]).map(Result::unwrap).count());
    }
}

#[test]
fn a_database_of_devices_has_the_devices_tables_alone() {
    let directory = TempDir::new().unwrap();
    let options = RocksOptions { tables: TableSet::Devices, ..RocksOptions::default() };
    let store = RocksStore::open(directory.path(), options).unwrap();
    let mut batch = Batch::default();
    for table in Table::DEVICES {
        batch.put(table, *b"key", table.name());
    }
    store.commit(batch, Durability::Disk).unwrap();
    store.compact().unwrap();
    drop(store);
    let store = RocksStore::open(directory.path(), options).unwrap();
    for table in Table::DEVICES {
        assert_eq!(store.get(table, b"key").unwrap().as_deref(), Some(table.name().as_bytes()));
    }
}
