//! The miner: builds blocks on the head, searches their seals on threads of its own, and hands them to the ledger.
//!
//! When it builds follows from the chain's rule for empty blocks and from [`Pace`]; what is valid follows from the chain file alone.

mod meter;
mod search;
mod time;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B64, Bytes};
use chain::{BuildRequest, Candidate, Fact, ImportError, LedgerHandle, TransactionOrder};
use consensus::search::SearchJob;
use consensus::{EmptyBlocks, Witness};
use parking_lot::{Condvar, Mutex};
use tracing::{debug, error, info, warn};

use crate::keystore::{Keystore, KeystoreError};
use meter::HashMeter;
pub use time::Time;

/// How long the miner sleeps at most before it looks at the clock again.
const NAP_MAX: Duration = Duration::from_millis(1000);
/// How long somebody waits for a block that was ordered.
const ORDER_PATIENCE: Duration = Duration::from_secs(60);
/// How often an ordered block is tried again because something changed meanwhile.
const ORDER_TRIES: usize = 100;
/// How long the miner waits after a block that a full disk did not take.
const SPACE_PAUSE: Duration = Duration::from_millis(500);

/// Says what makes the miner build a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The chain's own rule: always, by heartbeat, or when transactions wait.
    Chain,
    /// A waiting transaction, and nothing else.
    OnDemand,
    /// So much time since the last block.
    Period(Duration),
    /// A waiting transaction, or so much time since the last block.
    OnDemandOrPeriod(Duration),
    /// Nothing but an order.
    OnOrder,
}

/// Says why a block is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// The pace wants it.
    Due,
    /// Somebody has ordered it, whatever it holds.
    Ordered,
}

/// Says where an order's outcome is told.
type Order = SyncSender<Result<(), String>>;

/// Holds what can be changed while the miner runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads that search.
    pub threads: usize,
    /// Who is credited.
    pub etherbase: Option<Address>,
    /// The extra data of new blocks, at most 32 bytes.
    pub extra_data: Bytes,
    /// The gas limit to move towards.
    pub gas_limit: u64,
    /// Which transactions come first.
    pub order: TransactionOrder,
    /// The least tip that is taken from others' transactions, in wei.
    pub min_tip_wei: u128,
    /// The share of the time that each thread searches, in percent, 1 to 100.
    pub cpu_percent: u8,
    /// How often the block being searched is built again.
    pub recommit: Duration,
    /// What makes the miner build.
    pub pace: Pace,
}

struct State {
    settings: Settings,
    mining: bool,
    stopping: bool,
    /// Counts what may change the miner's mind: heads, transactions, settings.
    events: u64,
    job: Option<(Arc<SearchJob>, JobKind)>,
    /// Blocks that are to be mined at once.
    orders: VecDeque<Order>,
    last_block: Instant,
}

/// Says what a transaction that arrives does to the running search.
#[derive(Clone, Copy, PartialEq, Eq)]
enum JobKind {
    /// The block is empty: a transaction ends the search.
    Empty,
    /// The block holds transactions: more of them wait for the next building.
    Filled,
}

/// Hears that our own store failed, on the mining thread.
pub type FailureSink = Box<dyn Fn(&ImportError) + Send + Sync>;

struct Shared {
    ledger: LedgerHandle,
    failed: FailureSink,
    keystore: Arc<Keystore>,
    time: Time,
    state: Mutex<State>,
    changed: Condvar,
    meter: HashMeter,
}

