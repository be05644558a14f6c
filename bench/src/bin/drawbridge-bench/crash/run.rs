//! What all faults share: the program, the folder, the seed, and what was found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bench::Failure;
use bench::process::{KilledCommand, NodeProcess, run_and_kill};
use bench::random::Random;
use bench::summary::{millis, row, table};

/// A node that has not answered after this time is given up, which is a violation.
pub(crate) const START_TIME_MAX: Duration = Duration::from_secs(20);

/// Names and values for a process's environment.
pub(crate) type Environment = Vec<(String, String)>;

/// What a run works with, and what it found.
pub(crate) struct Run {
    pub(crate) node: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) seed: u64,
    pub(crate) random: Random,
    /// Figures that the summary's last line names.
    pub(crate) figures: Vec<(&'static str, String)>,
    violations: Vec<String>,
    kinds: BTreeMap<String, Kind>,
}

/// What happened in all cycles of one kind.
#[derive(Default)]
struct Kind {
    cycles: usize,
    starts: Vec<Duration>,
    violations: usize,
    outcomes: BTreeMap<String, usize>,
}

/// What happened in one cycle.
pub(crate) struct Cycle {
    pub(crate) number: u64,
    pub(crate) kind: String,
    /// What the cycle came to, in a word or two that are counted.
    pub(crate) outcome: String,
    /// The rest of the line.
    pub(crate) text: String,
    /// How long the node took to answer after the fault.
    pub(crate) start: Option<Duration>,
    pub(crate) problems: Vec<String>,
}

/// What a command printed, and how it ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

impl Ran {
    /// Says what is wrong with a program that ended by itself with an error: it must have one of `codes`, a cause and a remedy.
    pub(crate) fn refusal_problem(&self, codes: &[i32]) -> Option<String> {
        let has_line =
            |begin: &str| self.text.lines().any(|line| line.starts_with(begin) && line.len() > begin.len() + 5);
        if self.text.contains("panicked") {
            return Some(format!("it panicked: {}", self.text));
        }
        if !self.code.is_some_and(|code| codes.contains(&code)) {
            return Some(format!("exit code {:?}: {}", self.code, self.text));
        }
        (!has_line("error: ") || !has_line("remedy: ")).then(|| format!("no cause or no remedy: {}", self.text))
    }

    /// Returns the words after `name` at the beginning of a line.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
    }
}

impl Run {
    pub(crate) fn new(node: PathBuf, folder: PathBuf, seed: u64) -> Self {
        let random = Random::new(seed);
        let (figures, violations) = (Vec::new(), Vec::new());
        Self { node, folder, seed, random, figures, violations, kinds: BTreeMap::new() }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("node.log")
    }

    /// Prints the line of a cycle, and counts it.
    pub(crate) fn end_cycle(&mut self, cycle: Cycle) {
        let start = cycle.start.map_or_else(String::new, |start| format!(", start {:.0} ms", millis(start)));
        println!("cycle {:>3}  {:<18} {}{start}; {}", cycle.number, cycle.kind, cycle.text, cycle.outcome);
        let kind = self.kinds.entry(cycle.kind).or_default();
        kind.cycles += 1;
        kind.starts.extend(cycle.start);
        kind.violations += cycle.problems.len();
        *kind.outcomes.entry(cycle.outcome).or_default() += 1;
        for problem in cycle.problems {
            self.violate(format!("cycle {}: {problem}", cycle.number));
        }
    }

    /// Notes what must not be.
    pub(crate) fn violate(&mut self, problem: String) {
        println!("violation: {problem}");
        self.violations.push(problem);
    }

    /// Prints the summary, and tells whether nothing was violated.
    pub(crate) fn end(&self, what: &str) -> bool {
        let mut rows = vec![row([&"kind", &"cycles", &"median start ms", &"slowest", &"violations", &"outcomes"])];
        for (name, kind) in &self.kinds {
            let starts =
                |time: Duration| if kind.starts.is_empty() { "-".to_owned() } else { format!("{:.0}", millis(time)) };
            let median = starts(bench::summary::median(&kind.starts));
            let slowest = starts(kind.starts.iter().max().copied().unwrap_or_default());
            let outcomes: Vec<_> = kind.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
            rows.push(row([name, &kind.cycles, &median, &slowest, &kind.violations, &outcomes.join(", ")]));
        }
        println!("\n{}", table(&rows));
        self.violations.iter().for_each(|violation| println!("violation: {violation}"));
        if !self.violations.is_empty() {
            self.show_log();
        }
        let cycles: usize = self.kinds.values().map(|kind| kind.cycles).sum();
        let figures: String = self.figures.iter().map(|(name, figure)| format!("{figure} {name}, ")).collect();
        println!("crash {what}: {cycles} cycles, seed {}: {figures}{} violations", self.seed, self.violations.len());
        self.violations.is_empty()
    }

