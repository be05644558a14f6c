//! The node's own accounts, and its miner's switch.

use alloy_primitives::{Address, U256};
use consensus::TypedData;
use rpc::RpcConfig;
use serde_json::{Value, json};

use crate::node::{Node, account, config, key};

#[tokio::test(flavor = "multi_thread")]
async fn an_unlocked_account_sends() {
    let node = Node::usual().await;
    let to = Address::repeat_byte(9);
    for index in 0..3_u64 {
        let request = json!([{ "from": account(0), "to": to, "value": "0x1" }]);
        let hash = node.call("eth_sendTransaction", request).await;
        let tx = node.call("eth_getTransactionByHash", json!([hash])).await;
        assert_eq!((&tx["nonce"], &tx["gas"]), (&json!(format!("{index:#x}")), &json!("0x5208")));
        assert_eq!((&tx["type"], &tx["chainId"]), (&json!("0x2"), &json!("0x539")));
    }
    let legacy = json!([{ "from": account(0), "to": to, "gasPrice": "0x77359400" }]);
    let hash = node.call("eth_sendTransaction", legacy).await;
    assert_eq!(node.call("eth_getTransactionByHash", json!([hash])).await["type"], "0x0");
    node.chain.mine();
    assert_eq!(node.call("eth_getBalance", json!([to, "latest"])).await, "0x3");
    assert_eq!(node.call("eth_getTransactionCount", json!([account(0), "latest"])).await, "0x4");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_refused_in_geths_words() {
    let node = Node::usual().await;
    let to = Address::repeat_byte(9);
    let cases = [
        (json!({ "from": account(1), "to": to }), "unknown account"),
        (json!({ "to": to }), "from not specified"),
        (json!({ "from": account(0) }), "contract creation without any data provided"),
        (
            json!({ "from": account(0), "to": to, "chainId": "0x1" }),
            "chainId does not match node's (have=1, want=1337)",
        ),
        (
            json!({ "from": account(0), "to": to, "gasPrice": "0x1", "maxFeePerGas": "0x1" }),
            "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified",
        ),
    ];
    for (request, words) in cases {
        assert_eq!(
            node.refusal("eth_sendTransaction", json!([request])).await,
            (-32000, words.to_owned()),
            "{request}"
        );
    }
    let rich = json!([{ "from": account(0), "to": to, "value": "0xffffffffffffffffff" }]);
    let (code, words) = node.refusal("eth_sendTransaction", rich).await;
    assert!(code == -32000 && words.contains("insufficient funds"), "{words}");
    node.call("personal_lockAccount", json!([account(0)])).await;
    let words = "authentication needed: password or unlock";
    let request = json!([{ "from": account(0), "to": to }]);
    assert_eq!(node.refusal("eth_sendTransaction", request).await, (-32000, words.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_open_accounts() {
    let node = Node::usual().await;
    let address = node.call("personal_newAccount", json!(["secret"])).await;
    let (_, words) = node.refusal("personal_unlockAccount", json!([address, "guess"])).await;
    assert_eq!(words, "could not decrypt key with given password");
    assert_eq!(node.refusal("eth_sign", json!([address, "0x00"])).await.1, "authentication needed: password or unlock");
    assert_eq!(node.call("personal_unlockAccount", json!([address, "secret", 30])).await, true);
    let signature = node.call("eth_sign", json!([address, "0xdeadbeef"])).await;
    assert_eq!(node.call("personal_ecRecover", json!(["0xdeadbeef", signature])).await, address);
    assert_eq!(node.call("personal_lockAccount", json!([address])).await, true);
    let by_password = node.call("personal_sign", json!(["0xdeadbeef", address, "secret"])).await;
    assert_eq!(by_password, signature);

    let raw_key = format!("{:x}", U256::from_be_bytes(key(1).to_secret_bytes()));
    let imported = node.call("personal_importRawKey", json!([raw_key, "pw"])).await;
    assert_eq!(imported, json!(account(1)));
    assert_eq!(node.refusal("personal_importRawKey", json!([raw_key, "pw"])).await.1, "account already exists");
    assert_eq!(node.call("personal_listAccounts", json!([])).await.as_array().map(Vec::len), Some(3));
    let request = json!({ "from": imported, "to": address, "value": "0x5" });
    let (_, words) = node.refusal("personal_sendTransaction", json!([request, "wrong"])).await;
    assert_eq!(words, "could not decrypt key with given password");
    node.call("personal_sendTransaction", json!([request, "pw"])).await;
    node.chain.mine();
    assert_eq!(node.call("eth_getBalance", json!([address, "latest"])).await, "0x5");
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_data_is_signed_as_an_object_and_as_text() {
    let node = Node::usual().await;
    let data = json!({
        "types": { "Door": [{ "name": "number", "type": "uint16" }, { "name": "buyer", "type": "address" }] },
        "primaryType": "Door",
        "domain": { "name": "Drawbridge", "chainId": 1337 },
        "message": { "number": 7, "buyer": account(1) },
    });
    let digest = TypedData::parse(data.clone()).unwrap().digest().unwrap();
    let expected = alloy_primitives::hex::encode_prefixed(consensus::crypto::sign(&key(0), digest).as_bytes());
    assert_eq!(node.call("eth_signTypedData_v4", json!([account(0), data])).await, expected);
    assert_eq!(node.call("eth_signTypedData_v4", json!([account(0), data.to_string()])).await, expected);
    let mut wrong = data.clone();
    wrong["message"]["number"] = json!(70_000);
    for (params, code, words) in [
        (json!([account(0), wrong]), -32602, "invalid argument 1: message.number: 70000 is no uint16"),
        (json!([account(0), "{"]), -32602, "invalid argument 1: EOF while parsing an object at line 1 column 1"),
        (json!([account(0)]), -32602, "missing value for required argument 1"),
        (json!([account(1), data]), -32000, "unknown account"),
    ] {
        assert_eq!(node.refusal("eth_signTypedData_v4", params).await, (code, words.to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unlocking_over_a_network_must_be_allowed() {
    let node = Node::start(RpcConfig { allow_insecure_unlock: false, ..config() }).await;
    let refusal = node.refusal("personal_unlockAccount", json!([account(0), "password", 1])).await;
    assert_eq!(refusal, (-32000, "account unlock with HTTP access is forbidden".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_and_sending_can_be_apart() {
    let node = Node::usual().await;
    let open = json!({ "from": account(0), "to": Address::repeat_byte(9), "value": "0x1" });
    assert_eq!(node.refusal("eth_signTransaction", json!([open])).await.1, "gas not specified");
    let filled = node.call("eth_fillTransaction", json!([open])).await["tx"].clone();
    let request = json!({
        "from": filled["from"], "to": filled["to"], "value": filled["value"], "nonce": filled["nonce"], "gas": filled["gas"],
        "maxFeePerGas": filled["maxFeePerGas"], "maxPriorityFeePerGas": filled["maxPriorityFeePerGas"],
    });
    let signed = node.call("eth_signTransaction", json!([request])).await;
    assert_eq!(node.call("eth_sendRawTransaction", json!([signed["raw"]])).await, signed["tx"]["hash"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_miner_obeys() {
    let node = Node::usual().await;
    assert_eq!(node.refusal("miner_start", json!([1])).await.1, "etherbase must be explicitly specified");
    assert_eq!(node.call("miner_setEtherbase", json!([account(1)])).await, true);
    assert_eq!(node.call("eth_coinbase", json!([])).await, json!(account(1)));
    assert_eq!(node.call("miner_start", json!([])).await, Value::Null);
    assert_eq!(node.call("eth_mining", json!([])).await, true);
    assert_eq!(node.call("miner_stop", json!([])).await, Value::Null);
    assert_eq!(node.call("eth_mining", json!([])).await, false);
    assert_eq!(node.call("miner_setExtra", json!(["hello"])).await, true);
    let (_, words) = node.refusal("miner_setExtra", json!(["x".repeat(33)])).await;
    assert_eq!(words, "extra exceeds max length. 33 > 32");
    assert_eq!(node.call("miner_setGasLimit", json!(["0x1c9c380"])).await, true);
}
