//! `crash`: starts a development node, loads it, kills it at a random moment, starts it again on the same data, and checks that
//! nothing that was served is lost. Exits with 1 where something is.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "telling what happened is what this program is for")]

mod checks;
mod import;
mod traffic;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bench::Failure;
use bench::client::Client;
use bench::process::{NodeProcess, path_text, run};
use bench::random::Random;
use bench::summary::{millis, row, table};
use clap::Parser;

use checks::Ledger;
use traffic::Traffic;

/// A node answers within this time after its start, whatever happened before.
const START_TIME_MAX: Duration = Duration::from_secs(2);
/// Where a node has not answered after this time it is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// When the node is killed, in milliseconds after the load began.
const KILL_AFTER_MS: (u64, u64) = (50, 1500);
/// When a node is killed that is still starting, in milliseconds; one cycle in four begins with that.
const KILL_START_AFTER_MS: (u64, u64) = (0, 60);
/// A node that is told to stop is gone within this time.
const STOP_TIME_MAX: Duration = Duration::from_secs(2);

/// Kills a node under load, again and again, and checks what is left.
#[derive(Parser)]
struct Flags {
    /// The drawbridge program
    #[arg(long)]
    node: PathBuf,
    /// How often the node is killed
    #[arg(long, default_value_t = 20)]
    cycles: u64,
    /// Names the load and the moments of the kills
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the data directory is made; by default in a temporary folder that is removed at the end
    #[arg(long)]
    dir: Option<PathBuf>,
    /// `drawbridge db verify` runs after every so many kills, and at the end
    #[arg(long, default_value_t = 5)]
    verify_every: u64,
    /// How often an import of the chain into a second data directory is killed
    #[arg(long, default_value_t = 3)]
    import_kills: u64,
}

/// What a run works with.
struct Run {
    node: PathBuf,
    folder: PathBuf,
    random: Random,
    ledger: Ledger,
    violations: Vec<String>,
    rows: Vec<Vec<String>>,
    slowest_start: Duration,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    match all(&flags) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("crash: seed {}: {error}", flags.seed);
            ExitCode::FAILURE
        }
    }
}

fn all(flags: &Flags) -> Result<bool, Failure> {
    consensus::crypto::install();
    let temporary = tempfile::tempdir()?;
    let folder = flags.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;
    let mut run = Run {
        node: flags.node.clone(),
        folder,
        random: Random::new(flags.seed),
        ledger: Ledger::default(),
        violations: Vec::new(),
        rows: vec![row([&"cycle", &"killed", &"start ms", &"head", &"receipts", &"checked", &"verify ms"])],
        slowest_start: Duration::ZERO,
    };
    let result = run.cycles(flags);
    println!("{}", table(&run.rows));
    if let Err(error) = result {
        run.violations.push(error.to_string());
    }
    for violation in &run.violations {
        println!("violation: {violation}");
    }
    if !run.violations.is_empty() {
        run.show_log();
    }
    println!(
        "crash: {} cycles, seed {}: {} lost, {} receipts, {} acknowledged, slowest start {:.0} ms, {} violations",
        flags.cycles,
        flags.seed,
        run.ledger.lost,
        run.ledger.receipts.len(),
        run.ledger.acknowledged,
        millis(run.slowest_start),
        run.violations.len(),
    );
    Ok(run.violations.is_empty())
}

impl Run {
    fn datadir(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("node.log")
    }

    fn cycles(&mut self, flags: &Flags) -> Result<(), Failure> {
        let mut traffic = Traffic::new(flags.seed)?;
        for cycle in 1..=flags.cycles {
            self.cycle(cycle, &mut traffic, cycle % flags.verify_every.max(1) == 0)?;
        }
        self.last_look()?;
        if flags.import_kills > 0 {
            import::kill_imports(self, flags.import_kills)?;
        }
        Ok(())
    }

