//! `meeting`: how fast a node catches up with another one, beside the import of the same chain from a file; and how fast a full block
//! goes through a line of nodes. All nodes are processes on loopback.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "telling what was measured is what this program is for")]

mod chain_of;
mod line;
mod node;
mod sync;

use std::path::PathBuf;
use std::process::ExitCode;

use bench::Failure;
use clap::{Parser, Subcommand};

/// Measures nodes that meet.
#[derive(Parser)]
struct Flags {
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
    /// Catches up with a chain over loopback, and imports it from a file
    Sync {
        /// Blocks
        #[arg(long, default_value_t = 20_000)]
        blocks: u64,
        /// Transfers in each
        #[arg(long, default_value_t = 0)]
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
        #[arg(long, default_value_t = 1_700)]
        transfers: u64,
    },
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("meeting: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), Failure> {
    consensus::crypto::install();
    let temporary = tempfile::tempdir()?;
    let folder = flags.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;
    match flags.what {
        What::Sync { blocks, transfers, rounds } => sync::measure(&flags.node, &folder, blocks, transfers, rounds),
        What::Line { nodes, blocks, transfers } => line::measure(&flags.node, &folder, nodes, blocks, transfers),
    }
}
