//! Opening a ledger: an empty store gets the genesis block, a used one must hold this chain.

use std::sync::Arc;

use alloy_primitives::B256;
use consensus::ethash::LightCaches;
use consensus::{Genesis, RecoveredBlock, SealedHeader};
use evm_runtime::receipt::encode_receipts;
use evm_runtime::{StateError, state};
use storage::{Durability, Snapshot, Stage, StorageError, Store, Table};

use crate::amendments;
use crate::finality::Finalized;
use crate::import::ImportError;
use crate::pool::PoolConfig;
use crate::records::{
    HeaderRecord, base_number, block_key, canonical_hash, meta, number_of, put_block, put_canonical, read_u64,
};
use crate::view::ChainView;

/// The format of the tables that this program writes; an older program refuses a newer one.
///
/// - 1: the first.
/// - 2: the highest block that ever was final is stored. A program that does not know of it could undo that block. A database of format 1
///   is opened as it is: what is final lies as deep below its head as the chain's rules say.
pub const FORMAT: u64 = 2;

/// Holds what an operator chooses about the ledger.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// Whether each import waits for the disk.
    pub durability: Durability,
    /// How many blocks of history are kept; `None`: all.
    pub history: Option<u64>,
    /// Whether there is an index of addresses and events; `None`: as the store has it. One that is missing is built when the ledger opens.
    pub index: Option<bool>,
    /// Room for rows of the newest state in memory, in bytes.
    pub state_cache_bytes: usize,
    /// The transaction pool's knobs.
    pub pool: PoolConfig,
    /// What verifying Ethash seals needs; ledgers that are given clones of one compute it once.
    pub ethash: LightCaches,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            durability: Durability::Process,
            history: None,
            index: None,
            state_cache_bytes: 32 << 20,
            pool: PoolConfig::default(),
            ethash: LightCaches::default(),
        }
    }
}

/// Says why a ledger cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A newer program wrote the tables.
    #[error("the database has format {found}, this program knows up to {FORMAT}")]
    NewerFormat {
        /// The format found.
        found: u64,
    },
    /// The store holds another chain.
    #[error("database contains incompatible genesis (have {have}, new {new}): {difference}")]
    GenesisMismatch {
        /// The genesis hash in the store.
        have: B256,
        /// The genesis hash of the chain file.
        new: B256,
        /// The first header field that differs.
        difference: String,
    },
    /// Rows that must be there are not.
    #[error("the database is corrupt: {0}")]
    Corrupt(String),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl OpenError {
    /// Turns what went wrong with rows that are there already into what keeps the ledger closed.
    pub(crate) fn of_import(error: ImportError) -> Self {
        match error {
            ImportError::Storage(error) => Self::Storage(error),
            other => Self::Corrupt(other.to_string()),
        }
    }
}

impl From<StateError> for OpenError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Storage(error) => Self::Storage(error),
            StateError::Corrupt(problem) => Self::Corrupt(problem),
        }
    }
}

/// Returns the chain file that a store was initialised with, or `None` where it is empty.
///
/// # Errors
/// The store failed, is newer than this program, or the row is not text.
pub fn stored_chain_file(store: &dyn Store) -> Result<Option<String>, OpenError> {
    check_format(store)?;
    let row = store.get(Table::Meta, meta::CHAIN_FILE)?;
    row.map(|row| String::from_utf8(row).map_err(|_| OpenError::Corrupt("the chain file is no text".to_owned())))
        .transpose()
}

fn check_format(store: &dyn Store) -> Result<(), OpenError> {
    match store.get(Table::Meta, meta::FORMAT)? {
        None => Ok(()),
        Some(row) => match read_u64(&row) {
            Some(found) if found > FORMAT => Err(OpenError::NewerFormat { found }),
            Some(_) => Ok(()),
            None => Err(OpenError::Corrupt("the format row is not 8 bytes".to_owned())),
        },
    }
}

/// Writes the genesis block into an empty store, or checks that a used one holds the same; returns whether it was empty.
///
/// # Errors
/// Another chain, a newer format, or the store failed.
pub fn initialise(store: &dyn Store, genesis: &Genesis, chain_file: &str) -> Result<bool, OpenError> {
    check_format(store)?;
    let Some(row) = store.get(Table::Meta, meta::GENESIS)? else {
        write_genesis(store, genesis, chain_file)?;
        return Ok(true);
    };
    let have =
        B256::try_from(&row[..]).map_err(|_| OpenError::Corrupt("the genesis row is not 32 bytes".to_owned()))?;
    let new = genesis.header.hash();
    if have == new {
        return Ok(false);
    }
    let stored = HeaderRecord::read(store, genesis.header.number, have)?.or(HeaderRecord::read(store, 0, have)?);
    let difference = stored.map_or_else(
        || "the stored genesis header is missing".to_owned(),
        |stored| difference(&stored.header, &genesis.header),
    );
    Err(OpenError::GenesisMismatch { have, new, difference })
}

