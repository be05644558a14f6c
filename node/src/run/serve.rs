//! The node: ledger, miner, network and JSON-RPC wired together, until a signal or a failing disk ends it.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::network::p2p::{Network, ShellError};
use alloy_primitives::Address;
use chain::{Fact, ImportError, TransactionOrder};
use rpc::{DevChain, DevTerms, Operation, RpcConfig, RpcHandle, ServeError, Services};
use storage::StorageError;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinError;
use tracing::{debug, error, info, warn};

use super::catching_up;
use super::device_desk::NodeDevices;
use super::gate;
use super::ledger::{Opened, open, storage_error};
use super::network::{self, NetworkSwitch};
use super::now_seconds;
use super::operation::{LedgerFiles, NodeHealth};
use super::signer::{KeystoreSigner, MinerSwitch};
use crate::accounts::{dev_accounts, dev_banner, open_keystore, resolve, unlock_at_start};
use crate::commands::version;
use crate::config::values::MinerOrder;
use crate::config::{DevConfig, NodeConfig};
use crate::exit::Fatal;
use crate::keystore::Keystore;
use crate::logging::LogHandle;
use crate::metrics::{self, Metrics, MetricsServer, Sources};
use crate::miner::{Miner, Pace, Settings, Time};

/// How often what was committed is brought to the disk.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How long the network may take to stop.
const NETWORK_PATIENCE: Duration = Duration::from_secs(1);
/// How often the pool is looked through for what has waited too long.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// What the version of a development chain begins with: tools that offer to change a chain by hand look for this word.
const DEV_VERSION_PREFIX: &str = "anvil-compatible/";

/// Hears SIGINT and SIGTERM from the first moment on, so that a node which is told to stop while it still starts stops cleanly too.
pub struct StopSignals {
    runtime: Runtime,
    interrupted: Signal,
    terminated: Signal,
}

impl StopSignals {
    /// Begins to listen.
    ///
    /// # Errors
    /// The system gives no threads or no signals.
    pub fn listen() -> Result<Self, Fatal> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Fatal::Internal { cause: format!("no runtime: {error}") })?;
        let internal = |error: std::io::Error| Fatal::Internal { cause: format!("no signals: {error}") };
        let inside = runtime.enter();
        let interrupted = signal(SignalKind::interrupt()).map_err(internal)?;
        let terminated = signal(SignalKind::terminate()).map_err(internal)?;
        drop(inside);
        Ok(Self { runtime, interrupted, terminated })
    }
}

/// Runs a node until it is told to stop; `log` changes how much it writes about itself.
///
/// # Errors
/// A condition that ends the program.
pub fn node(config: NodeConfig, log: LogHandle, stop: StopSignals) -> Result<(), Fatal> {
    let StopSignals { runtime, interrupted, terminated } = stop;
    let opened = open(&config)?;
    let keystore = Arc::new(open_keystore(&config.accounts, config.dev.as_ref())?);
    refuse_exposed_unlock(&config)?;
    unlock_at_start(&keystore, &config.accounts)?;
    load_journal(&opened);
    let (failed, failure) = watch::channel(None);
    log_facts(&opened, failed.clone());
    let settings = miner_settings(&config, &keystore)?;
    let tell = Box::new(move |problem: &ImportError| tell_failure(&failed, problem));
    let time = match &config.dev {
        Some(_) => Time::Chosen(dev_terms(&opened)),
        None => Time::System(now_seconds),
    };
    let miner = Miner::spawn(opened.ledger.clone(), keystore.clone(), settings, time.clone(), tell)
        .map_err(|error| Fatal::Internal { cause: format!("no thread for the miner: {error}") })?;
    if config.miner.enabled || config.dev.is_some() {
        start_mining(&miner, &keystore)?;
    }
    let told = Told { interrupted, terminated, failure };
    let ended = runtime.block_on(serve_until_stopped(&config, &opened, keystore, (miner.clone(), time), log, told));
    miner.shut_down();
    runtime.shutdown_timeout(Duration::from_millis(500));
    rotate_journal(&opened);
    let closed = opened.close();
    info!("stopped");
    ended.and(closed)
}

/// What ends a node.
struct Told {
    interrupted: Signal,
    terminated: Signal,
    failure: watch::Receiver<Option<ImportError>>,
}

