//! Why a transaction is not mined, and the repairs.

use alloy_primitives::B256;
use serde_json::{Value, json};

use crate::node::{Node, account, transfer};

async fn explain(node: &Node, hash: &Value) -> Value {
    node.call("txpool_explain", json!([hash])).await
}

fn kinds(explained: &Value) -> Vec<&str> {
    explained["reasons"].as_array().unwrap().iter().map(|reason| reason["kind"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_transaction_says_what_it_waits_for() {
    let node = Node::usual().await;
    node.call("miner_setEtherbase", json!([account(0)])).await;
    let waiting = node.call("eth_sendRawTransaction", json!([transfer(0, 2)])).await;
    let explained = explain(&node, &waiting).await;
    assert_eq!((&explained["status"], kinds(&explained)), (&json!("waiting"), vec!["nonceGap", "noMiner"]));
    assert_eq!(explained["reasons"][0]["missing"], json!(["0x0", "0x1"]));
    node.call("miner_start", json!([])).await;
    for nonce in [0, 1] {
        node.call("eth_sendRawTransaction", json!([transfer(0, nonce)])).await;
    }
    assert_eq!(explain(&node, &waiting).await["status"], "ready");
    node.chain.mine();
    let mined = explain(&node, &waiting).await;
    assert_eq!((&mined["status"], &mined["receipt"]["transactionHash"]), (&json!("mined"), &waiting));
    assert_eq!(explain(&node, &json!(B256::ZERO)).await["status"], "unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_transaction_is_cancelled_resent_and_dropped_in_one_call_each() {
    let node = Node::usual().await;
    let send = json!([{ "from": account(0), "to": account(1), "value": "0x5", "nonce": "0x1" }]);
    let first = node.call("eth_sendTransaction", send).await;
    let second = node.call("txpool_resend", json!([first])).await;
    let dropped = explain(&node, &first).await;
    assert_eq!(dropped["status"], "dropped");
    assert_eq!(dropped["reason"], json!(format!("replaced by transaction {}", second.as_str().unwrap())));
    let third = node.call("txpool_cancel", json!([second])).await;
    let cancelled = node.call("eth_getTransactionByHash", json!([third])).await;
    assert_eq!((&cancelled["to"], &cancelled["value"]), (&json!(account(0)), &json!("0x0")));
    assert_eq!(node.call("txpool_drop", json!([third])).await, true);
    assert_eq!(explain(&node, &third).await["reason"], "removed by the operator");
    assert_eq!(node.call("txpool_status", json!([])).await["queued"], "0x0");

    assert_eq!(node.refusal("txpool_drop", json!([third])).await.1, "transaction not found in the pool");
    let foreign = node.call("eth_sendRawTransaction", json!([transfer(1, 0)])).await;
    let refused = node.refusal("txpool_cancel", json!([foreign])).await.1;
    assert!(refused.contains("none of this node's accounts"), "{refused}");
}
