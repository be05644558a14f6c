//! From the command line to the command that runs.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::cli::device_flags::GateCommand;
use crate::cli::device_registry::DeviceCommand;
use crate::cli::legacy::{Warning, translate};
use crate::cli::{BackupCommand, Command, ConfigCommand, DbCommand, IndexCommand, Typed, parse};
use crate::commands::removedb::Consent;
use crate::commands::{
    account, bootnode, bridge, code, device, device_registry, doctor, genesis, mine, network, proxy, removedb, say,
    version,
};
use crate::config::print::{Origins, to_toml};
use crate::config::{Loaded, NodeConfig, load};
use crate::console::{self, Attach};
use crate::exit::{Fatal, report};
use crate::logging::{self, LogHandle};
use crate::run::{self, BackupAction, DbAction, Export, ForeignSeals, StopSignals};

/// Runs the program with these arguments (its name first) and environment, and returns its exit code.
pub fn start(args: Vec<OsString>, environment: &[(String, OsString)]) -> ExitCode {
    device_bridge::tls::install_provider();
    let (args, warnings) = translate(args);
    let typed = match parse(args) {
        Ok(typed) => typed,
        Err(error) => return refuse(&error, &warnings),
    };
    match run_typed(typed, environment, warnings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            report(&fatal);
            ExitCode::from(fatal.code())
        }
    }
}

fn run_typed(typed: Typed, environment: &[(String, OsString)], mut warnings: Vec<Warning>) -> Result<(), Fatal> {
    let stop = if runs_node(typed.cli.command.as_ref()) { Some(StopSignals::listen()?) } else { None };
    let loaded = load(&typed.matches, environment)?;
    warnings.extend(loaded.warnings.iter().cloned());
    execute(typed, loaded, &warnings, stop)
}

/// Returns whether the command runs a node, which stops cleanly at a signal; the others end at once.
fn runs_node(command: Option<&Command>) -> bool {
    match command {
        None | Some(Command::Node(_)) => true,
        Some(Command::Join(args)) => !args.prepare,
        Some(_) => false,
    }
}

/// Prints help, the version, or what is wrong with the command line.
fn refuse(error: &clap::Error, warnings: &[Warning]) -> ExitCode {
    // Nobody reads any more; the code below still tells.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => {
            print_warnings(warnings);
            ExitCode::from(Fatal::Usage { cause: String::new() }.code())
        }
    }
}

fn execute(typed: Typed, loaded: Loaded, warnings: &[Warning], stop: Option<StopSignals>) -> Result<(), Fatal> {
    let command = typed.cli.command.unwrap_or_else(|| Command::Node(Box::default()));
    let log = runs_long(&command).then(|| logging::start(&loaded.config.log)).transpose()?.unwrap_or_default();
    if runs_long(&command) {
        for warning in warnings {
            tracing::warn!("{warning}");
        }
    } else {
        print_warnings(warnings);
    }
    match command {
        Command::Node(_) => run_node(loaded.config, log, stop),
        Command::Attach(args) => {
            let attach = Attach { endpoint: args.endpoint, exec: args.exec, jwt_secret_file: args.jwtsecret };
            console::run(&attach, &loaded.config, &mut io::stdout())
        }
        Command::Init { file, .. } => run::init(loaded.config, file),
        Command::Export { file, first, last, .. } => {
            run::export(loaded.config, Export { file, first, last }, log.screen())
        }
        Command::Import { files, no_verify_seal, .. } => {
            let seals = if no_verify_seal { ForeignSeals::Trusted } else { ForeignSeals::AsChainFile };
            run::import(loaded.config, files, seals, log.screen())
        }
        Command::Db(command) => {
            let action = db_action(&command, &loaded)?;
            run::db(loaded.config, action)
        }
        Command::Backup(command) => run::backup(loaded.config, backup_action(command)),
        Command::Account(command) => account::run(&command, &loaded.config.accounts, &mut io::stdout()),
        Command::Device(command) => match *command {
            DeviceCommand::Gate(GateCommand::Run(args)) => device::run(&args, &mut io::stdout()),
            DeviceCommand::Gate(GateCommand::Bridge(args)) => bridge::run(&args, &loaded.config),
            DeviceCommand::Serve { broker, .. } => run::device_serve(&loaded.config, &broker),
            command => device_registry::run(&command, &loaded.config.data, &mut io::stdout()),
        },
        Command::Genesis(command) => genesis::run(&command, &mut io::stdout(), &mut io::stderr()),
        Command::Dumpgenesis(_) => genesis::dump(&loaded.config, &mut io::stdout()),
        Command::Dumpconfig(_) => print_config(&loaded, Origins::Hidden),
        Command::Config(ConfigCommand::Print(_)) => print_config(&loaded, Origins::Shown),
        Command::Removedb { yes, .. } => {
            let consent = if yes { Consent::Given } else { Consent::Asked };
            removedb::run(&loaded.config.data, consent, &mut io::stdin().lock(), &mut io::stdout())
        }
        Command::Code(command) => code::run(&command, &loaded.config.accounts, &mut io::stdout()),
        Command::Proxy(command) => proxy::run(&command, &mut io::stdout()),
        Command::Doctor(_) => doctor::run(&loaded.config, &mut io::stdout()),
        Command::Network(command) => network::run(&command, &mut io::stdout(), &mut io::stderr()),
        Command::Join(args) => {
            let config = network::prepare(&args.ticket, loaded, &mut io::stdout())?;
            if args.prepare { Ok(()) } else { run_node(config, log, stop) }
        }
        Command::Bootnode(args) => bootnode::run(&args, &loaded.config.network, &mut io::stdout()),
        Command::Mine(args) => mine::run(&args),
        Command::Version => version::print(&mut io::stdout()),
    }
}

