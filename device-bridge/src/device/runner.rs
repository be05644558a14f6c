//! The device at work: one code at a time, from the scan to the lock.
//!
//! Scan → checks → order at a settled block → journal → desired state → (bridge: release on the chain) → delta → release at a settled block →
//! journal → actuator → reported state. The lock moves in one place, after the journal took the job.

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use tokio::sync::mpsc;

use super::checks::{CodePolicy, Refusal, check};
use super::desk;
use super::journal::Journal;
use super::scanner::Scan;
use crate::actuator::{Actuator, ActuatorSpec, Order};
use crate::chain_client::orders::{OrderState, Trust};
use crate::chain_client::proven::Proving;
use crate::chain_client::{ChainClient, ChainError, Settled};
use crate::code::Code;
use crate::code::claim::Claim;
use crate::device_clock::now_ms;
use crate::device_link::{Link, LinkEvent, LinkSettings, Outbound};
use crate::device_lock::{LockMessage, LockState, Position, desire, read, report, topic};

/// How often is looked at what waits.
const TICK: Duration = Duration::from_millis(25);
/// How often the chain is asked whether the release is settled, without having been told.
const POLL: Duration = Duration::from_millis(500);
/// How soon a question without an answer is asked again.
const RETRY: Duration = Duration::from_millis(200);
/// How soon a message without an answer is sent again.
const RESEND: Duration = Duration::from_secs(2);

/// Says how a device works.
#[derive(Debug)]
pub struct DeviceSettings {
    /// The broker, and who the device is there.
    pub link: LinkSettings,
    /// What codes it takes.
    pub policy: CodePolicy,
    /// Which contracts are orders.
    pub trust: Trust,
    /// The block that counts.
    pub settled: Settled,
    /// Believes no node, only what it proves; `None`: believes the answers to calls.
    pub proving: Option<Proving>,
    /// What moves.
    pub actuator: ActuatorSpec,
    /// How long the lock stays open.
    pub open_time: Duration,
    /// How long a scan may wait for a chain that does not answer.
    pub patience: Duration,
    /// The journal's file.
    pub journal: PathBuf,
    /// Takes codes from the desk too, and tells there what became of each scan; it then runs on when its own source has ended.
    pub desk: bool,
}

/// Says what became of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanReport {
    /// The lock opened.
    Opened {
        /// The job.
        job: B256,
        /// From the scan to the answer of the chain that the buyer owns the item.
        verified: Duration,
        /// From the scan to the word that the release is settled.
        released: Duration,
        /// From the scan to the open lock.
        opened: Duration,
    },
    /// The lock stays closed.
    Refused {
        /// The job, where the code was one.
        job: Option<B256>,
        /// Why.
        refusal: Refusal,
    },
}

/// Runs a device until its source of codes ends and nothing is under way, or until `stop` is done.
///
/// # Errors
/// The journal or the actuator cannot be had.
pub async fn run(
    settings: DeviceSettings,
    chain: ChainClient,
    mut scans: mpsc::Receiver<Scan>,
    reports: mpsc::Sender<ScanReport>,
    stop: impl Future<Output = ()>,
) -> Result<(), Refusal> {
    let failed = |problem: &dyn std::fmt::Display| Refusal::Failed(problem.to_string());
    let journal = Journal::open(&settings.journal, now_ms() / 1000)
        .map_err(|error| Refusal::Failed(format!("the journal {}: {error}", settings.journal.display())))?;
    let filters = ["update/delta", "update/accepted", "update/rejected", "get/accepted"];
    let mut filters = filters.map(|rest| topic(&settings.policy.device, rest)).to_vec();
    if settings.desk {
        filters.push(desk::scan_topic(&settings.policy.device));
    }
    let mut link = Link::start(settings.link.clone(), filters);
    let outbound = link.outbound.clone();
    let actuator = settings.actuator.make(&outbound).map_err(|error| failed(&error))?;
    let mut gate = Gate {
        settings,
        chain,
        journal,
        outbound,
        actuator,
        reports,
        scan: None,
        desired: None,
        reported: None,
        closing: None,
        released: None,
        denied: None,
        handed: None,
    };
    if gate.actuator.is_some() {
        gate.say(LockState { lock: Some(Position::Closed), ..LockState::default() });
    }
    let mut ended = None;
    tokio::pin!(stop);
    loop {
        if !gate.settings.desk && ended.is_some_and(|since| gate.is_idle(since)) {
            return Ok(());
        }
        tokio::select! {
            () = &mut stop => return gate.close().await,
            event = link.events.recv() => match event {
                Some(event) => gate.hear(event),
                None => return Err(Refusal::Failed("the link to the broker is closed".to_owned())),
            },
            scan = scans.recv(), if gate.scan.is_none() && ended.is_none() => match scan {
                Some(scan) => gate.take(scan).await,
                None => ended = Some(Instant::now()),
            },
            () = tokio::time::sleep(TICK) => {}
        }
        if gate.scan.is_none()
            && let Some(text) = gate.handed.take()
        {
            gate.take(Ok(text)).await;
        }
        gate.go_on().await;
    }
}

