//! `differential`: random contracts and transactions on this node and on another one; receipts, state and traces must be equal.
//! Exits with 1 where something differs, and prints the smallest case that still shows it.

mod case;
mod compare;
mod generate;
mod nodes;
mod program;
mod shrink;
mod tolerated;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bench::Failure;
use bench::client::Endpoint;
use bench::process::{NodeProcess, free_port, path_text};
use clap::Args;
use consensus::genesis::DEV;

use case::{Case, Names};
use compare::{Findings, compare};
use nodes::Nodes;

/// How long a node may take to answer after its start.
const START_TIME_MAX: Duration = Duration::from_secs(30);
/// How many smaller cases are tried at most.
const SHRINK_STEPS_MAX: usize = 400;
/// How many differences are shown.
const SHOWN: usize = 20;
/// Who is credited for the blocks of both nodes.
const BENEFICIARY: &str = "0x00000000000000000000000000000000000000ee";

/// Runs random transactions on random contracts on two nodes and compares receipts, state and traces.
#[derive(Args)]
pub(crate) struct Flags {
    /// The drawbridge program; it is started as a development node
    #[arg(long)]
    node: PathBuf,
    /// The anvil program; it is started on the same genesis
    #[arg(long, required_unless_present = "other", conflicts_with = "other")]
    anvil: Option<PathBuf>,
    /// The URL of another node with the chain id and the accounts of the development chain. One that is not Anvil makes its own
    /// blocks; what depends on them is then left out
    #[arg(long, value_name = "URL")]
    other: Option<String>,
    /// How many transactions are compared at least
    #[arg(long, default_value_t = 200)]
    transactions: u64,
    /// Names the cases
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run only the case with this number
    #[arg(long)]
    case: Option<u64>,
}

/// What a run has done.
#[derive(Default)]
struct Done {
    cases: u64,
    transactions: u64,
    left_out: u64,
    findings: Findings,
}

/// Runs it; tells whether all was as it must be.
///
/// # Errors
/// A part of the run itself failed.
pub(crate) fn run(flags: &Flags) -> Result<bool, Failure> {
    consensus::crypto::install();
    let folder = tempfile::tempdir()?;
    let own = start_own(&flags.node, folder.path())?;
    let (_anvil, other) = match (&flags.anvil, &flags.other) {
        (Some(program), _) => {
            let anvil = start_anvil(program, folder.path())?;
            let endpoint = anvil.endpoint().clone();
            (Some(anvil), endpoint)
        }
        (None, Some(url)) => (None, Endpoint::parse(url)?),
        (None, None) => return Err("there is no other node: give --anvil or --other".into()),
    };
    let mut nodes = Nodes::connect(own.endpoint(), &other)?;
    let begun = Instant::now();
    let mut done = Done::default();
    let mut number = flags.case.unwrap_or(0);
    while done.transactions < flags.transactions {
        let case = generate::case(flags.seed, number, nodes.blocks);
        let Some(findings) = run_case(&mut nodes, flags.seed, &case, &mut done)? else {
            done.left_out += 1;
            number += 1;
            continue;
        };
        if !findings.is_empty() {
            report(&mut nodes, flags, case, findings)?;
            return Ok(false);
        }
        if flags.case.is_some() {
            break;
        }
        number += 1;
    }
    print(flags, &nodes, &done, begun.elapsed());
    Ok(true)
}

/// Runs a case and returns what differs; `None` where its code reads what no two nodes have in common.
fn run_case(nodes: &mut Nodes, seed: u64, case: &Case, done: &mut Done) -> Result<Option<Vec<String>>, Failure> {
    // A case that is run once more, smaller, must not meet what an earlier run left.
    let run = done.cases ^ case.number.rotate_left(32);
    let names = Names::new(case, &nodes.senders, seed, run);
    if case.reads_what_differs(&names, nodes.blocks.forbidden()) {
        return Ok(None);
    }
    done.cases += 1;
    let named: BTreeSet<_> = names.all().collect();
    let before = done.findings.differences.len();
    let with_case = |error: Failure| -> Failure { format!("case {}: {error}", case.number).into() };
    for part in [true, false] {
        let transactions = match part {
            true => case.deployments(&names, &mut nodes.senders, nodes.terms),
            false => case.transactions(&names, &mut nodes.senders, nodes.terms),
        };
        if transactions.is_empty() {
            continue;
        }
        done.transactions += transactions.len() as u64;
        for pair in nodes.mine(&transactions).map_err(with_case)? {
            compare(nodes, &pair, &named, &mut done.findings).map_err(with_case)?;
        }
    }
    Ok(Some(done.findings.differences.split_off(before)))
}

