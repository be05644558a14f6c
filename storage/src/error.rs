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
    /// A row does not decode.
    #[error("table {}: the row does not decode: {problem}", table.name())]
    Row {
        /// The table.
        table: Table,
        /// What is wrong.
        problem: String,
    },
}
