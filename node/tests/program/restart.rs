//! What outlives a node: the pool's local transactions, and the keystore's accounts.

use std::time::Duration;

use serde_json::json;

use super::support::{ADDRESS, Home, Node, RECEIVER, Signal};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_local_transaction_with_a_later_nonce_waits_through_stop_and_kill() {
    let home = Home::new();
    let mut node = Node::dev(&home, "");
    let later = node.send(json!({"from": ADDRESS, "to": RECEIVER, "value": "0x5", "nonce": "0x1"}));
    for signal in [Signal::Term, Signal::Kill] {
        assert_eq!(node.call("txpool_status", json!([])), json!({"pending": "0x0", "queued": "0x1"}));
        node.stop(signal);
        node = Node::dev(&home, "");
    }
    let waiting = node.call("eth_getTransactionByHash", json!([later]));
    assert_eq!((&waiting["nonce"], &waiting["blockHash"]), (&json!("0x1"), &json!(null)));
    let first = node.send(json!({"from": ADDRESS, "to": RECEIVER, "value": "0x5", "nonce": "0x0"}));
    for hash in [first, later] {
        assert_eq!(node.wait_receipt(&hash, SOON)["status"], "0x1");
    }
    node.end();
    // What was mined is not in the journal any more.
    let node = Node::dev(&home, "");
    assert_eq!(node.call("txpool_status", json!([])), json!({"pending": "0x0", "queued": "0x0"}));
    assert_eq!(node.call("eth_getBalance", json!([RECEIVER, "latest"])), json!("0xa"));
    node.end();
}

#[test]
fn a_pending_transaction_is_mined_after_the_restart() {
    let home = Home::new();
    let node = Node::dev(&home, "");
    node.call("miner_stop", json!([]));
    let hash = node.send(json!({"from": ADDRESS, "to": RECEIVER}));
    node.stop(Signal::Kill);
    let node = Node::dev(&home, "");
    assert_eq!(node.wait_receipt(&hash, SOON)["status"], "0x1");
    node.end();
}

#[test]
fn a_torn_journal_keeps_what_is_whole_and_stops_nothing() {
    let home = Home::new();
    let node = Node::dev(&home, "");
    node.send(json!({"from": ADDRESS, "to": RECEIVER, "nonce": "0x1"}));
    node.send(json!({"from": ADDRESS, "to": RECEIVER, "nonce": "0x2"}));
    node.end();
    let mut journal = home.read("node/transactions.rlp");
    journal.truncate(journal.len() - 9);
    home.write("node/transactions.rlp", &journal);
    let node = Node::dev(&home, "");
    assert_eq!(node.call("txpool_status", json!([]))["queued"], "0x1");
    node.end();
    home.write("node/transactions.rlp", super::support::random_bytes(3, 4000));
    let node = Node::dev(&home, "");
    assert_eq!(node.call("txpool_status", json!([]))["queued"], "0x0");
    node.end();
}

#[test]
fn accounts_made_over_rpc_are_there_after_the_restart_and_locked() {
    let home = Home::with_chain(json!({"empty_blocks": "never"}));
    let node = Node::chain(&home, "");
    let made = node.call("personal_newAccount", json!(["other"]));
    assert_eq!(node.call("personal_unlockAccount", json!([made, "other", 0])), json!(true));
    node.call("eth_sign", json!([made, "0x00"]));
    node.end();
    let node = Node::chain(&home, "");
    assert_eq!(node.call("eth_accounts", json!([])), json!([ADDRESS, made]));
    let locked = node.try_call("eth_sign", json!([made, "0x00"])).unwrap_err();
    assert_eq!(locked["message"], "authentication needed: password or unlock");
    let wrong = node.try_call("personal_unlockAccount", json!([made, "secret", 0])).unwrap_err();
    assert_eq!(wrong["message"], "could not decrypt key with given password");
    node.end();
}
