//! The blocks that clients ask for most: those that were just mined.
//!
//! Whoever sends a hundred transactions asks for a hundred receipts of the same block; it is read and decoded once.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use alloy_primitives::B256;
use chain::{ChainView, ViewError};
use consensus::RecoveredBlock;
use evm_runtime::Receipt;
use parking_lot::Mutex;

/// How many blocks are kept.
const BLOCKS_MAX: usize = 64;
/// How many transactions the kept blocks may have in all, beside the newest block's.
const TRANSACTIONS_MAX: usize = 10_000;

/// A block and, once somebody asked for them, its receipts.
pub(crate) struct RecentBlock {
    block: Arc<RecoveredBlock>,
    receipts: OnceLock<Arc<Vec<Receipt>>>,
}

impl RecentBlock {
    /// Returns the block.
    pub(crate) fn block(&self) -> &RecoveredBlock {
        &self.block
    }

    /// Returns the block to be kept.
    pub(crate) fn shared(&self) -> Arc<RecoveredBlock> {
        Arc::clone(&self.block)
    }

    /// Returns the receipts; `None` for a block that was never executed.
    pub(crate) fn receipts(&self, view: &ChainView) -> Result<Option<Arc<Vec<Receipt>>>, ViewError> {
        if let Some(receipts) = self.receipts.get() {
            return Ok(Some(Arc::clone(receipts)));
        }
        let read = view.receipts(self.block.hash())?;
        if let Some(receipts) = &read {
            // Another reader may have been faster, with the same receipts.
            let _ = self.receipts.set(Arc::clone(receipts));
        }
        Ok(read)
    }
}

/// Keeps the blocks used last.
#[derive(Default)]
pub(crate) struct RecentBlocks {
    /// The most recently used comes last.
    blocks: Mutex<VecDeque<Arc<RecentBlock>>>,
}

impl RecentBlocks {
    /// Returns a block of any known branch.
    pub(crate) fn by_hash(&self, view: &ChainView, hash: B256) -> Result<Option<Arc<RecentBlock>>, ViewError> {
        if let Some(known) = self.find(hash) {
            return Ok(Some(known));
        }
        Ok(view.block_by_hash(hash)?.map(|block| self.keep(block)))
    }

    /// Returns the canonical block at `number`.
    pub(crate) fn by_number(&self, view: &ChainView, number: u64) -> Result<Option<Arc<RecentBlock>>, ViewError> {
        let hash = if number == view.head().number { Some(view.head().hash()) } else { view.canonical_hash(number)? };
        match hash {
            Some(hash) => self.by_hash(view, hash),
            None => Ok(None),
        }
    }

    fn find(&self, hash: B256) -> Option<Arc<RecentBlock>> {
        let mut blocks = self.blocks.lock();
        let place = blocks.iter().rposition(|recent| recent.block.hash() == hash)?;
        let found = blocks.remove(place)?;
        blocks.push_back(Arc::clone(&found));
        Some(found)
    }

    /// Keeps a block, and drops those that were not used for the longest time.
    pub(crate) fn keep(&self, block: Arc<RecoveredBlock>) -> Arc<RecentBlock> {
        let recent = Arc::new(RecentBlock { block, receipts: OnceLock::new() });
        let mut blocks = self.blocks.lock();
        blocks.push_back(Arc::clone(&recent));
        let mut transactions: usize = blocks.iter().map(|recent| recent.block.transactions.len()).sum();
        while blocks.len() > BLOCKS_MAX || (transactions > TRANSACTIONS_MAX && blocks.len() > 1) {
            let Some(oldest) = blocks.pop_front() else { break };
            transactions -= oldest.block.transactions.len();
        }
        recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u64) -> Arc<RecoveredBlock> {
        let header = consensus::SealedHeader::new(consensus::Header { number, ..Default::default() });
        Arc::new(RecoveredBlock { header, transactions: vec![], ommers: vec![], withdrawals: None, witness: None })
    }

    #[test]
    fn the_blocks_used_last_are_kept() {
        let recent = RecentBlocks::default();
        let first = recent.keep(block(0)).block.hash();
        let second = recent.keep(block(1)).block.hash();
        for number in 2..64 {
            recent.keep(block(number));
        }
        assert!(recent.find(first).is_some());
        recent.keep(block(64));
        assert!(recent.find(first).is_some());
        assert!(recent.find(second).is_none());
        assert_eq!(recent.blocks.lock().len(), BLOCKS_MAX);
    }
}
