//! The update: one descent with all changes at once.
//!
//! The changes are sorted, so that those below a node are a slice. Each node on their way is read and decoded once, its children with changes
//! are updated, and it is encoded and hashed once. What comes up from below is a [`Subtree`] that is not encoded yet where its
//! encoding depends on what is above it: a leaf or a branch that lost its last neighbour moves up by being handed on.

use super::{
    NodeReader, TrieError, TrieUpdate,
    nibbles::{Packed, common_length},
    node::{self, EMPTY_ITEM, HASHED_BYTES, Item, Node},
};
use alloy_primitives::{B256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use rayon::prelude::*;
use std::borrow::Cow;

/// From this many changes on, the children of the topmost branch are updated in parallel. Below it, starting threads costs more
/// than it gains.
const PARALLEL_MIN: usize = 64;

/// One change, its key in nibbles.
#[derive(Clone, Copy)]
pub(super) struct Change<'c> {
    pub(super) key: &'c [u8],
    value: Option<&'c [u8]>,
}

impl<'c> Change<'c> {
    pub(super) fn new(key: &'c [u8], value: Option<&'c [u8]>) -> Self {
        Self { key, value: value.filter(|value| !value.is_empty()) }
    }
}

/// What is below a path after the changes.
enum Subtree<'c> {
    /// What was there before.
    Unchanged,
    /// Nothing.
    Empty,
    /// One leaf, by its whole key. How much of the key stands in the leaf depends on where it ends up.
    Leaf { key: Cow<'c, [u8]>, value: Cow<'c, [u8]> },
    /// A branch, by its whole path, recorded already, and how it is named. Seen from further up, an extension leads to it.
    Branch { path: Cow<'c, [u8]>, item: Item },
}

impl Subtree<'_> {
    fn into_owned<'o>(self) -> Subtree<'o> {
        let own = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
        match self {
            Self::Unchanged => Subtree::Unchanged,
            Self::Empty => Subtree::Empty,
            Self::Leaf { key, value } => Subtree::Leaf { key: own(key), value: own(value) },
            Self::Branch { path, item } => Subtree::Branch { path: own(path), item },
        }
    }

    fn is_branch_at(&self, depth: usize) -> bool {
        matches!(self, Self::Branch { path, .. } if path.len() == depth)
    }
}

/// A child of a branch before the changes.
#[derive(Clone, Copy)]
enum Slot<'n> {
    /// As a stored branch names it.
    Item(&'n [u8]),
    /// The rest of an extension that a new branch splits, down to the branch at `to`. It has never been stored.
    Extension { to: &'n [u8], child: &'n [u8] },
}

impl<'n> Slot<'n> {
    /// Returns how the child was stored.
    fn stored(self) -> &'n [u8] {
        match self {
            Self::Item(item) => item,
            Self::Extension { .. } => EMPTY_ITEM,
        }
    }
}

/// A branch before the changes; `is_new` when it was not there.
struct OldBranch<'n> {
    slots: [Slot<'n>; 16],
    value: &'n [u8],
    is_new: bool,
}

impl<'n> OldBranch<'n> {
    const NEW: Self = Self { slots: [Slot::Item(EMPTY_ITEM); 16], value: &[], is_new: true };
}

/// Reads nodes and collects the changed ones.
pub(super) struct Updater<'r> {
    reader: &'r dyn NodeReader,
    nodes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Where nodes are encoded.
    buffer: Vec<u8>,
    may_fork: bool,
}

impl<'r> Updater<'r> {
    pub(super) fn new(reader: &'r dyn NodeReader) -> Self {
        Self { reader, nodes: Vec::new(), buffer: Vec::new(), may_fork: true }
    }

