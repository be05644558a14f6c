//! Kills (SIGKILL) in every situation of a node's life; after each one nothing that was served may be lost.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bench::Failure;
use bench::client::Client;
use bench::process::{KilledCommand, NodeProcess, path_text};

use crate::crash::checks::Ledger;
use crate::crash::run::{Cycle, Run, START_TIME_MAX, remove};
use crate::crash::traffic::Traffic;

/// What the node, or a command, does when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Situation {
    Mining,
    /// Mining with `--history`, so that each block drops an old one's history.
    MiningPruned,
    /// Opening the database that the last kill left.
    Starting,
    BackingUp,
    Pruning,
    Compacting,
    Importing,
    Initialising,
    Restoring,
}

use Situation::{BackingUp, Compacting, Importing, Initialising, Mining, MiningPruned, Pruning, Restoring, Starting};

/// The order of the situations; a seed begins somewhere in it.
const ORDER: [Situation; 20] = [
    Mining,
    BackingUp,
    Importing,
    Pruning,
    Mining,
    Starting,
    Compacting,
    MiningPruned,
    Importing,
    Mining,
    BackingUp,
    Restoring,
    Mining,
    Pruning,
    Initialising,
    Starting,
    MiningPruned,
    Importing,
    Compacting,
    BackingUp,
];
/// After how many cycles a new chain begins.
const ERA: u64 = 25;
/// When a node under load is killed, in milliseconds after the load began.
const LOAD_MS: (u64, u64) = (50, 1000);
/// How long the load lasts before the node is killed for something else.
const SHORT_LOAD_MS: (u64, u64) = (50, 250);
/// When a starting node or a short command is killed.
const START_MS: (u64, u64) = (0, 100);
/// When a longer command is killed.
const COMMAND_MS: (u64, u64) = (5, 300);
/// A node that is told to stop is gone within this time.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

struct Kills<'a> {
    run: &'a mut Run,
    traffic: Traffic,
    ledger: Ledger,
    receipts: usize,
    acknowledged: usize,
}

/// Runs the cycles.
pub(crate) fn cycles(run: &mut Run, count: u64) -> Result<(), Failure> {
    let traffic = Traffic::new(run.seed)?;
    let first = run.random.index(ORDER.len());
    let mut kills = Kills { run, traffic, ledger: Ledger::default(), receipts: 0, acknowledged: 0 };
    for number in 1..=count {
        let place = first + usize::try_from(number).unwrap_or(0);
        kills.cycle(number, ORDER[place % ORDER.len()])?;
        if number % ERA == 0 || number == count {
            kills.end_era()?;
        }
    }
    kills.run.figures = vec![
        ("receipts served and found again", kills.receipts.to_string()),
        ("transactions acknowledged", kills.acknowledged.to_string()),
    ];
    Ok(())
}

