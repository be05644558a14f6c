//! Checking a whole database against itself, and pruning its history.

use alloy_consensus::proofs;
use alloy_primitives::B256;
use consensus::block;
use evm_runtime::Receipt;
use evm_runtime::receipt::{decode_receipts, receipts_root};
use evm_runtime::state::{self, StateCheck};
use storage::{Durability, Reader, Stage, StorageError, Store, Table};

use crate::amendments;
use crate::finality::Finalized;
use crate::import::ImportError;
use crate::index::IndexCheck;
use crate::records::{HeaderRecord, base_number, block_key, canonical_hash, meta, number_of, read_block, read_u64};

/// Says what a check of the whole database found.
#[derive(Clone, Debug, Default)]
pub struct Check {
    /// The head's number.
    pub head: u64,
    /// The head's hash.
    pub head_hash: B256,
    /// Canonical blocks read.
    pub blocks: u64,
    /// Transactions read.
    pub transactions: u64,
    /// What the check of the state found.
    pub state: StateCheck,
    /// What does not agree; empty: the database is whole.
    pub problems: Vec<String>,
}

/// Recomputes every hash and root of the canonical chain and of the state at the head, and compares them.
///
/// # Errors
/// The store failed or a row does not decode.
pub fn verify(store: &dyn Store, mut progress: impl FnMut(u64)) -> Result<Check, ImportError> {
    let snapshot = store.snapshot();
    let reader = &*snapshot;
    let mut check = Check::default();
    let head = reader.get(Table::Meta, meta::HEAD)?.and_then(|row| B256::try_from(&row[..]).ok());
    let head = head.ok_or_else(|| ImportError::Corrupt("the database has no head".to_owned()))?;
    check.head_hash = head;
    check.head = number_of(reader, head)?.ok_or_else(|| ImportError::Corrupt("the head has no number".to_owned()))?;
    let mut state_root = B256::ZERO;
    let base = base_number(reader)?;
    let mut index = IndexCheck::begin(reader)?;
    let (mut number, mut expected) = (check.head, head);
    loop {
        let found = if number > base || number == 0 {
            check_block(reader, number, expected, &mut check, &mut index)?
        } else {
            check_header(reader, number, expected, &mut check)?
        };
        match found {
            Some(record) => {
                if number == check.head {
                    state_root = amendments::root(reader, number, head)?.unwrap_or(record.header.state_root);
                }
                expected = record.header.parent_hash;
            }
            None => break,
        }
        progress(number);
        check.blocks += 1;
        if number == 0 {
            break;
        }
        number -= 1;
    }
    if let Some(entry) = reader.seek(Table::Canonical, &check.head.saturating_add(1).to_be_bytes())? {
        check.problems.push(format!("block {} is canonical above the head", read_u64(&entry.0).unwrap_or(u64::MAX)));
    }
    check.problems.extend(Finalized::check(reader)?);
    check.problems.append(&mut index.end(reader)?);
    check.state = state::check(reader)?;
    check.problems.append(&mut check.state.problems.clone());
    if check.state.root != state_root {
        check
            .problems
            .push(format!("state root: the head says {state_root}, the flat state gives {}", check.state.root));
    }
    Ok(check)
}

/// Checks a block of which a snapshot has left the header only.
fn check_header(
    reader: &dyn Reader,
    number: u64,
    hash: B256,
    check: &mut Check,
) -> Result<Option<HeaderRecord>, ImportError> {
    if canonical_hash(reader, number)? != Some(hash) {
        check.problems.push(format!("block {number}: the canonical index does not hold {hash}"));
    }
    let record = HeaderRecord::read(reader, number, hash)?;
    match &record {
        Some(record) if record.header.hash_slow() == hash && record.header.number == number => {}
        Some(_) => check.problems.push(format!("block {number}: the header has another hash or number than {hash}")),
        None => check.problems.push(format!("header {number} ({hash}) is missing")),
    }
    Ok(record)
}