fn run_node(config: NodeConfig, log: LogHandle, stop: Option<StopSignals>) -> Result<(), Fatal> {
    run::node(config, log, stop.map_or_else(StopSignals::listen, Ok)?)
}

/// Returns whether the command logs; the others print what was asked for and end.
fn runs_long(command: &Command) -> bool {
    match command {
        Command::Node(_)
        | Command::Init { .. }
        | Command::Export { .. }
        | Command::Import { .. }
        | Command::Db(_)
        | Command::Backup(_)
        | Command::Bootnode(_)
        | Command::Mine(_)
        | Command::Join(_) => true,
        Command::Device(command) => matches!(**command, DeviceCommand::Serve { .. } | DeviceCommand::Gate(_)),
        Command::Account(_)
        | Command::Attach(_)
        | Command::Code(_)
        | Command::Proxy(_)
        | Command::Genesis(_)
        | Command::Dumpgenesis(_)
        | Command::Dumpconfig(_)
        | Command::Config(_)
        | Command::Doctor(_)
        | Command::Network(_)
        | Command::Removedb { .. }
        | Command::Version => false,
    }
}

fn backup_action(command: BackupCommand) -> BackupAction {
    match command {
        BackupCommand::Create { dir, .. } => BackupAction::Create(dir),
        BackupCommand::Verify { dir, .. } => BackupAction::Verify(dir),
        BackupCommand::Restore { dir, .. } => BackupAction::Restore(dir),
    }
}

fn db_action(command: &DbCommand, loaded: &Loaded) -> Result<DbAction, Fatal> {
    match command {
        DbCommand::Inspect { .. } => Ok(DbAction::Inspect),
        DbCommand::Verify { .. } => Ok(DbAction::Verify),
        DbCommand::Prune { .. } if loaded.config.data.history_blocks.is_none() => {
            Err(Fatal::Usage { cause: "db prune needs --history: the number of blocks whose history stays".into() })
        }
        DbCommand::Prune { .. } => Ok(DbAction::Prune),
        DbCommand::Compact { .. } => Ok(DbAction::Compact),
        DbCommand::Index(IndexCommand::Build { .. }) => Ok(DbAction::BuildIndex),
        DbCommand::Index(IndexCommand::Drop { .. }) => Ok(DbAction::DropIndex),
        DbCommand::Rewind { number, .. } => Ok(DbAction::Rewind(*number)),
        DbCommand::Recover { .. } => Ok(DbAction::Recover),
    }
}

fn print_config(loaded: &Loaded, origins: Origins) -> Result<(), Fatal> {
    say(&mut io::stdout(), to_toml(loaded, origins).trim_end())
}

fn print_warnings(warnings: &[Warning]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}
