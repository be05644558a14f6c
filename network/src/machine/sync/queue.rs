//! The blocks between our chain and a peer's: verified headers in order, each on its way from header to body to import.

use std::collections::VecDeque;

use alloy_consensus::EMPTY_ROOT_HASH;
use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_primitives::B256;
use consensus::{BlockBody, RecoveredBlock};

use super::super::bounded::block_bytes;
use super::super::limits::{BODIES_AHEAD_BYTES_MAX, BODIES_AHEAD_MAX, BODIES_PER_REQUEST};
use super::super::verify::HeaderEntry;

/// Says how far a block is.
enum Stage {
    /// Its body is to be fetched.
    Wanted,
    /// Its body is asked of a peer, or being recovered.
    Coming,
    /// It is ready for the import.
    Ready(Box<RecoveredBlock>),
}

struct Slot {
    entry: HeaderEntry,
    parent_timestamp: u64,
    stage: Stage,
    bytes: usize,
}

/// What a job needs of a block: header, parent's timestamp.
pub(crate) type Bare = (HeaderEntry, u64);

/// Holds the blocks in the order of their numbers, which follow one another.
#[derive(Default)]
pub(crate) struct Queue {
    slots: VecDeque<Slot>,
    bytes: usize,
}

impl Queue {
    /// Counts the blocks.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Tells whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Returns how many bytes of blocks are ready.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a verified header, the child of the last one.
    pub(crate) fn push(&mut self, entry: HeaderEntry, parent_timestamp: u64) {
        self.slots.push_back(Slot { entry, parent_timestamp, stage: Stage::Wanted, bytes: 0 });
    }

    fn window(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut().take(BODIES_AHEAD_MAX)
    }

    /// Takes blocks near the front whose bodies are empty by their headers, which nobody needs to send.
    pub(crate) fn take_empty(&mut self) -> Vec<(HeaderEntry, u64, Vec<u8>)> {
        let mut taken = Vec::new();
        for slot in self.window() {
            if taken.len() == BODIES_PER_REQUEST {
                break;
            }
            if matches!(slot.stage, Stage::Wanted) && is_empty(&slot.entry) {
                slot.stage = Stage::Coming;
                taken.push((slot.entry.clone(), slot.parent_timestamp, empty_body(&slot.entry)));
            }
        }
        taken
    }

    /// Takes the hashes of the next bodies to be asked, of blocks up to number `up_to`.
    pub(crate) fn take_wanted(&mut self, up_to: u64) -> Vec<B256> {
        let full = self.bytes >= BODIES_AHEAD_BYTES_MAX;
        let mut taken = Vec::new();
        for (index, slot) in self.slots.iter_mut().take(BODIES_AHEAD_MAX).enumerate() {
            // Where there is no room, only what the import waits for.
            let out_of_reach = full && index > 0 || slot.entry.header.number > up_to;
            if out_of_reach || taken.len() == BODIES_PER_REQUEST {
                break;
            }
            if matches!(slot.stage, Stage::Wanted) && !is_empty(&slot.entry) {
                slot.stage = Stage::Coming;
                taken.push(slot.entry.header.hash());
            }
        }
        taken
    }

    /// Returns what a job needs of these blocks.
    pub(crate) fn bare(&self, hashes: &[B256]) -> Vec<Bare> {
        hashes
            .iter()
            .filter_map(|hash| self.find(*hash))
            .map(|slot| (slot.entry.clone(), slot.parent_timestamp))
            .collect()
    }

    fn find(&self, hash: B256) -> Option<&Slot> {
        self.slots.iter().take(BODIES_AHEAD_MAX).find(|slot| slot.entry.header.hash() == hash)
    }

    /// Wants the bodies of these blocks again.
    pub(crate) fn want_again(&mut self, hashes: &[B256]) {
        for slot in self.window() {
            if matches!(slot.stage, Stage::Coming) && hashes.contains(&slot.entry.header.hash()) {
                slot.stage = Stage::Wanted;
            }
        }
    }

    /// Takes in blocks that are ready for the import.
    pub(crate) fn ready(&mut self, blocks: Vec<RecoveredBlock>) {
        for block in blocks {
            let (hash, bytes) = (block.hash(), block_bytes(&block));
            let waiting = |slot: &&mut Slot| slot.entry.header.hash() == hash && !matches!(slot.stage, Stage::Ready(_));
            let found = self.slots.iter_mut().take(BODIES_AHEAD_MAX).find(waiting);
            if let Some(slot) = found {
                slot.stage = Stage::Ready(Box::new(block));
                slot.bytes = bytes;
                self.bytes += bytes;
            }
        }
    }

    /// Takes the first block where it is ready.
    pub(crate) fn take_ready(&mut self) -> Option<Box<RecoveredBlock>> {
        self.slots.front().filter(|slot| matches!(slot.stage, Stage::Ready(_)))?;
        let slot = self.slots.pop_front()?;
        self.bytes = self.bytes.saturating_sub(slot.bytes);
        match slot.stage {
            Stage::Ready(block) => Some(block),
            Stage::Wanted | Stage::Coming => None,
        }
    }
}

