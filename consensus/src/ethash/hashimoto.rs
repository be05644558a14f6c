//! The work of one nonce, its data set items computed from the light cache (Yellow Paper J.4).

use alloy_primitives::{B64, B256, keccak256};

use super::cache::{Item, LightCache, bytes_of, hashed, keccak512};

/// How many pages of the data set the work reads.
const ACCESSES: u32 = 64;
/// How many cache items make one item of the data set.
const PARENTS: u32 = 256;
/// The prime of the FNV hash, which mixes words.
const FNV_PRIME: u32 = 0x0100_0193;

/// Holds what a nonce leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// The digest of the pages that were read, which the header repeats.
    pub mix_hash: B256,
    /// What must not be above the target.
    pub result: B256,
}

/// Computes the work of `nonce` for a seal hash.
pub fn work(cache: &LightCache, seal_hash: B256, nonce: B64) -> Work {
    let mut reversed = nonce;
    reversed.0.reverse();
    let seed = keccak512(&[seal_hash.as_slice(), reversed.as_slice()]);
    let mut mix = [seed, seed];
    for access in 0..ACCESSES {
        let word = mix[at(access / 16 % 2)][at(access % 16)];
        let page = fnv(access ^ seed[0], word) % cache.pages;
        for (half, mix) in (0..2).zip(&mut mix) {
            let item = dataset_item(cache, page * 2 + half);
            mix.iter_mut().zip(item).for_each(|(word, read)| *word = fnv(*word, read));
        }
    }
    let mix_hash = compress(&mix);
    Work { mix_hash, result: keccak256([&bytes_of(&seed)[..], mix_hash.as_slice()].concat()) }
}

/// Computes one item of the data set.
fn dataset_item(cache: &LightCache, index: u32) -> Item {
    let count = u32::try_from(cache.items.len()).expect("a cache has fewer than 2^32 items");
    let mut item = cache.items[at(index % count)];
    item[0] ^= index;
    item = hashed(&item);
    for parent in 0..PARENTS {
        let chosen = fnv(index ^ parent, item[at(parent % 16)]) % count;
        item.iter_mut().zip(cache.items[at(chosen)]).for_each(|(word, read)| *word = fnv(*word, read));
    }
    hashed(&item)
}

/// Folds four words into one.
fn compress(mix: &[Item; 2]) -> B256 {
    let mut digest = B256::ZERO;
    let words = mix.as_flattened().as_chunks::<4>().0;
    for (bytes, [a, b, c, d]) in digest.0.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = fnv(fnv(fnv(*a, *b), *c), *d).to_le_bytes();
    }
    digest
}

fn fnv(a: u32, b: u32) -> u32 {
    a.wrapping_mul(FNV_PRIME) ^ b
}

fn at(index: u32) -> usize {
    usize::try_from(index).expect("32 bits fit an index")
}
