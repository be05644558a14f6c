//! What operators ask a running node for over JSON-RPC and HTTP: chains in files, and how it is.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chain::files::FileError;
use chain::{LedgerHandle, files};
use consensus::{DifficultyRule, EmptyBlocks};
use network::p2p::NetworkHandle;
use rpc::{ChainFiles, Criterion, Health, ReadinessDemands};

use super::block_files::{BlockReader, BlockWriter};
use super::now_seconds;

/// The least space on the disk, in bytes, with which a node counts as ready.
const DISK_BYTES_MIN: u64 = 64 << 20;
/// How many blocks a node may be behind, where nothing else is demanded (Besu's default).
const BLOCKS_BEHIND_MAX: u64 = 2;
/// How many block times may pass without a block.
const HEAD_AGE_BLOCKS_MAX: u64 = 10;

/// Writes and reads chains in files.
pub(super) struct LedgerFiles {
    pub(super) ledger: LedgerHandle,
    pub(super) datadir: PathBuf,
}

impl ChainFiles for LedgerFiles {
    fn datadir(&self) -> &Path {
        &self.datadir
    }

    fn export(&self, path: &Path, range: Option<(u64, u64)>) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let view = self.ledger.view();
        let (first, last) = range.unwrap_or((0, view.head().number));
        if first > last || last > view.head().number {
            return Err(format!("blocks {first} to {last} are not on the chain, whose head is {}", view.head().number));
        }
        if path.exists() {
            return Err("location would overwrite an existing file".to_owned());
        }
        let file = File::options().write(true).create_new(true).open(path).map_err(|error| failed(&error))?;
        let mut out = BlockWriter::new(file, path);
        files::export(&view, &mut out, first, last, |_| {}).map_err(|error| failed(&error))?;
        out.finish().map_err(|error| failed(&error))
    }

    fn import(&self, path: &Path) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let file = File::open(path).map_err(|error| failed(&error))?;
        let reader = BlockReader::new(file).map_err(|error| failed(&error))?;
        files::import(&self.ledger, reader.input, now_seconds, |_| {}).map(drop).map_err(|error| match error {
            FileError::Import { number: 0, hash, .. } => {
                failed(&format!("the genesis block differs: its block 0 is {hash}"))
            }
            error => failed(&error),
        })
    }
}

/// Looks at how the node is.
#[derive(Clone)]
pub(crate) struct NodeHealth {
    pub(super) ledger: LedgerHandle,
    pub(super) network: Option<NetworkHandle>,
    pub(super) datadir: PathBuf,
    /// Set when the node stops: it is not to be asked any more.
    pub(super) is_stopping: Arc<AtomicBool>,
}

impl NodeHealth {
    fn peers(&self, demands: &ReadinessDemands) -> Criterion {
        let least = demands.peers_min.unwrap_or(usize::from(self.network.is_some()));
        let peers = self.network.as_ref().map_or(0, |network| network.board().peer_count());
        Criterion { name: "peers", holds: peers >= least, detail: format!("{peers}, at least {least}") }
    }

    fn sync(&self, demands: &ReadinessDemands) -> Criterion {
        let most = demands.blocks_behind_max.unwrap_or(BLOCKS_BEHIND_MAX);
        let head = self.ledger.view().head().number;
        let highest = self.network.as_ref().and_then(|network| network.board().behind()).map(|behind| behind.highest);
        let behind = highest.unwrap_or(head).saturating_sub(head);
        Criterion { name: "sync", holds: behind <= most, detail: format!("{behind} blocks behind, at most {most}") }
    }

    fn head_age(&self) -> Criterion {
        let view = self.ledger.view();
        let age_s = now_seconds().saturating_sub(view.head().timestamp);
        let pow = &view.spec().pow;
        let limit_s = match (&pow.difficulty, pow.empty_blocks) {
            (DifficultyRule::Target { target_ms, .. }, EmptyBlocks::Always) => {
                Some(target_ms.saturating_mul(HEAD_AGE_BLOCKS_MAX).div_ceil(1000))
            }
            (DifficultyRule::Target { target_ms, .. }, EmptyBlocks::Heartbeat { seconds }) => {
                Some(target_ms.saturating_mul(HEAD_AGE_BLOCKS_MAX).div_ceil(1000).saturating_add(seconds))
            }
            // Without a target, or where a quiet chain has no blocks, an old head is no fault.
            (DifficultyRule::Fixed(_), _) | (_, EmptyBlocks::Never) => None,
        };
        match limit_s {
            Some(limit_s) => {
                let detail = format!("the head is {age_s} s old, at most {limit_s} s");
                Criterion { name: "head", holds: age_s <= limit_s, detail }
            }
            None => Criterion { name: "head", holds: true, detail: format!("the head is {age_s} s old") },
        }
    }

    fn disk(&self) -> Criterion {
        match rustix::fs::statvfs(&self.datadir) {
            Ok(disk) => {
                let free = disk.f_bavail.saturating_mul(disk.f_frsize);
                let detail = format!("{} MiB free, at least {} MiB", free >> 20, DISK_BYTES_MIN >> 20);
                Criterion { name: "disk", holds: free >= DISK_BYTES_MIN, detail }
            }
            Err(error) => Criterion { name: "disk", holds: false, detail: error.to_string() },
        }
    }

    fn running(&self) -> Criterion {
        let is_stopping = self.is_stopping.load(Ordering::Relaxed);
        let detail = if is_stopping { "stopping" } else { "running" };
        Criterion { name: "node", holds: !is_stopping, detail: detail.to_owned() }
    }
}

impl Health for NodeHealth {
    fn alive(&self) -> Vec<Criterion> {
        // The program ends itself when the ledger fails: whoever gets an answer has a live one.
        let head = self.ledger.view().head().number;
        vec![Criterion { name: "ledger", holds: true, detail: format!("open at block {head}") }]
    }

    fn ready(&self, demands: &ReadinessDemands) -> Vec<Criterion> {
        vec![self.running(), self.peers(demands), self.sync(demands), self.head_age(), self.disk()]
    }
}
