//! I/O errors: calls on the database's files fail; the node goes on or ends with its reason, and what was served is there.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use bench::Failure;
use bench::client::Client;
use bench::process::NodeProcess;

use crate::crash::checks::Ledger;
use crate::crash::run::{Cycle, Ran, Run, START_TIME_MAX, remove, wait_until};
use crate::crash::shim::Shim;
use crate::crash::traffic::Traffic;

/// After how many cycles a new chain begins.
const ERA: u64 = 10;
/// How long the node is loaded, unless it ends before.
const LOAD: Duration = Duration::from_millis(900);

/// Input/output error, and no space left on the device, as Linux numbers them.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// Which calls fail with what, and the latest one that does; earlier ones belong to the start.
const PLANS: [(&str, i32, u64); 8] = [
    ("write", EIO, 800),
    ("write", ENOSPC, 800),
    ("sync", EIO, 30),
    ("read", EIO, 400),
    ("open", EIO, 120),
    ("open", ENOSPC, 120),
    ("rename", EIO, 5),
    ("truncate", EIO, 20),
];

/// What a run goes on with from cycle to cycle.
struct Errors<'a> {
    run: &'a mut Run,
    shim: Shim,
    traffic: Traffic,
    ledger: Ledger,
    served: usize,
}

/// Runs the cycles.
pub(crate) fn cycles(run: &mut Run, count: u64) -> Result<(), Failure> {
    let (shim, traffic) = (Shim::build(&run.folder)?, Traffic::new(run.seed)?);
    let mut errors = Errors { run, shim, traffic, ledger: Ledger::default(), served: 0 };
    for number in 1..=count {
        let begins = number % ERA == 1;
        if begins {
            remove(&errors.datadir())?;
            errors.ledger = Ledger::default();
            errors.traffic.forget();
        } else if number % ERA == 2 {
            errors.prepare()?;
        }
        errors.cycle(number, begins)?;
    }
    errors.run.figures = vec![("receipts served and found again", errors.served.to_string())];
    Ok(())
}

impl Errors<'_> {
    fn datadir(&self) -> PathBuf {
        self.run.folder.join("data")
    }

    /// Loads the node once without faults, so that there is something to read and to lose.
    fn prepare(&mut self) -> Result<(), Failure> {
        let mut node = self.run.spawn(&self.datadir(), &[])?;
        node.wait_for_answer(START_TIME_MAX)?;
        let running = self.traffic.begin(node.endpoint())?;
        std::thread::sleep(LOAD / 4);
        running.stop();
        let seen = running.end();
        node.stop()?;
        self.served += self.ledger.remember(seen.receipts, Vec::new());
        Ok(())
    }

    /// Runs a node whose calls fail by a plan, and looks what is left; the first one of a chain gets no load.
    fn cycle(&mut self, number: u64, begins: bool) -> Result<(), Failure> {
        let random = &mut self.run.random;
        let (call, error, latest) = PLANS[random.index(PLANS.len())];
        let nth = random.between(1, if begins { latest.min(150) } else { latest });
        let how = if random.below(3) == 0 { "on" } else { "once" };
        let plan = format!("{call}:{error}:{nth}:{how}");
        let fsync = if random.below(2) == 0 { "block" } else { "second" };
        let (datadir, log) = (self.datadir(), self.run.log());
        let environment = self.shim.failing(&datadir, &plan)?;
        remove(&log)?;
        let mut node = NodeProcess::drawbridge_in(&self.run.node, &datadir, &["--fsync", fsync], &environment, &log)?;
        let mut problems = Vec::new();
        let answers = node.wait_for_answer(START_TIME_MAX).is_ok();
        let running = if answers && !begins { self.traffic.begin(node.endpoint()).ok() } else { None };
        let mut served = 0;
        if let Some(running) = running {
            wait_until(LOAD, || Ok(node.ended()?.is_some()))?;
            running.stop();
            let seen = running.end();
            served = self.ledger.remember(seen.receipts, Vec::new());
            self.served += served;
            // What the node cannot read it answers with an error.
            problems.extend(seen.problems.into_iter().filter(|problem| !problem.starts_with("the load: error")));
        }
        let ended = node.kill_or_ended()?;
        problems.extend(judge(self.run, ended));
        let (start, checked) = self.look(&mut problems)?;
        let text = format!("{plan}, --fsync {fsync}, {served} receipts, {checked} checked");
        let outcome = match ended.and_then(|status| status.code()) {
            _ if !problems.is_empty() => "violation".to_owned(),
            None => "went on".to_owned(),
            Some(code) => format!("ended with {code}"),
        };
        let kind = format!("{call} {}", if error == EIO { "EIO" } else { "ENOSPC" });
        self.run.end_cycle(Cycle { number, kind, outcome, text, start: Some(start), problems });
        Ok(())
    }

    /// Opens the database without faults, and looks for what was served.
    fn look(&mut self, problems: &mut Vec<String>) -> Result<(Duration, usize), Failure> {
        let datadir = self.datadir();
        if datadir.join("chaindata").join("CURRENT").exists() {
            problems.extend(self.run.verify_unless_new(&datadir, self.ledger.receipts.is_empty())?);
        }
        let mut node = self.run.spawn(&datadir, &[])?;
        let start = node.wait_for_answer(START_TIME_MAX)?;
        let check = self.ledger.check_all(&mut Client::connect(node.endpoint())?)?;
        node.kill()?;
        let checked = check.checked;
        problems.extend(check.into_problems());
        Ok((start, checked))
    }
}

/// Says what is wrong with how the node ended by itself.
fn judge(run: &Run, ended: Option<ExitStatus>) -> Option<String> {
    let text = std::fs::read_to_string(run.log()).unwrap_or_default();
    match ended {
        None => text.contains("panicked").then(|| format!("it panicked: {text}")),
        Some(status) => Ran { code: status.code(), text }.refusal_problem(&[74, 75]),
    }
}
