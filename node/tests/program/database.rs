//! `db`: what it shows, checks, drops and compacts.

use std::time::Duration;

use serde_json::json;

use super::support::{ADDRESS, Home, Node, RECEIVER};

/// Mines `count` blocks with a transaction each into the data directory `node`.
pub(crate) fn mine(home: &Home, count: usize) {
    let node = Node::dev(home, "");
    for _ in 0..count {
        let hash = node.send(json!({"from": ADDRESS, "to": RECEIVER, "value": "0x7"}));
        node.wait_receipt(&hash, Duration::from_secs(10));
    }
    node.end();
}

#[test]
fn a_database_is_inspected_verified_pruned_and_compacted() {
    let home = Home::new();
    mine(&home, 12);
    let inspected = home.run("db inspect --datadir node");
    for (field, expected) in [("format ", "2"), ("head number", "12"), ("finalized number", "0"), ("history from", "0")]
    {
        assert_eq!(inspected.field(field), expected);
    }
    for table in ["headers", "account_history", "all"] {
        inspected.field(table);
    }
    let verified = home.run("db verify --datadir node");
    for (field, expected) in [("blocks", "13"), ("transactions", "12")] {
        assert_eq!(verified.field(field), expected);
    }
    let head = home.head("node");

    let pruned = home.run("db prune --datadir node --history 4").succeeded();
    assert!(pruned.contains("history of 8 blocks") && pruned.contains("newest 4"), "{pruned}");
    let again = home.run("db prune --datadir node --history 4").succeeded();
    assert!(again.contains("history of 0 blocks"), "{again}");
    assert_eq!(home.run("db compact --datadir node").succeeded(), "compacted\n");
    assert_eq!(home.head("node"), head);
    home.verify("node");
    assert_eq!(home.run("db inspect --datadir node").field("history from"), "8");

    // What is kept can be asked for; what is gone is refused, never answered wrongly.
    let node = Node::dev(&home, "");
    let balance = |block: &str| node.try_call("eth_getBalance", json!([RECEIVER, block]));
    assert_eq!(balance("latest"), Ok(json!("0x54")));
    assert_eq!(balance("0x9"), Ok(json!("0x3f")));
    let gone = balance("0x3").unwrap_err();
    assert!(gone["message"].as_str().unwrap().contains("state"), "{gone}");
    node.end();
}

#[test]
fn the_index_is_dropped_and_built_and_the_pages_are_the_same() {
    let home = Home::new();
    mine(&home, 5);
    let page = |flags: &str| {
        let node = Node::dev(&home, flags);
        let page = node.call("drawbridge_addressTransactions", json!([RECEIVER]));
        node.end();
        (page["indexed"] == json!(true), page["items"].clone())
    };
    let (is_indexed, items) = page("");
    assert_eq!((is_indexed, items.as_array().unwrap().len()), (true, 5));
    let covered = || home.run("db inspect --datadir node").field("index");
    assert_eq!(covered(), "on, blocks 0 to 5");
    let dropped = home.run("db index drop --datadir node").succeeded();
    assert!(dropped.starts_with("dropped 10 rows"), "a sender and a recipient for each transaction: {dropped}");
    assert_eq!(covered(), "none");
    assert_eq!(page("--index=false"), (false, items.clone()));
    let built = home.run("db index build --datadir node").succeeded();
    assert!(built.contains("indexed 5 blocks") && built.contains("blocks 0 to 5"), "{built}");
    home.verify("node");
    assert_eq!(page(""), (true, items.clone()));
    assert_eq!(page("--index=false"), (true, items), "nothing was mined meanwhile, so that it still covers the chain");
    assert_eq!(covered(), "off, blocks 0 to 5");
    home.run("db index build --datadir absent").failed(65, &["there is no database in absent"]);
}

#[test]
fn there_must_be_a_database() {
    let home = Home::new();
    for action in ["inspect", "verify", "compact", "prune --history 1"] {
        home.run(&format!("db {action} --datadir absent")).failed(65, &["there is no database in absent", "--datadir"]);
    }
    home.run("export --datadir absent chain.rlp").failed(65, &["there is no database in absent", "--datadir"]);
    assert!(!home.join("absent").exists(), "nothing is made where nothing was");
}

#[test]
fn a_chain_goes_back_by_command_and_forward_by_import() {
    let home = Home::new();
    mine(&home, 6);
    home.run("export --datadir node chain.rlp").succeeded();
    let before = home.head("node");
    let out = home.run("db rewind --datadir node 2").succeeded();
    assert!(out.starts_with("the head is block 2 (") && out.ends_with("it was block 6\n"), "{out}");
    assert_eq!(home.head("node").1, 2);
    home.verify("node");
    home.run("db rewind --datadir node 9").failed(65, &["block 9 is above the head, block 2", "choose another block"]);
    home.run("import --datadir node chain.rlp").succeeded();
    assert_eq!(home.head("node"), before);
    home.verify("node");
}
