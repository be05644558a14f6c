//! Methods that few clients call: work for miners elsewhere, the configuration of forks, storage in bulk, sending again.

use alloy_primitives::{Address, B64, B256, U256, hex};
use serde_json::{Value, json};

use crate::node::{Chain, Node, WORK, account, transfer};

#[tokio::test(flavor = "multi_thread")]
async fn work_is_given_and_taken_under_both_names() {
    let node = Node::usual().await;
    assert_eq!(node.refusal("eth_getWork", json!([])).await.1, "etherbase must be explicitly specified");
    node.call("miner_setEtherbase", json!([account(0)])).await;
    for namespace in ["eth", "ethash"] {
        let name = |method: &str| format!("{namespace}_{method}");
        let work = node.call(&name("getWork"), json!([])).await;
        assert_eq!(work, json!([WORK.seal_hash, B256::ZERO, WORK.target, "0x10"]));
        let submit = |nonce: u8| json!([B64::repeat_byte(nonce), WORK.seal_hash, B256::ZERO]);
        assert_eq!(node.call(&name("submitWork"), submit(7)).await, true);
        assert_eq!(node.call(&name("submitWork"), submit(8)).await, false);
        assert_eq!(node.refusal(&name("submitWork"), json!(["0x12", WORK.seal_hash])).await.0, -32602);
        let rate = json!(["0x64", B256::with_last_byte(u8::try_from(namespace.len()).unwrap())]);
        assert_eq!(node.call(&name("submitHashrate"), rate).await, true);
    }
    assert_eq!(node.call("eth_hashrate", json!([])).await, "0x4b0");
    assert_eq!(node.call("eth_getHashrate", json!([])).await, 1200);
    assert_eq!(node.call("ethash_getHashrate", json!([])).await, 1200);
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_is_read_in_bulk() {
    let node = Node::usual().await;
    let contract = node.deploy("00").await;
    let wanted = json!({ contract.to_string(): ["0x0", B256::with_last_byte(1)], account(0).to_string(): ["0x5"] });
    let values = node.call("eth_getStorageValues", json!([wanted, "latest"])).await;
    let key = |address: Address| format!("{address:#x}");
    assert_eq!(values[key(contract)], json!([B256::ZERO, B256::ZERO]));
    assert_eq!(values[key(account(0))], json!([B256::ZERO]));
    assert_eq!(node.refusal("eth_getStorageValues", json!([{}])).await, (-32602, "empty request".to_owned()));
    let many = json!([{ contract.to_string(): vec!["0x0"; 1025] }]);
    assert_eq!(node.refusal("eth_getStorageValues", many).await.0, -38026);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_says_what_rules_hold_and_what_it_keeps() {
    let node = Node::usual().await;
    node.chain.mine();
    let config = node.call("eth_config", json!([])).await;
    let current = &config["current"];
    assert_eq!((&config["next"], &config["last"]), (&Value::Null, &Value::Null));
    assert_eq!((&current["activationTime"], &current["chainId"]), (&json!(0), &json!("0x539")));
    assert_eq!(current["precompiles"]["P256VERIFY"], json!(Address::from_word(B256::from(U256::from(0x100)))));
    assert_eq!(current["precompiles"].as_object().map(serde_json::Map::len), Some(18));
    assert!(current["systemContracts"]["HISTORY_STORAGE_ADDRESS"].is_string());
    assert_eq!(current["forkId"].as_str().map(str::len), Some(10));
    let can = node.call("eth_capabilities", json!([])).await;
    assert_eq!(can["head"]["number"], "0x1");
    for kind in ["state", "tx", "logs", "receipts", "blocks", "stateproofs"] {
        assert_eq!(can[kind], json!({ "disabled": false, "oldestBlock": "0x0" }), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_names_its_transaction() {
    let node = Node::usual().await;
    let hash = node.call("eth_sendRawTransaction", json!([transfer(0, 0)])).await;
    let ask = |nonce: &str| json!([account(0), nonce]);
    let waiting = node.call("eth_getTransactionBySenderAndNonce", ask("0x0")).await;
    assert_eq!((&waiting["hash"], &waiting["blockNumber"]), (&hash, &Value::Null));
    node.chain.mine();
    let mined = node.call("eth_getTransactionBySenderAndNonce", ask("0x0")).await;
    assert_eq!((&mined["hash"], &mined["blockNumber"]), (&hash, &json!("0x1")));
    assert_eq!(node.call("eth_getTransactionBySenderAndNonce", ask("0x1")).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_transaction_is_sent_again() {
    let node = Node::usual().await;
    let request = json!({ "from": account(0), "to": Address::repeat_byte(3), "value": "0x1", "nonce": "0x0" });
    let first = node.call("eth_sendTransaction", json!([request])).await;
    let second = node.call("eth_resend", json!([request, "0x12a05f2000", "0x7530"])).await;
    assert_ne!(first, second);
    assert_eq!(node.call("eth_getTransactionByHash", json!([first])).await, Value::Null);
    let replaced = node.call("eth_getTransactionByHash", json!([second])).await;
    assert_eq!((&replaced["gas"], &replaced["maxFeePerGas"]), (&json!("0x7530"), &json!("0x12a05f2000")));
    let mut other = request.clone();
    other["value"] = json!("0x2");
    assert!(node.refusal("eth_resend", json!([other])).await.1.contains("not found"));
    other.as_object_mut().unwrap().remove("nonce");
    let words = "missing transaction nonce in transaction spec".to_owned();
    assert_eq!(node.refusal("eth_resend", json!([other])).await, (-32000, words));
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_data_is_signed_under_the_old_name_too() {
    let node = Node::usual().await;
    let data = json!({
        "types": { "EIP712Domain": [], "Door": [{ "name": "number", "type": "uint256" }] },
        "primaryType": "Door", "domain": {}, "message": { "number": 7 },
    });
    let params = json!([account(0), data]);
    let signature = node.call("eth_signTypedData_v4", params.clone()).await;
    assert_eq!(node.call("eth_signTypedData", params).await, signature);
    assert_eq!(hex::decode(signature.as_str().unwrap()).map(|bytes| bytes.len()), Ok(65));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_can_wait_for_confirmations() {
    let node = std::sync::Arc::new(Node::usual().await);
    let waits = |confirmations: &'static str, nonce: u64, timeout: &'static str| {
        let node = node.clone();
        let params = json!([transfer(0, nonce), timeout, confirmations]);
        tokio::spawn(async move { node.try_call("eth_sendRawTransactionSync", params).await })
    };
    let waiting = waits("0x3", 0, "0x7530");
    while node.call("txpool_status", json!([])).await["pending"] != "0x1" {
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        node.chain.mine();
    }
    assert!(!waiting.is_finished(), "two blocks are not three");
    node.chain.mine();
    assert_eq!(waiting.await.unwrap().unwrap()["blockNumber"], "0x1");
    let error = waits("0x9", 1, "0x64").await.unwrap().unwrap_err();
    assert_eq!(error["code"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_began_later_says_what_it_does_not_have() {
    let full = Node::usual().await;
    let counts = full.deploy("5f54600101805f555f5260205fa000").await;
    full.call("eth_sendTransaction", json!([{ "from": account(0), "to": counts }])).await;
    let (old, _) = (full.chain.mine(), full.chain.mine());
    let node = Node::on(Chain::begun_from(&full.chain)).await;
    node.chain.mine();
    let can = node.call("eth_capabilities", json!([])).await;
    assert_eq!((&can["blocks"]["oldestBlock"], &can["head"]["number"]), (&json!("0x3"), &json!("0x4")));
    let gone = (4444, "pruned history unavailable".to_owned());
    for (method, params) in [
        ("eth_getBlockByNumber", json!(["0x2", false])),
        ("eth_getBlockByHash", json!([old, false])),
        ("eth_getBlockReceipts", json!(["0x2"])),
        ("eth_getBlockTransactionCountByNumber", json!(["0x2"])),
        ("eth_getTransactionByBlockNumberAndIndex", json!(["0x2", "0x0"])),
        ("eth_getLogs", json!([{ "fromBlock": "0x1", "address": counts }])),
        ("eth_feeHistory", json!(["0x4", "latest", [50]])),
        ("debug_getRawBlock", json!(["0x2"])),
        ("trace_filter", json!([{ "fromBlock": "0x2", "toBlock": "latest" }])),
    ] {
        assert_eq!(node.refusal(method, params.clone()).await, gone, "{method} {params}");
    }
    assert_eq!(node.call("eth_getHeaderByNumber", json!(["0x2"])).await["hash"], json!(old));
    assert_eq!(node.call("eth_getBlockByNumber", json!(["0x0", false])).await["number"], "0x0");
    assert_eq!(node.call("eth_getBlockByNumber", json!(["0x9", false])).await, Value::Null);
    assert_eq!(node.call("eth_getLogs", json!([{ "fromBlock": "0x3" }])).await, json!([]));
    assert!(node.call("eth_gasPrice", json!([])).await.is_string());
    let (code, words) = node.refusal("eth_getBalance", json!([account(0), "0x2"])).await;
    assert!(code == -32000 && words.starts_with("required historical state unavailable"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_have_the_forms_that_geth_takes() {
    let node = Node::usual().await;
    node.chain.mine();
    for count in [json!(2), json!("2"), json!("0x2")] {
        let history = node.call("eth_feeHistory", json!([count, "latest"])).await;
        assert_eq!(history["gasUsedRatio"].as_array().map(Vec::len), Some(2), "{count}");
    }
    let percentiles = node.refusal("eth_feeHistory", json!(["0x1", "latest", [101]])).await;
    assert_eq!(percentiles, (-32000, "invalid reward percentile: 101.000000".to_owned()));
    let backwards = json!([{ "fromBlock": "0x2", "toBlock": "0x1" }]);
    let refused = (-32602, "invalid block range params".to_owned());
    assert_eq!(node.refusal("eth_newFilter", backwards).await, refused);
    let unknown = B256::repeat_byte(9);
    for (method, params) in [
        ("eth_getBalance", json!([account(0), unknown])),
        ("eth_getBalance", json!([account(0), { "blockHash": unknown }])),
        ("eth_call", json!([{ "to": account(0) }, unknown])),
        ("eth_getProof", json!([account(0), [], unknown])),
    ] {
        let refused = node.refusal(method, params).await;
        assert_eq!(refused, (-32000, "header for hash not found".to_owned()), "{method}");
    }
    let words = "last cannot be specified without first".to_owned();
    assert_eq!(node.refusal("admin_exportChain", json!(["/nowhere/file", null, 1])).await, (-32000, words));
}
