//! Logs and polled filters.

use alloy_primitives::{Address, B256};
use serde_json::{Value, json};

use crate::node::{Chain, Node, account, transfer};

/// Emits a log without data whose topic is the call's first word.
const EMITS: &str = "5f355f5fa100";

fn topic(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

/// Emits a log from a contract, and mines it.
async fn emit(node: &Node, contract: Address, byte: u8) -> B256 {
    node.call("eth_sendTransaction", json!([{ "from": account(0), "to": contract, "data": topic(byte) }])).await;
    node.chain.mine()
}

fn topics(logs: &Value) -> Vec<String> {
    let first = |log: &Value| log["topics"][0].as_str().unwrap()[..4].to_owned();
    logs.as_array().unwrap().iter().map(first).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_found_by_range_block_address_and_topic() {
    let node = Node::usual().await;
    let (a, b) = (node.deploy(EMITS).await, node.deploy(EMITS).await);
    emit(&node, a, 1).await;
    emit(&node, b, 2).await;
    let last = emit(&node, a, 3).await;
    let cases = [
        (json!({ "fromBlock": "earliest" }), vec!["0x01", "0x02", "0x03"]),
        (json!({ "fromBlock": "0x3", "toBlock": "0x4" }), vec!["0x01", "0x02"]),
        (json!({}), vec!["0x03"]),
        (json!({ "blockHash": last }), vec!["0x03"]),
        (json!({ "fromBlock": "0x0", "address": a }), vec!["0x01", "0x03"]),
        (json!({ "fromBlock": "0x0", "address": [a, b] }), vec!["0x01", "0x02", "0x03"]),
        (json!({ "fromBlock": "0x0", "topics": [topic(2)] }), vec!["0x02"]),
        (json!({ "fromBlock": "0x0", "topics": [[topic(2), topic(3)]] }), vec!["0x02", "0x03"]),
        (json!({ "fromBlock": "0x0", "topics": [null, topic(2)] }), vec![]),
        (json!({ "fromBlock": "0x0", "address": Address::ZERO }), vec![]),
        (json!({ "fromBlock": "0x6" }), vec![]),
        (json!({ "fromBlock": "0x6", "toBlock": "latest" }), vec![]),
    ];
    for (query, expected) in cases {
        assert_eq!(topics(&node.call("eth_getLogs", json!([query])).await), expected, "{query}");
    }
    let log = &node.call("eth_getLogs", json!([{}])).await[0];
    for field in [
        "address",
        "data",
        "blockHash",
        "blockNumber",
        "transactionHash",
        "transactionIndex",
        "logIndex",
        "blockTimestamp",
    ] {
        assert!(log[field].is_string(), "{field}");
    }
    assert_eq!(log["removed"], false);
    let refusals = [
        (json!({ "fromBlock": "0x5", "toBlock": "0x1" }), -32602, "invalid block range params"),
        (json!({ "fromBlock": "0x6", "toBlock": "0x5" }), -32602, "invalid block range params"),
        (json!({ "fromBlock": "0x1", "toBlock": "0x99" }), -32602, "block range extends beyond current head block"),
        (json!({ "blockHash": topic(9) }), -32000, "unknown block"),
        (json!({ "topics": [[], [], [], [], []] }), -32602, "exceed max topics"),
    ];
    for (query, code, words) in refusals {
        assert_eq!(node.refusal("eth_getLogs", json!([query])).await, (code, words.to_owned()), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_report_what_happened_since_the_last_poll() {
    let node = Node::usual().await;
    let contract = node.deploy(EMITS).await;
    emit(&node, contract, 1).await;
    let logs = node.call("eth_newFilter", json!([{ "fromBlock": "0x0", "address": contract }])).await;
    let blocks = node.call("eth_newBlockFilter", json!([])).await;
    let pending = node.call("eth_newPendingTransactionFilter", json!([])).await;
    for id in [&logs, &blocks, &pending] {
        assert!(id.as_str().unwrap().starts_with("0x"));
        assert_eq!(node.call("eth_getFilterChanges", json!([id])).await, json!([]));
    }
    let hash = emit(&node, contract, 2).await;
    assert_eq!(topics(&node.call("eth_getFilterChanges", json!([logs])).await), ["0x02"]);
    assert_eq!(node.call("eth_getFilterChanges", json!([logs])).await, json!([]));
    assert_eq!(topics(&node.call("eth_getFilterLogs", json!([logs])).await), ["0x01", "0x02"]);
    assert_eq!(node.call("eth_getFilterChanges", json!([blocks])).await, json!([hash]));
    assert_eq!(node.call("eth_getFilterChanges", json!([pending])).await.as_array().map(Vec::len), Some(1));
    assert_eq!(node.refusal("eth_getFilterLogs", json!([blocks])).await, (-32000, "filter not found".to_owned()));
    assert_eq!(node.call("eth_uninstallFilter", json!([logs])).await, true);
    assert_eq!(node.call("eth_uninstallFilter", json!([logs])).await, false);
    assert_eq!(node.refusal("eth_getFilterChanges", json!([logs])).await, (-32000, "filter not found".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_reports_logs_that_a_reorganisation_removes() {
    let node = Node::usual().await;
    let other = Chain::open();
    other.mine_for(Address::repeat_byte(1));
    other.mine_for(Address::repeat_byte(1));
    other.mine_for(Address::repeat_byte(1));
    let contract = node.deploy(EMITS).await;
    let filter = node.call("eth_newFilter", json!([{ "address": contract }])).await;
    emit(&node, contract, 1).await;
    assert_eq!(topics(&node.call("eth_getFilterChanges", json!([filter])).await), ["0x01"]);
    node.chain.import_from(&other);
    let changes = node.call("eth_getFilterChanges", json!([filter])).await;
    assert_eq!((topics(&changes), &changes[0]["removed"]), (vec!["0x01".to_owned()], &json!(true)));
    // The transactions of the blocks that left are in the pool again.
    assert_eq!(node.call("txpool_status", json!([])).await["pending"], "0x2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_left_is_known_but_not_canonical() {
    let node = Node::usual().await;
    let other = Chain::open();
    other.mine_for(Address::repeat_byte(1));
    other.mine_for(Address::repeat_byte(1));
    node.call("eth_sendRawTransaction", json!([transfer(0, 0)])).await;
    let left = node.chain.mine();
    node.chain.import_from(&other);
    assert_eq!(node.call("eth_getBlockByHash", json!([left, false])).await["hash"], json!(left));
    let by_hash = json!([account(0), { "blockHash": left, "requireCanonical": true }]);
    assert_eq!(node.refusal("eth_getBalance", by_hash).await.1, "hash is not currently canonical");
    let number = node.call("eth_getBlockByNumber", json!(["0x1", false])).await;
    assert_ne!(number["hash"], json!(left));
}
