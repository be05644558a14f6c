//! `partitions`: five nodes, each in a network namespace of its own, whose network is cut, slowed and made lossy, and which are killed
//! and started again, while transactions flow. After each fault ends, all nodes must have one head again within 15 block times; at the
//! end no acknowledged transaction may be lost; never may two nodes have different finalized blocks. Before that two nodes that know nothing of
//! each other meet by multicast DNS. Exits with 1 where one of this fails, and with 0 and a message where namespaces may not be made.

mod discovery;
mod fault;
mod lab;
mod nodes;
mod traffic;
mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bench::Failure;
use bench::random::Random;
use bench::summary::{row, table};
use clap::Args;

use fault::Fault;
use lab::Lab;
use nodes::{NODES, Nodes};
use traffic::Traffic;
use watch::Watch;

/// The time between two blocks, in milliseconds.
const BLOCK_MS: u64 = 1_000;
/// How long the nodes may take to one head after a fault has ended.
const HEAL_MAX: Duration = Duration::from_millis(15 * BLOCK_MS);
/// How long the nodes may take to their first blocks.
const START_MAX: Duration = Duration::from_secs(60);
/// How long a fault lasts, in milliseconds: well below the depth of finality, 20 blocks.
const FAULT_MS: (u64, u64) = (5_000, 10_000);
/// How long the last transactions may take to every node.
const LAST_MAX: Duration = Duration::from_secs(60);

/// Cuts, slows and kills a network of five nodes, and checks what they agree on.
#[derive(Args)]
pub(crate) struct Flags {
    /// The drawbridge program
    #[arg(long)]
    node: PathBuf,
    /// How many faults
    #[arg(long, default_value_t = 5)]
    faults: u64,
    /// Names the faults and the load
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the data directories are made; by default in a temporary folder that is removed at the end
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Runs it; tells whether all was as it must be.
///
/// # Errors
/// A part of the run itself failed.
pub(crate) fn run(flags: &Flags) -> Result<bool, Failure> {
    if let Err(problem) = Lab::check() {
        println!("partitions: skipped: {problem}");
        return Ok(true);
    }
    let violations = violations(flags)?;
    violations.iter().for_each(|violation| println!("violation: {violation}"));
    Ok(violations.is_empty())
}

fn violations(flags: &Flags) -> Result<Vec<String>, Failure> {
    consensus::crypto::install();
    let temporary = tempfile::tempdir()?;
    let folder = flags.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;
    println!("partitions: {} faults, seed {}", flags.faults, flags.seed);
    let lab = Lab::build(NODES)?;
    let met = discovery::meet(&flags.node, &folder, &lab)?;
    println!("two nodes found each other by mDNS {} ms after their start", met.as_millis());
    let mut random = Random::new(flags.seed);
    let mut traffic = Traffic::new(flags.seed);
    let mut nodes = Nodes::make(&flags.node, &folder, &lab, &traffic.addresses())?;
    nodes.start_all(&lab)?;
    let mut watch = Watch::default();
    watch.wait_one_head(&nodes, 3, START_MAX).map_err(|problem| format!("the nodes do not begin: {problem}"))?;
    let load = traffic.begin(&nodes)?;
    let mut violations = Vec::new();
    let mut rows = vec![row([&"fault", &"what", &"for ms", &"one head after ms", &"head", &"deepest side"])];
    let mut plan = Fault::plan(&mut random);
    for number in 1..=flags.faults {
        let fault = plan.next().ok_or("no fault")?;
        let lasts = Duration::from_millis(random.between(FAULT_MS.0, FAULT_MS.1));
        fault.begin(&lab, &mut nodes)?;
        let sides = watch.look_for(&nodes, lasts)?;
        fault.end(&lab, &mut nodes)?;
        let begun = Instant::now();
        let healed = watch.wait_one_head(&nodes, 1, HEAL_MAX);
        let took = begun.elapsed().as_millis();
        let head = healed.as_ref().map_or_else(|_| "-".to_owned(), ToString::to_string);
        println!("{number}: {fault} for {} ms, one head after {took} ms", lasts.as_millis());
        rows.push(row([&number, &fault, &lasts.as_millis(), &took, &head, &sides]));
        if let Err(problem) = healed {
            violations.push(format!("fault {number} ({fault}): {problem}"));
        }
    }
    let sent = load.end();
    violations.extend(sent.problems.iter().cloned());
    violations.extend(watch.lost(&nodes, &sent.acknowledged, LAST_MAX)?);
    violations.extend(watch.conflicts());
    violations.extend(nodes.stop_all()?);
    println!("{}", table(&rows));
    println!(
        "partitions: {} faults, seed {}: {} transactions acknowledged, {} finalized blocks compared, {} violations",
        flags.faults,
        flags.seed,
        sent.acknowledged.len(),
        watch.finalized_count(),
        violations.len()
    );
    if !violations.is_empty() {
        nodes.show_logs();
    }
    Ok(violations)
}
