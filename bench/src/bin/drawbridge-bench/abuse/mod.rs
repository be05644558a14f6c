//! `abuse`: does to a node's JSON-RPC what hostile or careless clients do, and checks that others are still served: many idle
//! connections, slow requests, clients that hardly read, malformed requests, and calls that take all the gas they may while blocks are
//! imported. Exits with 1 where a promise is broken.
//!
//! What depends on the machine's speed is demanded with `--strict` alone.

mod chain_file;
mod crowd;
mod malformed;
mod node;
mod others;
mod storm;

use std::path::PathBuf;
use std::time::Duration;

use bench::Failure;
use bench::summary::{row, table};
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use node::Target;

/// Abuses a node's JSON-RPC and checks that others are still served.
#[derive(Args)]
pub(crate) struct Flags {
    /// The drawbridge program
    #[arg(long)]
    node: PathBuf,
    /// Connections that ask nothing
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Connections that send a byte of their request a second
    #[arg(long, default_value_t = 5_000)]
    slow: usize,
    /// Connections that read a byte of their answer a second
    #[arg(long, default_value_t = 1_000)]
    readers: usize,
    /// How long slow requests and slow readers last, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Malformed requests
    #[arg(long, default_value_t = 1_000_000)]
    malformed: u64,
    /// Calls that take all the gas they may, a second, while blocks are imported
    #[arg(long, default_value_t = 150)]
    calls: u32,
    /// Blocks that are imported meanwhile, of 200 transfers each
    #[arg(long, default_value_t = 400)]
    blocks: u64,
    /// Names the malformed requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Demand what depends on the machine's speed too: 50 ms for others, imports at most a tenth slower
    #[arg(long)]
    strict: bool,
}

/// What one abuse came to.
pub(crate) struct Finding {
    what: String,
    /// What was measured, with its limit.
    figures: String,
    /// What was promised and not kept.
    broken: Vec<String>,
}

impl Finding {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), figures: String::new(), broken: Vec::new() }
    }

    /// Adds a figure.
    fn tell(&mut self, figure: impl std::fmt::Display) {
        if !self.figures.is_empty() {
            self.figures.push_str(", ");
        }
        self.figures.push_str(&figure.to_string());
    }

    /// Adds a promise: it is broken where `is_kept` is false.
    fn promise(&mut self, is_kept: bool, what: impl Into<String>) {
        if !is_kept {
            self.broken.push(what.into());
        }
    }
}

/// Runs it; tells whether all was as it must be.
///
/// # Errors
/// A part of the run itself failed.
pub(crate) fn run(flags: &Flags) -> Result<bool, Failure> {
    consensus::crypto::install();
    let most = flags.idle.max(flags.slow).max(flags.readers);
    raise_open_files(most)?;
    let time = Duration::from_secs(flags.seconds);
    let mut target = Target::start(&flags.node)?;
    let mut findings = vec![
        crowd::idle(&mut target, flags.idle, flags.strict)?,
        crowd::slow_requests(&mut target, flags.slow, time, flags.strict)?,
        malformed::requests(&mut target, flags.malformed, flags.seed)?,
        crowd::slow_readers(&mut target, flags.readers, time)?,
    ];
    target.stop()?;
    findings.push(storm::imports(&flags.node, flags.calls, flags.blocks, flags.strict)?);
    let mut rows = vec![row([&"abuse", &"came to", &"kept"])];
    for finding in &findings {
        rows.push(row([&finding.what, &finding.figures, &if finding.broken.is_empty() { "yes" } else { "NO" }]));
    }
    println!("{}", table(&rows));
    let broken: Vec<&String> = findings.iter().flat_map(|finding| &finding.broken).collect();
    for promise in &broken {
        println!("broken: {promise}");
    }
    println!("abuse: seed {}, {} promises broken", flags.seed, broken.len());
    Ok(broken.is_empty())
}

/// Lets this process, and the nodes that it starts, open as many files as the system allows.
fn raise_open_files(connections: usize) -> Result<(), Failure> {
    const OTHER_FILES: u64 = 200;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let wanted = u64::try_from(connections)?.saturating_add(OTHER_FILES);
    match limit.maximum {
        Some(most) if most < wanted => Err(format!(
            "{connections} connections need {wanted} open files, and the system allows {most}: raise the hard limit (ulimit -Hn)"
        )
        .into()),
        _ => Ok(()),
    }
}
