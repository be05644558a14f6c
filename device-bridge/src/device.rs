//! The device at a warehouse's gate: reads a code, asks the chain, tells its shadow what it wants, and opens its lock once.
//!
//! It holds no chain. [`checks`] says what a code must be, purely; [`journal`] remembers over restarts what was scanned and what was carried out;
//! [`scanner`] reads codes from where they come; [`runner`] puts it together. Whatever is unknown, unanswered or late keeps
//! the lock closed.

pub mod checks;
pub mod desk;
pub mod journal;
pub mod runner;
pub mod scanner;
