//! `load`: signed transfers into any node by its URL, and how many of them it mines in a second.

use bench::Failure;
use bench::accounts::DEV_MNEMONIC;
use bench::load::{Kind, Plan, one_by_one, run as load};
use clap::Args;

/// Sends signed transfers to a node and measures them from the first submission to the last receipt.
#[derive(Args)]
pub(crate) struct Flags {
    /// Where the node serves JSON-RPC over HTTP
    #[arg(long, default_value = "http://127.0.0.1:8545")]
    url: String,
    /// What is transferred
    #[arg(long, value_enum, default_value = "ether")]
    kind: Kind,
    /// How many transactions are sent
    #[arg(long, default_value_t = 10_000)]
    transactions: usize,
    /// How many go into one request; 1 sends single calls
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// How many connections send, each with one request under way
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// How many accounts send
    #[arg(long, default_value_t = 200)]
    accounts: usize,
    /// Whose first ten accounts pay
    #[arg(long, default_value = DEV_MNEMONIC)]
    mnemonic: String,
    /// Names the sending accounts and what they transfer
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Instead: send this many one after the other, each when the one before has its receipt
    #[arg(long, value_name = "N")]
    one_by_one: Option<usize>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// Runs it; tells whether all was as it must be.
///
/// # Errors
/// A part of the run itself failed.
pub(crate) fn run(flags: Flags) -> Result<bool, Failure> {
    if let Some(transactions) = flags.one_by_one {
        let latency = one_by_one(&flags.url, &flags.mnemonic, transactions)?;
        if flags.json {
            println!("{}", serde_json::to_string(&latency)?);
        } else {
            println!("submission to receipt, {} transfers one after the other:", latency.samples);
            println!("  first {:.1} ms, p50 {:.1} ms, p99 {:.1} ms", latency.first, latency.p50, latency.p99);
        }
        return Ok(true);
    }
    let outcome = load(&Plan {
        url: flags.url,
        kind: flags.kind,
        transactions: flags.transactions,
        batch: flags.batch,
        connections: flags.connections,
        accounts: flags.accounts,
        mnemonic: flags.mnemonic,
        seed: flags.seed,
    })?;
    if flags.json {
        println!("{}", serde_json::to_string(&outcome)?);
        return Ok(true);
    }
    println!("node            {}", outcome.node);
    println!("transactions    {} in {} blocks", outcome.transactions, outcome.blocks);
    println!("to last answer  {:.3} s", outcome.acknowledged_seconds);
    println!("to last receipt {:.3} s", outcome.seconds);
    println!("rate            {:.0} transactions/s", outcome.transactions_per_second);
    if let Some(latency) = outcome.latency_ms {
        println!("latency         p50 {:.1} ms, p99 {:.1} ms ({} samples)", latency.p50, latency.p99, latency.samples);
    }
    println!("refused {}, without receipt {}, failed {}", outcome.errors, outcome.missing, outcome.failed);
    if let Some(error) = outcome.first_error {
        println!("first refusal   {error}");
    }
    Ok(true)
}
