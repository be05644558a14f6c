//! The data directory on disk: made at start, held by one process at a time, and removed at the end if it is temporary.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::config::DataConfig;
use crate::exit::Fatal;

/// The file that the running process locks; it holds the process number.
const LOCK_FILE: &str = "LOCK";

/// Holds the data directory for this process. Dropping it releases the lock, and removes a temporary directory.
#[derive(Debug)]
pub struct Datadir {
    path: PathBuf,
    temporary: bool,
    // Closed, and so unlocked, when this is dropped.
    _lock: File,
}

impl Datadir {
    /// Makes the directory if it is not there, readable by its owner alone, and locks it.
    ///
    /// # Errors
    /// Another process holds it ([`Fatal::DatadirLocked`]), or the directory cannot be made or written.
    pub fn open(config: &DataConfig) -> Result<Self, Fatal> {
        let path = config.dir.clone();
        create_private(&path).map_err(|error| Fatal::io(&path, &error))?;
        let lock_path = path.join(LOCK_FILE);
        let io_error = |error: std::io::Error| Fatal::io(&lock_path, &error);
        let mut lock =
            File::options().read(true).write(true).create(true).truncate(false).open(&lock_path).map_err(io_error)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Twenty digits are more than any process number has.
                let _ = (&mut lock).take(20).read_to_string(&mut text);
                return Err(Fatal::DatadirLocked { datadir: path, pid: text.trim().parse().ok() });
            }
            Err(TryLockError::Error(error)) => return Err(io_error(error)),
        }
        lock.set_len(0).map_err(io_error)?;
        lock.seek(SeekFrom::Start(0)).map_err(io_error)?;
        writeln!(lock, "{}", std::process::id()).map_err(io_error)?;
        Ok(Self { path, temporary: config.temporary, _lock: lock })
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Datadir {
    fn drop(&mut self) {
        if self.temporary {
            // What cannot be removed is left to the system's own cleaning of its temporary folder.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Makes the directory and those above it, each of them on the disk before the next: a power cut must not take a directory in which
/// everything was synced.
fn create_private(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_private(above)?;
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    match builder.create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other?,
    }
    File::open(above)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_process_holds_a_data_directory_and_says_who() {
        let folder = tempfile::tempdir().unwrap();
        let config = DataConfig { dir: folder.path().join("node"), ..DataConfig::default() };
        let first = Datadir::open(&config).unwrap();
        let second = Datadir::open(&config).unwrap_err();
        assert_eq!(second, Fatal::DatadirLocked { datadir: config.dir.clone(), pid: Some(std::process::id()) });
        drop(first);
        assert_eq!(Datadir::open(&config).unwrap().path(), config.dir);
        assert!(config.dir.exists());
    }

    #[test]
    fn a_temporary_directory_goes_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let config = DataConfig { dir: folder.path().join("t"), temporary: true, ..DataConfig::default() };
        let datadir = Datadir::open(&config).unwrap();
        fs::write(config.dir.join("file"), "x").unwrap();
        drop(datadir);
        assert!(!config.dir.exists());
    }
}
