//! The node's devices as JSON-RPC shows them: the broker in this process behind `rpc`'s trait.

use std::sync::{Arc, Weak};

use device_bridge::broker::{Broker, BrokerEvent, BrokerHandle};
use device_bridge::registry::{Certificate, CertificateState, RegistryError, Role, Thing};
use device_bridge::shadow::{Operation, SHADOWS_PER_THING_MAX, ShadowChange, ShadowError, ShadowName, Writes};
use parking_lot::RwLock;
use rpc::{CertificateView, DeviceError, DeviceEvent, DeviceView, Devices, ShadowAsk, ShadowPlace, ShadowView};
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tracing::warn;

use super::now_seconds;

/// How many events a slow subscriber may fall behind before it misses some.
const EVENTS_MAX: usize = 1024;

/// What looking up an answer gives.
type Pending = std::pin::Pin<Box<dyn Future<Output = Result<Value, DeviceError>> + Send>>;

/// The devices of a node that runs a broker. The broker starts after JSON-RPC and stops after it.
pub(super) struct NodeDevices {
    broker: RwLock<Option<BrokerHandle>>,
    events: broadcast::Sender<DeviceEvent>,
}

impl NodeDevices {
    /// Makes the devices of a broker that is not there yet.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { broker: RwLock::new(None), events: broadcast::channel(EVENTS_MAX).0 })
    }

    /// Takes up the broker, and follows it until it ends.
    pub(super) fn open(self: &Arc<Self>, broker: &Broker) {
        let handle = broker.handle();
        let events = handle.events();
        *self.broker.write() = Some(handle);
        tokio::spawn(follow(events, Arc::downgrade(self)));
    }

    /// Lets the broker go, so that it can stop.
    pub(super) fn close(&self) {
        self.broker.write().take();
    }

    fn broker(&self) -> Result<BrokerHandle, DeviceError> {
        let broker = self.broker.read().clone();
        broker.ok_or_else(|| DeviceError::new("the broker is not running: ask again when the node has started"))
    }

    /// Turns what happened at the broker into what subscribers are told; none: it is of no interest.
    fn event(&self, event: BrokerEvent) -> Option<DeviceEvent> {
        let view = |name: &str| self.device(name).ok();
        match event {
            BrokerEvent::Connected(name) => Some(DeviceEvent::Device("connected", view(&name)?)),
            BrokerEvent::Disconnected(name) => Some(DeviceEvent::Device("disconnected", view(&name)?)),
            BrokerEvent::Changed(name) => Some(DeviceEvent::Device("changed", view(&name)?)),
            BrokerEvent::Shadow(change) => Some(DeviceEvent::Shadow(show_change(&change))),
            BrokerEvent::Alarm { thing, alarm } => Some(DeviceEvent::Alarm(thing, alarm)),
            BrokerEvent::Scan { thing, report } => Some(DeviceEvent::Scan(thing, report)),
        }
    }
}

async fn follow(mut events: broadcast::Receiver<BrokerEvent>, devices: Weak<NodeDevices>) {
    loop {
        match events.recv().await {
            Ok(event) => {
                let Some(devices) = devices.upgrade() else { return };
                if let Some(event) = devices.event(event) {
                    // Nobody may listen.
                    let _ = devices.events.send(event);
                }
            }
            Err(RecvError::Lagged(missed)) => warn!(missed, "events of devices were missed"),
            Err(RecvError::Closed) => return,
        }
    }
}

impl Devices for NodeDevices {
    fn are_here(&self) -> bool {
        true
    }

    fn list(&self, after: Option<&str>, most: usize) -> Result<Vec<DeviceView>, DeviceError> {
        let broker = self.broker()?;
        let things = broker.registry().things();
        let things = things.iter().filter(|thing| after.is_none_or(|after| thing.name.as_str() > after));
        Ok(things.take(most).map(|thing| show(thing, &broker)).collect())
    }

    fn device(&self, name: &str) -> Result<DeviceView, DeviceError> {
        let broker = self.broker()?;
        let thing = broker.registry().thing(name).map_err(|error| refused(&error))?;
        Ok(show(&thing, &broker))
    }

