//! Catching up over loopback, beside the import of the same chain from a file, one after the other.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bench::Failure;
use bench::process::path_text;
use bench::summary::{median, row, table};

use crate::chain_of;
use crate::node::{Node, between, time_of};

/// Measures both.
pub(crate) fn measure(program: &Path, folder: &Path, blocks: u64, transfers: u64, rounds: u32) -> Result<(), Failure> {
    let (text, chain_file, exported) =
        (chain_of::chain_file(&chain_of::senders(), "always")?, folder.join("chain.json"), folder.join("chain.rlp"));
    std::fs::write(&chain_file, &text)?;
    let gas = chain_of::build(&folder.join("served"), &exported, &text, blocks, transfers)?;
    let (mut imports, mut syncs) = (Vec::new(), Vec::new());
    for round in 0..rounds.max(1) {
        imports.push(import(program, &folder.join(format!("import-{round}")), &chain_file, &exported)?);
        syncs.push(sync(program, folder, &format!("sync-{round}"), &chain_file, blocks)?);
    }
    println!("{blocks} blocks of {transfers} transfers, median of {}", rounds.max(1));
    let mut rows = vec![row([&"how", &"seconds", &"blocks/s", &"Mgas/s"])];
    for (name, times) in [("import of the file", &imports), ("catching up over loopback", &syncs)] {
        let seconds = median(times).as_secs_f64();
        let rate = |amount: u64| float(amount) / seconds;
        rows.push(row([
            &name,
            &format!("{seconds:.2}"),
            &format!("{:.0}", rate(blocks)),
            &format!("{:.1}", rate(gas) / 1e6),
        ]));
    }
    println!("{}", table(&rows));
    let ratio = median(&imports).as_secs_f64() / median(&syncs).as_secs_f64();
    println!("catching up is {ratio:.2} of the import's rate (target: at least 0.8)");
    Ok(())
}

/// Imports the file into a new data directory; the program's own clock counts.
fn import(program: &Path, datadir: &Path, chain_file: &Path, exported: &Path) -> Result<Duration, Failure> {
    let init =
        Command::new(program).args(["init", path_text(chain_file)?, "--datadir", path_text(datadir)?]).output()?;
    if !init.status.success() {
        return Err(format!("init: {}", String::from_utf8_lossy(&init.stderr)).into());
    }
    let output = Command::new(program)
        .args(["import", path_text(exported)?, "--datadir", path_text(datadir)?, "--color", "never"])
        .output()?;
    let log = String::from_utf8_lossy(&output.stderr);
    let elapsed = log.split("elapsed_ms=").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    elapsed.map(Duration::from_millis).ok_or_else(|| format!("import: {log}").into())
}

/// Catches up from an empty data directory; from the line that a peer has come to the one of the last head.
fn sync(program: &Path, folder: &Path, name: &str, chain_file: &Path, blocks: u64) -> Result<Duration, Failure> {
    let served = Node::start(program, &folder.join("served"), chain_file, &[], &[])?;
    let node = Node::start(program, &folder.join(name), chain_file, &[served.address()?], &[])?;
    node.wait_head(blocks)?;
    let log = node.log()?;
    let first = time_of(&log, &["a peer has come"])?;
    let last = time_of(&log, &["new head", &format!("number={blocks} ")])?;
    node.stop()?;
    served.stop()?;
    Ok(between(first, last))
}

/// Returns the nearest number that can be divided; amounts here are far below 2^52.
#[allow(clippy::cast_precision_loss)]
fn float(amount: u64) -> f64 {
    amount as f64
}
