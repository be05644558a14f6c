//! A client's session: what waits for it and what it has not acknowledged yet. It outlives the connection where the client
//! asked for that.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};

use super::limits::{QUEUE_BYTES_MAX, QUEUE_MESSAGES_MAX};
use super::message::{Message, Quality};

/// Says why the broker closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The same client connected again.
    TakenOver,
    /// Its certificate is not accepted any more.
    Revoked,
    /// The broker stops.
    Stopping,
}

/// How a client subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subscription {
    pub(super) at_least_once: bool,
    /// The client does not want its own messages.
    #[serde(default)]
    pub(super) no_local: bool,
    /// The retain flag is passed on as it was published.
    #[serde(default)]
    pub(super) retain_as_published: bool,
}

impl Subscription {
    pub(super) fn quality(&self) -> Quality {
        if self.at_least_once { Quality::AtLeastOnce } else { Quality::AtMostOnce }
    }
}

/// A message in a client's queue.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    /// Its place in the session; the key of its row, where it has one.
    pub(super) number: u64,
    pub(super) message: Arc<Message>,
    pub(super) quality: Quality,
    pub(super) retain: bool,
    /// The packet id under which it was sent before.
    pub(super) sent_as: Option<u16>,
}

/// The session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Arc<str>,
    /// Told when there is something to send.
    pub(super) wake: Notify,
    pub(super) state: Mutex<State>,
}

/// The part of a session that changes.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The number of the connection that has the session, and how to close it.
    pub(super) connection: Option<(u64, oneshot::Sender<Close>)>,
    /// How long the session is kept without a connection, in seconds; 0: not at all.
    pub(super) keep_seconds: u32,
    /// When a session without connection ends, in seconds since 1970.
    pub(super) ends_at: Option<u64>,
    /// It was replaced or ended; nothing may be put in it.
    pub(super) is_discarded: bool,
    pub(super) subscriptions: BTreeMap<String, Subscription>,
    pub(super) next_number: u64,
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    in_flight: VecDeque<(u16, Queued)>,
    /// Messages for which there was no room.
    pub(super) dropped: u64,
}

/// What became of a message that was to be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits, and is to be stored under this number.
    Stored(u64),
    /// It waits.
    Queued,
    /// There was no room, or nobody who could get it.
    Dropped,
}

impl Session {
    pub(super) fn new(client: Arc<str>) -> Self {
        Self { client, wake: Notify::new(), state: Mutex::default() }
    }
}

impl State {
    /// Queues a message. What is sent at most once is not kept for a client that is away.
    pub(super) fn push(&mut self, message: &Arc<Message>, quality: Quality, retain: bool) -> Pushed {
        let nobody = self.connection.is_none() && quality == Quality::AtMostOnce;
        if self.is_discarded || nobody {
            return Pushed::Dropped;
        }
        let size = message.size_bytes();
        if self.queue.len() >= QUEUE_MESSAGES_MAX || self.queue_bytes.saturating_add(size) > QUEUE_BYTES_MAX {
            self.dropped = self.dropped.saturating_add(1);
            return Pushed::Dropped;
        }
        let number = self.next_number;
        self.next_number = number.saturating_add(1);
        self.restore(Queued { number, message: message.clone(), quality, retain, sent_as: None });
        if quality == Quality::AtLeastOnce && self.keep_seconds > 0 { Pushed::Stored(number) } else { Pushed::Queued }
    }

    /// Queues a message that was stored, after those that are there.
    pub(super) fn restore(&mut self, queued: Queued) {
        self.next_number = self.next_number.max(queued.number.saturating_add(1));
        self.queue_bytes = self.queue_bytes.saturating_add(queued.message.size_bytes());
        self.queue.push_back(queued);
    }

    /// Takes the next message that may be sent while `room` more may be in flight.
    pub(super) fn pop(&mut self, room: bool) -> Option<Queued> {
        let next = self.queue.front()?;
        if next.quality == Quality::AtLeastOnce && !room {
            return None;
        }
        let next = self.queue.pop_front()?;
        self.queue_bytes = self.queue_bytes.saturating_sub(next.message.size_bytes());
        Some(next)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Notes that a message was sent and waits to be acknowledged.
    pub(super) fn sent(&mut self, packet_id: u16, queued: Queued) {
        self.in_flight.push_back((packet_id, queued));
    }

    /// Takes what was acknowledged.
    pub(super) fn acknowledged(&mut self, packet_id: u16) -> Option<Queued> {
        let place = self.in_flight.iter().position(|(id, _)| *id == packet_id)?;
        self.in_flight.remove(place).map(|(_, queued)| queued)
    }

    /// Puts what was not acknowledged before everything else, to be sent again under the same packet ids.
    pub(super) fn requeue(&mut self) {
        while let Some((packet_id, mut queued)) = self.in_flight.pop_back() {
            queued.sent_as = Some(packet_id);
            self.queue_bytes = self.queue_bytes.saturating_add(queued.message.size_bytes());
            self.queue.push_front(queued);
        }
    }

    /// Drops what is sent at most once: its client went away.
    pub(super) fn forget_unreliable(&mut self) {
        self.queue.retain(|queued| queued.quality == Quality::AtLeastOnce);
        self.queue_bytes = self.queue.iter().map(|queued| queued.message.size_bytes()).sum();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn message(size: usize) -> Arc<Message> {
        Arc::new(Message::plain("t".into(), vec![0; size], Quality::AtLeastOnce))
    }

    fn connected() -> State {
        State { connection: Some((1, oneshot::channel().0)), keep_seconds: 60, ..State::default() }
    }

    #[test]
    fn a_queue_has_bounds_in_count_and_bytes() {
        let mut state = connected();
        let small = message(1);
        let stored =
            (0..QUEUE_MESSAGES_MAX + 5).filter(|_| state.push(&small, Quality::AtLeastOnce, false) != Pushed::Dropped);
        assert_eq!(stored.count(), QUEUE_MESSAGES_MAX);
        assert_eq!(state.dropped, 5);
        let mut state = connected();
        let large = message(QUEUE_BYTES_MAX / 4);
        let stored = (0..10).filter(|_| state.push(&large, Quality::AtMostOnce, false) != Pushed::Dropped);
        assert_eq!(stored.count(), 3);
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_first_and_in_order() {
        let mut state = connected();
        for _ in 0..4 {
            state.push(&message(1), Quality::AtLeastOnce, false);
        }
        for packet_id in [7, 8, 9] {
            let queued = state.pop(true).unwrap();
            state.sent(packet_id, queued);
        }
        assert_eq!(state.acknowledged(8).unwrap().number, 1);
        assert!(state.acknowledged(8).is_none());
        state.requeue();
        let order: Vec<_> = std::iter::from_fn(|| state.pop(true)).map(|next| (next.number, next.sent_as)).collect();
        assert_eq!(order, [(0, Some(7)), (2, Some(9)), (3, None)]);
        assert_eq!(state.queue_bytes, 0);
    }

    #[test]
    fn without_a_client_only_reliable_messages_wait_and_without_room_none_is_taken() {
        let mut state = State { keep_seconds: 60, ..State::default() };
        assert_eq!(state.push(&message(1), Quality::AtMostOnce, false), Pushed::Dropped);
        assert_eq!(state.push(&message(1), Quality::AtLeastOnce, false), Pushed::Stored(0));
        assert!(state.pop(false).is_none());
        state.is_discarded = true;
        assert_eq!(state.push(&message(1), Quality::AtLeastOnce, false), Pushed::Dropped);
    }
}
