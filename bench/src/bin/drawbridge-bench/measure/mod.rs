//! `measure`: the parts of the node by themselves, each printed with its target.

mod import;
mod index;
mod single;
mod sizes;

use bench::Failure;
use bench::recorded::Size;
use clap::{Args, ValueEnum};

/// Measures import, the index, state root, flat read, seal search and sender recovery.
#[derive(Args)]
pub(crate) struct Flags {
    /// What to measure; nothing is everything
    #[arg(value_enum)]
    what: Vec<What>,
    /// Blocks of the recorded chain
    #[arg(long, default_value_t = 50)]
    blocks: usize,
    /// ERC-20 transfers in each of them
    #[arg(long, default_value_t = 500)]
    transfers: usize,
    /// Accounts that hold tokens
    #[arg(long, default_value_t = 20_000)]
    holders: usize,
    /// How often import and execution are repeated
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The node whose pages are asked for, such as one that `load` has filled
    #[arg(long, value_name = "URL", required_if_eq("what", "pages"))]
    url: Option<String>,
    /// The largest state, in accounts
    #[arg(long, default_value_t = 1_000_000)]
    accounts: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Import of a recorded chain of ERC-20 transfers, beside revm alone in memory
    Import,
    /// State root and flat reads at growing sizes
    State,
    /// Seal search
    Seal,
    /// Sender recovery
    Recover,
    /// The index of addresses and events: what it costs an import
    Index,
    /// The pages that are answered from it, by the node that --url names
    Pages,
}

/// Runs it; tells whether all was as it must be.
///
/// # Errors
/// A part of the run itself failed.
pub(crate) fn run(flags: &Flags) -> Result<bool, Failure> {
    evm_runtime::install_crypto();
    let wanted = |what: What| flags.what.is_empty() || flags.what.contains(&what);
    if wanted(What::Seal) {
        single::seal();
    }
    if wanted(What::Recover) {
        single::recover()?;
    }
    if wanted(What::Import) {
        let size = Size { blocks: flags.blocks, transfers: flags.transfers, holders: flags.holders };
        import::measure(size, flags.rounds)?;
    }
    if wanted(What::Index) {
        let size = Size { blocks: flags.blocks, transfers: flags.transfers, holders: flags.holders };
        index::measure(size, flags.rounds)?;
    }
    if let Some(url) = &flags.url {
        index::measure_pages(url)?;
    }
    if wanted(What::State) {
        sizes::measure(flags.accounts)?;
    }
    Ok(true)
}
