//! `hostile_peers`: a real node under attack over loopback, while an honest miner sends it blocks. Malformed frames, RLP bombs, headers
//! with bad seals, orphans and sybils come one after the other; measured are the node's memory, the time until an offender is cut off,
//! and the time that honest blocks take. Exits with 1 where memory grows too much, an offender stays, or an honest peer loses its place.

mod attack;
mod crowd;
mod frames;
mod honest;
mod memory;
mod proxy;
mod stranger;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bench::Failure;
use bench::summary::{median, millis, percentile, row, table};
use clap::Args;
use tokio::runtime::Runtime;

use attack::{Attack, Deed};
use honest::Honest;
use memory::Memory;

/// How much the node's memory may grow, in bytes.
const GROWTH_MAX: u64 = 64 << 20;
/// Within this time an offender should be cut off.
const CUT_OFF_TARGET: Duration = Duration::from_secs(1);
/// Blocks that are sent before anything is measured.
const WARM_UP: usize = 5;

/// Attacks a node over loopback and measures how it bears that.
#[derive(Args)]
pub(crate) struct Flags {
    /// The drawbridge program
    #[arg(long)]
    node: PathBuf,
    /// How long each attack lasts
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Headers with bad seals in a second
    #[arg(long, default_value_t = 10_000)]
    headers: u32,
    /// Megabytes of orphans
    #[arg(long, default_value_t = 64)]
    orphans_mb: u64,
    /// Sybils, from one address and then from as many
    #[arg(long, default_value_t = 200)]
    sybils: u16,
    /// Attacks by name; all by default
    #[arg(long, value_enum)]
    only: Vec<Attack>,
    /// Where the data directories are made; by default in a temporary folder that is removed at the end
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Runs it; tells whether all was as it must be.
///
/// # Errors
/// A part of the run itself failed.
pub(crate) fn run(flags: &Flags) -> Result<bool, Failure> {
    let violations = violations(flags)?;
    violations.iter().for_each(|violation| println!("violation: {violation}"));
    Ok(violations.is_empty())
}

/// Runs the attackers' threads, which leave the cores to the nodes: it is these that are measured.
fn runtime() -> Result<Runtime, Failure> {
    let polite = || {
        let thread = std::fs::read_link("/proc/thread-self").ok();
        if let Some(id) = thread.as_deref().and_then(Path::file_name) {
            // Where that is not possible the figures are those of a busier machine.
            let _ = Command::new("renice").args(["-n", "19", "-p"]).arg(id).output();
        }
    };
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().on_thread_start(polite).build()?)
}

fn violations(flags: &Flags) -> Result<Vec<String>, Failure> {
    consensus::crypto::install();
    let temporary = tempfile::tempdir()?;
    let folder = flags.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;
    let runtime = runtime()?;
    let mut honest = Honest::start(&flags.node, &folder)?;
    honest.send_blocks(Instant::now(), WARM_UP)?;
    let calm = honest.send_blocks(Instant::now() + Duration::from_secs(flags.seconds), WARM_UP)?;
    let memory = Memory::watch(honest.target_id());
    let base = memory.peak();
    let mut rows = vec![row([
        &"attack",
        &"sent",
        &"offenders",
        &"cut off ms: median",
        &"max",
        &"memory MB: growth",
        &"block ms: median",
        &"of calm",
    ])];
    rows.push(row([&"none", &"", &"", &"", &"", &"", &format!("{:.1}", millis(median(&calm))), &"1.00"]));
    let mut violations = Vec::new();
    for attack in Attack::all(&flags.only) {
        let stage = runtime.block_on(stranger::Stage::learn(honest.target()?, honest.genesis()))?;
        let until = Instant::now() + Duration::from_secs(flags.seconds);
        let under_way = runtime.spawn(attack.run(stage, attack::Sizes::of(flags, honest.trust()), until));
        let times = honest.send_blocks(until, 1)?;
        let deed = runtime.block_on(under_way)?.map_err(|error| format!("{attack}: {error}"))?;
        let growth = memory.peak().saturating_sub(base);
        violations.extend(judge(attack, &deed, growth));
        violations.extend(honest.check_place().err().map(|problem| format!("{attack}: {problem}")));
        rows.push(row([
            &attack,
            &deed.sent,
            &deed.offenders,
            &of_cut_off(&deed, median),
            &of_cut_off(&deed, |times| percentile(times, 1.0)),
            &format!("{:.1}", megabytes(growth)),
            &format!("{:.1}", millis(median(&times))),
            &format!("{:.2}", median(&times).as_secs_f64() / median(&calm).as_secs_f64()),
        ]));
    }
    println!("{}", table(&rows));
    println!(
        "memory before: {:.1} MB; targets: growth at most {:.0} MB, cut off within {} ms, blocks at most 1.10 of calm",
        megabytes(base),
        megabytes(GROWTH_MAX),
        CUT_OFF_TARGET.as_millis()
    );
    honest.stop()?;
    Ok(violations)
}

fn judge(attack: Attack, deed: &Deed, growth: u64) -> Vec<String> {
    let mut violations = deed.problems.clone();
    if growth > GROWTH_MAX {
        violations.push(format!("{attack}: memory has grown by {:.1} MB", megabytes(growth)));
    }
    if deed.offenders > deed.cut_off.len() {
        let (offenders, cut_off) = (deed.offenders, deed.cut_off.len());
        violations.push(format!("{attack}: {cut_off} of {offenders} offenders were cut off"));
    }
    // A machine that is busy with other things may delay one of them.
    if median(&deed.cut_off) > CUT_OFF_TARGET {
        violations.push(format!("{attack}: offenders were cut off after {:?} in the median", median(&deed.cut_off)));
    }
    violations
}

fn of_cut_off(deed: &Deed, figure: impl Fn(&[Duration]) -> Duration) -> String {
    if deed.cut_off.is_empty() { String::new() } else { format!("{:.0}", millis(figure(&deed.cut_off))) }
}

/// Returns a number of megabytes for people; amounts here are far below 2^52.
#[allow(clippy::cast_precision_loss)]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
