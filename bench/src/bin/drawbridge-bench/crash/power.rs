//! Power losses: the node is killed, and its files become what a disk might hold that was never told to sync more than it was.
//!
//! With `--fsync block` nothing whose receipt was served may be lost; with the default at most the last second.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bench::Failure;
use bench::client::Client;
use bench::disk::{Disk, Loss, journal};
use bench::process::{KilledCommand, NodeProcess, path_text};
use bench::summary::millis;

use crate::crash::checks::{Ledger, Served};
use crate::crash::run::{Cycle, Run, START_TIME_MAX, remove};
use crate::crash::shim::Shim;
use crate::crash::traffic::Traffic;

/// After how many cycles a new chain begins.
const ERA: u64 = 8;
/// When the power goes, in milliseconds after the load began.
const LOAD_MS: (u64, u64) = (50, 1400);
const SHORT_LOAD_MS: (u64, u64) = (50, 300);
const START_MS: (u64, u64) = (0, 100);
const COMMAND_MS: (u64, u64) = (5, 250);
/// What `--fsync second` may lose: a second, and what a busy machine adds before the sync is done.
const LOSS_MAX: Duration = Duration::from_millis(2000);

/// What happens when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Situation {
    Mining,
    MiningPruned,
    Starting,
    BackingUp,
    Compacting,
}

const SITUATIONS: [Situation; 8] = [
    Situation::Mining,
    Situation::BackingUp,
    Situation::Mining,
    Situation::Starting,
    Situation::MiningPruned,
    Situation::Mining,
    Situation::Compacting,
    Situation::Mining,
];

/// When commits reach the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fsync {
    Block,
    Second,
}

struct Losses<'a> {
    run: &'a mut Run,
    shim: Shim,
    traffic: Traffic,
    ledger: Ledger,
    served: usize,
    lost: usize,
    oldest_loss: Duration,
}

/// What a node did until the power went.
#[derive(Default)]
struct Before {
    text: String,
    served: usize,
    problems: Vec<String>,
    has_backup: bool,
}

/// Runs the cycles.
pub(crate) fn cycles(run: &mut Run, count: u64) -> Result<(), Failure> {
    let (shim, traffic) = (Shim::build(&run.folder)?, Traffic::new(run.seed)?);
    let ledger = Ledger::default();
    let mut losses = Losses { run, shim, traffic, ledger, served: 0, lost: 0, oldest_loss: Duration::ZERO };
    for number in 1..=count {
        if number % ERA == 1 {
            remove(&losses.root())?;
            std::fs::create_dir(losses.root())?;
            losses.ledger = Ledger::default();
        }
        // The last power loss may have taken the token, or what the senders had of it.
        losses.traffic.forget();
        losses.cycle(number)?;
    }
    losses.run.figures = vec![
        ("receipts served", losses.served.to_string()),
        ("lost with --fsync second", losses.lost.to_string()),
        ("ms the oldest of these", format!("{:.0}", millis(losses.oldest_loss))),
    ];
    Ok(())
}