async fn serve_until_stopped(
    config: &NodeConfig,
    opened: &Opened,
    keystore: Arc<Keystore>,
    (miner, time): (Miner, Time),
    log: LogHandle,
    told: Told,
) -> Result<(), Fatal> {
    let Told { mut interrupted, mut terminated, mut failure } = told;
    let mut meeting = Meeting::start(config, opened)?;
    let devices = NodeDevices::new();
    if config.mqtt.enabled {
        meeting.operation.devices = devices.clone();
    }
    let (registries, operator) = (config.http.desk_registries.clone(), config.http.desk_operator);
    meeting.operation.desk = rpc::DeskFacts { registries, operator };
    let screen = log.screen().clone();
    meeting.operation.log = Arc::new(log);
    let _metrics = start_metrics(config, opened, &miner, &meeting).await?;
    let rpc = start_rpc(config, opened, keystore, (miner, time), meeting.operation.clone()).await?;
    announce(config, opened, &rpc)?;
    let broker = match super::devices::start_broker(config).await {
        Ok(broker) => broker,
        Err(fatal) => {
            rpc.stop().await;
            return Err(fatal);
        }
    };
    broker.iter().for_each(|broker| devices.open(broker));
    let mut network = meeting.network;
    let handle = network.as_ref().map(|network| network.handle.clone());
    let mut bar = Box::pin(catching_up::show(screen, opened.ledger.clone(), handle));
    let mut sync = tokio::time::interval(SYNC_EVERY);
    let mut expire = tokio::time::interval(EXPIRE_EVERY);
    let mut rejournal = tokio::time::interval(config.pool.rejournal.max(SYNC_EVERY));
    rejournal.reset();
    let mut space = Space::default();
    let ended = loop {
        tokio::select! {
            _ = interrupted.recv() => break Ok(()),
            _ = terminated.recv() => break Ok(()),
            changed = failure.changed() => {
                let error = failure.borrow().clone();
                match (changed, error) {
                    (Ok(()), Some(error)) => break Err(ledger_failure(config, error)),
                    (Ok(()), None) => {}
                    (Err(_), _) => break Err(Fatal::Internal { cause: "the ledger is gone".to_owned() }),
                }
            }
            ended = join(&mut network) => break Err(network::task_error(config, ended)),
            _ = sync.tick() => {
                let ledger = opened.ledger.clone();
                match tokio::task::spawn_blocking(move || ledger.sync()).await {
                    Ok(Ok(()) | Err(StorageError::Full(_))) => space.watch(opened.ledger.is_out_of_space()),
                    Ok(Err(error)) => break Err(storage_error(&config.data.dir, error)),
                    Err(error) => break Err(Fatal::Internal { cause: error.to_string() }),
                }
            }
            never = &mut bar => match never {},
            _ = expire.tick() => opened.ledger.expire_transactions(now_seconds()),
            _ = rejournal.tick() => rotate_journal(opened),
        }
    };
    drop(bar);
    info!("stopping");
    meeting.is_stopping.store(true, Ordering::Relaxed);
    rpc.stop().await;
    devices.close();
    if let Some(broker) = broker {
        broker.stop().await;
    }
    if let Some(running) = network.filter(|network| !network.task.is_finished()) {
        running.handle.stop().await;
        if let Err(error) = tokio::time::timeout(NETWORK_PATIENCE, running.task).await {
            warn!(%error, "the network takes too long to stop");
        }
    }
    ended
}

/// Tells the operator once when the disk is full, and once when it is not any more.
#[derive(Default)]
struct Space {
    is_out: bool,
}

impl Space {
    fn watch(&mut self, is_out: bool) {
        if is_out && !self.is_out {
            error!("the disk is full: no block is written until there is space again; reads go on");
        } else if self.is_out && !is_out {
            info!("there is space on the disk again: blocks are written");
        }
        self.is_out = is_out;
    }
}

/// Serves metrics and health, where the configuration says so.
async fn start_metrics(
    config: &NodeConfig,
    opened: &Opened,
    miner: &Miner,
    meeting: &Meeting,
) -> Result<Option<MetricsServer>, Fatal> {
    if !config.metrics.enabled {
        return Ok(None);
    }
    let sources = Sources {
        ledger: opened.ledger.clone(),
        store: opened.store.clone(),
        miner: miner.clone(),
        network: meeting.network.as_ref().map(|network| network.handle.clone()),
        peers_max: u64::from(config.network.peers_max),
        version: version::client_version(config.network.identity.as_deref()),
    };
    let address = SocketAddr::new(config.metrics.host, config.metrics.port);
    let served = metrics::serve(address, Arc::new(Metrics::new(sources)), meeting.operation.health.clone()).await;
    let server = served.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Fatal::PortInUse { address: address.to_string(), flag: "--metrics.port" },
        _ => Fatal::config(format!("cannot listen on {address}: {error}"), "choose another --metrics.addr"),
    })?;
    info!(url = %format!("http://{}/metrics", server.address), "metrics");
    Ok(Some(server))
}

