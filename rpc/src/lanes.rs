//! The threads that methods run on, apart from those of the network and from the ledger's.
//!
//! Reading has threads of its own, few and of low priority, so that whoever asks for much takes the time of others who read, and never
//! that of the ledger's writer: where both want a core, the writer gets nearly all of it. What is costly by nature (calls, traces,
//! searches) waits in another lane than what is cheap. A lane that is full refuses at once, a request that has waited for too long is
//! refused instead of run, and what nobody waits for any more is not run at all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use crate::config::RpcLimits;
use crate::errors::RpcError;
use crate::methods::Method;

/// How much lower the priority of cheap reads is than the network's (in steps of `nice`).
const READ_NICE: i32 = 5;
/// The same for costly ones. At 15 a thread gets about a thirtieth of what the ledger's writer gets on the same core.
const COSTLY_NICE: i32 = 15;
/// The largest value of `nice` (Linux, `setpriority(2)`).
const NICE_MAX: i32 = 19;

/// Says where a method runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Looks something up.
    Read,
    /// Runs contracts, or searches.
    Costly,
    /// Steers the node, may write, and may take long.
    Operate,
}

/// Namespaces whose methods run contracts or walk through much.
const COSTLY_NAMESPACES: [&str; 4] = ["debug", "trace", "ots", "drawbridge"];
/// Such methods of other namespaces.
const COSTLY_METHODS: [&str; 10] = [
    "eth_call",
    "eth_callMany",
    "eth_createAccessList",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_fillTransaction",
    "eth_getFilterLogs",
    "eth_getLogs",
    "eth_getProof",
    "eth_simulateV1",
];
/// Namespaces of operators; `debug` has some of their methods too.
const OPERATING_NAMESPACES: [&str; 8] = ["admin", "anvil", "device", "evm", "hardhat", "miner", "perm", "personal"];
/// Methods of operators in other namespaces.
const OPERATING_METHODS: [&str; 2] = ["debug_setHead", "debug_chaindbCompact"];

/// Returns the lane of a method.
pub(crate) fn lane_of(method: &Method) -> Lane {
    let (name, namespace) = (method.name, method.namespace());
    if OPERATING_NAMESPACES.contains(&namespace) || OPERATING_METHODS.contains(&name) {
        Lane::Operate
    } else if COSTLY_NAMESPACES.contains(&namespace) || COSTLY_METHODS.contains(&name) {
        Lane::Costly
    } else {
        Lane::Read
    }
}

/// Runs what was asked for.
type Job = Box<dyn FnOnce() + Send>;

/// All lanes.
pub(crate) struct Lanes {
    read: Pool,
    costly: Pool,
    operating: Arc<Semaphore>,
    patience: Duration,
}

impl Lanes {
    /// Starts the threads; they end when the lanes are dropped. Timers of methods run on `runtime`.
    ///
    /// # Errors
    /// The system gives no threads.
    pub(crate) fn start(limits: &RpcLimits, runtime: &Handle) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        let most = limits.concurrent_calls.max(1);
        // Reads wait for the disk too, calls hardly.
        let (read, costly) = (most.min(cores.saturating_mul(4)), most.min(cores.max(2)));
        Ok(Self {
            read: Pool::start("rpc-read", read, READ_NICE, limits.waiting_calls, runtime)?,
            costly: Pool::start("rpc-call", costly, COSTLY_NICE, limits.waiting_calls, runtime)?,
            operating: Arc::new(Semaphore::new(most)),
            patience: limits.waiting_timeout,
        })
    }

    /// Runs `work` in a lane and returns what it returns.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RpcError> {
        let pool = match lane {
            Lane::Read => &self.read,
            Lane::Costly => &self.costly,
            Lane::Operate => return self.operate(work).await,
        };
        let (answer, answered) = oneshot::channel();
        let (come, patience) = (Instant::now(), self.patience);
        let job = move || {
            if answer.is_closed() {
                return;
            }
            let answered = if come.elapsed() > patience { Err(RpcError::busy()) } else { caught(work) };
            // Who does not wait any more misses nothing.
            let _ = answer.send(answered);
        };
        match pool.jobs.try_send(Box::new(job)) {
            Ok(()) => answered.await.map_err(|_| RpcError::internal())?,
            Err(TrySendError::Full(_)) => Err(RpcError::busy()),
            Err(TrySendError::Disconnected(_)) => Err(RpcError::internal()),
        }
    }

    /// Runs what operators ask for on a thread that may block for long.
    async fn operate<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, RpcError> {
        let permit = Arc::clone(&self.operating).acquire_owned().await.map_err(|_| RpcError::internal())?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "a method ended without an answer");
            RpcError::internal()
        })
    }
}

/// A panic is a bug of ours, which ends the program where it has said so; elsewhere it ends the one request.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, RpcError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
        tracing::error!("a method ended without an answer");
        RpcError::internal()
    })
}