/// A code that is being carried out.
struct Underway {
    claim: Claim,
    job: B256,
    begun: Instant,
    step: Step,
    /// Before this the chain is not asked again.
    next: Instant,
    verified: Duration,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The chain is asked whether the buyer owns the item.
    Verify,
    /// The shadow desires it; the release is awaited.
    Wait,
}

/// An update that is sent until it is answered.
struct Unanswered {
    token: String,
    payload: Vec<u8>,
    sent: Option<Instant>,
}

struct Gate {
    settings: DeviceSettings,
    chain: ChainClient,
    journal: Journal,
    outbound: Outbound,
    actuator: Option<Box<dyn Actuator>>,
    reports: mpsc::Sender<ScanReport>,
    scan: Option<Underway>,
    /// The update of the desired state that is not accepted yet.
    desired: Option<Unanswered>,
    /// The update of the reported state that is not accepted yet.
    reported: Option<Unanswered>,
    closing: Option<(Instant, B256)>,
    /// The job whose release the shadow tells of.
    released: Option<B256>,
    /// Why the shadow service does not take what is desired.
    denied: Option<String>,
    /// A code that the desk handed over, which waits for its turn. One waits; a later one takes its place.
    handed: Option<String>,
}

impl Gate {
    /// Tells whether nothing is under way; a report that nobody takes is given up some time after the last code.
    fn is_idle(&self, since: Instant) -> bool {
        let told = self.reported.is_none() || since.elapsed() > self.settings.patience;
        self.scan.is_none() && self.closing.is_none() && told
    }

    async fn refuse(&mut self, job: Option<B256>, refusal: Refusal) {
        tracing::info!(job = job.map(tracing::field::display), %refusal, "refused");
        self.tell(ScanReport::Refused { job, refusal }).await;
    }

    /// Tells what became of a scan.
    async fn tell(&mut self, report: ScanReport) {
        if self.settings.desk {
            self.outbound.publish(desk::report_topic(&self.settings.policy.device), desk::message(&report));
        }
        // Nobody may be listening.
        let _ = self.reports.send(report).await;
    }

    /// Takes a scan up, where it is a code for this device.
    async fn take(&mut self, scan: Scan) {
        let begun = Instant::now();
        let claim = match scan {
            Ok(text) => self.claim_of(&text),
            Err(problem) => Err(Refusal::Failed(problem)),
        };
        match claim {
            Ok(claim) => {
                let job = claim.release.digest();
                tracing::info!(%job, contract = %claim.release.contract, buyer = %claim.release.buyer, "scanned");
                let (step, verified) = (Step::Verify, Duration::ZERO);
                self.scan = Some(Underway { claim, job, begun, step, next: begun, verified });
            }
            Err(refusal) => self.refuse(None, refusal).await,
        }
    }

    fn claim_of(&self, text: &str) -> Result<Claim, Refusal> {
        let code: Code = text.parse()?;
        let claim = check(&code, &self.settings.policy, now_ms() / 1000, rand::random())?;
        if self.journal.is_used(&claim.release.nonce) {
            return Err(Refusal::Used);
        }
        if self.journal.is_full() {
            return Err(Refusal::TooMany);
        }
        Ok(claim)
    }