    /// Starts the node, checks it, loads it, kills it.
    fn cycle(&mut self, cycle: u64, traffic: &mut Traffic, verify: bool) -> Result<(), Failure> {
        let killed_at_start = cycle > 1 && self.random.below(4) == 0;
        if killed_at_start {
            let node = self.spawn()?;
            self.sleep_between(KILL_START_AFTER_MS);
            node.kill()?;
        }
        let mut node = self.spawn()?;
        let start = self.timed_start(cycle, &mut node)?;
        let mut client = Client::connect(node.endpoint())?;
        let check = self.ledger.check_recent(&mut client, &mut self.random)?;
        self.note(cycle, check.problems);

        let running = traffic.begin(node.endpoint())?;
        let after = self.sleep_between(KILL_AFTER_MS);
        node.kill()?;
        let seen = running.end();
        let served = self.ledger.remember(seen.receipts, seen.acknowledged);
        self.note(cycle, seen.problems);
        let verified = if verify { Some(self.verify(cycle)?) } else { None };
        let killed = format!("{}{after} ms", if killed_at_start { "start, " } else { "" });
        let verified = verified.map_or_else(|| "-".to_owned(), |time| format!("{:.0}", millis(time)));
        self.rows.push(row([
            &cycle,
            &killed,
            &format!("{:.0}", millis(start)),
            &check.head,
            &served,
            &check.checked,
            &verified,
        ]));
        Ok(())
    }

    /// Starts the node once more, looks for every receipt that was ever served, stops it, and verifies the database.
    fn last_look(&mut self) -> Result<(), Failure> {
        let mut node = self.spawn()?;
        let start = self.timed_start(0, &mut node)?;
        let mut client = Client::connect(node.endpoint())?;
        let check = self.ledger.check_all(&mut client)?;
        self.note(0, check.problems);
        drop(client);
        let stopped = node.stop()?;
        if stopped > STOP_TIME_MAX {
            self.violations.push(format!("the node took {:.0} ms to stop", millis(stopped)));
        }
        let verified = self.verify(0)?;
        let cells = [format!("{:.0}", millis(start)), format!("{:.0}", millis(verified))];
        self.rows.push(row([&"end", &"-", &cells[0], &check.head, &"-", &check.checked, &cells[1]]));
        Ok(())
    }

    fn spawn(&self) -> Result<NodeProcess, Failure> {
        NodeProcess::drawbridge(&self.node, &self.datadir(), &self.log())
    }

    fn timed_start(&mut self, cycle: u64, node: &mut NodeProcess) -> Result<Duration, Failure> {
        let start = node.wait_for_answer(PATIENCE)?;
        self.slowest_start = self.slowest_start.max(start);
        if start > START_TIME_MAX {
            self.note(cycle, vec![format!("the first answer came after {:.0} ms", millis(start))]);
        }
        Ok(start)
    }

    /// Runs `drawbridge db verify` on what the killed node left, and returns the time that took.
    fn verify(&mut self, cycle: u64) -> Result<Duration, Failure> {
        let begun = Instant::now();
        let datadir = self.datadir();
        let arguments = ["db", "verify", "--datadir", path_text(&datadir)?];
        let status = run(&self.node, &arguments, &self.log())?;
        if !status.success() {
            self.note(cycle, vec![format!("db verify: {status}")]);
        }
        Ok(begun.elapsed())
    }

    fn note(&mut self, cycle: u64, problems: Vec<String>) {
        self.violations.extend(problems.into_iter().map(|problem| format!("cycle {cycle}: {problem}")));
    }

    /// Waits a random time between two bounds in milliseconds, and returns it. The random moment is the point: nothing is awaited.
    fn sleep_between(&mut self, (first, last): (u64, u64)) -> u64 {
        let time = self.random.between(first, last);
        std::thread::sleep(Duration::from_millis(time));
        time
    }

    fn show_log(&self) {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        eprintln!("the end of the nodes' output:");
        lines.iter().skip(lines.len().saturating_sub(30)).for_each(|line| eprintln!("  {line}"));
    }
}
