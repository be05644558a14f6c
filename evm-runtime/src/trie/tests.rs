//! The trie against two other tries: alloy's hash builder, and the definition written down plainly.
#![allow(clippy::unwrap_used)]

use super::*;
use alloy_trie::proof::verify_proof;
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
};

/// Stored nodes by path, with a count of reads.
#[derive(Debug, Default)]
struct Nodes {
    nodes: BTreeMap<Vec<u8>, Vec<u8>>,
    reads: AtomicUsize,
}

impl NodeReader for Nodes {
    fn node(&self, path: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(self.nodes.get(path).cloned())
    }
}

impl Nodes {
    /// Writes an update down, and checks that it has nothing in it that is not needed.
    fn apply(&mut self, update: &TrieUpdate) {
        let paths: BTreeSet<_> = update.nodes.iter().map(|(path, _)| path).collect();
        assert_eq!(paths.len(), update.nodes.len(), "a path occurs twice");
        for (path, node) in &update.nodes {
            assert_ne!(self.nodes.get(path), node.as_ref(), "a node is written that is there already: {path:?}");
            match node {
                Some(node) => self.nodes.insert(path.clone(), node.clone()),
                None => self.nodes.remove(path),
            };
        }
    }

    fn from_scratch(leaves: &Leaves) -> Self {
        let mut nodes = Self::default();
        let inserts = leaves.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        nodes.apply(&update_nibbles(&Nothing, inserts).unwrap());
        nodes
    }
}

/// Key in nibbles ⇒ value.
type Leaves = BTreeMap<Vec<u8>, Vec<u8>>;
type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The root by the definition: Yellow Paper, appendix D, with the RLP of another crate.
fn plain_root(leaves: &Leaves) -> B256 {
    if leaves.is_empty() {
        return EMPTY_ROOT_HASH;
    }
    keccak256(plain_node(&leaves.iter().collect::<Vec<_>>(), 0))
}

fn plain_node(leaves: &[(&Vec<u8>, &Vec<u8>)], depth: usize) -> Vec<u8> {
    let first = leaves[0].0;
    if let [(key, value)] = leaves {
        let mut stream = rlp::RlpStream::new_list(2);
        stream.append(&plain_path(&key[depth..], 2)).append(*value);
        return stream.out().to_vec();
    }
    let same = |at: usize| leaves.iter().all(|(key, _)| key.len() > at && key[at] == first[at]);
    let mut fork = depth;
    while fork < first.len() && same(fork) {
        fork += 1;
    }
    if fork > depth {
        let mut stream = rlp::RlpStream::new_list(2);
        stream.append(&plain_path(&first[depth..fork], 0));
        append_plain(&mut stream, plain_node(leaves, fork));
        return stream.out().to_vec();
    }
    let mut stream = rlp::RlpStream::new_list(17);
    for nibble in 0..16 {
        let below: Vec<_> = leaves.iter().filter(|(key, _)| key.get(depth) == Some(&nibble)).copied().collect();
        if below.is_empty() {
            stream.append_empty_data();
        } else {
            append_plain(&mut stream, plain_node(&below, depth + 1));
        }
    }
    let ends_here = leaves.iter().find(|(key, _)| key.len() == depth);
    stream.append(&ends_here.map(|(_, value)| (*value).clone()).unwrap_or_default());
    stream.out().to_vec()
}

fn append_plain(stream: &mut rlp::RlpStream, node: Vec<u8>) {
    if node.len() < 32 {
        stream.append_raw(&node, 1);
    } else {
        stream.append(&keccak256(node).to_vec());
    }
}

fn plain_path(path: &[u8], kind: u8) -> Vec<u8> {
    let odd = path.len() % 2 == 1;
    let head = if odd { vec![kind + 1, path[0]] } else { vec![kind, 0] };
    let nibbles = [&head[..], &path[path.len() % 2..]].concat();
    nibbles.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
}

fn hashed_key(nibbles: &[u8]) -> B256 {
    B256::from_slice(&nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<_>>())
}

