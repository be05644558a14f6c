//! Kills while a chain is imported from a file: what is imported in the end is the same chain.

use std::path::Path;
use std::process::{Command, Stdio};

use bench::Failure;
use bench::process::{path_text, run};
use bench::summary::row;

use crate::Run;

/// When an import is killed, in milliseconds after its start.
const KILL_AFTER_MS: (u64, u64) = (20, 600);

/// Exports the chain, imports it into a second data directory under kills, finishes the import, and compares.
pub(crate) fn kill_imports(run: &mut Run, kills: u64) -> Result<(), Failure> {
    let (first, second) = (run.datadir(), run.folder.join("imported"));
    let (file, copy, chain_file) =
        (run.folder.join("chain.rlp"), run.folder.join("copy.rlp"), run.folder.join("chain.json"));
    let (first, second) = (path_text(&first)?, path_text(&second)?);
    run.must(&["export", "--datadir", first, path_text(&file)?])?;
    let shown = Command::new(&run.node).args(["dumpgenesis", "--datadir", first]).stderr(Stdio::null()).output()?;
    std::fs::write(&chain_file, shown.stdout)?;
    run.must(&["init", "--datadir", second, path_text(&chain_file)?])?;
    for number in 1..=kills {
        let arguments = ["import", "--datadir", second, path_text(&file)?];
        let mut child = Command::new(&run.node).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let after = run.sleep_between(KILL_AFTER_MS);
        let ended = child.try_wait()?.is_some();
        child.kill()?;
        child.wait()?;
        let killed = format!("{after} ms{}", if ended { ", was done" } else { "" });
        run.must(&["db", "verify", "--datadir", second])?;
        run.rows.push(row([&format!("import {number}"), &killed, &"-", &"-", &"-", &"-", &"yes"]));
    }
    run.must(&["import", "--datadir", second, path_text(&file)?])?;
    run.must(&["db", "verify", "--datadir", second])?;
    run.must(&["export", "--datadir", second, path_text(&copy)?])?;
    if same(&file, &copy)? { Ok(()) } else { Err("the imported chain is not the exported one".into()) }
}

fn same(one: &Path, two: &Path) -> Result<bool, Failure> {
    Ok(std::fs::read(one)? == std::fs::read(two)?)
}

impl Run {
    /// Runs a command of the node's program that must succeed.
    fn must(&self, arguments: &[&str]) -> Result<(), Failure> {
        let status = run(&self.node, arguments, &self.log())?;
        if status.success() { Ok(()) } else { Err(format!("drawbridge {}: {status}", arguments.join(" ")).into()) }
    }
}
