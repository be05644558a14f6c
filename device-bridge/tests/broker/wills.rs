//! Retained messages and last wills.

use device_bridge::registry::Role;
use device_bridge::shadow::Writes;
use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::packet::{Packet, Qos, v3_1_1, v5_0};

use crate::site::Site;

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