/// Makes a failing case as small as possible and prints it.
fn report(nodes: &mut Nodes, flags: &Flags, case: Case, differences: Vec<String>) -> Result<(), Failure> {
    println!("case {} of seed {} differs:", case.number, flags.seed);
    for difference in differences.iter().take(SHOWN) {
        println!("  {difference}");
    }
    let (mut smallest, mut differences) = (case, differences);
    let mut done = Done { cases: 1 << 40, ..Done::default() };
    let mut steps = 0;
    'again: loop {
        for candidate in shrink::smaller(&smallest) {
            steps += 1;
            if steps > SHRINK_STEPS_MAX {
                break 'again;
            }
            // What the accounts paid differs by now, which is no difference of the smaller case.
            nodes.align_balances()?;
            let found = run_case(nodes, flags.seed, &candidate, &mut done)?.unwrap_or_default();
            if !found.is_empty() {
                (smallest, differences) = (candidate, found);
                continue 'again;
            }
        }
        break;
    }
    println!("the smallest case that differs, after {steps} attempts:");
    for difference in differences.iter().take(SHOWN) {
        println!("  {difference}");
    }
    let names = Names::new(&smallest, &nodes.senders, flags.seed, done.cases);
    print!("{}", smallest.describe(&names));
    println!("again: differential --node … --seed {} --case {}", flags.seed, smallest.number);
    Ok(())
}

fn print(flags: &Flags, nodes: &Nodes, done: &Done, took: Duration) {
    let Done { cases, transactions, left_out, findings } = done;
    println!("other node: {}", nodes.other_name);
    for line in findings.tolerated.lines() {
        println!("tolerated {line}");
    }
    println!(
        "differential: seed {}: {transactions} transactions in {cases} cases ({left_out} left out), {} of them failed in the EVM; \
         {} traces compared ({} larger or deeper than the limit), {} accounts, {} slots; no difference; {:.0} s",
        flags.seed,
        findings.failed_transactions,
        findings.traces,
        findings.traces_left_out,
        findings.accounts,
        findings.slots,
        took.as_secs_f64(),
    );
}

fn start_own(program: &Path, folder: &Path) -> Result<NodeProcess, Failure> {
    let port = free_port()?;
    let data = folder.join("own");
    let arguments =
        ["--dev", "--datadir", path_text(&data)?, "--http.port", &port.to_string(), "--miner.etherbase", BENEFICIARY];
    let mut node = NodeProcess::start(program, &arguments.map(str::to_owned), port, &folder.join("own.log"))?;
    node.wait_for_answer(START_TIME_MAX)?;
    Ok(node)
}

/// Starts Anvil on the genesis of the development chain, with the newest fork that both know.
fn start_anvil(program: &Path, folder: &Path) -> Result<NodeProcess, Failure> {
    let port = free_port()?;
    let genesis = folder.join("genesis.json");
    std::fs::write(&genesis, plain_genesis()?)?;
    // Old states go with the folder; where Anvil keeps them otherwise, gigabytes stay behind.
    let states = folder.join("anvil-states");
    let arguments = [
        "--silent",
        "--cache-path",
        path_text(&states)?,
        "--port",
        &port.to_string(),
        "--init",
        path_text(&genesis)?,
        "--hardfork",
        "osaka",
        "--chain-id",
        "1337",
        "--gas-limit",
        "36000000",
        "--order",
        "fifo",
        "--no-mining",
        "--steps-tracing",
        "--enable-tx-gas-limit",
        "--no-create2",
        "--accounts",
        "0",
    ];
    let mut node = NodeProcess::start(program, &arguments.map(str::to_owned), port, &folder.join("anvil.log"))?;
    node.wait_for_answer(START_TIME_MAX)?;
    Ok(node)
}

/// Returns the development chain's genesis with nothing in it that is Drawbridge's own.
fn plain_genesis() -> Result<String, Failure> {
    let mut genesis: serde_json::Value = serde_json::from_str(DEV)?;
    genesis["config"] = serde_json::json!({ "chainId": genesis["config"]["chainId"] });
    for account in genesis["alloc"].as_object_mut().into_iter().flat_map(|alloc| alloc.values_mut()) {
        account.as_object_mut().map(|fields| fields.remove("comment"));
    }
    Ok(genesis.to_string())
}
