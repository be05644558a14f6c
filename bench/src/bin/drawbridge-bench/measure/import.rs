//! Import of a recorded chain, beside revm alone on the same blocks in memory.

use std::time::Duration;

use bench::Failure;
use bench::recorded::{Recorded, Size, Step};
use bench::summary::{as_f64, median, millis, row, table};

pub(crate) fn measure(size: Size, rounds: usize) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let recorded = Recorded::make(&folder.path().join("recording"), size)?;
    println!(
        "Import: {} blocks of {} ERC-20 transfers among {} holders, {:.1} Mgas; senders recovered before the clock",
        size.blocks,
        size.transfers,
        size.holders,
        mgas(recorded.gas)
    );
    let (mut imports, mut alone) = (Vec::new(), Vec::new());
    for round in 0..rounds.max(1) {
        alone.push(recorded.execute_in_memory()?);
        let ledger = recorded.fresh_ledger(&folder.path().join(format!("import-{round}")))?;
        imports.push(recorded.import(&ledger)?);
        ledger.shut_down()?;
    }
    let rate = |times: &[Duration]| mgas(recorded.gas) / median(times).as_secs_f64();
    let (import_rate, alone_rate) = (rate(&imports), rate(&alone));
    println!(
        "  ledger on RocksDB   {import_rate:8.1} Mgas/s  (median of {rounds}: {:.0} ms)",
        millis(median(&imports))
    );
    println!("  revm alone          {alone_rate:8.1} Mgas/s  (median of {rounds}: {:.0} ms)", millis(median(&alone)));
    println!("  ratio               {:8.2}         (target: at least 0.70)\n", import_rate / alone_rate);
    print_steps(&recorded, &folder.path().join("steps"), median(&imports), size.blocks)
}

fn print_steps(recorded: &Recorded, folder: &std::path::Path, import: Duration, blocks: usize) -> Result<(), Failure> {
    let steps = recorded.import_in_steps(folder)?;
    let named = [
        ("execute over RocksDB", steps.execute),
        ("receipts root, bloom", steps.receipts_root),
        ("transactions root", steps.transactions_root),
        ("state root", steps.state_root),
        ("collect rows", steps.stage),
        ("commit state rows", steps.commit),
    ];
    let mut rows = vec![row([&"step", &"ms a block", &"% of import"])];
    let mut line = |name: &str, time: Duration| {
        let share = time.as_secs_f64() / import.as_secs_f64() * 100.0;
        rows.push(row([&name, &format!("{:.2}", millis(time) / as_f64(blocks)), &format!("{share:.0}")]));
    };
    for (name, Step(time)) in named {
        line(name, time);
    }
    let known: Duration = named.iter().map(|(_, Step(time))| *time).sum();
    line("all else", import.saturating_sub(known));
    line("import", import);
    println!("{}", table(&rows));
    Ok(())
}

fn mgas(gas: u64) -> f64 {
    // Far below 2^52.
    f64::from(u32::try_from(gas / 1000).unwrap_or(u32::MAX)) / 1000.0
}
