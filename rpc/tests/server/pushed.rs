//! Subscriptions over WebSocket.

use alloy_primitives::{Address, B256, keccak256};
use jsonrpsee_core::client::{ClientT, Subscription, SubscriptionClientT};
use jsonrpsee_core::params::ArrayParams;
use jsonrpsee_ws_client::{WsClient, WsClientBuilder};
use serde_json::{Value, json};

use crate::node::{Chain, Node, account, transfer};

/// Emits a log without data whose topic is the call's first word.
const EMITS: &str = "5f355f5fa100";

async fn connect(node: &Node) -> WsClient {
    WsClientBuilder::default().build(format!("ws://{}", node.server.ws_addr.unwrap())).await.unwrap()
}

async fn subscribe(client: &WsClient, params: Value) -> Subscription<Value> {
    let mut array = ArrayParams::new();
    for param in params.as_array().unwrap() {
        array.insert(param).unwrap();
    }
    client.subscribe("eth_subscribe", array, "eth_unsubscribe").await.unwrap()
}

async fn next(subscription: &mut Subscription<Value>) -> Value {
    subscription.next().await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_port_serves_both() {
    let node = Node::usual().await;
    assert_eq!(node.server.http_addr, node.server.ws_addr);
    let client = connect(&node).await;
    let id: Value = client.request("eth_chainId", ArrayParams::new()).await.unwrap();
    assert_eq!((id, node.call("eth_chainId", json!([])).await), (json!("0x539"), json!("0x539")));
    let error = client.request::<Value, _>("eth_foo", ArrayParams::new()).await.unwrap_err().to_string();
    assert!(error.contains("the method eth_foo does not exist/is not available"), "{error}");
    let error = client.subscribe::<Value, _>("eth_subscribe", ["nothing"], "eth_unsubscribe").await.err().unwrap();
    assert!(
        error.to_string().contains("no \\\"nothing\\\" subscription in eth namespace")
            || error.to_string().contains("no \"nothing\" subscription"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn new_heads_and_transactions_are_pushed() {
    let node = Node::usual().await;
    let client = connect(&node).await;
    let mut heads = subscribe(&client, json!(["newHeads"])).await;
    let mut blocks = subscribe(&client, json!(["newHeads", { "includeTransactions": true }])).await;
    let mut hashes = subscribe(&client, json!(["newPendingTransactions"])).await;
    let mut whole = subscribe(&client, json!(["newPendingTransactions", true])).await;
    let raw = transfer(0, 0);
    node.call("eth_sendRawTransaction", json!([raw])).await;
    assert_eq!(next(&mut hashes).await, json!(keccak256(&raw)));
    assert_eq!(next(&mut whole).await["from"], json!(account(0)));
    let mined = node.chain.mine();
    let head = next(&mut heads).await;
    assert_eq!((&head["hash"], &head["number"]), (&json!(mined), &json!("0x1")));
    let block = next(&mut blocks).await;
    assert_eq!(block, node.call("eth_getBlockByNumber", json!(["latest", true])).await);
    assert_eq!(block["transactions"][0]["from"], json!(account(0)));
    for field in ["parentHash", "timestamp", "nonce", "difficulty", "gasLimit", "logsBloom", "baseFeePerGas"] {
        assert!(head[field].is_string(), "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_pushes_the_new_branch_and_removed_logs() {
    let node = Node::usual().await;
    let other = Chain::open();
    let branch: Vec<B256> = (0..3).map(|_| other.mine_for(Address::repeat_byte(1))).collect();
    let contract = node.deploy(EMITS).await;
    let client = connect(&node).await;
    let mut logs = subscribe(&client, json!(["logs", { "address": contract }])).await;
    let topic = B256::repeat_byte(5);
    node.call("eth_sendTransaction", json!([{ "from": account(0), "to": contract, "data": topic }])).await;
    let mined = node.chain.mine();
    let log = next(&mut logs).await;
    assert_eq!((&log["topics"], &log["blockHash"]), (&json!([topic]), &json!(mined)));
    assert_eq!(log["removed"], false);

    let mut heads = subscribe(&client, json!(["newHeads"])).await;
    let mut moves = subscribe(&client, json!(["reorg"])).await;
    node.chain.import_from(&other);
    for expected in branch {
        assert_eq!(next(&mut heads).await["hash"], json!(expected));
    }
    let removed = next(&mut logs).await;
    assert_eq!((&removed["blockHash"], &removed["removed"]), (&json!(mined), &json!(true)));
    let moved = next(&mut moves).await;
    assert_eq!((&moved["depth"], &moved["ancestor"]), (&json!("0x2"), &json!("0x0")));
    assert_eq!(moved["dropped"][0], json!({"number": "0x2", "hash": mined}));
    let added: Vec<_> = moved["added"].as_array().unwrap().iter().map(|block| block["hash"].clone()).collect();
    assert_eq!(added.len(), 3);
    assert_eq!(moved["transactions"].as_array().unwrap().len(), 2, "the deployment and the call go back to the pool");
}

#[tokio::test(flavor = "multi_thread")]
async fn peer_events_have_a_door_of_their_own() {
    let node = Node::usual().await;
    let client = connect(&node).await;
    let mut events =
        client.subscribe::<Value, _>("admin_subscribe", ["peerEvents"], "admin_unsubscribe").await.unwrap();
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), events.next()).await.is_err());
    let error = client.subscribe::<Value, _>("admin_subscribe", ["newHeads"], "admin_unsubscribe").await.err().unwrap();
    assert!(error.to_string().contains("subscription in admin namespace"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_runs_alone_says_so() {
    let node = Node::usual().await;
    assert_eq!(node.call("admin_peers", json!([])).await, json!([]));
    assert_eq!(node.call("net_peerCount", json!([])).await, json!("0x0"));
    assert_eq!(node.call("net_listening", json!([])).await, json!(true));
    assert_eq!(node.call("eth_syncing", json!([])).await, json!(false));
    assert_eq!(node.call("admin_datadir", json!([])).await, json!("/nowhere"));
    let info = node.call("admin_nodeInfo", json!([])).await;
    assert_eq!((&info["name"], &info["enode"]), (&json!("Drawbridge/test"), &json!("")));
    assert_eq!(info["protocols"]["eth"]["network"], json!(4242));
    for (method, params, words) in [
        ("admin_addPeer", json!(["/ip4/10.0.0.7/tcp/1/p2p/x"]), "runs alone"),
        ("perm_getNodesAllowlist", json!([]), "Node allowlist has not been enabled"),
        ("perm_addAccountsToAllowlist", json!([[account(0)]]), "Account allowlist has not been enabled"),
        ("perm_reloadPermissionsFromFile", json!([]), "Node/Account allowlist has not been enabled"),
    ] {
        let (code, message) = node.refusal(method, params).await;
        assert!(code == -32000 && message.contains(words), "{method}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_ends_when_asked() {
    let node = Node::usual().await;
    let client = connect(&node).await;
    let heads = subscribe(&client, json!(["newHeads"])).await;
    heads.unsubscribe().await.unwrap();
    let mut syncing = subscribe(&client, json!(["syncing"])).await;
    let mut again = subscribe(&client, json!(["newHeads"])).await;
    let mined = node.chain.mine();
    assert_eq!(next(&mut again).await["hash"], json!(mined));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), syncing.next()).await.is_err());
}

/// Applies what a cursor subscription pushes to the list of logs that a client holds.
fn apply(held: &mut Vec<(Value, Value)>, log: &Value) {
    let place = (log["blockHash"].clone(), log["logIndex"].clone());
    if log["removed"] == true {
        assert_eq!(held.pop(), Some(place), "removals come newest first");
    } else {
        held.push(place);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_gives_exactly_what_was_missed_across_a_reorganisation() {
    let node = Node::usual().await;
    let other = Chain::open();
    for _ in 0..5 {
        other.mine_for(Address::repeat_byte(1));
    }
    let contract = node.deploy(EMITS).await;
    let emit = |nonce: u64| json!([{ "from": account(0), "to": contract, "data": B256::repeat_byte(5), "nonce": format!("{nonce:#x}") }]);
    let client = connect(&node).await;
    let mut logs = subscribe(&client, json!(["logs", { "address": contract, "cursor": null }])).await;
    let mut held = Vec::new();
    for nonce in [1, 2] {
        node.call("eth_sendTransaction", emit(nonce)).await;
    }
    node.chain.mine();
    // The client goes away in the middle of a block.
    let log = next(&mut logs).await;
    apply(&mut held, &log);
    let cursor = log["cursor"].clone();
    drop(client);

    node.call("eth_sendTransaction", emit(3)).await;
    node.chain.mine();
    let client = connect(&node).await;
    let mut logs = subscribe(&client, json!(["logs", { "address": contract, "cursor": cursor }])).await;
    let mut last = Value::Null;
    for _ in 0..2 {
        last = next(&mut logs).await;
        apply(&mut held, &last);
    }
    assert_eq!(held.len(), 3);
    drop(client);

    // While it is away all three leave the chain.
    node.chain.import_from(&other);
    let client = connect(&node).await;
    let mut logs = subscribe(&client, json!(["logs", { "address": contract, "cursor": last["cursor"] }])).await;
    for _ in 0..3 {
        apply(&mut held, &next(&mut logs).await);
    }
    assert_eq!(held, []);
    let refused = client.subscribe::<Value, _>(
        "eth_subscribe",
        {
            let mut array = ArrayParams::new();
            array.insert("newHeads").unwrap();
            array.insert(json!({ "cursor": B256::ZERO })).unwrap();
            array
        },
        "eth_unsubscribe",
    );
    let error = refused.await.err().unwrap().to_string();
    assert!(error.contains("unknown cursor"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_by_cursor_take_back_what_left() {
    let node = Node::usual().await;
    let other = Chain::open();
    let branch: Vec<B256> = (0..3).map(|_| other.mine_for(Address::repeat_byte(1))).collect();
    let [first, second] = [node.chain.mine(), node.chain.mine()];
    let client = connect(&node).await;
    let genesis = node.call("eth_getBlockByNumber", json!(["0x0", false])).await["hash"].clone();
    let mut heads = subscribe(&client, json!(["newHeads", { "cursor": genesis }])).await;
    let mut moves = subscribe(&client, json!(["reorg"])).await;
    for expected in [first, second] {
        assert_eq!(next(&mut heads).await["hash"], json!(expected));
    }
    node.chain.import_from(&other);
    let mut seen = Vec::new();
    for _ in 0..5 {
        let head = next(&mut heads).await;
        seen.push((head["hash"].clone(), head["removed"] == true));
    }
    let mut expected = vec![(json!(second), true), (json!(first), true)];
    expected.extend(branch.iter().map(|hash| (json!(hash), false)));
    assert_eq!(seen, expected);
    let moved = next(&mut moves).await;
    assert_eq!((&moved["depth"], &moved["ancestor"]), (&json!("0x2"), &json!("0x0")));
    assert_eq!(moved["dropped"][0], json!({ "number": "0x2", "hash": second }));
    assert_eq!(moved["added"].as_array().map(Vec::len), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_pushed_for_the_transactions_named() {
    let node = Node::usual().await;
    let client = connect(&node).await;
    let raw = [transfer(0, 0), transfer(0, 1)];
    let wanted = keccak256(&raw[1]);
    let mut all = subscribe(&client, json!(["transactionReceipts"])).await;
    let mut one = subscribe(&client, json!(["transactionReceipts", { "transactionHashes": [wanted] }])).await;
    for raw in &raw {
        node.call("eth_sendRawTransaction", json!([raw])).await;
    }
    node.chain.mine();
    assert_eq!(next(&mut all).await.as_array().map(Vec::len), Some(2));
    let receipts = next(&mut one).await;
    assert_eq!((receipts.as_array().map(Vec::len), &receipts[0]["transactionHash"]), (Some(1), &json!(wanted)));
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_leave_the_pool_are_pushed() {
    let node = Node::usual().await;
    let client = connect(&node).await;
    let mut dropped = subscribe(&client, json!(["droppedPendingTransactions"])).await;
    let hash = node.call("eth_sendRawTransaction", json!([transfer(0, 0)])).await;
    assert_eq!(node.call("txpool_drop", json!([hash])).await, true);
    assert_eq!(next(&mut dropped).await, hash);
}
