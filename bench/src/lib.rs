//! What the measuring programs share: a small JSON-RPC client, accounts and signed transactions, node processes, and the chains
//! and states that are measured.
//!
//! The programs are `load` (transactions per second of any node), `compare` (this node beside another one), `crash` (faults of
//! every kind, and what is left after them), `partitions` (faults of a network), `meeting` (how fast blocks travel and chains are
//! caught up with), `conformance` (published test vectors) and `measure` (the parts by themselves).

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod accounts;
pub mod client;
pub mod disk;
pub mod funding;
pub mod grown;
pub mod ipc;
pub mod load;
pub mod process;
pub mod random;
pub mod reads;
pub mod recorded;
pub mod scene;
pub mod summary;
pub mod token;

/// Holds an error of a measuring program: all of them end the run, with a sentence.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
