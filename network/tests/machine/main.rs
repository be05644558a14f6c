//! The machine, event by event, on a real ledger.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod bench;
mod hostile;
mod snapshot;
mod sync;
