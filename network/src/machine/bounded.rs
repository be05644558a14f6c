//! Collections with a bound: what is over it leaves at the other end, oldest first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use alloy_primitives::B256;
use consensus::RecoveredBlock;

/// Remembers the newest so many hashes.
#[derive(Debug)]
pub(crate) struct Seen {
    max: usize,
    known: BTreeSet<B256>,
    order: VecDeque<B256>,
}

impl Seen {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, known: BTreeSet::new(), order: VecDeque::new() }
    }

    /// Adds a hash and tells whether it is new.
    pub(crate) fn insert(&mut self, hash: B256) -> bool {
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    pub(crate) fn contains(&self, hash: B256) -> bool {
        self.known.contains(&hash)
    }

    /// Forgets a hash, so that it may come again.
    pub(crate) fn remove(&mut self, hash: B256) {
        if self.known.remove(&hash) {
            self.order.retain(|known| *known != hash);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}

/// Returns about how many bytes a block takes in memory.
pub(crate) fn block_bytes(block: &RecoveredBlock) -> usize {
    /// A header, and a transaction beside its encoding.
    const FIXED: usize = 1024;
    const PER_TRANSACTION: usize = 512;
    let transactions = block.transactions.iter().map(|tx| tx.size_bytes() + PER_TRANSACTION);
    FIXED + transactions.sum::<usize>()
}

/// Holds the newest blocks up to so many bytes.
#[derive(Debug)]
pub(crate) struct RecentBlocks {
    bytes_max: usize,
    bytes: usize,
    blocks: BTreeMap<B256, Arc<RecoveredBlock>>,
    order: VecDeque<B256>,
}

impl RecentBlocks {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, blocks: BTreeMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn get(&self, hash: B256) -> Option<&Arc<RecoveredBlock>> {
        self.blocks.get(&hash)
    }

    pub(crate) fn insert(&mut self, block: Arc<RecoveredBlock>) {
        let (hash, size) = (block.hash(), block_bytes(&block));
        if self.blocks.insert(hash, block).is_some() {
            return;
        }
        self.order.push_back(hash);
        self.bytes += size;
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.order.front().copied() else { break };
            self.remove(oldest);
        }
    }

    pub(crate) fn remove(&mut self, hash: B256) {
        if let Some(block) = self.blocks.remove(&hash) {
            self.bytes = self.bytes.saturating_sub(block_bytes(&block));
            self.order.retain(|known| *known != hash);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_blocks_stay_within_their_bytes() {
        let block = |number| {
            let header = consensus::SealedHeader::new(consensus::Header { number, ..Default::default() });
            let block =
                RecoveredBlock { header, transactions: vec![], ommers: vec![], withdrawals: None, witness: None };
            Arc::new(block)
        };
        let mut recent = RecentBlocks::new(3 * block_bytes(&block(0)));
        for number in 0..10 {
            recent.insert(block(number));
            recent.insert(block(number));
        }
        let kept: Vec<_> = (0..10).filter(|number| recent.get(block(*number).hash()).is_some()).collect();
        assert_eq!((kept, recent.bytes()), (vec![7, 8, 9], 3 * block_bytes(&block(0))));
        (7..10).for_each(|number| recent.remove(block(number).hash()));
        assert_eq!((recent.bytes(), recent.order.len()), (0, 0));
    }

    #[test]
    fn only_the_newest_are_remembered() {
        let mut seen = Seen::new(2);
        let hash = |n| B256::repeat_byte(n);
        let fresh: Vec<_> = [1, 2, 1, 3].into_iter().map(|n| seen.insert(hash(n))).collect();
        assert_eq!(fresh, [true, true, false, true]);
        assert_eq!([1, 2, 3].map(|n| seen.contains(hash(n))), [false, true, true]);
        seen.remove(hash(2));
        seen.insert(hash(4));
        assert_eq!(([2, 3, 4].map(|n| seen.contains(hash(n))), seen.len()), ([false, true, true], 2));
    }
}
