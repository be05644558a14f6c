//! The commands that need a chain: the node itself, `init`, `import`, `export` and `db`.

mod blocks;
mod database;
mod ledger;
mod serve;
mod signer;

use std::path::PathBuf;

pub use blocks::{export, import};
pub use database::db;
pub use ledger::{ForeignSeals, init};
pub use serve::node;

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
}

/// Returns the clock: seconds since 1970.
pub fn now_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
