//! The `drawbridge` program.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    node::exit::install_panic_hook();
    // Names that are no text are no settings of ours.
    let environment: Vec<_> =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
    node::start(std::env::args_os().collect(), &environment)
}
