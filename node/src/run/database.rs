//! `db`: looking into the database, checking it, pruning it.

use std::io::Write;

use chain::{AfterRewind, ImportError, RewindTarget, index, verify};
use storage::{RocksOptions, StorageError, Store, Table};

use super::ledger::{open, open_store, open_store_with, storage_error};
use super::{DbAction, now_seconds};
use crate::commands::say;
use crate::config::NodeConfig;
use crate::datadir::Datadir;
use crate::exit::Fatal;

/// Works on the database.
///
/// # Errors
/// There is none, it is corrupt, or the disk fails.
pub fn db(config: NodeConfig, action: DbAction) -> Result<(), Fatal> {
    require_database(&config)?;
    let datadir = Datadir::open(&config.data)?;
    let store = match action {
        DbAction::Recover => open_store_with(&config, RocksOptions { accept_loss: true, ..RocksOptions::default() })?,
        DbAction::Inspect
        | DbAction::Verify
        | DbAction::Prune
        | DbAction::Compact
        | DbAction::BuildIndex
        | DbAction::DropIndex
        | DbAction::Rewind(_) => open_store(&config)?,
    };
    // A newer format must not be touched; an unknown chain file says nothing about the tables.
    match chain::stored_chain_file(&*store) {
        Err(chain::OpenError::NewerFormat { found }) => {
            return Err(Fatal::DatabaseNewer { datadir: config.data.dir, have: found, known: chain::FORMAT });
        }
        Err(chain::OpenError::Storage(error)) => return Err(storage_error(&config.data.dir, error)),
        Ok(_) | Err(_) => {}
    }
    let out = &mut std::io::stdout();
    match action {
        DbAction::Inspect => inspect(&config, &*store, out),
        DbAction::Verify | DbAction::Recover => check(&config, &*store, out),
        DbAction::Prune => prune(&config, &*store, out),
        DbAction::BuildIndex => build_index(&config, &*store, out),
        DbAction::DropIndex => drop_index(&config, &*store, out),
        DbAction::Rewind(number) => {
            // The ledger opens both itself.
            drop((store, datadir));
            rewind(&config, number)
        }
        DbAction::Compact => {
            store.compact().map_err(|error| storage_error(&config.data.dir, error))?;
            say(out, "compacted")
        }
    }
}

/// Makes an earlier block the head, through the ledger's one door.
fn rewind(config: &NodeConfig, number: u64) -> Result<(), Fatal> {
    let opened = open(config)?;
    let before = opened.ledger.view().head().number;
    let then = AfterRewind::ReturnTransactions;
    let rewound = opened.ledger.rewind(RewindTarget::block(number), then, now_seconds());
    let head = opened.ledger.view().head().hash();
    opened.close()?;
    match rewound {
        Ok(()) => {
            say(&mut std::io::stdout(), format_args!("the head is block {number} ({head}); it was block {before}"))
        }
        Err(ImportError::Refused(cause)) => {
            Err(Fatal::config(cause, "choose another block; `drawbridge db inspect` shows the head"))
        }
        Err(error) => Err(import_error(config, error)),
    }
}

/// Refuses a data directory without a database, so that a misspelt one does not become a new chain.
pub(super) fn require_database(config: &NodeConfig) -> Result<(), Fatal> {
    let database = config.data.database_dir();
    if database.try_exists().map_err(|error| Fatal::io(&database, &error))? {
        return Ok(());
    }
    let cause = format!("there is no database in {}", config.data.dir.display());
    Err(Fatal::config(cause, "name the data directory by --datadir, or start a chain by `drawbridge init`"))
}

fn inspect(config: &NodeConfig, store: &dyn Store, out: &mut dyn Write) -> Result<(), Fatal> {
    let fatal = |error| storage_error(&config.data.dir, error);
    say(out, format_args!("{:<18}{:>14}{:>16}", "table", "rows (about)", "bytes"))?;
    let (mut rows, mut bytes) = (0u64, 0u64);
    for table in Table::ALL {
        let size = store.size(table).map_err(fatal)?;
        say(out, format_args!("{:<18}{:>14}{:>16}", table.name(), size.rows, size.bytes))?;
        rows = rows.saturating_add(size.rows);
        bytes = bytes.saturating_add(size.bytes);
    }
    say(out, format_args!("{:<18}{rows:>14}{bytes:>16}", "all"))?;
    for (name, value) in verify::facts(store).map_err(fatal)? {
        say(out, format_args!("{name:<18}{value}"))?;
    }
    Ok(())
}

fn check(config: &NodeConfig, store: &dyn Store, out: &mut dyn Write) -> Result<(), Fatal> {
    read_all(store).map_err(|error| storage_error(&config.data.dir, error))?;
    let check = verify::verify(store, |_| {}).map_err(|error| import_error(config, error))?;
    show_check(&check, out)?;
    if check.problems.is_empty() {
        return say(out, "the database is whole");
    }
    for problem in &check.problems {
        say(out, format_args!("problem           {problem}"))?;
    }
    let cause = format!("{} problems, the first: {}", check.problems.len(), check.problems[0]);
    Err(Fatal::DatabaseCorrupt { datadir: config.data.dir.clone(), cause })
}

/// Shows what was checked.
pub(super) fn show_check(check: &verify::Check, out: &mut dyn Write) -> Result<(), Fatal> {
    let state = &check.state;
    for (name, value) in [
        ("head", format!("{} {}", check.head, check.head_hash)),
        ("state root", state.root.to_string()),
        ("blocks", check.blocks.to_string()),
        ("transactions", check.transactions.to_string()),
        ("accounts", state.accounts.to_string()),
        ("slots", state.slots.to_string()),
        ("codes", state.codes.to_string()),
    ] {
        say(out, format_args!("{name:<18}{value}"))?;
    }
    Ok(())
}

/// Reads every row of every table, so that the checksums of those are compared that no root covers, such as the history.
fn read_all(store: &dyn Store) -> Result<(), StorageError> {
    Table::ALL.into_iter().flat_map(|table| store.iterate(table, &[])).try_for_each(|row| row.map(drop))
}

fn prune(config: &NodeConfig, store: &dyn Store, out: &mut dyn Write) -> Result<(), Fatal> {
    let kept = config.data.history_blocks.map_or(u64::MAX, std::num::NonZeroU64::get);
    let pruned = verify::prune(store, kept, |_| {}).map_err(|error| import_error(config, error))?;
    say(out, format_args!("dropped the history of {pruned} blocks; that of the newest {kept} stays"))
}

fn build_index(config: &NodeConfig, store: &dyn Store, out: &mut dyn Write) -> Result<(), Fatal> {
    let built = index::build(store, |_, _| {}).map_err(|error| import_error(config, error))?;
    say(out, format_args!("indexed {} blocks; the index covers blocks {} to {}", built.blocks, built.first, built.last))
}

fn drop_index(config: &NodeConfig, store: &dyn Store, out: &mut dyn Write) -> Result<(), Fatal> {
    let dropped = index::drop_all(store).map_err(|error| import_error(config, error))?;
    say(out, format_args!("dropped {dropped} rows of the index; `drawbridge db compact` gives their space back"))
}

fn import_error(config: &NodeConfig, error: ImportError) -> Fatal {
    match error {
        ImportError::Storage(error) => storage_error(&config.data.dir, error),
        other => Fatal::DatabaseCorrupt { datadir: config.data.dir.clone(), cause: other.to_string() },
    }
}