/// Tells whether a block's body is empty by its header.
fn is_empty(entry: &HeaderEntry) -> bool {
    let header = &entry.header;
    header.transactions_root == EMPTY_ROOT_HASH
        && header.ommers_hash == alloy_consensus::EMPTY_OMMER_ROOT_HASH
        && header.withdrawals_root.is_none_or(|root| root == EMPTY_WITHDRAWALS)
}

/// Returns the RLP of the empty body that fits a header.
fn empty_body(entry: &HeaderEntry) -> Vec<u8> {
    let withdrawals = entry.header.withdrawals_root.map(|_| Default::default());
    let transactions: Vec<consensus::Transaction> = Vec::new();
    alloy_rlp::encode(BlockBody { transactions, ommers: Vec::new(), withdrawals })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Bytes;
    use consensus::{Header, SealedHeader};

    use super::*;

    /// A queue of `count` blocks whose bodies are to be fetched.
    fn queue(count: u64) -> (Queue, Vec<HeaderEntry>) {
        let mut queue = Queue::default();
        let entry = |number| {
            let header = Header { number, transactions_root: B256::ZERO, ..Header::default() };
            HeaderEntry { header: SealedHeader::new(header), witness: None }
        };
        let entries: Vec<_> = (1..=count).map(entry).collect();
        entries.iter().for_each(|entry| queue.push(entry.clone(), 0));
        (queue, entries)
    }

    /// A block of about `bytes` bytes under a header.
    fn block(entry: &HeaderEntry, bytes: usize) -> RecoveredBlock {
        use alloy_consensus::{SignableTransaction, TxLegacy};
        let tx = TxLegacy { input: Bytes::from(vec![1; bytes]), ..TxLegacy::default() };
        let signature = consensus::crypto::sign(&consensus::crypto::secret_key([1; 32]).unwrap(), tx.signature_hash());
        let tx = consensus::RecoveredTransaction::recover(tx.into_signed(signature).into()).unwrap();
        let (header, withdrawals) = (entry.header.clone(), None);
        RecoveredBlock { header, transactions: vec![tx], ommers: Vec::new(), withdrawals, witness: None }
    }

    #[test]
    fn bodies_are_asked_for_once_and_again_when_they_do_not_come() {
        let (mut queue, entries) = queue(40);
        let first = queue.take_wanted(u64::MAX);
        assert_eq!((first.len(), queue.take_wanted(36).len(), queue.take_wanted(36).len()), (BODIES_PER_REQUEST, 4, 0));
        queue.want_again(&first[..1]);
        assert_eq!(queue.take_wanted(u64::MAX)[0], entries[0].header.hash());
    }

    #[test]
    fn blocks_leave_in_order_whatever_the_order_they_come_in() {
        let (mut queue, entries) = queue(2);
        queue.take_wanted(u64::MAX);
        queue.ready(vec![block(&entries[1], 10)]);
        assert!(queue.take_ready().is_none());
        queue.ready(vec![block(&entries[0], 10), block(&entries[0], 10)]);
        let numbers: Vec<_> = std::iter::from_fn(|| queue.take_ready()).map(|block| block.number()).collect();
        assert_eq!((numbers, queue.bytes(), queue.is_empty()), (vec![1, 2], 0, true));
    }

    #[test]
    fn a_full_queue_asks_only_for_what_the_import_waits_for() {
        let (mut queue, entries) = queue(100);
        let blocks = entries[1..33].iter().map(|entry| block(entry, BODIES_AHEAD_BYTES_MAX / 32));
        queue.ready(blocks.collect());
        assert!(queue.bytes() >= BODIES_AHEAD_BYTES_MAX);
        assert_eq!(queue.take_wanted(u64::MAX), [entries[0].header.hash()]);
        assert_eq!(queue.take_wanted(u64::MAX), Vec::<B256>::new());
        queue.ready(vec![block(&entries[0], 10)]);
        while queue.take_ready().is_some() {}
        assert_eq!((queue.bytes(), queue.take_wanted(u64::MAX).len()), (0, BODIES_PER_REQUEST));
    }

    #[test]
    fn only_blocks_near_the_front_are_asked_for() {
        let (mut queue, _) = queue(2000);
        let mut asked = 0;
        loop {
            match queue.take_wanted(u64::MAX).len() {
                0 => break,
                count => asked += count,
            }
        }
        assert_eq!(asked, BODIES_AHEAD_MAX);
    }

    #[test]
    fn nobody_is_asked_for_bodies_that_are_empty() {
        let header = Header { number: 1, ..Header::default() };
        let mut queue = Queue::default();
        queue.push(HeaderEntry { header: SealedHeader::new(header), witness: None }, 0);
        assert_eq!(queue.take_wanted(u64::MAX), Vec::<B256>::new());
        assert_eq!(queue.take_empty().len(), 1);
    }
}
