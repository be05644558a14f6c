//! Catching up over loopback, beside the import of the same chain from a file, one after the other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bench::Failure;
use bench::networked::{Node, between, chain, time_of};
use bench::process::path_text;
use bench::summary::{median, row, table};

/// The part of the import's rate that catching up should reach.
const RATIO_TARGET: f64 = 0.8;

/// A chain to be measured.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// How many blocks.
    pub(crate) blocks: u64,
    /// How many transfers in each.
    pub(crate) transfers: u64,
}

/// A chain that was built: its file, its export, a data directory that holds it, and the gas that its blocks use.
struct Built {
    shape: Shape,
    chain_file: PathBuf,
    exported: PathBuf,
    served: PathBuf,
    gas: u64,
}

/// Measures both ways for each chain, alternating, and prints them side by side.
pub(crate) fn measure(program: &Path, folder: &Path, shapes: &[Shape], rounds: u32) -> Result<(), Failure> {
    let mut rows = vec![row([&"chain", &"how", &"seconds", &"blocks/s", &"Mgas/s", &"ratio"])];
    for (index, shape) in shapes.iter().filter(|shape| shape.blocks > 0).enumerate() {
        let folder = folder.join(format!("chain-{index}"));
        let built = build(&folder, *shape)?;
        let (mut imports, mut syncs) = (Vec::new(), Vec::new());
        for round in 0..rounds.max(1) {
            imports.push(import(program, &folder.join(format!("import-{round}")), &built)?);
            syncs.push(sync(program, &folder, &format!("sync-{round}"), &built)?);
        }
        rows.extend(report(&built, median(&imports), median(&syncs)));
        std::fs::remove_dir_all(&folder)?;
    }
    println!("{}", table(&rows));
    println!("median of {} rounds; target: catching up at {RATIO_TARGET} or more of the import's rate", rounds.max(1));
    Ok(())
}

fn build(folder: &Path, shape: Shape) -> Result<Built, Failure> {
    std::fs::create_dir_all(folder)?;
    let text = chain::chain_file(&chain::senders(), "always")?;
    let (chain_file, exported, served) = (folder.join("chain.json"), folder.join("chain.rlp"), folder.join("served"));
    std::fs::write(&chain_file, &text)?;
    let gas = chain::build(&served, &exported, &text, shape.blocks, shape.transfers)?;
    println!("built {} blocks of {} transfers", shape.blocks, shape.transfers);
    Ok(Built { shape, chain_file, exported, served, gas })
}

fn report(built: &Built, import: Duration, sync: Duration) -> [Vec<String>; 2] {
    let name = format!("{} blocks of {} transfers", built.shape.blocks, built.shape.transfers);
    let line = |name: &str, how: &str, time: Duration, ratio: String| {
        let seconds = time.as_secs_f64();
        let rate = |amount: u64| float(amount) / seconds;
        let (blocks, mgas) = (rate(built.shape.blocks), rate(built.gas) / 1e6);
        row([&name, &how, &format!("{seconds:.2}"), &format!("{blocks:.0}"), &format!("{mgas:.1}"), &ratio])
    };
    let ratio = format!("{:.2}", import.as_secs_f64() / sync.as_secs_f64());
    [line(&name, "import of the file", import, String::new()), line("", "catching up over loopback", sync, ratio)]
}

/// Imports the file into a new data directory; the program's own clock counts.
fn import(program: &Path, datadir: &Path, built: &Built) -> Result<Duration, Failure> {
    let chain_file = path_text(&built.chain_file)?;
    let init = Command::new(program).args(["init", chain_file, "--datadir", path_text(datadir)?]).output()?;
    if !init.status.success() {
        return Err(format!("init: {}", String::from_utf8_lossy(&init.stderr)).into());
    }
    let output = Command::new(program)
        .args(["import", path_text(&built.exported)?, "--datadir", path_text(datadir)?, "--color", "never"])
        .output()?;
    let log = String::from_utf8_lossy(&output.stderr);
    let elapsed = log.split("elapsed_ms=").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    let elapsed = elapsed.map(Duration::from_millis).ok_or_else(|| format!("import: {log}"))?;
    std::fs::remove_dir_all(datadir)?;
    Ok(elapsed)
}

/// Catches up from an empty data directory; from the line that a peer has come to the one of the last head.
fn sync(program: &Path, folder: &Path, name: &str, built: &Built) -> Result<Duration, Failure> {
    let (datadir, blocks) = (folder.join(name), built.shape.blocks);
    let served = Node::start(program, &built.served, &built.chain_file, &[], &[])?;
    let node = Node::start(program, &datadir, &built.chain_file, &[served.address()?], &[])?;
    node.wait_head(blocks)?;
    let log = node.log()?;
    let first = time_of(&log, &["a peer has come"])?;
    let last = time_of(&log, &["new head", &format!("number={blocks} ")])?;
    node.stop()?;
    served.stop()?;
    std::fs::remove_dir_all(&datadir)?;
    Ok(between(first, last))
}

/// Returns the nearest number that can be divided; amounts here are far below 2^52.
#[allow(clippy::cast_precision_loss)]
fn float(amount: u64) -> f64 {
    amount as f64
}
