//! Applying a block's changes to flat state, trie and history, and undoing them.

use std::collections::HashSet;

use alloy_primitives::{B256, Bytes, U256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use rayon::prelude::*;
use storage::{Reader, Stage, StorageError, Table};

use super::{StateError, decode_account, decode_slot, encode_slot, slot_key};
use crate::overlay::StateChanges;
use crate::trie::{self, LeafChange, NodeReader, TrieUpdate};

/// Says what became of one account in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountChange {
    /// keccak256 of the address.
    pub address_hash: B256,
    /// The account at the block's start.
    pub old: Option<TrieAccount>,
    /// The account at the block's end; its storage root is computed when the change is applied.
    pub new: Option<TrieAccount>,
    /// All storage of the block's start is gone.
    pub wiped: bool,
    /// Slots that changed, sorted by hash; after a wipe: those that were written since.
    pub slots: Vec<SlotChange>,
}

/// Says what became of one storage slot in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotChange {
    /// keccak256 of the slot's number.
    pub slot_hash: B256,
    /// The value at the block's start.
    pub old: U256,
    /// The value at the block's end.
    pub new: U256,
}

/// Holds all rows that a block's changes write, and the state root they lead to.
pub struct Applied {
    /// The state root after the block.
    pub root: B256,
    accounts: Vec<AppliedAccount>,
    account_nodes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    codes: Vec<(B256, Bytes)>,
}

struct AppliedAccount {
    address_hash: B256,
    old: Option<TrieAccount>,
    new: Option<TrieAccount>,
    slots: Vec<SlotChange>,
    nodes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Reads the nodes of the account trie.
pub(super) struct AccountNodes<'a>(pub(super) &'a dyn Reader);

impl NodeReader for AccountNodes<'_> {
    fn node(&self, path: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.0.get(Table::AccountTrie, path)
    }
}

/// Reads the nodes of one account's storage trie.
pub(super) struct StorageNodes<'a>(pub(super) &'a dyn Reader, pub(super) B256);

impl NodeReader for StorageNodes<'_> {
    fn node(&self, path: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.0.get(Table::StorageTries, &node_key(self.1, path))
    }
}

fn node_key(address_hash: B256, path: &[u8]) -> Vec<u8> {
    [address_hash.as_slice(), path].concat()
}

/// Computes what `changes` write over `reader`'s state, storage tries in parallel, and the state root.
///
/// # Errors
/// The store failed, or flat state and trie do not agree.
pub fn compute(reader: &dyn Reader, changes: &StateChanges) -> Result<Applied, StateError> {
    /// Below this many accounts with storage, handing work to other threads costs more than it saves.
    const PARALLEL_FROM: usize = 8;
    let with_slots = changes.accounts.iter().filter(|change| !change.slots.is_empty()).count();
    let accounts: Vec<AppliedAccount> = if with_slots < PARALLEL_FROM {
        changes.accounts.iter().map(|change| apply_account(reader, change)).collect::<Result<_, _>>()?
    } else {
        changes.accounts.par_iter().map(|change| apply_account(reader, change)).collect::<Result<_, _>>()?
    };
    let leaves = accounts
        .iter()
        .filter(|account| account.old != account.new)
        .map(|account| LeafChange { key: account.address_hash, value: account.new.as_ref().map(alloy_rlp::encode) })
        .collect();
    let TrieUpdate { root, nodes } = trie::update(&AccountNodes(reader), leaves)?;
    Ok(Applied { root, accounts, account_nodes: nodes, codes: changes.codes.clone() })
}

/// Applies the changes of canonical block `number`: flat state, tries, history and the row of `Changes`. Returns the state root.
///
/// # Errors
/// As [`compute`].
pub fn apply(stage: &mut Stage, number: u64, changes: &StateChanges) -> Result<B256, StateError> {
    let applied = compute(stage, changes)?;
    let root = applied.root;
    applied.write(stage, Some(number))?;
    Ok(root)
}