impl Losses<'_> {
    /// The directory that the shim watches: the data directory itself is made in it.
    fn root(&self) -> PathBuf {
        self.run.folder.join("root")
    }

    fn datadir(&self) -> PathBuf {
        self.root().join("data")
    }

    fn backup(&self) -> PathBuf {
        self.root().join("backup")
    }

    fn cycle(&mut self, number: u64) -> Result<(), Failure> {
        let index = self.run.random.index(SITUATIONS.len());
        let fsync = if self.run.random.below(2) == 0 { Fsync::Block } else { Fsync::Second };
        let loss = Loss::ALL[self.run.random.index(Loss::ALL.len())];
        let mut disk = Disk::load(&self.root())?;
        let before = self.until_the_power_goes(SITUATIONS[index], fsync)?;
        let off = Instant::now();

        let mut changes = 0;
        for file in self.journals() {
            // Without a journal the program did not run, or was gone before it did anything.
            let records = if file.exists() { journal::read(&std::fs::read(&file)?)? } else { Vec::new() };
            changes += records.len();
            disk.run(records)?;
            remove(&file)?;
        }
        let survivor = self.run.folder.join("survivor");
        remove(&survivor)?;
        disk.write_survivor(loss, &mut self.run.random, &survivor)?;
        remove(&self.root())?;
        std::fs::rename(&survivor, self.root())?;

        let mut problems = before.problems;
        let (start, lost) = self.look(fsync, off, &mut problems)?;
        if before.has_backup && !self.backup().exists() {
            problems.push("a backup was made and is not there".to_owned());
        }
        if self.backup().exists() {
            self.run.must(&["backup", "verify", path_text(&self.backup())?])?;
            remove(&self.backup())?;
        }
        remove(&self.root().join("backup.part"))?;
        let kind = format!("fsync {}", format!("{fsync:?}").to_lowercase());
        let served = before.served;
        let text = format!(
            "{}, {changes} changes, {} lost of the files, {served} receipts, {lost} lost",
            before.text,
            loss.name()
        );
        let outcome = match (problems.is_empty(), lost) {
            (false, _) => "violation",
            (true, 0) => "nothing lost",
            (true, _) => "some of the last second lost",
        };
        self.run.end_cycle(Cycle { number, kind, outcome: outcome.to_owned(), text, start, problems });
        Ok(())
    }

    /// The journals of the node, and of a command after it.
    fn journals(&self) -> [PathBuf; 2] {
        ["journal-1", "journal-2"].map(|name| self.run.folder.join(name))
    }

    fn until_the_power_goes(&mut self, situation: Situation, fsync: Fsync) -> Result<Before, Failure> {
        let (datadir, log) = (self.datadir(), self.run.log());
        let [of_node, of_command] = self.journals();
        let environment = self.shim.recording(&self.root(), &of_node)?;
        // The pool's journal is not synced with each transaction: it is no part of what is promised here.
        let mut flags = vec!["--txpool.nolocals", "--fsync", if fsync == Fsync::Block { "block" } else { "second" }];
        if situation == Situation::MiningPruned {
            flags.extend(["--history", "8"]);
        }
        let mut before = Before::default();
        let mut node = NodeProcess::drawbridge_in(&self.run.node, &datadir, &flags, &environment, &log)?;
        if situation == Situation::Starting {
            before.text = format!("start at {} ms", self.run.sleep_between(START_MS));
            node.kill()?;
            return Ok(before);
        }
        node.wait_for_answer(START_TIME_MAX)?;
        let running = self.traffic.begin(node.endpoint())?;
        if matches!(situation, Situation::Mining | Situation::MiningPruned) {
            before.text = format!("node at {} ms", self.run.sleep_between(LOAD_MS));
        } else {
            self.run.sleep_between(SHORT_LOAD_MS);
        }
        if situation == Situation::BackingUp {
            let (data, backup) = (path_text(&datadir)?.to_owned(), self.backup());
            let arguments = ["backup", "create", "--datadir", &data, path_text(&backup)?];
            // Not under the shim: it asks the node, which is.
            let (text, killed) = self.run.killed_command(&arguments, COMMAND_MS, &Vec::new())?;
            before.text = text;
            before.has_backup = matches!(killed, KilledCommand::Ended(status) if status.success());
        }
        node.kill()?;
        let seen = running.end();
        before.problems = seen.problems;
        self.served += seen.receipts.len();
        before.served = self.ledger.remember(seen.receipts, Vec::new());
        if situation == Situation::Compacting {
            let data = path_text(&datadir)?.to_owned();
            let arguments = ["db", "compact", "--datadir", &data];
            let environment = self.shim.recording(&self.root(), &of_command)?;
            before.text = self.run.killed_command(&arguments, COMMAND_MS, &environment)?.0;
        }
        Ok(before)
    }

    /// Verifies what is left, opens it, and looks for what was served. Returns how long the start took and how many receipts are gone.
    fn look(
        &mut self,
        fsync: Fsync,
        off: Instant,
        problems: &mut Vec<String>,
    ) -> Result<(Option<Duration>, usize), Failure> {
        let datadir = self.datadir();
        if !datadir.join("chaindata").join("CURRENT").exists() {
            // The power went before the first block was on the disk.
            let lost = std::mem::take(&mut self.ledger).receipts;
            self.judge(fsync, off, &lost, problems);
            return Ok((None, lost.len()));
        }
        problems.extend(self.run.verify_unless_new(&datadir, self.ledger.receipts.is_empty())?);
        let mut node = self.run.spawn(&datadir, &["--txpool.nolocals"])?;
        let start = node.wait_for_answer(START_TIME_MAX)?;
        let mut client = Client::connect(node.endpoint())?;
        let check = self.ledger.check_all(&mut client)?;
        node.kill()?;
        self.ledger.forget(&check.lost);
        problems.extend(check.problems);
        self.judge(fsync, off, &check.lost, problems);
        Ok((Some(start), check.lost.len()))
    }

    /// Compares what is lost with what was promised.
    fn judge(&mut self, fsync: Fsync, off: Instant, lost: &[Served], problems: &mut Vec<String>) {
        for served in lost {
            let age = off.saturating_duration_since(served.at);
            match fsync {
                Fsync::Second if age <= LOSS_MAX => {
                    self.lost += 1;
                    self.oldest_loss = self.oldest_loss.max(age);
                }
                Fsync::Second | Fsync::Block => {
                    let (hash, block) = (served.hash, served.block_number);
                    problems
                        .push(format!("{hash} in block {block} was served {age:?} before the power went and is lost"));
                }
            }
        }
    }
}
