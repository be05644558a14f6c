//! Proofs of accounts and slots (EIP-1186), at the head and at blocks before it.
//!
//! The stored tries are the head's. For an earlier block, those leaves that changed since are put back to what they were, in
//! memory: only the nodes on their ways differ from the stored ones.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use storage::StorageError;

use super::apply::{AccountNodes, ChangeRecord, StorageNodes, slot_leaf};
use super::range::ReadError;
use super::{StateError, StateSource, StateView};
use crate::trie::{self, LeafChange, NodeReader};

/// Proves an account and some of its slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// The account; `None`: the proof is of its absence.
    pub account: Option<TrieAccount>,
    /// The nodes of the account trie from the root towards the account.
    pub nodes: Vec<Bytes>,
    /// A proof for each slot asked for.
    pub slots: Vec<SlotProof>,
}

/// Proves a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotProof {
    /// The value; zero: the proof is of its absence.
    pub value: U256,
    /// The nodes of the storage trie from its root towards the slot; none where the account has no storage.
    pub nodes: Vec<Bytes>,
}

/// The nodes of a trie, some of them as they were.
struct Former<'a> {
    now: &'a dyn NodeReader,
    changed: HashMap<Vec<u8>, Option<Vec<u8>>>,
}

impl NodeReader for Former<'_> {
    fn node(&self, path: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        match self.changed.get(path) {
            Some(node) => Ok(node.clone()),
            None => self.now.node(path),
        }
    }
}

impl<'a> Former<'a> {
    fn new(now: &'a dyn NodeReader, leaves: Vec<LeafChange>) -> Result<Self, StateError> {
        let update = trie::update(now, leaves)?;
        Ok(Self { now, changed: update.nodes.into_iter().collect() })
    }
}

impl StateView {
    /// Proves the account at `address` and its `slots` against the state root of this view, which must come out as `root`;
    /// `head` is the number of the store's head.
    ///
    /// # Errors
    /// Cancelled, the store failed, or the state gives another root.
    pub fn prove(
        &self,
        head: u64,
        root: B256,
        address: Address,
        slots: &[U256],
        cancelled: &AtomicBool,
    ) -> Result<AccountProof, ReadError> {
        let address_hash = keccak256(address);
        let (accounts, changed_slots) = self.changed_since(head, address_hash, cancelled)?;
        let account_leaf = |key: &B256| {
            let account = self.account_by_hash(*key)?;
            Ok(LeafChange { key: *key, value: account.map(alloy_rlp::encode) })
        };
        let leaves = accounts.iter().map(account_leaf).collect::<Result<_, StateError>>()?;
        let account_nodes = AccountNodes(self.reader());
        let account_trie = Former::new(&account_nodes, leaves)?;
        expect_root("state", root, &account_trie)?;
        let account = self.account_by_hash(address_hash)?;
        let nodes = trie::proof(&account_trie, address_hash).map_err(StateError::from)?;

        let storage_root = account.as_ref().map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
        let slot_change =
            |key: &B256| Ok(LeafChange { key: *key, value: slot_leaf(self.slot_by_hash(address_hash, *key)?) });
        let leaves = changed_slots.iter().map(slot_change).collect::<Result<_, StateError>>()?;
        let storage_nodes = StorageNodes(self.reader(), address_hash);
        let storage_trie = Former::new(&storage_nodes, leaves)?;
        expect_root("storage", storage_root, &storage_trie)?;
        let slot_proof = |slot: &U256| {
            let key = keccak256(slot.to_be_bytes::<32>());
            Ok(SlotProof { value: self.slot_by_hash(address_hash, key)?, nodes: trie::proof(&storage_trie, key)? })
        };
        let slots = slots.iter().map(slot_proof).collect::<Result<_, StateError>>()?;
        Ok(AccountProof { account, nodes, slots })
    }

    /// Returns the accounts, and the slots of one of them, that were changed between this view and the head.
    fn changed_since(
        &self,
        head: u64,
        address_hash: B256,
        cancelled: &AtomicBool,
    ) -> Result<(BTreeSet<B256>, BTreeSet<B256>), ReadError> {
        let (mut accounts, mut slots) = (BTreeSet::new(), BTreeSet::new());
        let Some(number) = self.number else { return Ok((accounts, slots)) };
        for number in number.saturating_add(1)..=head {
            if cancelled.load(Ordering::Relaxed) {
                return Err(ReadError::Cancelled);
            }
            let record = ChangeRecord::read(self.reader(), number)?
                .ok_or_else(|| StateError::Corrupt(format!("block {number} has no undo data")))?;
            accounts.extend(record.accounts.chunks_exact(32).map(B256::from_slice));
            let own = record.slots.chunks_exact(64).filter(|key| key.starts_with(address_hash.as_slice()));
            slots.extend(own.map(|key| B256::from_slice(&key[32..])));
        }
        Ok((accounts, slots))
    }
}

fn expect_root(which: &str, expected: B256, trie: &Former<'_>) -> Result<(), StateError> {
    let actual = trie::stored_root(trie)?;
    if actual == expected {
        return Ok(());
    }
    Err(StateError::Corrupt(format!("{which} root: expected {expected}, the trie gives {actual}")))
}
