//! The commands that need no chain. Each writes what was asked for to the writer it is given: standard output.

pub mod account;
mod ask;
pub mod bootnode;
pub mod bridge;
pub mod code;
pub mod device;
pub mod device_registry;
pub mod doctor;
pub mod genesis;
pub mod mine;
pub mod network;
pub mod proxy;
pub mod removedb;
pub mod version;

use std::io::Write;

use crate::exit::Fatal;

/// Writes `text` and a newline; whoever reads may have gone away, which ends the command quietly.
pub(crate) fn say(out: &mut dyn Write, text: impl std::fmt::Display) -> Result<(), Fatal> {
    match writeln!(out, "{text}") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Fatal::disk(format!("standard output: {error}"))),
    }
}
