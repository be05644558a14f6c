//! The Merkle-Patricia trie, by path: a trie over stored nodes that is brought up to date in work proportional to what changed.
//!
//! A node is stored under its path, the nibbles (one a byte) that lead from the root to it, so that an update overwrites it in
//! place and nothing has to be collected. Stored are the root and every node that its parent names by hash (encoded 32 bytes or longer);
//! shorter nodes stand inside their parent, as the trie's definition has it (Yellow Paper, appendix D). The empty trie has
//! no node.
//!
//! The trie owns no storage: it reads through [`NodeReader`] and returns what to write. It is neither cache nor history.

mod nibbles;
mod node;
mod proof;
mod update;

#[cfg(test)]
mod tests;

pub use proof::{proof, proof_nibbles};

use alloy_primitives::{B256, keccak256};
use alloy_trie::{HashBuilder, Nibbles};
use storage::StorageError;
use update::{Change, Updater};

pub use alloy_trie::EMPTY_ROOT_HASH;

/// Reads stored nodes of one trie by path (nibbles, one a byte). Read from several threads at once.
pub trait NodeReader: Sync {
    /// Returns the encoded node at `path`.
    ///
    /// # Errors
    /// The store failed.
    fn node(&self, path: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;
}

/// One leaf to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafChange {
    /// The hashed key.
    pub key: B256,
    /// The new value (RLP); `None` (or no bytes, which a trie cannot hold) deletes the leaf.
    pub value: Option<Vec<u8>>,
}

/// What an update does to the stored nodes. Each path occurs once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrieUpdate {
    /// The root hash after the update.
    pub root: B256,
    /// Path (nibbles, one a byte) and new node (RLP), `None` where the node goes away. Nodes that stay as they are do not occur.
    pub nodes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Says why a trie could not be read or updated. None of these is the caller's data: each means that the store is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrieError {
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A node that its parent names is not stored.
    #[error("trie node at path {} is missing", nibbles::display(path))]
    Missing {
        /// The path of the node.
        path: Vec<u8>,
    },
    /// A stored node does not decode.
    #[error("trie node at path {} does not decode", nibbles::display(path))]
    Malformed {
        /// The path of the node.
        path: Vec<u8>,
    },
}

/// Returns the root and the node changes that follow from `changes`, in any order; a later change of the same key wins.
///
/// # Errors
/// The stored nodes cannot be read.
pub fn update(reader: &dyn NodeReader, changes: Vec<LeafChange>) -> Result<TrieUpdate, TrieError> {
    // One buffer for all paths: 64 nibbles a key.
    let mut paths = vec![0; changes.len() * nibbles::HASH_NIBBLES];
    for (path, change) in paths.chunks_exact_mut(nibbles::HASH_NIBBLES).zip(&changes) {
        nibbles::unpack_hash(&change.key, path);
    }
    let keys = paths.chunks_exact(nibbles::HASH_NIBBLES);
    let changes = keys.zip(&changes).map(|(key, change)| Change::new(key, change.value.as_deref())).collect();
    update_sorted(reader, changes)
}

/// Returns the root and the node changes that follow from `changes` of keys of any length (nibbles, one a byte), one the beginning
/// of another if need be; otherwise like [`update()`].
///
/// # Errors
/// The stored nodes cannot be read.
pub fn update_nibbles(
    reader: &dyn NodeReader,
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
) -> Result<TrieUpdate, TrieError> {
    update_sorted(reader, changes.iter().map(|(key, value)| Change::new(key, value.as_deref())).collect())
}

fn update_sorted(reader: &dyn NodeReader, mut changes: Vec<Change<'_>>) -> Result<TrieUpdate, TrieError> {
    if !changes.is_sorted_by(|a, b| a.key < b.key) {
        // Stable, and from the back: of equal keys the last one given stays.
        changes.reverse();
        changes.sort_by(|a, b| a.key.cmp(b.key));
        changes.dedup_by(|next, kept| next.key == kept.key);
    }
    Updater::new(reader).update_root(&changes)
}

/// Returns the root of the stored trie, [`EMPTY_ROOT_HASH`] where no node is stored.
///
/// # Errors
/// The root node cannot be read.
pub fn stored_root(reader: &dyn NodeReader) -> Result<B256, TrieError> {
    Ok(reader.node(&[])?.map_or(EMPTY_ROOT_HASH, keccak256))
}

/// Returns the root over `leaves` (hashed key, value), which come in ascending order of their keys, without storing anything.
pub fn root(leaves: impl Iterator<Item = (B256, Vec<u8>)>) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), &value);
    }
    builder.root()
}

/// Returns the root and all nodes of a new trie over `leaves` (hashed key, value), in any order: for the genesis and for repair.
pub fn build(leaves: impl Iterator<Item = (B256, Vec<u8>)>) -> TrieUpdate {
    let changes = leaves.map(|(key, value)| LeafChange { key, value: Some(value) }).collect();
    update(&Nothing, changes).expect("a trie without stored nodes has none that could be missing or damaged")
}

/// Reads the empty trie.
struct Nothing;

impl NodeReader for Nothing {
    fn node(&self, _path: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(None)
    }
}
