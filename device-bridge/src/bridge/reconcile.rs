//! What is to be done for one device: a pure function of what its shadow desires and reports, of what is remembered of its job, and of the
//! time.
//!
//! A job goes through stages and never back: wanted, sent (the release's transaction), released (settled on the chain), driven (where the bridge
//! itself moves the lock), opened (reported), and done (the opening is on the chain), or given up. Everything may be tried again:
//! the contract takes a release once, and a lock is driven only by the step that wrote down beforehand that it will be.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::device_lock::{LockShadow, Position};

/// How long after a job's last second its device may still report, in milliseconds.
const REPORT_GRACE_MS: u64 = 5_000;
/// How long after its last try a transaction of the operator is still tried again, in milliseconds.
const RECORD_TIME_MS: u64 = 24 * 3_600_000;
/// The most jobs of a device whose opening is not on the chain yet; more are not taken up.
const RECORDING_MAX: usize = 64;
/// How soon a message is sent again whose effect does not show in the shadow, in milliseconds.
const RESEND_MS: u64 = 200;
/// The first pause between two tries of the same step, in milliseconds.
const PAUSE_MS_MIN: u64 = 10;
/// The longest one, in milliseconds.
const PAUSE_MS_MAX: u64 = 2_000;
/// The longest one while somebody stands at the gate, in milliseconds.
const WAITING_PAUSE_MS_MAX: u64 = 60;

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The shadow desires it.
    Wanted,
    /// The release was sent and is not settled.
    Sent,
    /// The release is settled.
    Released,
    /// The bridge drives the lock, once; whether it moved is not known until it is reported.
    Driven,
    /// The lock was reported open.
    Opened,
    /// The opening is on the chain.
    Done,
    /// It will not be carried out.
    GivenUp,
}

/// What is remembered of the last job of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The digest of what the buyer signed.
    pub id: B256,
    /// The code.
    pub code: String,
    /// The last second in which it may be carried out, in seconds since 1970.
    pub until: u64,
    /// How far it is.
    pub stage: Stage,
    /// When the release was recorded, in seconds since 1970; 0: not known to be.
    pub released_at: u64,
    /// The number of commands that were given for it, which numbers them.
    pub commands: u64,
    /// Tries of the step that it is at.
    pub tries: u32,
    /// Before this time nothing is tried, in milliseconds since 1970.
    pub next_ms: u64,
    /// Whether somebody was told that the device does not comply.
    pub alarmed: bool,
}

/// What is known of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Its shadow as it was seen last.
    pub shadow: LockShadow,
    /// Its last job.
    pub job: Option<Job>,
    /// Jobs before it that were reported open, and whose opening is not on the chain yet.
    pub recording: Vec<Job>,
    /// Jobs that were released before the last one, with their last seconds: they are not taken up again.
    pub past: BTreeMap<B256, u64>,
    /// Whether the bridge moves its lock itself.
    pub driven: bool,
}

/// Something to do. Job and number together are its id; the same step may be done again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The job.
    pub job: B256,
    /// The number of the command for its job.
    pub number: u64,
    /// What to do.
    pub action: Action,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the chain whether the buyer may collect, and send the release where it is not recorded.
    Release,
    /// Ask the chain whether the release is settled.
    Look,
    /// Tell the device that it is.
    Announce,
    /// Drive the lock open, once.
    Drive,
    /// Record the opening on the chain.
    Record,
    /// Take the desired state away.
    Clear,
    /// Tell that the device does not comply.
    Alarm,
}

/// What came out of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The release was sent.
    Sent,
    /// The release is settled; when it was recorded, in seconds since 1970, and whether the opening is recorded too.
    Settled {
        /// When the release was recorded.
        released_at: u64,
        /// Whether the opening is recorded.
        opened: bool,
    },
    /// Try the same again.
    Again,
    /// It can never be carried out.
    Refused,
    /// It was done; what follows shows in the shadow.
    Done,
}

impl Device {
    /// Takes in a shadow. One that is older than what is known is dropped; tells whether it was not.
    pub fn see(&mut self, shadow: LockShadow) -> bool {
        if shadow.version < self.shadow.version {
            return false;
        }
        self.shadow = shadow;
        self.take_up();
        true
    }

    /// Moves the job on by what is reported, and makes what the shadow desires the job, where it is another one.
    fn take_up(&mut self) {
        self.move_on();
        let desired = &self.shadow.desired;
        if let (Some(Position::Open), Some(id), Some(until), Some(code)) =
            (desired.lock, desired.job, desired.until, &desired.code)
            && self.job.as_ref().is_none_or(|job| job.id != id && job.gives_way())
            && self.recording.len() < RECORDING_MAX
            && !self.past.contains_key(&id)
            && let last = self.job.replace(Job::new(id, code.clone(), until))
            && let Some(last) = last.filter(|last| last.stage > Stage::Wanted)
        {
            self.past.insert(last.id, last.until);
            if last.stage == Stage::Opened {
                self.recording.push(last);
            }
            self.move_on();
        }
    }

