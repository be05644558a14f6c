//! `network new`, `network ticket`, `network run` and `join`: a cluster in one command, and a way into it for further machines.

mod files;
mod join;
mod new;
mod run;
mod table;
mod ticket;

use std::io::Write;

use crate::cli::network_commands::NetworkCommand;
use crate::exit::Fatal;

pub use join::prepare;
pub use ticket::{Ticket, TicketError};

/// Runs one of the commands. Warnings go to `notes`, which is standard error.
///
/// # Errors
/// A file that cannot be read or written, or a value that makes no network.
pub fn run(command: &NetworkCommand, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Fatal> {
    match command {
        NetworkCommand::New(args) => new::run(args, out),
        NetworkCommand::Ticket(args) => ticket::run(args, out, notes),
        NetworkCommand::Run(args) => run::run(args, out),
    }
}
