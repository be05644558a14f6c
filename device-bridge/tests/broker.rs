//! The embedded broker from outside: who gets in, what they may do, and what they get. The first part is the table of the experiment
//! that chose how the broker is built, row by row.
#![allow(clippy::unwrap_used, missing_docs)]

mod site;

use std::sync::Arc;
use std::time::{Duration, Instant};

use device_bridge::broker::BrokerEvent;
use device_bridge::broker::limits::{PUBLISH_PER_SECOND_MAX, SERVICE_PUBLISH_PER_SECOND_MAX};
use device_bridge::registry::{Authority, Role};
use device_bridge::shadow::{CHANGES_KEPT, Operation, ShadowChange, ShadowName, Writes};
use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::packet::{Packet, Qos, v3_1_1, v5_0};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use site::{Client, PATIENCE, Site, now};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

const VERSIONS: [Version; 2] = [Version::V3_1_1, Version::V5_0];

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
    use rustls::pki_types::{CertificateDer, pem::PemObject};
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
async fn foreign_topics_cannot_be_subscribed_and_publishing_to_them_ends_the_connection() {
    let site = Site::start().await;
    site.add("dock-2");
    for (version, name, refused) in [(Version::V3_1_1, "dock-1", 0x80), (Version::V5_0, "dock-3", 0x87)] {
        let config = site.add(name);
        let mut client = site.client(&config, version).await;
        assert_eq!(client.connect(name, true).await, Some(0));
        for filter in
            ["$aws/things/dock-2/shadow/update/delta", "$aws/things/+/shadow/#", "#", "+/+", "other", "$SYS/#"]
        {
            assert_eq!(client.subscribe(&[filter], Qos::AtLeastOnce).await.unwrap(), [refused], "{filter}");
        }
        client.publish_as("$aws/things/dock-2/shadow/update", br#"{"state":{}}"#, Qos::AtLeastOnce, false).await;
        let reason = client.closed().await;
        assert_eq!(reason, (version == Version::V5_0).then_some(0x87));
    }
}

#[tokio::test]
async fn shadow_topics_can_be_subscribed_and_the_services_answers_cannot_be_forged() {
    let site = Site::start().await;
    for (index, end) in ["update/delta", "update/accepted", "get/accepted", "update/documents", "delete/rejected"]
        .into_iter()
        .enumerate()
    {
        let name = format!("dock-{index}");
        let mut client = site.connected(&name).await;
        let filters = [format!("$aws/things/{name}/shadow/get/+"), format!("$aws/things/{name}/shadow/#")];
        assert_eq!(client.subscribe(&filters.each_ref().map(String::as_str), Qos::AtLeastOnce).await.unwrap(), [1, 1]);
        assert!(!client.publish(&format!("$aws/things/{name}/shadow/{end}"), b"{}").await, "{end}");
    }
    // Not even by somebody whose policy allows all of it.
    let config = site.add_as("bridge", Role::Service, Writes::Both);
    let mut service = site.client(&config, Version::V3_1_1).await;
    assert_eq!(service.connect("bridge", true).await, Some(0));
    assert!(!service.publish("$aws/things/dock-1/shadow/update/delta", b"{}").await);
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
async fn a_persistent_session_keeps_reliable_messages_also_over_a_restart_of_the_broker() {
    let mut site = Site::start().await;
    for (version, name) in [(Version::V3_1_1, "dock-1"), (Version::V5_0, "dock-2")] {
        let config = site.add(name);
        let topic = format!("drawbridge/{name}/commands");
        let mut client = site.client(&config, version).await;
        assert_eq!(client.connect_present(name, false).await, Some((0, false)));
        assert_eq!(client.subscribe(&[&topic], Qos::AtLeastOnce).await.unwrap(), [1]);
        client.leave().await;
        let handle = site.broker.as_ref().unwrap().handle();
        for text in ["1", "2", "3"] {
            assert_eq!(handle.publish(topic.clone(), text.into(), device_bridge::broker::Quality::AtLeastOnce), 1);
        }
        drop(handle);
        site.stop().await;
        site.run().await;
        let mut client = site.client(&config, version).await;
        assert_eq!(client.connect_present(name, false).await, Some((0, true)));
        for text in ["1", "2", "3"] {
            assert_eq!(client.message().await.1, text.as_bytes());
        }
        client.leave().await;
        // They were acknowledged, so they are gone; and a clean start forgets the session.
        let mut client = site.client(&config, version).await;
        assert_eq!(client.connect_present(name, false).await, Some((0, true)));
        client.publish(&topic, b"own").await;
        assert_eq!(client.message().await.1, b"own");
        client.leave().await;
        let mut client = site.client(&config, version).await;
        assert_eq!(client.connect_present(name, true).await, Some((0, false)));
    }
}

#[tokio::test]
async fn the_shadow_answers_in_order_and_to_all_who_are_subscribed() {
    let site = Site::start().await;
    let mut device = site.connected("dock-1").await;
    let prefix = "$aws/things/dock-1/shadow";
    device.subscribe(&[&format!("{prefix}/#")], Qos::AtLeastOnce).await.unwrap();
    let config = site.add_as("app", Role::Service, Writes::Desired);
    let mut app = site.client(&config, Version::V5_0).await;
    assert_eq!(app.connect("app", true).await, Some(0));
    app.subscribe(&[&format!("{prefix}/update/+")], Qos::AtMostOnce).await.unwrap();
    app.publish(&format!("{prefix}/update"), br#"{"state":{"desired":{"lock":"open"}},"clientToken":"t"}"#).await;
    for client in [&mut device, &mut app] {
        let mut ends = Vec::new();
        while ends.last().is_none_or(|end: &String| end != "accepted") {
            let (topic, _, _) = client.message().await;
            ends.push(topic.rsplit('/').next().unwrap().to_owned());
        }
        ends.retain(|end| end != "update");
        assert_eq!(ends, ["delta", "documents", "accepted"]);
    }
    // Who may write desired alone is told so.
    app.publish(&format!("{prefix}/update"), br#"{"state":{"reported":{"lock":"open"}},"clientToken":"u"}"#).await;
    let refused = app.answer("update/rejected").await;
    assert_eq!((refused["code"].as_u64(), refused["clientToken"].as_str()), (Some(403), Some("u")));
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

#[tokio::test]
async fn what_aws_does_not_offer_ends_the_connection() {
    let site = Site::start().await;
    let own = "$aws/things/NAME/shadow/update";
    let large = vec![b'x'; 128 * 1024 + 1];
    let cases: [(&str, &[u8], Qos, bool, u8); 5] = [
        ("drawbridge/NAME/x", b"exactly once", Qos::ExactlyOnce, false, 0x9b),
        (own, br#"{"state":{}}"#, Qos::AtMostOnce, true, 0x9a),
        ("drawbridge/NAME/x", &large, Qos::AtMostOnce, false, 0x95),
        ("drawbridge/NAME/1/2/3/4/5/6/7", b"deep", Qos::AtMostOnce, false, 0x90),
        ("$SYS/x", b"reserved", Qos::AtMostOnce, false, 0x87),
    ];
    for (index, (topic, payload, qos, retain, reason)) in cases.into_iter().enumerate() {
        let name = format!("dock-{index}");
        let config = site.add(&name);
        let mut client = site.client(&config, Version::V5_0).await;
        // A client that does not heed what CONNACK announces.
        client
            .stream
            .write_all(
                &v5_0::Connect::builder()
                    .client_id(name.as_str())
                    .unwrap()
                    .keep_alive(60)
                    .build()
                    .unwrap()
                    .to_continuous_buffer(),
            )
            .await
            .unwrap();
        let mut publish =
            v5_0::Publish::builder().topic_name(topic.replace("NAME", &name)).unwrap().qos(qos).retain(retain);
        if qos != Qos::AtMostOnce {
            publish = publish.packet_id(7);
        }
        client.stream.write_all(&publish.payload(payload).build().unwrap().to_continuous_buffer()).await.unwrap();
        let mut bytes = Vec::new();
        let _ = timeout(PATIENCE, client.stream.read_to_end(&mut bytes)).await.expect("the broker closes");
        // DISCONNECT with its reason is the last packet.
        let tail: Vec<u8> = bytes.iter().rev().take(4).rev().copied().collect();
        assert!(tail.windows(3).any(|end| end[0] == 0xe0 && end[2] == reason), "{index} {bytes:02x?}");
    }
    let mut client = site.connected("dock-q").await;
    assert_eq!(client.subscribe(&["drawbridge/dock-q/x"], Qos::ExactlyOnce).await, None);
}

#[tokio::test]
async fn too_many_filters_or_subscriptions_are_refused() {
    let site = Site::start().await;
    let mut client = site.connected("dock-1").await;
    let names: Vec<String> = (0..60).map(|index| format!("drawbridge/dock-1/{index}")).collect();
    let codes: Vec<u8> = {
        let mut codes = Vec::new();
        for chunk in names.chunks(6) {
            let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
            codes.extend(client.subscribe(&chunk, Qos::AtMostOnce).await.unwrap());
        }
        codes
    };
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 50);
    assert!(codes[50..].iter().all(|code| *code == 0x80));
    let nine: Vec<&str> = names[..9].iter().map(String::as_str).collect();
    assert_eq!(client.subscribe(&nine, Qos::AtMostOnce).await, None);
}

#[tokio::test]
async fn more_than_ten_shadow_requests_without_answer_are_refused_and_every_one_is_answered() {
    let site = Site::start().await;
    let mut client = site.connected("dock-1").await;
    let prefix = "$aws/things/dock-1/shadow";
    client
        .subscribe(&[&format!("{prefix}/update/accepted"), &format!("{prefix}/update/rejected")], Qos::AtLeastOnce)
        .await
        .unwrap();
    for index in 0..60 {
        let text = format!(r#"{{"state":{{"reported":{{"n":{index}}}}},"clientToken":"{index}"}}"#);
        client.publish_as(&format!("{prefix}/update"), text.as_bytes(), Qos::AtMostOnce, false).await;
    }
    let mut answered = std::collections::BTreeSet::new();
    while answered.len() < 60 {
        let (topic, payload, _) = client.message().await;
        let document: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        if topic.ends_with("rejected") {
            assert_eq!(document["code"], 429, "{document}");
        }
        assert!(answered.insert(document["clientToken"].as_str().unwrap().to_owned()), "answered twice");
    }
}

#[tokio::test]
async fn retained_messages_and_last_wills_work_on_ordinary_topics() {
    let site = Site::start().await;
    let config = site.add_as("bridge", Role::Service, Writes::Both);
    for (version, name) in [(Version::V3_1_1, "dock-1"), (Version::V5_0, "dock-2")] {
        let topic = format!("drawbridge/{name}/status");
        let device = site.add(name);
        let mut client = site.client(&device, version).await;
        let connect: Packet = match version {
            Version::V5_0 => v5_0::Connect::builder()
                .client_id(name)
                .unwrap()
                .keep_alive(60)
                .will_message(topic.as_str(), b"gone".to_vec(), Qos::AtLeastOnce, true)
                .unwrap()
                .build()
                .unwrap()
                .into(),
            _ => v3_1_1::Connect::builder()
                .client_id(name)
                .unwrap()
                .clean_session(true)
                .keep_alive(60)
                .will_message(topic.as_str(), b"gone".to_vec(), Qos::AtLeastOnce, true)
                .unwrap()
                .build()
                .unwrap()
                .into(),
        };
        client.send(connect.clone()).await;
        assert_eq!(client.accepted().await, Some((0, false)));
        client.publish_as(&topic, b"here", Qos::AtLeastOnce, true).await;
        client.next().await.unwrap();

        let mut bridge = site.client(&config, version).await;
        assert_eq!(bridge.connect("bridge", true).await, Some(0));
        bridge.subscribe(&["drawbridge/+/status"], Qos::AtLeastOnce).await.unwrap();
        let mut seen = bridge.message().await;
        while seen.0 != topic {
            seen = bridge.message().await;
        }
        assert_eq!((seen.1.as_slice(), seen.2), (&b"here"[..], true));
        client.vanish();
        assert_eq!(bridge.message().await, (topic.clone(), b"gone".to_vec(), false));
        // Who says goodbye leaves no will.
        let mut client = site.client(&device, version).await;
        client.send(connect).await;
        client.accepted().await.unwrap();
        client.leave().await;
        bridge.publish_as(&topic, b"", Qos::AtLeastOnce, true).await;
        assert_eq!(bridge.message().await.1, b"");
        bridge.leave().await;
    }
}

#[tokio::test]
async fn a_will_on_a_shadow_topic_is_sent_but_asks_nothing_of_the_shadow() {
    let site = Site::start().await;
    let config = site.add_as("bridge", Role::Service, Writes::Both);
    let mut bridge = site.client(&config, Version::V3_1_1).await;
    bridge.connect("bridge", true).await.unwrap();
    bridge.subscribe(&["$aws/things/dock-1/shadow/#"], Qos::AtLeastOnce).await.unwrap();
    let device = site.add("dock-1");
    let mut client = site.client(&device, Version::V3_1_1).await;
    let will = br#"{"state":{"reported":{"connected":false}}}"#;
    let connect = v3_1_1::Connect::builder().client_id("dock-1").unwrap().clean_session(true).keep_alive(60);
    let connect =
        connect.will_message("$aws/things/dock-1/shadow/update", will.to_vec(), Qos::AtLeastOnce, false).unwrap();
    client.send(connect.build().unwrap()).await;
    client.accepted().await.unwrap();
    client.vanish();
    assert_eq!(bridge.message().await.0, "$aws/things/dock-1/shadow/update");
    bridge.publish("$aws/things/dock-1/shadow/get", b"").await;
    assert_eq!(bridge.answer("get/rejected").await["code"], 404);
    // A will on somebody else's topic keeps its client out.
    let mut client = site.client(&device, Version::V3_1_1).await;
    let connect = v3_1_1::Connect::builder().client_id("dock-1").unwrap().clean_session(true);
    let connect = connect.will_message("drawbridge/dock-2/status", b"x".to_vec(), Qos::AtMostOnce, false).unwrap();
    client.send(connect.build().unwrap()).await;
    assert_eq!(client.accepted().await, Some((5, false)));
}

#[tokio::test]
async fn the_same_client_again_takes_the_session_over() {
    let site = Site::start().await;
    let config = site.add("dock-1");
    let mut first = site.client(&config, Version::V5_0).await;
    assert_eq!(first.connect("dock-1", true).await, Some(0));
    let mut second = site.client(&config, Version::V5_0).await;
    assert_eq!(second.connect("dock-1", true).await, Some(0));
    assert_eq!(first.closed().await, Some(0x8e));
    assert!(second.publish("drawbridge/dock-1/x", b"still here").await);
}

#[tokio::test]
async fn a_client_that_is_silent_beyond_its_keep_alive_is_disconnected() {
    let site = Site::start().await;
    let config = site.add("dock-1");
    let mut client = site.client(&config, Version::V5_0).await;
    // Straight to the wire: the client's own state machine would ping.
    let connect = v5_0::Connect::builder().client_id("dock-1").unwrap().keep_alive(1).build().unwrap();
    client.stream.write_all(&connect.to_continuous_buffer()).await.unwrap();
    let start = Instant::now();
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, client.stream.read_to_end(&mut bytes)).await.expect("the broker closes");
    assert!(bytes.windows(3).any(|end| end[0] == 0xe0 && end[2] == 0x8d), "{bytes:02x?}");
    let elapsed = start.elapsed();
    assert!((Duration::from_millis(1400)..Duration::from_secs(4)).contains(&elapsed), "{elapsed:?}");
}

#[tokio::test]
async fn messages_that_were_not_acknowledged_come_again_under_their_number() {
    let site = Site::start().await;
    let config = site.add("dock-1");
    let mut client = site.client(&config, Version::V3_1_1).await;
    client.mqtt.set_auto_pub_response(false);
    client.connect("dock-1", false).await.unwrap();
    client.subscribe(&["drawbridge/dock-1/c"], Qos::AtLeastOnce).await.unwrap();
    let handle = site.broker.as_ref().unwrap().handle();
    handle.publish("drawbridge/dock-1/c".into(), b"open".to_vec(), device_bridge::broker::Quality::AtLeastOnce);
    let Some(Packet::V3_1_1Publish(first)) = client.next().await else { panic!("no message") };
    client.vanish();
    let mut client = site.client(&config, Version::V3_1_1).await;
    client.connect("dock-1", false).await.unwrap();
    let Some(Packet::V3_1_1Publish(again)) = client.next().await else { panic!("no message") };
    assert_eq!((again.packet_id(), again.dup(), first.dup()), (first.packet_id(), true, false));
}

#[tokio::test]
async fn who_publishes_faster_than_allowed_is_read_more_slowly() {
    let site = Site::start().await;
    for (name, role, most) in
        [("dock-1", Role::Device, PUBLISH_PER_SECOND_MAX), ("bridge", Role::Service, SERVICE_PUBLISH_PER_SECOND_MAX)]
    {
        let config = site.add_as(name, role, Writes::Both);
        let mut client = site.client(&config, Version::V3_1_1).await;
        assert_eq!(client.connect(name, true).await, Some(0));
        let begun = Instant::now();
        // A second's worth passes at once, the rest at its pace.
        let beyond = most / 4;
        for _ in 0..most + beyond {
            assert!(client.publish(&format!("drawbridge/{name}/x"), b"").await);
        }
        assert!(begun.elapsed() > Duration::from_secs(beyond.into()) / (most + 1), "{name}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn hostile_bytes_end_a_connection_and_nothing_else() {
    let site = Site::start().await;
    let config = site.add("dock-1");
    let mut witness = site.connected("dock-2").await;
    // A fixed walk: each test run sees the same bytes.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    };
    for round in 0..60 {
        let mut client = site.client(&config, Version::V5_0).await;
        if round % 2 == 0 {
            assert_eq!(client.connect("dock-1", true).await, Some(0));
        }
        let mut bytes: Vec<u8> = (0..8).flat_map(|_| next()).collect();
        // A packet type that exists, with a length that is short.
        bytes[0] = bytes[0] & 0x0f | (round % 16) << 4;
        bytes[1] = 30;
        let _ = client.stream.write_all(&bytes).await;
        let _ = client.stream.shutdown().await;
        while client.next().await.is_some() {}
    }
    for version in VERSIONS {
        let mut client = site.client(&config, version).await;
        // A packet that says to be larger than any may be.
        client.stream.write_all(&[0x30, 0xff, 0xff, 0xff, 0x7f, 0, 0]).await.unwrap();
        assert_eq!(client.closed().await, None);
    }
    assert!(witness.publish("drawbridge/dock-2/x", b"still here").await);
}

/// Waits for the first event that `wanted` makes something of.
async fn event<T>(
    events: &mut tokio::sync::broadcast::Receiver<BrokerEvent>,
    wanted: impl Fn(&BrokerEvent) -> Option<T>,
) -> T {
    let found = async {
        loop {
            if let Some(found) = wanted(&events.recv().await.unwrap()) {
                return found;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("the event comes")
}

#[tokio::test]
async fn services_in_the_process_are_told_who_comes_and_goes_and_what_shadows_become() {
    let site = Site::start().await;
    let handle = site.broker.as_ref().unwrap().handle();
    let mut events = handle.events();
    let mut client = site.connected("dock-1").await;
    let name = event(&mut events, |event| match event {
        BrokerEvent::Connected(name) => Some(name.to_string()),
        _ => None,
    });
    assert_eq!(name.await, "dock-1");
    let mut changes = Vec::new();
    for document in [
        r#"{"state":{"desired":{"lock":"open"}}}"#,
        r#"{"state":{"reported":{"lock":"open"}}}"#,
        r#"{"state":{"desired":null}}"#,
    ] {
        client.publish("$aws/things/dock-1/shadow/name/lock/update", document.as_bytes()).await;
        let change = event(&mut events, |event| match event {
            BrokerEvent::Shadow(change) => Some(change.clone()),
            _ => None,
        });
        changes.push(change.await);
    }
    let states: Vec<Value> = changes.iter().map(|change| serde_json::json!(change.state)).collect();
    assert_eq!(
        states,
        [
            serde_json::json!({"desired": {"lock": "open"}, "delta": {"lock": "open"}}),
            serde_json::json!({"desired": {"lock": "open"}, "reported": {"lock": "open"}}),
            serde_json::json!({"reported": {"lock": "open"}}),
        ]
    );
    let name = changes[0].name.clone();
    let kept = handle.shadows().changes(&name, u64::MAX, 10).unwrap();
    assert_eq!(kept.iter().rev().collect::<Vec<_>>(), changes.iter().map(|change| &**change).collect::<Vec<_>>());
    assert_eq!(handle.shadows().changes(&name, 3, 1).unwrap(), [ShadowChange::clone(&changes[1])]);
    assert!(handle.shadows().changes(&name, 1, 10).unwrap().is_empty());
    // The classic shadow is another one.
    let classic = ShadowName::new("dock-1", None).unwrap();
    assert!(handle.shadows().changes(&classic, u64::MAX, 10).unwrap().is_empty());

    let alarm = br#"{"thing":"dock-1","stage":"Released"}"#.to_vec();
    handle.publish("drawbridge/alarms/dock-1".into(), alarm, device_bridge::broker::Quality::AtMostOnce);
    let told = event(&mut events, |event| match event {
        BrokerEvent::Alarm { thing, alarm } => Some((thing.clone(), alarm["stage"].clone())),
        _ => None,
    });
    assert_eq!(told.await, ("dock-1".to_owned(), serde_json::json!("Released")));

    assert!(!handle.scan("dock-1", "T1:X") && !handle.scan("dock-2", "T1:X"), "nobody takes codes");
    client.subscribe(&["drawbridge/dock-1/scan"], Qos::AtLeastOnce).await.unwrap();
    assert!(handle.scan("dock-1", "T1:X"));
    assert_eq!(client.message().await, ("drawbridge/dock-1/scan".to_owned(), b"T1:X".to_vec(), false));
    client.publish("drawbridge/dock-1/scans", br#"{"status":"refused"}"#).await;
    let told = event(&mut events, |event| match event {
        BrokerEvent::Scan { thing, report } => Some((thing.clone(), report["status"].clone())),
        _ => None,
    });
    assert_eq!(told.await, ("dock-1".to_owned(), serde_json::json!("refused")));

    assert_eq!(handle.revoke("dock-1", None).unwrap().len(), 1);
    let mut awaited = vec!["gone", "changed"];
    while !awaited.is_empty() {
        let told = event(&mut events, |event| match event {
            BrokerEvent::Disconnected(name) if &**name == "dock-1" => Some("gone"),
            BrokerEvent::Changed(name) if name == "dock-1" => Some("changed"),
            _ => None,
        });
        let told = told.await;
        awaited.retain(|waiting| *waiting != told);
    }
    assert!(client.closed().await.is_none_or(|code| code != 0));
    assert!(handle.revoke("nobody", None).is_err());
}

#[tokio::test]
async fn of_a_shadow_the_newest_changes_are_kept_and_those_of_a_former_life_are_not() {
    let site = Site::start().await;
    let handle = site.broker.as_ref().unwrap().handle();
    let name = ShadowName::new("dock-1", Some("lock")).unwrap();
    let ask = async |operation, document: String| {
        handle.shadows().ask(name.clone(), operation, document.into_bytes(), Writes::Both).await.unwrap()
    };
    for count in 0..CHANGES_KEPT + 5 {
        ask(Operation::Update, format!(r#"{{"state":{{"desired":{{"count":{count}}}}}}}"#)).await;
    }
    ask(Operation::Delete, String::new()).await;
    let kept = handle.shadows().changes(&name, u64::MAX, 1000).unwrap();
    assert_eq!(kept.len() as u64, CHANGES_KEPT);
    assert_eq!((kept[0].version, &kept[0].state), (CHANGES_KEPT + 6, &None));
    assert_eq!(kept.last().unwrap().version, 7);
    // Long after, the version is forgotten, and a shadow of that name begins anew.
    let mut batch = storage::Batch::default();
    batch.delete(storage::Table::Shadows, b"dock-1\0lock".to_vec());
    site.store.commit(batch, storage::Durability::Process).unwrap();
    ask(Operation::Update, r#"{"state":{"desired":{"count":0}}}"#.to_owned()).await;
    let kept = handle.shadows().changes(&name, u64::MAX, 1000).unwrap();
    assert_eq!(kept.iter().map(|change| change.version).collect::<Vec<_>>(), [1]);
}
