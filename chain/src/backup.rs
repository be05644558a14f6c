//! Backups: a copy of the database's files with a record of what it holds, made while the chain goes on, and put back.
//!
//! A backup is a directory with `chaindata` (a database of its moment), `genesis.json` (the chain file) and `backup.txt` (the record). It
//! appears under its name only when it is whole: until then the name ends in `.part`, and what a killed process leaves there is
//! removed by the next one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use alloy_primitives::B256;
use storage::{Reader, RocksOptions, RocksStore, StorageError, Store, Table};

use crate::import::ImportError;
use crate::records::{meta, number_of};
use crate::verify::{Check, verify};

/// The database within a backup.
const DATABASE: &str = "chaindata";
/// The chain file within a backup.
const CHAIN_FILE: &str = "genesis.json";
/// The record within a backup.
const RECORD: &str = "backup.txt";
/// Files of a database directory that say something about a process and nothing about the chain.
const OF_A_PROCESS: [&str; 4] = ["LOCK", "LOG", "drawbridge.pid", "drawbridge.synced"];

/// Says what a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupRecord {
    /// The hash of block 0.
    pub genesis: B256,
    /// The head's hash.
    pub head: B256,
    /// The head's number.
    pub number: u64,
}

/// Says why a backup cannot be made, checked or put back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// Something is there already.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// The directory is no backup.
    #[error("{} is no backup: {problem}", path.display())]
    NoBackup {
        /// The directory.
        path: PathBuf,
        /// What is missing or wrong.
        problem: String,
    },
    /// The backup does not hold what its record says, or does not agree with itself.
    #[error("the backup in {} is damaged: {problem}", path.display())]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// What does not agree.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {problem}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's words.
        problem: String,
    },
    /// The chain's own store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl BackupError {
    fn io(path: &Path, error: &io::Error) -> Self {
        Self::Io { path: path.to_owned(), problem: error.to_string() }
    }

    fn damaged(path: &Path, problem: impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.to_string() }
    }
}

impl BackupRecord {
    /// Reads the record of the backup in `path`.
    ///
    /// # Errors
    /// There is none, or it cannot be understood.
    pub fn read(path: &Path) -> Result<Self, BackupError> {
        let no_backup = |problem: String| BackupError::NoBackup { path: path.to_owned(), problem };
        let text = fs::read_to_string(path.join(RECORD)).map_err(|error| no_backup(format!("{RECORD}: {error}")))?;
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.ok_or_else(|| no_backup(format!("{RECORD} has no line `{name}`")))
        };
        let hash = |name: &str| {
            field(name)?.parse::<B256>().map_err(|error| no_backup(format!("{RECORD}, line `{name}`: {error}")))
        };
        let number =
            field("number")?.parse().map_err(|error| no_backup(format!("{RECORD}, line `number`: {error}")))?;
        Ok(Self { genesis: hash("genesis")?, head: hash("head")?, number })
    }

    fn of_store(store: &dyn Reader) -> Result<Self, ImportError> {
        let hash = |name: &[u8]| -> Result<B256, ImportError> {
            let row = store.get(Table::Meta, name)?.and_then(|row| B256::try_from(&row[..]).ok());
            row.ok_or_else(|| ImportError::Corrupt(format!("no {}", String::from_utf8_lossy(name))))
        };
        let head = hash(meta::HEAD)?;
        let number =
            number_of(store, head)?.ok_or_else(|| ImportError::Corrupt("the head has no number".to_owned()))?;
        Ok(Self { genesis: hash(meta::GENESIS)?, head, number })
    }

    fn to_text(self) -> String {
        format!("genesis {}\nhead {}\nnumber {}\n", self.genesis, self.head, self.number)
    }
}

