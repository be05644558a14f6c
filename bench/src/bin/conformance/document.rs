//! The document of a whole run.

use std::fmt::Write as _;

use crate::report::Report;
use crate::suite::Filter;

/// How many cases of one reason are named one by one; of more, only the folders and numbers.
const NAMED_MAX: usize = 12;

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
    text.push_str("| suite | reason | cases | which |\n|---|---|---|---|\n");
    for suite in &report.suites {
        for (reason, cases) in suite.skipped() {
            let mut names: Vec<&str> =
                cases.iter().map(|case| case.name.split(' ').next().unwrap_or_default()).collect();
            names.dedup();
            let more = names.len().saturating_sub(NAMED_MAX);
            let mut which = names.iter().take(NAMED_MAX).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            if more > 0 {
                let _ = write!(which, " and {more} more files");
            }
            let _ = writeln!(text, "| `{}` | {reason} | {} | {which} |", suite.suite.name, cases.len());
        }
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
