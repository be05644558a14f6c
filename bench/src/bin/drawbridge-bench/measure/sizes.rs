//! State root and flat reads while the state grows.

use bench::Failure;
use bench::grown::GrownState;
use bench::summary::{median, millis, row, table};

/// How many accounts a block changes, and how many blocks are measured.
const CHANGED: usize = 1_000;
const BLOCKS: usize = 25;
/// How many accounts are read.
const READS: u32 = 100_000;

pub(crate) fn measure(accounts_max: usize) -> Result<(), Failure> {
    println!(
        "State on RocksDB, cache 64 MiB: {CHANGED} changed accounts a block (median of {BLOCKS}), {READS} random reads"
    );
    let folder = tempfile::tempdir()?;
    let mut grown = GrownState::new(folder.path())?;
    let mut rows = vec![row([&"accounts", &"root ms", &"root + commit ms", &"read µs", &"absent µs"])];
    let mut roots = Vec::new();
    for accounts in [accounts_max / 100, accounts_max / 10, accounts_max] {
        grown.grow(accounts)?;
        let times = (0..BLOCKS).map(|_| grown.change(CHANGED)).collect::<Result<Vec<_>, _>>()?;
        let root = median(&times.iter().map(|times| times.root).collect::<Vec<_>>());
        let all = median(&times.iter().map(|times| times.all).collect::<Vec<_>>());
        let (read, absent) = (grown.read(READS)?, grown.read_absent(READS)?);
        rows.push(row([
            &accounts,
            &format!("{:.2}", millis(root)),
            &format!("{:.2}", millis(all)),
            &format!("{:.2}", read.as_secs_f64() * 1e6),
            &format!("{:.2}", absent.as_secs_f64() * 1e6),
        ]));
        roots.push(root);
    }
    println!("{}", table(&rows));
    if let [first, .., last] = roots[..] {
        println!(
            "  root at the largest beside the smallest: {:.2} (target: at most 2)\n",
            last.as_secs_f64() / first.as_secs_f64()
        );
    }
    Ok(())
}
