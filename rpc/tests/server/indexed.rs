//! Accounts and contracts page by page: with an index and without one, which finds the same but for what only logs tell.

use alloy_primitives::{Address, B256, U256, hex};
use serde_json::{Value, json};

use crate::node::{Chain, Node, account, transfer};

/// A token: whoever calls it with an address and an amount emits `Transfer(caller, address, amount)`.
const TOKEN: &str = "602060205f375f35337fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef60205fa300";
const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

async fn send_token(node: &Node, token: Address, to: Address, amount: u64) -> Value {
    let data = [to.into_word().0, U256::from(amount).to_be_bytes::<32>()].concat();
    let request = json!([{ "from": account(0), "to": token, "data": hex::encode_prefixed(data) }]);
    let hash = node.call("eth_sendTransaction", request).await;
    node.chain.mine();
    hash
}

/// Follows a list to its end, and returns its items.
async fn all_pages(node: &Node, method: &str, what: Value, limit: usize) -> Vec<Value> {
    let mut items = Vec::new();
    let mut before = Value::Null;
    loop {
        let mut page = node.call(method, json!([what, { "before": before, "limit": limit }])).await;
        let found = page["items"].as_array().unwrap();
        assert!(found.len() <= limit, "{page}");
        items.extend(found.iter().cloned());
        before = page["next"].take();
        if before.is_null() {
            return items;
        }
    }
}

