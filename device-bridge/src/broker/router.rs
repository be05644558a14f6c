//! Sessions, subscriptions and retained messages of all clients, and the way of a message to those who get it.
//!
//! What must outlive the process is in the store: sessions that are kept, the reliable messages that wait for them, and retained
//! messages. It is written before the publisher gets its acknowledgement and survives a killed process; [`Router::sweep`] brings it to
//! the disk once a second.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use storage::{Batch, Durability, Reader, StorageError, Store, Table};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::events::{BrokerEvent, Events};
use super::limits::{RETAINED_BYTES_MAX, RETAINED_MESSAGES_MAX, SESSIONS_MAX, SUBSCRIPTIONS_MAX};
use super::message::{Message, Quality};
use super::session::{Close, Pushed, Queued, Session, Subscription};
use super::topic::{SubscriptionTree, matches};

/// Where messages go.
pub(super) struct Router {
    routes: RwLock<Routes>,
    store: Arc<dyn Store>,
    connections: AtomicU64,
    /// What happens here.
    pub(super) events: Events,
}

#[derive(Default)]
struct Routes {
    sessions: HashMap<Arc<str>, Arc<Session>>,
    tree: SubscriptionTree<(Arc<Session>, Subscription)>,
    retained: BTreeMap<String, Arc<Message>>,
    retained_bytes: usize,
}

/// A session's row.
#[derive(Serialize, Deserialize)]
struct SessionRow {
    subscriptions: BTreeMap<String, Subscription>,
    keep_seconds: u32,
    /// None: its client was connected.
    ends_at: Option<u64>,
}

/// What a client that connects wants of its session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// A new session in place of an old one.
    pub(super) clean: bool,
    /// How long it is kept without connection, in seconds.
    pub(super) keep_seconds: u32,
}

/// A connection's hold on its session.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) session: Arc<Session>,
    /// The connection's number; a later connection of the same client has a higher one.
    pub(super) number: u64,
    /// The session was there before.
    pub(super) is_present: bool,
    /// Tells the connection to close.
    pub(super) close: oneshot::Receiver<Close>,
}

impl Router {
    /// Opens the sessions and retained messages of a store with the tables of the devices.
    pub(super) fn open(store: Arc<dyn Store>, now: u64) -> Result<Self, StorageError> {
        let mut routes = Routes::default();
        for row in store.iterate(Table::Sessions, &[]) {
            let (key, value) = row?;
            let client = text(key)?;
            let row: SessionRow = serde_json::from_slice(&value).map_err(|error| damaged(&client, &error))?;
            routes.restore(client.into(), row, now);
        }
        let orphans = routes.restore_queues(&*store)?;
        for row in store.iterate(Table::Retained, &[]) {
            let (key, value) = row?;
            let topic = text(key)?;
            let message = Message::decode(&value).ok_or_else(|| damaged(&topic, &"retained message"))?;
            routes.retained_bytes = routes.retained_bytes.saturating_add(message.size_bytes());
            routes.retained.insert(topic, Arc::new(message));
        }
        store.commit(orphans, Durability::Process)?;
        info!(sessions = routes.sessions.len(), retained = routes.retained.len(), "sessions are open");
        Ok(Self { routes: RwLock::new(routes), store, connections: AtomicU64::new(1), events: Events::default() })
    }

