//! The built program from outside: nodes are started, asked over their sockets, stopped and killed, and what they leave on the disk
//! is opened again. Commands that need no chain are tested in `cli.rs`.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod attach;
mod backup;
mod blocks;
mod cluster;
mod database;
mod dev_chain;
mod devices;
mod doctoring;
mod doors;
mod exit_codes;
mod joining;
mod legacy;
mod migration;
mod mining;
mod network;
mod restart;
mod stopping;
mod strangers;
mod support;
mod terminal;
mod watched;
