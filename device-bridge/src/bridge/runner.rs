//! The bridge at work: takes in what shadows say, asks [`reconcile`] what is to be done, does it, and remembers it first where it must not happen
//! twice.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use storage::StorageError;
use tokio::sync::mpsc;

use super::outbox::Outbox;
use super::reconcile::{Action, Command, Device, Job, Outcome, Stage, reconcile};
use crate::actuator::{Actuator, ActuatorError, ActuatorSpec, Order};
use crate::bridge_chain::Operator;
use crate::code::check_device_name;
use crate::device_clock::now_ms;
use crate::device_link::{Link, LinkEvent, LinkSettings, Outbound};
use crate::device_lock::{
    ALARM_TOPIC, LockMessage, LockShadow, LockState, Position, announce, clear, read, report, topic,
};

/// The most devices that one bridge looks after.
const DEVICES_MAX: usize = 10_000;
/// How often is looked at what waits, while something does, and while nothing does.
const TICKS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// Results that wait to be taken in.
const RESULTS_MAX: usize = 1024;

/// Says why a bridge ends.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// What is to be remembered cannot be.
    #[error("the bridge's outbox: {0}")]
    Outbox(#[from] StorageError),
    /// An actuator is not there.
    #[error(transparent)]
    Actuator(#[from] ActuatorError),
    /// The connection's owner is gone.
    #[error("the link to the broker is closed")]
    Link,
}

/// Says what a bridge looks after.
#[derive(Clone, Debug)]
pub struct BridgeSettings {
    /// The broker, and who the bridge is there.
    pub link: LinkSettings,
    /// Devices that are looked after from the start, and what the bridge drives for them. Others are taken up when they first speak; they drive
    /// their locks themselves.
    pub things: Vec<(String, ActuatorSpec)>,
    /// How long a lock that the bridge drives stays open.
    pub open_time: Duration,
}

/// A device and what is going on for it.
struct Attended {
    device: Device,
    /// What was written to the outbox last.
    kept: Essence,
    actuator: Option<Arc<tokio::sync::Mutex<Box<dyn Actuator>>>>,
    busy: bool,
}

/// What of a device is worth a write: not the counts of commands and tries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Essence {
    jobs: Vec<(B256, Stage, bool)>,
    past: BTreeMap<B256, u64>,
}

impl Essence {
    fn of(device: &Device) -> Self {
        let jobs = device.job.iter().chain(&device.recording).map(|job| (job.id, job.stage, job.alarmed));
        Self { jobs: jobs.collect(), past: device.past.clone() }
    }
}

/// What came out of a command for a thing's job.
type Came = (String, B256, Action, Outcome);

/// Runs a bridge until `stop` is done.
///
/// # Errors
/// Something that it cannot work without failed.
pub async fn run(
    settings: BridgeSettings,
    operator: Operator,
    outbox: Outbox,
    stop: impl Future<Output = ()>,
) -> Result<(), BridgeError> {
    let filters = ["update/documents", "get/accepted"].map(|rest| topic("+", rest)).to_vec();
    let mut link = Link::start(settings.link.clone(), filters);
    let (results, mut finished) = mpsc::channel(RESULTS_MAX);
    let outbound = link.outbound.clone();
    let open_time = settings.open_time;
    let mut bridge =
        Bridge { devices: BTreeMap::new(), operator: Arc::new(operator), outbox, outbound, results, open_time };
    bridge.attend_known(&settings.things)?;
    tokio::pin!(stop);
    loop {
        let tick = if bridge.waits() { TICKS.0 } else { TICKS.1 };
        tokio::select! {
            () = &mut stop => return Ok(()),
            event = link.events.recv() => bridge.hear(event.ok_or(BridgeError::Link)?)?,
            Some((thing, job, action, outcome)) = finished.recv() => bridge.learn(&thing, job, action, &outcome)?,
            () = tokio::time::sleep(tick) => bridge.act_on_all()?,
        }
    }
}

struct Bridge {
    devices: BTreeMap<String, Attended>,
    operator: Arc<Operator>,
    outbox: Outbox,
    outbound: Outbound,
    results: mpsc::Sender<Came>,
    open_time: Duration,
}

impl Bridge {
    fn attend_known(&mut self, things: &[(String, ActuatorSpec)]) -> Result<(), BridgeError> {
        for thing in self.outbox.things()? {
            self.attend(&thing, &ActuatorSpec::None)?;
        }
        things.iter().try_for_each(|(thing, actuator)| self.attend(thing, actuator))
    }

    fn attend(&mut self, thing: &str, actuator: &ActuatorSpec) -> Result<(), BridgeError> {
        let mut device = self.outbox.load(thing)?;
        let actuator = actuator.make(&self.outbound)?.map(|made| Arc::new(tokio::sync::Mutex::new(made)));
        device.driven = actuator.is_some();
        let kept = Essence::of(&device);
        self.devices.insert(thing.to_owned(), Attended { device, kept, actuator, busy: false });
        Ok(())
    }

    /// Tells whether some job is between two steps.
    fn waits(&self) -> bool {
        let waits = |device: &Device| device.job.iter().chain(&device.recording).any(|job| job.stage < Stage::Done);
        self.devices.values().any(|attended| waits(&attended.device))
    }

