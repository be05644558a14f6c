//! MQTT 3.1.1 and 5 side by side: what clients send, read into one form, and what is sent to them.

use std::sync::Arc;

use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::packet::{
    MaximumQos, MessageExpiryInterval, Packet, Property, Qos, RetainHandling, ServerKeepAlive, SessionExpiryInterval,
    SharedSubscriptionAvailable, SubEntry, SubscriptionIdentifierAvailable, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, PubackReasonCode, SubackReasonCode,
    SubackReturnCode, UnsubackReasonCode,
};

use super::limits::{IN_FLIGHT_MAX, KEEP_ALIVE_SECONDS_MAX, SESSION_SECONDS, SESSION_SECONDS_MAX};
use super::message::{Message, Quality};
use super::session::{Queued, Subscription};

/// What a client sent.
#[derive(Debug)]
pub(super) enum Incoming {
    Connect(Connect),
    Publish(Publish),
    Acknowledged(u16),
    Subscribe {
        packet_id: u16,
        filters: Vec<Filter>,
    },
    Unsubscribe {
        packet_id: u16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect {
        with_will: bool,
        keep_seconds: Option<u32>,
    },
    /// A packet of the handshakes for exactly-once delivery or of extended authentication, which are not offered.
    Unsupported,
}

#[derive(Debug)]
pub(super) struct Connect {
    pub(super) client_id: String,
    pub(super) clean: bool,
    pub(super) keep_seconds: u32,
    /// What the client asked for; 0: none.
    pub(super) keep_alive_seconds: u16,
    pub(super) will: Option<Will>,
}

/// A last will.
#[derive(Debug)]
pub(super) struct Will {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    /// None: exactly once, which is not offered.
    pub(super) quality: Option<Quality>,
    pub(super) retain: bool,
    pub(super) delay_seconds: u32,
    pub(super) expiry_seconds: Option<u32>,
    pub(super) properties: Vec<Property>,
}

#[derive(Debug)]
pub(super) struct Publish {
    pub(super) packet_id: Option<u16>,
    pub(super) topic: String,
    pub(super) payload: Arc<[u8]>,
    /// None: exactly once, which is not offered.
    pub(super) quality: Option<Quality>,
    pub(super) retain: bool,
    pub(super) expiry_seconds: Option<u32>,
    pub(super) properties: Vec<Property>,
}

/// A topic filter that a client subscribes to.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) filter: String,
    /// None: exactly once, which is not offered.
    pub(super) subscription: Option<Subscription>,
    pub(super) retained: Retained,
}

/// When a client gets retained messages for a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retained {
    Always,
    IfNew,
    Never,
}

