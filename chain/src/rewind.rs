//! What an operator does to the chain by hand: going back to an earlier block, and, on a development chain, changing the state after
//! the head. Both are commands to the one writer, and each is one atomic batch.

use std::sync::Arc;

use consensus::RecoveredTransaction;
use evm_runtime::state::{self, AccountAmendment};
use storage::Stage;

use crate::amendments;
use crate::import::{ImportError, ImportOutcome, Imported, Reorganisation, Writer, connect, corrupt, disconnect};
use crate::records::{HeaderRecord, canonical_hash, read_block};
use crate::view::ChainView;

/// How many blocks one batch takes back. More are taken back in several batches: a crash between them leaves the head on the way, on
/// a chain that is whole.
pub(crate) const BLOCKS_PER_BATCH: u64 = 4096;

/// Names where a rewind ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RewindTarget {
    /// The canonical block that becomes the head.
    pub number: u64,
    /// How many of the changes by hand after that block stay; `None`: all.
    pub amendments: Option<u32>,
}

impl RewindTarget {
    /// Names a block as it is, with the changes by hand that followed it.
    pub fn block(number: u64) -> Self {
        Self { number, amendments: None }
    }
}

/// Says what becomes of the transactions when the chain goes back.
#[derive(Clone, Debug, Default)]
pub enum AfterRewind {
    /// Those of the blocks that leave go back into the pool, as in any reorganisation.
    #[default]
    ReturnTransactions,
    /// The pool has exactly these, and nothing comes back.
    ReplacePool(Vec<RecoveredTransaction>),
}

impl AfterRewind {
    /// Says what becomes of them while there are more blocks to take back.
    pub(crate) fn on_the_way(&self) -> Self {
        match self {
            Self::ReturnTransactions => Self::ReturnTransactions,
            Self::ReplacePool(_) => Self::ReplacePool(Vec::new()),
        }
    }
}

impl Writer {
    /// Makes an earlier canonical block the head. The blocks above stay in the store, as those of any branch that was left. What is
    /// final goes back by as many blocks as the head.
    pub(crate) fn rewind(&mut self, target: RewindTarget) -> Result<Imported, ImportError> {
        let RewindTarget { number, amendments: kept } = target;
        let head = self.view.head.number;
        refuse_rewind(&self.view, number)?;
        let mut stage = Stage::new(self.view.snapshot.clone());
        let dropped = self.disconnect_to(&mut stage, number)?;
        for (block, _) in &dropped {
            amendments::forget(&mut stage, block.number(), block.hash(), 0)?;
        }
        let hash = canonical_hash(&stage, number)?.ok_or_else(|| corrupt("the block to go back to is gone"))?;
        if let Some(kept) = kept {
            self.unamend(&mut stage, number, hash, kept)?;
        }
        let block = read_block(&stage, number, hash)?.ok_or_else(|| corrupt("the block to go back to is gone"))?;
        let record = HeaderRecord::read(&stage, number, hash)?.ok_or_else(|| corrupt("the header is gone"))?;
        let finalized = self.view.finalized.lowered(&stage, head - number, self.view.base)?;
        self.commit_head_with(stage, &block, record.total_difficulty, finalized)?;
        let reverted = usize::try_from(head - number).unwrap_or(usize::MAX);
        let reorganisation = (!dropped.is_empty()).then_some(Reorganisation { ancestor: number, dropped });
        Ok(Imported { outcome: ImportOutcome::Canonical { reverted }, added: Vec::new(), reorganisation })
    }

    /// Takes back the changes by hand after the stage's head but the first `kept`: the block is undone with all that followed, and
    /// connected again.
    fn unamend(
        &self,
        stage: &mut Stage,
        number: u64,
        hash: alloy_primitives::B256,
        kept: u32,
    ) -> Result<(), ImportError> {
        if amendments::count(stage, number, hash)? <= kept {
            return Ok(());
        }
        amendments::forget(stage, number, hash, kept)?;
        // The genesis block, and one whose state came as a snapshot, were not executed here: their undo data are the changes alone.
        if number <= self.view.base {
            state::undo(stage, number)?;
            return amendments::repeat(stage, number, hash);
        }
        let block = read_block(stage, number, hash)?.ok_or_else(|| corrupt("a canonical block is gone"))?;
        let record = HeaderRecord::read(stage, number, hash)?.ok_or_else(|| corrupt("the header is gone"))?;
        disconnect(stage, &block)?;
        connect(&self.view.spec, stage, &block, record.total_difficulty)
    }

    /// Changes the state after the head.
    pub(crate) fn amend(&mut self, accounts: Vec<AccountAmendment>) -> Result<Imported, ImportError> {
        let mut stage = Stage::new(self.view.snapshot.clone());
        let (number, hash) = (self.view.head.number, self.view.head.hash());
        let state_root = amendments::add(&mut stage, number, hash, accounts)?;
        let snapshot = self.commit(stage)?;
        self.view = Arc::new(ChainView { snapshot, state_root, ..(*self.view).clone() });
        Ok(Imported::nothing(ImportOutcome::Canonical { reverted: 0 }))
    }
}

/// Refuses to go where the chain cannot go back to, and says why.
pub(crate) fn refuse_rewind(view: &ChainView, number: u64) -> Result<(), ImportError> {
    let head = view.head.number;
    if number > head {
        return Err(ImportError::Refused(format!("block {number} is above the head, block {head}")));
    }
    let base = view.base;
    if number < base {
        return Err(ImportError::Refused(format!(
            "the state of block {number} never was here: the node began at block {base} from another node's state"
        )));
    }
    let first = view.history_floor().map_err(|error| ImportError::Corrupt(error.to_string()))?;
    if number < first {
        return Err(ImportError::Refused(format!(
            "the history of block {number} was pruned: the chain can go back to block {first}; to go further, import an export or \
             restore a backup"
        )));
    }
    Ok(())
}
