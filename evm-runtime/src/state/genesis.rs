//! The genesis state.

use alloy_primitives::{B256, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::TrieAccount;
use consensus::{Genesis, GenesisAccount};
use storage::Stage;

use super::{AccountChange, SlotChange, StateError, compute};
use crate::overlay::StateChanges;

/// Writes the accounts of the chain file into an empty store and returns the state root.
///
/// # Errors
/// The store failed.
pub fn put_genesis(stage: &mut Stage, genesis: &Genesis) -> Result<B256, StateError> {
    let mut changes = StateChanges::default();
    for (address, account) in &genesis.alloc {
        let code_hash = if account.code.is_empty() { KECCAK256_EMPTY } else { keccak256(&account.code) };
        if !account.code.is_empty() {
            changes.codes.push((code_hash, account.code.clone()));
        }
        changes.accounts.push(AccountChange {
            address_hash: keccak256(address),
            old: None,
            new: Some(TrieAccount::new(account.nonce, account.balance, B256::ZERO, code_hash)),
            wiped: false,
            slots: genesis_slots(account),
        });
    }
    changes.accounts.sort_unstable_by_key(|change| change.address_hash);
    let applied = compute(stage, &changes)?;
    let root = applied.root;
    applied.write(stage, None)?;
    Ok(root)
}

fn genesis_slots(account: &GenesisAccount) -> Vec<SlotChange> {
    let mut slots: Vec<_> = account
        .storage
        .iter()
        .filter(|(_, value)| !value.is_zero())
        .map(|(slot, value)| SlotChange {
            slot_hash: keccak256(slot),
            old: U256::ZERO,
            new: U256::from_be_bytes(value.0),
        })
        .collect();
    slots.sort_unstable_by_key(|slot| slot.slot_hash);
    slots
}
