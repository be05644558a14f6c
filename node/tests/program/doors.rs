//! The JSON-RPC doors, asked wrongly: the right refusal, and the node goes on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Home, Node, http, random_bytes};

const POST: &str = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

/// Sends lines over the local socket and reads as many answers.
fn ask_ipc(path: &Path, requests: &[u8], answers: usize) -> Vec<Value> {
    let mut socket = UnixStream::connect(path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(requests).unwrap();
    let mut lines = BufReader::new(socket).lines();
    (0..answers).map(|_| serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap()).collect()
}

#[test]
fn wrong_requests_get_the_errors_that_clients_know() {
    let home = Home::new();
    let node = Node::dev(&home, "");
    let code = |body: &str| node.post(body.as_bytes()).unwrap().json()["error"]["code"].clone();
    for (body, expected) in [
        ("{", -32700),
        ("", -32700),
        ("nonsense", -32700),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\"", -32700),
        ("[1", -32700),
        ("[]", -32600),
        ("{}", -32600),
        ("7", -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_noSuch","params":[]}"#, -32601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[]}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12","latest"]}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0xzz",false]}"#, -32602),
    ] {
        assert_eq!(code(body), json!(expected), "{body}");
    }
    let raw = |bytes: &str| node.try_call("eth_sendRawTransaction", json!([bytes])).unwrap_err()["code"].clone();
    for bytes in ["0x", "0x00", "0xc0", "0x02f8", "0x03c0", "0xf86c8085"] {
        assert!(raw(bytes).as_i64().unwrap() < 0, "{bytes}");
    }
    // Deep nesting is a depth of the reader's stack.
    assert_eq!(code(&"[".repeat(200_000)), json!(-32700));
    let unknown = node.call("eth_getBlockByHash", json!([format!("0x{}", "7".repeat(64)), true]));
    assert_eq!(unknown, Value::Null);
    assert_eq!(node.call("eth_getBlockByNumber", json!(["0xffffff", true])), Value::Null);
    node.end();
}

#[test]
fn bodies_and_batches_have_limits() {
    let home = Home::new();
    let node = Node::dev(&home, "--rpc.batch-request-limit 10");
    let entry = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    let batch = |count: usize| node.post(format!("[{}]", vec![entry; count].join(",")).as_bytes()).unwrap().json();
    assert_eq!(batch(10).as_array().unwrap().len(), 10);
    let refused = batch(11);
    assert_eq!((&refused["error"]["code"], &refused["error"]["message"]), (&json!(-32600), &json!("batch too large")));
    let large = node.post(&vec![b' '; (5 << 20) + 1]).unwrap();
    assert_eq!(large.status, 413, "{large:?}");
    let fits = [&vec![b' '; (5 << 20) - 100][..], entry.as_bytes()].concat();
    assert_eq!(node.post(&fits).unwrap().json()["result"], "0x539");
    // Five mebibytes are promised and never come.
    let mut liar = TcpStream::connect(node.address).unwrap();
    liar.write_all(format!("{POST}Content-Length: 5000000\r\n\r\n").as_bytes()).unwrap();
    node.block_number();
    drop(liar);
    node.end();
}

#[test]
fn hosts_and_methods_are_checked() {
    let home = Home::new();
    let node = Node::dev(&home, "");
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;
    let ask = |head: &str, body: &[u8]| http(node.address, head, body).unwrap();
    let evil = ask(&POST.replace("localhost", "evil.example"), body);
    assert_eq!((evil.status, evil.body.trim()), (403, "invalid host specified"));
    for host in ["localhost", "localhost:8545", "127.0.0.1", "LOCALHOST"] {
        assert_eq!(ask(&POST.replace("localhost", host), body).json()["result"], "0x539", "{host}");
    }
    assert_eq!(ask("GET / HTTP/1.1\r\nHost: localhost\r\n", b"").status, 200);
    assert_eq!(ask("PUT / HTTP/1.1\r\nHost: localhost\r\n", b"x").status, 405);
    assert_eq!(ask(&POST.replace("application/json", "text/plain"), body).status, 415);
    node.end();
}

#[test]
fn a_namespace_that_is_not_offered_is_not_there_but_over_the_local_socket() {
    let home = Home::with_chain(json!({"empty_blocks": "never"}));
    let mut node = Node::start(&home, "--datadir node --http --http.api eth");
    let refused = node.try_call("personal_listAccounts", json!([])).unwrap_err();
    assert_eq!(refused["code"], -32601);
    let ipc = node.ipc(&home);
    let answers = ask_ipc(&ipc, br#"{"jsonrpc":"2.0","id":1,"method":"personal_listAccounts","params":[]}"#, 1);
    assert_eq!(answers[0]["result"], json!([super::support::ADDRESS]));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&ipc).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    node.end();
}

#[test]
fn the_local_socket_answers_requests_batches_and_subscriptions() {
    let home = Home::new();
    let mut node = Node::dev(&home, "");
    let ipc = node.ipc(&home);
    let stream = br#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}
        [{"jsonrpc":"2.0","id":2,"method":"net_version"},{"jsonrpc":"2.0","id":3,"method":"eth_blockNumber"}]
        {"jsonrpc":"2.0","id":4,"method":"eth_subscribe","params":["newHeads"]}"#;
    let mut answers = ask_ipc(&ipc, stream, 3);
    // Requests of one connection are answered as they are done.
    answers.sort_by_key(|answer| answer["id"].as_u64().unwrap_or(2));
    assert_eq!(answers[0]["result"], "0x539");
    assert_eq!(answers[1].as_array().unwrap().len(), 2);
    assert!(answers[2]["result"].as_str().unwrap().starts_with("0x"));
    assert_eq!(ask_ipc(&ipc, b"nonsense", 1)[0]["error"]["code"], -32700);
    node.end();
}

#[test]
fn eight_thousand_random_bytes_hurt_no_door() {
    let home = Home::new();
    let mut node = Node::dev(&home, "");
    let ipc = node.ipc(&home);
    for seed in 1..=8 {
        println!("seed {seed}");
        let bytes = random_bytes(seed, 8000);
        // As a body, a body that begins like a request, a request line, and on the local socket.
        assert_eq!(node.post(&bytes).unwrap().json()["error"]["code"], -32700);
        let begun = [br#"{"jsonrpc":"2.0","id":1,"method":""#, &bytes[..]].concat();
        assert_eq!(node.post(&begun).unwrap().json()["error"]["code"], -32700);
        let mut tcp = TcpStream::connect(node.address).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // The node may hang up before all of it is sent.
        let _ = tcp.write_all(&bytes).and_then(|()| tcp.shutdown(std::net::Shutdown::Write));
        let _ = tcp.read_to_end(&mut Vec::new());
        for prefix in [&b""[..], b"{", b"[\""] {
            let mut local = UnixStream::connect(&ipc).unwrap();
            let _ = local.write_all(&[prefix, &bytes].concat());
            let _ = local.shutdown(std::net::Shutdown::Write);
            local.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let _ = local.read_to_end(&mut Vec::new());
        }
    }
    assert!(node.is_running());
    assert_eq!(node.call("eth_chainId", json!([])), "0x539");
    let answers = ask_ipc(&ipc, br#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#, 1);
    assert_eq!(answers[0]["result"], "0x539");
    let stopped = node.end();
    assert!(!stopped.log.contains("panicked"), "{}", stopped.log);
}