    fn revoke(&self, name: &str, certificate: Option<&str>) -> Result<Vec<String>, DeviceError> {
        self.broker()?.revoke(name, certificate).map_err(|error| refused(&error))
    }

    fn scan(&self, name: &str, code: &str) -> Result<(), DeviceError> {
        let broker = self.broker()?;
        broker.registry().thing(name).map_err(|error| refused(&error))?;
        if !broker.is_connected(name) {
            return Err(DeviceError::new(format!("the device {name} is not connected")));
        }
        let why = || DeviceError::new(format!("the device {name} takes no codes from here: start it with --desk"));
        broker.scan(name, code).then_some(()).ok_or_else(why)
    }

    fn shadows(&self, name: &str) -> Result<Vec<String>, DeviceError> {
        let page = self.broker()?.shadows().list(name, None, SHADOWS_PER_THING_MAX);
        page.map(|page| page.names).map_err(|error| shadow_refused(&error))
    }

    fn ask(&self, place: ShadowPlace, ask: ShadowAsk) -> Pending {
        let broker = self.broker();
        Box::pin(async move {
            let (broker, name) = (broker?, shadow_name(&place)?);
            let (operation, payload) = match ask {
                ShadowAsk::Get => (Operation::Get, Vec::new()),
                ShadowAsk::Update(document) => (Operation::Update, document),
                ShadowAsk::Delete => (Operation::Delete, Vec::new()),
            };
            let answer = broker.shadows().ask(name, operation, payload, Writes::Both).await;
            serde_json::from_slice(&answer.map_err(|error| shadow_refused(&error))?).map_err(DeviceError::new)
        })
    }

    fn changes(&self, place: &ShadowPlace, before: u64, most: usize) -> Result<Vec<ShadowView>, DeviceError> {
        let changes = self.broker()?.shadows().changes(&shadow_name(place)?, before, most);
        let changes = changes.map_err(|error| shadow_refused(&error))?;
        Ok(changes.iter().map(show_change).collect())
    }

    fn events(&self) -> Option<broadcast::Receiver<DeviceEvent>> {
        Some(self.events.subscribe())
    }
}

fn shadow_name(place: &ShadowPlace) -> Result<ShadowName, DeviceError> {
    ShadowName::new(&place.device, place.shadow.as_deref()).map_err(|error| shadow_refused(&error))
}

fn refused(error: &RegistryError) -> DeviceError {
    DeviceError::new(error)
}

fn shadow_refused(error: &ShadowError) -> DeviceError {
    DeviceError { message: error.to_string(), code: Some(error.code()) }
}

fn show(thing: &Thing, broker: &BrokerHandle) -> DeviceView {
    let now = now_seconds();
    DeviceView {
        name: thing.name.clone(),
        role: match thing.role {
            Role::Device => "device",
            Role::Service => "service",
            Role::Custom(_) => "custom",
        },
        writes: match thing.writes {
            Writes::Both => "both",
            Writes::Desired => "desired",
            Writes::Reported => "reported",
        },
        added_at: thing.added_at,
        connected: broker.is_connected(&thing.name),
        certificates: thing.certificates.iter().map(|certificate| show_certificate(certificate, now)).collect(),
    }
}

fn show_certificate(certificate: &Certificate, now: u64) -> CertificateView {
    CertificateView {
        id: certificate.id.clone(),
        serial: certificate.serial.clone(),
        state: match (certificate.state, certificate.refusal(now)) {
            (CertificateState::Active, None) => "active",
            (_, Some(why)) => why,
            (CertificateState::Inactive | CertificateState::Revoked, None) => "inactive",
        },
        issued_at: certificate.issued_at,
        expires_at: certificate.expires_at,
        retires_at: certificate.retires_at,
        revoked_at: certificate.revoked_at,
    }
}

fn show_change(change: &ShadowChange) -> ShadowView {
    ShadowView {
        name: change.name.thing().to_owned(),
        shadow: change.name.shadow().map(str::to_owned),
        version: change.version,
        timestamp: change.timestamp,
        state: change.state.clone(),
    }
}
