//! The seal: what a header's `difficulty` and `nonce` must satisfy, and the mix hash that follows from the parent's. Finding one
//! is `search`.
//!
//! PREVRANDAO reads a block's own `mix_hash`, and the state root that the seal commits to depends on what it reads. So the mix
//! hash cannot come from the block's own nonce: it comes from the parent's, and is known before the first transaction runs.

use alloy_primitives::{B64, B256, U256};
use alloy_rlp::{BufMut, Encodable};
use tiny_keccak::{Hasher, Keccak};

use crate::block::Header;

/// Says why a header is not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A difficulty of zero has no target.
    #[error("difficulty is 0, the least is 1")]
    ZeroDifficulty,
    /// The number is beyond every epoch that is verified.
    #[error("seal: epoch {epoch} is beyond those of Ethash that are verified")]
    Epoch {
        /// The epoch.
        epoch: u64,
    },
    /// The mix hash is not that of the work.
    #[error("mix hash: the work gives {expected}, header says {actual}")]
    MixHash {
        /// What the work gives.
        expected: B256,
        /// What the header says.
        actual: B256,
    },
    /// The digest is above the target: too little work.
    #[error("seal: digest {digest} is above the target {target}")]
    Work {
        /// The digest of seal hash and nonce.
        digest: B256,
        /// The greatest digest that meets the difficulty.
        target: B256,
    },
}

/// Returns keccak256 of the RLP of the header without `mix_hash` and `nonce`.
pub fn seal_hash(header: &Header) -> B256 {
    let mut fields = Vec::with_capacity(768);
    encode_sealed_fields(header, &mut fields);
    let mut list = Vec::with_capacity(fields.len() + 4);
    alloy_rlp::Header { list: true, payload_length: fields.len() }.encode(&mut list);
    list.extend_from_slice(&fields);
    keccak(&[&list])
}

/// Writes the fields that the seal commits to, in header order; those of later forks only where they are present.
fn encode_sealed_fields(header: &Header, out: &mut dyn BufMut) {
    header.parent_hash.encode(out);
    header.ommers_hash.encode(out);
    header.beneficiary.encode(out);
    header.state_root.encode(out);
    header.transactions_root.encode(out);
    header.receipts_root.encode(out);
    header.logs_bloom.encode(out);
    header.difficulty.encode(out);
    header.number.encode(out);
    header.gas_limit.encode(out);
    header.gas_used.encode(out);
    header.timestamp.encode(out);
    header.extra_data.encode(out);
    encode_present(&header.base_fee_per_gas, out);
    encode_present(&header.withdrawals_root, out);
    encode_present(&header.blob_gas_used, out);
    encode_present(&header.excess_blob_gas, out);
    encode_present(&header.parent_beacon_block_root, out);
    encode_present(&header.requests_hash, out);
    encode_present(&header.block_access_list_hash, out);
    encode_present(&header.slot_number, out);
}

fn encode_present<T: Encodable>(field: &Option<T>, out: &mut dyn BufMut) {
    if let Some(value) = field {
        value.encode(out);
    }
}

/// Returns keccak256(seal hash ‖ nonce as 8 big-endian bytes).
pub fn digest(seal_hash: B256, nonce: B64) -> B256 {
    keccak(&[seal_hash.as_slice(), nonce.as_slice()])
}

/// Returns the greatest digest that meets `difficulty`: (2^256 − 1) / difficulty. A difficulty of 0 has the target 0.
pub fn target(difficulty: U256) -> U256 {
    U256::MAX.checked_div(difficulty).unwrap_or(U256::ZERO)
}

/// Returns the mix hash of the block after `parent`: keccak256 of the parent's digest. Digests are small numbers; this is uniform,
/// as PREVRANDAO (EIP-4399) needs it.
pub fn next_mix_hash(parent: &Header) -> B256 {
    keccak(&[digest(seal_hash(parent), parent.nonce).as_slice()])
}

/// Writes the nonce that was found into `header`.
pub fn apply(header: &mut Header, nonce: B64) {
    header.nonce = nonce;
}

/// Verifies that the nonce of `header` meets its difficulty.
///
/// # Errors
/// What is wrong with the seal.
pub fn verify(header: &Header) -> Result<(), SealError> {
    if header.difficulty.is_zero() {
        return Err(SealError::ZeroDifficulty);
    }
    let digest = digest(seal_hash(header), header.nonce);
    let target = target(header.difficulty);
    if U256::from_be_bytes(digest.0) > target {
        return Err(SealError::Work { digest, target: target.into() });
    }
    Ok(())
}

/// Tells whether the nonce of `header` meets its difficulty.
pub fn is_valid(header: &Header) -> bool {
    verify(header).is_ok()
}

fn keccak(parts: &[&[u8]]) -> B256 {
    let mut hasher = Keccak::v256();
    parts.iter().for_each(|part| hasher.update(part));
    let mut hash = B256::ZERO;
    hasher.finalize(&mut hash.0);
    hash
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Bytes, b256, keccak256};
    use proptest::prelude::*;

    use super::*;
    use crate::test_chain::any_header;

    /// The seal hash by another way: decode the header's RLP as a list and drop items 13 and 14.
    fn seal_hash_by_list(header: &Header) -> B256 {
        let encoded = alloy_rlp::encode(header);
        let list = rlp::Rlp::new(&encoded);
        let count = list.item_count().unwrap();
        let mut stream = rlp::RlpStream::new_list(count - 2);
        for index in (0..count).filter(|index| ![13, 14].contains(index)) {
            stream.append_raw(list.at(index).unwrap().as_raw(), 1);
        }
        keccak256(stream.out())
    }

    #[test]
    fn the_seal_hash_is_pinned() {
        let header = Header { number: 1, difficulty: U256::from(7), base_fee_per_gas: Some(8), ..Header::default() };
        assert_eq!(seal_hash(&header), b256!("b70cc3f1b71be8c231099b6348560cf38613b90d530d6b235a8c917cff7badea"));
    }

    #[test]
    fn targets_divide_the_range_of_digests() {
        for (difficulty, expected) in [
            (U256::ZERO, U256::ZERO),
            (U256::ONE, U256::MAX),
            (U256::from(2), U256::MAX >> 1),
            (U256::from(1 << 20), U256::MAX >> 20),
            (U256::MAX, U256::ONE),
        ] {
            assert_eq!(target(difficulty), expected, "{difficulty}");
        }
    }

    #[test]
    fn difficulty_one_takes_any_nonce_and_zero_takes_none() {
        let mut header = Header { difficulty: U256::ONE, ..Header::default() };
        apply(&mut header, B64::with_last_byte(9));
        assert!(is_valid(&header));
        header.difficulty = U256::ZERO;
        assert_eq!(verify(&header), Err(SealError::ZeroDifficulty));
    }

    proptest! {
        #[test]
        fn the_seal_hash_leaves_out_nonce_and_mix_hash_only(header in any_header(), nonce: u64, extra: Vec<u8>) {
            let hash = seal_hash(&header);
            prop_assert_eq!(hash, seal_hash_by_list(&header));
            let mut other = header.clone();
            apply(&mut other, B64::from(nonce));
            prop_assert_eq!(seal_hash(&other), hash);
            other.extra_data = Bytes::from([header.extra_data.as_ref(), &extra, &[1]].concat());
            prop_assert_ne!(seal_hash(&other), hash);
        }
    }
}
