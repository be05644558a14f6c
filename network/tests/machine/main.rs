//! The machine, event by event, on a real ledger.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod bench;
mod claims;
mod fuzz;
mod hostile;
mod limits;
mod snapshot;
mod sync;

/// Messages drawn at random and their mutations, as the tests of the messages have them.
#[path = "../messages"]
mod messages {
    pub(crate) mod arbitrary;
    pub(crate) mod mutate;
}
