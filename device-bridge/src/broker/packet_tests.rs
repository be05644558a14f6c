//! Bytes from devices never panic: the protocol's state machine and what reads its packets, fed with damaged ones.
#![allow(clippy::unwrap_used)]

use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event};
use mqtt_protocol_core::mqtt::packet::{
    ContentType, GenericPacketTrait, ReasonString, SubOpts, TopicAlias, UserProperty, WillDelayInterval,
};
use mqtt_protocol_core::mqtt::{self, role};
use proptest::prelude::*;

use super::super::limits::PACKET_BYTES_MAX;
use super::*;

fn connect(version: Version) -> Packet {
    match version {
        Version::V5_0 => v5_0::Connect::builder()
            .client_id("c")
            .unwrap()
            .clean_start(true)
            .keep_alive(10)
            .user_name("?SDK=x")
            .unwrap()
            .will_message("will", b"gone".to_vec(), Qos::AtLeastOnce, true)
            .unwrap()
            .will_props(vec![WillDelayInterval::new(5).unwrap().into(), UserProperty::new("a", "b").unwrap().into()])
            .props(vec![SessionExpiryInterval::new(9).unwrap().into(), UserProperty::new("a", "b").unwrap().into()])
            .build()
            .unwrap()
            .into(),
        _ => v3_1_1::Connect::builder()
            .client_id("c")
            .unwrap()
            .clean_session(true)
            .keep_alive(10)
            .will_message("will", b"gone".to_vec(), Qos::AtLeastOnce, true)
            .unwrap()
            .build()
            .unwrap()
            .into(),
    }
}

/// One of each packet that a client sends.
fn packets(version: Version) -> Vec<Vec<u8>> {
    let entry = || SubEntry::new("a/+", SubOpts::new().set_qos(Qos::AtLeastOnce)).unwrap();
    let packets: Vec<Packet> = match version {
        Version::V5_0 => vec![
            connect(version),
            v5_0::Publish::builder()
                .topic_name("a/b")
                .unwrap()
                .qos(Qos::AtLeastOnce)
                .packet_id(1_u16)
                .props(vec![
                    ContentType::new("text/plain").unwrap().into(),
                    TopicAlias::new(1).unwrap().into(),
                    UserProperty::new("a", "b").unwrap().into(),
                ])
                .payload(b"payload")
                .build()
                .unwrap()
                .into(),
            v5_0::Subscribe::builder().packet_id(2_u16).entries(vec![entry()]).build().unwrap().into(),
            v5_0::Unsubscribe::builder().packet_id(3_u16).entries(["a/+"]).unwrap().build().unwrap().into(),
            v5_0::Puback::builder().packet_id(4_u16).reason_code(PubackReasonCode::Success).build().unwrap().into(),
            v5_0::Pubrel::builder().packet_id(5_u16).build().unwrap().into(),
            v5_0::Pubrec::builder().packet_id(6_u16).build().unwrap().into(),
            v5_0::Pingreq::new().into(),
            v5_0::Disconnect::builder()
                .reason_code(DisconnectReasonCode::DisconnectWithWillMessage)
                .props(vec![ReasonString::new("bye").unwrap().into()])
                .build()
                .unwrap()
                .into(),
        ],
        _ => vec![
            connect(version),
            v3_1_1::Publish::builder()
                .topic_name("a/b")
                .unwrap()
                .qos(Qos::AtLeastOnce)
                .packet_id(1_u16)
                .payload(b"payload")
                .build()
                .unwrap()
                .into(),
            v3_1_1::Subscribe::builder().packet_id(2_u16).entries(vec![entry()]).build().unwrap().into(),
            v3_1_1::Unsubscribe::builder().packet_id(3_u16).entries(["a/+"]).unwrap().build().unwrap().into(),
            v3_1_1::Puback::builder().packet_id(4_u16).build().unwrap().into(),
            v3_1_1::Pubrel::builder().packet_id(5_u16).build().unwrap().into(),
            v3_1_1::Pingreq::new().into(),
            v3_1_1::Disconnect::new().into(),
        ],
    };
    packets.iter().map(GenericPacketTrait::to_continuous_buffer).collect()
}

/// Feeds the bytes to a fresh connection, connected before where that is asked for, as the broker does.
fn feed(version: Version, is_connected: bool, bytes: &[u8]) {
    let options = ConnectionOptions::new().maximum_packet_size_recv(PACKET_BYTES_MAX).receive_maximum(IN_FLIGHT_MAX);
    let mut connection = mqtt::Connection::<role::Server>::with_options(Version::Undetermined, options);
    if is_connected {
        let hello = connect(version).to_continuous_buffer();
        let events = connection.recv(&mut Cursor::new(&hello));
        let Some(Incoming::Connect(connect)) = received(events) else { panic!("no CONNECT") };
        let _ = connection.send(Writer(version).accepted(false, &connect).unwrap());
    }
    let mut cursor = Cursor::new(bytes);
    while cursor.position() < bytes.len() as u64 {
        let events = connection.recv(&mut cursor);
        let is_over = events.iter().any(|event| matches!(event, Event::NotifyError(_) | Event::RequestClose));
        let _ = received(events);
        if is_over {
            return;
        }
    }
}

fn received(events: Vec<Event>) -> Option<Incoming> {
    events.into_iter().find_map(|event| match event {
        Event::NotifyPacketReceived(packet) => read(packet),
        _ => None,
    })
}

fn versions() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V3_1_1), Just(Version::V5_0)]
}

#[test]
fn what_clients_send_is_read() {
    for version in [Version::V3_1_1, Version::V5_0] {
        for bytes in packets(version) {
            feed(version, true, &bytes);
            feed(version, false, &bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn damaged_packets_never_panic(
        version in versions(),
        is_connected: bool,
        which in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        mends_length: bool,
    ) {
        let mut bytes = which.get(&packets(version)).clone();
        for (place, value) in flips {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        // A packet that is whole by its length, whatever is inside.
        if mends_length && bytes.len() >= 2 {
            bytes[1] = u8::try_from((bytes.len() - 2).min(127)).unwrap();
        }
        feed(version, is_connected, &bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        version in versions(),
        is_connected: bool,
        kind in 0..16_u8,
        flags in 0..16_u8,
        body in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut bytes = vec![kind << 4 | flags, u8::try_from(body.len()).unwrap()];
        bytes.extend(body);
        feed(version, is_connected, &bytes);
    }
}