    fn show_log(&self) {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        eprintln!("the end of the nodes' output:");
        lines.iter().skip(lines.len().saturating_sub(30)).for_each(|line| eprintln!("  {line}"));
    }

    /// Sleeps for a random time, and returns the milliseconds.
    pub(crate) fn sleep_between(&mut self, (least, most): (u64, u64)) -> u64 {
        let time = self.random.between(least, most);
        std::thread::sleep(Duration::from_millis(time));
        time
    }

    pub(crate) fn spawn(&self, datadir: &Path, flags: &[&str]) -> Result<NodeProcess, Failure> {
        NodeProcess::drawbridge_in(&self.node, datadir, flags, &[], &self.log())
    }

    /// Runs a command of the program to its end.
    pub(crate) fn command(&self, arguments: &[&str]) -> Result<Ran, Failure> {
        let output = Command::new(&self.node).args(arguments).stdin(Stdio::null()).output()?;
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Ok(Ran { code: output.status.code(), text })
    }

    /// Runs a command that must succeed.
    pub(crate) fn must(&self, arguments: &[&str]) -> Result<Ran, Failure> {
        let ran = self.command(arguments)?;
        if ran.code == Some(0) {
            return Ok(ran);
        }
        Err(format!("drawbridge {}: exit code {:?}: {}", arguments.join(" "), ran.code, ran.text).into())
    }

    /// Runs a command and kills it at a random moment; says when, and whether it was done.
    pub(crate) fn killed_command(
        &mut self,
        arguments: &[&str],
        after_ms: (u64, u64),
        environment: &Environment,
    ) -> Result<(String, KilledCommand), Failure> {
        let after = self.random.between(after_ms.0, after_ms.1);
        let time = Duration::from_millis(after);
        let killed = run_and_kill(&self.node, arguments, environment, &self.log(), time)?;
        let done = if matches!(killed, KilledCommand::Ended(_)) { " (was done)" } else { "" };
        let words: Vec<_> = arguments.iter().take_while(|word| !word.starts_with("--")).copied().collect();
        Ok((format!("{} at {after} ms{done}", words.join(" ")), killed))
    }

    /// Says what `db verify` finds wrong in a data directory.
    pub(crate) fn verify(&self, datadir: &Path) -> Result<Vec<String>, Failure> {
        let ran = self.command(&["db", "verify", "--datadir", bench::process::path_text(datadir)?])?;
        let whole = ran.code == Some(0) && ran.text.contains("the database is whole");
        Ok(if whole { Vec::new() } else { vec![format!("db verify: exit code {:?}: {}", ran.code, ran.text)] })
    }

    /// The same of a database whose first write may have failed, as nothing was served from it: the next start makes it anew.
    pub(crate) fn verify_unless_new(&self, datadir: &Path, nothing_served: bool) -> Result<Vec<String>, Failure> {
        let found = self.verify(datadir)?;
        let is_new = nothing_served && found.iter().any(|text| text.contains("has no head"));
        Ok(if is_new { Vec::new() } else { found })
    }
}

/// Removes what is there, file or directory.
pub(crate) fn remove(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return std::fs::remove_dir_all(path);
    }
    if path.exists() { std::fs::remove_file(path) } else { Ok(()) }
}

/// Copies the files of a directory, and of those below it.
pub(crate) fn copy_directory(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Waits until `holds`, and tells whether it did in time.
pub(crate) fn wait_until(
    time_max: Duration,
    mut holds: impl FnMut() -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let begun = Instant::now();
    while !holds()? {
        if begun.elapsed() > time_max {
            return Ok(false);
        }
        // What happens in another process tells nobody here.
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}
