//! `meeting`: how fast a node catches up with another one, beside the import of the same chain from a file; and how fast a full block
//! goes through a line of nodes. All nodes are processes on loopback.

mod line;
mod sync;

use std::path::PathBuf;

use bench::Failure;
use clap::{Args, Subcommand};

use sync::Shape;

/// Measures nodes that meet.
#[derive(Args)]
pub(crate) struct Flags {
    /// The drawbridge program
    #[arg(long)]
    node: PathBuf,
    /// Where the data directories are made; by default in a temporary folder that is removed at the end
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Catches up with chains over loopback, beside the import of the same chains from files
    Sync {
        /// Blocks of the chain of empty blocks; 0 leaves it out
        #[arg(long, default_value_t = 20_000)]
        empty_blocks: u64,
        /// Blocks of the chain of full blocks; 0 leaves it out
        #[arg(long, default_value_t = 2_000)]
        full_blocks: u64,
        /// Transfers in each full block
        #[arg(long, default_value_t = TRANSFERS)]
        transfers: u64,
        /// How often each is measured
        #[arg(long, default_value_t = 1)]
        rounds: u32,
    },
    /// Sends full blocks through a line of nodes, each of which knows its neighbours alone
    Line {
        /// Nodes
        #[arg(long, default_value_t = 5)]
        nodes: usize,
        /// Blocks
        #[arg(long, default_value_t = 30)]
        blocks: u64,
        /// Transfers in each
        #[arg(long, default_value_t = TRANSFERS)]
        transfers: u64,
    },
}

/// What fits in a block: 36 million gas by 21,000.
const TRANSFERS: u64 = 1_700;

/// Runs it; tells whether all was as it must be.
///
/// # Errors
/// A part of the run itself failed.
pub(crate) fn run(flags: &Flags) -> Result<bool, Failure> {
    consensus::crypto::install();
    let temporary = tempfile::tempdir()?;
    let folder = flags.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;
    match flags.what {
        What::Sync { empty_blocks, full_blocks, transfers, rounds } => {
            let shapes = [Shape { blocks: empty_blocks, transfers: 0 }, Shape { blocks: full_blocks, transfers }];
            sync::measure(&flags.node, &folder, &shapes, rounds)?;
        }
        What::Line { nodes, blocks, transfers } => line::measure(&flags.node, &folder, nodes, blocks, transfers)?,
    }
    Ok(true)
}