/// Reads a packet; none: a client does not send such a packet.
pub(super) fn read(packet: Packet) -> Option<Incoming> {
    Some(match packet {
        Packet::V3_1_1Connect(packet) => Incoming::Connect(connect_3(&packet)),
        Packet::V5_0Connect(packet) => Incoming::Connect(connect_5(&packet)),
        Packet::V3_1_1Publish(packet) => Incoming::Publish(Publish {
            packet_id: packet.packet_id(),
            topic: packet.topic_name().to_owned(),
            payload: packet.payload().as_slice().into(),
            quality: quality(packet.qos()),
            retain: packet.retain(),
            expiry_seconds: None,
            properties: Vec::new(),
        }),
        Packet::V5_0Publish(packet) => {
            let (expiry_seconds, properties) = passed_on(packet.props());
            Incoming::Publish(Publish {
                packet_id: packet.packet_id(),
                topic: packet.topic_name().to_owned(),
                payload: packet.payload().as_slice().into(),
                quality: quality(packet.qos()),
                retain: packet.retain(),
                expiry_seconds,
                properties,
            })
        }
        Packet::V3_1_1Puback(packet) => Incoming::Acknowledged(packet.packet_id()),
        Packet::V5_0Puback(packet) => Incoming::Acknowledged(packet.packet_id()),
        Packet::V3_1_1Subscribe(packet) => {
            Incoming::Subscribe { packet_id: packet.packet_id(), filters: filters(packet.entries()) }
        }
        Packet::V5_0Subscribe(packet) => {
            Incoming::Subscribe { packet_id: packet.packet_id(), filters: filters(packet.entries()) }
        }
        Packet::V3_1_1Unsubscribe(packet) => Incoming::Unsubscribe {
            packet_id: packet.packet_id(),
            filters: packet.entries().iter().map(|filter| filter.as_str().to_owned()).collect(),
        },
        Packet::V5_0Unsubscribe(packet) => Incoming::Unsubscribe {
            packet_id: packet.packet_id(),
            filters: packet.entries().iter().map(|filter| filter.as_str().to_owned()).collect(),
        },
        Packet::V3_1_1Pingreq(_) | Packet::V5_0Pingreq(_) => Incoming::Ping,
        Packet::V3_1_1Disconnect(_) => Incoming::Disconnect { with_will: false, keep_seconds: None },
        Packet::V5_0Disconnect(packet) => Incoming::Disconnect {
            with_will: packet.reason_code() == Some(DisconnectReasonCode::DisconnectWithWillMessage),
            keep_seconds: packet.props().as_ref().and_then(|props| session_expiry(props)),
        },
        Packet::V3_1_1Pubrec(_)
        | Packet::V3_1_1Pubrel(_)
        | Packet::V3_1_1Pubcomp(_)
        | Packet::V5_0Pubrec(_)
        | Packet::V5_0Pubrel(_)
        | Packet::V5_0Pubcomp(_)
        | Packet::V5_0Auth(_) => Incoming::Unsupported,
        Packet::V3_1_1Connack(_)
        | Packet::V3_1_1Suback(_)
        | Packet::V3_1_1Unsuback(_)
        | Packet::V3_1_1Pingresp(_)
        | Packet::V5_0Connack(_)
        | Packet::V5_0Suback(_)
        | Packet::V5_0Unsuback(_)
        | Packet::V5_0Pingresp(_) => return None,
    })
}

fn connect_3(packet: &v3_1_1::Connect) -> Connect {
    let will = packet.will_topic().map(|topic| Will {
        topic: topic.to_owned(),
        payload: packet.will_payload().unwrap_or_default().to_vec(),
        quality: quality(packet.will_qos()),
        retain: packet.will_retain(),
        delay_seconds: 0,
        expiry_seconds: None,
        properties: Vec::new(),
    });
    Connect {
        client_id: packet.client_id().to_owned(),
        clean: packet.clean_session(),
        keep_seconds: if packet.clean_session() { 0 } else { SESSION_SECONDS },
        keep_alive_seconds: packet.keep_alive(),
        will,
    }
}

fn connect_5(packet: &v5_0::Connect) -> Connect {
    let will = packet.will_topic().map(|topic| {
        let (expiry_seconds, properties) = passed_on(packet.will_props());
        let delay = packet.will_props().iter().find_map(|property| match property {
            Property::WillDelayInterval(delay) => Some(delay.val()),
            _ => None,
        });
        Will {
            topic: topic.to_owned(),
            payload: packet.will_payload().unwrap_or_default().to_vec(),
            quality: quality(packet.will_qos()),
            retain: packet.will_retain(),
            delay_seconds: delay.unwrap_or(0),
            expiry_seconds,
            properties,
        }
    });
    Connect {
        client_id: packet.client_id().to_owned(),
        clean: packet.clean_start(),
        keep_seconds: session_expiry(packet.props()).unwrap_or(0),
        keep_alive_seconds: packet.keep_alive(),
        will,
    }
}

fn session_expiry(properties: &[Property]) -> Option<u32> {
    properties.iter().find_map(|property| match property {
        Property::SessionExpiryInterval(seconds) => Some(seconds.val().min(SESSION_SECONDS_MAX)),
        _ => None,
    })
}

/// Returns the expiry, and the properties that go on to those who are subscribed.
fn passed_on(properties: &[Property]) -> (Option<u32>, Vec<Property>) {
    let expiry = properties.iter().find_map(|property| match property {
        Property::MessageExpiryInterval(seconds) => Some(seconds.val()),
        _ => None,
    });
    let passed = properties.iter().filter(|property| {
        matches!(
            property,
            Property::PayloadFormatIndicator(_)
                | Property::ContentType(_)
                | Property::ResponseTopic(_)
                | Property::CorrelationData(_)
                | Property::UserProperty(_)
        )
    });
    (expiry, passed.cloned().collect())
}

