//! Putting a whole state in place of another one: what a node does that starts from a snapshot.

use alloy_primitives::{B256, Bytes, U256};
use alloy_trie::TrieAccount;
use rayon::prelude::*;
use storage::{Reader, Stage, Table};

use super::apply::{put_account, put_nodes, put_slot, slot_leaf};
use super::{StateError, slot_key};
use crate::trie::{self, TrieUpdate};

/// Holds an account of a state with its storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateAccount {
    /// keccak256 of the address.
    pub address_hash: B256,
    /// The account.
    pub account: TrieAccount,
    /// The slots that are not zero: keccak256 of the number, value.
    pub slots: Vec<(B256, U256)>,
}

/// Returns the storage root of slots (keccak256 of the number, value), ascending.
pub fn storage_root(slots: &[(B256, U256)]) -> B256 {
    trie::root(slots.iter().filter_map(|(slot, value)| slot_leaf(*value).map(|leaf| (*slot, leaf))))
}

/// Returns the state root of accounts, ascending by keccak256 of their addresses.
pub fn state_root<'a>(accounts: impl Iterator<Item = (B256, &'a TrieAccount)>) -> B256 {
    trie::root(accounts.map(|(address_hash, account)| (address_hash, alloy_rlp::encode(account))))
}

/// Replaces the whole state of `stage` by another one, without history, and returns the state root that follows from its accounts
/// and slots. Codes are added to those that are there.
///
/// # Errors
/// The store failed, or the slots of an account do not have its storage root.
pub fn replace(stage: &mut Stage, accounts: &[StateAccount], codes: &[(B256, Bytes)]) -> Result<B256, StateError> {
    for table in [Table::Accounts, Table::Slots, Table::AccountTrie, Table::StorageTries] {
        let keys = stage.iterate(table, &[]).map(|entry| Ok(entry?.0)).collect::<Result<Vec<_>, StateError>>()?;
        keys.into_iter().for_each(|key| stage.delete(table, key));
    }
    for (hash, code) in codes {
        stage.put(Table::Code, hash.as_slice(), code.clone());
    }
    let tries: Vec<TrieUpdate> = accounts.par_iter().map(storage_trie).collect();
    for (account, trie) in accounts.iter().zip(tries) {
        if trie.root != account.account.storage_root {
            let problem = format!("the slots of account {} do not have its storage root", account.address_hash);
            return Err(StateError::Corrupt(problem));
        }
        put_account(stage, account.address_hash, Some(&account.account));
        for (slot, value) in &account.slots {
            put_slot(stage, &slot_key(account.address_hash, *slot), *value);
        }
        put_nodes(stage, Table::StorageTries, account.address_hash.as_slice(), trie.nodes);
    }
    let leaves = accounts.iter().map(|account| (account.address_hash, alloy_rlp::encode(account.account)));
    let trie = trie::build(leaves);
    put_nodes(stage, Table::AccountTrie, &[], trie.nodes);
    Ok(trie.root)
}

fn storage_trie(account: &StateAccount) -> TrieUpdate {
    trie::build(account.slots.iter().filter_map(|(slot, value)| slot_leaf(*value).map(|leaf| (*slot, leaf))))
}
