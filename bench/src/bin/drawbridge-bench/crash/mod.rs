//! `crash`: brings faults upon a node (kills, power losses, full disks, I/O errors, corrupt files) and checks that nothing that was
//! promised is lost and nothing wrong is answered. Exits with 1 where something is.

mod checks;
mod corrupt;
mod damage;
mod errors;
mod full;
mod kill;
mod power;
mod run;
mod shim;
mod traffic;

use std::path::PathBuf;
use std::time::Instant;

use bench::Failure;
use clap::{Args, ValueEnum};

use run::Run;

/// Brings faults upon a node, again and again, and checks what is left.
#[derive(Args)]
pub(crate) struct Flags {
    /// What goes wrong
    #[arg(value_enum, default_value_t = Fault::Kill)]
    fault: Fault,
    /// The drawbridge program
    #[arg(long)]
    node: PathBuf,
    /// How often
    #[arg(long, default_value_t = 20)]
    cycles: u64,
    /// Names the load, the faults and their moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the data directories are made; by default in a temporary folder that is removed at the end
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Fault {
    /// The node or a command is killed (SIGKILL)
    Kill,
    /// The power goes: what was not synced is lost in part
    Power,
    /// The disk fills up (takes root)
    Full,
    /// Calls on the database's files fail
    Io,
    /// A file of the database is damaged
    Corrupt,
}

/// Runs it; tells whether all was as it must be.
///
/// # Errors
/// A part of the run itself failed.
pub(crate) fn run(flags: &Flags) -> Result<bool, Failure> {
    consensus::crypto::install();
    let temporary = tempfile::tempdir()?;
    let folder = flags.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;
    let mut run = Run::new(std::path::absolute(&flags.node)?, std::path::absolute(folder)?, flags.seed);
    let begun = Instant::now();
    let (what, result) = match flags.fault {
        Fault::Kill => ("kill", kill::cycles(&mut run, flags.cycles)),
        Fault::Power => ("power", power::cycles(&mut run, flags.cycles)),
        Fault::Full => ("full", full::cycles(&mut run, flags.cycles)),
        Fault::Io => ("io", errors::cycles(&mut run, flags.cycles)),
        Fault::Corrupt => ("corrupt", corrupt::cycles(&mut run, flags.cycles)),
    };
    if let Err(error) = result {
        run.violate(format!("the run ended: {error}"));
    }
    run.figures.push(("s", format!("{:.0}", begun.elapsed().as_secs_f64())));
    Ok(run.end(what))
}