    /// Gives a client its session, and takes it away from an earlier connection. None: there are too many sessions.
    pub(super) fn attach(&self, client: &Arc<str>, wanted: Wanted) -> Option<Attachment> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let (sender, close) = oneshot::channel();
        let mut routes = self.routes.write();
        let known = routes.sessions.get(client).cloned();
        if let Some((_, earlier)) = known.as_ref().and_then(|session| session.state.lock().connection.take()) {
            // It may be closing by itself.
            let _ = earlier.send(Close::TakenOver);
        }
        if known.is_none() && routes.sessions.len() >= SESSIONS_MAX {
            return None;
        }
        let kept = known.filter(|session| !wanted.clean && session.state.lock().keep_seconds > 0);
        let is_present = kept.is_some();
        let session = match kept {
            Some(session) => session,
            None => {
                self.discard(&mut routes, client);
                let session = Arc::new(Session::new(client.clone()));
                routes.sessions.insert(client.clone(), session.clone());
                session
            }
        };
        {
            let mut state = session.state.lock();
            state.requeue();
            state.connection = Some((number, sender));
            state.keep_seconds = wanted.keep_seconds;
            state.ends_at = None;
        }
        self.write_session(&session);
        self.events.tell(BrokerEvent::Connected(client.clone()));
        Some(Attachment { session, number, is_present, close })
    }

    /// Takes the session back from a connection that ended; `keep_seconds` says for how long from now.
    pub(super) fn detach(&self, attachment: &Attachment, keep_seconds: u32, now: u64) {
        let session = &attachment.session;
        let mut routes = self.routes.write();
        {
            let mut state = session.state.lock();
            if state.connection.as_ref().is_none_or(|(number, _)| *number != attachment.number) {
                return;
            }
            state.connection = None;
            state.keep_seconds = keep_seconds;
            state.ends_at = Some(now.saturating_add(keep_seconds.into()));
            state.requeue();
            state.forget_unreliable();
        }
        if keep_seconds == 0 {
            self.discard(&mut routes, &session.client);
        } else {
            self.write_session(session);
        }
        drop(routes);
        self.events.tell(BrokerEvent::Disconnected(session.client.clone()));
    }

    /// Subscribes; false: the session has as many subscriptions as it may have.
    pub(super) fn subscribe(&self, session: &Arc<Session>, filter: &str, subscription: Subscription) -> Subscribed {
        let mut routes = self.routes.write();
        let is_new = {
            let mut state = session.state.lock();
            if state.is_discarded
                || state.subscriptions.len() >= SUBSCRIPTIONS_MAX && !state.subscriptions.contains_key(filter)
            {
                return Subscribed::TooMany;
            }
            state.subscriptions.insert(filter.to_owned(), subscription).is_none()
        };
        routes.tree.insert(filter, session.client.clone(), (session.clone(), subscription));
        drop(routes);
        self.write_session(session);
        if is_new { Subscribed::New } else { Subscribed::Again }
    }

    /// Ends a subscription; false: there was none.
    pub(super) fn unsubscribe(&self, session: &Arc<Session>, filter: &str) -> bool {
        let mut routes = self.routes.write();
        let was_there = session.state.lock().subscriptions.remove(filter).is_some();
        routes.tree.remove(filter, &session.client);
        drop(routes);
        self.write_session(session);
        was_there
    }

    /// Puts the retained messages that match `filter` into the session's queue.
    pub(super) fn send_retained(&self, session: &Arc<Session>, filter: &str, subscription: Subscription, now: u64) {
        let mut batch = Batch::default();
        let routes = self.routes.read();
        // Without a wildcard there is one topic to look at.
        let exact = (!filter.contains(['+', '#'])).then(|| routes.retained.get_key_value(filter)).flatten();
        let all = filter.contains(['+', '#']).then(|| routes.retained.iter()).into_iter().flatten();
        for (topic, message) in exact.into_iter().chain(all) {
            if matches(filter, topic) && !message.is_expired(now) {
                let quality = message.quality.min(subscription.quality());
                push(session, message, quality, true, &mut batch);
            }
        }
        drop(routes);
        self.commit(batch);
        session.wake.notify_one();
    }

    /// Sends a message to all who are subscribed, each once, with the best quality that it subscribed with, and retains it where
    /// that is asked for. Returns how many get it.
    pub(super) fn publish(&self, message: Message) -> usize {
        self.events.look_at(&message);
        let message = Arc::new(message);
        if message.retain {
            self.retain(&message);
        }
        let mut receivers: HashMap<&Arc<str>, (&Arc<Session>, Subscription)> = HashMap::new();
        let routes = self.routes.read();
        routes.tree.find(&message.topic, &mut |client, (session, subscription)| {
            if subscription.no_local && message.publisher.as_ref() == Some(client) {
                return;
            }
            let best = receivers.entry(client).or_insert((session, *subscription));
            best.1.at_least_once |= subscription.at_least_once;
            best.1.retain_as_published |= subscription.retain_as_published;
        });
        let mut batch = Batch::default();
        let mut woken = Vec::with_capacity(receivers.len());
        for (session, subscription) in receivers.into_values() {
            let quality = message.quality.min(subscription.quality());
            let retain = message.retain && subscription.retain_as_published;
            if push(session, &message, quality, retain, &mut batch) {
                woken.push(session.clone());
            }
        }
        drop(routes);
        // Stored before anybody is told.
        self.commit(batch);
        woken.iter().for_each(|session| session.wake.notify_one());
        woken.len()
    }

    /// Notes that a client acknowledged a message.
    pub(super) fn acknowledged(&self, session: &Session, packet_id: u16) {
        let (queued, is_stored) = {
            let mut state = session.state.lock();
            (state.acknowledged(packet_id), state.keep_seconds > 0)
        };
        if let Some(queued) = queued.filter(|_| is_stored) {
            self.forget(session, &queued);
        }
    }

    /// Deletes the row of a message that is not sent after all, or was.
    pub(super) fn forget(&self, session: &Session, queued: &Queued) {
        let mut batch = Batch::default();
        batch.delete(Table::Queued, row_key(&session.client, queued.number));
        self.commit(batch);
    }

    /// Ends sessions whose time is over, and brings what was written to the disk.
    pub(super) fn sweep(&self, now: u64) {
        let mut routes = self.routes.write();
        let over = routes.sessions.values().filter(|session| {
            let state = session.state.lock();
            state.connection.is_none() && state.ends_at.is_some_and(|ends| ends <= now)
        });
        let over: Vec<Arc<str>> = over.map(|session| session.client.clone()).collect();
        over.iter().for_each(|client| self.discard(&mut routes, client));
        drop(routes);
        if let Err(problem) = self.store.sync() {
            error!(%problem, "the device store cannot be brought to the disk");
        }
    }

    /// Closes connections; `chosen` says which clients'.
    pub(super) fn close(&self, chosen: impl Fn(&str) -> bool, why: Close) {
        let routes = self.routes.read();
        for session in routes.sessions.values().filter(|session| chosen(&session.client)) {
            // The connection's own end takes the session back, so that its number must stay.
            let mut state = session.state.lock();
            if let Some((number, sender)) = state.connection.take() {
                let _ = sender.send(why);
                state.connection = Some((number, oneshot::channel().0));
            }
        }
    }

    /// Tells whether another connection has the session now, or had it since.
    pub(super) fn is_connected(&self, client: &str) -> bool {
        let routes = self.routes.read();
        routes.sessions.get(client).is_some_and(|session| session.state.lock().connection.is_some())
    }

    /// Returns the retained message of a topic.
    pub(super) fn retained(&self, topic: &str) -> Option<Arc<Message>> {
        self.routes.read().retained.get(topic).cloned()
    }

    /// An empty payload deletes what is retained (MQTT 5, section 3.3.1.3).
    fn retain(&self, message: &Arc<Message>) {
        let mut batch = Batch::default();
        let mut routes = self.routes.write();
        let before = routes.retained.remove(&message.topic).map_or(0, |earlier| earlier.size_bytes());
        routes.retained_bytes = routes.retained_bytes.saturating_sub(before);
        if message.payload.is_empty() {
            batch.delete(Table::Retained, message.topic.as_bytes());
        } else {
            let bytes = routes.retained_bytes.saturating_add(message.size_bytes());
            if routes.retained.len() >= RETAINED_MESSAGES_MAX || bytes > RETAINED_BYTES_MAX {
                warn!(topic = %message.topic, "there is no room to retain a message");
                batch.delete(Table::Retained, message.topic.as_bytes());
            } else {
                routes.retained_bytes = bytes;
                routes.retained.insert(message.topic.clone(), message.clone());
                batch.put(Table::Retained, message.topic.as_bytes(), message.encode());
            }
        }
        drop(routes);
        self.commit(batch);
    }

    fn discard(&self, routes: &mut Routes, client: &Arc<str>) {
        let Some(session) = routes.sessions.remove(client) else { return };
        let subscriptions = {
            let mut state = session.state.lock();
            state.is_discarded = true;
            std::mem::take(&mut state.subscriptions)
        };
        subscriptions.keys().for_each(|filter| routes.tree.remove(filter, client));
        let mut batch = Batch::default();
        batch.delete(Table::Sessions, client.as_bytes());
        let prefix = row_prefix(client);
        for row in self.store.iterate_prefix(Table::Queued, &prefix) {
            match row {
                Ok((key, _)) => batch.delete(Table::Queued, key),
                Err(problem) => {
                    error!(%problem, "the device store failed");
                    break;
                }
            }
        }
        self.commit(batch);
    }

    /// Writes a session that is kept.
    fn write_session(&self, session: &Session) {
        let row = {
            let state = session.state.lock();
            if state.is_discarded || state.keep_seconds == 0 {
                return;
            }
            let row = SessionRow {
                subscriptions: state.subscriptions.clone(),
                keep_seconds: state.keep_seconds,
                ends_at: state.ends_at,
            };
            serde_json::to_vec(&row).expect("a session is always written as JSON")
        };
        let mut batch = Batch::default();
        batch.put(Table::Sessions, session.client.as_bytes(), row);
        self.commit(batch);
    }

    fn commit(&self, batch: Batch) {
        if !batch.is_empty()
            && let Err(problem) = self.store.commit(batch, Durability::Process)
        {
            error!(%problem, "the device store failed: sessions may not survive a restart");
        }
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Router").finish_non_exhaustive()
    }
}

