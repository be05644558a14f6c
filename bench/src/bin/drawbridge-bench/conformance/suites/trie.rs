//! Official trie tests, through the stored trie.

use std::collections::BTreeMap;

use alloy_primitives::{B256, hex, keccak256};
use bench::Failure;
use evm_runtime::trie::{NodeReader, stored_root, update_nibbles};
use serde_json::Value;
use storage::StorageError;

use crate::conformance::suite::{Checked, Context, Job, NO_FORK, Skip, Suite, expect_equal};
use crate::conformance::vectors::{json_files, read_json};

pub(crate) const SUITE: Suite = Suite {
    name: "trie",
    about: "roots of the path-keyed trie, built at once, one by one and in reverse, deletions among them",
    archive: "unit-vectors",
    skips: &[Skip {
        fork: None,
        part: "trietestnextprev",
        reason: "walks over unhashed keys in order, which a trie of hashed keys never does",
    }],
    jobs,
};

fn jobs(context: &Context) -> Result<Vec<Job>, Failure> {
    let job = |path: std::path::PathBuf| {
        let name = context.name_of(&path);
        let is_secure = name.to_lowercase().contains("secure");
        Job::new(name, move |cases| {
            for (name, case) in read_json::<BTreeMap<String, Value>>(&path)? {
                cases.run(NO_FORK, &name, || check(&case, is_secure));
            }
            Ok(())
        })
    };
    Ok(json_files(&context.folder.join("TrieTests"))?.into_iter().map(job).collect())
}

/// The stored nodes of one trie.
#[derive(Default)]
struct Nodes(BTreeMap<Vec<u8>, Vec<u8>>);

impl NodeReader for Nodes {
    fn node(&self, path: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.get(path).cloned())
    }
}

/// Keys as nibbles with their values; none deletes.
type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

impl Nodes {
    fn update(&mut self, changes: Changes) -> Result<B256, String> {
        let update = update_nibbles(self, changes).map_err(|error| error.to_string())?;
        for (path, node) in update.nodes {
            match node {
                Some(node) => self.0.insert(path, node),
                None => self.0.remove(&path),
            };
        }
        Ok(update.root)
    }
}

/// Reads hexadecimal text with 0x, or the bytes of the text itself.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).map_err(|error| format!("{text}: {error}")),
        None => Ok(text.as_bytes().to_vec()),
    }
}

fn changes(input: &Value, is_secure: bool) -> Result<Changes, String> {
    let change = |key: &str, value: &Value| {
        let key = bytes(key)?;
        let key = if is_secure { keccak256(key).to_vec() } else { key };
        let nibbles = key.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect();
        Ok((nibbles, value.as_str().map(bytes).transpose()?))
    };
    match input {
        Value::Array(pairs) => {
            pairs.iter().map(|pair| change(pair[0].as_str().ok_or("a key that is no text")?, &pair[1])).collect()
        }
        Value::Object(map) => map.iter().map(|(key, value)| change(key, value)).collect(),
        other => Err(format!("neither list nor map: {other}")),
    }
}

fn check(case: &Value, is_secure: bool) -> Checked {
    let expected: B256 =
        case["root"].as_str().and_then(|root| root.parse().ok()).ok_or_else(|| format!("no root in {case}"))?;
    let changes = changes(&case["in"], is_secure)?;
    let mut at_once = Nodes::default();
    expect_equal("root, all at once", &expected, &at_once.update(changes.clone())?)?;
    // A map may be inserted in any order.
    let reversed = case["in"].is_object().then(|| changes.iter().rev().cloned().collect());
    for order in [Some(changes), reversed].into_iter().flatten() {
        let mut one_by_one = Nodes::default();
        for change in order {
            one_by_one.update(vec![change])?;
        }
        let root = stored_root(&one_by_one).map_err(|error| error.to_string())?;
        expect_equal("root, one by one", &expected, &root)?;
        if one_by_one.0 != at_once.0 {
            return Err("the stored nodes depend on the order".to_owned());
        }
    }
    Ok(())
}
