//! What happens at the broker, told to services in the same process: the desk shows devices as they come, go and open.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::broadcast;

use super::message::Message;
use crate::device_lock::ALARM_TOPIC;
use crate::registry::{Registry, Thing};
use crate::shadow::ShadowChange;

/// How many events a slow listener may fall behind before it misses some.
const EVENTS_MAX: usize = 1024;
/// A longer alarm or report is not looked at.
const REPORT_BYTES_MAX: usize = 4096;
/// What the topics of all devices begin with.
const DEVICES: &str = "drawbridge/";
/// Below a device's own topics: codes that it is given to read.
const SCAN: &str = "scan";
/// Below a device's own topics: what became of them.
const SCANS: &str = "scans";

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum BrokerEvent {
    /// A client has connected.
    Connected(Arc<str>),
    /// A client's connection has ended.
    Disconnected(Arc<str>),
    /// A thing was added to the registry, or its certificates changed.
    Changed(String),
    /// A shadow has changed.
    Shadow(Arc<ShadowChange>),
    /// The bridge says that a device did not do what it was told.
    Alarm {
        /// The device.
        thing: String,
        /// What the bridge says.
        alarm: Value,
    },
    /// A device says what became of a code that it was given to read.
    Scan {
        /// The device.
        thing: String,
        /// What it says, an object.
        report: Map<String, Value>,
    },
}

/// Tells events to whoever listens.
pub(super) struct Events(broadcast::Sender<BrokerEvent>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::channel(EVENTS_MAX).0)
    }
}

impl Events {
    /// Tells one event; nobody may listen.
    pub(super) fn tell(&self, event: BrokerEvent) {
        let _ = self.0.send(event);
    }

    /// Listens from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<BrokerEvent> {
        self.0.subscribe()
    }

    /// Tells of a message that is an alarm, or a device's report of a code.
    pub(super) fn look_at(&self, message: &Message) {
        if message.payload.len() > REPORT_BYTES_MAX {
            return;
        }
        if let Some(thing) = message.topic.strip_prefix(ALARM_TOPIC).and_then(|rest| rest.strip_prefix('/')) {
            if let Ok(alarm) = serde_json::from_slice(&message.payload) {
                self.tell(BrokerEvent::Alarm { thing: thing.to_owned(), alarm });
            }
        } else if let Some((thing, SCANS)) = message.topic.strip_prefix(DEVICES).and_then(|rest| rest.split_once('/'))
            && let Ok(report) = serde_json::from_slice(&message.payload)
        {
            self.tell(BrokerEvent::Scan { thing: thing.to_owned(), report });
        }
    }
}

/// Returns the topic on which a device is given codes to read.
pub(super) fn scan_topic(thing: &str) -> String {
    format!("{DEVICES}{thing}/{SCAN}")
}

/// Remembers the things of a registry to tell which have changed.
pub(super) struct KnownThings {
    revision: u64,
    things: BTreeMap<String, Arc<Thing>>,
}

impl KnownThings {
    pub(super) fn of(registry: &Registry) -> Self {
        let things = registry.things().into_iter().map(|thing| (thing.name.clone(), thing)).collect();
        Self { revision: registry.revision(), things }
    }

    /// Returns the names of those that have changed since the last look; none: nothing was read meanwhile.
    pub(super) fn look_again(&mut self, registry: &Registry) -> Option<Vec<String>> {
        if registry.revision() == self.revision {
            return None;
        }
        let now = Self::of(registry);
        let changed = now.things.iter().filter(|(name, thing)| self.things.get(*name) != Some(*thing));
        let changed = changed.map(|(name, _)| name.clone()).collect();
        *self = now;
        Some(changed)
    }
}