/// What became of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subscribed {
    /// It is new.
    New,
    /// The session had it before.
    Again,
    /// The session has as many as it may have.
    TooMany,
}

impl Routes {
    fn restore(&mut self, client: Arc<str>, row: SessionRow, now: u64) {
        let session = Arc::new(Session::new(client.clone()));
        for (filter, subscription) in &row.subscriptions {
            self.tree.insert(filter, client.clone(), (session.clone(), *subscription));
        }
        {
            let mut state = session.state.lock();
            state.keep_seconds = row.keep_seconds;
            state.ends_at = Some(row.ends_at.unwrap_or(now.saturating_add(row.keep_seconds.into())));
            state.subscriptions = row.subscriptions;
        }
        self.sessions.insert(client, session);
    }

    /// Puts stored messages into their sessions; returns the deletion of those that have none.
    fn restore_queues(&self, store: &dyn Store) -> Result<Batch, StorageError> {
        let mut orphans = Batch::default();
        for row in store.iterate(Table::Queued, &[]) {
            let (key, value) = row?;
            let (client, number) = split_row_key(&key).ok_or_else(|| damaged("queue", &"a key is malformed"))?;
            let Some(session) = self.sessions.get(client) else {
                orphans.delete(Table::Queued, key);
                continue;
            };
            let message = Message::decode(&value).ok_or_else(|| damaged(client, &"a queued message"))?;
            let (quality, retain) = (message.quality, message.retain);
            session.state.lock().restore(Queued { number, message: Arc::new(message), quality, retain, sent_as: None });
        }
        Ok(orphans)
    }
}

