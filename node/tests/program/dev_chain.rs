//! A development chain that is steered by hand, over stops and kills.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{ADDRESS, Home, Node, RECEIVER, Signal, number};

const SOON: Duration = Duration::from_secs(10);
const STRANGER: &str = "0xb0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0";
const ETHER: &str = "0xde0b6b3a7640000";

fn balance(node: &Node, address: &str) -> Value {
    node.call("eth_getBalance", json!([address, "latest"]))
}

fn set_balance(node: &Node, address: &str, wei: &str) {
    assert_eq!(node.call("hardhat_setBalance", json!([address, wei])), json!(true));
}

#[test]
fn what_was_set_sent_and_taken_back_survives_stop_and_kill_and_the_database_is_whole() {
    let home = Home::new();
    let mut node = Node::dev(&home, "");
    set_balance(&node, STRANGER, ETHER);
    node.call("hardhat_impersonateAccount", json!([STRANGER]));
    // The answer comes when the block is there.
    let sent = node.send(json!({"from": STRANGER, "to": RECEIVER, "value": "0x5"}));
    assert_eq!((node.block_number(), balance(&node, RECEIVER)), (1, json!("0x5")));
    let snapshot = node.call("evm_snapshot", json!([]));
    node.call("evm_increaseTime", json!([1_000_000]));
    node.call("hardhat_mine", json!(["0x5"]));
    let time = number(&node.block(6)["timestamp"]);
    set_balance(&node, RECEIVER, "0x9");

    for signal in [Signal::Kill, Signal::Term] {
        node.stop(signal);
        home.verify("node");
        node = Node::dev(&home, "");
        assert_eq!((node.block_number(), balance(&node, RECEIVER)), (6, json!("0x9")));
        let found = node.call("eth_getTransactionByHash", json!([sent]));
        assert_eq!((&found["from"], &found["s"]), (&json!(STRANGER), &json!("0x0")));
    }
    // Snapshots are gone with the process; the time goes on where the chain is.
    assert_eq!(node.call("evm_revert", json!([snapshot])), json!(false));
    node.call("evm_mine", json!([]));
    assert!(number(&node.block(7)["timestamp"]) >= time);

    node.call("debug_setHead", json!(["0x1"]));
    assert_eq!((node.block_number(), balance(&node, RECEIVER)), (1, json!("0x5")));
    node.stop(Signal::Kill);
    home.verify("node");
    let node = Node::dev(&home, "");
    assert_eq!(node.block_number(), 1);
    node.call("hardhat_reset", json!([]));
    assert_eq!((balance(&node, STRANGER), balance(&node, RECEIVER)), (json!("0x0"), json!("0x0")));
    node.end();
    home.verify("node");
}

#[test]
fn an_export_with_impersonated_senders_goes_into_development_chains_alone() {
    let home = Home::new();
    let node = Node::dev(&home, "");
    node.send(json!({"from": ADDRESS, "to": STRANGER, "value": ETHER}));
    node.call("hardhat_impersonateAccount", json!([STRANGER]));
    node.send(json!({"from": STRANGER, "to": RECEIVER, "value": "0x5"}));
    node.end();
    home.run("export --datadir node chain.rlp").succeeded();
    home.write("dev.json", include_str!("../../../genesis/dev.json"));
    home.run("init dev.json --datadir plain").succeeded();
    home.run("import --datadir plain chain.rlp").failed(65, &["chain.rlp"]);
    assert_eq!(home.head("plain").1, 1);
    home.run("import --dev --datadir other chain.rlp").succeeded();
    assert_eq!(home.head("other"), home.head("node"));
    home.verify("other");
}

#[test]
fn a_revert_is_not_undone_by_the_journal() {
    let home = Home::new();
    let node = Node::dev(&home, "");
    let snapshot = node.call("evm_snapshot", json!([]));
    node.send(json!({"from": ADDRESS, "to": RECEIVER, "value": "0x5"}));
    assert_eq!(node.call("evm_revert", json!([snapshot])), json!(true));
    node.stop(Signal::Kill);
    let node = Node::dev(&home, "");
    let status = node.call("txpool_status", json!([]));
    assert_eq!((node.block_number(), &status["pending"]), (0, &json!("0x0")));
    node.end();
}

#[test]
fn the_miner_mines_as_it_is_told() {
    let home = Home::new();
    let node = Node::dev(&home, "");
    node.call("evm_setAutomine", json!([false]));
    let hash = node.send(json!({"from": ADDRESS, "to": RECEIVER, "value": "0x5"}));
    assert_eq!(node.call("eth_getTransactionReceipt", json!([hash])), json!(null));
    node.call("evm_mine", json!([]));
    assert_eq!(node.call("eth_getTransactionReceipt", json!([hash]))["blockNumber"], "0x1");
    node.call("evm_setIntervalMining", json!([200]));
    node.wait_head(3, SOON);
    node.call("evm_setIntervalMining", json!([0]));
    node.call("evm_setAutomine", json!([true]));
    let before = node.block_number();
    node.send(json!({"from": ADDRESS, "to": RECEIVER, "value": "0x5"}));
    assert_eq!(node.block_number(), before + 1);
    node.end();
}

#[test]
fn contracts_speak_through_the_log() {
    let home = Home::new();
    let mut node = Node::dev(&home, "");
    // Calls the console with log(uint256) of 42.
    let word = format!("{:064x}", 42);
    let code =
        format!("0x63f82c50f160e01b5f527f{word}600452 5f5f60245f6a636f6e736f6c652e6c6f675afa00").replace(' ', "");
    node.call("hardhat_setCode", json!([STRANGER, code]));
    node.call("eth_call", json!([{"to": STRANGER}]));
    node.wait_line("console.log: 42");
    let hash = node.send(json!({"from": ADDRESS, "to": STRANGER, "gas": "0x186a0"}));
    let line = node.wait_line("console.log: 42");
    assert!(line.contains(&hash), "{line}");
    node.end();
}
