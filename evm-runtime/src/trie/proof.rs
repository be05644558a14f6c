//! Proofs: the nodes on the way to a key.

use super::{
    NodeReader, TrieError,
    nibbles::{self, common_length},
    node::{self, EMPTY_ITEM, Node},
};
use alloy_primitives::{B256, Bytes};

/// Returns the encoded nodes from the root towards the hashed `key`, as `eth_getProof` lists them (EIP-1186): they prove the value, or
/// that there is none. Nodes that stand inside their parent are not listed apart. The empty trie has no node.
///
/// # Errors
/// The stored nodes cannot be read.
pub fn proof(reader: &dyn NodeReader, key: B256) -> Result<Vec<Bytes>, TrieError> {
    let mut path = [0; nibbles::HASH_NIBBLES];
    nibbles::unpack_hash(&key, &mut path);
    proof_nibbles(reader, &path)
}

/// Returns the proof of a key of any length (nibbles, one a byte); otherwise like [`proof`].
///
/// # Errors
/// The stored nodes cannot be read.
pub fn proof_nibbles(reader: &dyn NodeReader, key: &[u8]) -> Result<Vec<Bytes>, TrieError> {
    let mut nodes = Vec::new();
    let mut depth = 0;
    let Some(root) = reader.node(&[])? else { return Ok(nodes) };
    let mut stored = root;
    loop {
        let next = descend(&stored, key, depth)?;
        nodes.push(Bytes::from(stored));
        let Some(below) = next else { return Ok(nodes) };
        depth = below;
        let path = &key[..depth];
        stored = reader.node(path)?.ok_or_else(|| TrieError::Missing { path: path.to_vec() })?;
    }
}

/// Follows `key` within one stored node and the nodes inside it; returns the depth of the next stored node on the way.
fn descend(stored: &[u8], key: &[u8], mut depth: usize) -> Result<Option<usize>, TrieError> {
    let mut encoded = stored;
    loop {
        let malformed = || TrieError::Malformed { path: key[..depth].to_vec() };
        let child = match node::decode(encoded).ok_or_else(malformed)? {
            Node::Leaf { .. } => return Ok(None),
            Node::Extension { key: packed, child } => {
                let nibbles = packed.append_to(&[]);
                if common_length(&nibbles, &key[depth..]) < nibbles.len() {
                    return Ok(None);
                }
                depth += nibbles.len();
                child
            }
            Node::Branch { children, .. } => {
                let Some(nibble) = key.get(depth) else { return Ok(None) };
                depth += 1;
                children[usize::from(*nibble)]
            }
        };
        if child == EMPTY_ITEM {
            return Ok(None);
        }
        if node::is_hash(child) {
            return Ok(Some(depth));
        }
        encoded = child;
    }
}