fn apply_account(reader: &dyn Reader, change: &AccountChange) -> Result<AppliedAccount, StateError> {
    let address_hash = change.address_hash;
    let (slots, update) = if change.wiped {
        rewrite_storage(reader, change)?
    } else {
        let old_root = change.old.as_ref().map_or(EMPTY_ROOT_HASH, |old| old.storage_root);
        (change.slots.clone(), update_storage(reader, address_hash, old_root, &change.slots)?)
    };
    let new = change.new.map(|new| TrieAccount { storage_root: update.root, ..new });
    Ok(AppliedAccount { address_hash, old: change.old, new, slots, nodes: update.nodes })
}

/// Updates one storage trie by single slots.
fn update_storage(
    reader: &dyn Reader,
    address_hash: B256,
    old_root: B256,
    slots: &[SlotChange],
) -> Result<TrieUpdate, StateError> {
    if slots.is_empty() {
        return Ok(TrieUpdate { root: old_root, nodes: Vec::new() });
    }
    let leaves = slots.iter().map(|slot| LeafChange { key: slot.slot_hash, value: slot_leaf(slot.new) }).collect();
    Ok(trie::update(&StorageNodes(reader, address_hash), leaves)?)
}

/// Drops all storage of an account and writes what came after.
fn rewrite_storage(reader: &dyn Reader, change: &AccountChange) -> Result<(Vec<SlotChange>, TrieUpdate), StateError> {
    let prefix = change.address_hash;
    let mut slots: std::collections::BTreeMap<B256, SlotChange> = std::collections::BTreeMap::new();
    for entry in reader.iterate_prefix(Table::Slots, prefix.as_slice()) {
        let (key, row) = entry?;
        let slot_hash = B256::from_slice(&key[32..]);
        slots.insert(slot_hash, SlotChange { slot_hash, old: decode_slot(&row)?, new: U256::ZERO });
    }
    for slot in &change.slots {
        let fresh = SlotChange { slot_hash: slot.slot_hash, old: U256::ZERO, new: U256::ZERO };
        slots.entry(slot.slot_hash).or_insert(fresh).new = slot.new;
    }
    let leaves = slots.values().filter_map(|slot| slot_leaf(slot.new).map(|leaf| (slot.slot_hash, leaf)));
    let mut update = trie::build(leaves);
    let mut stale = Vec::new();
    for entry in reader.iterate_prefix(Table::StorageTries, prefix.as_slice()) {
        let path = entry?.0[32..].to_vec();
        if !update.nodes.iter().any(|(kept, _)| *kept == path) {
            stale.push((path, None));
        }
    }
    update.nodes.extend(stale);
    let changed = slots.into_values().filter(|slot| slot.old != slot.new).collect();
    Ok((changed, update))
}

/// Returns the leaf of a slot: the RLP of its value, or none for zero.
pub(super) fn slot_leaf(value: U256) -> Option<Vec<u8>> {
    (!value.is_zero()).then(|| alloy_rlp::encode(value))
}

impl Applied {
    /// Writes all rows; with a block number also the history and the row of `Changes` that undoing needs.
    ///
    /// # Errors
    /// The store failed.
    pub fn write(self, stage: &mut Stage, number: Option<u64>) -> Result<(), StateError> {
        self.write_to(stage, Recorder { number, ..Recorder::default() })
    }

    /// Writes all rows as further changes of block `number`, the newest one: what a key was before the block stays as it was noted
    /// first.
    ///
    /// # Errors
    /// The store failed.
    pub(super) fn write_further(self, stage: &mut Stage, number: u64) -> Result<(), StateError> {
        let record = ChangeRecord::read(stage, number)?.unwrap_or_default();
        let accounts = record.accounts.chunks_exact(32);
        let known = accounts.chain(record.slots.chunks_exact(64)).map(<[u8]>::to_vec).collect();
        self.write_to(stage, Recorder { number: Some(number), record, known })
    }

