//! Sessions: what they keep, who takes them over, and how they end.

use std::time::{Duration, Instant};

use device_bridge::broker::Quality;
use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::packet::{Packet, Qos, v5_0};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::site::{PATIENCE, Site};

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
            assert_eq!(handle.publish(topic.clone(), text.into(), Quality::AtLeastOnce), 1);
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
async fn messages_that_were_not_acknowledged_come_again_under_their_number() {
    let site = Site::start().await;
    let config = site.add("dock-1");
    let mut client = site.client(&config, Version::V3_1_1).await;
    client.mqtt.set_auto_pub_response(false);
    client.connect("dock-1", false).await.unwrap();
    client.subscribe(&["drawbridge/dock-1/c"], Qos::AtLeastOnce).await.unwrap();
    let handle = site.broker.as_ref().unwrap().handle();
    handle.publish("drawbridge/dock-1/c".into(), b"open".to_vec(), Quality::AtLeastOnce);
    let Some(Packet::V3_1_1Publish(first)) = client.next().await else { panic!("no message") };
    client.vanish();
    let mut client = site.client(&config, Version::V3_1_1).await;
    client.connect("dock-1", false).await.unwrap();
    let Some(Packet::V3_1_1Publish(again)) = client.next().await else { panic!("no message") };
    assert_eq!((again.packet_id(), again.dup(), first.dup()), (first.packet_id(), true, false));
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
