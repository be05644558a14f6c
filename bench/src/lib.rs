//! What the measuring programs share: a small JSON-RPC client, accounts and signed transactions, node processes, and the chains
//! and states that are measured.
//!
//! The program is `drawbridge-bench`, with a subcommand for each task: `load` (transactions per second of any node), `compare` (this
//! node beside another one), `measure` (the parts by themselves), `crash` (faults of every kind, and what is left after them),
//! `partitions` (faults of a network), `meeting` (how fast blocks travel and chains are caught up with), `hostile-peers` (peers that
//! mean harm), `abuse` (hostile clients), `differential` (this node's execution beside another one's) and `conformance` (published
//! test vectors).

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod accounts;
pub mod client;
pub mod disk;
pub mod funding;
pub mod grown;
pub mod ipc;
pub mod load;
pub mod networked;
pub mod process;
pub mod random;
pub mod reads;
pub mod recorded;
pub mod scene;
pub mod summary;
pub mod token;

/// Holds an error of a measuring program: all of them end the run, with a sentence.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