fn filters(entries: &[SubEntry]) -> Vec<Filter> {
    let read = |entry: &SubEntry| {
        let options = entry.sub_opts();
        let subscription =
            |at_least_once| Subscription { at_least_once, no_local: options.nl(), retain_as_published: options.rap() };
        Filter {
            filter: entry.topic_filter().to_owned(),
            subscription: match options.qos() {
                Qos::AtMostOnce => Some(subscription(false)),
                Qos::AtLeastOnce => Some(subscription(true)),
                Qos::ExactlyOnce => None,
            },
            retained: match options.rh() {
                RetainHandling::SendRetained => Retained::Always,
                RetainHandling::SendRetainedIfNotExists => Retained::IfNew,
                RetainHandling::DoNotSendRetained => Retained::Never,
            },
        }
    };
    entries.iter().map(read).collect()
}

fn quality(qos: Qos) -> Option<Quality> {
    match qos {
        Qos::AtMostOnce => Some(Quality::AtMostOnce),
        Qos::AtLeastOnce => Some(Quality::AtLeastOnce),
        Qos::ExactlyOnce => None,
    }
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Policy or registry say no.
    NotAuthorized,
    /// The client id is not the thing's name, or malformed.
    ClientId,
    /// The last will is not allowed so.
    Will,
    /// There are too many sessions.
    Full,
}

/// Makes packets of one protocol version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer(pub(super) Version);

type Written = Result<Packet, MqttError>;

impl Writer {
    fn is_5(self) -> bool {
        self.0 == Version::V5_0
    }

    pub(super) fn accepted(self, is_present: bool, connect: &Connect) -> Written {
        if !self.is_5() {
            let packet =
                v3_1_1::Connack::builder().session_present(is_present).return_code(ConnectReturnCode::Accepted);
            return Ok(packet.build()?.into());
        }
        let mut properties: Vec<Property> = vec![
            MaximumQos::new(1)?.into(),
            SubscriptionIdentifierAvailable::new(0)?.into(),
            SharedSubscriptionAvailable::new(0)?.into(),
            SessionExpiryInterval::new(connect.keep_seconds)?.into(),
        ];
        let keep_alive = keep_alive_seconds(connect.keep_alive_seconds);
        if keep_alive != connect.keep_alive_seconds {
            properties.push(ServerKeepAlive::new(keep_alive)?.into());
        }
        let packet = v5_0::Connack::builder().session_present(is_present).reason_code(ConnectReasonCode::Success);
        Ok(packet.props(properties).build()?.into())
    }

    pub(super) fn refused(self, refusal: Refusal) -> Written {
        if !self.is_5() {
            let code = match refusal {
                Refusal::ClientId => ConnectReturnCode::IdentifierRejected,
                Refusal::NotAuthorized | Refusal::Will => ConnectReturnCode::NotAuthorized,
                Refusal::Full => ConnectReturnCode::ServerUnavailable,
            };
            return Ok(v3_1_1::Connack::builder().session_present(false).return_code(code).build()?.into());
        }
        let code = match refusal {
            Refusal::ClientId => ConnectReasonCode::ClientIdentifierNotValid,
            Refusal::NotAuthorized | Refusal::Will => ConnectReasonCode::NotAuthorized,
            Refusal::Full => ConnectReasonCode::QuotaExceeded,
        };
        Ok(v5_0::Connack::builder().session_present(false).reason_code(code).build()?.into())
    }

    pub(super) fn acknowledgement(self, packet_id: u16) -> Written {
        Ok(if self.is_5() {
            v5_0::Puback::builder().packet_id(packet_id).reason_code(PubackReasonCode::Success).build()?.into()
        } else {
            v3_1_1::Puback::builder().packet_id(packet_id).build()?.into()
        })
    }

