//! The light cache of an epoch: pseudorandom words from which any part of the data set can be computed (Yellow Paper J.3).

use alloy_primitives::B256;
use tiny_keccak::{Hasher, Keccak};

/// How many blocks share a cache and a data set.
pub const EPOCH_BLOCKS: u64 = 30_000;
/// How many epochs are verified: more than 61 million blocks. A greater number is no block of a chain that ever was.
pub const EPOCHS_MAX: u64 = 2048;

/// Bytes of a cache item.
const ITEM_BYTES: u64 = 64;
/// Bytes of what the work reads at once from the data set.
const PAGE_BYTES: u64 = 128;
/// Passes over the cache once it is filled.
const ROUNDS: usize = 3;

/// Sixteen little-endian words: an item of cache or data set.
pub(super) type Item = [u32; 16];

/// Holds the cache of one epoch.
pub struct LightCache {
    epoch: u64,
    pub(super) items: Vec<Item>,
    /// How many pages the data set of the epoch has.
    pub(super) pages: u32,
}

impl std::fmt::Debug for LightCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LightCache").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl LightCache {
    /// Computes the cache of an epoch; `None` beyond [`EPOCHS_MAX`].
    pub fn new(epoch: u64) -> Option<Self> {
        if epoch >= EPOCHS_MAX {
            return None;
        }
        let count = usize::try_from(cache_bytes(epoch) / ITEM_BYTES).ok()?;
        let pages = u32::try_from(dataset_bytes(epoch) / PAGE_BYTES).ok()?;
        Some(Self { epoch, items: fill(seed_hash(epoch), count), pages })
    }

    /// Returns the epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns the cache's bytes, as its hash is taken of them.
    pub fn bytes(&self) -> Vec<u8> {
        self.items.iter().flat_map(bytes_of).collect()
    }
}

/// Returns the seed of an epoch: keccak256 of zeros, as often as the epoch's number.
pub fn seed_hash(epoch: u64) -> B256 {
    (0..epoch).fold(B256::ZERO, |seed, _| alloy_primitives::keccak256(seed))
}

/// Returns the size of an epoch's cache: growing by 128 KiB, so that the number of items is prime.
pub fn cache_bytes(epoch: u64) -> u64 {
    prime_size((1 << 24) + (1 << 17) * epoch, ITEM_BYTES)
}

/// Returns the size of an epoch's data set: growing by 8 MiB, so that the number of pages is prime.
pub fn dataset_bytes(epoch: u64) -> u64 {
    prime_size((1 << 30) + (1 << 23) * epoch, PAGE_BYTES)
}

/// Returns the greatest size below `bound` whose number of units is prime and differs from the bound's by an odd number.
fn prime_size(bound: u64, unit: u64) -> u64 {
    let mut units = bound / unit - 1;
    while !is_prime(units) {
        units -= 2;
    }
    units * unit
}

fn is_prime(number: u64) -> bool {
    number >= 2
        && (2..).take_while(|divisor| divisor * divisor <= number).all(|divisor| !number.is_multiple_of(divisor))
}

fn fill(seed: B256, count: usize) -> Vec<Item> {
    let mut items = Vec::with_capacity(count);
    let mut last = keccak512(&[seed.as_slice()]);
    for _ in 0..count {
        items.push(last);
        last = hashed(&last);
    }
    for _ in 0..ROUNDS {
        for index in 0..count {
            let before = items[(index + count - 1) % count];
            let other = items[usize::try_from(items[index][0]).expect("32 bits fit an index") % count];
            let mut mixed = before;
            mixed.iter_mut().zip(other).for_each(|(word, other)| *word ^= other);
            items[index] = hashed(&mixed);
        }
    }
    items
}

/// Returns the Keccak-512 of an item.
pub(super) fn hashed(item: &Item) -> Item {
    keccak512(&[&bytes_of(item)])
}

/// Returns the Keccak-512 of `parts`, one after the other.
pub(super) fn keccak512(parts: &[&[u8]]) -> Item {
    let mut hasher = Keccak::v512();
    parts.iter().for_each(|part| hasher.update(part));
    let mut hash = [0; 64];
    hasher.finalize(&mut hash);
    let mut words = [0; 16];
    for (word, bytes) in words.iter_mut().zip(hash.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

/// Returns the bytes of little-endian words.
pub(super) fn bytes_of(item: &Item) -> [u8; 64] {
    let mut bytes = [0; 64];
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(item) {
        *bytes = word.to_le_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_tables() {
        // From the tables of the Yellow Paper's reference implementations.
        for (epoch, cache, dataset) in
            [(0, 16_776_896, 1_073_739_904), (1, 16_907_456, 1_082_130_304), (2047, 285_081_536, 18_245_220_736)]
        {
            assert_eq!((cache_bytes(epoch), dataset_bytes(epoch)), (cache, dataset), "epoch {epoch}");
        }
    }

    #[test]
    fn a_seed_is_a_chain_of_hashes() {
        assert_eq!(seed_hash(0), B256::ZERO);
        assert_eq!(seed_hash(2), alloy_primitives::keccak256(alloy_primitives::keccak256(B256::ZERO)));
    }
}
