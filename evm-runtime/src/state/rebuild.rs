//! Checking the state at the head against itself, and forgetting history.

use alloy_primitives::{B256, KECCAK256_EMPTY, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use storage::{Reader, Stage, Table};

use super::apply::{AccountNodes, ChangeRecord, forget};
use super::{StateError, decode_account, decode_slot};
use crate::trie;

/// Says what a check of the whole state found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateCheck {
    /// The state root, recomputed from the flat rows.
    pub root: B256,
    /// Accounts read.
    pub accounts: u64,
    /// Storage slots read.
    pub slots: u64,
    /// Codes whose hash was recomputed.
    pub codes: u64,
    /// What does not agree, the first hundred findings.
    pub problems: Vec<String>,
}

impl StateCheck {
    fn report(&mut self, problem: impl FnOnce() -> String) {
        /// More findings tell an operator nothing new.
        const PROBLEMS_MAX: usize = 100;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem());
        }
    }
}

/// Recomputes every storage root and the state root from the flat rows, every code hash from the code, and compares them
/// with the accounts, the stored trie nodes and each other.
///
/// # Errors
/// The store failed or a row does not decode.
pub fn check(reader: &dyn Reader) -> Result<StateCheck, StateError> {
    let mut found = StateCheck::default();
    check_codes(reader, &mut found)?;
    let mut slots = reader.iterate(Table::Slots, &[]).peekable();
    let mut leaves = Vec::new();
    for entry in reader.iterate(Table::Accounts, &[]) {
        let (key, row) = entry?;
        let account = decode_account(&row)?;
        let address_hash = B256::from_slice(&key);
        found.accounts += 1;
        let mut storage = Vec::new();
        while let Some(Ok((slot, _))) = slots.peek() {
            if slot[..32] > key[..] {
                break;
            }
            let (slot, value) = slots.next().expect("peeked")?;
            if slot[..32] < key[..] {
                found.report(|| format!("slot of an account that does not exist: {}", B256::from_slice(&slot[..32])));
                continue;
            }
            storage.push((B256::from_slice(&slot[32..]), alloy_rlp::encode(decode_slot(&value)?)));
        }
        found.slots += u64::try_from(storage.len()).unwrap_or(u64::MAX);
        check_trie(reader, Table::StorageTries, address_hash.as_slice(), storage, account.storage_root, &mut found)?;
        if account.code_hash != KECCAK256_EMPTY && reader.get(Table::Code, account.code_hash.as_slice())?.is_none() {
            found.report(|| format!("account {address_hash}: no code under {}", account.code_hash));
        }
        leaves.push((address_hash, row));
    }
    if let Some(entry) = slots.next() {
        let (slot, _) = entry?;
        found.report(|| format!("slot of an account that does not exist: {}", B256::from_slice(&slot[..32])));
    }
    found.root = trie::root(leaves.iter().map(|(key, row)| (*key, row.clone())));
    let root = found.root;
    check_trie(reader, Table::AccountTrie, &[], leaves, root, &mut found)?;
    Ok(found)
}

fn check_codes(reader: &dyn Reader, found: &mut StateCheck) -> Result<(), StateError> {
    for entry in reader.iterate(Table::Code, &[]) {
        let (key, code) = entry?;
        found.codes += 1;
        if keccak256(&code).as_slice() != key {
            found.report(|| format!("code under {} has another hash", B256::from_slice(&key)));
        }
    }
    Ok(())
}

/// Rebuilds one trie from its leaves and compares root and every stored node.
fn check_trie(
    reader: &dyn Reader,
    table: Table,
    prefix: &[u8],
    leaves: Vec<(B256, Vec<u8>)>,
    expected: B256,
    found: &mut StateCheck,
) -> Result<(), StateError> {
    if leaves.is_empty() && expected == EMPTY_ROOT_HASH {
        return Ok(());
    }
    let built = trie::build(leaves.into_iter());
    if built.root != expected {
        found.report(|| {
            format!("{} {}: root {expected}, the flat state gives {}", table.name(), hex(prefix), built.root)
        });
    }
    let mut nodes: Vec<_> = built.nodes.into_iter().filter_map(|(path, node)| node.map(|node| (path, node))).collect();
    nodes.sort_unstable();
    let mut expected_nodes = nodes.into_iter();
    for entry in reader.iterate_prefix(table, prefix) {
        let (key, node) = entry?;
        if expected_nodes.next().is_none_or(|(path, rebuilt)| key[prefix.len()..] != path || node != rebuilt) {
            found.report(|| format!("{} {}: a stored node differs from the flat state's", table.name(), hex(&key)));
            return Ok(());
        }
    }
    if expected_nodes.next().is_some() {
        found.report(|| format!("{} {}: a node is missing", table.name(), hex(prefix)));
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    alloy_primitives::hex::encode_prefixed(bytes)
}

/// Returns the root of the stored account trie, from its root node alone.
///
/// # Errors
/// The store failed.
pub fn stored_root(reader: &dyn Reader) -> Result<B256, StateError> {
    Ok(trie::stored_root(&AccountNodes(reader))?)
}

/// Deletes the history of canonical block `number`, whose undo data and older states are gone then. Tells whether there was any.
///
/// # Errors
/// The store failed.
pub fn forget_history(stage: &mut Stage, number: u64) -> Result<bool, StateError> {
    let Some(record) = ChangeRecord::read(stage, number)? else { return Ok(false) };
    forget(stage, number, &record);
    Ok(true)
}
