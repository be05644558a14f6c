//! The doors under pressure: compression and its bombs, tokens, strangers, clients that do not read, connections that ask nothing,
//! batches that take too long, and transports that come and go.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jsonrpsee_core::client::ClientT;
use jsonrpsee_core::params::ArrayParams;
use jsonrpsee_ws_client::{WsClient, WsClientBuilder};
use rpc::{Gate, HttpConfig, JwtSecret, RpcConfig, RpcLimits, ServeError};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::node::{Node, account, config, exchange, http_request, result_of};

/// A deadline for what must happen soon, on a machine however busy.
const SOON: Duration = Duration::from_secs(60);

fn request(method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

fn with_limits(limits: RpcLimits) -> RpcConfig {
    RpcConfig { limits, ..config() }
}

/// Posts bytes with headers (a line break after each), and returns the answer's head and body.
async fn post_bytes(addr: SocketAddr, headers: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..end].to_vec()).unwrap().to_ascii_lowercase(), answer[end + 4..].to_vec())
}

fn pack(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_compressed_for_who_takes_them_so() {
    let node = Node::usual().await;
    let block = request("eth_getBlockByNumber", &json!(["latest", false]));
    let long = format!("[{}]", vec![block; 100].join(","));
    let plain = node.post(&long).await;
    for (headers, is_packed) in
        [("", false), ("accept-encoding: gzip, br\r\n", true), ("accept-encoding: gzip;q=0\r\n", false)]
    {
        let (head, body) = post_bytes(node.addr(), headers, long.as_bytes()).await;
        assert_eq!(head.contains("content-encoding: gzip"), is_packed, "{head}");
        assert!(head.contains("vary: accept-encoding"), "{head}");
        let mut text = String::new();
        match is_packed {
            true => GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap(),
            false => Read::read_to_string(&mut &body[..], &mut text).unwrap(),
        };
        assert_eq!(text, plain);
        assert!(!is_packed || body.len() * 10 < plain.len(), "{} of {}", body.len(), plain.len());
    }
    let (head, body) =
        post_bytes(node.addr(), "accept-encoding: gzip\r\n", request("eth_chainId", &json!([])).as_bytes()).await;
    assert!(!head.contains("content-encoding") && body.ends_with(b"}"), "a short answer is left as it is: {head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_may_be_compressed_but_not_be_bombs() {
    let limits = RpcLimits { body_bytes: 100_000, ..RpcLimits::default() };
    let node = Node::start(with_limits(limits)).await;
    let body = request("eth_chainId", &json!([]));
    let send = async |coding: &str, body: &[u8]| {
        let headers = format!("content-encoding: {coding}\r\n");
        let (head, body) = post_bytes(node.addr(), &headers, body).await;
        (head.split(' ').nth(1).unwrap().to_owned(), String::from_utf8(body).unwrap())
    };
    let (status, text) = send("gzip", &pack(body.as_bytes())).await;
    assert!(status == "200" && text.contains("0x539"), "{status} {text}");
    assert_eq!(send("gzip", &pack(&vec![b' '; 10_000_000])).await.0, "413");
    assert_eq!(send("gzip", body.as_bytes()).await.0, "400");
    assert_eq!(send("br", body.as_bytes()).await.0, "415");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_for_a_minute() {
    let secret = JwtSecret::new([9; 32]);
    let gate = Gate::default().with_secret(secret.clone());
    let node = Node::start(RpcConfig { gate: Some(gate), ..config() }).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let body = request("eth_chainId", &json!([]));
    for (headers, status, words) in [
        (format!("authorization: Bearer {}\r\n", secret.token(now)), "200", "0x539"),
        (format!("authorization: Bearer {}\r\n", secret.token(now - 61)), "401", "stale token"),
        (format!("authorization: Bearer {}\r\n", secret.token(now + 10_000)), "401", "future token"),
        (format!("authorization: Bearer {}\r\n", JwtSecret::new([1; 32]).token(now)), "401", "signature is invalid"),
        (String::new(), "401", "missing token"),
    ] {
        let (head, text) = exchange(node.addr(), &http_request("POST", "localhost", &headers, &body)).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")) && text.contains(words), "{headers}: {head} {text}");
    }
}

fn beyond(api: &[&str]) -> RpcConfig {
    let api = api.iter().map(|name| (*name).to_owned()).collect();
    let http = HttpConfig { addr: "0.0.0.0".to_owned(), port: 0, api, ..HttpConfig::default() };
    RpcConfig { http: Some(http), ..RpcConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_steer_the_node() {
    let error = Node::try_start(beyond(&["eth", "admin", "personal"])).await.err().unwrap();
    assert!(matches!(&error, ServeError::Exposed { namespaces, .. } if namespaces == "admin, personal"), "{error}");
    assert!(error.to_string().contains("--rpc.allow-exposed") && error.to_string().contains("--rpc.jwtsecret"));

    let node = Node::start(beyond(&["eth", "debug", "txpool"])).await;
    assert_eq!(node.call("eth_chainId", json!([])).await, "0x539");
    assert!(node.call("debug_getBadBlocks", json!([])).await.is_array());
    for method in ["debug_verbosity", "debug_clearTxpool", "txpool_drop"] {
        let (code, words) = node.refusal(method, json!(["0x0"])).await;
        assert_eq!(code, -32601);
        assert!(words.contains("does not exist") && words.contains("--rpc.keys"), "{words}");
    }

    let open = RpcConfig { allow_exposed: true, ..beyond(&["eth", "admin", "debug"]) };
    let node = Node::start(open).await;
    assert_eq!(node.call("admin_datadir", json!([])).await, "/nowhere");
    assert_eq!(node.call("debug_verbosity", json!([3])).await, Value::Null);
}

/// A connection to the unix socket that calls methods.
struct Local {
    lines: tokio::io::Lines<BufReader<tokio::net::unix::OwnedReadHalf>>,
    writer: tokio::net::unix::OwnedWriteHalf,
}

impl Local {
    async fn open(path: &std::path::Path) -> Self {
        let (reader, writer) = UnixStream::connect(path).await.unwrap().into_split();
        Self { lines: BufReader::new(reader).lines(), writer }
    }

    async fn call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        self.writer.write_all(request(method, &params).as_bytes()).await.unwrap();
        let line = self.lines.next_line().await.unwrap().unwrap();
        result_of(serde_json::from_str(&line).unwrap()).map_err(|error| error["message"].as_str().unwrap().to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transports_come_and_go_while_the_node_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.ipc");
    let node = Node::start(RpcConfig { ipc: Some(path.clone()), allow_insecure_unlock: false, ..config() }).await;
    let mut local = Local::open(&path).await;
    let unlock = json!([crate::node::account(0), "password"]);
    assert_eq!(
        local.call("personal_unlockAccount", unlock.clone()).await,
        Err("account unlock with HTTP access is forbidden".to_owned())
    );
    let ws = jsonrpsee_ws_client::WsClientBuilder::default().build(format!("ws://{}", node.addr())).await.unwrap();

    // WebSocket stays on the socket that both had.
    assert_eq!(local.call("admin_stopHTTP", json!([])).await, Ok(json!(true)));
    let (head, text) =
        exchange(node.addr(), &http_request("POST", "localhost", "", &request("eth_chainId", &json!([])))).await;
    assert!(head.starts_with("HTTP/1.1 404") && text.contains("HTTP is off"), "{head}");
    assert!(ws.is_connected());
    assert_eq!(local.call("admin_stopWS", json!([])).await, Ok(json!(true)));
    tokio::time::timeout(SOON, ws.on_disconnect()).await.unwrap();
    assert!(TcpStream::connect(node.addr()).await.is_err());
    assert_eq!(local.call("personal_unlockAccount", unlock).await, Ok(json!(true)));

    let (host, port) = (node.addr().ip().to_string(), node.addr().port());
    let start = json!([host, port, "*", "eth,net", "localhost"]);
    assert_eq!(local.call("admin_startHTTP", start.clone()).await, Ok(json!(true)));
    assert_eq!(node.call("eth_chainId", json!([])).await, "0x539");
    assert_eq!(node.refusal("web3_clientVersion", json!([])).await.0, -32601);
    assert_eq!(
        local.call("admin_startHTTP", start).await,
        Err(format!("HTTP server already running on {}", node.addr()))
    );
    assert_eq!(local.call("admin_startWS", json!([host, port])).await, Ok(json!(true)));
    let ws = jsonrpsee_ws_client::WsClientBuilder::default().build(format!("ws://{}", node.addr())).await.unwrap();
    assert!(ws.is_connected());
    let stranger = local.call("admin_startRPC", json!(["0.0.0.0", 0, "", "eth,admin"])).await.unwrap_err();
    assert!(stranger.contains("--rpc.allow-exposed"), "{stranger}");
    assert!(local.call("admin_startHTTP", json!(["127.0.0.1", 70_000])).await.unwrap_err().contains("no port"));
}

/// Asks for an answer of 8 MB: memory that a call returns.
fn large_call() -> String {
    let to = "0x00000000000000000000000000000000000000aa";
    // PUSH3 0x3f0000, PUSH0, RETURN
    request("eth_call", &json!([{ "to": to }, "latest", { to: { "code": "0x623f00005ff3" } }]))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_holds_a_bounded_share_for_a_bounded_time() {
    let limits =
        RpcLimits { read_timeout: Duration::from_secs(2), pending_answer_bytes: 12_000_000, ..RpcLimits::default() };
    let node = Node::start(with_limits(limits)).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut unread = socket.connect(node.addr()).await.unwrap();
    let body = large_call();
    unread.write_all(http_request("POST", "localhost", "", &body).as_bytes()).await.unwrap();
    // The first bytes tell that the answer is being written.
    unread.readable().await.unwrap();
    let refused: Value = serde_json::from_str(&node.post(&body).await).unwrap();
    assert_eq!(refused["error"]["code"], -32005, "{refused}");
    assert_eq!(node.call("eth_chainId", json!([])).await, "0x539", "short answers are for everybody");
    let answered = tokio::time::timeout(SOON, async {
        while node.post(&body).await.len() < 8_000_000 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    answered.await.expect("the connection was cut, and what it held is free");
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(SOON, unread.read_to_end(&mut rest)).await.expect("the connection is closed");
    assert!(rest.len() < 8_000_000, "{} bytes came", rest.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room() {
    let limits = RpcLimits { connections: 4, ..RpcLimits::default() };
    let node = Node::start(with_limits(limits)).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(node.addr()).await.unwrap();
        // Half a request: a slow one is as good as none.
        stream.write_all(b"POST / HTTP/1.1\r\nhost: local").await.unwrap();
        idle.push(stream);
    }
    for _ in 0..20 {
        assert_eq!(node.call("eth_chainId", json!([])).await, "0x539");
    }
    let mut byte = [0];
    let closed = tokio::time::timeout(SOON, idle[0].read(&mut byte)).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "the first one made room");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_request_ends() {
    let limits = RpcLimits { idle_timeout: Duration::from_millis(200), ..RpcLimits::default() };
    let node = Node::start(with_limits(limits)).await;
    let mut stream = TcpStream::connect(node.addr()).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: local").await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the connection is closed");
    let mut stream = TcpStream::connect(node.addr()).await.unwrap();
    let endless = vec![b'a'; 100_000];
    let _ = stream.write_all(&[b"POST / HTTP/1.1\r\nx: ", &endless[..]].concat()).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the connection is closed");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_its_time() {
    let limits = RpcLimits { batch_timeout: Duration::ZERO, ..RpcLimits::default() };
    let node = Node::start(with_limits(limits)).await;
    let calls: Vec<Value> = ["eth_blockNumber", "eth_getBlockByNumber", "admin_stopWS"]
        .iter()
        .map(|method| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": []}))
        .collect();
    let answers: Value = serde_json::from_str(&node.post(&json!(calls).to_string()).await).unwrap();
    let codes: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["error"]["code"].clone()).collect();
    assert_eq!(codes, [-32002, -32002, -32002], "{answers}");
}

/// What `geth attach` asks on its way to the prompt (`console.New`, `Console.Welcome`); requests are numbered from 1, parameters may be absent.
#[tokio::test(flavor = "multi_thread")]
async fn geths_console_finds_all_that_it_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("geth.ipc");
    let node = Node::start(RpcConfig { ipc: Some(path.clone()), ..config() }).await;
    let mut local = Local::open(&path).await;
    assert!(node.call("miner_setEtherbase", json!([crate::node::account(0)])).await.as_bool().unwrap());
    let modules = local.call("rpc_modules", Value::Null).await.unwrap();
    for name in ["admin", "debug", "eth", "miner", "net", "personal", "rpc", "txpool", "web3"] {
        assert_eq!(modules[name], "1.0", "{name}");
    }
    for (method, params) in [
        ("web3_clientVersion", json!([])),
        ("eth_coinbase", json!([])),
        ("eth_blockNumber", json!([])),
        ("admin_datadir", json!([])),
        ("net_version", json!([])),
    ] {
        assert!(local.call(method, params).await.unwrap().is_string(), "{method}");
    }
    let block = local.call("eth_getBlockByNumber", json!(["0x0", false])).await.unwrap();
    assert!(block["timestamp"].is_string() && block["hash"].is_string(), "{block}");
}

#[tokio::test(flavor = "multi_thread")]
async fn websocket_connections_share_a_budget_and_each_has_a_little_of_its_own() {
    let limits = RpcLimits { pending_request_bytes: 1000, pending_answer_bytes: 1000, ..RpcLimits::default() };
    let (small, usual) = (Node::start(with_limits(limits)).await, Node::usual().await);
    let connect = async |node: &Node| {
        let builder = WsClientBuilder::default().max_request_size(1 << 20).max_response_size(1 << 20);
        builder.build(format!("ws://{}", node.server.ws_addr.unwrap())).await.unwrap()
    };
    let hash = async |client: &WsClient, bytes: usize| {
        client.request::<Value, _>("web3_sha3", [format!("0x{}", "00".repeat(bytes))]).await
    };
    // A message of 200 KB, and one that is free.
    assert!(hash(&connect(&usual).await, 100_000).await.is_ok());
    assert!(hash(&connect(&small).await, 100_000).await.is_err(), "there is no room for it");
    let client = connect(&small).await;
    for _ in 0..20 {
        assert!(hash(&client, 30_000).await.is_ok());
    }
    // An answer of 1024 words, 70 KB.
    let slots = async |client: &WsClient| {
        let mut params = ArrayParams::new();
        params.insert(json!({ account(0).to_string(): vec!["0x0"; 1024] })).unwrap();
        client.request::<Value, _>("eth_getStorageValues", params).await
    };
    assert!(slots(&connect(&usual).await).await.is_ok());
    let error = slots(&client).await.unwrap_err().to_string();
    assert!(error.contains("the node is busy"), "{error}");
    assert!(hash(&client, 100).await.is_ok());
}