    /// Takes in what the broker says.
    fn hear(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up => {
                tracing::info!("connected to the broker");
                self.outbound.publish(topic(&self.settings.policy.device, "get"), "{}");
                for unanswered in [&mut self.desired, &mut self.reported].into_iter().flatten() {
                    unanswered.sent = None;
                }
            }
            LinkEvent::Down(problem) => tracing::warn!(%problem, "no connection to the broker"),
            LinkEvent::Message { topic, payload }
                if self.settings.desk && topic == desk::scan_topic(&self.settings.policy.device) =>
            {
                self.handed = desk::text(&payload).or(self.handed.take());
            }
            LinkEvent::Message { topic, payload } => match read(&topic, &payload) {
                Some((_, LockMessage::Whole(shadow))) => self.see(&shadow.desired),
                Some((_, LockMessage::Delta(_, desired))) => self.see(&desired),
                Some((_, LockMessage::Accepted(token))) => {
                    self.settle(&token);
                }
                // Everybody's answers come on these topics; the token tells whose they are.
                Some((_, LockMessage::Refused { token, code, message })) if (400..429).contains(&code) => {
                    self.denied = self.settle(&token).then_some(message).or(self.denied.take());
                }
                Some(_) | None => {}
            },
        }
    }

    /// Stops sending what was answered; tells whether it was the desired state.
    fn settle(&mut self, token: &str) -> bool {
        self.reported.take_if(|sent| sent.token == token);
        self.desired.take_if(|sent| sent.token == token).is_some()
    }

    /// Takes in what is desired. A job that was not scanned here is none, whoever wrote it; one that is waiting is gone on with after a restart.
    fn see(&mut self, desired: &LockState) {
        let (Some(job), Some(until), Some(code)) = (desired.job, desired.until, &desired.code) else {
            // A delta leaves out what is reported already; what matters then is the word that the release is settled.
            self.released = desired.job.filter(|_| desired.released.is_some()).or(self.released);
            return;
        };
        if desired.released.is_some() {
            self.released = Some(job);
        }
        if self.scan.is_none() && desired.lock == Some(Position::Open) && self.journal.is_waiting(&job) {
            let policy = &self.settings.policy;
            if let Ok(claim) = Claim::read(code, policy.chain_id, &policy.device, until)
                && claim.release.digest() == job
            {
                let begun = Instant::now();
                self.scan =
                    Some(Underway { claim, job, begun, step: Step::Wait, next: begun, verified: Duration::ZERO });
            }
        }
    }

    /// Does what can be done now.
    async fn go_on(&mut self) {
        self.resend();
        if self.closing.is_some_and(|(at, _)| Instant::now() >= at)
            && let Some((_, job)) = self.closing.take()
        {
            self.drive_closed(job).await;
        }
        let Some(scan) = self.scan.take() else { return };
        let released = self.released == Some(scan.job) && scan.step == Step::Wait;
        if let Some(message) = self.denied.take() {
            self.refuse(Some(scan.job), Refusal::Failed(format!("the shadow service refuses: {message}"))).await;
        } else if now_ms() / 1000 > scan.claim.release.not_after {
            self.late(scan).await;
        } else if Instant::now() >= scan.next || released {
            match scan.step {
                Step::Verify => self.verify(scan).await,
                Step::Wait => self.look(scan, released).await,
            }
        } else {
            self.scan = Some(scan);
        }
    }

    /// Sends what has no answer.
    fn resend(&mut self) {
        let topic = topic(&self.settings.policy.device, "update");
        for unanswered in [&mut self.desired, &mut self.reported].into_iter().flatten() {
            if unanswered.sent.is_none_or(|sent| sent.elapsed() > RESEND) {
                self.outbound.publish(&topic, unanswered.payload.clone());
                unanswered.sent = Some(Instant::now());
            }
        }
    }

    /// Says what is, through the shadow.
    fn say(&mut self, state: LockState) {
        let token = format!("reported {:032x}", rand::random::<u128>());
        let payload = report(&state, &token);
        self.reported = Some(Unanswered { token, payload, sent: None });
        self.resend();
    }

    /// Takes back what was asked of the shadow, and says why.
    fn reject(&mut self, job: B256, reason: &str) {
        self.desired = None;
        self.say(LockState { job: Some(job), rejected: Some(reason.to_owned()), ..LockState::default() });
    }

    async fn late(&mut self, scan: Underway) {
        let refusal = match scan.step {
            Step::Verify => Refusal::Chainless("its time is over".to_owned()),
            Step::Wait => Refusal::Late("the release was not settled before the code's time was over"),
        };
        if scan.step == Step::Wait {
            self.reject(scan.job, "late");
        }
        self.refuse(Some(scan.job), refusal).await;
    }

    async fn order(&self, scan: &Underway) -> Result<OrderState, ChainError> {
        let release = &scan.claim.release;
        let (trust, contract, buyer) = (&self.settings.trust, release.contract, release.buyer);
        match &self.settings.proving {
            Some(proving) => self.chain.proven_order(proving, trust, contract, buyer).await,
            None => self.chain.order(trust, &scan.claim, self.settings.settled).await,
        }
    }

    /// Asks the chain whether the buyer owns the item, and then the shadow for the job.
    async fn verify(&mut self, mut scan: Underway) {
        let refusal = match self.order(&scan).await {
            Ok(state) if !state.known => Refusal::UnknownContract,
            Ok(state) if !state.verified => Refusal::NotOwner,
            Ok(state) if state.release.is_some() => Refusal::Released,
            Ok(state) if !state.approved => Refusal::WalletSignature,
            Ok(_) => {
                scan.verified = scan.begun.elapsed();
                match self.ask(&scan) {
                    Ok(()) => {
                        (scan.step, scan.next) = (Step::Wait, Instant::now() + POLL);
                        self.scan = Some(scan);
                        return;
                    }
                    Err(error) => Refusal::Failed(format!("the journal: {error}")),
                }
            }
            Err(error) if error.is_passing() && scan.begun.elapsed() < self.settings.patience => {
                tracing::warn!(job = %scan.job, %error, "the chain does not answer");
                scan.next = Instant::now() + RETRY;
                self.scan = Some(scan);
                return;
            }
            Err(ChainError::Unproven(problem)) => Refusal::Unproven(problem),
            Err(error) => Refusal::Chainless(error.to_string()),
        };
        self.refuse(Some(scan.job), refusal).await;
    }

    /// Writes the job down and into the shadow.
    fn ask(&mut self, scan: &Underway) -> std::io::Result<()> {
        let release = &scan.claim.release;
        self.journal.use_code(scan.job, release.nonce, release.not_after, now_ms() / 1000)?;
        let desired = LockState {
            lock: Some(Position::Open),
            job: Some(scan.job),
            until: Some(release.not_after),
            code: Some(scan.claim.to_string()),
            ..LockState::default()
        };
        let token = format!("desired {}", &scan.job.to_string()[2..34]);
        let payload = desire(&desired, &token);
        self.desired = Some(Unanswered { token, payload, sent: None });
        self.resend();
        Ok(())
    }

    /// Asks the chain whether the release is settled, and opens.
    async fn look(&mut self, mut scan: Underway, told: bool) {
        let recorded = match self.order(&scan).await {
            Ok(state) if state.known && state.verified => state.release,
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(job = %scan.job, %error, "the chain does not answer");
                None
            }
        };
        match recorded {
            Some(recorded) if recorded.job == scan.job && recorded.opened_at == 0 => {
                let released = scan.begun.elapsed();
                self.open(scan, released, recorded.released_at).await;
            }
            Some(_) => {
                self.reject(scan.job, "released before");
                self.refuse(Some(scan.job), Refusal::Released).await;
            }
            None => {
                scan.next = Instant::now() + if told { TICK } else { POLL };
                self.released = None;
                self.scan = Some(scan);
            }
        }
    }

    /// Opens the lock: the one place where that happens, once for each job.
    async fn open(&mut self, scan: Underway, released: Duration, released_at: u64) {
        let job = scan.job;
        if let Err(error) = self.journal.carry_out(job) {
            return self.refuse(Some(job), Refusal::Failed(format!("the journal: {error}"))).await;
        }
        if let Some(actuator) = &mut self.actuator {
            if let Err(error) = actuator.drive(Order { job, position: Position::Open }).await {
                self.reject(job, "the actuator failed");
                return self.refuse(Some(job), Refusal::Failed(error.to_string())).await;
            }
            self.closing = Some((Instant::now() + self.settings.open_time, job));
            // All that was desired, so that nothing differs any more.
            self.say(LockState {
                lock: Some(Position::Open),
                job: Some(job),
                until: Some(scan.claim.release.not_after),
                code: Some(scan.claim.to_string()),
                released: Some(released_at),
                rejected: None,
            });
        }
        let opened = scan.begun.elapsed();
        tracing::info!(%job, took_ms = opened.as_millis(), "opened");
        self.tell(ScanReport::Opened { job, verified: scan.verified, released, opened }).await;
    }

    async fn drive_closed(&mut self, job: B256) {
        if let Some(actuator) = &mut self.actuator
            && let Err(error) = actuator.drive(Order { job, position: Position::Closed }).await
        {
            tracing::error!(%job, %error, "the lock did not close: see to it by hand");
            return;
        }
        self.say(LockState { lock: Some(Position::Closed), job: Some(job), ..LockState::default() });
    }

    /// Closes the lock at the end.
    async fn close(&mut self) -> Result<(), Refusal> {
        if let Some((_, job)) = self.closing.take() {
            self.drive_closed(job).await;
        }
        Ok(())
    }
}
