//! The shadows' data API over HTTPS from outside, beside MQTT on the same shadows.

use std::sync::Arc;

use device_bridge::registry::Role;
use device_bridge::shadow::Writes;
use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::packet::Qos;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::site::{PATIENCE, Site, now};

/// Method, path, body ⇒ status, exception.
type Case<'a> = (&'a str, &'a str, &'a [u8], u16, Option<&'a str>);

struct Answer {
    status: u16,
    exception: Option<String>,
    body: Value,
}

async fn ask(site: &Site, config: &Arc<ClientConfig>, method: &str, path: &str, body: &[u8]) -> Answer {
    let stream = TcpStream::connect(site.https).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(config.clone()).connect(name, stream).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may answer before it has read all.
    let _ = stream.write_all(body).await;
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    let exception = head.lines().find_map(|line| line.strip_prefix("x-amzn-errortype: "));
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        exception: exception.map(str::to_owned),
        body: serde_json::from_str(body).unwrap(),
    }
}

#[tokio::test]
async fn requests_have_awss_statuses_and_exceptions() {
    let site = Site::start().await;
    let config = site.add("dock-1");
    let large = format!(r#"{{"state":{{"reported":{{"a":"{}"}}}}}}"#, "x".repeat(9000));
    let endless = vec![b'x'; 200 * 1024];
    let cases: [Case<'_>; 19] = [
        ("GET", "/things/dock-1/shadow", b"", 404, Some("ResourceNotFoundException")),
        ("POST", "/things/dock-1/shadow", br#"{"state":{"desired":{"lock":"open"}}}"#, 200, None),
        ("GET", "/things/dock-1/shadow", b"", 200, None),
        ("POST", "/things/dock-1/shadow", br#"{"state":{},"version":7}"#, 409, Some("ConflictException")),
        ("POST", "/things/dock-1/shadow", b"{", 400, Some("InvalidRequestException")),
        ("POST", "/things/dock-1/shadow", b"\xff", 415, Some("UnsupportedDocumentEncodingException")),
        ("POST", "/things/dock-1/shadow", large.as_bytes(), 413, Some("RequestEntityTooLargeException")),
        ("POST", "/things/dock-1/shadow", &endless, 413, Some("RequestEntityTooLargeException")),
        ("PUT", "/things/dock-1/shadow", b"", 405, Some("MethodNotAllowedException")),
        ("POST", "/things/dock-1/shadow?name=config", br#"{"state":{}}"#, 200, None),
        ("DELETE", "/things/dock-1/shadow?name=config", b"", 200, None),
        ("DELETE", "/things/dock-1/shadow?name=config", b"", 404, Some("ResourceNotFoundException")),
        ("GET", "/things/dock-1/shadow?name=a%2Fb", b"", 400, Some("InvalidRequestException")),
        ("GET", "/things/dock-2/shadow", b"", 403, Some("ForbiddenException")),
        ("GET", "/things/dock%zz/shadow", b"", 400, Some("InvalidRequestException")),
        ("GET", "/elsewhere", b"", 404, Some("ResourceNotFoundException")),
        ("POST", "/topics/drawbridge/dock-2/x", b"x", 403, Some("ForbiddenException")),
        ("POST", "/topics/%24aws/things/dock-1/shadow/update/delta", b"x", 403, Some("ForbiddenException")),
        (
            "GET",
            "/api/things/shadow/ListNamedShadowsForThing/dock-1?pageSize=101",
            b"",
            400,
            Some("InvalidRequestException"),
        ),
    ];
    for (method, path, body, status, exception) in cases {
        let answer = ask(&site, &config, method, path, body).await;
        assert_eq!(
            (answer.status, answer.exception.as_deref()),
            (status, exception),
            "{method} {path} {}",
            answer.body
        );
    }
}

#[tokio::test]
async fn what_is_written_over_https_is_told_over_mqtt() {
    let site = Site::start().await;
    let config = site.add("dock-1");
    let mut client = site.client(&config, Version::V3_1_1).await;
    client.connect("dock-1", true).await.unwrap();
    client.subscribe(&["$aws/things/dock-1/shadow/#", "drawbridge/dock-1/#"], Qos::AtLeastOnce).await.unwrap();
    ask(&site, &config, "POST", "/things/dock-1/shadow", br#"{"state":{"desired":{"lock":"open"}},"clientToken":"t"}"#)
        .await;
    for end in ["update/delta", "update/documents", "update/accepted"] {
        let (topic, payload, _) = client.message().await;
        let document: Value = serde_json::from_slice(&payload).unwrap();
        assert!(topic.ends_with(end) && document["clientToken"] == "t", "{topic} {document}");
    }
    ask(&site, &config, "DELETE", "/things/dock-1/shadow", b"").await;
    assert_eq!(client.answer("delete/accepted").await["version"], 1);
    // An update by a message goes the same way.
    let answer =
        ask(&site, &config, "POST", "/topics/%24aws%2Fthings%2Fdock-1%2Fshadow%2Fupdate?qos=1", br#"{"state":{}}"#)
            .await;
    assert_eq!(answer.status, 200);
    assert_eq!(client.answer("update/accepted").await["version"], 3);
    ask(&site, &config, "POST", "/topics/drawbridge/dock-1/status?qos=1&retain=true", b"here").await;
    loop {
        let (topic, payload, _) = client.message().await;
        if topic == "drawbridge/dock-1/status" {
            assert_eq!(payload, b"here");
            break;
        }
    }
    let retained = ask(&site, &config, "GET", "/retainedMessage/drawbridge%2Fdock-1%2Fstatus", b"").await;
    assert_eq!((retained.status, &retained.body["payload"]), (200, &json!("aGVyZQ==")));
}

#[tokio::test]
async fn named_shadows_are_listed_in_pages_and_the_classic_one_never() {
    let site = Site::start().await;
    let config = site.add_as("bridge", Role::Service, Writes::Both);
    ask(&site, &config, "POST", "/things/dock-1/shadow", br#"{"state":{}}"#).await;
    for name in ["b", "a", "c", "gone"] {
        ask(&site, &config, "POST", &format!("/things/dock-1/shadow?name={name}"), br#"{"state":{}}"#).await;
    }
    ask(&site, &config, "DELETE", "/things/dock-1/shadow?name=gone", b"").await;
    let list = "/api/things/shadow/ListNamedShadowsForThing/dock-1?pageSize=2";
    let first = ask(&site, &config, "GET", list, b"").await.body;
    assert_eq!(first["results"], json!(["a", "b"]));
    let next = first["nextToken"].as_str().unwrap();
    let second = ask(&site, &config, "GET", &format!("{list}&nextToken={next}"), b"").await.body;
    assert_eq!((&second["results"], second.get("nextToken")), (&json!(["c"]), None));
    let nobody = ask(&site, &config, "GET", "/api/things/shadow/ListNamedShadowsForThing/nobody", b"").await.body;
    assert_eq!(nobody["results"], json!([]));
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_also_on_an_open_connection() {
    let site = Site::start().await;
    let config = site.add("dock-1");
    let stream = TcpStream::connect(site.https).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
    let mut buffer = [0; 4096];
    for expected in ["HTTP/1.1 404", "HTTP/1.1 401"] {
        stream.write_all(b"GET /things/dock-1/shadow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let size = timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&buffer[..size]);
        assert!(text.starts_with(expected), "{text}");
        site.registry.revoke("dock-1", None, now()).unwrap();
        site.broker.as_ref().unwrap().handle().registry().refresh().unwrap();
    }
}
