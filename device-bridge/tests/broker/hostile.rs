//! Clients that are too fast, or send what is no MQTT.

use std::time::{Duration, Instant};

use device_bridge::broker::limits::{PUBLISH_PER_SECOND_MAX, SERVICE_PUBLISH_PER_SECOND_MAX};
use device_bridge::registry::Role;
use device_bridge::shadow::Writes;
use mqtt_protocol_core::mqtt::Version;
use tokio::io::AsyncWriteExt;

use crate::site::Site;

const VERSIONS: [Version; 2] = [Version::V3_1_1, Version::V5_0];

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
