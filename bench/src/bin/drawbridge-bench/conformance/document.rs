//! The document of a whole run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::conformance::report::Report;
use crate::conformance::suite::{CaseResult, Filter};

/// Cases of one reason are named by their files up to this many; of more, by their folders.
const CASES_NAMED_MAX: usize = 1000;

/// Returns the document as Markdown.
pub(crate) fn text(report: &Report, filter: &Filter) -> String {
    let mut text = String::from(HEAD);
    if filter.sample > 1 {
        let _ = writeln!(text, "This is a sample: one file of every {}.\n", filter.sample);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let _ = writeln!(text, "Of the run that wrote this page, on {cores} cores: {}.\n", report.summary());
    text.push_str("## Suites\n\n| suite | what is checked | cases | seconds |\n|---|---|---|---|\n");
    for suite in &report.suites {
        let total = suite.total();
        let cases = total.passed + total.failed + total.skipped;
        let time = suite.elapsed.as_secs_f64();
        let _ = writeln!(text, "| `{}` | {} | {cases} | {time:.1} |", suite.suite.name, suite.suite.about);
    }
    text.push_str("\n## Results\n\n");
    for (index, row) in report.rows().iter().enumerate() {
        let _ = writeln!(text, "| {} |", row.join(" | "));
        if index == 0 {
            text.push_str("|---|---|---|---|---|\n");
        }
    }
    text.push_str("\n## What is skipped, and why\n\n");
    write_skips(&mut text, report);
    text
}

fn write_skips(text: &mut String, report: &Report) {
    text.push_str("| suite | reason | cases |\n|---|---|---|\n");
    for suite in &report.suites {
        for (reason, cases) in suite.skipped() {
            let _ = writeln!(text, "| `{}` | {reason} | {} |", suite.suite.name, cases.len());
        }
    }
    text.push_str("\nOne by one, with the forks:\n\n");
    for suite in &report.suites {
        for (reason, cases) in suite.skipped() {
            let _ = writeln!(text, "<details><summary><code>{}</code>: {reason}</summary>\n", suite.suite.name);
            write_names(text, &cases);
            text.push_str("\n</details>\n\n");
        }
    }
}

/// Writes each file with its cases' forks; of many files of one folder and fork only the folder.
fn write_names(text: &mut String, cases: &[&CaseResult]) {
    let mut files: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    let is_long = cases.len() > CASES_NAMED_MAX;
    for case in cases {
        let file = case.name.split(' ').next().unwrap_or_default();
        let place = if is_long { file.rsplit_once('/').map_or(file, |(folder, _)| folder) } else { file };
        *files.entry(place).or_default().entry(&case.fork).or_default() += 1;
    }
    for (file, forks) in files {
        let forks = forks.iter().map(|(fork, count)| format!("{fork} {count}")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "- `{file}`: {forks}");
    }
}

const HEAD: &str = "\
# Conformance

Test vectors that others published for Ethereum's clients, run through Drawbridge's own doors. `make conformance` runs all of them and
writes this page; it fails where any case fails. Cases are left out by name alone, each with its reason, below.

The vectors are not part of this repository. They are looked for in the folder that `DRAWBRIDGE_VECTORS` names, then in
`../shared/conformance` beside the checkout, as archives or unpacked folders; where there are none the program says that it skipped.

    make conformance                                        # everything
    make conformance ARGS='--suite state --fork Osaka'      # one suite, one fork
    make conformance ARGS='--name sstore_combinations'      # by a part of the path or name
    make conformance ARGS='--sample 16'                     # one file of every sixteen, as `make test` does
    make conformance ARGS=--help                            # all flags

";
