//! Making the index for blocks that are there already, and taking it away. Both happen while nobody imports.

use alloy_primitives::B256;
use storage::{Durability, Reader, Stage, Store, Table};

use super::{Coverage, receipts_of, rows_of};
use crate::import::ImportError;
use crate::records::{base_number, canonical_hash, meta, number_of, read_block};

/// How many rows go in one batch.
const BATCH_ROWS: usize = 50_000;
/// How many blocks go in one batch at most.
const BATCH_BLOCKS: u64 = 4096;

/// Says what was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Built {
    /// How many blocks were added; those that were covered already do not count.
    pub blocks: u64,
    /// The first block that is covered.
    pub first: u64,
    /// The last block that is covered: the head.
    pub last: u64,
}

/// Completes the index up to the head and lets imports extend it. Where it covers blocks that are no longer canonical, it is made anew. A
/// build that is interrupted goes on where it was. `progress` is told of the last block that is done and of the head.
///
/// # Errors
/// The store failed, or a block is missing.
pub fn build(store: &dyn Store, mut progress: impl FnMut(u64, u64)) -> Result<Built, ImportError> {
    let snapshot = store.snapshot();
    let Some(head) = snapshot.get(Table::Meta, meta::HEAD)?.and_then(|row| B256::try_from(&row[..]).ok()) else {
        return Ok(Built::default());
    };
    let head = number_of(&*snapshot, head)?.ok_or_else(|| corrupt("the head has no number"))?;
    let (first, before) = match covered(&*snapshot)? {
        Some(covered) => covered,
        None => {
            drop_all(store)?;
            let base = base_number(&*snapshot)?;
            // Of a block whose state came by a snapshot there are no receipts; the genesis block has no transactions.
            (if base == 0 { 0 } else { base.saturating_add(1) }, base)
        }
    };
    let mut done = before;
    loop {
        done = add_batch(store, first, done, done.saturating_add(BATCH_BLOCKS).min(head))?;
        progress(done, head);
        if done == head {
            break;
        }
    }
    store.sync()?;
    Ok(Built { blocks: head.saturating_sub(before), first, last: head })
}

/// Returns the first and the last block that are covered; none: there is no index, or not of this chain.
fn covered(reader: &dyn Reader) -> Result<Option<(u64, u64)>, ImportError> {
    let Some(coverage) = Coverage::read(reader)? else { return Ok(None) };
    let Some(last) = number_of(reader, coverage.last)? else { return Ok(None) };
    let is_canonical = canonical_hash(reader, last)? == Some(coverage.last);
    Ok(is_canonical.then_some((coverage.first, last)))
}

/// Adds the blocks after `done` up to `to`, or as many as fit in a batch, and returns the last one.
fn add_batch(store: &dyn Store, first: u64, done: u64, to: u64) -> Result<u64, ImportError> {
    let mut stage = Stage::new(store.snapshot());
    let mut last = done;
    while last < to && stage.len() < BATCH_ROWS {
        let number = last.saturating_add(1);
        let hash = canonical_hash(&stage, number)?.ok_or_else(|| corrupt("a canonical block is gone"))?;
        let block = read_block(&stage, number, hash)?.ok_or_else(|| corrupt("a canonical block is gone"))?;
        rows_of(&block, &receipts_of(&stage, &block)?).put(&mut stage);
        last = number;
    }
    let hash = canonical_hash(&stage, last)?.ok_or_else(|| corrupt("a canonical block is gone"))?;
    Coverage { is_on: true, first, last: hash }.put(&mut stage);
    store.commit(stage.into_batch(), Durability::Process)?;
    Ok(last)
}

/// Deletes the index, and imports no longer extend it. Returns how many rows went.
///
/// # Errors
/// The store failed.
pub fn drop_all(store: &dyn Store) -> Result<u64, ImportError> {
    // First of all nobody may take what is left for an index.
    let mut stage = Stage::new(store.snapshot());
    stage.delete(Table::Meta, meta::INDEX);
    store.commit(stage.into_batch(), Durability::Process)?;
    let mut dropped = 0_u64;
    for table in [Table::AddressIndex, Table::EventIndex] {
        loop {
            let snapshot = store.snapshot();
            let mut stage = Stage::new(snapshot.clone());
            for row in snapshot.iterate(table, &[]).take(BATCH_ROWS) {
                stage.delete(table, row?.0);
            }
            if stage.is_empty() {
                break;
            }
            dropped = dropped.saturating_add(u64::try_from(stage.len()).unwrap_or(u64::MAX));
            store.commit(stage.into_batch(), Durability::Process)?;
        }
    }
    store.sync()?;
    Ok(dropped)
}

/// Makes the index as an operator wants it: there, or not extended any more, or as it was.
pub(crate) fn prepare(store: &dyn Store, wanted: Option<bool>) -> Result<(), ImportError> {
    let is_on = Coverage::read(store)?.is_some_and(|coverage| coverage.is_on);
    match wanted.unwrap_or(is_on) {
        true => build(store, |_, _| {}).map(drop),
        false => pause(store),
    }
}

/// Tells whether an index is there that imports extend.
///
/// # Errors
/// The store failed.
pub fn is_on(store: &dyn Store) -> Result<bool, ImportError> {
    Ok(Coverage::read(store)?.is_some_and(|coverage| coverage.is_on))
}

/// Stops imports from extending the index; what is there stays, and building completes it.
fn pause(store: &dyn Store) -> Result<(), ImportError> {
    if let Some(coverage) = Coverage::read(store)?.filter(|coverage| coverage.is_on) {
        let mut stage = Stage::new(store.snapshot());
        Coverage { is_on: false, ..coverage }.put(&mut stage);
        store.commit(stage.into_batch(), Durability::Process)?;
    }
    Ok(())
}

fn corrupt(problem: &str) -> ImportError {
    ImportError::Corrupt(problem.to_owned())
}
