//! `hostile_peers`: a real node under attack over loopback, while an honest miner sends it blocks. Malformed frames, RLP bombs, too many
//! requests, headers with bad seals, old blocks, orphans, sybils, half-open connections, silent visitors and unread answers come one after
//! the other, each in turns with calm times between them, so that what the machine does meanwhile slows both alike; measured are the node's
//! memory, the time until an offender is cut off, and the time that honest blocks take. Exits with 1 where memory grows too much, an offender
//! stays, or an honest peer loses its place.

mod attack;
mod bombs;
mod crowd;
mod frames;
mod half_open;
mod headers;
mod honest;
mod memory;
mod metrics;
mod orphans;
mod proxy;
mod requests;
mod silent;
mod stranger;
mod unread;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bench::Failure;
use bench::summary::{median, millis, percentile, row, table};
use clap::Args;
use tokio::runtime::Runtime;

use attack::{Attack, Deed, Term};
use honest::{Honest, TRANSFERS};
use memory::Memory;

/// Within this time an offender should be cut off.
const CUT_OFF_TARGET: Duration = Duration::from_secs(1);
/// As a share of the calm time, so long may honest blocks take under attack.
const SLOWER_TARGET: f64 = 1.10;
/// Before anything is measured blocks are sent, so many at a time and so many at most, until so many let the memory grow by less than this.
const WARM_UP_STEP: usize = 100;
const WARM_UP_MAX: usize = 1_000;
const STEADY_BYTES: u64 = 1 << 20;
/// How many blocks are sent at least during a turn, which lasts as long.
const BLOCKS_MIN: usize = 10;