fn check_block(
    reader: &dyn Reader,
    number: u64,
    hash: B256,
    check: &mut Check,
    index: &mut IndexCheck,
) -> Result<Option<HeaderRecord>, ImportError> {
    if canonical_hash(reader, number)? != Some(hash) {
        check.problems.push(format!("block {number}: the canonical index does not hold {hash}"));
    }
    let (Some(record), Some(block)) = (HeaderRecord::read(reader, number, hash)?, read_block(reader, number, hash)?)
    else {
        check.problems.push(format!("block {number} ({hash}) is missing"));
        return Ok(None);
    };
    let header = &record.header;
    if header.hash_slow() != hash || header.number != number {
        check.problems.push(format!("block {number}: the header has another hash or number than {hash}"));
    }
    let body = block.to_block().body;
    if proofs::calculate_transaction_root(&body.transactions) != header.transactions_root {
        check.problems.push(format!("block {number}: transactions root"));
    }
    if block::ommers_hash(&body.ommers) != header.ommers_hash {
        check.problems.push(format!("block {number}: ommers hash"));
    }
    let withdrawals = body.withdrawals.as_ref().map(|list| proofs::calculate_withdrawals_root(list.as_slice()));
    if withdrawals != header.withdrawals_root {
        check.problems.push(format!("block {number}: withdrawals root"));
    }
    if let Some(receipts) = check_receipts(reader, number, hash, header, check)? {
        check.problems.extend(index.add(reader, &block, &receipts)?);
    }
    for (index, tx) in block.transactions.iter().enumerate() {
        check.transactions += 1;
        let place = [&number.to_be_bytes()[..], &u32::try_from(index).unwrap_or(u32::MAX).to_be_bytes()].concat();
        if reader.get(Table::Transactions, tx.hash().as_slice())?.as_deref() != Some(&place[..]) {
            check.problems.push(format!("transaction {}: the index does not lead to block {number}", tx.hash()));
        }
    }
    Ok(Some(record))
}

fn check_receipts(
    reader: &dyn Reader,
    number: u64,
    hash: B256,
    header: &consensus::Header,
    check: &mut Check,
) -> Result<Option<Vec<Receipt>>, ImportError> {
    let row = reader.get(Table::Receipts, &block_key(number, hash))?;
    match row.as_deref().map(decode_receipts) {
        Some(Ok(receipts)) if receipts_root(&receipts) == header.receipts_root => return Ok(Some(receipts)),
        Some(Ok(_)) => check.problems.push(format!("block {number}: receipts root")),
        Some(Err(problem)) => check.problems.push(format!("block {number}: receipts: {problem}")),
        None => check.problems.push(format!("block {number}: the receipts are missing")),
    }
    Ok(None)
}

/// Deletes the history of all but the newest `kept` blocks. Returns how many blocks' history went.
///
/// # Errors
/// The store failed.
pub fn prune(store: &dyn Store, kept: u64, mut progress: impl FnMut(u64)) -> Result<u64, ImportError> {
    /// How many blocks' history goes in one batch.
    const BATCH_BLOCKS: u64 = 256;
    let head = store.get(Table::Meta, meta::HEAD)?.and_then(|row| B256::try_from(&row[..]).ok());
    let head = head.ok_or_else(|| ImportError::Corrupt("the database has no head".to_owned()))?;
    let head = number_of(store.snapshot().as_ref(), head)?.unwrap_or(0);
    let Some(floor) = head.checked_sub(kept) else { return Ok(0) };
    let first = store.seek(Table::Changes, &[])?.and_then(|(key, _)| read_u64(&key)).unwrap_or(floor);
    let mut pruned = 0;
    let mut from = first;
    while from <= floor {
        let to = from.saturating_add(BATCH_BLOCKS - 1).min(floor);
        let mut stage = Stage::new(store.snapshot());
        for number in from..=to {
            pruned += u64::from(state::forget_history(&mut stage, number)?);
        }
        stage.put(Table::Meta, meta::HISTORY_FLOOR, to.to_be_bytes());
        store.commit(stage.into_batch(), Durability::Process)?;
        progress(to);
        from = to.saturating_add(1);
    }
    store.sync()?;
    Ok(pruned)
}

/// Returns what the database says about itself, by name: format, genesis, head, the finalized block, the first block whose state can
/// be read.
///
/// # Errors
/// The store failed.
pub fn facts(store: &dyn Store) -> Result<Vec<(&'static str, String)>, StorageError> {
    let number = |row: Option<Vec<u8>>| row.and_then(|row| read_u64(&row));
    let hash = |row: Option<Vec<u8>>| row.and_then(|row| B256::try_from(&row[..]).ok());
    let text = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let head = hash(store.get(Table::Meta, meta::HEAD)?);
    let head_number = match head {
        Some(head) => number(store.get(Table::Numbers, head.as_slice())?),
        None => None,
    };
    let finalized = Finalized::read(store)?;
    Ok(vec![
        ("format", text(number(store.get(Table::Meta, meta::FORMAT)?).map(|format| format.to_string()))),
        ("genesis", text(hash(store.get(Table::Meta, meta::GENESIS)?).map(|hash| hash.to_string()))),
        ("head", text(head.map(|hash| hash.to_string()))),
        ("head number", text(head_number.map(|number| number.to_string()))),
        ("finalized", text(finalized.map(|finalized| finalized.hash.to_string()))),
        ("finalized number", finalized.map_or(0, |finalized| finalized.number).to_string()),
        ("history from", number(store.get(Table::Meta, meta::HISTORY_FLOOR)?).unwrap_or(0).to_string()),
        ("index", crate::index::describe(store)?),
    ])
}
