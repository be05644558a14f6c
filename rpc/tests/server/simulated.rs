//! `eth_simulateV1`: calls on blocks that nobody mines.

use alloy_primitives::{Address, B256, U256, hex};
use serde_json::{Value, json};

use crate::node::{Node, account};

/// Returns the block number.
const READS_NUMBER: &str = "435f5260205ff3";
/// Adds one to storage slot 0 and returns it.
const COUNTS: &str = "5f5460010180 5f555f5260205ff3";
/// Reverts without data.
const REVERTS: &str = "5f5ffd";

fn word(value: u64) -> Value {
    json!(hex::encode_prefixed(U256::from(value).to_be_bytes::<32>()))
}

fn code(text: &str) -> String {
    format!("0x{}", text.replace(' ', ""))
}

fn address(byte: u8) -> Address {
    Address::repeat_byte(byte)
}

async fn simulate(node: &Node, payload: Value) -> Vec<Value> {
    node.call("eth_simulateV1", json!([payload, "latest"])).await.as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_follow_each_other_and_nothing_stays() {
    let node = Node::usual().await;
    node.chain.mine();
    let head = node.call("eth_getBlockByNumber", json!(["latest", false])).await;
    let count = json!({ "to": address(5) });
    let payload = json!({ "blockStateCalls": [
        { "stateOverrides": { address(5).to_string(): { "code": code(COUNTS) } }, "calls": [count, count] },
        { "blockOverrides": { "number": "0x4" }, "calls": [count] },
    ] });
    let blocks = simulate(&node, payload.clone()).await;
    let numbers: Vec<_> = blocks.iter().map(|block| block["number"].clone()).collect();
    assert_eq!(numbers, ["0x2", "0x3", "0x4"], "a gap is filled");
    assert_eq!(blocks[0]["parentHash"], head["hash"]);
    assert!(blocks.windows(2).all(|pair| pair[1]["parentHash"] == pair[0]["hash"]));
    let returned: Vec<_> =
        blocks.iter().flat_map(|block| block["calls"].as_array().unwrap()).map(|call| &call["returnData"]).collect();
    assert_eq!(returned, [&word(1), &word(2), &word(3)]);
    for field in ["stateRoot", "receiptsRoot", "transactionsRoot", "gasUsed", "size", "baseFeePerGas", "requestsHash"] {
        assert!(blocks[0][field].is_string(), "{field}");
    }
    assert_eq!(blocks[0]["transactions"].as_array().map(Vec::len), Some(2));
    assert_ne!(blocks[0]["stateRoot"], head["stateRoot"]);
    assert_eq!(simulate(&node, payload).await, blocks, "twice the same");
    assert_eq!(node.call("eth_getCode", json!([address(5)])).await, "0x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulation_on_an_older_block_sees_its_state() {
    let node = Node::usual().await;
    let count = node.deploy(&COUNTS.replace(' ', "")).await;
    for _ in 0..2 {
        let request = json!([{ "from": account(0), "to": count }]);
        node.call("eth_sendTransaction", request).await;
        node.chain.mine();
    }
    let payload = json!({ "blockStateCalls": [{ "calls": [{ "to": count }] }] });
    for (block, expected) in [("0x1", 1), ("0x2", 2), ("latest", 3)] {
        let blocks = node.call("eth_simulateV1", json!([payload, block])).await;
        assert_eq!(blocks[0]["calls"][0]["returnData"], word(expected), "{block}");
    }
    // What is simulated on the genesis block as it was mined has the state root that was mined.
    let mined = node.call("eth_getBlockByNumber", json!(["0x1", true])).await;
    let tx = &mined["transactions"][0];
    let call = json!({
        "from": tx["from"], "input": tx["input"], "gas": tx["gas"], "nonce": tx["nonce"],
        "maxFeePerGas": tx["maxFeePerGas"], "maxPriorityFeePerGas": tx["maxPriorityFeePerGas"],
    });
    let same = json!({ "blockStateCalls": [{ "calls": [call], "blockOverrides": {
        "time": mined["timestamp"], "feeRecipient": mined["miner"], "prevRandao": mined["mixHash"],
        "gasLimit": mined["gasLimit"],
    } }], "validation": true });
    let again = node.call("eth_simulateV1", json!([same, "0x0"])).await;
    for field in ["gasUsed", "baseFeePerGas", "receiptsRoot", "stateRoot"] {
        assert_eq!(again[0][field], mined[field], "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_say_how_they_ended_and_transfers_can_be_seen() {
    let node = Node::usual().await;
    let pays = json!({ "from": account(0), "to": address(7), "value": "0x5" });
    let calls = json!([pays, { "to": address(6) }, { "to": address(8), "gas": "0x5300" }, { "to": address(9) }]);
    let overrides = json!({
        address(6).to_string(): { "code": code(REVERTS) },
        address(8).to_string(): { "code": "0x5b5f56" },
        address(9).to_string(): { "code": code(READS_NUMBER) },
    });
    let payload = json!({
        "blockStateCalls": [{ "stateOverrides": overrides, "calls": calls }],
        "traceTransfers": true, "returnFullTransactions": true,
    });
    let block = simulate(&node, payload).await.remove(0);
    let results = &block["calls"];
    let log = &results[0]["logs"][0];
    assert_eq!(log["address"], json!(address(0xee)));
    assert_eq!((&log["topics"][2], &log["data"]), (&json!(address(7).into_word()), &word(5)));
    assert_eq!((&log["blockHash"], &log["transactionHash"]), (&block["hash"], &block["transactions"][0]["hash"]));
    assert_eq!((&results[0]["status"], &results[0]["gasUsed"]), (&json!("0x1"), &json!("0x5208")));
    assert_eq!(results[1]["error"], json!({ "code": 3, "message": "execution reverted", "data": "0x" }));
    assert_eq!(results[2]["error"], json!({ "code": -32015, "message": "out of gas" }));
    assert_eq!((&results[1]["status"], &results[1]["logs"]), (&json!("0x0"), &json!([])));
    assert_eq!(results[3]["returnData"], word(1));
    let tx = &block["transactions"][0];
    assert_eq!((&tx["from"], &tx["r"], &tx["type"]), (&json!(account(0)), &json!("0x0"), &json!("0x2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_rules_have_their_codes() {
    let node = Node::usual().await;
    let call = |call: Value| json!({ "blockStateCalls": [{ "calls": [call] }], "validation": true });
    let rich = json!({ address(1).to_string(): { "balance": "0xffffffffffffffff", "nonce": "0x5" } });
    let fees = json!({ "from": address(1), "to": address(2), "maxFeePerGas": "0x77359400" });
    let with = |field: &str, value: &str| {
        let mut call = fees.clone();
        call[field] = json!(value);
        json!({ "blockStateCalls": [{ "stateOverrides": rich, "calls": [call] }], "validation": true })
    };
    let plain = |blocks: Value| json!({ "blockStateCalls": blocks });
    let moved = |to: u8| {
        let target = Address::with_last_byte(to);
        let one = json!({ "movePrecompileToAddress": target });
        let overrides = json!({
            Address::with_last_byte(1).to_string(): one, Address::with_last_byte(2).to_string(): one
        });
        plain(json!([{ "stateOverrides": overrides }]))
    };
    let cases = [
        (with("nonce", "0x4"), -38010),
        (with("nonce", "0x6"), -38011),
        (call(json!({ "from": account(0), "to": address(2), "maxFeePerGas": "0x0" })), -38012),
        (with("gas", "0x5207"), -38013),
        (plain(json!([{ "calls": [{ "from": address(1), "to": address(2), "value": "0x1" }] }])), -38014),
        (plain(json!([{ "calls": [{ "gas": "0x5208" }], "blockOverrides": { "gasLimit": "0x5207" } }])), -38015),
        (plain(json!([{ "blockOverrides": { "number": "0x0" } }])), -38020),
        (plain(json!([{ "blockOverrides": { "time": "0x1" } }])), -38021),
        (moved(1), -38022),
        (moved(0x99), -38023),
        (plain(json!([{ "calls": [{ "input": format!("0x{}", "00".repeat(49_153)) }] }])), -38025),
        (plain(json!([{ "blockOverrides": { "number": "0x1000" } }])), -38026),
        (plain(json!([])), -32602),
        (call(json!({ "from": account(0), "chainId": "0x1" })), -32000),
    ];
    for (payload, expected) in cases {
        let (code, words) = node.refusal("eth_simulateV1", json!([payload])).await;
        assert_eq!(code, expected, "{words}: {payload}");
        assert!(!words.is_empty());
    }
    assert_eq!(node.refusal("eth_simulateV1", json!([plain(json!([{}])), "0x63"])).await.1, "header not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn precompiles_can_be_moved_and_replaced() {
    let node = Node::usual().await;
    let (identity, target) = (Address::with_last_byte(4), address(0x44));
    let moved = json!({ identity.to_string(): { "movePrecompileToAddress": target, "code": code(READS_NUMBER) } });
    let ask = |to: Address| json!({ "to": to, "data": "0x1234" });
    assert_eq!(node.call("eth_call", json!([ask(target), "latest", moved])).await, "0x1234");
    assert_eq!(node.call("eth_call", json!([ask(identity), "latest", moved])).await, word(0));
    assert_eq!(node.call("eth_call", json!([ask(identity), "latest"])).await, "0x1234");
    let payload = json!({ "blockStateCalls": [
        { "stateOverrides": moved, "calls": [ask(target), ask(identity)] }, { "calls": [ask(target), ask(identity)] }
    ] });
    let blocks = simulate(&node, payload).await;
    let returned = |block: usize, call: usize| &blocks[block]["calls"][call]["returnData"];
    assert_eq!((returned(0, 0), returned(0, 1)), (&json!("0x1234"), &word(1)));
    // The code stays where it was put, but the next block has all its precompiles again.
    assert_eq!((returned(1, 0), returned(1, 1)), (&json!("0x"), &json!("0x1234")));
    assert_ne!(blocks[0]["hash"], json!(B256::ZERO));
}