/// Controls the mining thread; clones share it.
#[derive(Clone)]
pub struct Miner {
    shared: Arc<Shared>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Miner {
    /// Starts the mining thread, which waits until [`Miner::start`]. `failed` hears when a block cannot be built because the store
    /// failed.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn spawn(
        ledger: LedgerHandle,
        keystore: Arc<Keystore>,
        settings: Settings,
        time: Time,
        failed: FailureSink,
    ) -> std::io::Result<Self> {
        let state = State {
            settings,
            mining: false,
            stopping: false,
            events: 0,
            job: None,
            orders: VecDeque::new(),
            last_block: Instant::now(),
        };
        let shared = Arc::new(Shared {
            ledger,
            failed,
            keystore,
            time,
            state: Mutex::new(state),
            changed: Condvar::new(),
            meter: HashMeter::default(),
        });
        let sink = Arc::downgrade(&shared);
        shared.ledger.subscribe(Box::new(move |fact| {
            if let Some(shared) = sink.upgrade() {
                shared.hear(fact);
            }
        }));
        let for_thread = shared.clone();
        let thread = std::thread::Builder::new().name("miner".to_owned()).spawn(move || for_thread.run())?;
        Ok(Self { shared, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Begins to mine.
    pub fn start(&self) {
        self.shared.change(|state| state.mining = true);
    }

    /// Stops mining; the thread waits for the next start.
    pub fn stop(&self) {
        self.shared.change(|state| state.mining = false);
    }

    /// Mines one block now, whether the miner mines or not and whether transactions wait or not, and waits until it is the head.
    ///
    /// # Errors
    /// Why there is none.
    pub fn mine_now(&self) -> Result<(), String> {
        let (order, outcome) = sync_channel(1);
        self.shared.change(|state| state.orders.push_back(order));
        outcome.recv_timeout(ORDER_PATIENCE).map_err(|_| "no block in time: the miner is busy or stopped".to_owned())?
    }

    /// Tells whether the miner mines.
    pub fn is_mining(&self) -> bool {
        self.shared.state.lock().mining
    }

    /// Returns the hash rate of the last half minute, in hashes per second.
    pub fn hash_rate(&self) -> u64 {
        let running = self.shared.state.lock().job.as_ref().map_or(0, |(job, _)| search::hashes(job));
        self.shared.meter.rate(running)
    }

    /// Returns the settings.
    pub fn settings(&self) -> Settings {
        self.shared.state.lock().settings.clone()
    }

    /// Changes the settings; the running search begins anew with them.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        self.shared.change(|state| change(&mut state.settings));
    }

    /// Returns the miners that the chain names; empty: anyone may mine.
    pub fn authorized(&self) -> std::collections::BTreeSet<Address> {
        self.shared.ledger.view().spec().pow.authorized_miners.clone()
    }

    /// Ends the thread and waits for it.
    pub fn shut_down(&self) {
        self.shared.change(|state| state.stopping = true);
        if let Some(thread) = self.thread.lock().take() {
            // It can only have panicked, which the panic hook has told.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        state.events = state.events.wrapping_add(1);
        if let Some((job, _)) = &state.job {
            job.cancel();
        }
        self.changed.notify_all();
    }

    fn hear(&self, fact: &Fact) {
        let mut state = self.state.lock();
        let ends_search = match (fact, &state.job) {
            (Fact::NewHead { .. } | Fact::Failed(_), _) => true,
            (Fact::NewTransaction(_), Some((_, kind))) => *kind == JobKind::Empty,
            (Fact::NewTransaction(_), None) => true,
            (Fact::DroppedTransaction { .. } | Fact::JournalFailed { .. }, _) => return,
        };
        state.events = state.events.wrapping_add(1);
        if ends_search && let Some((job, _)) = &state.job {
            job.cancel();
        }
        self.changed.notify_all();
    }

    fn run(&self) {
        let mut seen = None;
        loop {
            let mut state = self.state.lock();
            while !state.stopping && !state.mining && state.orders.is_empty() {
                self.changed.wait(&mut state);
            }
            if state.stopping {
                return;
            }
            if let Some(order) = state.orders.pop_front() {
                drop(state);
                let outcome = self.mine_ordered();
                self.state.lock().last_block = Instant::now();
                // Nobody waits any more: the block stands all the same.
                let _ = order.send(outcome);
                seen = None;
                continue;
            }
            let settings = state.settings.clone();
            let events = state.events;
            if !self.is_due(&state) {
                let nap = self.nap(&state);
                self.changed.wait_for(&mut state, nap);
                continue;
            }
            // A block that was built in vain is not built again before something changes or some time has passed.
            if seen == Some(events) {
                self.changed.wait_for(&mut state, NAP_MAX);
                seen = None;
                continue;
            }
            drop(state);
            match self.mine_one(&settings, events, Reason::Due) {
                Ok(Mined::Yes) => {
                    self.state.lock().last_block = Instant::now();
                    seen = None;
                }
                Ok(Mined::Again) => seen = None,
                Ok(Mined::InVain) => seen = Some(events),
                Ok(Mined::NoSpace) => self.wait_for_space(),
                Err(problem) => {
                    error!(%problem, "mining stopped");
                    self.state.lock().mining = false;
                    if let MiningError::Ledger(problem) = &problem
                        && problem.is_fatal()
                    {
                        (self.failed)(problem);
                    }
                }
            }
        }
    }

    /// Mines a block for an order.
    fn mine_ordered(&self) -> Result<(), String> {
        for _ in 0..ORDER_TRIES {
            let (settings, events, is_stopping) = {
                let state = self.state.lock();
                (state.settings.clone(), state.events, state.stopping)
            };
            if is_stopping {
                return Err("the node stops".to_owned());
            }
            match self.mine_one(&settings, events, Reason::Ordered) {
                Ok(Mined::Yes) => return Ok(()),
                Ok(Mined::Again) => {}
                Ok(Mined::InVain) => return Err("the chain did not take the block; the log says why".to_owned()),
                Ok(Mined::NoSpace) => return Err("the disk is full".to_owned()),
                Err(problem) => {
                    if let MiningError::Ledger(problem) = &problem
                        && problem.is_fatal()
                    {
                        (self.failed)(problem);
                    }
                    return Err(problem.to_string());
                }
            }
        }
        Err("the chain changes too fast to mine on it".to_owned())
    }

    /// Waits before the next try, however many transactions come meanwhile.
    fn wait_for_space(&self) {
        let until = Instant::now() + SPACE_PAUSE;
        let mut state = self.state.lock();
        while !state.stopping && state.mining && !self.changed.wait_until(&mut state, until).timed_out() {}
    }

    /// Tells whether there is a reason to build a block now.
    fn is_due(&self, state: &State) -> bool {
        let waiting = || self.ledger.pool().status().pending > 0;
        match state.settings.pace {
            Pace::OnDemand => waiting(),
            Pace::Period(period) => state.last_block.elapsed() >= period,
            Pace::OnDemandOrPeriod(period) => state.last_block.elapsed() >= period || waiting(),
            Pace::OnOrder => false,
            Pace::Chain => self.empty_is_allowed() || waiting(),
        }
    }

    /// Tells whether the pace wants a block without transactions, and the chain takes it.
    fn wants_empty(&self, pace: Pace) -> bool {
        let is_wanted = match pace {
            Pace::Chain | Pace::Period(_) => true,
            Pace::OnDemand | Pace::OnOrder => false,
            Pace::OnDemandOrPeriod(period) => self.state.lock().last_block.elapsed() >= period,
        };
        is_wanted && self.empty_is_allowed()
    }

    fn nap(&self, state: &State) -> Duration {
        match state.settings.pace {
            Pace::Period(period) | Pace::OnDemandOrPeriod(period) => period.saturating_sub(state.last_block.elapsed()),
            Pace::Chain | Pace::OnDemand | Pace::OnOrder => NAP_MAX,
        }
    }

    /// Tells whether a block without transactions would be valid now.
    fn empty_is_allowed(&self) -> bool {
        let view = self.ledger.view();
        match view.spec().pow.empty_blocks {
            EmptyBlocks::Always => true,
            EmptyBlocks::Heartbeat { seconds } => self.time.now() >= view.head().timestamp.saturating_add(seconds),
            EmptyBlocks::Never => false,
        }
    }

    fn mine_one(&self, settings: &Settings, events: u64, reason: Reason) -> Result<Mined, MiningError> {
        let beneficiary = settings.etherbase.ok_or(MiningError::NoEtherbase)?;
        let next = self.time.next_block(self.ledger.view().head());
        let request = BuildRequest {
            beneficiary,
            timestamp: next.timestamp,
            extra_data: settings.extra_data.clone(),
            gas_limit: settings.gas_limit,
            order: settings.order,
            min_tip_wei: settings.min_tip_wei,
        };
        let candidate = self.ledger.build_departing(&request, next.departures)?;
        let is_empty = candidate.transaction_count() == 0;
        match reason {
            Reason::Due if is_empty && !self.wants_empty(settings.pace) => return Ok(Mined::InVain),
            Reason::Ordered if is_empty && !self.empty_is_allowed() => return Err(MiningError::NoEmptyBlock),
            Reason::Due | Reason::Ordered => {}
        }
        let Some(nonce) = self.search(&candidate, settings, events, reason) else { return Ok(Mined::Again) };
        let witness = self.witness(&candidate, beneficiary, nonce)?;
        let (number, transactions) = (candidate.header().number, candidate.transaction_count());
        let now = self.time.now_at_least(candidate.header().timestamp);
        let header = candidate.header().clone();
        match self.ledger.import_mined(candidate, nonce, witness, now) {
            Ok(_) => {
                self.time.mined(&header);
                info!(number, transactions, "mined a block");
                Ok(Mined::Yes)
            }
            // Somebody has gone back or changed the state by hand meanwhile.
            Err(ImportError::Refused(problem)) => {
                debug!(number, problem, "the mined block is built again");
                Ok(Mined::Again)
            }
            Err(problem) if problem.is_fatal() => Err(problem.into()),
            Err(problem) if problem.is_out_of_space() => {
                debug!(number, %problem, "the mined block is not written");
                Ok(Mined::NoSpace)
            }
            Err(problem) => {
                warn!(number, %problem, "the mined block was not taken");
                Ok(Mined::InVain)
            }
        }
    }

    /// Searches the seal of `candidate` until it is found, the head changes, or it is time to build again.
    fn search(&self, candidate: &Candidate, settings: &Settings, events: u64, reason: Reason) -> Option<B64> {
        let job = Arc::new(SearchJob::new(candidate.header()));
        let kind = if candidate.transaction_count() == 0 { JobKind::Empty } else { JobKind::Filled };
        {
            let mut state = self.state.lock();
            // What happened while the block was built, before there was a job to cancel.
            let head_moved = self.ledger.view().head().hash() != candidate.header().parent_hash;
            let is_off = reason == Reason::Due && !state.mining;
            if head_moved || state.stopping || is_off || (kind == JobKind::Empty && state.events != events) {
                return None;
            }
            state.job = Some((job.clone(), kind));
        }
        let found = search::search(&job, settings.threads, settings.cpu_percent, settings.recommit);
        self.state.lock().job = None;
        self.meter.add(search::hashes(&job));
        found
    }

    /// Signs the block hash, where the chain names its miners.
    fn witness(&self, candidate: &Candidate, beneficiary: Address, nonce: B64) -> Result<Option<Witness>, MiningError> {
        let view = self.ledger.view();
        let miners = &view.spec().pow.authorized_miners;
        if miners.is_empty() {
            return Ok(None);
        }
        if !miners.contains(&beneficiary) {
            return Err(MiningError::NotAuthorized(beneficiary));
        }
        let signature = self.keystore.sign_hash(beneficiary, candidate.hash_with(nonce));
        signature.map(|signature| Some(Witness(signature))).map_err(|error| MiningError::Key(beneficiary, error))
    }
}

/// Says what came of one round.
enum Mined {
    /// A block.
    Yes,
    /// Nothing, because something changed meanwhile.
    Again,
    /// Nothing, and nothing will before something changes.
    InVain,
    /// Nothing, because the disk is full.
    NoSpace,
}

/// Says why mining cannot go on.
#[derive(Debug, thiserror::Error)]
enum MiningError {
    #[error("etherbase must be explicitly specified: name an account by --miner.etherbase or miner_setEtherbase")]
    NoEtherbase,
    #[error("nothing waits, and this chain has no empty block now (see empty_blocks in its file)")]
    NoEmptyBlock,
    #[error("{0} is not one of the authorized miners of the chain file")]
    NotAuthorized(Address),
    #[error("the witness of {0} cannot be signed: {1}; unlock the account by --unlock")]
    Key(Address, KeystoreError),
    #[error(transparent)]
    Ledger(#[from] ImportError),
}
