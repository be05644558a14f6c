//! What explorers and light clients ask for: `ots_*`, raw objects, ranges of the state, and proofs.

use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use alloy_trie::proof::verify_proof;
use alloy_trie::{Nibbles, TrieAccount};
use serde_json::{Value, json};

use crate::node::{Node, account, transfer};

/// Increments slot 0.
const COUNTS: &str = "5f546001015f5500";
/// Creates a contract of one byte with 3 wei, and sends 2 wei to 0x99.
const CREATES: &str = "6760005f5360015ff35f52600860186003f0505f5f5f5f600260995af15000";
/// Reverts with the byte 0x2a.
const REVERTS: &str = "602a5f5360015ffd";

async fn send(node: &Node, to: Address, value: &str) -> Value {
    let request = json!([{ "from": account(0), "to": to, "value": value, "gas": "0x30d40" }]);
    let hash = node.call("eth_sendTransaction", request).await;
    node.chain.mine();
    hash
}

#[tokio::test(flavor = "multi_thread")]
async fn otterscan_learns_what_it_asks() {
    let node = Node::usual().await;
    let creates = node.deploy(CREATES).await;
    let reverts = node.deploy(REVERTS).await;
    let hash = send(&node, creates, "0x5").await;
    let failed = send(&node, reverts, "0x0").await;
    assert_eq!(node.call("ots_getApiLevel", json!([])).await, json!(8));
    assert_eq!(node.call("erigon_getHeaderByNumber", json!([1])).await["number"], "0x1");
    assert_eq!(node.call("ots_hasCode", json!([creates, "latest"])).await, json!(true));
    assert_eq!(node.call("ots_hasCode", json!([account(0), "latest"])).await, json!(false));
    let created = creates.create(1);
    let inside = node.call("ots_getInternalOperations", json!([hash])).await;
    let target = Address::with_last_byte(0x99);
    let expected = json!([
        { "type": 2, "from": creates, "to": created, "value": "0x3" },
        { "type": 0, "from": creates, "to": target, "value": "0x2" },
    ]);
    assert_eq!(inside, expected);
    assert_eq!(node.call("ots_getTransactionError", json!([failed])).await, "0x2a");
    assert_eq!(node.call("ots_getTransactionError", json!([hash])).await, "0x");
    let lines = node.call("ots_traceTransaction", json!([hash])).await;
    let shown = |line: &Value| (line["type"].clone(), line["depth"].clone(), line["to"].clone());
    assert_eq!(shown(&lines[1]), (json!("CREATE"), json!(1), json!(created)));
    assert_eq!(shown(&lines[2]), (json!("CALL"), json!(1), json!(target)));
    let made = node.call("ots_getContractCreator", json!([created])).await;
    assert_eq!(made, json!({ "hash": hash, "creator": creates }));
    assert_eq!(node.call("ots_getContractCreator", json!([account(0)])).await, Value::Null);
    assert_eq!(node.call("ots_getTransactionBySenderAndNonce", json!([account(0), 2])).await, hash);
    assert_eq!(node.call("ots_getTransactionBySenderAndNonce", json!([account(0), 9])).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn otterscan_pages_through_blocks_and_addresses() {
    for node in Node::without_and_with_index().await {
        page_through(node).await;
    }
}

async fn page_through(node: Node) {
    let creates = node.deploy(CREATES).await;
    let mut hashes = Vec::new();
    for _ in 0..3 {
        hashes.push(send(&node, creates, "0x5").await);
    }
    let details = node.call("ots_getBlockDetails", json!(["latest"])).await;
    assert_eq!((&details["block"]["transactionCount"], &details["block"]["logsBloom"]), (&json!(1), &Value::Null));
    assert!(details["block"].get("transactions").is_none());
    let receipt = node.call("eth_getTransactionReceipt", json!([hashes[2]])).await;
    let number = |value: &Value| U256::from_str_radix(&value.as_str().unwrap()[2..], 16).unwrap();
    assert_eq!(number(&details["totalFees"]), number(&receipt["gasUsed"]) * number(&receipt["effectiveGasPrice"]));
    let by_hash = node.call("ots_getBlockDetailsByHash", json!([receipt["blockHash"]])).await;
    assert_eq!(by_hash, details);
    let page = node.call("ots_getBlockTransactions", json!(["latest", 0, 10])).await;
    assert_eq!(page["fullblock"]["transactions"][0]["hash"], hashes[2]);
    assert_eq!((&page["receipts"][0]["status"], &page["receipts"][0]["logs"]), (&json!("0x1"), &Value::Null));

    // The address that only gets money from inside is found, too.
    let inside = Address::with_last_byte(0x99);
    let listed = |page: &Value| page["txs"].as_array().unwrap().iter().map(|tx| tx["hash"].clone()).collect::<Vec<_>>();
    let newest = node.call("ots_searchTransactionsBefore", json!([inside, 0, 2])).await;
    assert_eq!(listed(&newest), [hashes[2].clone(), hashes[1].clone()]);
    assert_eq!((&newest["firstPage"], &newest["lastPage"]), (&json!(true), &json!(false)));
    assert!(newest["receipts"][0]["timestamp"].is_string());
    let block = &newest["txs"][1]["blockNumber"];
    let older = node.call("ots_searchTransactionsBefore", json!([inside, block, 2])).await;
    assert_eq!((listed(&older), &older["lastPage"]), (vec![hashes[0].clone()], &json!(true)));
    let oldest = node.call("ots_searchTransactionsAfter", json!([inside, 0, 2])).await;
    assert_eq!(listed(&oldest), [hashes[1].clone(), hashes[0].clone()]);
    assert_eq!((&oldest["firstPage"], &oldest["lastPage"]), (&json!(false), &json!(true)));
    let stranger = node.call("ots_searchTransactionsBefore", json!([Address::repeat_byte(0x55), 0, 5])).await;
    assert_eq!((listed(&stranger), &stranger["lastPage"]), (vec![], &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_objects_hash_to_their_names() {
    let node = Node::usual().await;
    let raw = transfer(0, 0);
    let hash = node.call("eth_sendRawTransaction", json!([raw])).await;
    let block_hash = node.chain.mine();
    let bytes = |value: Value| serde_json::from_value::<Bytes>(value).unwrap();
    for id in [json!("latest"), json!("0x1"), json!(block_hash)] {
        let header = bytes(node.call("debug_getRawHeader", json!([id])).await);
        assert_eq!(keccak256(&header), block_hash, "{id}");
        let block = bytes(node.call("debug_getRawBlock", json!([id])).await);
        assert!(block.windows(header.len()).any(|part| part == &header[..]), "{id}");
        let receipts = node.call("debug_getRawReceipts", json!([id])).await;
        assert_eq!(bytes(receipts[0].clone())[0], 2, "{id}");
    }
    assert_eq!(node.call("debug_getRawTransaction", json!([hash])).await, json!(raw));
    assert_eq!(node.call("debug_getBadBlocks", json!([])).await, json!([]));
    assert_eq!(node.refusal("debug_getRawHeader", json!(["0x99"])).await.1, "header not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_is_walked_in_parts() {
    let node = Node::usual().await;
    let counts = node.deploy(COUNTS).await;
    send(&node, counts, "0x0").await;
    let twice = json!([{ "from": account(0), "to": counts, "gas": "0x30d40" }]);
    for _ in 0..2 {
        node.call("eth_sendTransaction", twice.clone()).await;
    }
    node.chain.mine();
    let slot = B256::ZERO;
    let key = keccak256(slot);
    for (index, expected) in [(0, 1), (1, 2), (2, 3)] {
        let range = node.call("debug_storageRangeAt", json!(["latest", index, counts, "0x00", 10])).await;
        let entry = json!({ "key": slot, "value": B256::from(U256::from(expected)) });
        assert_eq!(range, json!({ "storage": { key.to_string(): entry }, "nextKey": null }), "{index}");
    }
    let parent = node.call("debug_storageRangeAt", json!(["0x2", 0, counts, "0x00", 10])).await;
    assert_eq!(parent, json!({ "storage": {}, "nextKey": null }));
    assert!(
        node.refusal("debug_storageRangeAt", json!(["latest", 9, counts, "0x00", 1])).await.1.contains("out of range")
    );

    let dump = node.call("debug_dumpBlock", json!(["latest"])).await;
    let accounts = dump["accounts"].as_object().unwrap();
    assert_eq!(accounts[&counts.to_string()]["storage"], json!({ key.to_string(): B256::from(U256::from(3)) }));
    let (mut listed, mut start) = (Vec::new(), json!("0x"));
    loop {
        let part = node.call("debug_accountRange", json!(["latest", start, 3, true, true])).await;
        listed.extend(part["accounts"].as_object().unwrap().keys().cloned());
        match part.get("next") {
            Some(next) => start = next.clone(),
            None => break,
        }
    }
    listed.sort();
    assert_eq!(listed, accounts.keys().cloned().collect::<Vec<_>>());
    let earlier = node.call("debug_dumpBlock", json!(["0x0"])).await;
    assert!(earlier["accounts"].get(counts.to_string()).is_none());
    let modified = node.call("debug_getModifiedAccountsByNumber", json!([2])).await;
    let modified: Vec<Address> = serde_json::from_value(modified).unwrap();
    assert!(modified.contains(&counts) && modified.contains(&account(0)) && !modified.contains(&account(1)));
    let header = |number: u64| node.call("eth_getBlockByNumber", json!([format!("{number:#x}"), false]));
    let (first, last) = (header(1).await["hash"].clone(), header(2).await["hash"].clone());
    let by_hash = node.call("debug_getModifiedAccountsByHash", json!([first, last])).await;
    assert_eq!(by_hash, json!(modified));
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_verify_at_every_block() {
    let node = Node::usual().await;
    let counts = node.deploy(COUNTS).await;
    for number in 0..4 {
        send(&node, counts, "0x0").await;
        // Others change, too, so that the trie's shape does.
        node.call(
            "eth_sendTransaction",
            json!([{ "from": account(0), "to": Address::repeat_byte(number), "value": "0x1" }]),
        )
        .await;
    }
    node.chain.mine();
    let head = node.chain.ledger.view().head().number;
    for number in 0..=head {
        let tag = format!("{number:#x}");
        let header = node.call("eth_getBlockByNumber", json!([tag, false])).await;
        let root: B256 = serde_json::from_value(header["stateRoot"].clone()).unwrap();
        for address in [counts, account(0), Address::repeat_byte(2), Address::repeat_byte(0x55)] {
            let proof = node.call("eth_getProof", json!([address, ["0x0", B256::with_last_byte(1)], tag])).await;
            check_account(root, address, &proof);
            let storage_root: B256 = serde_json::from_value(proof["storageHash"].clone()).unwrap();
            assert_eq!(
                (&proof["storageProof"][0]["key"], &proof["storageProof"][1]["key"]),
                (&json!("0x0"), &json!(B256::with_last_byte(1)))
            );
            for (slot, shown) in proof["storageProof"].as_array().unwrap().iter().enumerate() {
                check_slot(storage_root, U256::from(slot), shown);
            }
            let value = node.call("eth_getStorageAt", json!([address, "0x0", tag])).await;
            let value: U256 = B256::from_slice(&hex::decode(value.as_str().unwrap()).unwrap()).into();
            assert_eq!(proof["storageProof"][0]["value"], json!(value));
        }
    }
    let (code, words) = node.refusal("eth_getProof", json!([counts, vec!["0x0"; 1025]])).await;
    assert_eq!((code, words.as_str()), (-32602, "too many slots (max 1024)"));
}

fn nodes(list: &Value) -> Vec<Bytes> {
    serde_json::from_value(list.clone()).unwrap()
}

fn check_account(root: B256, address: Address, proof: &Value) {
    let code_hash: B256 = serde_json::from_value(proof["codeHash"].clone()).unwrap();
    let balance: U256 = serde_json::from_value(proof["balance"].clone()).unwrap();
    let nonce: u64 = serde_json::from_value::<alloy_primitives::U64>(proof["nonce"].clone()).unwrap().to();
    let storage_root = serde_json::from_value(proof["storageHash"].clone()).unwrap();
    let account = TrieAccount::new(nonce, balance, storage_root, code_hash);
    let exists = nonce > 0 || !balance.is_zero();
    let expected = exists.then(|| alloy_rlp::encode(account));
    let key = Nibbles::unpack(keccak256(address));
    verify_proof(root, key, expected, &nodes(&proof["accountProof"])).unwrap_or_else(|e| panic!("{address}: {e}"));
}

fn check_slot(root: B256, slot: U256, proof: &Value) {
    let value: U256 = serde_json::from_value(proof["value"].clone()).unwrap();
    let expected = (!value.is_zero()).then(|| alloy_rlp::encode(value));
    let key = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
    verify_proof(root, key, expected, &nodes(&proof["proof"])).unwrap_or_else(|e| panic!("{slot}: {e}"));
}