    pub(super) fn subscribed(self, packet_id: u16, codes: &[Granted]) -> Written {
        if !self.is_5() {
            let codes = codes.iter().map(|code| match code {
                Granted::With(Quality::AtMostOnce) => SubackReturnCode::SuccessMaximumQos0,
                Granted::With(Quality::AtLeastOnce) => SubackReturnCode::SuccessMaximumQos1,
                Granted::NotAuthorized | Granted::Malformed | Granted::TooMany | Granted::Shared => {
                    SubackReturnCode::Failure
                }
            });
            return Ok(v3_1_1::Suback::builder().packet_id(packet_id).return_codes(codes.collect()).build()?.into());
        }
        let codes = codes.iter().map(|code| match code {
            Granted::With(Quality::AtMostOnce) => SubackReasonCode::GrantedQos0,
            Granted::With(Quality::AtLeastOnce) => SubackReasonCode::GrantedQos1,
            Granted::NotAuthorized => SubackReasonCode::NotAuthorized,
            Granted::Malformed => SubackReasonCode::TopicFilterInvalid,
            Granted::TooMany => SubackReasonCode::QuotaExceeded,
            Granted::Shared => SubackReasonCode::SharedSubscriptionsNotSupported,
        });
        Ok(v5_0::Suback::builder().packet_id(packet_id).reason_codes(codes.collect()).build()?.into())
    }

    pub(super) fn unsubscribed(self, packet_id: u16, existed: &[bool]) -> Written {
        if !self.is_5() {
            return Ok(v3_1_1::Unsuback::builder().packet_id(packet_id).build()?.into());
        }
        let code = |existed: &bool| match existed {
            true => UnsubackReasonCode::Success,
            false => UnsubackReasonCode::NoSubscriptionExisted,
        };
        let codes = existed.iter().map(code).collect();
        Ok(v5_0::Unsuback::builder().packet_id(packet_id).reason_codes(codes).build()?.into())
    }

    pub(super) fn pong(self) -> Packet {
        if self.is_5() { v5_0::Pingresp::new().into() } else { v3_1_1::Pingresp::new().into() }
    }

    /// Returns the packet that tells why the broker closes; MQTT 3.1.1 has none.
    pub(super) fn disconnect(self, code: DisconnectReasonCode) -> Option<Packet> {
        if !self.is_5() {
            return None;
        }
        v5_0::Disconnect::builder().reason_code(code).build().ok().map(Packet::from)
    }

    /// Returns the packet that delivers a message; `packet_id` is there where it is to be acknowledged.
    pub(super) fn publish(self, queued: &Queued, packet_id: Option<u16>, now: u64) -> Written {
        let message: &Message = &queued.message;
        let qos = if packet_id.is_some() { Qos::AtLeastOnce } else { Qos::AtMostOnce };
        let is_repeated = queued.sent_as.is_some();
        if !self.is_5() {
            let mut packet = v3_1_1::Publish::builder().topic_name(message.topic.as_str())?.qos(qos).dup(is_repeated);
            if let Some(packet_id) = packet_id {
                packet = packet.packet_id(packet_id);
            }
            return Ok(packet.retain(queued.retain).payload(message.payload.clone()).build()?.into());
        }
        let mut properties = message.properties.clone();
        if let Some(expires_at) = message.expires_at {
            let left = u32::try_from(expires_at.saturating_sub(now)).unwrap_or(u32::MAX);
            properties.push(MessageExpiryInterval::new(left)?.into());
        }
        let mut packet = v5_0::Publish::builder().topic_name(message.topic.as_str())?.qos(qos).dup(is_repeated);
        if let Some(packet_id) = packet_id {
            packet = packet.packet_id(packet_id);
        }
        Ok(packet.retain(queued.retain).props(properties).payload(message.payload.clone()).build()?.into())
    }
}

/// The answer to one filter of a SUBSCRIBE packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Granted {
    With(Quality),
    NotAuthorized,
    Malformed,
    TooMany,
    Shared,
}

/// Returns the keep-alive that holds for a client which asked for `asked`.
pub(super) fn keep_alive_seconds(asked: u16) -> u16 {
    if asked == 0 { KEEP_ALIVE_SECONDS_MAX } else { asked.min(KEEP_ALIVE_SECONDS_MAX) }
}

/// The most messages that may be in flight to a client, beside what it allows itself.
pub(super) const fn in_flight_max() -> usize {
    IN_FLIGHT_MAX as usize
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