/// Waits for the end of the network's task; for ever, where there is none.
async fn join(network: &mut Option<Network>) -> Result<Result<(), ShellError>, JoinError> {
    match network {
        Some(network) => (&mut network.task).await,
        None => std::future::pending().await,
    }
}

/// The network, where there is one, and what operators ask for.
struct Meeting {
    network: Option<Network>,
    operation: Operation,
    is_stopping: Arc<AtomicBool>,
}

impl Meeting {
    fn start(config: &NodeConfig, opened: &Opened) -> Result<Self, Fatal> {
        let cell = Arc::new(OnceLock::new());
        let permissions = network::permissions(config, Arc::clone(&cell))?;
        let allowed = permissions.as_ref().and_then(|permissions| permissions.peers());
        let network = network::start(config, opened, allowed)?;
        let handle = network.as_ref().map(|network| network.handle.clone());
        let is_stopping = Arc::new(AtomicBool::new(false));
        let datadir = std::path::absolute(&config.data.dir).map_err(|error| Fatal::io(&config.data.dir, &error))?;
        let mut operation = Operation::alone(datadir.clone());
        operation.files = Arc::new(LedgerFiles { ledger: opened.ledger.clone(), datadir });
        operation.health = Arc::new(NodeHealth {
            ledger: opened.ledger.clone(),
            network: handle.clone(),
            datadir: config.data.dir.clone(),
            is_stopping: Arc::clone(&is_stopping),
        });
        if let Some(permissions) = permissions {
            operation.permissions = permissions;
        }
        if let Some(handle) = handle {
            // Set once, here.
            let _ = cell.set(handle.clone());
            operation.network = Arc::new(NetworkSwitch::new(handle, config));
        }
        Ok(Self { network, operation, is_stopping })
    }
}

fn ledger_failure(config: &NodeConfig, error: ImportError) -> Fatal {
    match error {
        ImportError::Storage(error) => storage_error(&config.data.dir, error),
        other => Fatal::DatabaseCorrupt { datadir: config.data.dir.clone(), cause: other.to_string() },
    }
}

/// Refuses accounts that are open to whoever reaches HTTP or WebSocket, unless the operator insists.
fn refuse_exposed_unlock(config: &NodeConfig) -> Result<(), Fatal> {
    let exposed = config.http.enabled || config.ws.enabled;
    if config.accounts.unlock.is_empty() || !exposed || config.accounts.allow_insecure_unlock {
        return Ok(());
    }
    Err(Fatal::key(
        "account unlock with HTTP access is forbidden",
        "drop --unlock, serve over IPC alone, or insist by --allow-insecure-unlock",
    ))
}

fn load_journal(opened: &Opened) {
    match opened.ledger.load_journal(now_seconds()) {
        Ok(report) => debug!(?report, "read the journal of local transactions"),
        Err(problem) => warn!(%problem, "the journal of local transactions cannot be read"),
    }
}

fn rotate_journal(opened: &Opened) {
    if let Err(problem) = opened.ledger.pool().rotate_journal() {
        warn!(%problem, "the journal of local transactions cannot be written");
    }
}

/// Writes a line for each new head, and tells `failed` when the ledger ends.
fn log_facts(opened: &Opened, failed: watch::Sender<Option<ImportError>>) {
    opened.ledger.subscribe(Box::new(move |fact| match fact {
        Fact::NewHead { view, added, reorganisation } => {
            if let Some(moved) = reorganisation {
                warn!(ancestor = moved.ancestor, dropped = moved.dropped.len(), added = added.len(), "reorganised");
            }
            let head = view.head();
            let txs = added.last().map_or(0, |block| block.transactions.len());
            info!(target: "node::progress", number = head.number, hash = %head.hash(), txs, gas = head.gas_used, "new head");
        }
        Fact::NewTransaction(tx) => debug!(hash = %tx.hash(), "new transaction"),
        Fact::DroppedTransaction { hash, reason } => info!(%hash, %reason, "dropped a transaction"),
        Fact::JournalFailed { hash, problem } => {
            warn!(%hash, %problem, "a local transaction is not in the journal: it would not survive a restart");
        }
        Fact::Failed(problem) => {
            error!(%problem, "the ledger failed");
            tell_failure(&failed, problem);
        }
    }));
}

