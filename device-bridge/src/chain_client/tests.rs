use std::io::{Read, Write};
use std::net::TcpListener;

use super::orders::{OrderState, Trust};
use super::*;
use crate::code::Release;
use crate::code::claim::{Approval, Claim};

/// A server that answers each connection's one request with the next of these responses, and tells what it was asked.
fn server(responses: Vec<String>) -> (String, std::sync::mpsc::Receiver<String>) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let (asked, requests) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for response in responses {
            let (mut connection, _) = socket.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                let count = connection.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..count]);
                let text = String::from_utf8_lossy(&request);
                let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                    body.len() >= length.parse().unwrap()
                });
                if whole || count == 0 {
                    break;
                }
            }
            asked.send(String::from_utf8_lossy(&request).into_owned()).unwrap();
            connection.write_all(response.as_bytes()).unwrap();
        }
    });
    (url, requests)
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint { url: url.to_owned(), timeout: Duration::from_secs(5), ..Endpoint::default() }
}

#[tokio::test]
async fn answers_are_told_apart_by_blame() {
    let cases = [
        (http("200 OK", r#"{"jsonrpc":"2.0","id":1,"result":"0x539"}"#), Ok(1337)),
        (
            http("200 OK", r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}"#),
            Err(ChainError::Node { code: -32601, message: "no".to_owned() }),
        ),
        (
            http("401 Unauthorized", "<html>"),
            Err(ChainError::Refused { status: 401, remedy: remedy(StatusCode::UNAUTHORIZED) }),
        ),
        (
            http("429 Too Many", ""),
            Err(ChainError::Refused { status: 429, remedy: remedy(StatusCode::TOO_MANY_REQUESTS) }),
        ),
        (
            http("200 OK", r#"{"jsonrpc":"2.0","id":1,"result":"1337"}"#),
            Err(ChainError::malformed("eth_chainId", "no quantity")),
        ),
        (
            http("200 OK", r#"{"jsonrpc":"2.0","id":1}"#),
            Err(ChainError::malformed("eth_chainId", "neither result nor error")),
        ),
    ];
    for (response, expected) in cases {
        let (url, _requests) = server(vec![response.clone()]);
        assert_eq!(ChainClient::new(&endpoint(&url)).unwrap().chain_id().await, expected, "{response}");
    }
    let (url, _requests) = server(vec![http("200 OK", "no json")]);
    let error = ChainClient::new(&endpoint(&url)).unwrap().chain_id().await.unwrap_err();
    assert!(matches!(error, ChainError::Malformed { .. }), "{error}");
}

#[tokio::test]
async fn nobody_and_silence_are_passing() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let client = ChainClient::new(&Endpoint { timeout: Duration::from_millis(50), ..endpoint(&url) }).unwrap();
    assert!(client.chain_id().await.unwrap_err().is_passing(), "it accepts and says nothing");
    drop(socket);
    assert!(client.chain_id().await.unwrap_err().is_passing());
}

#[tokio::test]
async fn a_batch_is_sorted_by_id_and_holes_are_errors() {
    let body = r#"[{"jsonrpc":"2.0","id":1,"result":"0x2"},{"jsonrpc":"2.0","id":0,"result":"0x1"}]"#;
    let (url, requests) = server(vec![http("200 OK", body)]);
    let login = Some(("dock-1".to_owned(), "pass:word".to_owned()));
    let client = ChainClient::new(&Endpoint { login, ..endpoint(&url) }).unwrap();
    let results = client.batch(&[("a", json!([])), ("b", json!([])), ("c", json!([]))]).await.unwrap();
    assert_eq!((&results[0], &results[1]), (&Ok(json!("0x1")), &Ok(json!("0x2"))));
    assert!(matches!(results[2], Err(ChainError::Malformed { .. })));
    assert!(requests.recv().unwrap().contains("authorization: Basic ZG9jay0xOnBhc3M6d29yZA=="));
}

/// The answers to chain id, ownership, release, registry and, where there is one, the wallet.
fn answers_of_an_order(wallet: Option<&str>) -> String {
    let (yes, none) = (format!("0x{:064x}", 1), format!("0x{}", "0".repeat(64 * 9)));
    let results = [Some("0x539"), Some(&yes), Some(&none), Some(&yes), wallet].into_iter().flatten();
    let answers = results.enumerate().map(|(id, result)| json!({"jsonrpc": "2.0", "id": id, "result": result}));
    http("200 OK", &answers.collect::<Value>().to_string())
}

#[tokio::test]
async fn a_wallet_is_asked_whether_it_signed_and_nobody_else_is() {
    let release = Release {
        chain_id: 1337,
        contract: Address::repeat_byte(1),
        buyer: Address::repeat_byte(2),
        device: "dock-1".to_owned(),
        nonce: [3; 16],
        not_after: 4,
    };
    let trust = Trust { chain_id: 1337, registries: vec![Address::repeat_byte(5)], code_hashes: Vec::new() };
    let assent = format!("0x1626ba7e{}", "0".repeat(56));
    let dissent = format!("0xffffffff{}", "0".repeat(56));
    for (approval, wallet, approved) in [
        (Approval::Operator, None, true),
        (Approval::Key([1; 65]), None, true),
        (Approval::Wallet(vec![1]), Some(assent.as_str()), true),
        (Approval::Wallet(vec![1]), Some(dissent.as_str()), false),
        (Approval::Wallet(vec![1]), Some("0x"), false),
    ] {
        let (url, requests) = server(vec![answers_of_an_order(wallet)]);
        let claim = Claim { release: release.clone(), approval };
        let state = ChainClient::new(&endpoint(&url)).unwrap().order(&trust, &claim, Settled::Depth(0)).await.unwrap();
        assert_eq!(state, OrderState { known: true, verified: true, approved, release: None }, "{claim:?}");
        assert_eq!(requests.recv().unwrap().contains("0x1626ba7e"), wallet.is_some());
    }
}

#[test]
fn base64_is_that_of_the_specification() {
    for (bytes, text) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ] {
        assert_eq!(base64(bytes.as_bytes()), text);
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let problem = |endpoint: Endpoint| ChainClient::new(&endpoint).map(drop).unwrap_err().to_string();
    assert!(problem(endpoint("https://node")).contains("HTTPS needs the authority"));
    assert!(problem(endpoint("ftp://node")).contains("neither http:// nor https://"));
    let ca_pem = Some(b"nothing".to_vec());
    assert!(problem(Endpoint { ca_pem, ..endpoint("https://node") }).contains("no certificate"));
    let login = Some(("a:b".to_owned(), String::new()));
    assert!(problem(Endpoint { login, ..endpoint("http://node") }).contains("no colon"));
}

#[test]
fn settled_blocks_are_written_in_one_word() {
    for (text, expected) in [
        ("safe", Settled::Safe),
        ("finalized", Settled::Finalized),
        ("latest", Settled::Depth(0)),
        ("6", Settled::Depth(6)),
    ] {
        assert_eq!(text.parse(), Ok(expected));
    }
    assert!("soon".parse::<Settled>().unwrap_err().contains("safe, finalized"));
}
