//! The official trie tests, through the stored trie.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod vectors;

use alloy_primitives::{B256, hex, keccak256};
use evm_runtime::trie::{NodeReader, stored_root, update_nibbles};
use serde_json::Value;
use std::{collections::BTreeMap, fs};
use storage::StorageError;

#[derive(Default)]
struct Nodes(BTreeMap<Vec<u8>, Vec<u8>>);

impl NodeReader for Nodes {
    fn node(&self, path: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.get(path).cloned())
    }
}

type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

impl Nodes {
    fn update(&mut self, changes: Changes) -> B256 {
        let update = update_nibbles(self, changes).unwrap();
        for (path, node) in update.nodes {
            match node {
                Some(node) => self.0.insert(path, node),
                None => self.0.remove(&path),
            };
        }
        update.root
    }
}

/// Hexadecimal text with 0x, or the bytes of the text itself.
fn bytes(text: &str) -> Vec<u8> {
    text.strip_prefix("0x").map_or_else(|| text.as_bytes().to_vec(), |digits| hex::decode(digits).unwrap())
}

fn changes(input: &Value, is_secure: bool) -> Changes {
    let change = |key: &str, value: &Value| {
        let key = bytes(key);
        let key = if is_secure { keccak256(key).to_vec() } else { key };
        let nibbles = key.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect();
        (nibbles, value.as_str().map(bytes))
    };
    match input {
        Value::Array(pairs) => pairs.iter().map(|pair| change(pair[0].as_str().unwrap(), &pair[1])).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| change(key, value)).collect(),
        other => panic!("neither list nor map: {other}"),
    }
}

fn check(name: &str, case: &Value, is_secure: bool) {
    let expected: B256 = case["root"].as_str().unwrap().parse().unwrap();
    let changes = changes(&case["in"], is_secure);
    let mut at_once = Nodes::default();
    assert_eq!(at_once.update(changes.clone()), expected, "{name}: all at once");
    // A map may be inserted in any order.
    let reversed = case["in"].is_object().then(|| changes.iter().rev().cloned().collect());
    for order in [Some(changes), reversed].into_iter().flatten() {
        let mut one_by_one = Nodes::default();
        for change in order {
            one_by_one.update(vec![change]);
        }
        assert_eq!(stored_root(&one_by_one).unwrap(), expected, "{name}: one by one");
        assert_eq!(one_by_one.0, at_once.0, "{name}: nodes");
    }
}

#[test]
fn official_trie_tests_give_their_roots() {
    let Some(folder) = vectors::unpacked("unit-vectors") else { return };
    let mut cases = 0;
    for file in fs::read_dir(folder.join("TrieTests")).unwrap() {
        let path = file.unwrap().path();
        let file_name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // That one is about walking over keys, which a trie of hashed keys never does.
        if file_name == "trietestnextprev.json" {
            continue;
        }
        let tests: BTreeMap<String, Value> = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for (name, case) in &tests {
            check(&format!("{file_name} {name}"), case, file_name.to_lowercase().contains("secure"));
            cases += 1;
        }
    }
    println!("{cases} official trie tests passed");
    assert!(cases > 0, "no case in {}", folder.display());
}