/// Runs a history, checks each moment against `reference` and against a trie from scratch, and undoes the history again.
fn check_history(history: &[Changes], reference: impl Fn(&Leaves) -> B256) {
    let mut nodes = Nodes::default();
    let mut leaves = Leaves::new();
    let mut undo = Vec::new();
    for changes in history {
        let before = nodes.nodes.clone();
        let old: BTreeMap<_, _> = changes.iter().map(|(key, _)| (key.clone(), leaves.get(key).cloned())).collect();
        for (key, value) in changes {
            match value.clone().filter(|value| !value.is_empty()) {
                Some(value) => leaves.insert(key.clone(), value),
                None => leaves.remove(key),
            };
        }
        let update = update_nibbles(&nodes, changes.clone()).unwrap();
        nodes.apply(&update);
        assert_eq!(update.root, reference(&leaves), "root");
        assert_eq!(stored_root(&nodes).unwrap(), update.root, "stored root");
        assert_eq!(nodes.nodes, Nodes::from_scratch(&leaves).nodes, "nodes");
        undo.push((old, before));
    }
    for (old, before) in undo.into_iter().rev() {
        let update = update_nibbles(&nodes, old.into_iter().collect()).unwrap();
        nodes.apply(&update);
        assert_eq!(nodes.nodes, before, "undone");
    }
}

/// Values short enough for their leaves to stand inside the parent, and long ones; now and then a deletion.
fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 1..4).prop_map(Some),
        2 => prop::collection::vec(any::<u8>(), 30..40).prop_map(Some),
        3 => Just(None),
        1 => Just(Some(Vec::new())),
    ]
}

/// Keys of 64 nibbles that part early, late, or in the middle.
fn hashed_path() -> impl Strategy<Value = Vec<u8>> {
    let nibble = || prop_oneof![Just(0_u8), Just(1), Just(15)];
    (nibble(), nibble(), nibble(), nibble(), prop::collection::vec(nibble(), 3)).prop_map(|(a, b, c, d, end)| {
        let mut path = vec![0; 64];
        (path[0], path[1], path[30], path[31]) = (a, b, c, d);
        path[61..].copy_from_slice(&end);
        path
    })
}

/// Keys of all short lengths, many the beginning of others.
fn short_path() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(15)], 0..7)
}

