//! `backup`: copies of the chain, made beside a running node or without one, checked, and put back.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf, absolute};

use chain::backup::{self, BackupError, BackupRecord};
use serde_json::{Value, json};
use storage::{RocksOptions, RocksStore};

use super::BackupAction;
use super::database::{require_database, show_check};
use super::ledger::{open_store, storage_error};
use crate::commands::say;
use crate::config::{CHAIN_FILE, NodeConfig};
use crate::datadir::Datadir;
use crate::exit::Fatal;

/// Makes, checks or puts back a backup.
///
/// # Errors
/// There is no chain or no backup, something is in the way, the backup is damaged, or the disk fails.
pub fn backup(config: NodeConfig, action: BackupAction) -> Result<(), Fatal> {
    let out = &mut std::io::stdout();
    match action {
        BackupAction::Create(target) => create(&config, &target, out),
        BackupAction::Verify(path) => {
            let check = backup::check(&path).map_err(|error| backup_error(&config, error))?;
            check_chain_file(&config, &path)?;
            show_check(&check, out)?;
            say(out, "the backup is whole")
        }
        BackupAction::Restore(path) => restore(&config, &path, out),
    }
}

/// Compares the chain file beside a backup's database with the one in it: people start chains from it.
fn check_chain_file(config: &NodeConfig, path: &Path) -> Result<(), Fatal> {
    let options = RocksOptions { read_only: true, create: false, ..RocksOptions::default() };
    let store = RocksStore::open(&path.join("chaindata"), options);
    let store = store.map_err(|error| storage_error(&config.data.dir, error))?;
    let damaged =
        |problem: String| Fatal::BackupDamaged { cause: format!("the backup in {}: {problem}", path.display()) };
    let Some(stored) = chain::stored_chain_file(&store).map_err(|error| damaged(error.to_string()))? else {
        return Ok(());
    };
    match std::fs::read_to_string(path.join(CHAIN_FILE)) {
        Ok(text) if text == stored => Ok(()),
        Ok(_) => Err(damaged(format!("{CHAIN_FILE} is not the chain file of its database"))),
        Err(error) => Err(damaged(format!("{CHAIN_FILE}: {error}"))),
    }
}

fn create(config: &NodeConfig, target: &Path, out: &mut dyn Write) -> Result<(), Fatal> {
    require_database(config)?;
    let target = absolute(target).map_err(|error| Fatal::io(target, &error))?;
    let (number, hash) = match Datadir::open(&config.data) {
        Ok(_held) => {
            let store = open_store(config)?;
            let made = backup::create(&*store, &target).map_err(|error| backup_error(config, error))?;
            (made.number, made.head.to_string())
        }
        Err(held @ Fatal::DatadirLocked { .. }) => ask_node(config, &target, held)?,
        Err(other) => return Err(other),
    };
    say(out, format_args!("head              {number} {hash}\nbackup            {}", target.display()))
}

/// Asks the node that holds the data directory, over its local socket; `held` says that there is one.
fn ask_node(config: &NodeConfig, target: &Path, held: Fatal) -> Result<(u64, String), Fatal> {
    let Ok(mut socket) = UnixStream::connect(&config.ipc.path) else { return Err(held) };
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "admin_backup", "params": [target]});
    let mut line = String::new();
    // However long it takes: the node's end closes the socket.
    let asked = writeln!(socket, "{request}").and_then(|()| BufReader::new(&socket).read_line(&mut line));
    asked.map_err(|error| Fatal::io(&config.ipc.path, &error))?;
    let answer: Value = serde_json::from_str(&line).unwrap_or_default();
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    if let Some(problem) = text("/error/message") {
        let cause = format!("the node does not make the backup: {problem}");
        return Err(Fatal::config(cause, "name a new directory that the node's user may write"));
    }
    let number = text("/result/number").and_then(|number| u64::from_str_radix(number.strip_prefix("0x")?, 16).ok());
    match (number, text("/result/hash")) {
        (Some(number), Some(hash)) => Ok((number, hash)),
        _ => Err(Fatal::disk(format!("{}: the node ended before it answered", config.ipc.path.display()))),
    }
}

fn restore(config: &NodeConfig, path: &Path, out: &mut dyn Write) -> Result<(), Fatal> {
    let database: PathBuf = config.data.database_dir();
    if database.exists() {
        let cause = format!("there is a chain in {}", config.data.dir.display());
        let remedy = format!(
            "choose another --datadir, or delete the old chain with `drawbridge removedb --datadir {}`",
            config.data.dir.display()
        );
        return Err(Fatal::config(cause, remedy));
    }
    // What is no backup makes no data directory.
    BackupRecord::read(path).map_err(|error| backup_error(config, error))?;
    let was_there = config.data.dir.exists();
    let held = Datadir::open(&config.data)?;
    let check = match backup::restore(path, &database) {
        Ok(check) => check,
        Err(error) => {
            // What is not whole goes: nobody may take it for a chain. What cannot be removed harms nothing: its name says what it is.
            let _ = std::fs::remove_dir_all(database.with_file_name("chaindata.part"));
            if !was_there {
                let _ = std::fs::remove_dir_all(&config.data.dir);
            }
            return Err(backup_error(config, error));
        }
    };
    drop(held);
    show_check(&check, out)?;
    say(out, format_args!("restored into     {}", config.data.dir.display()))
}

fn backup_error(config: &NodeConfig, error: BackupError) -> Fatal {
    match error {
        BackupError::Exists(_) => Fatal::config(error, "name a directory that does not exist"),
        BackupError::NoBackup { .. } => {
            Fatal::config(error, "name a directory that `drawbridge backup create` has made")
        }
        BackupError::Damaged { .. } => Fatal::BackupDamaged { cause: error.to_string() },
        BackupError::Io { .. } => Fatal::disk(error),
        BackupError::Storage(error) => storage_error(&config.data.dir, error),
    }
}