    fn move_on(&mut self) {
        let reported = &self.shadow.reported;
        if let Some(job) = &mut self.job
            && reported.job == Some(job.id)
            && job.stage < Stage::Opened
        {
            job.move_to(if reported.rejected.is_none() { Stage::Opened } else { Stage::GivenUp });
        }
    }

    /// Takes in what came out of a command for the job with this id, at a time in milliseconds since 1970.
    pub fn learn(&mut self, id: B256, action: Action, outcome: &Outcome, now_ms: u64) {
        let Some(job) = self.job_mut(id) else { return };
        match (action, outcome) {
            (Action::Record, Outcome::Again) => job.pause(now_ms, PAUSE_MS_MAX),
            (_, Outcome::Again) => job.pause(now_ms, WAITING_PAUSE_MS_MAX),
            (Action::Release | Action::Look | Action::Record, Outcome::Settled { released_at, opened }) => {
                job.released_at = *released_at;
                match *opened {
                    true => job.move_to(Stage::Done),
                    false if job.stage < Stage::Released => job.move_to(Stage::Released),
                    false => job.pause(now_ms, PAUSE_MS_MAX),
                }
            }
            (Action::Release, Outcome::Sent) => job.move_to(Stage::Sent),
            (Action::Release | Action::Look, Outcome::Refused) if job.stage < Stage::Released => {
                job.move_to(Stage::GivenUp);
            }
            (Action::Record, Outcome::Refused) => job.move_to(Stage::Done),
            (Action::Drive, _) => job.move_to(Stage::Driven),
            (Action::Alarm, _) => job.alarmed = true,
            (Action::Announce | Action::Clear, _) => job.next_ms = now_ms.saturating_add(RESEND_MS),
            _ => job.pause(now_ms, WAITING_PAUSE_MS_MAX),
        }
        self.past.retain(|_, until| until.saturating_mul(1000) >= now_ms);
        self.recording
            .retain(|job| job.stage == Stage::Opened && now_ms < job.until_ms().saturating_add(RECORD_TIME_MS));
        self.take_up();
    }

    /// Returns a job that is not done.
    pub fn job_mut(&mut self, id: B256) -> Option<&mut Job> {
        self.job.iter_mut().chain(&mut self.recording).find(|job| job.id == id)
    }
}

impl Job {
    fn new(id: B256, code: String, until: u64) -> Self {
        let (stage, alarmed) = (Stage::Wanted, false);
        Self { id, code, until, stage, released_at: 0, commands: 0, tries: 0, next_ms: 0, alarmed }
    }

    /// A device has one job at a time: one that is released is not forgotten for another, until it was opened or somebody was told.
    fn gives_way(&self) -> bool {
        self.alarmed || !matches!(self.stage, Stage::Sent | Stage::Released | Stage::Driven)
    }

    /// Moves on; stages never go back.
    fn move_to(&mut self, stage: Stage) {
        if stage > self.stage {
            (self.stage, self.tries, self.next_ms) = (stage, 0, 0);
        }
    }

    fn pause(&mut self, now_ms: u64, most_ms: u64) {
        self.tries = self.tries.saturating_add(1);
        let pause = PAUSE_MS_MIN.saturating_mul(1 << self.tries.min(10));
        self.next_ms = now_ms.saturating_add(pause.min(most_ms));
    }

    fn until_ms(&self) -> u64 {
        self.until.saturating_mul(1000)
    }
}

/// Returns what is to be done now, at a time in milliseconds since 1970; nothing where nothing differs.
pub fn reconcile(device: &Device, now_ms: u64) -> Option<Command> {
    let command = |job: &Job, action| Command { job: job.id, number: job.commands + 1, action };
    let current = device.job.as_ref().and_then(|job| Some(command(job, action_for(device, job, now_ms)?)));
    let due = || device.recording.iter().find(|job| now_ms >= job.next_ms).map(|job| command(job, Action::Record));
    current.or_else(due)
}

fn action_for(device: &Device, job: &Job, now_ms: u64) -> Option<Action> {
    if now_ms < job.next_ms {
        return None;
    }
    let desired = &device.shadow.desired;
    let over = now_ms > job.until_ms();
    let overdue = now_ms > job.until_ms().saturating_add(REPORT_GRACE_MS);
    let lingers = desired.job == Some(job.id);
    match job.stage {
        Stage::Wanted if overdue => lingers.then_some(Action::Clear),
        Stage::Wanted if over => None,
        Stage::Wanted => Some(Action::Release),
        Stage::Sent | Stage::Released | Stage::Driven if overdue && !job.alarmed => Some(Action::Alarm),
        Stage::Sent | Stage::Released | Stage::Driven if overdue => lingers.then_some(Action::Clear),
        Stage::Sent => Some(Action::Look),
        Stage::Released if over => None,
        Stage::Released if device.driven => Some(Action::Drive),
        Stage::Released => (lingers && desired.released.is_none()).then_some(Action::Announce),
        Stage::Driven => None,
        Stage::Opened if lingers => Some(Action::Clear),
        Stage::Opened => (now_ms < job.until_ms().saturating_add(RECORD_TIME_MS)).then_some(Action::Record),
        Stage::Done | Stage::GivenUp => lingers.then_some(Action::Clear),
    }
}

#[cfg(test)]
mod tests;