fn difference(stored: &consensus::Header, given: &consensus::Header) -> String {
    let text = |header: &consensus::Header| {
        [
            ("alloc (state root)", header.state_root.to_string()),
            ("difficulty", header.difficulty.to_string()),
            ("gasLimit", header.gas_limit.to_string()),
            ("timestamp", header.timestamp.to_string()),
            ("extraData", header.extra_data.to_string()),
            ("nonce", header.nonce.to_string()),
            ("mixHash", header.mix_hash.to_string()),
            ("coinbase", header.beneficiary.to_string()),
            ("parentHash", header.parent_hash.to_string()),
            ("baseFeePerGas", format!("{:?}", header.base_fee_per_gas)),
            ("fork at genesis (withdrawals root)", format!("{:?}", header.withdrawals_root)),
            ("fork at genesis (blob gas)", format!("{:?}", header.excess_blob_gas)),
            ("fork at genesis (requests hash)", format!("{:?}", header.requests_hash)),
        ]
    };
    let pairs = text(stored).into_iter().zip(text(given));
    let differing: Vec<_> = pairs
        .filter(|((_, have), (_, new))| have != new)
        .map(|((name, have), (_, new))| format!("{name}: have {have}, new {new}"))
        .collect();
    differing.join("; ")
}

fn write_genesis(store: &dyn Store, genesis: &Genesis, chain_file: &str) -> Result<(), OpenError> {
    let mut stage = Stage::new(store.snapshot());
    let root = state::put_genesis(&mut stage, genesis)?;
    if root != genesis.header.state_root {
        let problem = format!("the genesis state gives root {root}, its header says {}", genesis.header.state_root);
        return Err(OpenError::Corrupt(problem));
    }
    let withdrawals = genesis.header.withdrawals_root.map(|_| Default::default());
    let block = RecoveredBlock {
        header: genesis.header.clone(),
        transactions: Vec::new(),
        ommers: Vec::new(),
        withdrawals,
        witness: None,
    };
    put_block(&mut stage, &block, genesis.header.difficulty);
    put_canonical(&mut stage, &block);
    stage.put(Table::Receipts, block_key(block.number(), block.hash()), encode_receipts(&[]));
    stage.put(Table::Meta, meta::FORMAT, FORMAT.to_be_bytes());
    stage.put(Table::Meta, meta::GENESIS, block.hash().as_slice());
    stage.put(Table::Meta, meta::CHAIN_FILE, chain_file.as_bytes());
    Ok(store.commit(stage.into_batch(), Durability::Disk)?)
}

/// Writes what an older program left out, and what is final where other rules than before make it more. Tells whether there was any.
pub(crate) fn upgrade(store: &dyn Store, view: &ChainView) -> Result<bool, OpenError> {
    let is_current = store.get(Table::Meta, meta::FORMAT)?.is_some_and(|row| row == FORMAT.to_be_bytes());
    let stored = Finalized::read(store)?;
    let is_kept = stored == Some(view.finalized) || (stored.is_none() && view.finalized.number == 0);
    if is_current && is_kept {
        return Ok(false);
    }
    let mut stage = Stage::new(store.snapshot());
    view.finalized.put(&mut stage);
    stage.put(Table::Meta, meta::FORMAT, FORMAT.to_be_bytes());
    store.commit(stage.into_batch(), Durability::Disk)?;
    Ok(true)
}

/// Reads the head of an initialised store's snapshot.
pub(crate) fn head_view(snapshot: Snapshot, genesis: &Genesis) -> Result<ChainView, OpenError> {
    let corrupt = |problem: &str| OpenError::Corrupt(problem.to_owned());
    let row = snapshot.get(Table::Meta, meta::HEAD)?.ok_or_else(|| corrupt("no head"))?;
    let hash = B256::try_from(&row[..]).map_err(|_| corrupt("the head row is not 32 bytes"))?;
    let number = number_of(&*snapshot, hash)?.ok_or_else(|| corrupt("the head's number is missing"))?;
    if canonical_hash(&*snapshot, number)? != Some(hash) {
        return Err(corrupt("the head is not canonical"));
    }
    let record =
        HeaderRecord::read(&*snapshot, number, hash)?.ok_or_else(|| corrupt("the head's header is missing"))?;
    let head = SealedHeader::new(record.header);
    if head.hash() != hash {
        return Err(corrupt("the head's header has another hash"));
    }
    let root = state::stored_root(&*snapshot)?;
    let expected = amendments::root(&*snapshot, number, hash)?.unwrap_or(head.state_root);
    if root != expected {
        return Err(OpenError::Corrupt(format!("state root: the head says {expected}, the stored trie {root}")));
    }
    let base = base_number(&*snapshot)?;
    if let Some(problem) = Finalized::check(&*snapshot)? {
        return Err(OpenError::Corrupt(problem));
    }
    let finalized = Finalized::at_opening(&snapshot, &genesis.spec.pow, number, base)?;
    Ok(ChainView {
        spec: Arc::new(genesis.spec.clone()),
        snapshot,
        head,
        state_root: root,
        head_td: record.total_difficulty,
        genesis_hash: genesis.header.hash(),
        finalized,
        base,
    })
}
