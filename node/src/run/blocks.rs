//! `export` and `import`: blocks in files.

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chain::ImportError;
use chain::files::{self, FileError, ImportReport};
use tracing::info;

use super::block_files::{BlockReader, BlockWriter};
use super::database::require_database;
use super::ledger::{ForeignSeals, open, open_with, storage_error};
use super::{Export, now_seconds};
use crate::config::NodeConfig;
use crate::exit::Fatal;
use crate::screen::{Bar, Screen, Work};

/// How often progress is logged.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Writes blocks to a file, and shows on `screen` how far it is.
///
/// # Errors
/// There is no chain, the range is not on it, or the file or the database fails.
pub fn export(config: NodeConfig, what: Export, screen: &Screen) -> Result<(), Fatal> {
    require_database(&config)?;
    let opened = open(&config)?;
    let view = opened.ledger.view();
    let (first, last) = (what.first.unwrap_or(0), what.last.unwrap_or(view.head().number));
    if first > last || last > view.head().number {
        let cause = format!("blocks {first} to {last} are not on the chain, whose head is {}", view.head().number);
        return Err(Fatal::Usage { cause });
    }
    let part = part_of(&what.file);
    let file = File::create(&part).map_err(|error| Fatal::io(&part, &error))?;
    let mut out = BlockWriter::new(file, &what.file);
    let progress = Progress::new(screen, Work::Export, last - first + 1);
    let written = files::export(&view, &mut out, first, last, |number| progress.at(number - first + 1, "", ""))
        .map_err(|error| file_error(&config, &what.file, error, REMEDY))?;
    out.finish().map_err(|error| Fatal::io(&part, &error))?;
    std::fs::rename(&part, &what.file).map_err(|error| Fatal::io(&what.file, &error))?;
    drop(progress);
    info!(blocks = written, file = %what.file.display(), "exported");
    drop(view);
    opened.close()
}

/// The file that is written until it is whole.
fn part_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Reads blocks from files, and shows on `screen` how far it is.
///
/// # Errors
/// A block is refused (those before it stay), or a file or the database fails.
pub fn import(config: NodeConfig, files: Vec<PathBuf>, seals: ForeignSeals, screen: &Screen) -> Result<(), Fatal> {
    let opened = open_with(&config, seals)?;
    let foreign = opened.genesis.spec.ethereum.is_some();
    for path in &files {
        let file = File::open(path).map_err(|error| Fatal::io(path, &error))?;
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        let progress = Progress::new(screen, Work::Import, size);
        let begun = Instant::now();
        let BlockReader { input, compressed } = BlockReader::new(file).map_err(|error| Fatal::io(path, &error))?;
        let report = files::import(&opened.ledger, input, now_seconds, |report| {
            let (pace, gas) = rates(report, begun);
            let bytes = compressed.as_ref().map_or(report.bytes, |read| read.load(Ordering::Relaxed));
            progress.at(bytes, &pace, &gas);
        });
        drop(progress);
        let report = match report {
            Ok(report) => report,
            Err(error) => {
                let fatal = file_error(&config, path, error, if foreign { REMEDY } else { REMEDY_OWN });
                opened.close()?;
                return Err(fatal);
            }
        };
        let head = opened.ledger.view().head().number;
        let (pace, gas) = rates(&report, begun);
        info!(
            file = %path.display(), blocks = report.blocks, known = report.known, transactions = report.transactions,
            head, elapsed_ms = begun.elapsed().as_millis(), rate = format!("{pace}{gas}"), "imported"
        );
    }
    opened.close()
}

/// Tells blocks and blocks per second, and, to be added, gas per second.
fn rates(report: &ImportReport, begun: Instant) -> (String, String) {
    let micros = begun.elapsed().as_micros().max(1);
    let blocks = u128::from(report.blocks) * 1_000_000 / micros;
    let mgas_tenths = u128::from(report.gas) * 10 / micros;
    let pace = format!("{} blocks, {blocks} blocks/s, ", report.blocks);
    (pace, format!("{}.{} Mgas/s", mgas_tenths / 10, mgas_tenths % 10))
}

/// What to do where a file holds no blocks of this chain.
const REMEDY: &str = "the blocks before it are imported; check that the file is whole and belongs to this chain file";
/// The same where the chain file has Drawbridge's seal from genesis on.
const REMEDY_OWN: &str = "the blocks before it are imported; check that the file is whole and belongs to this chain file; for \
                          blocks of geth or Besu the chain file needs config.pow.fromBlock, or \"seal\": \"ethash\"";

fn file_error(config: &NodeConfig, path: &Path, error: FileError, remedy: &str) -> Fatal {
    let cause = format!("{}: {error}", path.display());
    match error {
        FileError::Io(error) => Fatal::io(path, &error),
        FileError::Range { .. } => Fatal::Usage { cause },
        FileError::View(_) => Fatal::DatabaseCorrupt { datadir: config.data.dir.clone(), cause },
        FileError::Import { number: 0, hash, .. } => {
            let cause = format!("{}: the genesis block differs: its block 0 is {hash}", path.display());
            Fatal::config(
                cause,
                "name a file of this chain, or a data directory of that one; nothing of it was imported",
            )
        }
        FileError::Import { error, .. } => match *error {
            ImportError::Storage(error) => storage_error(&config.data.dir, error),
            ImportError::Corrupt(_) => Fatal::DatabaseCorrupt { datadir: config.data.dir.clone(), cause },
            _ => Fatal::config(cause, remedy),
        },
        FileError::Malformed { .. } => Fatal::config(cause, remedy),
    }
}

/// Shows how far a long work is: a bar where the screen has one, and a line of the log now and then.
struct Progress {
    bar: Option<Bar>,
    length: u64,
    last_line: Cell<Instant>,
}

impl Progress {
    fn new(screen: &Screen, work: Work, length: u64) -> Self {
        Self { bar: screen.bar(work, length), length, last_line: Cell::new(Instant::now()) }
    }

    /// Shows how far it is and how fast; there is room for `more` in lines alone.
    fn at(&self, position: u64, pace: &str, more: &str) {
        if let Some(bar) = &self.bar {
            bar.say(pace.to_owned());
            bar.at(position, self.length);
        }
        if self.last_line.get().elapsed() >= LOG_EVERY {
            self.last_line.set(Instant::now());
            info!(target: "node::progress", position, of = self.length, rate = format!("{pace}{more}"), "progress");
        }
    }
}
