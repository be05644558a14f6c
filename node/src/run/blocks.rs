//! `export` and `import`: blocks in files.

use std::fs::File;
use std::io::{BufReader, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chain::ImportError;
use chain::files::{self, FileError, ImportReport};
use indicatif::{ProgressBar, ProgressStyle};
use tracing::info;

use super::database::require_database;
use super::ledger::{ForeignSeals, open, open_with, storage_error};
use super::{Export, now_seconds};
use crate::config::NodeConfig;
use crate::exit::Fatal;

/// How often progress is logged where there is no terminal to draw on.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Writes blocks to a file.
///
/// # Errors
/// There is no chain, the range is not on it, or the file or the database fails.
pub fn export(config: NodeConfig, what: Export) -> Result<(), Fatal> {
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
    let mut out = BufWriter::new(file);
    let progress = Progress::new(last - first + 1, "blocks");
    let written = files::export(&view, &mut out, first, last, |number| progress.at(number - first + 1, ""))
        .map_err(|error| file_error(&config, &what.file, error, REMEDY))?;
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(|error| Fatal::io(&part, &error))?;
    std::fs::rename(&part, &what.file).map_err(|error| Fatal::io(&what.file, &error))?;
    progress.end();
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

/// Reads blocks from files.
///
/// # Errors
/// A block is refused (those before it stay), or a file or the database fails.
pub fn import(config: NodeConfig, files: Vec<PathBuf>, seals: ForeignSeals) -> Result<(), Fatal> {
    let opened = open_with(&config, seals)?;
    let foreign = opened.genesis.spec.ethereum.is_some();
    for path in &files {
        let file = File::open(path).map_err(|error| Fatal::io(path, &error))?;
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        let progress = Progress::new(size, "bytes");
        let begun = Instant::now();
        let report = files::import(&opened.ledger, BufReader::new(file), now_seconds, |report| {
            progress.at(report.bytes, &rates(report, begun));
        });
        progress.end();
        let report = match report {
            Ok(report) => report,
            Err(error) => {
                let fatal = file_error(&config, path, error, if foreign { REMEDY } else { REMEDY_OWN });
                opened.close()?;
                return Err(fatal);
            }
        };
        let head = opened.ledger.view().head().number;
        info!(
            file = %path.display(), blocks = report.blocks, known = report.known, transactions = report.transactions,
            head, elapsed_ms = begun.elapsed().as_millis(), rate = rates(&report, begun), "imported"
        );
    }
    opened.close()
}

fn rates(report: &ImportReport, begun: Instant) -> String {
    let micros = begun.elapsed().as_micros().max(1);
    let blocks = u128::from(report.blocks) * 1_000_000 / micros;
    let mgas_tenths = u128::from(report.gas) * 10 / micros;
    format!("{} blocks, {blocks} blocks/s, {}.{} Mgas/s", report.blocks, mgas_tenths / 10, mgas_tenths % 10)
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
        FileError::Import { error, .. } => match *error {
            ImportError::Storage(error) => storage_error(&config.data.dir, error),
            ImportError::Corrupt(_) => Fatal::DatabaseCorrupt { datadir: config.data.dir.clone(), cause },
            _ => Fatal::config(cause, remedy),
        },
        FileError::Malformed { .. } => Fatal::config(cause, remedy),
    }
}

/// Shows how far a long work is: a bar on a terminal, else a log line now and then.
struct Progress {
    bar: Option<ProgressBar>,
    length: u64,
    last_line: std::cell::Cell<Instant>,
}

impl Progress {
    fn new(length: u64, unit: &str) -> Self {
        let template = match unit {
            "bytes" => "{bar:32} {bytes}/{total_bytes} {msg} {eta} left",
            _ => "{bar:32} {pos}/{len} blocks {per_sec} {msg} {eta} left",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(length).with_style(style));
        Self { bar, length, last_line: std::cell::Cell::new(Instant::now()) }
    }

    fn at(&self, position: u64, message: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(position);
                bar.set_message(message.to_owned());
            }
            None if self.last_line.get().elapsed() >= LOG_EVERY => {
                self.last_line.set(Instant::now());
                info!(position, of = self.length, rate = message, "progress");
            }
            None => {}
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
