//! Transactions on their way from the client into a block.

use alloy_primitives::{Address, keccak256};
use serde_json::{Value, json};

use crate::node::{CHAIN_ID, Node, account, legacy_transfer, transfer};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_client_learns_what_it_needs() {
    let node = Node::usual().await;
    let cases = [
        ("eth_chainId", json!([]), json!("0x539")),
        ("eth_blockNumber", json!([]), json!("0x0")),
        ("eth_syncing", json!([]), json!(false)),
        ("eth_accounts", json!([]), json!([account(0)])),
        ("eth_requestAccounts", json!([]), json!([account(0)])),
        ("eth_mining", json!([]), json!(false)),
        ("eth_hashrate", json!([]), json!("0x3e8")),
        ("eth_blobBaseFee", json!([]), json!("0x1")),
        ("net_version", json!([]), json!("4242")),
        ("net_listening", json!([]), json!(true)),
        ("net_peerCount", json!([]), json!("0x0")),
        ("web3_clientVersion", json!([]), json!("Drawbridge/test")),
        ("web3_sha3", json!(["0x68656c6c6f"]), json!(keccak256("hello"))),
        ("eth_getBalance", json!([account(0), "latest"]), json!("0x56bc75e2d63100000")),
        ("eth_getBalance", json!([account(0)]), json!("0x56bc75e2d63100000")),
        ("eth_getTransactionCount", json!([account(0), "0x0"]), json!("0x0")),
        ("eth_getCode", json!([account(0), "latest"]), json!("0x")),
        ("eth_getStorageAt", json!([account(0), "0x0", "latest"]), json!(format!("0x{}", "0".repeat(64)))),
        ("eth_getBlockByNumber", json!(["0x5", false]), Value::Null),
        ("eth_getBlockByHash", json!([format!("0x{}", "1".repeat(64)), true]), Value::Null),
        ("eth_getTransactionReceipt", json!([format!("0x{}", "1".repeat(64))]), Value::Null),
        ("eth_getUncleCountByBlockNumber", json!(["latest"]), json!("0x0")),
        ("eth_getUncleByBlockNumberAndIndex", json!(["latest", "0x0"]), Value::Null),
        ("eth_getLogs", json!([{}]), json!([])),
        ("txpool_status", json!([]), json!({ "pending": "0x0", "queued": "0x0" })),
    ];
    for (method, params, expected) in cases {
        assert_eq!(node.call(method, params.clone()).await, expected, "{method} {params}");
    }
    let modules = node.call("rpc_modules", json!([])).await;
    assert_eq!((&modules["eth"], &modules["rpc"]), (&json!("1.0"), &json!("1.0")));
    assert_eq!(node.refusal("eth_getBalance", json!([account(0), "0x5"])).await, (-32000, "header not found".into()));
    assert_eq!(node.refusal("eth_coinbase", json!([])).await.1, "etherbase must be explicitly specified");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_has_the_fields_that_clients_need() {
    let node = Node::usual().await;
    let hash = node.call("eth_sendRawTransaction", json!([transfer(0, 0)])).await;
    node.chain.mine();
    let block = node.call("eth_getBlockByNumber", json!(["latest", false])).await;
    let strings = "hash parentHash number timestamp nonce difficulty gasLimit gasUsed miner extraData sha3Uncles stateRoot \
        transactionsRoot receiptsRoot logsBloom mixHash size totalDifficulty baseFeePerGas withdrawalsRoot blobGasUsed \
        excessBlobGas parentBeaconBlockRoot requestsHash";
    for field in strings.split_whitespace() {
        assert!(block[field].is_string(), "{field}: {block}");
    }
    assert_eq!(block["nonce"].as_str().map(str::len), Some(18));
    assert_eq!((&block["uncles"], &block["withdrawals"]), (&json!([]), &json!([])));
    assert_eq!((&block["transactions"], &block["totalDifficulty"]), (&json!([hash]), &json!("0x2")));
    let by_hash = node.call("eth_getBlockByHash", json!([block["hash"], true])).await;
    assert_eq!((&by_hash["transactions"][0]["hash"], &by_hash["hash"]), (&hash, &block["hash"]));
    let header = node.call("eth_getHeaderByNumber", json!(["latest"])).await;
    assert_eq!(header["hash"], block["hash"]);
    for id in [json!("latest"), json!("0x1"), block["hash"].clone(), json!({ "blockHash": block["hash"] })] {
        assert_eq!(node.call("eth_getBlockReceipts", json!([id])).await.as_array().map(Vec::len), Some(1), "{id}");
    }
    assert_eq!(node.call("eth_getBlockTransactionCountByNumber", json!(["0x1"])).await, "0x1");
    assert_eq!(node.call("eth_getBlockTransactionCountByHash", json!([block["hash"]])).await, "0x1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_seen_in_the_pool_and_then_in_its_block() {
    let node = Node::usual().await;
    let raw = transfer(0, 0);
    let hash = node.call("eth_sendRawTransaction", json!([raw])).await;
    assert_eq!(hash, json!(keccak256(&raw)));
    assert_eq!(node.call("eth_getTransactionCount", json!([account(0), "pending"])).await, "0x1");
    assert_eq!(node.call("eth_getTransactionCount", json!([account(0), "latest"])).await, "0x0");
    let waiting = node.call("eth_getTransactionByHash", json!([hash])).await;
    assert_eq!((&waiting["blockHash"], &waiting["from"]), (&Value::Null, &json!(account(0))));
    assert_eq!(node.call("eth_getTransactionReceipt", json!([hash])).await, Value::Null);
    let content = node.call("txpool_content", json!([])).await;
    assert_eq!(content["pending"][account(0).to_checksum(None)]["0"]["hash"], hash);
    assert_eq!(node.call("txpool_contentFrom", json!([account(0)])).await["pending"]["0"]["hash"], hash);
    let line = format!("{}: 1 wei + 21000 gas × 2000000000 wei", Address::repeat_byte(0x77).to_checksum(None));
    assert_eq!(node.call("txpool_inspect", json!([])).await["pending"][account(0).to_checksum(None)]["0"], line);
    assert_eq!(node.call("eth_pendingTransactions", json!([])).await[0]["hash"], hash);
    let pending = node.call("eth_getBlockByNumber", json!(["pending", false])).await;
    assert_eq!((&pending["number"], &pending["transactions"]), (&json!("0x1"), &json!([hash])));
    assert_eq!(pending["hash"], Value::Null);
    let header = node.call("eth_getHeaderByNumber", json!(["pending"])).await;
    assert_eq!((&header["number"], &header["hash"]), (&json!("0x1"), &Value::Null));
    assert_eq!(header["parentHash"], pending["parentHash"]);
    assert_eq!(node.call("eth_getBlockTransactionCountByNumber", json!(["pending"])).await, "0x1");
    assert_eq!(node.call("eth_getTransactionByBlockNumberAndIndex", json!(["pending", "0x0"])).await, waiting);
    assert_eq!(node.call("eth_getTransactionByBlockNumberAndIndex", json!(["pending", "0x1"])).await, Value::Null);
    assert_eq!(node.call("eth_getRawTransactionByBlockNumberAndIndex", json!(["pending", "0x0"])).await, json!(raw));
    assert_eq!(node.call("eth_getBlockReceipts", json!(["pending"])).await, Value::Null);

    let block = node.chain.mine();
    let mined = node.call("eth_getTransactionByHash", json!([hash])).await;
    assert_eq!((&mined["blockHash"], &mined["blockNumber"]), (&json!(block), &json!("0x1")));
    assert_eq!(mined, node.call("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x0"])).await);
    assert_eq!(mined, node.call("eth_getTransactionByBlockHashAndIndex", json!([block, "0x0"])).await);
    let receipt = node.call("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!((&receipt["status"], &receipt["gasUsed"]), (&json!("0x1"), &json!("0x5208")));
    assert_eq!(receipt["effectiveGasPrice"], mined["gasPrice"]);
    assert_eq!(node.call("eth_getRawTransactionByHash", json!([hash])).await, json!(raw));
    assert_eq!(node.call("eth_getRawTransactionByBlockNumberAndIndex", json!(["0x1", "0x0"])).await, json!(raw));
    assert_eq!(node.call("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x1"])).await, Value::Null);
    assert_eq!(node.call("eth_getBalance", json!([Address::repeat_byte(0x77), "0x1"])).await, "0x1");
    assert_eq!(node.call("eth_getBalance", json!([Address::repeat_byte(0x77), "earliest"])).await, "0x0");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_transactions_get_the_words_that_clients_match() {
    let node = Node::usual().await;
    let send = "eth_sendRawTransaction";
    node.call(send, json!([transfer(0, 0)])).await;
    assert_eq!(node.refusal(send, json!([transfer(0, 0)])).await, (-32000, "already known".into()));
    node.chain.mine();
    let words = "nonce too low: next nonce 1, tx nonce 0";
    assert_eq!(node.refusal(send, json!([legacy_transfer(Some(CHAIN_ID), 2_000_000_000)])).await.1, words);
    let words = "only replay-protected (EIP-155) transactions allowed over RPC";
    assert_eq!(node.refusal(send, json!([legacy_transfer(None, 1)])).await.1, words);
    let words = "invalid chain id for signer: have 5 want 1337";
    assert_eq!(node.refusal(send, json!([legacy_transfer(Some(5), 1)])).await.1, words);
    let price = 100_000_000_000_000;
    let words = "tx fee (2.10 ether) exceeds the configured cap (1.00 ether)";
    assert_eq!(node.refusal(send, json!([legacy_transfer(Some(CHAIN_ID), price)])).await.1, words);
    assert_eq!(node.refusal(send, json!(["0x05aabb"])).await.1, "transaction type not supported");
    for raw in ["0x", "0x01", "0xc0", "0x02f8", "0x03f8"] {
        assert_eq!(node.refusal(send, json!([raw])).await.0, -32000, "{raw}");
    }
    assert_eq!(node.refusal(send, json!([])).await, (-32602, "missing value for required argument 0".into()));
    let (code, words) = node.refusal(send, json!(["0xabc"])).await;
    assert!(code == -32602 && words.starts_with("invalid argument 0: "), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_transactions_is_answered_in_order() {
    let node = Node::usual().await;
    let entry = |(id, raw): (u64, String)| json!({ "jsonrpc": "2.0", "id": id, "method": "eth_sendRawTransaction", "params": [raw] });
    let mut raws: Vec<String> = (0..100).map(|nonce| transfer(0, nonce).to_string()).collect();
    raws[50] = "0x00".to_owned();
    let batch: Vec<Value> = (0..).zip(raws.clone()).map(entry).collect();
    let answers: Vec<Value> = serde_json::from_str(&node.post(&json!(batch).to_string()).await).unwrap();
    assert_eq!(answers.len(), 100);
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer["id"], json!(index));
        if index == 50 {
            assert_eq!(answer["error"]["code"], -32000);
        } else {
            assert_eq!(answer["result"], json!(keccak256(alloy_primitives::hex::decode(&raws[index]).unwrap())));
        }
    }
    // What follows the gap is queued.
    assert_eq!(node.call("txpool_status", json!([])).await, json!({ "pending": "0x32", "queued": "0x31" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_can_wait_for_the_receipt() {
    let node = Node::usual().await;
    let sent = node.call("eth_sendRawTransactionSync", json!([transfer(0, 0), 10_000]));
    let mined = async {
        let mut status = json!({});
        while status["pending"] != "0x1" {
            status = node.call("txpool_status", json!([])).await;
        }
        node.chain.mine()
    };
    let (receipt, block) = tokio::join!(sent, mined);
    assert_eq!((&receipt["blockHash"], &receipt["status"]), (&json!(block), &json!("0x1")));

    let raw = transfer(0, 1);
    let error = node.try_call("eth_sendRawTransactionSync", json!([raw, 50])).await.unwrap_err();
    assert_eq!((&error["code"], &error["data"]), (&json!(4), &json!(keccak256(&raw))));
}

#[tokio::test(flavor = "multi_thread")]
async fn fees_are_suggested_and_told() {
    let node = Node::usual().await;
    for nonce in 0..3 {
        node.call("eth_sendRawTransaction", json!([transfer(0, nonce)])).await;
        node.chain.mine();
    }
    let history = node.call("eth_feeHistory", json!(["0x2", "latest", [0, 50.5, 100]])).await;
    assert_eq!(history["oldestBlock"], "0x2");
    assert_eq!(history["baseFeePerGas"].as_array().map(Vec::len), Some(3));
    assert_eq!(history["gasUsedRatio"].as_array().map(Vec::len), Some(2));
    assert_eq!(history["reward"], json!([["0x1", "0x1", "0x1"], ["0x1", "0x1", "0x1"]]));
    let base_fee = node.call("eth_baseFee", json!([])).await;
    assert_eq!(history["baseFeePerGas"][2], base_fee);
    // While the base fee falls, the price is one that calls at the head can pay.
    let head = node.call("eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(node.call("eth_gasPrice", json!([])).await, head["baseFeePerGas"]);
    assert_eq!(node.call("eth_maxPriorityFeePerGas", json!([])).await, "0x0");
    node.call("miner_setGasPrice", json!(["0x5"])).await;
    assert_eq!(node.call("eth_maxPriorityFeePerGas", json!([])).await, "0x5");
    let (_, words) = node.refusal("eth_feeHistory", json!([1, "0x9", []])).await;
    assert_eq!(words, "request beyond head block: requested 9, head 3");
    let whole = node.call("eth_feeHistory", json!(["0x400", "latest"])).await;
    assert_eq!((&whole["oldestBlock"], whole["gasUsedRatio"].as_array().map(Vec::len)), (&json!("0x0"), Some(4)));
}
