//! Which topics may be subscribed and published to, and what ends a connection.

use device_bridge::registry::Role;
use device_bridge::shadow::Writes;
use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::packet::{Qos, v5_0};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::site::{PATIENCE, Site};

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
