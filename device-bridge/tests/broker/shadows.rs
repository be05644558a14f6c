//! The shadows behind the broker: who is answered, in which order, and which changes are kept.

use device_bridge::registry::Role;
use device_bridge::shadow::{CHANGES_KEPT, Operation, ShadowName, Writes};
use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::packet::Qos;
use serde_json::Value;

use crate::site::Site;

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
        let document: Value = serde_json::from_slice(&payload).unwrap();
        if topic.ends_with("rejected") {
            assert_eq!(document["code"], 429, "{document}");
        }
        assert!(answered.insert(document["clientToken"].as_str().unwrap().to_owned()), "answered twice");
    }
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
