//! Full disks: a small file system fills up under a node, which goes on reading, and writes again when there is space.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use bench::Failure;
use bench::client::Client;
use bench::load::head_number;
use bench::process::NodeProcess;
use bench::summary::{median, millis};
use serde_json::json;

use crate::crash::checks::Ledger;
use crate::crash::run::{Cycle, Ran, Run, START_TIME_MAX, remove, wait_until};
use crate::crash::traffic::{Running, Traffic};

/// Bytes of the file system, for `mount`.
const DISK_SIZE: &str = "size=128m";
/// After how many cycles a new chain begins.
const ERA: u64 = 4;
/// How long the load lasts before the disk fills up.
const LOAD_MS: (u64, u64) = (200, 700);
/// Bytes that are left when the disk is filled from outside; the node takes the rest.
const LEFT_BYTES_MAX: u64 = 3 << 20;
/// How often everything is read on the full disk.
const READS: usize = 5;
/// How long the node may take to fill the rest, and to write again when there is space.
const PATIENCE: Duration = Duration::from_secs(180);

/// A journal of the pool that the disk did not take in full would bring back transactions with gaps between them.
const FLAGS: &[&str] = &["--txpool.nolocals"];

/// What the node says when the disk is full.
const SAYS_FULL: &str = "the disk is full";

/// A small file system, unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf) -> Result<Self, String> {
        std::fs::create_dir_all(&path).map_err(|error| error.to_string())?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", DISK_SIZE, "tmpfs"]).arg(&path).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self(path)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Fills the disk but for `left` bytes.
    fn fill(&self, left: u64) -> std::io::Result<()> {
        let mut file = File::create(self.ballast())?;
        let zeros = vec![0; 1 << 16];
        while file.write_all(&zeros).is_ok() {}
        let size = file.metadata()?.len();
        file.set_len(size.saturating_sub(left))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Where it is busy the temporary folder's removal tells.
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

/// How a cycle ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// There is space again while the node runs.
    SpaceAgain,
    /// The node is killed while the disk is full, and started.
    Killed,
    /// The node is stopped while the disk is full, and started.
    Stopped,
}

struct Full<'a> {
    run: &'a mut Run,
    disk: SmallDisk,
    traffic: Traffic,
    ledger: Ledger,
    served: usize,
    resumed: Vec<Duration>,
}

/// Runs the cycles, or says why they are skipped.
pub(crate) fn cycles(run: &mut Run, count: u64) -> Result<(), Failure> {
    let disk = match SmallDisk::mount(run.folder.join("disk")) {
        Ok(disk) => disk,
        Err(problem) => {
            println!("skipped: no small file system can be mounted here, which takes root: {problem}");
            return Ok(());
        }
    };
    let mut traffic = Traffic::new(run.seed)?;
    traffic.patience = PATIENCE;
    let mut full = Full { run, disk, traffic, ledger: Ledger::default(), served: 0, resumed: Vec::new() };
    for number in 1..=count {
        if number % ERA == 1 {
            remove(&full.datadir())?;
            full.ledger = Ledger::default();
            full.traffic.forget();
        }
        let end = match number % 4 {
            1 | 3 => End::SpaceAgain,
            2 => End::Killed,
            _ => End::Stopped,
        };
        full.cycle(number, end)?;
    }
    full.run.figures = vec![
        ("receipts served and found again", full.served.to_string()),
        ("ms median until blocks are written again", format!("{:.0}", millis(median(&full.resumed)))),
    ];
    Ok(())
}

