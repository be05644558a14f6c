//! What a store can fail with, by what the operator must do.

use crate::Table;

/// Says why the store could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// Another process has the database open.
    #[error("the database at {path} is in use by another process{}", pid.map(|pid| format!(" (PID {pid})")).unwrap_or_default())]
    Locked {
        /// The database directory.
        path: String,
        /// The process, where it can be found out.
        pid: Option<u32>,
    },
    /// Stored bytes are not what was written.
    #[error("the database is corrupt: {0}")]
    Corrupt(String),
    /// The operating system refused: no space, no permission, a failing disk.
    #[error("the database cannot be read or written: {0}")]
    Io(String),
    /// There is no space. Nothing of the batch is written; once there is space again, the same store goes on by itself.
    #[error("the disk is full: {0}")]
    Full(String),
    /// The write-ahead log was damaged after it had reached the disk: changes that were said to be safe cannot be read back.
    #[error("the database's log is damaged: {} changes that had reached the disk are gone", synced.saturating_sub(*recovered))]
    LogDamaged {
        /// The number of the last change that had reached the disk.
        synced: u64,
        /// The number of the last change that can be read.
        recovered: u64,
    },
    /// A row does not decode.
    #[error("table {}: the row does not decode: {problem}", table.name())]
    Row {
        /// The table.
        table: Table,
        /// What is wrong.
        problem: String,
    },
}
