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
            if let (Stage::Wanted, Some(body)) = (&slot.stage, empty_body(&slot.entry)) {
                slot.stage = Stage::Coming;
                taken.push((slot.entry.clone(), slot.parent_timestamp, body));
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
            if matches!(slot.stage, Stage::Wanted) && empty_body(&slot.entry).is_none() {
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

/// Returns the RLP of a block's body where its header says that it is empty.
fn empty_body(entry: &HeaderEntry) -> Option<Vec<u8>> {
    let header = &entry.header;
    let is_empty = header.transactions_root == EMPTY_ROOT_HASH
        && header.ommers_hash == alloy_consensus::EMPTY_OMMER_ROOT_HASH
        && header.withdrawals_root.is_none_or(|root| root == EMPTY_WITHDRAWALS);
    let withdrawals = header.withdrawals_root.map(|_| Default::default());
    is_empty.then(|| alloy_rlp::encode(BlockBody { transactions: Vec::new(), ommers: Vec::new(), withdrawals }))
}
