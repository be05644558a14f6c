//! From the command line of `drawbridge-device` to the device that runs.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::device_flags::DeviceRunArgs;
use crate::commands::device;
use crate::config::log_config;
use crate::exit::{Fatal, report};
use crate::logging;

/// The command line of `drawbridge-device`.
#[derive(Parser, Debug)]
#[command(
    name = "drawbridge-device",
    version,
    about = "A Drawbridge device: reads codes, asks the chain, opens its lock",
    args_override_self = true,
    max_term_width = 120
)]
struct DeviceCli {
    /// What `drawbridge device run` takes.
    #[command(flatten)]
    run: DeviceRunArgs,
}

/// Runs a device with these arguments (the program's name first), and returns its exit code.
pub fn start_device(args: Vec<OsString>) -> ExitCode {
    let cli = match DeviceCli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody reads any more; the code still tells.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(Fatal::Usage { cause: String::new() }.code())
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let done =
        logging::start(&log_config(cli.run.place.log.clone())).and_then(|_| device::run(&cli.run, &mut io::stdout()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            report(&fatal);
            ExitCode::from(fatal.code())
        }
    }
}
