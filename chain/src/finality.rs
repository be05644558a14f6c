//! Which block is final here: the highest one that ever was, not the one that lies `finality_depth` below the present head.
//!
//! Work decides between branches, and the heavier one may be the shorter one, since difficulty follows the time between blocks. So the
//! head may move down, and what is final must not follow it: a second branch could then leave below a block that was reported as
//! final. Number and hash stand in `Meta` and are part of the batch that moves the head. Only an operator's rewind lowers them.

use alloy_primitives::B256;
use consensus::{PowRules, fork_choice};
use storage::{Reader, Snapshot, Stage, StorageError, Table};

use crate::records::{canonical_hash, meta, read_u64};

/// Names the highest block that is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Finalized {
    pub(crate) number: u64,
    pub(crate) hash: B256,
}

fn bad_row(problem: impl ToString) -> StorageError {
    StorageError::Row { table: Table::Meta, problem: problem.to_string() }
}

impl Finalized {
    /// Reads what is stored; none: nothing but the genesis block, or the program that wrote the tables kept no such row.
    pub(crate) fn read(reader: &dyn Reader) -> Result<Option<Self>, StorageError> {
        let Some(row) = reader.get(Table::Meta, meta::FINALIZED)? else { return Ok(None) };
        let fields = row
            .split_at_checked(8)
            .and_then(|(number, hash)| Some(Self { number: read_u64(number)?, hash: B256::try_from(hash).ok()? }));
        fields.map(Some).ok_or_else(|| bad_row("the finalized block is not 40 bytes"))
    }

    /// Reads what is stored, and says what is wrong where the canonical chain does not hold it.
    pub(crate) fn check(reader: &dyn Reader) -> Result<Option<String>, StorageError> {
        let Some(Self { number, hash }) = Self::read(reader)? else { return Ok(None) };
        let is_canonical = canonical_hash(reader, number)? == Some(hash);
        Ok((!is_canonical).then(|| format!("the finalized block {number} ({hash}) is not canonical")))
    }

    /// Returns what is final where a store is opened at block `head`; `base` is the block whose state a snapshot gave. Where nothing
    /// is stored, it is as deep below the head as the rules say.
    pub(crate) fn at_opening(
        snapshot: &Snapshot,
        rules: &PowRules,
        head: u64,
        base: u64,
    ) -> Result<Self, StorageError> {
        let stored = Self::read(&**snapshot)?.map_or(0, |stored| stored.number);
        Self::canonical(&**snapshot, fork_choice::finalized_number(rules, head, stored.max(base)))
    }

    /// Returns what is final when the stage's head is block `head`; `self` was before.
    pub(crate) fn risen(self, stage: &Stage, rules: &PowRules, head: u64) -> Result<Self, StorageError> {
        match fork_choice::finalized_number(rules, head, self.number) {
            number if number == self.number => Ok(self),
            number => Self::canonical(stage, number),
        }
    }

    /// Returns what is final after a rewind by `blocks`: so many blocks less, but at least the one whose state a snapshot gave. On a
    /// chain that was never left for a shorter one, it is what was final when the new head was the head before.
    pub(crate) fn lowered(self, stage: &Stage, blocks: u64, base: u64) -> Result<Self, StorageError> {
        Self::canonical(stage, self.number.saturating_sub(blocks).max(base))
    }

    /// Names the canonical block of this number.
    pub(crate) fn canonical(reader: &dyn Reader, number: u64) -> Result<Self, StorageError> {
        let hash = canonical_hash(reader, number)?;
        Ok(Self { number, hash: hash.ok_or_else(|| bad_row(format!("no canonical block {number} to be final")))? })
    }

    /// Writes it. That the genesis block is final needs no row.
    pub(crate) fn put(self, stage: &mut Stage) {
        if self.number == 0 {
            stage.delete(Table::Meta, meta::FINALIZED);
        } else {
            stage.put(Table::Meta, meta::FINALIZED, [&self.number.to_be_bytes()[..], self.hash.as_slice()].concat());
        }
    }
}