/// Ends the node for `problem`; the first one counts, as others follow from it.
fn tell_failure(failed: &watch::Sender<Option<ImportError>>, problem: &ImportError) {
    failed.send_if_modified(|known| {
        let is_first = known.is_none();
        known.get_or_insert_with(|| problem.clone());
        is_first
    });
}

fn miner_settings(config: &NodeConfig, keystore: &Keystore) -> Result<Settings, Fatal> {
    let miner = &config.miner;
    let etherbase = match (miner.etherbase, &config.dev) {
        (Some(account), _) => Some(resolve(keystore, account)?),
        (None, Some(dev)) => dev_etherbase(dev)?,
        (None, None) => keystore.accounts().first().copied(),
    };
    let pace = match &config.dev {
        None => Pace::Chain,
        Some(dev) => dev.period.map_or(Pace::OnDemand, Pace::Period),
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    Ok(Settings {
        threads: if miner.threads == 0 { cores } else { usize::from(miner.threads) },
        etherbase,
        extra_data: miner.extra_data.clone(),
        gas_limit: miner.gas_limit,
        order: match miner.order {
            MinerOrder::Arrival => TransactionOrder::Arrival,
            MinerOrder::Price => TransactionOrder::Price,
        },
        min_tip_wei: miner.tip_wei_min,
        cpu_percent: miner.cpu_percent,
        recommit: miner.recommit,
        pace,
    })
}

/// Returns the time of a development chain, which goes on where the chain ended. It hears of a block before any client does, so that
/// what a client wants then is wanted of the next one.
fn dev_terms(opened: &Opened) -> Arc<DevTerms> {
    let terms = Arc::new(DevTerms::new(Arc::new(now_seconds), opened.ledger.view().head().timestamp));
    let sink = Arc::clone(&terms);
    opened.ledger.subscribe(Box::new(move |fact| {
        if let Fact::NewHead { view, added, .. } = fact
            && !added.is_empty()
        {
            sink.mined(view.head());
        }
    }));
    terms
}

/// Returns the account after the unlocked ones: fees that went to one of those would blur its balance.
fn dev_etherbase(dev: &DevConfig) -> Result<Option<Address>, Fatal> {
    let accounts = dev_accounts(&dev.mnemonic, dev.accounts.saturating_add(1))?;
    Ok(accounts.last().map(|(address, _)| *address))
}

fn start_mining(miner: &Miner, keystore: &Keystore) -> Result<(), Fatal> {
    let Some(etherbase) = miner.settings().etherbase else {
        return Err(Fatal::key(
            "etherbase must be explicitly specified: the keystore holds no account",
            "make one by `drawbridge account new`, or name an address by --miner.etherbase",
        ));
    };
    let authorized = miner.authorized();
    if !authorized.is_empty() && !authorized.contains(&etherbase) {
        return Err(Fatal::key(
            format!("{etherbase} is not one of the authorized miners of the chain file"),
            "name one of them by --miner.etherbase and unlock it by --unlock, or run without --mine",
        ));
    }
    // Where miners are named, each block needs their signature: without the key all work would be in vain.
    if !authorized.is_empty() && !keystore.is_unlocked(etherbase) {
        return Err(Fatal::key(
            format!("the blocks of {etherbase} need its signature, and the account is locked"),
            "unlock it by --unlock and --password, or run without --mine",
        ));
    }
    miner.start();
    Ok(())
}

async fn start_rpc(
    config: &NodeConfig,
    opened: &Opened,
    keystore: Arc<Keystore>,
    (miner, time): (Miner, Time),
    operation: Operation,
) -> Result<RpcHandle, Fatal> {
    let miner = Arc::new(MinerSwitch(miner));
    let version = version::client_version(config.network.identity.as_deref());
    let (client_version, dev) = match &time {
        Time::System(_) => (version, None),
        Time::Chosen(terms) => {
            let dev = DevChain { terms: Arc::clone(terms), miner: miner.clone() };
            (format!("{DEV_VERSION_PREFIX}{version}"), Some(dev))
        }
    };
    let services = Services {
        ledger: opened.ledger.clone(),
        signer: Arc::new(KeystoreSigner(keystore)),
        miner,
        clock: Arc::new(move || time.now()),
        client_version,
        network_id: config.chain.network_id.unwrap_or(opened.genesis.spec.chain_id),
        operation,
        dev,
    };
    let gate = gate::read(&config.rpc)?;
    rpc::serve(RpcConfig { gate, ..rpc_config(config) }, services).await.map_err(serve_error)
}

fn serve_error(error: ServeError) -> Fatal {
    match error {
        ServeError::PortInUse { addr, flag } => Fatal::PortInUse { address: addr, flag },
        ServeError::Ipc { path, source } if source.kind() == std::io::ErrorKind::AddrInUse => {
            Fatal::PortInUse { address: path.display().to_string(), flag: "--ipcpath" }
        }
        ServeError::Ipc { path, source } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Fatal::io(&path, &source)
        }
        exposed @ ServeError::Exposed { .. } => Fatal::key(exposed, "serve them on localhost, or as the message says"),
        ServeError::Threads(error) => Fatal::Internal { cause: format!("no threads for JSON-RPC: {error}") },
        other @ (ServeError::Address { .. }
        | ServeError::Ipc { .. }
        | ServeError::AlreadyServed { .. }
        | ServeError::UnknownNamespace { .. }) => Fatal::config(other, "correct the flag that the message names"),
    }
}

