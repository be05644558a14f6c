//! What a run came to, counted by suite and fork.

use std::collections::BTreeMap;
use std::time::Duration;

use bench::summary::{row, table};

use crate::conformance::spec::FORKS;
use crate::conformance::suite::{CaseResult, Outcome, Skip, Suite, SuiteResult};

/// Counts cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Skipped(_) => self.skipped += 1,
        }
    }

    fn add(mut self, other: &Self) -> Self {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self
    }
}

/// Holds a suite and what it came to.
pub(crate) struct SuiteReport {
    pub(crate) suite: &'static Suite,
    pub(crate) elapsed: Duration,
    cases: Vec<CaseResult>,
    jobs: Vec<(String, Duration)>,
}

/// Collects what suites came to.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) suites: Vec<SuiteReport>,
    pub(crate) elapsed: Duration,
}

impl SuiteReport {
    /// Counts the cases of each fork, oldest fork first, names that are none after them.
    pub(crate) fn forks(&self) -> Vec<(&str, Tally)> {
        let mut forks: BTreeMap<(usize, &str), Tally> = BTreeMap::new();
        for case in &self.cases {
            let place = FORKS.iter().position(|(name, _)| *name == case.fork).unwrap_or(FORKS.len());
            forks.entry((place, case.fork.as_str())).or_default().count(&case.outcome);
        }
        forks.into_iter().map(|((_, fork), tally)| (fork, tally)).collect()
    }

    /// Counts all cases.
    pub(crate) fn total(&self) -> Tally {
        self.forks().iter().fold(Tally::default(), |sum, (_, tally)| sum.add(tally))
    }

    /// Returns each reason for skipping with its cases, in the order of the suite's list.
    pub(crate) fn skipped(&self) -> Vec<(&'static str, Vec<&CaseResult>)> {
        let mut reasons: Vec<&'static str> = Vec::new();
        for skip in self.suite.skips {
            if !reasons.contains(&skip.reason) {
                reasons.push(skip.reason);
            }
        }
        let of = |reason: &'static str| self.cases.iter().filter(move |case| case.outcome == Outcome::Skipped(reason));
        let found = reasons.into_iter().map(|reason| (reason, of(reason).collect::<Vec<_>>()));
        found.filter(|(_, cases)| !cases.is_empty()).collect()
    }

    /// Returns the entries of the suite's list that no case fits.
    pub(crate) fn unused_skips(&self) -> impl Iterator<Item = &'static Skip> {
        self.suite.skips.iter().filter(move |skip| !self.cases.iter().any(|case| skip.fits(&case.fork, &case.name)))
    }

    fn failed(&self) -> impl Iterator<Item = (&CaseResult, &String)> {
        self.cases.iter().filter_map(|case| match &case.outcome {
            Outcome::Failed(reason) => Some((case, reason)),
            Outcome::Passed | Outcome::Skipped(_) => None,
        })
    }
}

impl Report {
    /// Adds what a suite came to.
    pub(crate) fn add(&mut self, suite: &'static Suite, result: SuiteResult) {
        let SuiteResult { cases, jobs, elapsed } = result;
        self.suites.push(SuiteReport { suite, elapsed, cases, jobs });
    }

    /// Notes how long the run took.
    pub(crate) fn finish(&mut self, elapsed: Duration) {
        self.elapsed = elapsed;
    }

    /// Returns a line about the suite that was added last.
    pub(crate) fn last_line(&self) -> String {
        self.suites.last().map_or_else(String::new, |suite| {
            let Tally { passed, failed, skipped } = suite.total();
            let time = suite.elapsed.as_secs_f64();
            format!("{}: {passed} passed, {failed} failed, {skipped} skipped in {time:.1} s", suite.suite.name)
        })
    }

    /// Returns the rows of the table: suite, fork, passed, failed, skipped.
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        let mut rows = vec![row([&"suite", &"fork", &"passed", &"failed", &"skipped"])];
        for report in &self.suites {
            for (fork, Tally { passed, failed, skipped }) in report.forks() {
                rows.push(row([&report.suite.name, &fork, &passed, &failed, &skipped]));
            }
        }
        let Tally { passed, failed, skipped } = self.total();
        rows.push(row([&"all", &"", &passed, &failed, &skipped]));
        rows
    }

    /// Returns the table as text.
    pub(crate) fn table(&self) -> String {
        table(&self.rows())
    }

    /// Counts everything.
    pub(crate) fn total(&self) -> Tally {
        self.suites.iter().fold(Tally::default(), |sum, suite| sum.add(&suite.total()))
    }

    /// Returns the number of cases that were run.
    pub(crate) fn cases(&self) -> usize {
        let Tally { passed, failed, .. } = self.total();
        passed + failed
    }

    /// Returns the number of cases that failed.
    pub(crate) fn failures(&self) -> usize {
        self.total().failed
    }

    /// Returns the run in a line.
    pub(crate) fn summary(&self) -> String {
        let Tally { passed, failed, skipped } = self.total();
        format!("{passed} passed, {failed} failed, {skipped} skipped in {:.0} s", self.elapsed.as_secs_f64())
    }

    /// Prints the jobs that took longest.
    pub(crate) fn print_slowest(&self, count: usize) {
        let mut jobs: Vec<_> =
            self.suites.iter().flat_map(|report| report.jobs.iter().map(move |job| (report, job))).collect();
        jobs.sort_by_key(|(_, (_, time))| std::cmp::Reverse(*time));
        for (report, (name, time)) in jobs.into_iter().take(count) {
            println!("{:8.2} s  {} {name}", time.as_secs_f64(), report.suite.name);
        }
    }

    /// Prints the entries of lists that no case fits: what they named passes now, or is gone.
    pub(crate) fn print_unused_skips(&self) {
        for report in &self.suites {
            for skip in report.unused_skips() {
                println!("no case of {} fits the skip {:?} {:?}", report.suite.name, skip.fork, skip.part);
            }
        }
    }

    /// Prints the first failures.
    pub(crate) fn print_failures(&self, count: usize) {
        let failures = self.suites.iter().flat_map(|report| report.failed().map(move |failed| (report, failed)));
        for (report, (case, reason)) in failures.take(count) {
            println!("FAILED {} {} {}: {reason}", report.suite.name, case.fork, case.name);
        }
    }
}
