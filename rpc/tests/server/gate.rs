//! The gate from outside: keys in path and header, over HTTP and WebSocket.

use jsonrpsee_core::client::ClientT;
use jsonrpsee_core::params::ArrayParams;
use jsonrpsee_ws_client::WsClientBuilder;
use rpc::{Gate, RpcConfig};
use serde_json::{Value, json};

use crate::node::{Node, config, exchange, http_request};

const KEY: &str = "0123456789abcdef0123456789abcdef";

async fn gated() -> Node {
    let list = json!({"keys": [{
        "name": "dock-1",
        "key": KEY,
        "methods": ["eth_chainId", "eth_call"],
        "calls": [{"to": "*", "functions": ["verifyOwnership(address)"]}],
    }]});
    Node::start(RpcConfig { gate: Some(Gate::read(&list.to_string()).unwrap()), ..config() }).await
}

fn body(method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_without_a_key_but_health_checks() {
    let node = gated().await;
    let post = |headers: &str| http_request("POST", "localhost", headers, &body("eth_chainId", &json!([])));
    for (request, status) in [
        (post(""), "401"),
        (post("x-api-key: wrong\r\n"), "401"),
        (post("authorization: Bearer \r\n"), "401"),
        (post(&format!("x-api-key: {KEY}\r\n")), "200"),
        (post(&format!("authorization: Bearer {KEY}\r\n")), "200"),
        (post("").replacen("POST / ", &format!("POST /{KEY} "), 1), "200"),
        (post("").replacen("POST / ", "POST /wrong ", 1), "401"),
        (http_request("GET", "localhost", "", ""), "200"),
    ] {
        let (head, text) = exchange(node.addr(), &request).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {head}");
        assert_eq!(text.contains("0x539"), status == "200" && request.starts_with("POST"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_allows_its_methods_and_calls_alone_in_batches_too() {
    let node = gated().await;
    let ask = async |body: &str| {
        let request = http_request("POST", "localhost", &format!("x-api-key: {KEY}\r\n"), body);
        serde_json::from_str::<Value>(&exchange(node.addr(), &request).await.1).unwrap()
    };
    let call = |data: &str| json!([{"to": "0x5fbdb2315678afecb367f032d93f642f64180aa3", "data": data}, "latest"]);
    assert_eq!(ask(&body("eth_call", &call("0x2cc9c151"))).await["result"], "0x");
    let denied = ask(&body("eth_call", &call("0xa6f2ae3a"))).await;
    assert!(denied["error"]["message"].as_str().unwrap().contains("does not allow this call"), "{denied}");
    assert_eq!(ask(&body("eth_blockNumber", &json!([]))).await["error"]["code"], -32601);
    let batch = [
        body("eth_chainId", &json!([])),
        body("eth_sendRawTransaction", &json!(["0x"])),
        body("eth_call", &call("0xa6f2ae3a")),
        body("eth_chainId", &json!([])),
    ];
    let answers = ask(&format!("[{}]", batch.join(","))).await;
    let worked: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer.get("result").is_some()).collect();
    assert_eq!(worked, [true, false, false, true], "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_show_their_key_in_the_path() {
    let node = gated().await;
    let connect = async |path: &str| WsClientBuilder::default().build(format!("ws://{}/{path}", node.addr())).await;
    assert!(connect("").await.is_err());
    assert!(connect("wrong").await.is_err());
    let client = connect(KEY).await.unwrap();
    let ask = async |method: &str| client.request::<String, _>(method, ArrayParams::new()).await;
    assert_eq!(ask("eth_chainId").await.unwrap(), "0x539");
    assert!(ask("eth_blockNumber").await.is_err());
    assert!(ask("eth_subscribe").await.is_err());
}
