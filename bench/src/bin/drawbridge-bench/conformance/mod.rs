//! `conformance`: runs published test vectors of Ethereum through the ledger's own doors, on all cores, and prints what passed.
//!
//! A suite reads one archive of vectors and gives jobs, mostly a file each; a job runs cases; a case passes, fails, or is skipped by
//! name with a reason. Exits with 1 where a case fails, and with 0 where there are no vectors, after saying so.

mod document;
mod report;
mod spec;
mod stores;
mod suite;
mod suites;
mod vectors;

use std::path::PathBuf;
use std::time::Instant;

use bench::Failure;
use clap::Args;

use report::Report;
use stores::{StoreKind, Stores};
use suite::{Context, Filter, Suite};
use vectors::Vectors;

/// Bytes of a worker's stack: cases nest calls a thousand deep, and a worker that waits takes up other work meanwhile.
const STACK_BYTES: usize = 64 << 20;
/// Failures that are printed whole; more tell nothing new.
const FAILURES_PRINTED: usize = 60;

/// Runs published test vectors of Ethereum and prints a table of what passed.
#[derive(Args)]
pub(crate) struct Flags {
    /// Suites to run, by name (`--list` names them); all where none is given
    #[arg(long, value_delimiter = ',')]
    suite: Vec<String>,
    /// Runs only cases of these forks, named as in the vectors (Frontier, EIP150, Osaka)
    #[arg(long, value_delimiter = ',')]
    fork: Vec<String>,
    /// Runs only cases whose path or name contains this text
    #[arg(long)]
    name: Option<String>,
    /// Runs one file of every so many
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    sample: u16,
    /// Where state is kept
    #[arg(long, value_enum, default_value_t = StoreKind::Rocksdb)]
    store: StoreKind,
    /// Where databases are made and removed again [default: /dev/shm, else the system's temporary folder]
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// Where archives are unpacked, once [default: $XDG_CACHE_HOME/drawbridge/vectors]
    #[arg(long)]
    cache: Option<PathBuf>,
    /// Writes the document of a whole run to this file
    #[arg(long, conflicts_with_all = ["suite", "fork", "name"])]
    document: Option<PathBuf>,
    /// Prints this many of the jobs that took longest
    #[arg(long, default_value_t = 0)]
    slowest: usize,
    /// Runs cases that are skipped by name too
    #[arg(long)]
    with_skipped: bool,
    /// Names the suites and exits
    #[arg(long)]
    list: bool,
}

/// Runs it; tells whether all was as it must be.
///
/// # Errors
/// A part of the run itself failed.
pub(crate) fn run(flags: &Flags) -> Result<bool, Failure> {
    if flags.list {
        for suite in suites::ALL {
            println!("{:16} {}", suite.name, suite.about);
        }
        return Ok(true);
    }
    evm_runtime::install_crypto();
    rayon::ThreadPoolBuilder::new().stack_size(STACK_BYTES).build_global()?;
    let vectors = Vectors::new(flags.cache.clone())?;
    if !vectors.any() {
        println!(
            "conformance: SKIPPED: no test vectors in {}; set DRAWBRIDGE_VECTORS to their folder",
            vectors.places()
        );
        return Ok(true);
    }
    let stores = Stores::new(flags.store, flags.scratch.clone())?;
    let filter = Filter {
        forks: flags.fork.clone(),
        name: flags.name.clone(),
        sample: usize::from(flags.sample),
        with_skipped: flags.with_skipped,
    };
    let begun = Instant::now();
    let mut report = Report::default();
    for suite in chosen(&flags.suite)? {
        let Some(folder) = vectors.unpacked(suite.archive)? else {
            println!("{}: SKIPPED: {}.tar.zst is not in {}", suite.name, suite.archive, vectors.places());
            continue;
        };
        report.add(suite, suite.run(Context { folder, stores: stores.clone() }, &filter)?);
        println!("{}", report.last_line());
    }
    report.finish(begun.elapsed());
    println!("\n{}", report.table());
    report.print_slowest(flags.slowest);
    report.print_failures(FAILURES_PRINTED);
    if flags.suite.is_empty() && filter.is_whole() {
        report.print_unused_skips();
    }
    if let Some(path) = &flags.document {
        std::fs::write(path, document::text(&report, &filter))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        println!("written: {}", path.display());
    }
    println!("conformance: {}", report.summary());
    if report.cases() == 0 {
        return Err("no case was run: the filters leave none".into());
    }
    Ok(report.failures() == 0)
}

/// Returns the suites with these names, or all.
fn chosen(names: &[String]) -> Result<Vec<&'static Suite>, Failure> {
    if names.is_empty() {
        return Ok(suites::ALL.iter().collect());
    }
    let find = |name: &String| {
        let known = || suites::ALL.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", ");
        suites::ALL
            .iter()
            .find(|suite| suite.name == *name)
            .ok_or_else(|| format!("no suite {name}; there are: {}", known()).into())
    };
    names.iter().map(find).collect()
}
