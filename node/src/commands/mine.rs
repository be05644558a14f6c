//! `mine`: searches seals for a node elsewhere, over JSON-RPC.
//!
//! The node builds the blocks, names who is paid for them, and signs them where its chain wants that; here is nothing but work:
//! `eth_getWork`, the search, `eth_submitWork`, and `eth_submitHashrate`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use alloy_primitives::{B64, B256, U256};
use consensus::search::SearchJob;
use device_bridge::chain_client::{ChainClient, ChainError, Endpoint, read_pem};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use super::device::read_secret;
use crate::cli::mine_flags::MineArgs;
use crate::exit::Fatal;
use crate::miner::{HashMeter, NoWork, search};

/// How often the node is asked for newer work.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How often the hash rate is reported.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long is waited for a node that does not answer: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// How long one piece of work is searched at most: newer work comes long before.
const SEARCH_MAX: Duration = Duration::from_secs(3600);

/// Mines until a signal ends it. A node that does not answer is asked again.
///
/// # Errors
/// The settings cannot be used, or the node does not take work from here.
pub fn run(args: &MineArgs) -> Result<(), Fatal> {
    let client = client(args)?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let threads = if args.search_threads == 0 { cores } else { usize::from(args.search_threads) };
    let miner = ExternalMiner {
        client,
        threads,
        cpu_percent: args.search_cpu,
        id: B256::from(rand::random::<[u8; 32]>()),
        meter: HashMeter::default(),
        told: String::new(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Fatal::Internal { cause: format!("no runtime: {error}") })?;
    info!(node = %args.url, threads, "searching seals");
    let ended = runtime.block_on(miner.run());
    info!("stopped");
    ended
}

fn client(args: &MineArgs) -> Result<ChainClient, Fatal> {
    let remedy = "check --rpc, --rpc.ca, --rpc.user and --rpc.password";
    let login = match (&args.rpc_user, &args.rpc_password) {
        (Some(user), Some(file)) => Some((user.clone(), read_secret(file)?)),
        _ => None,
    };
    let pem = |path: &Path| read_pem(path).map_err(|error| Fatal::config(error, remedy));
    let endpoint = Endpoint {
        url: args.url.clone(),
        ca_pem: args.rpc_ca.as_deref().map(pem).transpose()?,
        login,
        api_key: args.rpc_key.as_deref().map(read_secret).transpose()?,
        timeout: ANSWER_TIMEOUT,
    };
    ChainClient::new(&endpoint).map_err(|error| Fatal::config(error, remedy))
}

struct ExternalMiner {
    client: ChainClient,
    threads: usize,
    cpu_percent: u8,
    /// The name under which the hash rate is reported.
    id: B256,
    meter: HashMeter,
    /// What was told last about why there is no work, so that it is told once.
    told: String,
}

/// A search under way.
struct Search {
    job: Arc<SearchJob>,
    number: u64,
    task: JoinHandle<Option<B64>>,
    /// How many of its hashes the meter knows of.
    noted: u64,
}

impl Search {
    /// Ends the search and counts what it tried. What it may have found at the last moment is stale.
    async fn end(mut self, meter: &HashMeter) {
        self.job.cancel();
        // A search that panicked has been told by the panic hook.
        let _ = (&mut self.task).await;
        self.note(meter);
    }

    /// Tells the meter what was tried since the last time.
    fn note(&mut self, meter: &HashMeter) {
        let tried = search::hashes(&self.job);
        meter.add(tried.saturating_sub(self.noted));
        self.noted = tried;
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.job.cancel();
    }
}

/// What the node gives to search.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Work {
    seal_hash: B256,
    target: U256,
    number: u64,
}

impl ExternalMiner {
    async fn run(self) -> Result<(), Fatal> {
        let internal = |error: std::io::Error| Fatal::Internal { cause: format!("no signals: {error}") };
        let mut interrupted = signal(SignalKind::interrupt()).map_err(internal)?;
        let mut terminated = signal(SignalKind::terminate()).map_err(internal)?;
        // A search that runs ends when it is dropped, and a question that waits for its answer is dropped too.
        tokio::select! {
            _ = interrupted.recv() => Ok(()),
            _ = terminated.recv() => Ok(()),
            fatal = self.mine() => Err(fatal),
        }
    }

    /// Asks, searches and submits until that is hopeless.
    async fn mine(mut self) -> Fatal {
        let mut ask = tokio::time::interval(ASK_EVERY);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut report = tokio::time::interval(REPORT_EVERY);
        report.reset();
        let mut running: Option<Search> = None;
        let mut pause = PAUSE.0;
        loop {
            tokio::select! {
                found = finished(&mut running) => {
                    if let (Some(mut search), Some(nonce)) = (running.take(), found) {
                        search.note(&self.meter);
                        self.submit(&search, nonce).await;
                        ask.reset_immediately();
                    }
                }
                _ = report.tick() => self.report(running.as_mut()).await,
                _ = ask.tick() => match self.ask().await {
                    Ok(work) => {
                        pause = PAUSE.0;
                        self.follow(&mut running, work).await;
                    }
                    Err(error) => {
                        if let Some(search) = running.take() {
                            search.end(&self.meter).await;
                        }
                        if let Some(fatal) = hopeless(&error) {
                            return fatal;
                        }
                        self.tell(&error);
                        ask.reset_after(pause);
                        pause = (pause * 2).min(PAUSE.1);
                    }
                },
            }
        }
    }

