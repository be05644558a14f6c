//! A segment of headers: each follows the one before, and each is sealed.

use alloc::vec::Vec;

use alloy_primitives::{Address, B256, Bytes, Keccak256, U256, keccak256};
use alloy_rlp::{Decodable, Header as RlpHeader};

use crate::ProofError;

/// Places of a header's fields in its list (Yellow Paper, 4.4.3).
const PARENT_HASH: usize = 0;
const BENEFICIARY: usize = 2;
const STATE_ROOT: usize = 3;
const DIFFICULTY: usize = 7;
const NUMBER: usize = 8;
const TIMESTAMP: usize = 11;
const MIX_HASH: usize = 13;
const NONCE: usize = 14;
/// A header has at least these fields, and at most some more of later forks.
const FIELDS: core::ops::RangeInclusive<usize> = 15..=24;

/// A block that the verifier knows to be right: the genesis block, or a later one that was verified before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
}

/// The rules of the chain that a verifier can hold a header to without the blocks.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// No header has less difficulty.
    pub difficulty_min: U256,
    /// Who may mine; empty: anyone.
    pub authorized_miners: &'a [Address],
    /// Recovers the address that signed a hash: r, s and v (0 or 1).
    pub recover: fn(B256, &[u8; 65]) -> Option<Address>,
}

/// Headers from the anchor's on, in their own encoding, and beside each its witness (empty where there is none).
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The headers.
    pub headers: &'a [Bytes],
    /// Their witnesses.
    pub witnesses: &'a [Bytes],
}

/// What is known of a verified header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// The root of the state after it.
    pub state_root: B256,
    /// Its time, in seconds since 1970.
    pub timestamp: u64,
}

/// A header with what a seal needs.
struct Fields {
    checked: Checked,
    parent_hash: B256,
    beneficiary: Address,
    difficulty: U256,
    mix_hash: B256,
    digest: B256,
}

impl Fields {
    fn read(encoded: &[u8]) -> Option<Self> {
        let mut rest = encoded;
        let list = RlpHeader::decode(&mut rest).ok()?;
        if !list.list || rest.len() != list.payload_length {
            return None;
        }
        let mut items: Vec<&[u8]> = Vec::new();
        while !rest.is_empty() {
            let whole = rest;
            let item = RlpHeader::decode(&mut rest).ok()?;
            rest = rest.get(item.payload_length..)?;
            items.push(whole.get(..whole.len() - rest.len())?);
            if items.len() > *FIELDS.end() {
                return None;
            }
        }
        if !FIELDS.contains(&items.len()) {
            return None;
        }
        let nonce: alloy_primitives::B64 = field(items[NONCE])?;
        Some(Self {
            checked: Checked {
                number: field(items[NUMBER])?,
                hash: keccak256(encoded),
                state_root: field(items[STATE_ROOT])?,
                timestamp: field(items[TIMESTAMP])?,
            },
            parent_hash: field(items[PARENT_HASH])?,
            beneficiary: field(items[BENEFICIARY])?,
            difficulty: field(items[DIFFICULTY])?,
            mix_hash: field(items[MIX_HASH])?,
            digest: digest(seal_hash(&items), nonce.as_slice()),
        })
    }

    /// The digest must not be above (2^256 − 1) / difficulty.
    fn is_sealed(&self) -> bool {
        let target = U256::MAX.checked_div(self.difficulty);
        target.is_some_and(|target| U256::from_be_bytes(self.digest.0) <= target)
    }

    fn is_witnessed(&self, rules: &Rules<'_>, witness: Option<&Bytes>) -> bool {
        if rules.authorized_miners.is_empty() {
            return true;
        }
        let signature = witness.and_then(|bytes| <[u8; 65]>::try_from(bytes.as_ref()).ok());
        let signer = signature.and_then(|signature| (rules.recover)(self.checked.hash, &signature));
        signer == Some(self.beneficiary) && rules.authorized_miners.contains(&self.beneficiary)
    }
}

fn field<T: Decodable>(mut item: &[u8]) -> Option<T> {
    let value = T::decode(&mut item).ok()?;
    item.is_empty().then_some(value)
}

/// Returns keccak256 of the header's list without mix hash and nonce.
fn seal_hash(items: &[&[u8]]) -> B256 {
    let sealed = || items.iter().enumerate().filter(|(place, _)| *place != MIX_HASH && *place != NONCE);
    let payload_length = sealed().map(|(_, item)| item.len()).sum();
    let mut list = Vec::with_capacity(payload_length + 4);
    RlpHeader { list: true, payload_length }.encode(&mut list);
    sealed().for_each(|(_, item)| list.extend_from_slice(item));
    keccak256(&list)
}

/// Returns keccak256(seal hash ‖ nonce).
fn digest(seal_hash: B256, nonce: &[u8]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(seal_hash);
    hasher.update(nonce);
    hasher.finalize()
}

/// Verifies a segment, and returns its headers, the anchor's first.
///
/// # Errors
/// What is wrong with it.
pub fn verify_segment(anchor: &Anchor, rules: &Rules<'_>, segment: &Segment<'_>) -> Result<Vec<Checked>, ProofError> {
    let read = |index: usize, bytes: &Bytes| Fields::read(bytes).ok_or(ProofError::Header { index });
    let mut parent = read(0, segment.headers.first().ok_or(ProofError::Empty)?)?;
    if (parent.checked.hash, parent.checked.number) != (anchor.hash, anchor.number) {
        return Err(ProofError::Anchor { expected: anchor.hash, actual: parent.checked.hash });
    }
    let mut verified = Vec::with_capacity(segment.headers.len());
    verified.push(parent.checked);
    for (index, bytes) in segment.headers.iter().enumerate().skip(1) {
        let header = read(index, bytes)?;
        let number = header.checked.number;
        let follows = header.parent_hash == parent.checked.hash
            && parent.checked.number.checked_add(1) == Some(number)
            && header.checked.timestamp >= parent.checked.timestamp
            // PREVRANDAO comes from the parent's work.
            && header.mix_hash == keccak256(parent.digest);
        if !follows {
            return Err(ProofError::Link { number });
        }
        // Difficulty falls by half at most from block to block.
        if header.difficulty < rules.difficulty_min || header.difficulty < parent.difficulty >> 1 {
            return Err(ProofError::Difficulty { number, actual: header.difficulty });
        }
        if !header.is_sealed() {
            return Err(ProofError::Seal { number });
        }
        if !header.is_witnessed(rules, segment.witnesses.get(index)) {
            return Err(ProofError::Witness { number });
        }
        verified.push(header.checked);
        parent = header;
    }
    Ok(verified)
}
