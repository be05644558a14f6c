//! The ledger as its users see it: import, reorganisation, faults, history, files.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, missing_docs)]

mod errors;
mod faults;
mod files;
mod finality;
mod foreign;
mod history;
mod index;
mod reorganisation;
mod rewind;
mod world;