    fn write_to(self, stage: &mut Stage, mut recorder: Recorder) -> Result<(), StateError> {
        for (hash, code) in self.codes {
            if stage.get(Table::Code, hash.as_slice())?.is_none() {
                recorder.record.codes.extend_from_slice(hash.as_slice());
                stage.put(Table::Code, hash.as_slice(), code);
            }
        }
        for account in self.accounts {
            account.write(stage, &mut recorder);
        }
        put_nodes(stage, Table::AccountTrie, &[], self.account_nodes);
        if let Some(number) = recorder.number {
            stage.put(Table::Changes, number.to_be_bytes(), recorder.record.encode());
        }
        Ok(())
    }
}

/// Notes what keys were before a block.
#[derive(Default)]
struct Recorder {
    /// The block; `None`: nothing is noted.
    number: Option<u64>,
    record: ChangeRecord,
    /// Keys that were noted before.
    known: HashSet<Vec<u8>>,
}

impl Recorder {
    /// Notes an account's row before the block.
    fn account(&mut self, stage: &mut Stage, key: &[u8], old: impl FnOnce() -> Vec<u8>) {
        if let Some(number) = self.number.filter(|_| !self.known.contains(key)) {
            self.record.accounts.extend_from_slice(key);
            stage.put(Table::AccountHistory, history_key(key, number), old());
        }
    }

    /// Notes a slot's row before the block.
    fn slot(&mut self, stage: &mut Stage, key: &[u8], old: U256) {
        if let Some(number) = self.number.filter(|_| !self.known.contains(key)) {
            self.record.slots.extend_from_slice(key);
            stage.put(Table::SlotHistory, history_key(key, number), encode_slot(old));
        }
    }
}

impl AppliedAccount {
    fn write(self, stage: &mut Stage, recorder: &mut Recorder) {
        for slot in &self.slots {
            let key = slot_key(self.address_hash, slot.slot_hash);
            put_slot(stage, &key, slot.new);
            recorder.slot(stage, &key, slot.old);
        }
        put_nodes(stage, Table::StorageTries, self.address_hash.as_slice(), self.nodes);
        if self.old != self.new {
            put_account(stage, self.address_hash, self.new.as_ref());
            let old = || self.old.as_ref().map(alloy_rlp::encode).unwrap_or_default();
            recorder.account(stage, self.address_hash.as_slice(), old);
        }
    }
}

pub(super) fn put_account(stage: &mut Stage, address_hash: B256, account: Option<&TrieAccount>) {
    match account {
        Some(account) => stage.put(Table::Accounts, address_hash.as_slice(), alloy_rlp::encode(account)),
        None => stage.delete(Table::Accounts, address_hash.as_slice()),
    }
}

pub(super) fn put_slot(stage: &mut Stage, key: &[u8; 64], value: U256) {
    if value.is_zero() {
        stage.delete(Table::Slots, &key[..]);
    } else {
        stage.put(Table::Slots, &key[..], encode_slot(value));
    }
}

pub(super) fn put_nodes(stage: &mut Stage, table: Table, prefix: &[u8], nodes: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
    for (path, node) in nodes {
        let key = if prefix.is_empty() { path } else { [prefix, &path].concat() };
        match node {
            Some(node) => stage.put(table, key, node),
            None => stage.delete(table, key),
        }
    }
}

/// Returns key ‖ number: the key of the history tables.
fn history_key(key: &[u8], number: u64) -> Vec<u8> {
    [key, &number.to_be_bytes()].concat()
}

/// Lists the keys that a block changed: three strings of concatenated hashed keys.
#[derive(Default)]
pub(super) struct ChangeRecord {
    pub(super) accounts: Vec<u8>,
    pub(super) slots: Vec<u8>,
    pub(super) codes: Vec<u8>,
}

impl ChangeRecord {
    fn encode(&self) -> Vec<u8> {
        let mut stream = rlp::RlpStream::new_list(3);
        stream.append(&self.accounts).append(&self.slots).append(&self.codes);
        stream.out().to_vec()
    }

    pub(super) fn read(reader: &dyn Reader, number: u64) -> Result<Option<Self>, StateError> {
        let Some(row) = reader.get(Table::Changes, &number.to_be_bytes())? else { return Ok(None) };
        let list = rlp::Rlp::new(&row);
        let string = |index| list.val_at::<Vec<u8>>(index);
        match (string(0), string(1), string(2)) {
            (Ok(accounts), Ok(slots), Ok(codes)) => Ok(Some(Self { accounts, slots, codes })),
            _ => Err(StateError::Corrupt(format!("the changes of block {number} do not decode"))),
        }
    }
}

