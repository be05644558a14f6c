//! `drawbridge device run`: the device at the gate. Nothing here needs a chain or a database, so that `drawbridge-device`, which is this
//! command alone, is small.

use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use device_bridge::actuator::ActuatorSpec;
use device_bridge::chain_client::orders::Trust;
use device_bridge::chain_client::proven::Proving;
use device_bridge::chain_client::{ChainClient, Endpoint, Settled, read_pem};
use device_bridge::code::check_device_name;
use device_bridge::device::checks::{CodePolicy, Refusal};
use device_bridge::device::runner::{self as device_runner, DeviceSettings, ScanReport};
use device_bridge::device::scanner::Source;
use device_bridge::device_link::{Identity, LinkSettings};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::say;
use crate::cli::device_flags::{AskArgs, BrokerArgs, DeviceRunArgs};
use crate::config::values::Span;
use crate::exit::Fatal;

/// The largest file with a password or a key that is read, in bytes.
const SECRET_BYTES_MAX: u64 = 4096;
/// What stands where nothing is said.
const RPC_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const OPEN_TIME: Duration = Duration::from_secs(5);
const CODE_LIFETIME: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the chain's id is asked for again where the node does not answer at start.
const START_PAUSE: Duration = Duration::from_secs(1);

/// Runs `drawbridge device run`.
///
/// # Errors
/// A condition that ends the program.
pub fn run(args: &DeviceRunArgs, out: &mut dyn Write) -> Result<(), Fatal> {
    let remedy = "see `drawbridge device run --help`";
    check_device_name(&args.name).map_err(|error| Fatal::config(error, remedy))?;
    let journal = args.journal.clone().unwrap_or_else(|| PathBuf::from(format!("{}.journal", args.name)));
    let settings = DeviceSettings {
        link: link(&args.broker, &args.name)?,
        policy: CodePolicy {
            chain_id: args.ask.chain_id,
            device: args.name.clone(),
            static_codes: args.ask.static_codes,
            wallets: args.verify_proof.is_none(),
            lifetime_max: span(args.code_lifetime, CODE_LIFETIME).as_secs(),
        },
        trust: trust(&args.ask)?,
        settled: args.ask.settled.unwrap_or(Settled::Safe),
        proving: proving(args, &journal)?,
        actuator: args.actuator.clone().unwrap_or(ActuatorSpec::Simulated(None)),
        open_time: span(args.open_time, OPEN_TIME),
        patience: span(args.patience, PATIENCE),
        journal,
        desk: args.desk,
    };
    let chain = client(&args.ask)?;
    let source = source(args).start().map_err(|error| Fatal::Internal { cause: format!("no thread: {error}") })?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let stop = stopped()?;
        check_chain(&chain, args.ask.chain_id, true).await?;
        let (reports, mut told) = mpsc::channel(16);
        let running = device_runner::run(settings, chain, source, reports, stop);
        tokio::pin!(running);
        loop {
            tokio::select! {
                biased;
                Some(report) = told.recv() => say(out, describe(&report))?,
                done = &mut running => {
                    while let Ok(report) = told.try_recv() {
                        say(out, describe(&report))?;
                    }
                    return done.map_err(|refusal| device_failure(&refusal));
                }
            }
        }
    });
    // The thread that reads standard input may wait for a line for ever.
    runtime.shutdown_background();
    ended
}

/// Returns the line for a scan.
fn describe(report: &ScanReport) -> String {
    match report {
        ScanReport::Opened { job, verified, released, opened } => format!(
            "opened job={job} verified_ms={} released_ms={} opened_ms={}",
            verified.as_millis(),
            released.as_millis(),
            opened.as_millis()
        ),
        ScanReport::Refused { job: Some(job), refusal } => format!("refused job={job} reason={refusal}"),
        ScanReport::Refused { job: None, refusal } => format!("refused reason={refusal}"),
    }
}

fn device_failure(refusal: &Refusal) -> Fatal {
    Fatal::config(refusal, "check --journal, --actuator and the connection to the broker")
}

fn source(args: &DeviceRunArgs) -> Source {
    match (&args.camera, &args.pictures) {
        (Some(command), _) => Source::Camera(command.split_whitespace().map(str::to_owned).collect()),
        (None, Some(files)) => Source::Pictures(files.0.iter().map(PathBuf::from).collect()),
        (None, None) if args.codes.is_empty() => Source::Lines,
        (None, None) => Source::Texts(args.codes.clone()),
    }
}

pub(super) fn span(given: Option<Span>, otherwise: Duration) -> Duration {
    given.map_or(otherwise, |span| span.0)
}

