//! Fresh, empty stores for cases.

use std::path::PathBuf;
use std::sync::Arc;

use bench::Failure;
use storage::{MemoryStore, RocksOptions, RocksStore, Store};
use tempfile::TempDir;

/// Says where state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum StoreKind {
    /// RocksDB, in a folder of its own for each test
    Rocksdb,
    /// Memory
    Memory,
}

/// Opens stores of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Stores {
    kind: StoreKind,
    scratch: PathBuf,
}

/// Holds an empty store; what it has on disk goes with it.
pub(crate) struct FreshStore {
    // Closed before its folder is removed.
    store: Arc<dyn Store>,
    _folder: Option<TempDir>,
}

impl Stores {
    /// Makes databases in `scratch`; where that is not given, in memory where the system has a file system for that.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(crate) fn new(kind: StoreKind, scratch: Option<PathBuf>) -> Result<Self, Failure> {
        let shared_memory = PathBuf::from("/dev/shm");
        let scratch =
            scratch.unwrap_or_else(|| if shared_memory.is_dir() { shared_memory } else { std::env::temp_dir() });
        std::fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
        Ok(Self { kind, scratch })
    }

    /// Opens an empty store.
    ///
    /// # Errors
    /// There is no room for it.
    pub(crate) fn open(&self) -> Result<FreshStore, Failure> {
        match self.kind {
            StoreKind::Memory => Ok(FreshStore { store: Arc::new(MemoryStore::new()), _folder: None }),
            StoreKind::Rocksdb => {
                let folder = tempfile::Builder::new().prefix("conformance-").tempdir_in(&self.scratch)?;
                let store = RocksStore::open(folder.path(), RocksOptions::default())?;
                Ok(FreshStore { store: Arc::new(store), _folder: Some(folder) })
            }
        }
    }
}

impl FreshStore {
    /// Returns the store.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }
}