/// Undoes canonical block `number`, the newest one of `stage`: every row is as it was before the block. Returns the state root.
///
/// # Errors
/// The store failed, the undo data was pruned, or flat state, trie and history do not agree.
pub fn undo(stage: &mut Stage, number: u64) -> Result<B256, StateError> {
    let record = ChangeRecord::read(stage, number)?
        .ok_or_else(|| StateError::Corrupt(format!("block {number} has no undo data")))?;
    let accounts = undone_accounts(stage, number, &record)?;
    let computed: Vec<_> = accounts.par_iter().map(|change| apply_account(stage, change)).collect::<Result<_, _>>()?;
    let leaves = accounts
        .iter()
        .filter(|change| change.old != change.new)
        .map(|change| LeafChange { key: change.address_hash, value: change.new.as_ref().map(alloy_rlp::encode) })
        .collect();
    let update = trie::update(&AccountNodes(stage), leaves)?;
    for (change, applied) in accounts.iter().zip(computed) {
        if change.new.is_some() && applied.new != change.new {
            return Err(StateError::Corrupt(format!("undoing block {number}: a storage root does not come back")));
        }
        for slot in &change.slots {
            put_slot(stage, &slot_key(change.address_hash, slot.slot_hash), slot.new);
        }
        put_nodes(stage, Table::StorageTries, change.address_hash.as_slice(), applied.nodes);
        if change.old != change.new {
            put_account(stage, change.address_hash, change.new.as_ref());
        }
    }
    put_nodes(stage, Table::AccountTrie, &[], update.nodes);
    forget(stage, number, &record);
    for code in record.codes.chunks_exact(32) {
        stage.delete(Table::Code, code);
    }
    Ok(update.root)
}

/// Deletes the history rows of a block.
pub(super) fn forget(stage: &mut Stage, number: u64, record: &ChangeRecord) {
    for key in record.accounts.chunks_exact(32) {
        stage.delete(Table::AccountHistory, history_key(key, number));
    }
    for key in record.slots.chunks_exact(64) {
        stage.delete(Table::SlotHistory, history_key(key, number));
    }
    stage.delete(Table::Changes, number.to_be_bytes());
}

/// Reads what each changed account was before the block, as changes back to it.
fn undone_accounts(reader: &dyn Reader, number: u64, record: &ChangeRecord) -> Result<Vec<AccountChange>, StateError> {
    let mut accounts: std::collections::BTreeMap<B256, AccountChange> = std::collections::BTreeMap::new();
    let missing = || StateError::Corrupt(format!("block {number}: a history row is missing"));
    let now = |hash: B256| reader.get(Table::Accounts, hash.as_slice())?.map(|row| decode_account(&row)).transpose();
    for key in record.accounts.chunks_exact(32) {
        let address_hash = B256::from_slice(key);
        let row = reader.get(Table::AccountHistory, &history_key(key, number))?.ok_or_else(missing)?;
        let before = if row.is_empty() { None } else { Some(decode_account(&row)?) };
        let change =
            AccountChange { address_hash, old: now(address_hash)?, new: before, wiped: false, slots: Vec::new() };
        accounts.insert(address_hash, change);
    }
    for key in record.slots.chunks_exact(64) {
        let (address_hash, slot_hash) = (B256::from_slice(&key[..32]), B256::from_slice(&key[32..]));
        let row = reader.get(Table::SlotHistory, &history_key(key, number))?.ok_or_else(missing)?;
        let old = reader.get(Table::Slots, key)?.map_or(Ok(U256::ZERO), |row| decode_slot(&row))?;
        let Some(change) = accounts.get_mut(&address_hash) else { return Err(missing()) };
        change.slots.push(SlotChange { slot_hash, old, new: decode_slot(&row)? });
    }
    Ok(accounts.into_values().collect())
}
