//! A message on its way from whoever published it to whoever is subscribed, and its form on disk.

use std::sync::Arc;

use mqtt_protocol_core::mqtt::packet::Property;

/// The quality of service; there is no third one here, as with AWS IoT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quality {
    /// Sent once, perhaps lost.
    AtMostOnce,
    /// Sent until it is acknowledged.
    AtLeastOnce,
}

/// A message that was published.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Arc<[u8]>,
    pub(super) quality: Quality,
    pub(super) retain: bool,
    /// When it is of no use any more, in seconds since 1970.
    pub(super) expires_at: Option<u64>,
    /// What MQTT 5 clients tell each other beside the payload.
    pub(super) properties: Vec<Property>,
    /// Who published it; a client may ask not to get its own messages.
    pub(super) publisher: Option<Arc<str>>,
}

impl Message {
    pub(super) fn plain(topic: String, payload: Vec<u8>, quality: Quality) -> Self {
        Self {
            topic,
            payload: payload.into(),
            quality,
            retain: false,
            expires_at: None,
            properties: Vec::new(),
            publisher: None,
        }
    }

    /// Returns what the message counts in queues.
    pub(super) fn size_bytes(&self) -> usize {
        self.topic.len() + self.payload.len()
    }

    pub(super) fn is_expired(&self, now: u64) -> bool {
        self.expires_at.is_some_and(|expires| expires <= now)
    }

    /// Encodes it for the store: quality, retain, expiry (8 bytes, 0: none), lengths of topic (2) and properties (4), and the
    /// three texts. The publisher is not kept: it may have reconnected since.
    pub(super) fn encode(&self) -> Vec<u8> {
        let properties: Vec<u8> = self.properties.iter().flat_map(Property::to_continuous_buffer).collect();
        let topic_size = u16::try_from(self.topic.len()).expect("topics have at most 256 bytes");
        let properties_size = u32::try_from(properties.len()).expect("a packet is smaller than 4 GiB");
        let mut bytes = Vec::with_capacity(16 + self.size_bytes() + properties.len());
        bytes.push(u8::from(self.quality == Quality::AtLeastOnce));
        bytes.push(u8::from(self.retain));
        bytes.extend_from_slice(&self.expires_at.unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(&topic_size.to_be_bytes());
        bytes.extend_from_slice(&properties_size.to_be_bytes());
        bytes.extend_from_slice(self.topic.as_bytes());
        bytes.extend_from_slice(&properties);
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// Decodes what [`encode`](Self::encode) wrote; none: it is damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<16>()?;
        let expires_at = u64::from_be_bytes(head[2..10].try_into().ok()?);
        let topic_size = usize::from(u16::from_be_bytes([head[10], head[11]]));
        let properties_size = usize::try_from(u32::from_be_bytes(head[12..16].try_into().ok()?)).ok()?;
        let (topic, rest) = rest.split_at_checked(topic_size)?;
        let (mut encoded, payload) = rest.split_at_checked(properties_size)?;
        let mut properties = Vec::new();
        while !encoded.is_empty() {
            let (property, size) = Property::parse(encoded).ok()?;
            properties.push(property);
            encoded = encoded.get(size.max(1)..)?;
        }
        Some(Self {
            topic: std::str::from_utf8(topic).ok()?.to_owned(),
            payload: payload.into(),
            quality: if head[0] == 1 { Quality::AtLeastOnce } else { Quality::AtMostOnce },
            retain: head[1] == 1,
            expires_at: (expires_at != 0).then_some(expires_at),
            properties,
            publisher: None,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use mqtt_protocol_core::mqtt::packet::{ContentType, UserProperty};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            topic in "[a-z/]{1,256}", payload in prop::collection::vec(any::<u8>(), 0..200), once: bool, retain: bool,
            expires_at in prop::option::of(1..u64::MAX), with_properties: bool,
        ) {
            let mut message = Message::plain(topic, payload, if once { Quality::AtLeastOnce } else { Quality::AtMostOnce });
            message.retain = retain;
            message.expires_at = expires_at;
            if with_properties {
                message.properties = vec![
                    ContentType::new("text/plain").unwrap().into(), UserProperty::new("a", "b").unwrap().into(),
                ];
            }
            let bytes = message.encode();
            prop_assert_eq!(Message::decode(&bytes), Some(message.clone()));
            for cut in 0..bytes.len() - message.payload.len() {
                prop_assert!(Message::decode(&bytes[..cut]).is_none());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Message::decode(&bytes);
        }
    }
}