/// Copies `store`, as it is now, into the directory `target`, which must not exist yet. Commits go on meanwhile.
///
/// # Errors
/// `target` exists or cannot be written, or the store failed.
pub fn create(store: &dyn Store, target: &Path) -> Result<BackupRecord, BackupError> {
    let part = begin(target)?;
    store.checkpoint(&part.join(DATABASE))?;
    let copy = open(&part.join(DATABASE))?;
    let record = BackupRecord::of_store(&copy).map_err(|error| BackupError::damaged(&part, error))?;
    if let Some(chain_file) = copy.get(Table::Meta, meta::CHAIN_FILE)? {
        write(&part.join(CHAIN_FILE), &chain_file)?;
    }
    write(&part.join(RECORD), record.to_text().as_bytes())?;
    drop(copy);
    finish(&part, target)?;
    Ok(record)
}

/// Recomputes every hash and root of a backup, and compares them with each other and with its record.
///
/// # Errors
/// It is no backup, or it is damaged.
pub fn check(path: &Path) -> Result<Check, BackupError> {
    let record = BackupRecord::read(path)?;
    check_database(path, &path.join(DATABASE), &record)
}

/// Copies the database of a backup to `database`, which must not exist, and checks the copy before it gets that name.
///
/// # Errors
/// `database` exists or cannot be written; it is no backup, or it is damaged.
pub fn restore(path: &Path, database: &Path) -> Result<Check, BackupError> {
    let record = BackupRecord::read(path)?;
    let part = begin(database)?;
    let source = path.join(DATABASE);
    for entry in fs::read_dir(&source).map_err(|error| BackupError::io(&source, &error))? {
        let entry = entry.map_err(|error| BackupError::io(&source, &error))?;
        let name = entry.file_name();
        if OF_A_PROCESS.iter().any(|other| name == *other) {
            continue;
        }
        let copy = part.join(name);
        fs::copy(entry.path(), &copy)
            .and_then(|_| File::open(&copy)?.sync_all())
            .map_err(|error| BackupError::io(&copy, &error))?;
    }
    let check = check_database(path, &part, &record)?;
    finish(&part, database)?;
    Ok(check)
}

fn check_database(path: &Path, database: &Path, record: &BackupRecord) -> Result<Check, BackupError> {
    let damaged = |error: &dyn std::fmt::Display| BackupError::damaged(path, error);
    let store = open(database).map_err(|error| damaged(&error))?;
    let found = BackupRecord::of_store(&store).map_err(|error| damaged(&error))?;
    if found != *record {
        return Err(damaged(&format!(
            "the record says head {} ({}), the database has {} ({})",
            record.number, record.head, found.number, found.head
        )));
    }
    let check = verify(&store, |_| {}).map_err(|error| damaged(&error))?;
    match check.problems.first() {
        None => Ok(check),
        Some(first) => Err(damaged(&format!("{} problems, the first: {first}", check.problems.len()))),
    }
}

/// Opens a copy without changing it.
fn open(database: &Path) -> Result<RocksStore, StorageError> {
    RocksStore::open(database, RocksOptions { read_only: true, create: false, ..RocksOptions::default() })
}

/// Makes the directory that will become `target`, empty.
fn begin(target: &Path) -> Result<PathBuf, BackupError> {
    if target.exists() {
        return Err(BackupError::Exists(target.to_owned()));
    }
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = target.with_file_name(name);
    let made = if part.exists() { fs::remove_dir_all(&part) } else { Ok(()) };
    made.and_then(|()| fs::create_dir_all(&part)).map_err(|error| BackupError::io(&part, &error))?;
    Ok(part)
}

/// Gives the directory its name, everything in it on the disk.
fn finish(part: &Path, target: &Path) -> Result<(), BackupError> {
    let above = target.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let sync = |directory: &Path| File::open(directory)?.sync_all();
    sync(part).map_err(|error| BackupError::io(part, &error))?;
    fs::rename(part, target).and_then(|()| sync(above)).map_err(|error| BackupError::io(target, &error))
}

fn write(path: &Path, content: &[u8]) -> Result<(), BackupError> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.map_err(|error| BackupError::io(path, &error))
}
