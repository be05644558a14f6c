//! What the page about the whole node shows, and `device_*` on a node that has none.

use alloy_primitives::{Address, U256};
use serde_json::json;

use crate::node::{Chain, Node, transfer};

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_that_of_the_chain() {
    let node = Node::usual().await;
    node.call("eth_sendRawTransaction", json!([transfer(0, 0)])).await;
    node.chain.mine();
    node.call("eth_sendRawTransaction", json!([transfer(0, 1)])).await;
    let status = node.call("drawbridge_status", json!([])).await;
    let head = node.call("eth_getBlockByNumber", json!(["latest", false])).await;
    for field in ["number", "hash", "timestamp"] {
        assert_eq!(status["head"][field], head[field], "{field}");
    }
    let finality = node.call("drawbridge_finality", json!([])).await;
    assert_eq!(status["finalized"]["number"], finality["finalized"]["number"]);
    assert_eq!((&status["pool"]["pending"], &status["pool"]["queued"]), (&json!("0x1"), &json!("0x0")));
    assert_eq!((&status["chainId"], &status["networkId"]), (&json!("0x539"), &json!("0x1092")));
    assert_eq!((&status["devices"], &status["indexes"]["on"]), (&json!(false), &json!(false)));
    assert!(status["pow"]["difficulty"].is_object() && status["now"].is_string(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_adds_blocks_up() {
    let node = Node::usual().await;
    let series = node.call("drawbridge_series", json!([])).await;
    assert_eq!(series["columns"]["number"], json!([]));
    for nonce in 0..5 {
        node.call("eth_sendRawTransaction", json!([transfer(0, nonce)])).await;
        node.chain.mine_for(Address::repeat_byte(if nonce < 3 { 1 } else { 2 }));
    }
    let each = node.call("drawbridge_series", json!([])).await;
    let columns = &each["columns"];
    assert_eq!(columns["number"], json!([1, 2, 3, 4, 5]));
    assert_eq!(columns["transactions"], json!([1, 1, 1, 1, 1]));
    assert_eq!(columns["gasUsed"], json!([21_000, 21_000, 21_000, 21_000, 21_000]));
    assert_eq!((&columns["blockTimeMs"][1], &columns["gasPerSecond"][1]), (&json!(1000), &json!(21_000)));
    let difficulty: U256 = serde_json::from_value(columns["difficulty"][1].clone()).unwrap();
    let rate: U256 = serde_json::from_value(columns["hashRate"][1].clone()).unwrap();
    assert_eq!(rate, difficulty);
    let shares: Vec<_> = each["miners"].as_array().unwrap().iter().map(|miner| miner["share"].clone()).collect();
    assert_eq!(shares, [json!(0.6), json!(0.4)]);

    let joined = node.call("drawbridge_series", json!([{ "to": "0x4", "blocks": 3, "points": 2 }])).await;
    assert_eq!((&joined["from"], &joined["to"]), (&json!("0x2"), &json!("0x4")));
    assert_eq!(joined["columns"]["number"], json!([3, 4]));
    assert_eq!(joined["columns"]["gasUsed"], json!([42_000, 21_000]));
    let lengths: Vec<_> =
        joined["columns"].as_object().unwrap().values().map(|column| column.as_array().unwrap().len()).collect();
    assert_eq!(lengths, vec![2; 10]);
    assert_eq!(node.refusal("drawbridge_series", json!([{ "from": 1 }])).await.0, -32602);
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_are_shown_with_what_is_canonical() {
    let node = Node::usual().await;
    let other = Chain::open();
    for _ in 0..3 {
        other.mine_for(Address::repeat_byte(1));
    }
    let dropped = [node.chain.mine(), node.chain.mine()];
    node.chain.import_from(&other);
    let forks = node.call("drawbridge_forks", json!([])).await;
    let blocks = forks["blocks"].as_array().unwrap();
    assert_eq!((blocks.len(), &forks["head"], &forks["first"]), (6, &json!("0x3"), &json!("0x0")));
    assert_eq!(blocks[0]["number"], json!("0x3"));
    for block in blocks {
        let is_dropped = dropped.iter().any(|hash| block["hash"] == json!(hash));
        assert_eq!(block["canonical"], json!(!is_dropped), "{block}");
        let whole = node.call("eth_getBlockByHash", json!([block["hash"], false])).await;
        assert_eq!((&block["parentHash"], &block["miner"]), (&whole["parentHash"], &whole["miner"]));
    }
    let near = node.call("drawbridge_forks", json!([1])).await;
    assert_eq!(near["blocks"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_devices_says_what_to_do() {
    let node = Node::usual().await;
    for (method, params) in [
        ("device_list", json!([])),
        ("device_get", json!(["lock-1"])),
        ("device_revoke", json!(["lock-1"])),
        ("device_shadows", json!(["lock-1"])),
        ("device_getShadow", json!(["lock-1", "lock"])),
        ("device_updateShadow", json!(["lock-1", null, { "state": {} }])),
        ("device_deleteShadow", json!(["lock-1"])),
        ("device_history", json!(["lock-1", "lock"])),
    ] {
        let (code, message) = node.refusal(method, params).await;
        assert!(code == -32000 && message.contains("--mqtt"), "{method}: {message}");
    }
    // What was released and opened stands on the chain.
    assert_eq!(node.call("device_openings", json!([])).await["items"], json!([]));
}
