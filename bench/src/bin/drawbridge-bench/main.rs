//! The measuring and proving programs of Drawbridge, each a subcommand.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "telling what was seen is what these programs are for")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod abuse;
mod compare;
mod conformance;
mod crash;
mod differential;
mod hostile_peers;
mod load;
mod measure;
mod meeting;
mod partitions;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The node's own allocator: what is measured is what runs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Drawbridge and proves its promises, on nodes that it starts itself.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    program: Program,
}

#[derive(Subcommand)]
enum Program {
    /// Sends signed transfers to a node and measures them from the first submission to the last receipt
    Load(load::Flags),
    /// Loads this node and Anvil with the same transactions and prints both rates; or reads of both
    Compare(compare::Flags),
    /// Measures import, the index, state root, flat read, seal search and sender recovery
    Measure(measure::Flags),
    /// Brings faults upon a node, again and again, and checks what is left
    Crash(crash::Flags),
    /// Runs random transactions on random contracts on two nodes and compares receipts, state and traces
    Differential(differential::Flags),
    /// Runs published test vectors of Ethereum and prints a table of what passed
    Conformance(conformance::Flags),
    /// Cuts, slows and kills a network of five nodes, and checks what they agree on
    Partitions(partitions::Flags),
    /// Measures nodes that meet: catching up, and full blocks through a line of nodes
    Meeting(meeting::Flags),
    /// Attacks a node over loopback and measures how it bears that
    HostilePeers(hostile_peers::Flags),
    /// Abuses a node's JSON-RPC and checks that others are still served
    Abuse(abuse::Flags),
}

/// Exits with 0 where all was as it must be, with 1 where it was not, and with 2 where the run itself failed.
fn main() -> ExitCode {
    let outcome = match Cli::parse().program {
        Program::Load(flags) => load::run(flags),
        Program::Compare(flags) => compare::run(&flags),
        Program::Measure(flags) => measure::run(&flags),
        Program::Crash(flags) => crash::run(&flags),
        Program::Differential(flags) => differential::run(&flags),
        Program::Conformance(flags) => conformance::run(&flags),
        Program::Partitions(flags) => partitions::run(&flags),
        Program::Meeting(flags) => meeting::run(&flags),
        Program::HostilePeers(flags) => hostile_peers::run(&flags),
        Program::Abuse(flags) => abuse::run(&flags),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("drawbridge-bench: the run failed: {error}");
            ExitCode::from(2)
        }
    }
}
