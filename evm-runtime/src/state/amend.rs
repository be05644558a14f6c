//! Changes of the state by hand: what an operator of a development chain sets between two blocks.
//!
//! They are written as further changes of the newest block, so that the history, undoing that block and everything that reads treat
//! them like the block's own. The block's header knows nothing of them: the ledger keeps them beside it.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use storage::{Reader, Stage, Table};

use super::apply::{AccountChange, SlotChange, compute};
use super::{StateError, StateSource, decode_slot};
use crate::overlay::StateChanges;

/// Sets parts of an account; what is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountAmendment {
    /// keccak256 of the address.
    pub address_hash: B256,
    /// The balance in wei.
    pub balance: Option<U256>,
    /// The nonce.
    pub nonce: Option<u64>,
    /// The code.
    pub code: Option<Bytes>,
    /// Whether all slots that are not named become zero.
    pub clears_storage: bool,
    /// Slots: keccak256 of the number ⇒ value.
    pub slots: BTreeMap<B256, U256>,
}

/// Changes the state after block `number`, the newest one of `stage`, and returns the state root. An account that has nothing at
/// the end is none (EIP-161). Each account may be named once.
///
/// # Errors
/// The store failed, or flat state and trie do not agree.
pub fn amend(stage: &mut Stage, number: u64, amendments: &[AccountAmendment]) -> Result<B256, StateError> {
    let mut changes = StateChanges::default();
    for amendment in amendments {
        changes.accounts.push(change(stage, amendment)?);
        let code = amendment.code.as_ref().filter(|code| !code.is_empty());
        changes.codes.extend(code.map(|code| (keccak256(code), code.clone())));
    }
    changes.accounts.sort_unstable_by_key(|change| change.address_hash);
    let applied = compute(stage, &changes)?;
    let root = applied.root;
    applied.write_further(stage, number)?;
    Ok(root)
}

fn change(stage: &Stage, amendment: &AccountAmendment) -> Result<AccountChange, StateError> {
    let address_hash = amendment.address_hash;
    let reader: &dyn Reader = stage;
    let old = reader.account_by_hash(address_hash)?;
    let before = old.unwrap_or_else(|| TrieAccount::new(0, U256::ZERO, EMPTY_ROOT_HASH, KECCAK256_EMPTY));
    let code_hash = amendment.code.as_ref().map_or(before.code_hash, keccak256);
    let (nonce, balance) = (amendment.nonce.unwrap_or(before.nonce), amendment.balance.unwrap_or(before.balance));
    let wanted = wanted_slots(reader, amendment)?;
    let mut slots = Vec::with_capacity(wanted.len());
    for (slot_hash, new) in wanted {
        let old = reader.slot_by_hash(address_hash, slot_hash)?;
        if old != new {
            slots.push(SlotChange { slot_hash, old, new });
        }
    }
    let has_storage = before.storage_root != EMPTY_ROOT_HASH || !slots.is_empty();
    let is_nothing = nonce == 0 && balance.is_zero() && code_hash == KECCAK256_EMPTY && !has_storage;
    // The storage root is computed with the slots.
    let new = (!is_nothing).then(|| TrieAccount::new(nonce, balance, before.storage_root, code_hash));
    Ok(AccountChange { address_hash, old, new, wiped: false, slots })
}

/// Returns the value that each slot is to have, sorted; zero too for what is there and not named, where the rest is cleared.
fn wanted_slots(reader: &dyn Reader, amendment: &AccountAmendment) -> Result<BTreeMap<B256, U256>, StateError> {
    let mut wanted = BTreeMap::new();
    if amendment.clears_storage {
        for entry in reader.iterate_prefix(Table::Slots, amendment.address_hash.as_slice()) {
            let (key, row) = entry?;
            decode_slot(&row)?;
            wanted.insert(B256::from_slice(&key[32..]), U256::ZERO);
        }
    }
    wanted.extend(amendment.slots.iter().map(|(slot, value)| (*slot, *value)));
    Ok(wanted)
}
