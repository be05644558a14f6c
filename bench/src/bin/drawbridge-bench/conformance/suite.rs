//! What a suite is: jobs that run cases, a filter over them, and a list of cases that are skipped by name.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bench::Failure;
use rayon::prelude::*;

use crate::conformance::stores::Stores;

/// Names the fork of cases that belong to none.
pub(crate) const NO_FORK: &str = "-";

/// Files that no sample takes, since they run for minutes: 2^32 rounds of BLAKE2F.
const NEVER_SAMPLED: [&str; 1] = ["CALLBlake2f_MaxRounds"];

/// Says whether a case passed, or why not.
pub(crate) type Checked = Result<(), String>;

/// Describes a suite of cases.
pub(crate) struct Suite {
    /// The name that the command line and the table use.
    pub(crate) name: &'static str,
    /// What is checked, and through which door of the product; a sentence without full stop.
    pub(crate) about: &'static str,
    /// The archive, without `.tar.zst`.
    pub(crate) archive: &'static str,
    /// What is left out.
    pub(crate) skips: &'static [Skip],
    /// Gives the jobs, always in the same order.
    pub(crate) jobs: fn(&Context) -> Result<Vec<Job>, Failure>,
}

/// Names cases that are left out, and why.
pub(crate) struct Skip {
    /// The fork, or `None` for all.
    pub(crate) fork: Option<&'static str>,
    /// A part of "job case", as [`Cases::run`] puts them together.
    pub(crate) part: &'static str,
    /// Why.
    pub(crate) reason: &'static str,
}

impl Skip {
    /// Tells whether a case is one of those.
    pub(crate) fn fits(&self, fork: &str, name: &str) -> bool {
        self.fork.is_none_or(|wanted| wanted == fork) && name.contains(self.part)
    }
}

/// Holds what jobs are made of.
pub(crate) struct Context {
    /// The unpacked archive.
    pub(crate) folder: PathBuf,
    /// Where cases get their stores.
    pub(crate) stores: Stores,
}

impl Context {
    /// Returns the path of a file below the archive's folder, for names of jobs.
    pub(crate) fn name_of(&self, path: &Path) -> String {
        path.strip_prefix(&self.folder).unwrap_or(path).with_extension("").to_string_lossy().into_owned()
    }
}

