//! The server from outside: over HTTP, WebSocket and the unix socket, on a real ledger in memory.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod accounts;
mod calls;
mod dashboard;
mod desk;
mod dev;
mod doors;
mod every;
mod explained;
mod explorer;
mod gate;
mod hostile;
mod indexed;
mod logs;
mod node;
mod pushed;
mod tracing;
mod transactions;