    /// Applies `changes`, sorted by key, each key once.
    pub(super) fn update_root(mut self, changes: &[Change<'_>]) -> Result<TrieUpdate, TrieError> {
        let old = self.reader.node(&[])?;
        // The root is stored however short it is, so that its hash stands for it here.
        let old_root = old.as_ref().map_or(EMPTY_ROOT_HASH, keccak256);
        if changes.is_empty() {
            return Ok(TrieUpdate { root: old_root, nodes: Vec::new() });
        }
        let (stored, subtree) = match &old {
            Some(encoded) => {
                let stored = Item::hash(&old_root);
                (stored, self.update_node(0, stored.as_slice(), encoded, changes)?)
            }
            None => (Item::EMPTY, self.insert(0, EMPTY_ITEM, changes)?),
        };
        let root = match &subtree {
            Subtree::Unchanged => old_root,
            Subtree::Empty => {
                self.vacate(stored.as_slice(), Vec::new);
                EMPTY_ROOT_HASH
            }
            _ => B256::from_slice(&self.settle(0, stored.as_slice(), &subtree).as_slice()[1..]),
        };
        Ok(TrieUpdate { root, nodes: self.nodes })
    }

    /// Updates what `item` names, which is at the first `depth` nibbles of all the changes' keys.
    fn update_item<'c>(&mut self, depth: usize, item: &[u8], changes: &[Change<'c>]) -> Result<Subtree<'c>, TrieError> {
        if item == EMPTY_ITEM {
            return self.insert(depth, EMPTY_ITEM, changes);
        }
        if node::is_hash(item) {
            let encoded = self.read(&changes[0].key[..depth])?;
            return self.update_node(depth, item, &encoded, changes);
        }
        self.update_node(depth, item, item, changes)
    }

    fn update_node<'c>(
        &mut self,
        depth: usize,
        stored: &[u8],
        encoded: &[u8],
        changes: &[Change<'c>],
    ) -> Result<Subtree<'c>, TrieError> {
        let path = &changes[0].key[..depth];
        match node::decode(encoded).ok_or_else(|| TrieError::Malformed { path: path.to_vec() })? {
            Node::Leaf { suffix, value } => self.update_leaf(depth, stored, suffix, value, changes),
            Node::Extension { key, child } => {
                let to = key.append_to(path);
                self.update_extension(depth, stored, &to, child, changes)
            }
            Node::Branch { children, value } => {
                let branch = OldBranch { slots: children.map(Slot::Item), value, is_new: false };
                self.update_branch(depth, stored, &branch, changes)
            }
        }
    }

    fn update_leaf<'c>(
        &mut self,
        depth: usize,
        stored: &[u8],
        suffix: Packed<'_>,
        value: &[u8],
        changes: &[Change<'c>],
    ) -> Result<Subtree<'c>, TrieError> {
        if let [change] = changes
            && suffix.equals(&change.key[depth..])
        {
            return Ok(match change.value {
                None => Subtree::Empty,
                Some(new) if new == value => Subtree::Unchanged,
                Some(new) => Subtree::Leaf { key: Cow::Borrowed(change.key), value: Cow::Borrowed(new) },
            });
        }
        let own = suffix.append_to(&changes[0].key[..depth]);
        let place = changes.binary_search_by(|change| change.key.cmp(&own));
        if place.is_err() && changes.iter().all(|change| change.value.is_none()) {
            return Ok(Subtree::Unchanged);
        }
        // The leaf that is there is one more insertion, unless it is itself changed.
        let mut inserts = changes.to_vec();
        if let Err(place) = place {
            inserts.insert(place, Change::new(&own, Some(value)));
        }
        Ok(self.insert(depth, stored, &inserts)?.into_owned())
    }

    /// Updates the extension from `depth` to the branch at the path `to`.
    fn update_extension<'c>(
        &mut self,
        depth: usize,
        stored: &[u8],
        to: &[u8],
        child: &[u8],
        changes: &[Change<'c>],
    ) -> Result<Subtree<'c>, TrieError> {
        let start = changes.partition_point(|change| change.key < to);
        let end = start + changes[start..].partition_point(|change| change.key.starts_with(to));
        let beside = changes[..start].iter().chain(&changes[end..]).filter(|change| change.value.is_some());
        match beside.map(|change| common_length(change.key, to)).min() {
            None if start == end => Ok(Subtree::Unchanged),
            None => {
                let below = self.update_item(to.len(), child, &changes[start..end])?;
                if !matches!(below, Subtree::Unchanged) && !below.is_branch_at(to.len()) {
                    self.vacate(child, || to.to_vec());
                }
                Ok(below)
            }
            Some(fork) => self.split_extension(depth, stored, fork, to, child, changes),
        }
    }

    /// Puts a branch at `fork` into the extension from `depth` to `to`.
    fn split_extension<'c>(
        &mut self,
        depth: usize,
        stored: &[u8],
        fork: usize,
        to: &[u8],
        child: &[u8],
        changes: &[Change<'c>],
    ) -> Result<Subtree<'c>, TrieError> {
        let mut branch = OldBranch::NEW;
        let is_last_nibble = fork + 1 == to.len();
        branch.slots[usize::from(to[fork])] =
            if is_last_nibble { Slot::Item(child) } else { Slot::Extension { to, child } };
        // Deletions that part from the extension further up concern nothing.
        let start = changes.partition_point(|change| change.key < &to[..fork]);
        let end = start + changes[start..].partition_point(|change| change.key.starts_with(&to[..fork]));
        let stored = if fork == depth { stored } else { EMPTY_ITEM };
        self.update_branch(fork, stored, &branch, &changes[start..end])
    }

    /// Makes the subtree of the insertions among `changes` where nothing is; `stored` is what this path held before.
    fn insert<'c>(&mut self, depth: usize, stored: &[u8], changes: &[Change<'c>]) -> Result<Subtree<'c>, TrieError> {
        let insertions: Cow<'_, [Change<'c>]> = if changes.iter().all(|change| change.value.is_some()) {
            Cow::Borrowed(changes)
        } else {
            Cow::Owned(changes.iter().filter(|change| change.value.is_some()).copied().collect())
        };
        match &insertions[..] {
            [] => Ok(Subtree::Empty),
            [Change { key, value }] => {
                let value = value.expect("deletions were left out");
                Ok(Subtree::Leaf { key: Cow::Borrowed(key), value: Cow::Borrowed(value) })
            }
            [first, .., last] => {
                let fork = depth + common_length(&first.key[depth..], &last.key[depth..]);
                let stored = if fork == depth { stored } else { EMPTY_ITEM };
                self.update_branch(fork, stored, &OldBranch::NEW, &insertions)
            }
        }
    }

    /// Updates the branch at the first `depth` nibbles of the changes' keys; `stored` is what this path held before.
    fn update_branch<'c>(
        &mut self,
        depth: usize,
        stored: &[u8],
        old: &OldBranch<'_>,
        changes: &[Change<'c>],
    ) -> Result<Subtree<'c>, TrieError> {
        let path = &changes[0].key[..depth];
        // The key that ends here sorts first.
        let (value, below): (Cow<'c, [u8]>, _) = match changes {
            [first, rest @ ..] if first.key.len() == depth => (Cow::Borrowed(first.value.unwrap_or_default()), rest),
            _ => (Cow::Owned(old.value.to_vec()), changes),
        };
        let children = self.update_children(depth, old, below)?;
        let remains = |n: &usize| match children[*n] {
            Subtree::Unchanged => old.slots[*n].stored() != EMPTY_ITEM,
            Subtree::Empty => false,
            Subtree::Leaf { .. } | Subtree::Branch { .. } => true,
        };
        let mut remaining = (0..16).filter(remains);
        match (remaining.next(), remaining.next()) {
            (Some(only), None) if value.is_empty() => self.keep_only(path, old, children, only),
            (None, _) => {
                self.vacate_except(path, old, &children, None);
                let is_empty = value.is_empty();
                Ok(if is_empty { Subtree::Empty } else { Subtree::Leaf { key: Cow::Borrowed(path), value } })
            }
            _ => Ok(self.finish_branch(path, stored, old, &children, &value)),
        }
    }

    /// Updates each child that has changes, the changes below a branch at `depth`.
    fn update_children<'c>(
        &mut self,
        depth: usize,
        old: &OldBranch<'_>,
        changes: &[Change<'c>],
    ) -> Result<[Subtree<'c>; 16], TrieError> {
        let mut children = [const { Subtree::Unchanged }; 16];
        let groups = || changes.chunk_by(|a, b| a.key[depth] == b.key[depth]);
        let place = |group: &[Change<'_>]| usize::from(group[0].key[depth]);
        if self.may_fork && changes.len() >= PARALLEL_MIN && groups().nth(1).is_some() {
            let reader = self.reader;
            let groups: Vec<_> = groups().collect();
            let update = |group: &&[Change<'c>]| {
                let mut worker = Updater { reader, nodes: Vec::new(), buffer: Vec::new(), may_fork: false };
                let subtree = worker.update_slot(depth + 1, old.slots[place(group)], group)?;
                Ok((place(group), subtree, worker.nodes))
            };
            let updated: Vec<_> = groups.par_iter().map(update).collect::<Result<_, TrieError>>()?;
            for (place, subtree, nodes) in updated {
                children[place] = subtree;
                self.nodes.extend(nodes);
            }
        } else {
            for group in groups() {
                children[place(group)] = self.update_slot(depth + 1, old.slots[place(group)], group)?;
            }
        }
        for (child, slot) in children.iter_mut().zip(old.slots) {
            // The rest of a split extension is a new node, even where nothing below it changed.
            if let (Subtree::Unchanged, Slot::Extension { to, child: item }) = (&child, slot) {
                *child = Subtree::Branch { path: Cow::Owned(to.to_vec()), item: Item::copy(item) };
            }
        }
        Ok(children)
    }

    fn update_slot<'c>(
        &mut self,
        depth: usize,
        slot: Slot<'_>,
        changes: &[Change<'c>],
    ) -> Result<Subtree<'c>, TrieError> {
        match slot {
            Slot::Item(item) => self.update_item(depth, item, changes),
            Slot::Extension { to, child } => self.update_extension(depth, EMPTY_ITEM, to, child, changes),
        }
    }

    /// Hands on the one child that a branch at `path` has left: it takes the branch's place.
    fn keep_only<'c>(
        &mut self,
        path: &[u8],
        old: &OldBranch<'_>,
        children: [Subtree<'c>; 16],
        only: usize,
    ) -> Result<Subtree<'c>, TrieError> {
        self.vacate_except(path, old, &children, Some(only));
        let stored = old.slots[only].stored();
        let at = child_path(path, only);
        let child = children.into_iter().nth(only).expect("a branch has 16 children");
        let child = if matches!(child, Subtree::Unchanged) { self.load(&at, stored)? } else { child };
        if !child.is_branch_at(at.len()) {
            self.vacate(stored, || at);
        }
        Ok(child)
    }

    /// Reads the node that `item` names at `path`.
    fn load<'c>(&mut self, path: &[u8], item: &[u8]) -> Result<Subtree<'c>, TrieError> {
        let read;
        let encoded = if node::is_hash(item) {
            read = self.read(path)?;
            &read[..]
        } else {
            item
        };
        Ok(match node::decode(encoded).ok_or_else(|| TrieError::Malformed { path: path.to_vec() })? {
            Node::Leaf { suffix, value } => {
                Subtree::Leaf { key: Cow::Owned(suffix.append_to(path)), value: Cow::Owned(value.to_vec()) }
            }
            Node::Extension { key, child } => {
                Subtree::Branch { path: Cow::Owned(key.append_to(path)), item: Item::copy(child) }
            }
            Node::Branch { .. } => Subtree::Branch { path: Cow::Owned(path.to_vec()), item: Item::copy(item) },
        })
    }

    /// Encodes and records a branch with its changed children.
    fn finish_branch<'c>(
        &mut self,
        path: &'c [u8],
        stored: &[u8],
        old: &OldBranch<'_>,
        children: &[Subtree<'c>; 16],
        value: &[u8],
    ) -> Subtree<'c> {
        let mut settled = [Item::EMPTY; 16];
        let mut has_changed = old.is_new || *value != *old.value;
        for (n, child) in children.iter().enumerate() {
            let before = old.slots[n].stored();
            match child {
                Subtree::Unchanged => continue,
                Subtree::Empty => self.vacate(before, || child_path(path, n)),
                _ => settled[n] = self.settle(path.len() + 1, before, child),
            }
            has_changed |= settled[n].as_slice() != before;
        }
        if !has_changed {
            return Subtree::Unchanged;
        }
        let items = std::array::from_fn(|n| match children[n] {
            Subtree::Unchanged => old.slots[n].stored(),
            _ => settled[n].as_slice(),
        });
        node::encode_branch(&items, value, &mut self.buffer);
        let item = self.record(path, stored);
        Subtree::Branch { path: Cow::Borrowed(path), item }
    }

    /// Encodes and records what ended up at `depth`, where `stored` was before; returns how it is named.
    fn settle(&mut self, depth: usize, stored: &[u8], subtree: &Subtree<'_>) -> Item {
        match subtree {
            Subtree::Unchanged => Item::copy(stored),
            Subtree::Empty => Item::EMPTY,
            Subtree::Leaf { key, value } => {
                node::encode_leaf(&key[depth..], value, &mut self.buffer);
                self.record(&key[..depth], stored)
            }
            Subtree::Branch { path, item } if path.len() == depth => *item,
            Subtree::Branch { path, item } => {
                node::encode_extension(&path[depth..], item, &mut self.buffer);
                self.record(&path[..depth], stored)
            }
        }
    }

    /// Records the node in the buffer, which is now at `path`, where `stored` was before; returns how it is named.
    fn record(&mut self, path: &[u8], stored: &[u8]) -> Item {
        let is_hashed = self.buffer.len() >= HASHED_BYTES || path.is_empty();
        let item = if is_hashed { Item::hash(&keccak256(&self.buffer)) } else { Item::copy(&self.buffer) };
        if item.as_slice() == stored {
            return item;
        }
        if is_hashed {
            self.nodes.push((path.to_vec(), Some(self.buffer.clone())));
        } else {
            self.vacate(stored, || path.to_vec());
        }
        item
    }

    /// Records that nothing is stored at `path` any more, where `stored` was before.
    fn vacate(&mut self, stored: &[u8], path: impl FnOnce() -> Vec<u8>) {
        if node::is_hash(stored) {
            self.nodes.push((path(), None));
        }
    }

    /// Vacates the children that a branch at `path` lost.
    fn vacate_except(&mut self, path: &[u8], old: &OldBranch<'_>, children: &[Subtree<'_>; 16], kept: Option<usize>) {
        for (n, child) in children.iter().enumerate() {
            if matches!(child, Subtree::Empty) && kept != Some(n) {
                self.vacate(old.slots[n].stored(), || child_path(path, n));
            }
        }
    }

    fn read(&self, path: &[u8]) -> Result<Vec<u8>, TrieError> {
        self.reader.node(path)?.ok_or_else(|| TrieError::Missing { path: path.to_vec() })
    }
}

fn child_path(path: &[u8], place: usize) -> Vec<u8> {
    let nibble = u8::try_from(place).expect("a branch has 16 children");
    let mut child = Vec::with_capacity(path.len() + 1);
    child.extend_from_slice(path);
    child.push(nibble);
    child
}
