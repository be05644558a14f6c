//! The `drawbridge-device` program: `drawbridge device run` alone, without chain and database, for small boards.

use std::process::ExitCode;

fn main() -> ExitCode {
    node::exit::install_panic_hook();
    node::start_device(std::env::args_os().collect())
}