    fn hear(&mut self, event: LinkEvent) -> Result<(), BridgeError> {
        match event {
            LinkEvent::Up => {
                tracing::info!(devices = self.devices.len(), "connected to the broker");
                for (thing, attended) in &mut self.devices {
                    // What another connection said is not compared with what this one will.
                    attended.device.shadow.version = 0;
                    self.outbound.publish(topic(thing, "get"), "{}");
                }
                Ok(())
            }
            LinkEvent::Down(problem) => {
                tracing::warn!(%problem, "no connection to the broker");
                Ok(())
            }
            LinkEvent::Message { topic, payload } => match read(&topic, &payload) {
                Some((thing, LockMessage::Whole(shadow))) => {
                    if !self.devices.contains_key(&thing) {
                        if check_device_name(&thing).is_err() || self.devices.len() >= DEVICES_MAX {
                            tracing::warn!(%thing, "a device is not looked after: its name is none, or there are too many");
                            return Ok(());
                        }
                        self.attend(&thing, &ActuatorSpec::None)?;
                    }
                    self.see(&thing, shadow);
                    self.act(&thing)
                }
                _ => Ok(()),
            },
        }
    }

    fn see(&mut self, thing: &str, shadow: LockShadow) {
        let Some(attended) = self.devices.get_mut(thing) else { return };
        let (version, desired, reported) = (shadow.version, shadow.desired.to_string(), shadow.reported.to_string());
        if attended.device.see(shadow) {
            tracing::info!(%thing, version, desired, reported, "shadow");
        }
    }

    fn learn(&mut self, thing: &str, job: B256, action: Action, outcome: &Outcome) -> Result<(), BridgeError> {
        if let Some(attended) = self.devices.get_mut(thing) {
            attended.busy = false;
            attended.device.learn(job, action, outcome, now_ms());
            if matches!(outcome, Outcome::Settled { opened: true, .. }) {
                tracing::info!(%thing, %job, "recorded");
            }
        }
        self.act(thing)
    }

    fn act_on_all(&mut self) -> Result<(), BridgeError> {
        let things: Vec<String> = self.devices.keys().cloned().collect();
        things.iter().try_for_each(|thing| self.act(thing))
    }

    /// Does what is to be done for one device, and remembers what changed.
    fn act(&mut self, thing: &str) -> Result<(), BridgeError> {
        let Some(attended) = self.devices.get_mut(thing) else { return Ok(()) };
        while !attended.busy
            && let Some(Command { job: id, number, action }) = reconcile(&attended.device, now_ms())
        {
            let version = attended.device.shadow.version;
            let Some(job) = attended.device.job_mut(id) else { break };
            job.commands = number;
            tracing::debug!(%thing, job = %id, number, ?action, "command");
            match action {
                Action::Release | Action::Look | Action::Record => {
                    attended.busy = true;
                    let (operator, job) = (Arc::clone(&self.operator), job.clone());
                    operator.start(thing.to_owned(), job, action, self.results.clone());
                }
                Action::Announce => self.outbound.publish(topic(thing, "update"), announce(job.released_at, version)),
                Action::Clear => self.outbound.publish(topic(thing, "update"), clear(version)),
                Action::Alarm => sound_alarm(&self.outbound, thing, job),
                Action::Drive => {
                    let order = (thing.to_owned(), job.clone());
                    // Remembered before it moves: a bridge that is killed here opens nothing, and tells so when the time is over.
                    attended.device.learn(id, action, &Outcome::Done, now_ms());
                    keep(&self.outbox, thing, attended)?;
                    if let Some(actuator) = attended.actuator.clone() {
                        tokio::spawn(drive(order, actuator, self.outbound.clone(), self.open_time));
                    }
                }
            }
            if !attended.busy {
                attended.device.learn(id, action, &Outcome::Done, now_ms());
            }
        }
        keep(&self.outbox, thing, attended)
    }
}

/// Writes what changed to the outbox.
fn keep(outbox: &Outbox, thing: &str, attended: &mut Attended) -> Result<(), BridgeError> {
    let essence = Essence::of(&attended.device);
    if essence != attended.kept {
        outbox.keep(thing, &attended.device)?;
        attended.kept = essence;
    }
    Ok(())
}

fn sound_alarm(outbound: &Outbound, thing: &str, job: &Job) {
    tracing::error!(%thing, job = %job.id, stage = ?job.stage, "the device did not report that it opened: see to it by hand");
    let text = serde_json::json!({"thing": thing, "job": job.id, "until": job.until, "stage": job.stage});
    outbound.publish(format!("{ALARM_TOPIC}/{thing}"), text.to_string());
}

/// Opens a lock that the bridge drives, reports it, and closes it again.
async fn drive(
    (thing, job): (String, Job),
    actuator: Arc<tokio::sync::Mutex<Box<dyn Actuator>>>,
    outbound: Outbound,
    open_time: Duration,
) {
    let mut actuator = actuator.lock().await;
    for (position, then) in [(Position::Open, open_time), (Position::Closed, Duration::ZERO)] {
        if let Err(problem) = actuator.drive(Order { job: job.id, position }).await {
            tracing::error!(%thing, job = %job.id, %problem, "the lock did not move");
            return;
        }
        let state = LockState { lock: Some(position), job: Some(job.id), ..LockState::default() };
        outbound.publish(topic(&thing, "update"), report(&state, "bridge"));
        tokio::time::sleep(then).await;
    }
}
