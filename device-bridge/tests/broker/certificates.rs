//! Who gets in, by which certificate and under which name, and who is cut off.

use std::sync::Arc;
use std::time::{Duration, Instant};

use device_bridge::registry::Authority;
use mqtt_protocol_core::mqtt::Version;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::site::{Client, PATIENCE, Site, now};

/// Tells whether the broker lets this certificate in. TLS 1.3 refuses it after the client's side of the handshake.
async fn gets_in(site: &Site, config: &Arc<ClientConfig>, name: &str) -> bool {
    match Client::open(site.mqtt, config, Version::V3_1_1).await {
        Err(_) => false,
        Ok(mut client) => client.connect(name, true).await == Some(0),
    }
}

#[tokio::test]
async fn without_a_certificate_or_with_one_of_another_authority_nobody_gets_in() {
    let site = Site::start().await;
    let config = site.add("dock-1");
    assert!(gets_in(&site, &config, "dock-1").await);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(site.folder.path().join("ca.pem")).unwrap()).unwrap();
    let bare = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
    assert!(!gets_in(&site, &bare, "dock-1").await);
    // The same names everywhere, another key.
    let elsewhere = tempfile::tempdir().unwrap();
    let foreign = Authority::init(elsewhere.path(), "test", &["localhost".into()], now()).unwrap();
    let issued = foreign.issue("dock-1", 10, now()).unwrap();
    let config = site.config(&foreign, "dock-1", &issued, &[]);
    assert!(!gets_in(&site, &config, "dock-1").await);
}

#[tokio::test]
async fn a_certificate_that_is_not_registered_does_not_get_in() {
    let site = Site::start().await;
    let (_, config) = site.issue("dock-1");
    assert!(!gets_in(&site, &config, "dock-1").await);
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_by_the_registry_and_by_the_list_alone() {
    let mut site = Site::start().await;
    let (by_registry, by_list) = (site.add("dock-2"), site.add("dock-3"));
    assert!(gets_in(&site, &by_registry, "dock-2").await && gets_in(&site, &by_list, "dock-3").await);
    site.registry.revoke("dock-2", None, now()).unwrap();
    site.broker.as_ref().unwrap().handle().registry().refresh().unwrap();
    assert!(!gets_in(&site, &by_registry, "dock-2").await);
    let serial = site.registry.thing("dock-3").unwrap().certificates[0].serial.clone();
    site.authority.write_revocation_list(&[(serial, now())], now()).unwrap();
    site.stop().await;
    site.run().await;
    assert!(!gets_in(&site, &by_list, "dock-3").await);
}

#[tokio::test]
async fn the_client_id_must_be_the_name_in_the_certificate() {
    let site = Site::start().await;
    let config = site.add("dock-1");
    site.add("dock-2");
    for (version, code) in [(Version::V3_1_1, 2), (Version::V5_0, 0x85)] {
        for name in ["dock-2", "", "+", "#", "dock-1/x", "dock-1 "] {
            let mut client = site.client(&config, version).await;
            let refused = client.connect(name, true).await;
            // The protocol itself refuses some of them.
            assert!(refused == Some(code) || refused.is_some_and(|refused| refused != 0), "{name:?} {refused:?}");
            assert_eq!(client.closed().await, None);
        }
    }
}

#[tokio::test]
async fn a_revocation_by_another_process_ends_the_live_session_within_a_second() {
    let site = Site::start().await;
    let config = site.add("dock-1");
    for (version, expected) in [(Version::V5_0, Some(0x87))] {
        let mut client = site.client(&config, version).await;
        assert_eq!(client.connect("dock-1", true).await, Some(0));
        let start = Instant::now();
        // The test's own registry, which shares nothing but the file with the broker's.
        site.registry.revoke("dock-1", None, now()).unwrap();
        assert_eq!(client.closed().await, expected);
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
    assert!(!gets_in(&site, &config, "dock-1").await);
}

#[tokio::test]
async fn sockets_that_stall_in_the_handshake_do_not_keep_others_out_and_are_closed() {
    let site = Site::start().await;
    let config = site.add("dock-1");
    let mut stalled = Vec::new();
    for _ in 0..50 {
        stalled.push(TcpStream::connect(site.mqtt).await.unwrap());
    }
    stalled[0].write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    let start = Instant::now();
    assert!(gets_in(&site, &config, "dock-1").await);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let mut byte = [0];
    let end = timeout(PATIENCE, stalled[0].read(&mut byte)).await.expect("a stalled socket is closed");
    assert!(matches!(end, Ok(0) | Err(_)));
    // So is a client that shakes hands and says nothing more.
    let mut silent = Client::open(site.mqtt, &config, Version::V3_1_1).await.unwrap();
    assert_eq!(silent.closed().await, None);
}

#[tokio::test]
async fn the_protocol_names_of_the_sdks_are_negotiated_and_http_is_served_on_the_same_port() {
    let site = Site::start().await;
    site.add("dock-1");
    let issued = site.authority.issue("dock-1", 10, now()).unwrap();
    site.registry.rotate("dock-1", issued.certificate.clone(), now() + 60).unwrap();
    site.broker.as_ref().unwrap().handle().registry().refresh().unwrap();
    for name in [&b"x-amzn-mqtt-ca"[..], b"mqtt"] {
        let config = site.config(&site.authority, "dock-1", &issued, &[name]);
        let mut client = Client::open(site.mqtt, &config, Version::V5_0).await.unwrap();
        assert_eq!(client.stream.get_ref().1.alpn_protocol(), Some(name));
        assert_eq!(client.connect("dock-1", true).await, Some(0));
    }
    let unknown = site.config(&site.authority, "dock-1", &issued, &[b"smtp"]);
    assert!(Client::open(site.mqtt, &unknown, Version::V5_0).await.is_err());
    let http = site.config(&site.authority, "dock-1", &issued, &[b"x-amzn-http-ca"]);
    let stream = TcpStream::connect(site.mqtt).await.unwrap();
    let mut stream =
        TlsConnector::from(http).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream.write_all(b"GET /things/dock-1/shadow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    let _ = timeout(PATIENCE, stream.read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 404") && text.contains("No shadow exists with name: 'dock-1'"), "{text}");
}
