//! Opening the ledger that the configuration names.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy_primitives::B256;
use chain::{ImportError, Ledger, LedgerConfig, LedgerHandle, OpenError, PoolConfig, index};
use consensus::{Genesis, genesis};
use storage::{Durability, RocksOptions, RocksStore, StorageError, Store};
use tracing::{info, warn};

use crate::accounts::dev_accounts;
use crate::commands::genesis::chain_file_text;
use crate::config::values::Fsync;
use crate::config::{ChainFileChoice, DEV_MNEMONIC, DevConfig, NodeConfig};
use crate::datadir::Datadir;
use crate::exit::Fatal;

/// How often a long start tells how far it is.
const INDEX_TELL_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

/// Says whether seals of other clients are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignSeals {
    /// As the chain file says.
    AsChainFile,
    /// They are not, whatever the chain file says.
    Trusted,
}

/// Holds an open data directory with its chain.
pub(super) struct Opened {
    pub(super) ledger: LedgerHandle,
    pub(super) genesis: Genesis,
    pub(super) store: Arc<RocksStore>,
    // Last: it is unlocked (and a temporary one removed) when everything else is closed.
    pub(super) datadir: Datadir,
}

/// Starts a chain in the data directory from a chain file.
///
/// # Errors
/// The chain file cannot be used, the directory holds another chain, or the disk fails.
pub fn init(config: NodeConfig, file: PathBuf) -> Result<(), Fatal> {
    let mut config = config;
    config.chain.file = ChainFileChoice::File(file);
    let opened = open(&config)?;
    let (hash, datadir) = (opened.genesis.header.hash(), opened.datadir.path().display().to_string());
    opened.close()?;
    info!(%hash, datadir, "the chain is ready");
    Ok(())
}

impl Opened {
    /// Ends the ledger and brings everything to the disk.
    pub(super) fn close(self) -> Result<(), Fatal> {
        self.ledger.shut_down().map_err(|error| storage_error(self.datadir.path(), error))
    }
}

/// Opens the database and the ledger in the data directory; an empty one gets the chain file's genesis block.
pub(super) fn open(config: &NodeConfig) -> Result<Opened, Fatal> {
    open_with(config, ForeignSeals::AsChainFile)
}

/// Opens the data directory as [`open`] does, to import blocks whose seals are verified as `seals` says.
pub(super) fn open_with(config: &NodeConfig, seals: ForeignSeals) -> Result<Opened, Fatal> {
    let datadir = Datadir::open(&config.data)?;
    let store = open_store(config)?;
    let text = chain_file(config, &*store)?;
    let (mut genesis, warnings) = Genesis::parse(&text).map_err(|error| {
        Fatal::config(
            format!("chain file: {error}"),
            "correct the field; `drawbridge genesis check FILE` checks a file",
        )
    })?;
    for warning in warnings {
        warn!("chain file: {warning}");
    }
    if seals == ForeignSeals::Trusted {
        genesis.spec.trust_foreign_seals();
    }
    complete_index(config, &*store)?;
    let ledger = Ledger::open(store.clone(), &genesis, &text, ledger_config(config))
        .map_err(|error| open_error(&config.data.dir, error))?;
    keep_chain_file(config, &text, genesis.header.hash())?;
    Ok(Opened { ledger, genesis, store, datadir })
}

/// Builds what an index lacks that is to be there, and tells how far it is: on a long chain that takes a while.
fn complete_index(config: &NodeConfig, store: &dyn Store) -> Result<(), Fatal> {
    let failed = |error: ImportError| match error {
        ImportError::Storage(error) => storage_error(&config.data.dir, error),
        other => Fatal::DatabaseCorrupt { datadir: config.data.dir.clone(), cause: other.to_string() },
    };
    if !config.data.index.map_or_else(|| index::is_on(store), Ok).map_err(failed)? {
        return Ok(());
    }
    let mut told = std::time::Instant::now();
    let built = index::build(store, |done, head| {
        if told.elapsed() >= INDEX_TELL_EVERY {
            told = std::time::Instant::now();
            info!(done, head, "indexing addresses and events");
        }
    });
    let built = built.map_err(failed)?;
    if built.blocks > 0 {
        info!(blocks = built.blocks, head = built.last, "the index of addresses and events is complete");
    }
    Ok(())
}

/// Puts a copy of the chain file beside the database, where people and `dumpgenesis` find it. One of the same chain stays as it is; one
/// of another chain, such as one that was deleted, is put aside.
fn keep_chain_file(config: &NodeConfig, text: &str, hash: B256) -> Result<(), Fatal> {
    let path = config.data.chain_file();
    // A power cut may have left a file without its content.
    if let Some(kept) = fs::read_to_string(&path).ok().filter(|kept| !kept.is_empty()) {
        if Genesis::parse(&kept).is_ok_and(|(kept, _)| kept.header.hash() == hash) {
            return Ok(());
        }
        let aside = path.with_extension("json.old");
        warn!(file = %path.display(), aside = %aside.display(), "the chain file is of another chain than the database: it is put aside");
        fs::rename(&path, &aside).map_err(|error| Fatal::io(&path, &error))?;
    }
    let written = fs::File::create(&path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Fatal::io(&path, &error))
}

/// Opens the database in the data directory, which must be held.
pub(super) fn open_store(config: &NodeConfig) -> Result<Arc<RocksStore>, Fatal> {
    open_store_with(config, RocksOptions::default())
}