    /// Asks for work; `None` where there is none now.
    async fn ask(&mut self) -> Result<Option<Work>, ChainError> {
        match self.client.call("eth_getWork", json!([])).await {
            Ok(answer) => {
                self.told.clear();
                let malformed = |problem: &str| ChainError::Malformed {
                    method: "eth_getWork".to_owned(),
                    problem: format!("{problem}: {answer}"),
                };
                read_work(&answer).map(Some).map_err(malformed)
            }
            Err(ChainError::Node { code: -32000, message }) if message == NoWork::NothingToMine.to_string() => {
                if self.told != message {
                    info!("the node has {message}");
                    self.told = message;
                }
                Ok(None)
            }
            Err(error @ ChainError::Node { code: -32000, .. }) => {
                self.tell(&error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Searches what the node gave, unless that is what is being searched.
    async fn follow(&self, running: &mut Option<Search>, work: Option<Work>) {
        let wanted = work.as_ref().map(|work| work.seal_hash);
        if running.as_ref().map(|search| search.job.seal_hash) == wanted {
            return;
        }
        if let Some(search) = running.take() {
            search.end(&self.meter).await;
        }
        *running = work.map(|work| self.begin(&work));
    }

    fn begin(&self, work: &Work) -> Search {
        let job = Arc::new(SearchJob {
            seal_hash: work.seal_hash,
            target: work.target,
            cancelled: AtomicBool::new(false),
            hashes: AtomicU64::new(0),
        });
        let (shared, threads, cpu_percent) = (Arc::clone(&job), self.threads, self.cpu_percent);
        let task = tokio::task::spawn_blocking(move || search::search(&shared, threads, cpu_percent, SEARCH_MAX));
        // The rate is counted from here on.
        self.meter.add(0);
        Search { job, number: work.number, task, noted: 0 }
    }

    async fn submit(&self, search: &Search, nonce: B64) {
        let (number, seal_hash) = (search.number, search.job.seal_hash);
        match self.client.call("eth_submitWork", json!([nonce, seal_hash, B256::ZERO])).await {
            Ok(Value::Bool(true)) => info!(number, "sealed a block"),
            Ok(_) => info!(number, "the node did not take a seal: it came too late"),
            Err(error) => warn!(number, %error, "a seal was not handed over"),
        }
    }

    /// Reports the hash rate; a report that fails is not missed.
    async fn report(&self, running: Option<&mut Search>) {
        if let Some(search) = running {
            search.note(&self.meter);
        }
        let rate = self.meter.rate(0);
        info!(hashes_per_second = rate, "searching");
        let _ = self.client.call("eth_submitHashrate", json!([format!("{rate:#x}"), self.id])).await;
    }

    fn tell(&mut self, error: &ChainError) {
        let text = error.to_string();
        if self.told != text {
            warn!("{text}");
            self.told = text;
        }
    }
}

/// Waits for the end of the search; for ever, where none runs. A search that ended without a nonce is begun anew by the next work.
async fn finished(running: &mut Option<Search>) -> Option<B64> {
    match running {
        Some(search) => {
            let found = (&mut search.task).await.ok().flatten();
            if found.is_none() {
                *running = None;
            }
            found
        }
        None => std::future::pending().await,
    }
}

/// Says why asking again is of no use, where it is not.
fn hopeless(error: &ChainError) -> Option<Fatal> {
    match error {
        ChainError::Node { code: -32601, .. } => {
            Some(Fatal::config(error, "serve the eth namespace: --http.api eth,net,web3"))
        }
        ChainError::Settings(_) | ChainError::Refused { .. } | ChainError::Malformed { .. } if !error.is_passing() => {
            Some(Fatal::config(error, "check --rpc and the login; the gate must allow eth_getWork and eth_submitWork"))
        }
        _ => None,
    }
}

/// Reads `[seal hash, seed hash, target, block number]`.
fn read_work(answer: &Value) -> Result<Work, &'static str> {
    let text = |index: usize| answer.get(index).and_then(Value::as_str);
    let word = |index: usize| text(index).and_then(|text| text.parse::<B256>().ok());
    let (Some(seal_hash), Some(target)) = (word(0), word(2)) else { return Err("no work") };
    let number = text(3).and_then(|text| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok());
    let number = number.ok_or("no block number")?;
    Ok(Work { seal_hash, target: U256::from_be_bytes(target.0), number })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn work_is_read() {
        let (a, b) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let work = read_work(&json!([a, B256::ZERO, b, "0x10"])).unwrap();
        assert_eq!(work, Work { seal_hash: a, target: U256::from_be_bytes(b.0), number: 16 });
        for bad in [json!(null), json!([a]), json!([a, a, a]), json!([a, a, a, 16]), json!([1, a, a, "0x1"])] {
            assert!(read_work(&bad).is_err(), "{bad}");
        }
    }
}
