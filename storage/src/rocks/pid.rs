//! The file that says which process has the database open. RocksDB's own lock does not tell.

use std::path::{Path, PathBuf};

const FILE_NAME: &str = "drawbridge.pid";

/// Removes the file when it is dropped. A killed process leaves it behind, which does no harm: it is read only when the lock is
/// held, and then by the holder's number.
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Writes this process's number. The lock is what protects the database, so that a failure here is none: `None`.
    pub(super) fn write(directory: &Path) -> Option<Self> {
        let path = directory.join(FILE_NAME);
        std::fs::write(&path, format!("{}\n", std::process::id())).ok()?;
        Some(Self(path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Nothing depends on the file being gone.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Returns the process that wrote the file.
pub(super) fn read(directory: &Path) -> Option<u32> {
    std::fs::read_to_string(directory.join(FILE_NAME)).ok()?.trim().parse().ok()
}