/// Runs the cases of one file.
pub(crate) type RunFile = fn(&Path, &mut Cases<'_>) -> Result<(), Failure>;

type Run = Box<dyn Fn(&mut Cases<'_>) -> Result<(), Failure> + Send + Sync>;

/// Runs cases, usually those of one file. Jobs run beside each other, the cases of a job one after the other.
pub(crate) struct Job {
    name: String,
    run: Run,
}

impl Job {
    /// Makes a job. An error that `run` returns, and a panic, count as a failed case.
    pub(crate) fn new(
        name: impl Into<String>,
        run: impl Fn(&mut Cases<'_>) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// Says which cases are run.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// Forks; empty: all.
    pub(crate) forks: Vec<String>,
    /// A part of the name.
    pub(crate) name: Option<String>,
    /// One job of every so many.
    pub(crate) sample: usize,
    /// Whether the lists of skips are passed over.
    pub(crate) with_skipped: bool,
}

impl Filter {
    /// Tells whether every case of a suite is run.
    pub(crate) fn is_whole(&self) -> bool {
        self.forks.is_empty() && self.name.is_none() && self.sample <= 1
    }
}

/// Says what a case came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    Skipped(&'static str),
}

/// Holds a case that was run or skipped.
#[derive(Clone, Debug)]
pub(crate) struct CaseResult {
    /// The fork as the vectors name it, or [`NO_FORK`].
    pub(crate) fork: String,
    /// Job and case.
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
}

/// Runs the cases of one job and keeps what they came to.
pub(crate) struct Cases<'a> {
    suite: &'a Suite,
    filter: &'a Filter,
    job: &'a str,
    results: Vec<CaseResult>,
}

impl Cases<'_> {
    /// Runs one case, unless the filter leaves it out or the suite skips it by name.
    pub(crate) fn run(&mut self, fork: &str, name: &str, check: impl FnOnce() -> Checked) {
        let name = if name.is_empty() { self.job.to_owned() } else { format!("{} {name}", self.job) };
        let wanted = (self.filter.forks.is_empty() || self.filter.forks.iter().any(|wanted| wanted == fork))
            && self.filter.name.as_ref().is_none_or(|part| name.contains(part.as_str()));
        if !wanted {
            return;
        }
        let outcome = match self.suite.skip(fork, &name) {
            Some(reason) if !self.filter.with_skipped => Outcome::Skipped(reason),
            _ => match check() {
                Ok(()) => Outcome::Passed,
                Err(reason) => Outcome::Failed(reason),
            },
        };
        self.results.push(CaseResult { fork: fork.to_owned(), name, outcome });
    }
}

/// Holds what a suite came to.
pub(crate) struct SuiteResult {
    pub(crate) cases: Vec<CaseResult>,
    /// Name and time of each job.
    pub(crate) jobs: Vec<(String, Duration)>,
    pub(crate) elapsed: Duration,
}

impl Suite {
    /// Runs the suite's jobs on all cores.
    ///
    /// # Errors
    /// The vectors cannot be read.
    pub(crate) fn run(&'static self, context: Context, filter: &Filter) -> Result<SuiteResult, Failure> {
        let begun = Instant::now();
        let mut jobs: Vec<Job> = (self.jobs)(&context)?.into_iter().step_by(filter.sample.max(1)).collect();
        if filter.sample > 1 {
            jobs.retain(|job| !NEVER_SAMPLED.iter().any(|part| job.name.contains(part)));
        }
        let run = || jobs.par_iter().with_max_len(1).map(|job| self.run_job(job, filter)).collect();
        // A pool of their own: a job that waits for a ledger's writer must not hold the threads that the writer hands work to.
        let done: Vec<_> =
            rayon::ThreadPoolBuilder::new().stack_size(crate::conformance::STACK_BYTES).build()?.install(run);
        let mut result = SuiteResult { cases: Vec::new(), jobs: Vec::new(), elapsed: begun.elapsed() };
        for (job, (cases, time)) in jobs.into_iter().zip(done) {
            result.cases.extend(cases);
            result.jobs.push((job.name, time));
        }
        Ok(result)
    }

    fn run_job(&self, job: &Job, filter: &Filter) -> (Vec<CaseResult>, Duration) {
        let begun = Instant::now();
        let mut cases = Cases { suite: self, filter, job: &job.name, results: Vec::new() };
        let ended = catch_unwind(AssertUnwindSafe(|| (job.run)(&mut cases)));
        let failure = match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(format!("panicked: {}", panic_text(&*panic))),
        };
        let mut results = cases.results;
        if let Some(reason) = failure {
            let outcome = Outcome::Failed(reason);
            results.push(CaseResult { fork: NO_FORK.to_owned(), name: job.name.clone(), outcome });
        }
        (results, begun.elapsed())
    }

    /// Returns why the suite leaves a case out, where it does.
    fn skip(&self, fork: &str, name: &str) -> Option<&'static str> {
        self.skips.iter().find(|skip| skip.fits(fork, name)).map(|skip| skip.reason)
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Passes where both values are equal.
///
/// # Errors
/// Says what differs and how.
pub(crate) fn expect_equal<T: PartialEq + std::fmt::Display>(what: &str, expected: &T, actual: &T) -> Checked {
    if expected == actual { Ok(()) } else { Err(format!("{what}: expected {expected}, got {actual}")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::conformance::stores::StoreKind;

    static SUITE: Suite = Suite {
        name: "made-up",
        about: "",
        archive: "",
        skips: &[Skip { fork: Some("Osaka"), part: "two", reason: "not yet" }],
        jobs: |_| Ok((0..4).map(job).collect()),
    };

    fn job(number: u32) -> Job {
        Job::new(format!("job{number}"), move |cases| {
            cases.run("Osaka", "one", || expect_equal("number", &0, &(number / 2)));
            cases.run("Osaka", "two", || Ok(()));
            cases.run("Prague", "two", || Ok(()));
            match number {
                2 => Err("no such file".into()),
                3 => panic!("out of cheese"),
                _ => Ok(()),
            }
        })
    }

    fn run(filter: &Filter) -> Vec<String> {
        let stores = Stores::new(StoreKind::Memory, None).unwrap();
        let result = SUITE.run(Context { folder: PathBuf::new(), stores }, filter).unwrap();
        let line = |case: &CaseResult| match &case.outcome {
            Outcome::Passed => format!("{} {}", case.fork, case.name),
            Outcome::Failed(reason) => format!("{} {} failed: {reason}", case.fork, case.name),
            Outcome::Skipped(reason) => format!("{} {} skipped: {reason}", case.fork, case.name),
        };
        result.cases.iter().map(line).collect()
    }

    #[test]
    fn failures_errors_and_panics_are_failed_cases() {
        let all = run(&Filter::default());
        assert_eq!(all.len(), 14);
        let failed: Vec<_> = all.iter().filter(|line| line.contains("failed")).collect();
        assert_eq!(
            failed,
            [
                "Osaka job2 one failed: number: expected 0, got 1",
                "- job2 failed: no such file",
                "Osaka job3 one failed: number: expected 0, got 1",
                "- job3 failed: panicked: out of cheese",
            ]
        );
    }

    #[test]
    fn filters_and_skips_choose_the_cases() {
        let named = Filter { name: Some("job1 two".to_owned()), ..Filter::default() };
        assert_eq!(run(&named)[..2], ["Osaka job1 two skipped: not yet", "Prague job1 two"]);
        let forced = Filter { forks: vec!["Osaka".to_owned()], sample: 4, with_skipped: true, ..Filter::default() };
        assert_eq!(run(&forced), ["Osaka job0 one", "Osaka job0 two"]);
    }
}
