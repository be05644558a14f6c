//! `eth_call` and `eth_estimateGas`.

use alloy_primitives::{Address, Bytes, U256, hex};
use serde_json::{Value, json};

use crate::node::{Node, account};

/// Returns storage slot 0.
const READS_SLOT: &str = "5f545f5260205ff3";
/// Returns the block number.
const READS_NUMBER: &str = "435f5260205ff3";
/// Runs until the gas is used up.
const LOOPS: &str = "5b5f56";
/// An invalid instruction.
const INVALID: &str = "fe";

/// A contract that reverts with `data`: CODECOPY of what follows the code, REVERT.
fn reverts_with(data: &[u8]) -> String {
    let length = u8::try_from(data.len()).unwrap();
    hex::encode([&[0x60, length, 0x60, 10, 0x5f, 0x39, 0x60, length, 0x5f, 0xfd][..], data].concat())
}

fn error_string(text: &str) -> Vec<u8> {
    let mut data = vec![0x08, 0xc3, 0x79, 0xa0];
    data.extend(U256::from(32).to_be_bytes::<32>());
    data.extend(U256::from(text.len()).to_be_bytes::<32>());
    let mut padded = text.as_bytes().to_vec();
    padded.resize(text.len().next_multiple_of(32), 0);
    data.extend(padded);
    data
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_is_code_3_with_its_reason_and_data() {
    let node = Node::usual().await;
    let panic = [&[0x4e, 0x48, 0x7b, 0x71][..], &U256::from(0x11).to_be_bytes::<32>()].concat();
    let cases = [
        (error_string("not the owner"), "execution reverted: not the owner"),
        (panic, "execution reverted: arithmetic underflow or overflow"),
        (vec![1, 2, 3, 4], "execution reverted"),
        (vec![], "execution reverted"),
    ];
    for (data, words) in cases {
        let contract = node.deploy(&reverts_with(&data)).await;
        for method in ["eth_call", "eth_estimateGas"] {
            let error = node.try_call(method, json!([{ "to": contract }])).await.unwrap_err();
            assert_eq!((&error["code"], &error["message"]), (&json!(3), &json!(words)), "{method}");
            assert_eq!(error["data"], json!(hex::encode_prefixed(&data)), "{method}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_ends_badly_says_how() {
    let node = Node::usual().await;
    let invalid = node.deploy(INVALID).await;
    let (code, words) = node.refusal("eth_call", json!([{ "to": invalid }])).await;
    assert!(code == -32000 && words.contains("invalid opcode"), "{words}");
    let loops = node.deploy(LOOPS).await;
    let (code, words) = node.refusal("eth_call", json!([{ "to": loops, "gas": "0x186a0" }])).await;
    assert!(code == -32000 && words.contains("out of gas"), "{words}");
    let (code, words) = node.refusal("eth_estimateGas", json!([{ "to": loops, "gas": "0x186a0" }])).await;
    assert!(code == -32000 && words.contains("gas required exceeds allowance"), "{words}");
    let (code, words) = node.refusal("eth_call", json!([{ "to": loops }, "0x99"])).await;
    assert_eq!((code, words.as_str()), (-32000, "header not found"));
    let both = json!([{ "to": loops, "data": "0x01", "input": "0x02" }]);
    assert!(node.refusal("eth_call", both).await.1.starts_with("both \"data\" and \"input\" are set and not equal"));
    assert_eq!(node.refusal("eth_call", json!([])).await.1, "missing value for required argument 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_sees_the_state_of_its_block_and_its_overrides() {
    let node = Node::usual().await;
    let slot = node.deploy(READS_SLOT).await;
    let number = node.deploy(READS_NUMBER).await;
    let word = |value: u64| json!(hex::encode_prefixed(U256::from(value).to_be_bytes::<32>()));
    let to = |address: Address| json!({ "to": address });
    assert_eq!(node.call("eth_call", json!([to(slot), "latest"])).await, word(0));
    assert_eq!(node.call("eth_call", json!([to(slot), "earliest"])).await, json!("0x"));
    let diff = json!({ slot.to_string(): { "stateDiff": { hex::encode_prefixed([0; 32]): hex::encode_prefixed(U256::from(7).to_be_bytes::<32>()) } } });
    assert_eq!(node.call("eth_call", json!([to(slot), "latest", diff])).await, word(7));
    assert_eq!(node.call("eth_getStorageAt", json!([slot, "0x0"])).await, word(0));
    let code =
        json!({ Address::repeat_byte(5).to_string(): { "code": Bytes::from(hex::decode(READS_NUMBER).unwrap()) } });
    assert_eq!(node.call("eth_call", json!([to(Address::repeat_byte(5)), "latest", code])).await, word(2));
    for (block, expected) in [("latest", 2), ("0x2", 2), ("pending", 3)] {
        assert_eq!(node.call("eth_call", json!([to(number), block])).await, word(expected), "{block}");
    }
    let overridden = json!([to(number), "latest", Value::Null, { "number": "0x63" }]);
    assert_eq!(node.call("eth_call", overridden).await, word(99));
    assert_eq!(node.call("eth_getCode", json!([slot, "latest"])).await, json!(format!("0x{READS_SLOT}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn gas_is_estimated() {
    let node = Node::usual().await;
    let transfer = json!([{ "from": account(0), "to": Address::repeat_byte(9), "value": "0x1" }]);
    assert_eq!(node.call("eth_estimateGas", transfer).await, "0x5208");
    let poor = json!([{ "from": account(1), "to": Address::repeat_byte(9), "value": "0xffffffffffffffffffff" }]);
    let (code, words) = node.refusal("eth_estimateGas", poor).await;
    assert!(code == -32000 && words.contains("insufficient funds"), "{words}");
}