impl Kills<'_> {
    fn datadir(&self) -> PathBuf {
        self.run.folder.join("data")
    }

    /// Starts the node on what the last kill left, checks it, loads it, kills it or a command, and verifies what is left.
    fn cycle(&mut self, number: u64, situation: Situation) -> Result<(), Failure> {
        let datadir = self.datadir();
        let flags: &[&str] = if situation == MiningPruned { &["--history", "8"] } else { &[] };
        let mut problems = Vec::new();
        let mut text = String::new();
        if situation == Starting || !datadir.exists() {
            let node = self.run.spawn(&datadir, flags)?;
            let after = self.run.sleep_between(START_MS);
            node.kill()?;
            text = format!("start at {after} ms, ");
        }
        let mut node = self.run.spawn(&datadir, flags)?;
        let start = node.wait_for_answer(START_TIME_MAX)?;
        let mut client = Client::connect(node.endpoint())?;
        let check = self.ledger.check_recent(&mut client, &mut self.run.random)?;
        let (head, checked) = (check.head, check.checked);
        problems.extend(check.into_problems());
        problems.extend(self.ledger.check_acknowledged(&mut client)?);

        let (loaded, served) = self.load_and_kill(situation, node, &mut problems)?;
        let done = self.command(situation, &mut problems)?;
        problems.extend(self.run.verify(&datadir)?);
        let text = format!("{text}{loaded}{done}, head {head}, {served} receipts, {checked} checked");
        let outcome = if problems.is_empty() { "nothing lost" } else { "violation" }.to_owned();
        self.run.end_cycle(Cycle {
            number,
            kind: format!("{situation:?}"),
            outcome,
            text,
            start: Some(start),
            problems,
        });
        Ok(())
    }

    /// Loads the node and kills it; says when, and returns how many receipts it served.
    fn load_and_kill(
        &mut self,
        situation: Situation,
        node: NodeProcess,
        problems: &mut Vec<String>,
    ) -> Result<(String, usize), Failure> {
        let (datadir, backup) = (self.datadir(), self.run.folder.join("backup"));
        let running = self.traffic.begin(node.endpoint())?;
        let (mut text, mut asked) = (String::new(), None);
        match situation {
            Mining | MiningPruned | Starting => {
                text = format!("node at {} ms", self.run.sleep_between(LOAD_MS));
            }
            BackingUp => {
                self.run.sleep_between(SHORT_LOAD_MS);
                let arguments = ["backup", "create", "--datadir", path_text(&datadir)?, path_text(&backup)?];
                let mut command = Command::new(&self.run.node);
                command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                asked = Some(command.spawn()?);
                text = format!("node {} ms into a backup", self.run.sleep_between(START_MS));
            }
            _ => {
                self.run.sleep_between(SHORT_LOAD_MS);
            }
        }
        node.kill()?;
        let seen = running.end();
        self.acknowledged += seen.acknowledged.len();
        let served = self.ledger.remember(seen.receipts, seen.acknowledged);
        self.receipts += served;
        problems.extend(seen.problems);
        if let Some(mut child) = asked {
            problems.extend(self.check_backup(&backup, child.wait()?.success())?);
        }
        Ok((text, served))
    }

    /// Kills the command of a situation that is no running node; says what it was.
    fn command(&mut self, situation: Situation, problems: &mut Vec<String>) -> Result<String, Failure> {
        let datadir = self.datadir();
        let data = path_text(&datadir)?;
        let none = Vec::new();
        let killed = match situation {
            Mining | MiningPruned | Starting | BackingUp => return Ok(String::new()),
            Pruning => {
                let kept = self.run.random.between(1, 40).to_string();
                self.run.killed_command(&["db", "prune", "--datadir", data, "--history", &kept], COMMAND_MS, &none)?.0
            }
            Compacting => self.run.killed_command(&["db", "compact", "--datadir", data], COMMAND_MS, &none)?.0,
            Importing => self.import(data, problems)?,
            Initialising => {
                let (fresh, file) = (self.run.folder.join("fresh"), self.run.folder.join("chain.json"));
                std::fs::write(&file, consensus::genesis::DEV)?;
                let arguments = ["init", "--datadir", path_text(&fresh)?, path_text(&file)?];
                let killed = self.run.killed_command(&arguments, START_MS, &none)?.0;
                self.run.must(&arguments)?;
                problems.extend(self.run.verify(&fresh)?);
                remove(&fresh)?;
                killed
            }
            Restoring => {
                let (backup, fresh) = (self.run.folder.join("backup"), self.run.folder.join("fresh"));
                self.run.must(&["backup", "create", "--datadir", data, path_text(&backup)?])?;
                let arguments = ["backup", "restore", "--datadir", path_text(&fresh)?, path_text(&backup)?];
                let killed = self.run.killed_command(&arguments, COMMAND_MS, &none)?.0;
                if !fresh.join("chaindata").exists() {
                    self.run.must(&arguments)?;
                }
                problems.extend(self.run.verify(&fresh)?);
                remove(&backup)?;
                remove(&fresh)?;
                killed
            }
        };
        Ok(killed)
    }

    /// Kills an import of the chain into a second data directory; when one is done, it must have become the same chain.
    fn import(&mut self, data: &str, problems: &mut Vec<String>) -> Result<String, Failure> {
        let folder = self.run.folder.clone();
        let (file, copy, imported) = (folder.join("chain.rlp"), folder.join("copy.rlp"), folder.join("imported"));
        let second = path_text(&imported)?;
        if !imported.exists() {
            let chain_file = folder.join("chain.json");
            std::fs::write(&chain_file, consensus::genesis::DEV)?;
            self.run.must(&["init", "--datadir", second, path_text(&chain_file)?])?;
        }
        self.run.must(&["export", "--datadir", data, path_text(&file)?])?;
        let arguments = ["import", "--datadir", second, path_text(&file)?];
        let (text, killed) = self.run.killed_command(&arguments, COMMAND_MS, &Vec::new())?;
        problems.extend(self.run.verify(&imported)?);
        if let KilledCommand::Ended(status) = killed {
            if !status.success() {
                problems.push(format!("import: {status}"));
            }
            self.run.must(&["export", "--datadir", second, path_text(&copy)?])?;
            if std::fs::read(&file)? != std::fs::read(&copy)? {
                problems.push("the imported chain is not the exported one".to_owned());
            }
            remove(&imported)?;
        }
        Ok(text)
    }

    /// A backup has its name only when it is whole, and then it can be put back.
    fn check_backup(&self, backup: &Path, was_told: bool) -> Result<Vec<String>, Failure> {
        if !backup.exists() {
            remove(&self.run.folder.join("backup.part"))?;
            return Ok(if was_told { vec!["a backup was made and is not there".to_owned()] } else { Vec::new() });
        }
        let restored = self.run.folder.join("restored");
        self.run.must(&["backup", "verify", path_text(backup)?])?;
        self.run.must(&["backup", "restore", "--datadir", path_text(&restored)?, path_text(backup)?])?;
        let problems = self.run.verify(&restored)?;
        remove(&restored)?;
        remove(backup)?;
        Ok(problems)
    }

    /// Starts the node once more, looks for every receipt of the chain, stops it as an operator does, and begins a new chain.
    fn end_era(&mut self) -> Result<(), Failure> {
        let datadir = self.datadir();
        let mut node = self.run.spawn(&datadir, &[])?;
        node.wait_for_answer(START_TIME_MAX)?;
        let mut client = Client::connect(node.endpoint())?;
        let mut problems = self.ledger.check_all(&mut client)?.into_problems();
        drop(client);
        let stopped = node.stop()?;
        if stopped > STOP_TIME_MAX {
            problems.push(format!("the node took {stopped:?} to stop"));
        }
        problems.extend(self.run.verify(&datadir)?);
        problems.into_iter().for_each(|problem| self.run.violate(format!("the last look: {problem}")));
        for name in ["data", "imported", "fresh", "backup", "restored"] {
            remove(&self.run.folder.join(name))?;
        }
        self.ledger = Ledger::default();
        self.traffic.forget();
        Ok(())
    }
}
