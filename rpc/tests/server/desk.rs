//! The desk from outside: its files, who is sent there, and what its pages may connect to.

use rpc::{Gate, HttpConfig, RpcConfig, WsConfig};
use serde_json::json;

use crate::node::{Node, config, exchange};

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n")
}

fn handshake(host: &str, origin: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Returns the status of what a server answers first; a connection that was upgraded stays open.
async fn status(addr: std::net::SocketAddr, request: &str) -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.unwrap();
    std::str::from_utf8(&line[9..]).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_finds_the_desk_and_a_health_check_an_empty_page() {
    let node = Node::usual().await;
    let (head, _) = exchange(node.addr(), &get("/", "accept: text/html,*/*;q=0.8\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 302") && head.contains("location: /desk/"), "{head}");
    let (head, body) = exchange(node.addr(), &get("/", "accept: */*\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 200") && body.is_empty(), "{head}");
    for path in ["/desk/", "/desk/explorer/blocks"] {
        let (head, body) = exchange(node.addr(), &get(path, "")).await;
        assert!(head.starts_with("HTTP/1.1 200") && body.to_ascii_lowercase().contains("<!doctype html>"), "{head}");
        assert!(head.contains("default-src 'none'") && head.contains("x-frame-options: DENY"), "{head}");
    }
    let (head, _) = exchange(node.addr(), &get("/livez", "")).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let (head, body) = exchange(node.addr(), &get("/desk/", "").replacen("GET", "HEAD", 1)).await;
    assert!(head.starts_with("HTTP/1.1 200") && body.is_empty() && head.contains("content-length"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_hosts_get_no_page_and_the_gate_keeps_requests_alone() {
    let list =
        json!({"keys": [{"name": "desk", "key": "0123456789abcdef0123456789abcdef", "methods": ["eth_chainId"]}]});
    let node = Node::start(RpcConfig { gate: Some(Gate::read(&list.to_string()).unwrap()), ..config() }).await;
    let rebound = get("/desk/", "").replace("localhost", "evil.example");
    assert_eq!(status(node.addr(), &rebound).await, 403);
    assert_eq!(status(node.addr(), &get("/desk/", "")).await, 200);
    assert_eq!(status(node.addr(), &handshake("localhost", "http://localhost")).await, 401);
    let (head, _) = exchange(node.addr(), &get("/desk/", "").replacen("GET", "POST", 1)).await;
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn own_pages_connect_from_every_host_that_is_served_and_on_the_port_they_come_from() {
    let http = HttpConfig { vhosts: vec!["node.example".to_owned()], ..config().http.unwrap() };
    let apart = WsConfig { addr: "127.0.0.2".to_owned(), ..config().ws.unwrap() };
    let node = Node::start(RpcConfig { http: Some(http), ws: Some(apart), ..config() }).await;
    assert_ne!(node.server.http_addr, node.server.ws_addr);
    assert_eq!(status(node.addr(), &handshake("node.example:8545", "http://node.example:8545")).await, 101);
    assert_eq!(status(node.addr(), &handshake("node.example:8545", "http://node.example:9999")).await, 403);
    assert_eq!(status(node.addr(), &handshake("evil.example", "http://evil.example")).await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_that_is_off_is_not_there() {
    let http = HttpConfig { desk: false, vhosts: vec!["node.example".to_owned()], ..config().http.unwrap() };
    let node = Node::start(RpcConfig { http: Some(http), ..config() }).await;
    assert_eq!(status(node.addr(), &get("/desk/", "").replace("localhost", "node.example")).await, 404);
    let root = get("/", "accept: text/html\r\n").replace("localhost", "node.example");
    assert_eq!(status(node.addr(), &root).await, 200);
    assert_eq!(status(node.addr(), &handshake("node.example", "http://node.example")).await, 403);
}
