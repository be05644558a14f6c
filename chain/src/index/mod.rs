//! The index of addresses and events: in which transactions an address takes part, and which logs it or a topic has.
//!
//! An operator may have it or not. Its rows are part of the batch of each import and are undone with their block, so that they always
//! belong to the canonical chain. Which blocks they cover stands in the database itself; importing extends the index only where
//! it ends at the block's parent. It says nothing about calls inside a transaction: they are found by replaying blocks.

mod build;
mod check;
mod read;
mod rows;

use alloy_primitives::B256;
use consensus::RecoveredBlock;
use evm_runtime::Receipt;
use evm_runtime::receipt::decode_receipts;
use storage::{Reader, Stage, StorageError, Table};

use crate::records::{block_key, meta, number_of};

pub(crate) use build::prepare;
pub use build::{Built, build, drop_all, is_on};
pub(crate) use check::IndexCheck;
pub use read::{AddressRow, EventRow, EventScope, IndexReader};
pub(crate) use rows::rows_of;
pub use rows::{Roles, TRANSFER};

/// Which blocks the rows cover, and whether imports extend them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coverage {
    /// Whether imports extend the index.
    pub(crate) is_on: bool,
    /// The first block.
    pub(crate) first: u64,
    /// The hash of the last block.
    pub(crate) last: B256,
}

impl Coverage {
    /// Reads the coverage; none: there is no index.
    pub(crate) fn read(reader: &dyn Reader) -> Result<Option<Self>, StorageError> {
        let Some(row) = reader.get(Table::Meta, meta::INDEX)? else { return Ok(None) };
        let bad_row = || StorageError::Row { table: Table::Meta, problem: "the index row is not 41 bytes".to_owned() };
        let (is_on, rest) = row.split_first().ok_or_else(bad_row)?;
        let (first, last) = rest.split_first_chunk::<8>().ok_or_else(bad_row)?;
        let last = B256::try_from(last).map_err(|_| bad_row())?;
        Ok(Some(Self { is_on: *is_on == 1, first: u64::from_be_bytes(*first), last }))
    }

    pub(crate) fn put(self, stage: &mut Stage) {
        let row = [&[u8::from(self.is_on)][..], &self.first.to_be_bytes(), self.last.as_slice()].concat();
        stage.put(Table::Meta, meta::INDEX, row);
    }
}

/// Adds a block that becomes canonical, where the index ends at its parent.
pub(crate) fn connect(stage: &mut Stage, block: &RecoveredBlock, receipts: &[Receipt]) -> Result<(), StorageError> {
    let coverage = Coverage::read(stage)?.filter(|coverage| coverage.is_on);
    let Some(coverage) = coverage.filter(|coverage| coverage.last == block.header.parent_hash) else { return Ok(()) };
    rows_of(block, receipts).put(stage);
    Coverage { last: block.hash(), ..coverage }.put(stage);
    Ok(())
}

/// Takes a block away that leaves the canonical chain, where the index ends with it.
pub(crate) fn disconnect(stage: &mut Stage, block: &RecoveredBlock) -> Result<(), StorageError> {
    let coverage = Coverage::read(stage)?.filter(|coverage| coverage.last == block.hash());
    let Some(coverage) = coverage else { return Ok(()) };
    // Without the rows of blocks below its first one, an index that loses that one is at its beginning.
    if block.number() >= coverage.first {
        rows_of(block, &receipts_of(stage, block)?).delete(stage);
    }
    let first = coverage.first.min(block.number());
    Coverage { first, last: block.header.parent_hash, ..coverage }.put(stage);
    Ok(())
}

/// Begins anew behind a block whose state was not executed here, where there is an index that is on.
pub(crate) fn restart(stage: &mut Stage, number: u64, hash: B256) -> Result<(), StorageError> {
    if let Some(coverage) = Coverage::read(stage)? {
        Coverage { first: number.saturating_add(1), last: hash, ..coverage }.put(stage);
    }
    Ok(())
}

/// Reads the receipts of a canonical block, which was executed.
pub(crate) fn receipts_of(reader: &dyn Reader, block: &RecoveredBlock) -> Result<Vec<Receipt>, StorageError> {
    let bad_row = |problem: String| StorageError::Row { table: Table::Receipts, problem };
    let row = reader.get(Table::Receipts, &block_key(block.number(), block.hash()))?;
    decode_receipts(&row.ok_or_else(|| bad_row(format!("block {} has none", block.number())))?).map_err(bad_row)
}

/// Says in words what the index covers.
///
/// # Errors
/// The store failed.
pub fn describe(reader: &dyn Reader) -> Result<String, StorageError> {
    let Some(coverage) = Coverage::read(reader)? else { return Ok("none".to_owned()) };
    let last = number_of(reader, coverage.last)?.map_or_else(|| "unknown".to_owned(), |last| last.to_string());
    let state = if coverage.is_on { "on" } else { "off" };
    Ok(format!("{state}, blocks {} to {last}", coverage.first))
}
