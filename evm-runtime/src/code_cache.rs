//! Code as the EVM runs it, with its jump destinations found: kept by hash, for all states, since what a hash names never changes.
//! To read a contract's code and look through it takes longer than a short call of it.

use std::sync::LazyLock;

use alloy_primitives::{B256, Bytes};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use revm::state::Bytecode;

/// Bytes of code and jump tables that are kept.
const BYTES_MAX: u64 = 16 << 20;
/// How many contracts that is, if they are of middling size.
const CONTRACTS: usize = 4096;
/// What an entry takes beside the code, in bytes.
const ENTRY_BYTES: u64 = 256;

static CODES: LazyLock<Cache<B256, Bytecode, Weight>> =
    LazyLock::new(|| Cache::with_weighter(CONTRACTS, BYTES_MAX, Weight));

#[derive(Clone)]
struct Weight;

impl Weighter<B256, Bytecode> for Weight {
    fn weight(&self, _: &B256, code: &Bytecode) -> u64 {
        // One bit of the jump table for each byte.
        let bytes = u64::try_from(code.len()).unwrap_or(u64::MAX);
        bytes.saturating_add(bytes / 8).saturating_add(ENTRY_BYTES)
    }
}

/// Returns the code under `hash`, which `read` reads where it is not kept.
///
/// # Errors
/// Those of `read`.
pub(crate) fn bytecode<E>(hash: B256, read: impl FnOnce() -> Result<Bytes, E>) -> Result<Bytecode, E> {
    if let Some(code) = CODES.get(&hash) {
        return Ok(code);
    }
    let code = Bytecode::new_raw(read()?);
    CODES.insert(hash, code.clone());
    Ok(code)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    #[test]
    fn code_is_read_once() {
        let code = Bytes::from_static(&[0x5b, 0x60, 0x01]);
        let hash = keccak256(&code);
        assert_eq!(bytecode(hash, || Err("not there")), Err("not there"));
        let read = bytecode::<&str>(hash, || Ok(code.clone()));
        assert_eq!(read.as_ref().map(Bytecode::original_bytes), Ok(code));
        assert_eq!(bytecode(hash, || Err("read again")), read);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let large = |number: u64| Bytes::from([vec![0x5b; 24_000], number.to_be_bytes().to_vec()].concat());
        for number in 0..2_000 {
            let code = large(number);
            assert!(bytecode::<&str>(keccak256(&code), || Ok(code)).is_ok());
        }
        assert!(CODES.weight() <= BYTES_MAX, "{}", CODES.weight());
        assert!(!CODES.is_empty());
    }
}