fn rpc_config(config: &NodeConfig) -> RpcConfig {
    let (http, ws, limits) = (&config.http, &config.ws, &config.rpc);
    let defaults = rpc::RpcLimits::default();
    let count = |number: Option<u32>| number.map_or(usize::MAX, |number| usize::try_from(number).unwrap_or(usize::MAX));
    RpcConfig {
        http: http.enabled.then(|| rpc::HttpConfig {
            addr: http.host.clone(),
            port: http.port,
            api: http.apis.clone(),
            cors: http.cors_origins.clone(),
            vhosts: http.virtual_hosts.clone(),
            desk: http.desk,
        }),
        ws: ws.enabled.then(|| rpc::WsConfig {
            addr: ws.host.clone(),
            port: ws.port,
            api: ws.apis.clone(),
            origins: ws.origins.clone(),
        }),
        ipc: config.ipc.enabled.then(|| config.ipc.path.clone()),
        gate: None,
        limits: rpc::RpcLimits {
            gas_cap: limits.gas_cap.map_or(u64::MAX, std::num::NonZeroU64::get),
            evm_timeout: limits.evm_timeout.unwrap_or(Duration::from_secs(u64::from(u32::MAX))),
            tx_fee_cap_wei: limits.tx_fee_cap_wei.unwrap_or(0),
            batch_items: count(limits.batch_requests_max),
            batch_response_bytes: count(limits.batch_response_bytes_max),
            connections: gate::connections(limits.connections_max),
            ..defaults
        },
        allow_unprotected_txs: limits.allow_unprotected_txs,
        allow_insecure_unlock: config.accounts.allow_insecure_unlock,
        allow_exposed: limits.allow_exposed,
        dev: config.dev.is_some(),
        price_limit_wei: config.pool.price_limit_wei,
    }
}

/// Tells where the node listens; on a development chain also the accounts and their keys.
fn announce(config: &NodeConfig, opened: &Opened, rpc: &RpcHandle) -> Result<(), Fatal> {
    let view = opened.ledger.view();
    info!(
        chain_id = opened.genesis.spec.chain_id, genesis = %view.genesis_hash(), head = view.head().number,
        datadir = %config.data.dir.display(), "the chain is open"
    );
    if let Some(addr) = rpc.http_addr {
        info!(url = %format!("http://{addr}"), "JSON-RPC over HTTP");
        if config.http.desk {
            info!(url = %format!("http://{addr}/desk/"), "the desk");
        }
    }
    if let Some(addr) = rpc.ws_addr {
        info!(url = %format!("ws://{addr}"), "JSON-RPC over WebSocket");
    }
    if let Some(path) = &rpc.ipc_path {
        info!(path = %path.display(), "JSON-RPC over IPC");
    }
    let Some(dev) = &config.dev else { return Ok(()) };
    let mut text = dev_banner(dev, &dev_accounts(&dev.mnemonic, dev.accounts)?);
    text.push_str(&format!("Chain id         {}\n", opened.genesis.spec.chain_id));
    let endpoints = [("HTTP", "http", rpc.http_addr), ("WebSocket", "ws", rpc.ws_addr)];
    for (name, scheme, addr) in endpoints.into_iter().filter_map(|(name, scheme, addr)| Some((name, scheme, addr?))) {
        text.push_str(&format!("{name:<17}{scheme}://{addr}\n"));
    }
    if let Some(addr) = rpc.http_addr.filter(|_| config.http.desk) {
        text.push_str(&format!("{:<17}http://{addr}/desk/\n", "Desk"));
    }
    // Nobody may read standard output; the log has told where the node listens.
    let _ = std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush());
    Ok(())
}