/// The same; `options` say the rest.
pub(super) fn open_store_with(config: &NodeConfig, options: RocksOptions) -> Result<Arc<RocksStore>, Fatal> {
    let options = RocksOptions { cache_bytes: cache_bytes(config) / 2, ..options };
    let store = RocksStore::open(&config.data.database_dir(), options);
    store.map(Arc::new).map_err(|error| storage_error(&config.data.dir, error))
}

/// Returns the memory for caches: half of it goes to the database's blocks, half to rows of the newest state.
fn cache_bytes(config: &NodeConfig) -> usize {
    usize::try_from(config.data.cache_mib.saturating_mul(1 << 20)).unwrap_or(usize::MAX)
}

fn chain_file(config: &NodeConfig, store: &dyn Store) -> Result<String, Fatal> {
    let stored = chain::stored_chain_file(store).map_err(|error| open_error(&config.data.dir, error))?;
    match &config.chain.file {
        ChainFileChoice::File(path) => fs::read_to_string(path).map_err(|error| {
            Fatal::config(format!("chain file {}: {error}", path.display()), "name a file that can be read")
        }),
        ChainFileChoice::Dev => dev_chain_file(&config.dev.clone().unwrap_or_default()),
        ChainFileChoice::Stored => match stored {
            Some(stored) => Ok(stored),
            None => chain_file_text(config),
        },
    }
}

/// Returns the hash of the genesis block in the database, where there is one; the data directory must be held.
pub(crate) fn stored_genesis(config: &NodeConfig) -> Result<Option<B256>, Fatal> {
    if !config.data.database_dir().exists() {
        return Ok(None);
    }
    let store = open_store(config)?;
    let stored = chain::stored_chain_file(&*store).map_err(|error| open_error(&config.data.dir, error))?;
    let hash_of = |text: String| match Genesis::parse(&text) {
        Ok((genesis, _)) => Ok(genesis.header.hash()),
        Err(error) => Err(Fatal::DatabaseCorrupt { datadir: config.data.dir.clone(), cause: error.to_string() }),
    };
    stored.map(hash_of).transpose()
}

/// Returns the chain file of the development chain; other accounts than the well-known ten are given the same balance.
fn dev_chain_file(dev: &DevConfig) -> Result<String, Fatal> {
    if dev.mnemonic == DEV_MNEMONIC && dev.accounts <= DevConfig::default().accounts {
        return Ok(genesis::DEV.to_owned());
    }
    let broken = || Fatal::Internal { cause: "the development chain file is broken".to_owned() };
    let mut file: serde_json::Value = serde_json::from_str(genesis::DEV).map_err(|_| broken())?;
    let alloc = file.get_mut("alloc").and_then(serde_json::Value::as_object_mut).ok_or_else(broken)?;
    let account = alloc.values().next().cloned().ok_or_else(broken)?;
    for (address, _) in dev_accounts(&dev.mnemonic, dev.accounts)? {
        alloc.entry(address.to_string()).or_insert_with(|| account.clone());
    }
    serde_json::to_string_pretty(&file).map_err(|_| broken())
}

fn ledger_config(config: &NodeConfig) -> LedgerConfig {
    let pool = &config.pool;
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    LedgerConfig {
        state_cache_bytes: cache_bytes(config) / 2,
        durability: match config.data.fsync {
            Fsync::Block => Durability::Disk,
            Fsync::Second => Durability::Process,
        },
        history: config.data.history_blocks.map(std::num::NonZeroU64::get),
        index: config.data.index,
        pool: PoolConfig {
            price_limit_wei: pool.price_limit_wei,
            price_bump_percent: u64::from(pool.price_bump_percent),
            account_slots: count(pool.account_slots),
            global_slots: count(pool.global_slots),
            account_queue: count(pool.account_queue),
            global_queue: count(pool.global_queue),
            lifetime_s: pool.lifetime.as_secs(),
            locals: pool.locals.iter().copied().collect(),
            no_locals: pool.no_locals,
            journal: pool.journal.clone(),
            rejournal_s: pool.rejournal.as_secs(),
            takes_impersonated: config.dev.is_some(),
            ..PoolConfig::default()
        },
        ..LedgerConfig::default()
    }
}

/// Tells how an error of the database ends the program.
pub(crate) fn storage_error(datadir: &Path, error: StorageError) -> Fatal {
    let datadir = datadir.to_path_buf();
    match error {
        StorageError::Locked { pid, .. } => Fatal::DatadirLocked { datadir, pid },
        StorageError::Io(cause) => Fatal::disk(cause),
        error @ StorageError::Full(_) => Fatal::disk(error),
        error @ (StorageError::Corrupt(_) | StorageError::LogDamaged { .. } | StorageError::Row { .. }) => {
            Fatal::DatabaseCorrupt { datadir, cause: error.to_string() }
        }
    }
}

fn open_error(datadir: &Path, error: OpenError) -> Fatal {
    let datadir_path = datadir.to_path_buf();
    match error {
        OpenError::NewerFormat { found } => {
            Fatal::DatabaseNewer { datadir: datadir_path, have: found, known: chain::FORMAT }
        }
        OpenError::GenesisMismatch { have, new, difference } => {
            let difference = Some(difference.into());
            Fatal::GenesisMismatch { datadir: datadir_path, have, want: new, difference, file: None }
        }
        OpenError::Corrupt(cause) => Fatal::DatabaseCorrupt { datadir: datadir_path, cause },
        OpenError::Storage(error) => storage_error(datadir, error),
    }
}