impl Full<'_> {
    fn datadir(&self) -> PathBuf {
        self.disk.0.join("data")
    }

    fn log_text(&self) -> String {
        std::fs::read_to_string(self.run.log()).unwrap_or_default()
    }

    fn cycle(&mut self, number: u64, end: End) -> Result<(), Failure> {
        let mut problems = Vec::new();
        remove(&self.run.log())?;
        let mut node = self.run.spawn(&self.datadir(), FLAGS)?;
        node.wait_for_answer(START_TIME_MAX)?;
        let running = self.traffic.begin(node.endpoint())?;
        self.run.sleep_between(LOAD_MS);
        self.disk.fill(self.run.random.below(LEFT_BYTES_MAX))?;
        let log = self.run.log();
        let is_full = || Ok(std::fs::read_to_string(&log).unwrap_or_default().contains(SAYS_FULL));
        if !wait_until(PATIENCE, is_full)? {
            problems.push("the node does not say that the disk is full".to_owned());
        }
        let head = self.read_while_full(&mut node, &mut problems)?;
        let outcome = match end {
            End::SpaceAgain => self.space_again(node, running, head, &mut problems)?,
            End::Killed | End::Stopped => self.end_while_full(node, running, end, &mut problems)?,
        };
        remove(&self.disk.ballast())?;
        problems.extend(self.run.verify(&self.datadir())?);
        let mut node = self.run.spawn(&self.datadir(), FLAGS)?;
        let start = node.wait_for_answer(START_TIME_MAX)?;
        let check = self.ledger.check_all(&mut Client::connect(node.endpoint())?)?;
        let text = format!("full at block {head}, {} receipts checked", check.checked);
        problems.extend(check.into_problems());
        node.kill()?;
        let outcome = if problems.is_empty() { outcome } else { "violation".to_owned() };
        self.run.end_cycle(Cycle { number, kind: format!("{end:?}"), outcome, text, start: Some(start), problems });
        Ok(())
    }

    /// Reads while nothing can be written; the head must stand. Returns its number.
    fn read_while_full(&mut self, node: &mut NodeProcess, problems: &mut Vec<String>) -> Result<u64, Failure> {
        let mut client = Client::connect(node.endpoint())?;
        let head = head_number(&mut client)?;
        for _ in 0..READS {
            problems.extend(self.ledger.check_recent(&mut client, &mut self.run.random)?.into_problems());
            let block = client.call("eth_getBlockByNumber", json!(["latest", true]))?;
            let miner = block.get("miner").cloned().unwrap_or_default();
            client.call("eth_getBalance", json!([miner, "latest"]))?;
            client.call("eth_call", json!([{"to": miner}, "latest"]))?;
        }
        let later = head_number(&mut client)?;
        if later != head {
            problems.push(format!("the head moved from {head} to {later} on a full disk"));
        }
        if let Some(status) = node.ended()? {
            problems.push(format!("the node ended: {status}"));
        }
        Ok(head)
    }

    /// Gives the space back while the node runs, and waits for the next block.
    fn space_again(
        &mut self,
        node: NodeProcess,
        running: Running,
        head: u64,
        problems: &mut Vec<String>,
    ) -> Result<String, Failure> {
        remove(&self.disk.ballast())?;
        let begun = Instant::now();
        let mut client = Client::connect(node.endpoint())?;
        if wait_until(PATIENCE, || Ok(head_number(&mut client)? > head))? {
            self.resumed.push(begun.elapsed());
        } else {
            problems.push(format!("no block is written {PATIENCE:?} after there is space again"));
        }
        self.run.sleep_between(LOAD_MS);
        running.stop();
        let seen = running.end();
        problems.extend(seen.problems);
        self.served += self.ledger.remember(seen.receipts, seen.acknowledged);
        problems.extend(self.ledger.check_acknowledged(&mut client)?);
        drop(client);
        // The node looks once a second.
        let says_so = wait_until(PATIENCE, || Ok(self.log_text().contains("there is space on the disk again")))?;
        node.stop()?;
        if !says_so {
            problems.push("the node does not say that there is space again".to_owned());
        }
        Ok("wrote again".to_owned())
    }

    /// Ends the node while the disk is full, and starts it: it reads, or says what is missing.
    fn end_while_full(
        &mut self,
        node: NodeProcess,
        running: Running,
        end: End,
        problems: &mut Vec<String>,
    ) -> Result<String, Failure> {
        running.stop();
        if end == End::Killed {
            node.kill()?;
        } else if let Err(error) = node.stop() {
            // What is not written cannot be brought to the disk, and that is said.
            problems.extend((!error.to_string().contains("74")).then(|| error.to_string()));
        }
        let seen = running.end();
        problems.extend(seen.problems);
        self.served += self.ledger.remember(seen.receipts, Vec::new());
        let before = self.log_text().len();
        let mut node = self.run.spawn(&self.datadir(), FLAGS)?;
        let outcome = match node.wait_for_answer(START_TIME_MAX) {
            Ok(_) => {
                let mut client = Client::connect(node.endpoint())?;
                problems.extend(self.ledger.check_all(&mut client)?.into_problems());
                "started on the full disk"
            }
            Err(_) => {
                let code = node.ended()?.and_then(|status| status.code());
                let text = self.log_text().get(before..).unwrap_or_default().to_owned();
                problems.extend(Ran { code, text }.refusal_problem(&[74]));
                "refused to start: 74"
            }
        };
        node.kill_or_ended()?;
        Ok(format!("{end:?}, {outcome}").to_lowercase())
    }
}
