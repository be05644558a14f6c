//! What services in the same process are told, and what they may do.

use device_bridge::broker::{BrokerEvent, Quality};
use device_bridge::shadow::{ShadowChange, ShadowName};
use mqtt_protocol_core::mqtt::packet::Qos;
use serde_json::Value;
use tokio::time::timeout;

use crate::site::{PATIENCE, Site};

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
    handle.publish("drawbridge/alarms/dock-1".into(), alarm, Quality::AtMostOnce);
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
