//! Accounts and slots under a state root (EIP-1186).

use alloc::vec::Vec;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, proof::verify_proof};

use crate::ProofError;

/// The nodes that prove an account, and what they prove.
#[derive(Clone, Debug, Default)]
pub struct AccountProof {
    /// The account's encoding in the trie; empty: there is no account.
    pub account: Bytes,
    /// The nodes from the root to it.
    pub nodes: Vec<Bytes>,
    /// Slots of its storage.
    pub slots: Vec<SlotProof>,
}

/// The nodes that prove a slot, and what they prove.
#[derive(Clone, Debug, Default)]
pub struct SlotProof {
    /// The slot.
    pub slot: U256,
    /// Its value; zero: there is none.
    pub value: U256,
    /// The nodes from the storage root to it.
    pub nodes: Vec<Bytes>,
}

/// An account as the trie holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpDecodable, RlpEncodable)]
pub struct Account {
    /// Its nonce.
    pub nonce: u64,
    /// Its balance in wei.
    pub balance: U256,
    /// The root of its storage.
    pub storage_root: B256,
    /// keccak256 of its code.
    pub code_hash: B256,
}

/// Verifies an account; `None`: it is proven that there is none.
///
/// # Errors
/// The nodes prove something else, or nothing.
pub fn verify_account(state_root: B256, address: Address, proof: &AccountProof) -> Result<Option<Account>, ProofError> {
    let wrong = || ProofError::Account(address);
    let expected = (!proof.account.is_empty()).then(|| proof.account.to_vec());
    verify_proof(state_root, Nibbles::unpack(keccak256(address)), expected, &proof.nodes).map_err(|_| wrong())?;
    if proof.account.is_empty() {
        return Ok(None);
    }
    let mut encoded = proof.account.as_ref();
    let account = Account::decode(&mut encoded).map_err(|_| wrong())?;
    if encoded.is_empty() { Ok(Some(account)) } else { Err(wrong()) }
}

/// Verifies that `slot` holds the value that is said, under a storage root.
///
/// # Errors
/// The nodes prove something else, or nothing.
pub fn verify_slot(storage_root: B256, slot: U256, proof: &SlotProof) -> Result<U256, ProofError> {
    let wrong = || ProofError::Slot(slot);
    if proof.slot != slot {
        return Err(wrong());
    }
    let expected = (!proof.value.is_zero()).then(|| alloy_rlp::encode(proof.value));
    if storage_root == EMPTY_ROOT_HASH {
        return if expected.is_none() { Ok(U256::ZERO) } else { Err(wrong()) };
    }
    let key = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
    verify_proof(storage_root, key, expected, &proof.nodes).map_err(|_| wrong())?;
    Ok(proof.value)
}
