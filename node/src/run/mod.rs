//! The commands that need a chain: the node itself, `init`, `import`, `export` and `db`.

mod backup;
mod block_files;
mod blocks;
mod catching_up;
mod database;
mod device_desk;
mod devices;
mod gate;
mod ledger;
mod network;
mod operation;
mod serve;
mod signer;

use std::path::PathBuf;

pub use backup::backup;
pub use blocks::{export, import};
pub use database::db;
pub use devices::device_serve;
pub use ledger::{ForeignSeals, init};
pub(crate) use ledger::{storage_error as storage_failure, stored_genesis};
pub(crate) use network::{key_error, start_error};
pub use serve::{StopSignals, node};
pub use signer::{KeystoreSigner, MinerSwitch};

/// Which blocks `export` writes, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The file to write.
    pub file: PathBuf,
    /// The first block; none: 0.
    pub first: Option<u64>,
    /// The last block; none: the head.
    pub last: Option<u64>,
}

/// What `db` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DbAction {
    /// Shows tables, sizes and the head.
    Inspect,
    /// Computes every root anew from the flat state, and compares.
    Verify,
    /// Drops state history older than `data.history_blocks` of the configuration, which is set.
    Prune,
    /// Gives back the space of what was deleted.
    Compact,
    /// Builds or completes the index of addresses and events.
    BuildIndex,
    /// Drops it.
    DropIndex,
    /// Makes this block the head.
    Rewind(u64),
    /// Opens a database whose log lost what had been synced, and checks what is left.
    Recover,
}

/// What `backup` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupAction {
    /// Copies the chain into this directory, which must not exist.
    Create(PathBuf),
    /// Checks the backup in this directory.
    Verify(PathBuf),
    /// Puts the backup in this directory into the data directory, which must hold no chain.
    Restore(PathBuf),
}

/// Returns the clock: seconds since 1970.
pub fn now_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Returns the clock: milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|since| u64::try_from(since.as_millis()).ok()).unwrap_or(0)
}
