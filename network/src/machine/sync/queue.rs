//! The blocks between our chain and a peer's: verified headers in order, each on its way from header to body to import.

use std::collections::{HashMap, VecDeque};

use alloy_consensus::EMPTY_ROOT_HASH;
use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_primitives::B256;
use consensus::{BlockBody, RecoveredBlock};

use super::super::bounded::block_bytes;
use super::super::limits::{BODIES_AHEAD_BYTES_MAX, BODIES_AHEAD_MAX, BODIES_FRONT, BODIES_PER_REQUEST};
use super::super::verify::HeaderEntry;
use super::sizes::Sizes;
use crate::message::limits::RESPONSE_BYTES_SOFT;

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
    /// Whether its body is empty by its header, so that nobody needs to send it.
    is_empty: bool,
    stage: Stage,
    /// What it takes in memory once it is ready, or what it is expected to take while it is coming.
    bytes: usize,
}

/// What a job needs of a block: header, parent's timestamp.
pub(crate) type Bare = (HeaderEntry, u64);

/// Holds the blocks in the order of their numbers, which follow one another. A place is a block's index since the beginning of the
/// sync, so that it stays the same when the first block leaves.
#[derive(Default)]
pub(crate) struct Queue {
    slots: VecDeque<Slot>,
    /// The place of the first slot.
    first: usize,
    places: HashMap<B256, usize>,
    /// Before these places no body is wanted: of blocks that have one, and of empty blocks.
    wanted_from: usize,
    empty_from: usize,
    /// Bytes of blocks that are ready, and those that the coming ones are expected to take.
    ready_bytes: usize,
    coming_bytes: usize,
    sizes: Sizes,
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
        self.ready_bytes
    }

    /// Adds a verified header, the child of the last one.
    pub(crate) fn push(&mut self, entry: HeaderEntry, parent_timestamp: u64) {
        self.places.insert(entry.header.hash(), self.first + self.slots.len());
        let is_empty = is_empty(&entry);
        self.slots.push_back(Slot { entry, parent_timestamp, is_empty, stage: Stage::Wanted, bytes: 0 });
    }

    /// Returns the first block where its body is on its way.
    pub(crate) fn front_coming(&self) -> Option<B256> {
        let front = self.slots.front().filter(|slot| matches!(slot.stage, Stage::Coming))?;
        Some(front.entry.header.hash())
    }

    /// Returns the place behind the last block whose body may be fetched now.
    fn end(&self) -> usize {
        self.first + self.slots.len().min(BODIES_AHEAD_MAX)
    }

    fn slot(&mut self, place: usize) -> Option<&mut Slot> {
        self.slots.get_mut(place.checked_sub(self.first)?)
    }

    /// Takes blocks near the front whose bodies are empty by their headers, which nobody needs to send.
    pub(crate) fn take_empty(&mut self) -> Vec<(HeaderEntry, u64, Vec<u8>)> {
        let mut taken = Vec::new();
        let (mut place, end) = (self.empty_from.max(self.first), self.end());
        while place < end && taken.len() < BODIES_PER_REQUEST {
            if let Some(slot) = self.slot(place).filter(|slot| slot.is_empty && matches!(slot.stage, Stage::Wanted)) {
                slot.stage = Stage::Coming;
                taken.push((slot.entry.clone(), slot.parent_timestamp, empty_body(&slot.entry)));
            }
            place += 1;
        }
        self.empty_from = place;
        taken
    }

    /// Takes the hashes of the next bodies to be asked, of blocks up to number `up_to`: as many as fit in a response, as far as can be
    /// told, and in the room that is left. What is asked for at once is halved `caution` times.
    pub(crate) fn take_wanted(&mut self, up_to: u64, caution: u32) -> Vec<B256> {
        let (mut taken, mut response_bytes) = (Vec::new(), 0usize);
        let (mut place, end, front) = (self.wanted_from.max(self.first), self.end(), self.first + BODIES_FRONT);
        let (count_max, bytes_max) = ((BODIES_PER_REQUEST >> caution).max(1), RESPONSE_BYTES_SOFT >> caution);
        while place < end && taken.len() < count_max {
            let full = self.ready_bytes + self.coming_bytes >= BODIES_AHEAD_BYTES_MAX;
            let sizes = self.sizes;
            let Some(slot) = self.slot(place) else { break };
            if !slot.is_empty && matches!(slot.stage, Stage::Wanted) {
                let gas = slot.entry.header.gas_used;
                response_bytes = response_bytes.saturating_add(sizes.encoded(gas));
                let too_long = response_bytes > bytes_max && !taken.is_empty();
                // Where there is no room, only what the import waits for.
                if too_long || slot.entry.header.number > up_to || (full && place >= front) {
                    break;
                }
                slot.stage = Stage::Coming;
                slot.bytes = sizes.held(gas);
                let (hash, bytes) = (slot.entry.header.hash(), slot.bytes);
                taken.push(hash);
                self.coming_bytes = self.coming_bytes.saturating_add(bytes);
            }
            place += 1;
        }
        self.wanted_from = place;
        taken
    }

    /// Returns what a job needs of these blocks.
    pub(crate) fn bare(&self, hashes: &[B256]) -> Vec<Bare> {
        hashes
            .iter()
            .filter_map(|hash| self.slots.get(self.places.get(hash)?.checked_sub(self.first)?))
            .map(|slot| (slot.entry.clone(), slot.parent_timestamp))
            .collect()
    }

    /// Wants the bodies of these blocks again.
    pub(crate) fn want_again(&mut self, hashes: &[B256]) {
        for hash in hashes {
            let Some(place) = self.places.get(hash).copied() else { continue };
            let Some(slot) = self.slot(place).filter(|slot| matches!(slot.stage, Stage::Coming)) else { continue };
            slot.stage = Stage::Wanted;
            let (bytes, is_empty) = (std::mem::take(&mut slot.bytes), slot.is_empty);
            self.coming_bytes = self.coming_bytes.saturating_sub(bytes);
            let from = if is_empty { &mut self.empty_from } else { &mut self.wanted_from };
            *from = place.min(*from);
        }
    }

    /// Takes in blocks that are ready for the import.
    pub(crate) fn ready(&mut self, blocks: Vec<RecoveredBlock>) {
        for block in blocks {
            let Some(place) = self.places.get(&block.hash()).copied() else { continue };
            let Some(slot) = self.slot(place).filter(|slot| !matches!(slot.stage, Stage::Ready(_))) else { continue };
            let held = block_bytes(&block);
            // What it was expected to take, where it was asked for.
            let expected = std::mem::replace(&mut slot.bytes, held);
            let encoded = block.transactions.iter().map(|tx| tx.size_bytes()).sum();
            let gas = block.header.gas_used;
            slot.stage = Stage::Ready(Box::new(block));
            self.coming_bytes = self.coming_bytes.saturating_sub(expected);
            self.ready_bytes += held;
            self.sizes.observe(gas, encoded, held);
        }
    }

    /// Takes the first block where it is ready.
    pub(crate) fn take_ready(&mut self) -> Option<Box<RecoveredBlock>> {
        self.slots.front().filter(|slot| matches!(slot.stage, Stage::Ready(_)))?;
        let slot = self.slots.pop_front()?;
        self.first += 1;
        self.places.remove(&slot.entry.header.hash());
        self.ready_bytes = self.ready_bytes.saturating_sub(slot.bytes);
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
        let (mut queue, entries) = queue(80);
        let first = queue.take_wanted(u64::MAX, 0);
        assert_eq!(
            (first.len(), queue.take_wanted(70, 0).len(), queue.take_wanted(70, 0).len()),
            (BODIES_PER_REQUEST, 6, 0)
        );
        queue.want_again(&first[..1]);
        assert_eq!(queue.take_wanted(u64::MAX, 0)[0], entries[0].header.hash());
    }

    #[test]
    fn blocks_leave_in_order_whatever_the_order_they_come_in() {
        let (mut queue, entries) = queue(2);
        queue.take_wanted(u64::MAX, 0);
        queue.ready(vec![block(&entries[1], 10)]);
        assert!(queue.take_ready().is_none());
        queue.ready(vec![block(&entries[0], 10), block(&entries[0], 10)]);
        let numbers: Vec<_> = std::iter::from_fn(|| queue.take_ready()).map(|block| block.number()).collect();
        assert_eq!((numbers, queue.bytes(), queue.is_empty()), (vec![1, 2], 0, true));
    }

    #[test]
    fn a_full_queue_asks_only_for_what_the_import_waits_for() {
        let (mut queue, entries) = queue(100);
        let large = BODIES_FRONT..BODIES_FRONT + 32;
        let blocks = entries[large].iter().map(|entry| block(entry, BODIES_AHEAD_BYTES_MAX / 32));
        queue.ready(blocks.collect());
        assert!(queue.bytes() >= BODIES_AHEAD_BYTES_MAX);
        let front: Vec<_> = entries[..BODIES_FRONT].iter().map(|entry| entry.header.hash()).collect();
        assert_eq!(queue.take_wanted(u64::MAX, 0), front);
        assert_eq!(queue.take_wanted(u64::MAX, 0), Vec::<B256>::new());
        queue.ready(entries[..BODIES_FRONT].iter().map(|entry| block(entry, 10)).collect());
        while queue.take_ready().is_some() {}
        assert_eq!((queue.bytes(), queue.coming_bytes), (0, 0));
        assert!(!queue.take_wanted(u64::MAX, 0).is_empty());
    }

    #[test]
    fn a_request_asks_for_what_fits_in_a_response() {
        let full = |number| {
            let header = Header { number, gas_used: 36_000_000, transactions_root: B256::ZERO, ..Header::default() };
            HeaderEntry { header: SealedHeader::new(header), witness: None }
        };
        let entries: Vec<_> = (1..=200).map(full).collect();
        let mut queue = Queue::default();
        entries.iter().for_each(|entry| queue.push(entry.clone(), 0));
        let mut asked = Vec::new();
        loop {
            let hashes = queue.take_wanted(u64::MAX, 0);
            if hashes.is_empty() {
                break;
            }
            // A body of 36 million gas takes about 190 kB where it holds transfers.
            assert!((1..=12).contains(&hashes.len()), "{}", hashes.len());
            asked.extend(hashes);
        }
        assert!((15..=60).contains(&asked.len()), "{}", asked.len());
        assert!(queue.coming_bytes >= BODIES_AHEAD_BYTES_MAX);
        // What is asked for again is the same, in the same order, and it counts once.
        queue.want_again(&asked);
        assert_eq!(queue.coming_bytes, 0);
        assert_eq!(queue.take_wanted(u64::MAX, 0)[0], asked[0]);
        // Blocks that turn out longer than was expected are asked for one by one.
        queue.ready(vec![block(&entries[0], RESPONSE_BYTES_SOFT)]);
        assert_eq!(queue.take_ready().map(|block| block.number()), Some(1));
        queue.want_again(&asked);
        assert_eq!(queue.take_wanted(u64::MAX, 0), asked[1..2]);
    }

    #[test]
    fn only_blocks_near_the_front_are_asked_for() {
        let (mut queue, _) = queue(2000);
        let mut asked = 0;
        loop {
            match queue.take_wanted(u64::MAX, 0).len() {
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
        assert_eq!(queue.take_wanted(u64::MAX, 0), Vec::<B256>::new());
        assert_eq!(queue.take_empty().len(), 1);
    }
}