/// Threads that take jobs in the order in which they come.
struct Pool {
    jobs: Sender<Job>,
}

impl Pool {
    fn start(name: &'static str, threads: usize, nice: i32, waiting: usize, runtime: &Handle) -> std::io::Result<Self> {
        let (jobs, to_run) = bounded::<Job>(waiting.max(1));
        for number in 0..threads {
            let (to_run, runtime) = (to_run.clone(), runtime.clone());
            let thread = std::thread::Builder::new().name(format!("{name}-{number}"));
            thread.spawn(move || work_through(&to_run, nice, &runtime))?;
        }
        Ok(Self { jobs })
    }
}

fn work_through(to_run: &Receiver<Job>, nice: i32, runtime: &Handle) {
    lower_priority(nice);
    let _timers = runtime.enter();
    for job in to_run {
        job();
    }
}

/// Lowers the priority of this thread: on Linux each thread has its own.
fn lower_priority(steps: i32) {
    let lowered = rustix::process::getpriority_process(None)
        .and_then(|now| rustix::process::setpriority_process(None, now.saturating_add(steps).min(NICE_MAX)));
    if let Err(error) = lowered {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::methods::METHODS;

    fn lanes(waiting: usize, patience: Duration) -> Arc<Lanes> {
        let limits = RpcLimits {
            concurrent_calls: 1,
            waiting_calls: waiting,
            waiting_timeout: patience,
            ..RpcLimits::default()
        };
        Arc::new(Lanes::start(&limits, &Handle::current()).unwrap())
    }

    /// Occupies the one thread until the sender is dropped.
    async fn occupy(lanes: &Lanes) -> std::sync::mpsc::Sender<()> {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let (started, begun) = oneshot::channel();
        let job = move || {
            let _ = started.send(());
            let _ = held.recv();
        };
        assert!(lanes.costly.jobs.try_send(Box::new(job)).is_ok());
        begun.await.unwrap();
        hold
    }

    #[test]
    fn every_method_has_the_lane_of_what_it_does() {
        let lane = |name: &str| lane_of(METHODS.iter().find(|method| method.name == name).unwrap());
        for (name, expected) in [
            ("eth_getBlockByNumber", Lane::Read),
            ("eth_call", Lane::Costly),
            ("eth_getLogs", Lane::Costly),
            ("debug_traceTransaction", Lane::Costly),
            ("trace_filter", Lane::Costly),
            ("admin_importChain", Lane::Operate),
            ("personal_newAccount", Lane::Operate),
            ("txpool_content", Lane::Read),
        ] {
            assert_eq!(lane(name), expected, "{name}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_lane_refuses_and_the_others_go_on() {
        let lanes = lanes(1, Duration::from_secs(60));
        let hold = occupy(&lanes).await;
        let waiting = tokio::spawn({
            let lanes = Arc::clone(&lanes);
            async move { lanes.run(Lane::Costly, || 2).await }
        });
        while !lanes.costly.jobs.is_full() {
            tokio::task::yield_now().await;
        }
        assert_eq!(lanes.run(Lane::Costly, || 3).await, Err(RpcError::busy()));
        assert_eq!(lanes.run(Lane::Read, || 4).await, Ok(4));
        assert_eq!(lanes.run(Lane::Operate, || 5).await, Ok(5));
        drop(hold);
        assert_eq!(waiting.await.unwrap(), Ok(2));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_waited_too_long_or_for_nobody_is_not_run() {
        let lanes = lanes(8, Duration::ZERO);
        let hold = occupy(&lanes).await;
        let (ran, runs) = std::sync::mpsc::channel();
        let (late, gone) = (ran.clone(), ran);
        let waiting = tokio::spawn({
            let lanes = Arc::clone(&lanes);
            async move { lanes.run(Lane::Costly, move || late.send("late").unwrap()).await }
        });
        let forgotten = tokio::spawn({
            let lanes = Arc::clone(&lanes);
            async move { lanes.run(Lane::Costly, move || gone.send("gone").unwrap()).await }
        });
        while lanes.costly.jobs.len() < 2 {
            tokio::task::yield_now().await;
        }
        forgotten.abort();
        assert!(forgotten.await.is_err());
        drop(hold);
        assert_eq!(waiting.await.unwrap(), Err(RpcError::busy()));
        assert_eq!(runs.recv(), Err(std::sync::mpsc::RecvError), "neither ran, and both are gone");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_ends_one_request() {
        let lanes = lanes(8, Duration::from_secs(60));
        let bug: Result<(), _> = lanes.run(Lane::Costly, || panic!("a bug")).await;
        assert_eq!(bug, Err(RpcError::internal()));
        assert_eq!(lanes.run(Lane::Costly, || 1).await, Ok(1));
    }
}
