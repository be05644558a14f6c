//! `compare`: the same loads on this node and on Anvil, one after the other, each on a fresh chain; with first latency, resident
//! memory and disk. With `--reads`, reads of this node and of another one instead.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bench::Failure;
use bench::accounts::DEV_MNEMONIC;
use bench::client::Endpoint;
use bench::load::{Kind, Latency, Outcome, Plan, one_by_one, run as load};
use bench::process::{NodeProcess, folder_bytes, free_port, path_text};
use bench::summary::{as_f64, table};
use clap::Args;

mod reads;

/// How long a node may take to answer after its start.
const START_TIME_MAX: Duration = Duration::from_secs(30);
/// How many transfers are sent one after the other.
const ONE_BY_ONE: usize = 100;
/// How long a node is left alone before its memory is read: it then has nothing left to do.
const IDLE_TIME: Duration = Duration::from_secs(3);

/// What is sent, and how many in one request.
const LOADS: [(Kind, usize); 4] = [(Kind::Ether, 1), (Kind::Ether, 100), (Kind::Erc20, 1), (Kind::Erc20, 100)];

/// Loads this node and Anvil with the same transactions and prints both rates.
#[derive(Args)]
pub(crate) struct Flags {
    /// The drawbridge program
    #[arg(long)]
    node: PathBuf,
    /// The anvil program; without it this node alone is measured
    #[arg(long)]
    anvil: Option<PathBuf>,
    /// How many single transactions are sent in each load
    #[arg(long, default_value_t = 10_000)]
    singles: usize,
    /// How many transactions are sent in batches of 100 in each load
    #[arg(long, default_value_t = 20_000)]
    batched: usize,
    /// How many connections send single transactions
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// How many accounts send
    #[arg(long, default_value_t = 200)]
    accounts: usize,
    /// How many ether transfers are sent to see what they take on disk; 0 leaves that out
    #[arg(long, default_value_t = 100_000)]
    disk: usize,
    /// Give Anvil a block time in seconds, instead of a block as soon as there is a transaction
    #[arg(long)]
    anvil_block_time: Option<u64>,
    /// Measure reads instead: requests per second and the time of an answer, over 1 and 32 connections
    #[arg(long)]
    reads: bool,
    /// With --reads: the URL of the other node, whose accounts of the test mnemonic have ether
    #[arg(long, value_name = "URL", requires = "reads")]
    other: Option<String>,
    /// With --reads: how long each is sent, in seconds
    #[arg(long, default_value_t = 3.0)]
    read_seconds: f64,
    /// With --reads: how many blocks of transfers there are to read
    #[arg(long, default_value_t = 10)]
    read_blocks: usize,
    /// With --reads: how many transfers are in each block
    #[arg(long, default_value_t = 100)]
    read_transfers: usize,
}

/// What was seen of one node.
struct Seen {
    name: String,
    one_by_one: Latency,
    idle_bytes: u64,
    /// In the order of [`LOADS`]; why a load did not come to its end, where it did not.
    outcomes: Vec<Result<Outcome, String>>,
}

/// Runs it; tells whether all was as it must be.
///
/// # Errors
/// A part of the run itself failed.
pub(crate) fn run(flags: &Flags) -> Result<bool, Failure> {
    let folder = tempfile::tempdir()?;
    if flags.reads {
        reads::run(flags, folder.path())?;
        return Ok(true);
    }
    let own =
        measure(flags, |log| NodeProcess::drawbridge(&flags.node, &log.with_extension("data"), log), folder.path())?;
    let other = match &flags.anvil {
        Some(anvil) => Some(measure(flags, |log| start_anvil(anvil, flags.anvil_block_time, log), folder.path())?),
        None => None,
    };
    print(&own, other.as_ref());
    if flags.disk > 0 {
        print_disk(flags, folder.path())?;
    }
    Ok(true)
}

fn start_anvil(program: &Path, block_time: Option<u64>, log: &Path) -> Result<NodeProcess, Failure> {
    let port = free_port()?;
    // Old states go with the folder; where Anvil keeps them otherwise, gigabytes stay behind.
    let states = log.with_extension("states");
    let mut arguments: Vec<String> =
        ["--silent", "--cache-path", path_text(&states)?, "--port", &port.to_string()].map(str::to_owned).into();
    if let Some(seconds) = block_time {
        arguments.extend(["--block-time".to_owned(), seconds.to_string()]);
    }
    NodeProcess::start(program, &arguments, port, log)
}

/// Each load runs on a node of its own, so that none inherits another's state.
fn measure(
    flags: &Flags,
    start: impl Fn(&Path) -> Result<NodeProcess, Failure>,
    folder: &Path,
) -> Result<Seen, Failure> {
    let fresh = || -> Result<NodeProcess, Failure> {
        let number = std::fs::read_dir(folder)?.count();
        let mut node = start(&folder.join(format!("{number}.log")))?;
        node.wait_for_answer(START_TIME_MAX)?;
        Ok(node)
    };
    let node = fresh()?;
    std::thread::sleep(IDLE_TIME);
    let idle_bytes = node.resident_bytes()?;
    let one_by_one = one_by_one(&node.endpoint().url(), DEV_MNEMONIC, ONE_BY_ONE)?;
    drop(node);
    let mut outcomes = Vec::new();
    for (kind, batch) in LOADS {
        let node = fresh()?;
        outcomes.push(load(&plan(flags, node.endpoint(), kind, batch)).map_err(|error| error.to_string()));
    }
    let name = outcomes.iter().flatten().next().map(|outcome| outcome.node.clone());
    Ok(Seen { name: name.unwrap_or_else(|| "unknown".to_owned()), one_by_one, idle_bytes, outcomes })
}