fn history(path: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<Changes>> {
    prop::collection::vec(prop::collection::vec((path, value()), 0..12), 1..12)
}

fn builder_root(leaves: &Leaves) -> B256 {
    root(leaves.iter().map(|(key, value)| (hashed_key(key), value.clone())))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn hashed_keys_equal_the_hash_builder(history in history(hashed_path())) {
        check_history(&history, builder_root);
    }

    #[test]
    fn keys_of_any_length_equal_the_definition(history in history(short_path())) {
        check_history(&history, plain_root);
    }

    #[test]
    fn proofs_verify(entries in prop::collection::btree_map(hashed_path(), prop::collection::vec(any::<u8>(), 1..40), 0..40), absent in hashed_path()) {
        let nodes = Nodes::from_scratch(&entries);
        let root = stored_root(&nodes).unwrap();
        for key in entries.keys().chain([&absent]) {
            let key = hashed_key(key);
            let expected = entries.get(&Nibbles::unpack(key).to_vec()).cloned();
            let proof = proof(&nodes, key).unwrap();
            verify_proof(root, Nibbles::unpack(key), expected.clone(), &proof).unwrap();
            let other = expected.map_or(Some(vec![1]), |_| None);
            prop_assert!(verify_proof(root, Nibbles::unpack(key), other, &proof).is_err());
        }
    }
}

/// Changes of random keys, in number beyond the threshold of parallel work.
fn many_changes() -> impl Strategy<Value = Vec<Vec<LeafChange>>> {
    let key = prop_oneof![
        any::<[u8; 32]>().prop_map(B256::from),
        any::<[u8; 2]>()
            .prop_map(|[a, b]| B256::with_last_byte(a % 64) | B256::from(alloy_primitives::U256::from(b % 4) << 248)),
    ];
    let change = (key, value()).prop_map(|(key, value)| LeafChange { key, value });
    prop::collection::vec(prop::collection::vec(change, 50..300), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn many_changes_equal_the_hash_builder(history in many_changes()) {
        let mut nodes = Nodes::default();
        let mut leaves = BTreeMap::new();
        for changes in history {
            for LeafChange { key, value } in changes.clone() {
                match value.filter(|value| !value.is_empty()) {
                    Some(value) => leaves.insert(key, value),
                    None => leaves.remove(&key),
                };
            }
            nodes.apply(&update(&nodes, changes).unwrap());
            prop_assert_eq!(stored_root(&nodes).unwrap(), root(leaves.clone().into_iter()));
        }
        let scratch = build(leaves.into_iter());
        let mut built = Nodes::default();
        built.apply(&scratch);
        prop_assert_eq!(nodes.nodes, built.nodes);
    }
}

fn sample(count: u64) -> Vec<LeafChange> {
    let key = |n: u64| keccak256(n.to_be_bytes());
    (0..count).map(|n| LeafChange { key: key(n), value: Some(vec![7; 70]) }).collect()
}

#[test]
fn no_change_gives_the_stored_root() {
    let mut nodes = Nodes::default();
    assert_eq!(update(&nodes, Vec::new()).unwrap(), TrieUpdate { root: EMPTY_ROOT_HASH, nodes: Vec::new() });
    assert_eq!(stored_root(&nodes).unwrap(), EMPTY_ROOT_HASH);
    let filled = update(&nodes, sample(10)).unwrap();
    nodes.apply(&filled);
    assert_eq!(update(&nodes, Vec::new()).unwrap().root, filled.root);
    assert_eq!(update(&nodes, sample(10)).unwrap().nodes, Vec::new(), "the same values again");
    let absent = vec![LeafChange { key: B256::ZERO, value: None }];
    assert_eq!(update(&nodes, absent).unwrap(), TrieUpdate { root: filled.root, nodes: Vec::new() });
}

#[test]
fn the_later_change_of_a_key_wins() {
    let change =
        |key: u8, value: u8| LeafChange { key: B256::repeat_byte(key), value: (value > 0).then(|| vec![value]) };
    for (given, effective) in [
        (vec![change(1, 1), change(1, 2)], vec![change(1, 2)]),
        (vec![change(2, 1), change(1, 1), change(2, 0), change(2, 3), change(1, 0)], vec![change(2, 3)]),
    ] {
        assert_eq!(update(&Nothing, given).unwrap(), update(&Nothing, effective).unwrap());
    }
}

#[test]
fn one_change_reads_one_path_only() {
    let mut nodes = Nodes::default();
    nodes.apply(&update(&nodes, sample(10_000)).unwrap());
    nodes.reads.store(0, Ordering::Relaxed);
    let change = LeafChange { key: sample(1)[0].key, value: Some(vec![1; 70]) };
    let written = update(&nodes, vec![change]).unwrap().nodes.len();
    // 10,000 keys part after four nibbles or five.
    assert!(nodes.reads.load(Ordering::Relaxed) <= 7, "{nodes:?} reads");
    assert!(written <= 7, "{written} writes");
}

#[test]
fn missing_and_damaged_nodes_are_told_by_path() {
    let mut nodes = Nodes::default();
    nodes.apply(&update(&nodes, sample(100)).unwrap());
    let key = sample(1)[0].key;
    let path = Nibbles::unpack(key).to_vec()[..1].to_vec();
    let change = || vec![LeafChange { key, value: None }];
    nodes.nodes.insert(path.clone(), vec![0xc0]);
    assert_eq!(update(&nodes, change()).unwrap_err(), TrieError::Malformed { path: path.clone() });
    assert_eq!(proof(&nodes, key).unwrap_err(), TrieError::Malformed { path: path.clone() });
    nodes.nodes.remove(&path);
    assert_eq!(update(&nodes, change()).unwrap_err(), TrieError::Missing { path: path.clone() });
    assert_eq!(proof(&nodes, key).unwrap_err(), TrieError::Missing { path });
}