/// Attacks a node over loopback and measures how it bears that.
#[derive(Args)]
pub(crate) struct Flags {
    /// The drawbridge program
    #[arg(long)]
    node: PathBuf,
    /// How long a turn of an attack lasts, and the calm time before it and after it
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Turns of each attack
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Headers with bad seals in a second
    #[arg(long, default_value_t = 10_000)]
    headers: u32,
    /// Megabytes of orphans, in all turns
    #[arg(long, default_value_t = 64)]
    orphans_mb: u64,
    /// Megabytes by which the node's memory may grow
    #[arg(long, default_value_t = 64)]
    growth_mb: u64,
    /// Sybils, from one address and then from as many
    #[arg(long, default_value_t = 200)]
    sybils: u16,
    /// Slow blocks, offenders that stay for long, and attacks that are smaller than they were to be, are violations too: on a machine that does
    /// nothing else
    #[arg(long)]
    strict: bool,
    /// Attacks by name; all by default
    #[arg(long, value_enum)]
    only: Vec<Attack>,
    /// Where the data directories are made; by default in a temporary folder that is removed at the end
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl Flags {
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
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

/// Runs the attackers' threads, which leave the cores to the nodes at once when these want them: attackers have machines of their own, and
/// a thread that is merely nice keeps a core to the end of its slice.
fn runtime() -> Result<Runtime, Failure> {
    let polite = || {
        let thread = std::fs::read_link("/proc/thread-self").ok();
        if let Some(id) = thread.as_deref().and_then(Path::file_name) {
            // Where that is not possible the figures are those of a busier machine.
            let _ = Command::new("chrt").args(["--idle", "--pid", "0"]).arg(id).output();
        }
    };
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().on_thread_start(polite).build()?)
}

/// What became of an attack.
struct Outcome {
    attack: Attack,
    deed: Deed,
    /// How long each honest block took in its turns, and in each calm time from the one before the first turn to the one after the last.
    blocks: Vec<Duration>,
    calm: Vec<Vec<Duration>>,
    /// The most memory meanwhile and in the calm times, and what was left in the end, in bytes above what there was before the first attack.
    peak: u64,
    left: u64,
}

fn violations(flags: &Flags) -> Result<Vec<String>, Failure> {
    consensus::crypto::install();
    let temporary = tempfile::tempdir()?;
    let folder = flags.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;
    let runtime = runtime()?;
    let mut honest = Honest::start(&flags.node, &folder)?;
    let memory = Memory::watch(honest.target_id());
    let warm_up = warm_up(&mut honest, &memory)?;
    let before = memory.peak();
    let (mut outcomes, mut violations) = (Vec::new(), Vec::new());
    for attack in Attack::all(&flags.only) {
        memory.forget_peak();
        let (mut deed, mut blocks) = (Deed::default(), Vec::new());
        let mut calm = vec![honest.send_blocks(flags.time(), BLOCKS_MIN)?];
        for _ in 0..flags.turns {
            let (done, sent) = suffer(&runtime, flags, &mut honest, attack)?;
            deed.join(done);
            blocks.extend(sent);
            violations.extend(honest.check_place().err().map(|problem| format!("{attack}: {problem}")));
            calm.push(honest.send_blocks(flags.time(), BLOCKS_MIN)?);
        }
        let (peak, left) = (memory.peak().saturating_sub(before), memory.now().saturating_sub(before));
        let outcome = Outcome { attack, deed, blocks, calm, peak, left };
        violations.extend(judge(&outcome, flags.growth_mb << 20));
        outcomes.push(outcome);
    }
    println!("{}", report(&outcomes));
    println!("memory before: {:.1} MB, after {warm_up} blocks of {TRANSFERS} transfers", megabytes(before));
    println!(
        "targets: growth at most {} MB, cut off within {} ms, blocks at most {SLOWER_TARGET:.2} of calm",
        flags.growth_mb,
        CUT_OFF_TARGET.as_millis()
    );
    if flags.strict {
        violations.extend(outcomes.iter().flat_map(judge_strictly));
    }
    honest.stop()?;
    Ok(violations)
}

/// Sends blocks until they alone let the node's memory grow no more: its caches and write buffers are full then, and what it takes
/// beyond that is the attackers' doing. Returns how many blocks that were.
fn warm_up(honest: &mut Honest, memory: &Memory) -> Result<usize, Failure> {
    let mut sent = 0;
    while sent < WARM_UP_MAX {
        let before = memory.peak();
        honest.send_blocks(Duration::ZERO, WARM_UP_STEP)?;
        sent += WARM_UP_STEP;
        if memory.peak().saturating_sub(before) < STEADY_BYTES {
            break;
        }
    }
    Ok(sent)
}

/// Attacks for one turn, and sends blocks meanwhile; returns how long each took.
fn suffer(
    runtime: &Runtime,
    flags: &Flags,
    honest: &mut Honest,
    attack: Attack,
) -> Result<(Deed, Vec<Duration>), Failure> {
    let stage = runtime.block_on(stranger::Stage::learn(honest.target()?, honest.genesis(), honest.spec()))?;
    let sizes = attack::Sizes::of(flags, honest.trust(), honest.heard(), honest.shown());
    let (end, over) = tokio::sync::watch::channel(false);
    let under_way = runtime.spawn(attack.run(stage, sizes, Term(over)));
    let blocks = honest.send_blocks(flags.time(), BLOCKS_MIN)?;
    // It may have ended by an error, which comes next.
    let _ = end.send(true);
    let deed = runtime.block_on(under_way)?.map_err(|error| format!("{attack}: {error}"))?;
    Ok((deed, blocks))
}

/// Returns the median time of blocks in the turns of an attack as a share of that in the calm times.
fn share(outcome: &Outcome) -> f64 {
    median(&outcome.blocks).as_secs_f64() / median(&outcome.calm.concat()).as_secs_f64()
}

/// Returns the same of every second calm time beside the others, which is how far the share of an attack may be off.
fn calm_share(outcome: &Outcome) -> f64 {
    let half = |odd: usize| median(&outcome.calm.iter().skip(odd).step_by(2).flatten().copied().collect::<Vec<_>>());
    half(1).as_secs_f64() / half(0).as_secs_f64()
}

fn report(outcomes: &[Outcome]) -> String {
    let mut rows = vec![row([
        &"attack",
        &"sent",
        &"offenders",
        &"cut off ms: median",
        &"max",
        &"memory MB: most",
        &"left",
        &"blocks",
        &"ms: median",
        &"of calm",
        &"calm of calm",
    ])];
    rows.extend(outcomes.iter().map(|outcome| {
        let deed = &outcome.deed;
        row([
            &outcome.attack,
            &deed.sent(),
            &deed.offenders,
            &of_cut_off(deed, median),
            &of_cut_off(deed, |times| percentile(times, 1.0)),
            &format!("{:.1}", megabytes(outcome.peak)),
            &format!("{:.1}", megabytes(outcome.left)),
            &outcome.blocks.len(),
            &format!("{:.1}", millis(median(&outcome.blocks))),
            &format!("{:.2}", share(outcome)),
            &format!("{:.2}", calm_share(outcome)),
        ])
    }));
    table(&rows)
}

fn judge(outcome: &Outcome, growth_max: u64) -> Vec<String> {
    let Outcome { attack, deed, peak, .. } = outcome;
    let mut violations: Vec<_> = deed.problems.iter().map(|problem| format!("{attack}: {problem}")).collect();
    if *peak > growth_max {
        violations.push(format!("{attack}: memory has grown by {:.1} MB", megabytes(*peak)));
    }
    if deed.offenders > deed.cut_off.len() {
        let (offenders, cut_off) = (deed.offenders, deed.cut_off.len());
        violations.push(format!("{attack}: {cut_off} of {offenders} offenders were cut off"));
    }
    violations
}

/// Judges the times, and whether the attack was as large as it was to be: on a machine that is busy with other things the attackers, who
/// are last in line for the cores, are slow themselves.
fn judge_strictly(outcome: &Outcome) -> Vec<String> {
    let Outcome { attack, deed, .. } = outcome;
    let mut violations: Vec<_> = deed.shortfalls.iter().map(|problem| format!("{attack}: {problem}")).collect();
    if median(&deed.cut_off) > CUT_OFF_TARGET {
        violations.push(format!("{attack}: offenders were cut off after {:?} in the median", median(&deed.cut_off)));
    }
    let share = share(outcome);
    if share > SLOWER_TARGET {
        violations.push(format!("{attack}: honest blocks take {share:.2} of their calm time"));
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