fn plan(flags: &Flags, endpoint: &Endpoint, kind: Kind, batch: usize) -> Plan {
    let single = batch == 1;
    Plan {
        url: endpoint.url(),
        kind,
        transactions: if single { flags.singles } else { flags.batched },
        batch,
        connections: if single { flags.connections } else { 2 },
        accounts: flags.accounts,
        mnemonic: DEV_MNEMONIC.to_owned(),
        seed: 1,
    }
}

fn print(own: &Seen, other: Option<&Seen>) {
    println!("1: {}\n2: {}\n", own.name, other.map_or("-", |other| &other.name));
    let heads = ["load", "1: tx/s", "blocks", "p50 ms", "p99 ms", "2: tx/s", "blocks", "p50 ms", "p99 ms", "ratio"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for (index, (kind, batch)) in LOADS.into_iter().enumerate() {
        let of = |seen: &'_ Seen| seen.outcomes.get(index).and_then(|outcome| outcome.clone().ok());
        let (one, two) = (of(own), other.and_then(of));
        let mut line = vec![format!("{kind:?}, {batch} a request")];
        line.extend(cells(one.as_ref()));
        line.extend(cells(two.as_ref()));
        line.push(match (one, two) {
            (Some(one), Some(two)) => format!("{:.2}", one.transactions_per_second / two.transactions_per_second),
            _ => "-".to_owned(),
        });
        rows.push(line);
    }
    println!("{}", table(&rows));
    [Some(own), other].into_iter().flatten().for_each(print_rest);
}

/// Prints memory, latency, and what went wrong.
fn print_rest(seen: &Seen) {
    let (name, latency, idle) = (&seen.name, seen.one_by_one, megabytes(seen.idle_bytes));
    println!("{name}: idle {idle:.1} MB resident; submission to receipt when idle:");
    println!("  first {:.1} ms, p50 {:.1} ms, p99 {:.1} ms", latency.first, latency.p50, latency.p99);
    for (outcome, (kind, batch)) in seen.outcomes.iter().zip(LOADS) {
        match outcome {
            Err(error) => println!("  {kind:?}, {batch} a request: {error}"),
            Ok(outcome) if outcome.errors + outcome.missing + outcome.failed > 0 => {
                let (errors, missing, failed) = (outcome.errors, outcome.missing, outcome.failed);
                let first = outcome.first_error.as_deref().unwrap_or("-");
                println!(
                    "  {kind:?}, {batch} a request: refused {errors}, without receipt {missing}, failed {failed}: {first}"
                );
            }
            Ok(_) => {}
        }
    }
}

fn cells(outcome: Option<&Outcome>) -> [String; 4] {
    let Some(outcome) = outcome else { return ["-", "-", "-", "-"].map(str::to_owned) };
    let time = |time: fn(&Latency) -> f64| {
        outcome.latency_ms.map_or_else(|| "-".to_owned(), |latency| format!("{:.1}", time(&latency)))
    };
    [
        format!("{:.0}", outcome.transactions_per_second),
        outcome.blocks.to_string(),
        time(|latency| latency.p50),
        time(|latency| latency.p99),
    ]
}

/// Sends ether transfers in batches, and compares the data directory before and after.
fn print_disk(flags: &Flags, folder: &Path) -> Result<(), Failure> {
    let (datadir, log) = (folder.join("disk"), folder.join("disk.log"));
    let mut node = NodeProcess::drawbridge(&flags.node, &datadir, &log)?;
    node.wait_for_answer(START_TIME_MAX)?;
    let before = folder_bytes(&datadir)?;
    let outcome = load(&Plan { transactions: flags.disk, ..plan(flags, node.endpoint(), Kind::Ether, 100) })?;
    let loaded_bytes = node.resident_bytes()?;
    node.stop()?;
    let after = folder_bytes(&datadir)?;
    let status = bench::process::run(&flags.node, &["db", "compact", "--datadir", path_text(&datadir)?], &log)?;
    if !status.success() {
        return Err(format!("db compact: {status}").into());
    }
    let compacted = folder_bytes(&datadir)?;
    let scale = 100_000.0 / as_f64(outcome.transactions);
    println!(
        "disk per 100,000 ether transfers ({} sent in {} blocks): {:.1} MB as it stands, {:.1} MB after db compact; resident then {:.1} MB",
        outcome.transactions,
        outcome.blocks,
        megabytes(after.saturating_sub(before)) * scale,
        megabytes(compacted.saturating_sub(before)) * scale,
        megabytes(loaded_bytes)
    );
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    // Far below 2^52.
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}