pub(super) fn trust(args: &AskArgs) -> Result<Trust, Fatal> {
    let trust = Trust {
        chain_id: args.chain_id,
        registries: args.registries.clone().unwrap_or_default().0,
        code_hashes: args.code_hashes.clone().unwrap_or_default().0,
    };
    match trust.is_empty() {
        true => Err(Fatal::config(
            "no contract is trusted: anybody can deploy one that answers yes",
            "name the registry of your orders with --registry, or pin their code with --code-hash",
        )),
        false => Ok(trust),
    }
}

/// Returns what proofs are verified with, where they are demanded.
fn proving(args: &DeviceRunArgs, journal: &Path) -> Result<Option<Proving>, Fatal> {
    let (Some(pinned), Some(difficulty_min)) = (args.verify_proof, args.difficulty_min) else { return Ok(None) };
    let Some(Settled::Depth(depth)) = args.ask.settled else {
        let cause = "--verify-proof needs --settled as a number of blocks: what is safe is for the device to say";
        return Err(Fatal::config(cause, "give --settled 6, for example"));
    };
    let miners = args.miners.clone().unwrap_or_default().0;
    Proving::new(pinned, &journal.with_extension("anchor"), difficulty_min, miners, depth)
        .map(Some)
        .map_err(|error| Fatal::config(error, "delete the file to begin at --verify-proof again"))
}

pub(super) fn link(args: &BrokerArgs, name: &str) -> Result<LinkSettings, Fatal> {
    let remedy = "give --broker mqtts://HOST:PORT with --broker.ca, --broker.cert and --broker.key";
    let identity = match (&args.broker_ca, &args.broker_cert, &args.broker_key) {
        (Some(ca), Some(certificate), Some(key)) => {
            Some(Identity { ca, certificate, key, alpn: args.broker_alpn.as_deref() })
        }
        (None, None, None) => None,
        _ => return Err(Fatal::config("--broker.ca, --broker.cert and --broker.key belong together", remedy)),
    };
    LinkSettings::new(&args.broker, name, identity.as_ref()).map_err(|error| Fatal::config(error, remedy))
}

pub(super) fn client(args: &AskArgs) -> Result<ChainClient, Fatal> {
    let remedy = "check --rpc.url, --rpc.ca, --rpc.user and --rpc.password";
    let login = match (&args.rpc_user, &args.rpc_password) {
        (Some(user), Some(file)) => Some((user.clone(), read_secret(file)?)),
        _ => None,
    };
    let ca_pem = args.rpc_ca.as_deref().map(read_pem).transpose().map_err(|error| Fatal::config(error, remedy))?;
    let endpoint = Endpoint {
        url: args.url.clone(),
        ca_pem,
        login,
        api_key: args.rpc_key.as_deref().map(read_secret).transpose()?,
        timeout: span(args.rpc_timeout, RPC_TIMEOUT),
    };
    ChainClient::new(&endpoint).map_err(|error| Fatal::config(error, remedy))
}

/// Returns the first line of a file with a password or a key.
pub(super) fn read_secret(path: &Path) -> Result<String, Fatal> {
    let failed = |error: std::io::Error| Fatal::io(path, &error);
    if std::fs::metadata(path).map_err(failed)?.len() > SECRET_BYTES_MAX {
        return Err(Fatal::config(format!("{} is too large for a password", path.display()), "give another file"));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Makes sure that the node is on the right chain. A device starts without a node, since it asks again with every code; a bridge waits for its
/// node.
pub(super) async fn check_chain(client: &ChainClient, expected: u64, may_be_absent: bool) -> Result<(), Fatal> {
    loop {
        match client.chain_id().await {
            Ok(actual) if actual == expected => return Ok(()),
            Ok(actual) => {
                let cause = format!("the node is on chain {actual}, --chain-id says {expected}");
                return Err(Fatal::config(cause, "ask another node, or correct --chain-id"));
            }
            Err(error) if !error.is_passing() => {
                return Err(Fatal::config(error, "check --rpc.url and the login; the gate must allow eth_chainId"));
            }
            Err(error) => tracing::warn!(%error, "the node does not answer"),
        }
        if may_be_absent {
            return Ok(());
        }
        tokio::time::sleep(START_PAUSE).await;
    }
}

/// Returns a runtime of one thread, which is enough for one gate and small.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Fatal> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fatal::Internal { cause: format!("no runtime: {error}") })
}

/// Returns a future that is done when the program is told to stop.
pub(super) fn stopped() -> Result<impl Future<Output = ()>, Fatal> {
    let internal = |error: std::io::Error| Fatal::Internal { cause: format!("no signals: {error}") };
    let mut interrupted = signal(SignalKind::interrupt()).map_err(internal)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(internal)?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}