/// Queues a message in a session, and adds its row to the batch where it has one; false: the session does not get it.
fn push(session: &Session, message: &Arc<Message>, quality: Quality, retain: bool, batch: &mut Batch) -> bool {
    match session.state.lock().push(message, quality, retain) {
        Pushed::Stored(number) => {
            // The row says how the message is delivered to this client.
            let row = if message.retain == retain && message.quality == quality {
                message.encode()
            } else {
                Message { retain, quality, ..Message::clone(message) }.encode()
            };
            batch.put(Table::Queued, row_key(&session.client, number), row);
            true
        }
        Pushed::Queued => true,
        Pushed::Dropped => false,
    }
}

fn row_prefix(client: &str) -> Vec<u8> {
    let mut key = client.as_bytes().to_vec();
    key.push(0);
    key
}

fn row_key(client: &str, number: u64) -> Vec<u8> {
    let mut key = row_prefix(client);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

fn split_row_key(key: &[u8]) -> Option<(&str, u64)> {
    let (rest, number) = key.split_last_chunk::<8>()?;
    let client = std::str::from_utf8(rest.strip_suffix(&[0])?).ok()?;
    Some((client, u64::from_be_bytes(*number)))
}

fn text(key: Vec<u8>) -> Result<String, StorageError> {
    String::from_utf8(key).map_err(|error| damaged("key", &error))
}

fn damaged(what: &str, problem: &dyn std::fmt::Display) -> StorageError {
    StorageError::Corrupt(format!("the device store cannot be read: {what}: {problem}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use storage::MemoryStore;

    const KEPT: Wanted = Wanted { clean: false, keep_seconds: 60 };
    const RELIABLE: Subscription = Subscription { at_least_once: true, no_local: false, retain_as_published: false };

    fn open(store: &MemoryStore) -> Router {
        Router::open(Arc::new(store.clone()), 100).unwrap()
    }

    fn message(text: &str) -> Message {
        Message::plain("a/b".into(), text.into(), Quality::AtLeastOnce)
    }

    fn waiting(attachment: &Attachment) -> Vec<String> {
        let mut state = attachment.session.state.lock();
        std::iter::from_fn(|| state.pop(true))
            .map(|next| String::from_utf8(next.message.payload.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn a_kept_session_survives_the_router() {
        let store = MemoryStore::new();
        let client: Arc<str> = "c".into();
        {
            let router = open(&store);
            let attachment = router.attach(&client, KEPT).unwrap();
            assert_eq!(router.subscribe(&attachment.session, "a/+", RELIABLE), Subscribed::New);
            router.publish(message("sent"));
            let queued = attachment.session.state.lock().pop(true).unwrap();
            attachment.session.state.lock().sent(1, queued);
            router.publish(message("acknowledged"));
            let queued = attachment.session.state.lock().pop(true).unwrap();
            attachment.session.state.lock().sent(2, queued);
            router.acknowledged(&attachment.session, 2);
            router.detach(&attachment, 60, 100);
            assert_eq!(router.publish(message("waits")), 1);
        }
        let router = open(&store);
        let attachment = router.attach(&client, KEPT).unwrap();
        assert!(attachment.is_present);
        assert_eq!(waiting(&attachment), ["sent", "waits"]);
        // New numbers do not collide with stored ones.
        router.publish(message("later"));
        assert_eq!(waiting(&attachment), ["later"]);
    }

    #[test]
    fn a_clean_start_and_the_end_of_its_time_discard_a_session() {
        let store = MemoryStore::new();
        let client: Arc<str> = "c".into();
        let router = open(&store);
        let attachment = router.attach(&client, KEPT).unwrap();
        router.subscribe(&attachment.session, "a/b", RELIABLE);
        router.detach(&attachment, 60, 100);
        assert_eq!(router.publish(message("x")), 1);
        router.sweep(159);
        assert_eq!(router.publish(message("y")), 1);
        router.sweep(160);
        assert_eq!(router.publish(message("z")), 0);
        assert!(
            store.iterate(Table::Queued, &[]).next().is_none() && store.iterate(Table::Sessions, &[]).next().is_none()
        );
        let again = router.attach(&client, KEPT).unwrap();
        assert!(!again.is_present && waiting(&again).is_empty());
        router.subscribe(&again.session, "a/b", RELIABLE);
        let clean = router.attach(&client, Wanted { clean: true, keep_seconds: 0 }).unwrap();
        assert!(!clean.is_present);
        assert_eq!(router.publish(message("x")), 0);
    }

    #[test]
    fn the_later_connection_takes_the_session_and_the_earlier_cannot_take_it_back() {
        let router = open(&MemoryStore::new());
        let client: Arc<str> = "c".into();
        let mut first = router.attach(&client, KEPT).unwrap();
        let second = router.attach(&client, KEPT).unwrap();
        assert_eq!(first.close.try_recv(), Ok(Close::TakenOver));
        router.detach(&first, 0, 100);
        assert!(router.is_connected("c"));
        router.detach(&second, 0, 100);
        assert!(!router.is_connected("c"));
    }

    #[test]
    fn a_client_gets_a_message_once_with_the_best_quality_of_its_subscriptions() {
        let router = open(&MemoryStore::new());
        let attachment = router.attach(&"c".into(), KEPT).unwrap();
        router.subscribe(&attachment.session, "a/#", Subscription { at_least_once: false, ..RELIABLE });
        router.subscribe(&attachment.session, "a/b", RELIABLE);
        assert_eq!(router.publish(message("x")), 1);
        let queued = attachment.session.state.lock().pop(true).unwrap();
        assert_eq!(queued.quality, Quality::AtLeastOnce);
        assert!(attachment.session.state.lock().pop(true).is_none());
        let own = Message { publisher: Some("c".into()), ..message("own") };
        router.unsubscribe(&attachment.session, "a/#");
        router.subscribe(&attachment.session, "a/b", Subscription { no_local: true, ..RELIABLE });
        assert_eq!(router.publish(own), 0);
    }

    #[test]
    fn retained_messages_survive_and_an_empty_one_deletes_them() {
        let store = MemoryStore::new();
        let retained = |text: &str| Message { retain: true, ..message(text) };
        open(&store).publish(retained("old"));
        open(&store).publish(retained("new"));
        let router = open(&store);
        let attachment = router.attach(&"c".into(), KEPT).unwrap();
        for filter in ["a/b", "a/+", "#"] {
            router.send_retained(&attachment.session, filter, RELIABLE, 100);
            let queued = attachment.session.state.lock().pop(true).unwrap();
            assert!(queued.retain && &*queued.message.payload == b"new", "{filter}");
        }
        router.send_retained(&attachment.session, "a/c", RELIABLE, 100);
        assert!(attachment.session.state.lock().pop(true).is_none());
        router.publish(retained(""));
        assert!(open(&store).retained("a/b").is_none());
    }

    #[test]
    fn subscriptions_have_a_bound() {
        let router = open(&MemoryStore::new());
        let attachment = router.attach(&"c".into(), KEPT).unwrap();
        for index in 0..SUBSCRIPTIONS_MAX {
            assert_eq!(router.subscribe(&attachment.session, &format!("t/{index}"), RELIABLE), Subscribed::New);
        }
        assert_eq!(router.subscribe(&attachment.session, "one/more", RELIABLE), Subscribed::TooMany);
        assert_eq!(router.subscribe(&attachment.session, "t/0", RELIABLE), Subscribed::Again);
    }
}