fn of<'a>(items: &'a [Value], field: &str) -> Vec<&'a Value> {
    items.iter().map(|item| &item[field]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accounts_page_lists_what_it_took_part_in() {
    for (node, is_indexed) in Node::without_and_with_index().await.into_iter().zip([false, true]) {
        let token = node.deploy(TOKEN).await;
        let holder = Address::repeat_byte(0x66);
        let first = send_token(&node, token, holder, 5).await;
        let second = send_token(&node, token, holder, 7).await;
        let raw = transfer(1, 0);
        let paid = node.call("eth_sendRawTransaction", json!([raw])).await;
        node.chain.mine();

        let status = node.call("drawbridge_status", json!([])).await;
        assert_eq!(status["indexes"]["on"], json!(is_indexed));
        let page = node.call("drawbridge_addressTransactions", json!([account(0)])).await;
        assert_eq!((&page["indexed"], &page["next"]), (&json!(is_indexed), &Value::Null));
        let sent = page["items"].as_array().unwrap();
        assert_eq!(of(sent, "blockNumber"), [&json!("0x3"), &json!("0x2"), &json!("0x1")]);
        let creation = &sent[2];
        assert_eq!((&creation["contractAddress"], &creation["to"]), (&json!(token), &Value::Null));
        assert_eq!((&creation["method"], &sent[0]["method"]), (&Value::Null, &json!("0x00000000")));
        let receipt = node.call("eth_getTransactionReceipt", json!([second])).await;
        for field in ["gasUsed", "status", "from", "to", "blockHash", "transactionIndex"] {
            assert_eq!(sent[0][field], receipt[field], "{field}");
        }
        assert_eq!(all_pages(&node, "drawbridge_addressTransactions", json!(account(0)), 1).await, *sent);
        let older = node.call("drawbridge_addressTransactions", json!([account(0), { "before": "0x2" }])).await;
        assert_eq!(older["items"], json!([creation]));

        let of_contract = all_pages(&node, "drawbridge_addressTransactions", json!(token), 2).await;
        assert_eq!(of(&of_contract, "hash")[..2], [&second, &first]);
        assert_eq!(of_contract[2]["roles"], json!(["created"]));
        let received = all_pages(&node, "drawbridge_addressTransactions", json!(Address::repeat_byte(0x77)), 9).await;
        assert_eq!((of(&received, "hash"), &received[0]["roles"]), (vec![&paid], &json!(["recipient"])));
        let held = all_pages(&node, "drawbridge_addressTransactions", json!(holder), 9).await;
        assert_eq!(held.len(), if is_indexed { 2 } else { 0 }, "only logs tell of the holder");
        let stranger = all_pages(&node, "drawbridge_addressTransactions", json!(Address::repeat_byte(1)), 9).await;
        assert!(stranger.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contracts_page_lists_its_events_and_an_accounts_its_tokens() {
    for node in Node::without_and_with_index().await {
        let (token, other) = (node.deploy(TOKEN).await, node.deploy(TOKEN).await);
        let holder = Address::repeat_byte(0x66);
        send_token(&node, token, holder, 5).await;
        send_token(&node, other, holder, 6).await;
        send_token(&node, token, Address::repeat_byte(0x67), 7).await;
        send_token(&node, token, account(0), 8).await;

        let transfers = all_pages(&node, "drawbridge_tokenTransfers", json!(holder), 1).await;
        assert_eq!(of(&transfers, "value"), [&json!("0x6"), &json!("0x5")]);
        assert_eq!(of(&transfers, "token"), [&json!(other), &json!(token)]);
        assert_eq!((&transfers[0]["kind"], &transfers[0]["to"]), (&json!("erc20"), &json!(holder)));
        let own = all_pages(&node, "drawbridge_tokenTransfers", json!(account(0)), 3).await;
        assert_eq!(of(&own, "value"), [&json!("0x8"), &json!("0x7"), &json!("0x6"), &json!("0x5")], "to itself: once");

        let logs = node.call("eth_getLogs", json!([{ "address": token, "fromBlock": "0x0" }])).await;
        let mut expected = of(logs.as_array().unwrap(), "transactionHash");
        expected.reverse();
        for query in [
            json!({ "address": token }),
            json!({ "address": token, "topics": [TRANSFER] }),
            json!({ "address": [token], "topics": [[TRANSFER, B256::ZERO]] }),
            json!({ "address": token, "topics": [TRANSFER, account(0).into_word()] }),
        ] {
            let found = all_pages(&node, "drawbridge_events", query.clone(), 2).await;
            assert_eq!(of(&found, "transactionHash"), expected, "{query}");
            assert!(found[0]["timestamp"].is_string() && found[0]["removed"] == json!(false));
        }
        let both = all_pages(&node, "drawbridge_events", json!({ "address": [other, token] }), 2).await;
        let everywhere = all_pages(&node, "drawbridge_events", json!({ "topics": [TRANSFER] }), 3).await;
        assert_eq!((both.len(), &everywhere), (4, &both));
        let to_holder = json!({ "topics": [TRANSFER, null, holder.into_word()] });
        assert_eq!(all_pages(&node, "drawbridge_events", to_holder, 9).await.len(), 2);
        let none = json!({ "address": token, "topics": [B256::ZERO] });
        assert!(all_pages(&node, "drawbridge_events", none, 9).await.is_empty());
        for (params, words) in [
            (json!([{}]), "an address or a first topic is needed"),
            (json!([{ "address": token, "fromBlock": "0x1" }]), "takes address and topics"),
            (json!([{ "address": vec![token; 9] }]), "too many addresses"),
            (json!([{ "address": token }, { "before": "x" }]), "NUMBER:INDEX"),
            (json!([{ "address": token }, { "after": "0x1" }]), "unknown field"),
        ] {
            let (code, message) = node.refusal("drawbridge_events", params).await;
            assert!(code == -32602 && message.contains(words), "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reorganisation_drops_leaves_the_pages() {
    let [_, node] = Node::without_and_with_index().await;
    let other = Chain::open();
    for _ in 0..3 {
        other.mine_for(Address::repeat_byte(1));
    }
    let token = node.deploy(TOKEN).await;
    send_token(&node, token, Address::repeat_byte(0x66), 5).await;
    assert_eq!(all_pages(&node, "drawbridge_events", json!({ "address": token }), 9).await.len(), 1);
    node.chain.import_from(&other);
    assert!(all_pages(&node, "drawbridge_events", json!({ "address": token }), 9).await.is_empty());
    assert!(all_pages(&node, "drawbridge_addressTransactions", json!(account(0)), 9).await.is_empty());
    let page = node.call("drawbridge_addressTransactions", json!([account(0)])).await;
    assert_eq!(page["indexed"], json!(true));
}
