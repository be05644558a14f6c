//! Transports: what gets in, what stays out, and in which words.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use rpc::{HttpConfig, RpcConfig, RpcLimits, ServeError, WsConfig, serve};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::node::{Node, config, exchange, http_request, result_of};

async fn answer(node: &Node, body: &str) -> Value {
    serde_json::from_str(&node.post(body).await).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_get_their_codes() {
    let node = Node::usual().await;
    let cases = [
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":", -32700),
        ("{}", -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1}", -32600),
        ("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"eth_chainId\"}", -32600),
        ("[]", -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\",\"params\":{}}", -32602),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_foo\"}", -32601),
    ];
    for (body, code) in cases {
        assert_eq!(answer(&node, body).await["error"]["code"], code, "{body}");
    }
    let (_, words) = node.refusal("eth_foo", json!([])).await;
    assert_eq!(words, "the method eth_foo does not exist/is not available");
    let (code, words) = node.refusal("db_putString", json!([])).await;
    assert_eq!((code, words.as_str()), (-32601, "the method db_putString does not exist/is not available"));
    let (code, words) = node.refusal("eth_subscribe", json!(["newHeads"])).await;
    assert_eq!((code, words.as_str()), (-32601, "notifications not supported"));
    let (code, words) = node.refusal("eth_chainId", json!([1])).await;
    assert_eq!((code, words.as_str()), (-32602, "too many arguments, want at most 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_mix_what_works_and_what_does_not() {
    let node = Node::usual().await;
    let body = json!([
        { "jsonrpc": "2.0", "id": "a", "method": "eth_chainId" },
        { "jsonrpc": "2.0", "id": 2, "method": "eth_foo", "params": [] },
        7,
        { "jsonrpc": "2.0", "method": "eth_chainId" },
        { "jsonrpc": "2.0", "id": 3, "method": "eth_getBlockByNumber", "params": ["latest", false] },
    ]);
    let answers = answer(&node, &body.to_string()).await;
    assert_eq!(answers.as_array().map(Vec::len), Some(4));
    assert_eq!((&answers[0]["id"], &answers[0]["result"]), (&json!("a"), &json!("0x539")));
    assert_eq!((&answers[1]["id"], &answers[1]["error"]["code"]), (&json!(2), &json!(-32601)));
    assert_eq!((&answers[2]["id"], &answers[2]["error"]["code"]), (&Value::Null, &json!(-32600)));
    assert_eq!((&answers[3]["id"], &answers[3]["result"]["number"]), (&json!(3), &json!("0x0")));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_kept() {
    let limits = RpcLimits { batch_items: 3, batch_response_bytes: 2000, body_bytes: 2000, ..RpcLimits::default() };
    let node = Node::start(RpcConfig { limits, ..config() }).await;
    let batch = |count: usize, method: &str| {
        json!(vec![json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": ["0x0", false] }); count]).to_string()
    };
    let refused = answer(&node, &batch(4, "eth_getBlockByNumber")).await;
    assert_eq!(refused["error"], json!({ "code": -32600, "message": "batch too large" }));
    // A block takes more than half of the answer's limit.
    let answers = answer(&node, &batch(3, "eth_getBlockByNumber")).await;
    assert!(answers[0]["result"].is_object(), "{answers}");
    for late in &answers.as_array().unwrap()[1..] {
        assert_eq!(late["error"], json!({ "code": -32003, "message": "response too large" }));
    }
    let long = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{}\"}}", "x".repeat(3000));
    let (head, _) = exchange(node.addr(), &http_request("POST", "localhost", "", &long)).await;
    assert!(head.starts_with("HTTP/1.1 413"), "{head}");
    let chunked = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        long.len()
    );
    let (head, _) = exchange(node.addr(), &chunked).await;
    assert!(head.starts_with("HTTP/1.1 413"), "{head}");
    assert_eq!(node.call("eth_chainId", json!([])).await, "0x539");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_answers_health_checks_and_refuses_strangers() {
    let node = Node::usual().await;
    let body = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\"}";
    let (head, text) = exchange(node.addr(), &http_request("GET", "localhost", "", "")).await;
    assert!(head.starts_with("HTTP/1.1 200") && text.is_empty(), "{head}");
    let (head, _) = exchange(node.addr(), &http_request("PUT", "localhost", "", body)).await;
    assert!(head.starts_with("HTTP/1.1 405"), "{head}");
    let (head, text) = exchange(node.addr(), &http_request("POST", "evil.example", "", body)).await;
    assert!(head.starts_with("HTTP/1.1 403") && text.trim() == "invalid host specified", "{head} {text}");
    let (head, text) = exchange(node.addr(), &http_request("POST", "127.0.0.1:8545", "", body)).await;
    assert!(head.starts_with("HTTP/1.1 200") && text.contains("0x539"), "{head}");
    let wrong_type = http_request("POST", "localhost", "", body).replace("application/json", "text/plain");
    let (head, _) = exchange(node.addr(), &wrong_type).await;
    assert!(head.starts_with("HTTP/1.1 415"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_need_permission() {
    let with_cors = |cors: &[&str], dev: bool| {
        let mut config = config();
        config.http.as_mut().unwrap().cors = cors.iter().map(|origin| (*origin).to_owned()).collect();
        RpcConfig { dev, ..config }
    };
    let cases = [
        (with_cors(&[], false), None),
        (with_cors(&[], true), Some("*")),
        (with_cors(&["*"], false), Some("*")),
        (with_cors(&["https://desk.example"], false), Some("https://desk.example")),
        (with_cors(&["https://other.example"], false), None),
    ];
    for (config, expected) in cases {
        let node = Node::start(config).await;
        let asks = "origin: https://desk.example\r\naccess-control-request-method: POST\r\naccess-control-request-headers: content-type\r\n";
        let (preflight, _) = exchange(node.addr(), &http_request("OPTIONS", "localhost", asks, "")).await;
        let posts = http_request(
            "POST",
            "localhost",
            "origin: https://desk.example\r\n",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\"}",
        );
        let (head, _) = exchange(node.addr(), &posts).await;
        for head in [&preflight, &head] {
            let allowed = head.lines().find_map(|line| line.strip_prefix("access-control-allow-origin: "));
            assert_eq!(allowed, expected, "{head}");
        }
        assert_eq!(preflight.contains("access-control-allow-headers: content-type"), expected.is_some(), "{preflight}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transport_offers_only_its_namespaces() {
    let api = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut some = config();
    some.http.as_mut().unwrap().api = api(&["eth", "db"]);
    let node = Node::start(some).await;
    assert_eq!(node.call("eth_chainId", json!([])).await, "0x539");
    let words = "the method personal_listAccounts does not exist/is not available";
    assert_eq!(node.refusal("personal_listAccounts", json!([])).await, (-32601, words.to_owned()));
    let modules = node.call("rpc_modules", json!([])).await;
    assert_eq!(modules, json!({ "db": "1.0", "eth": "1.0", "rpc": "1.0" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_told_with_its_flag() {
    let node = Node::usual().await;
    let other = Node::usual().await;
    let config = RpcConfig {
        http: Some(HttpConfig { port: 0, ..HttpConfig::default() }),
        ws: Some(WsConfig { port: node.addr().port(), ..WsConfig::default() }),
        ..RpcConfig::default()
    };
    let services = rpc::Services {
        ledger: other.chain.ledger.clone(),
        signer: other.keys.clone(),
        miner: std::sync::Arc::new(crate::node::TestMiner::default()),
        clock: std::sync::Arc::new(|| 0),
        client_version: String::new(),
        dev: None,
        network_id: 1,
        operation: rpc::Operation::alone("/nowhere".into()),
    };
    let error = serve(config, services).await.unwrap_err();
    assert!(matches!(error, ServeError::PortInUse { flag: "--ws.port", .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unix_socket_takes_a_stream_of_requests() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("geth.ipc");
    let node = Node::start(RpcConfig { ipc: Some(path.clone()), ..config() }).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let (reader, mut writer) = UnixStream::connect(&path).await.unwrap().into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut next = async || serde_json::from_str::<Value>(&lines.next_line().await.unwrap().unwrap()).unwrap();

    writer.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"personal_listAccounts\"}").await.unwrap();
    assert_eq!(result_of(next().await).unwrap().as_array().map(Vec::len), Some(1));
    writer.write_all(b"\n[{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"eth_chainId\"},{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"eth_x\"}]").await.unwrap();
    let batch = next().await;
    assert_eq!((&batch[0]["result"], &batch[1]["error"]["code"]), (&json!("0x539"), &json!(-32601)));

    writer
        .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"eth_subscribe\",\"params\":[\"newHeads\"]}")
        .await
        .unwrap();
    let id = result_of(next().await).unwrap();
    let hash = node.chain.mine();
    let pushed = next().await;
    assert_eq!((&pushed["method"], &pushed["params"]["subscription"]), (&json!("eth_subscription"), &id));
    assert_eq!(pushed["params"]["result"]["hash"], json!(hash));
    let body = json!({ "jsonrpc": "2.0", "id": 5, "method": "eth_unsubscribe", "params": [id] }).to_string();
    writer.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(result_of(next().await).unwrap(), true);

    writer.write_all(b"garbage").await.unwrap();
    assert_eq!(next().await["error"]["code"], -32700);
    node.server.stop().await;
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_gives_its_port_back() {
    let node = Node::usual().await;
    let addr = node.addr();
    node.server.stop().await;
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}

#[test]
fn arbitrary_requests_never_bring_the_server_down() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = runtime.block_on(Node::usual());
    let methods: Vec<_> = rpc::METHODS
        .iter()
        .map(|method| method.name)
        .filter(|name| !name.ends_with("Sync") && !name.starts_with("admin_st"))
        .collect();
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        "0x[0-9a-f]{0,80}".prop_map(|value| json!(value)),
        prop::sample::select(vec!["latest", "pending", "earliest", "newHeads", "\u{0}"]).prop_map(|value| json!(value)),
        ".{0,20}".prop_map(|value| json!(value)),
    ];
    let field = prop::sample::select(vec![
        "from",
        "to",
        "data",
        "gas",
        "value",
        "fromBlock",
        "toBlock",
        "topics",
        "blockHash",
        "x",
    ]);
    let value = leaf.prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| json!(values)),
            prop::collection::vec((field.clone(), inner), 0..4)
                .prop_map(|fields| json!(std::collections::BTreeMap::from_iter(fields))),
        ]
    });
    let request = (prop::sample::select(methods), prop::collection::vec(value, 0..4));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&(request, prop::collection::vec(any::<u8>(), 0..60)), |((method, params), garbage)| {
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
            let answer: Value = serde_json::from_str(&runtime.block_on(node.post(&body))).unwrap();
            prop_assert_eq!(&answer["id"], &json!(1));
            prop_assert_ne!(&answer["error"]["code"], &json!(-32603), "{}", body);
            runtime.block_on(node.post(&String::from_utf8_lossy(&garbage)));
            Ok(())
        })
        .unwrap();
    assert_eq!(runtime.block_on(node.call("eth_chainId", json!([]))), "0x539");
}
