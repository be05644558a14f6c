//! From RocksDB's errors, which are texts, to what an operator can act on.

use super::pid;
use crate::StorageError;
use rocksdb::ErrorKind;
use std::path::Path;

/// How the operating system says that the disk is full (ENOSPC), in RocksDB's messages too.
const NO_SPACE: &str = "No space left on device";

/// Translates an error of the database in `path`.
pub(super) fn translate(error: rocksdb::Error, path: &Path) -> StorageError {
    let kind = error.kind();
    let message = error.into_string();
    if is_locked(&message) {
        return StorageError::Locked { path: path.display().to_string(), pid: pid::read(path) };
    }
    // A missing file is one that the manifest names: the directory itself was there when the database was opened.
    let file_is_missing = kind == ErrorKind::IOError && message.contains("No such file or directory");
    if message.contains(NO_SPACE) {
        return StorageError::Full(message);
    }
    if kind == ErrorKind::Corruption || file_is_missing {
        return StorageError::Corrupt(message);
    }
    StorageError::Io(message)
}

/// Tells whether the lock was refused, in RocksDB's words for this process and for another one.
fn is_locked(message: &str) -> bool {
    let lock_file = message.contains("LOCK");
    let refused = message.contains("lock hold by current process") || message.contains("While lock file");
    lock_file && refused && (message.contains("No locks available") || message.contains("temporarily unavailable"))
}
