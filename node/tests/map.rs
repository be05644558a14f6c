//! The map of the workspace, held: who imports whom, where each vendor package lives, and what the inner crates never contain.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Each crate of the map and the crates of the map that it may import.
const IMPORTS: [(&str, &[&str]); 10] = [
    ("consensus", &[]),
    ("storage", &[]),
    ("evm-runtime", &["consensus", "storage"]),
    ("chain", &["consensus", "storage", "evm-runtime"]),
    ("network", &["consensus", "evm-runtime", "chain"]),
    ("rpc", &["consensus", "evm-runtime", "chain", "proof"]),
    ("proof", &[]),
    ("device-bridge", &["consensus", "storage", "proof"]),
    ("node", &["consensus", "storage", "evm-runtime", "chain", "network", "rpc", "device-bridge"]),
    ("bench", &["consensus", "storage", "evm-runtime", "chain", "network", "rpc", "node"]),
];

/// Each vendor package and the crates that may import it; `bench` measures it bare, beside what is built on it.
const HOMES: [(&str, &[&str]); 10] = [
    ("revm", &["evm-runtime", "bench"]),
    ("revm-inspectors", &["evm-runtime"]),
    ("libp2p", &["network"]),
    ("rocksdb", &["storage"]),
    ("jsonrpsee", &["rpc"]),
    ("secp256k1", &["consensus"]),
    ("tiny-keccak", &["consensus"]),
    ("rumqttc", &["device-bridge"]),
    ("mqtt-protocol-core", &["device-bridge"]),
    ("rcgen", &["device-bridge"]),
];

/// Crates that are synchronous to the last dependency.
const SYNCHRONOUS: [&str; 5] = ["consensus", "storage", "evm-runtime", "chain", "proof"];

fn metadata() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What each package depends on outside its tests, by name.
fn dependencies(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let packages = metadata["packages"].as_array().unwrap();
    let name = |id: &Value| packages.iter().find(|package| package["id"] == *id).unwrap()["name"].as_str().unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in nodes {
        let normal =
            node["deps"].as_array().unwrap().iter().filter(|dependency| {
                dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null())
            });
        let names = normal.map(|dependency| name(&dependency["pkg"]).to_owned());
        found.entry(name(&node["id"]).to_owned()).or_default().extend(names);
    }
    found
}

#[test]
fn imports_are_exactly_those_of_the_map() {
    let found = dependencies(&metadata());
    let crates: BTreeSet<&str> = IMPORTS.iter().map(|(name, _)| *name).collect();
    for (name, allowed) in IMPORTS {
        let ours: Vec<_> = found[name].iter().filter(|other| crates.contains(other.as_str())).collect();
        let strangers: Vec<_> = ours.iter().filter(|other| !allowed.contains(&other.as_str())).collect();
        assert!(strangers.is_empty(), "{name} imports {strangers:?}");
    }
}

#[test]
fn each_vendor_package_has_one_home() {
    let found = dependencies(&metadata());
    for (vendor, homes) in HOMES {
        for (name, _) in IMPORTS {
            let imports = found[name].contains(vendor);
            assert!(!imports || homes.contains(&name), "{name} imports {vendor}, whose home is {homes:?}");
        }
    }
}

#[test]
fn the_inner_crates_have_no_async_runtime_in_their_tree() {
    let found = dependencies(&metadata());
    for name in SYNCHRONOUS {
        let mut tree = BTreeSet::new();
        let mut open = vec![name.to_owned()];
        while let Some(package) = open.pop() {
            open.extend(found[&package].iter().filter(|next| tree.insert((*next).clone())).cloned());
        }
        for runtime in ["tokio", "async-std", "smol", "async-executor"] {
            assert!(!tree.contains(runtime), "{name} has {runtime} in its tree");
        }
    }
}
