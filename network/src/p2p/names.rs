//! The names of gossip messages: by their content, as the machine names them, so that the same block from two nodes is one message and
//! is looked at once.
//!
//! A message that was found invalid has another name each time it comes: whoever sends it again is judged too, and not passed over
//! as one who repeats what is known.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::{B256, keccak256};
use libp2p::gossipsub::{DataTransform, IdentTopic, Message, MessageId, RawMessage, TopicHash};
use parking_lot::Mutex;

use super::board::{Board, Counters};
use crate::machine::Seen;
use crate::message::{GossipId, Topic};

/// How many invalid messages are remembered. Each has cost somebody a connection.
const REJECTED_MAX: usize = 1024;
/// How many bytes of a name say what the content is; the rest tells apart how often an invalid message has come.
const CONTENT_BYTES: usize = 12;

/// Names gossip messages; shared by gossip, which asks for names, and by the shell, which learns what is invalid.
pub(crate) struct Names {
    topics: [(Topic, String); 2],
    rejected: Mutex<Seen>,
    again: AtomicU64,
}

impl Names {
    /// Makes the names of the messages of one chain.
    pub(crate) fn new(genesis: B256) -> Self {
        Self {
            topics: Topic::ALL.map(|topic| (topic, topic.name(genesis))),
            rejected: Mutex::new(Seen::new(REJECTED_MAX)),
            again: AtomicU64::new(0),
        }
    }

    /// Returns the topics with their names on the wire.
    pub(crate) fn topics(&self) -> &[(Topic, String); 2] {
        &self.topics
    }

    /// Returns the topics as gossip knows them: what else a peer says it listens to is not kept.
    pub(crate) fn hashes(&self) -> HashSet<TopicHash> {
        self.topics.iter().map(|(_, name)| IdentTopic::new(name).hash()).collect()
    }

    /// Returns the topic that has this name.
    pub(crate) fn topic(&self, name: &str) -> Option<Topic> {
        self.topics.iter().find(|(_, known)| known == name).map(|(topic, _)| *topic)
    }

    /// Names a message that came or is to be published.
    pub(crate) fn name(&self, message: &Message) -> MessageId {
        let Some(topic) = self.topic(message.topic.as_str()) else {
            // Nobody here listens to other topics.
            return MessageId::from(keccak256(&message.data).to_vec());
        };
        let mut id = GossipId::of(topic, &message.data);
        if self.rejected.lock().contains(content(id)) {
            let count = self.again.fetch_add(1, Ordering::Relaxed);
            id.0[CONTENT_BYTES..].copy_from_slice(&count.to_be_bytes());
        }
        MessageId::from(id.0.to_vec())
    }

    /// Remembers a message as invalid.
    pub(crate) fn reject(&self, id: GossipId) {
        self.rejected.lock().insert(content(id));
    }
}

/// Counts what comes by gossip, known or new, and leaves it as it is where its topic is listened to. Gossip would keep what is about
/// another topic for a while and tell nobody; here it becomes a message of no bytes about one of ours, which is none, and whoever sent it
/// is judged: who does not listen to a topic is sent nothing about it by a node.
pub(crate) struct Counted {
    board: Arc<Board>,
    wanted: HashSet<TopicHash>,
    instead: TopicHash,
}

impl Counted {
    /// Makes a counter of what comes about these topics.
    pub(crate) fn new(board: Arc<Board>, names: &Names) -> Self {
        Self { board, wanted: names.hashes(), instead: IdentTopic::new(&names.topics[0].1).hash() }
    }
}

impl DataTransform for Counted {
    fn inbound_transform(&self, message: RawMessage) -> io::Result<Message> {
        let RawMessage { source, data, sequence_number, topic, .. } = message;
        Counters::add(&self.board.counters.gossip_in, 1);
        Counters::add(&self.board.counters.bytes_in, data.len());
        let (data, topic) =
            if self.wanted.contains(&topic) { (data, topic) } else { (Vec::new(), self.instead.clone()) };
        Ok(Message { source, data, sequence_number, topic })
    }

    fn outbound_transform(&self, _: &TopicHash, data: Vec<u8>) -> io::Result<Vec<u8>> {
        Ok(data)
    }
}

/// Returns what a name says of the content.
fn content(id: GossipId) -> B256 {
    B256::right_padding_from(&id.0[..CONTENT_BYTES])
}

/// Returns the machine's name for a message of a topic that is listened to.
pub(crate) fn gossip_id(id: &MessageId) -> Option<GossipId> {
    id.0.as_slice().try_into().ok().map(GossipId)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn named(names: &Names, topic: Topic, data: &[u8]) -> GossipId {
        let topic = IdentTopic::new(topic.name(B256::ZERO)).hash();
        gossip_id(&names.name(&Message { source: None, data: data.to_vec(), sequence_number: None, topic })).unwrap()
    }

    #[test]
    fn the_same_content_has_the_same_name_until_it_is_rejected() {
        let names = Names::new(B256::ZERO);
        let id = GossipId::of(Topic::Blocks, &[1]);
        assert_eq!([named(&names, Topic::Blocks, &[1]), named(&names, Topic::Blocks, &[1])], [id, id]);
        names.reject(id);
        let again = [named(&names, Topic::Blocks, &[1]), named(&names, Topic::Blocks, &[1])];
        assert!(again[0] != id && again[1] != id && again[0] != again[1]);
        // To reject it anew changes nothing, and other messages keep their names.
        names.reject(again[0]);
        assert_eq!(names.rejected.lock().len(), 1);
        for (topic, data) in [(Topic::Transactions, [1]), (Topic::Blocks, [2])] {
            assert_eq!(named(&names, topic, &data), GossipId::of(topic, &data));
        }
    }

    #[test]
    fn what_is_about_another_topic_comes_as_no_message_and_is_counted() {
        let (names, board) = (Names::new(B256::ZERO), Arc::new(Board::default()));
        let counted = Counted::new(Arc::clone(&board), &names);
        let raw = |topic: &str| RawMessage {
            source: None,
            data: vec![1; 10],
            sequence_number: None,
            topic: IdentTopic::new(topic).hash(),
            signature: None,
            key: None,
            validated: false,
        };
        let ours = names.topics()[1].1.clone();
        for (topic, bytes) in [(&ours[..], 10), ("elsewhere", 0)] {
            let message = counted.inbound_transform(raw(topic)).unwrap();
            assert_eq!(message.data.len(), bytes, "{topic}");
            assert!(gossip_id(&names.name(&message)).is_some(), "{topic}");
        }
        let counters = &board.counters;
        assert_eq!([&counters.gossip_in, &counters.bytes_in].map(|count| count.load(Ordering::Relaxed)), [2, 20]);
    }
}
