//! The program around the ledger: command line, configuration, keystore, logs, exit codes, and the wiring of a node.
//!
//! The rules of the chain are in `consensus`, the ledger is in `chain`, and JSON-RPC is in `rpc`; nothing here decides what a
//! valid block is.

pub mod accounts;
pub mod cli;
pub mod commands;
pub mod config;
pub mod console;
pub mod datadir;
pub mod exit;
pub mod keystore;
pub mod logging;
pub mod metrics;
pub mod miner;
pub mod permissions;
pub mod run;
pub mod screen;

mod start;
mod start_device;

pub use start::start;
pub use start_device::start_device;
