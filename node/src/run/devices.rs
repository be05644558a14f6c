//! The device path in the program: the broker with its shadow service, inside a node or as a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use device_bridge::broker::{Broker, BrokerError, BrokerSettings};
use device_bridge::registry::{Authority, Registry};
use device_bridge::shadow::external::{self, ExternalBroker};
use device_bridge::tls;
use storage::{RocksOptions, RocksStore, StorageError, Store, TableSet};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

use super::ledger::storage_error;
use super::now_seconds;
use crate::cli::device_registry::ExternalArgs;
use crate::commands::device_registry::fatal;
use crate::config::{MqttConfig, NodeConfig};
use crate::exit::Fatal;

/// Memory for the caches of the devices' database, in bytes.
const CACHE_BYTES: usize = 8 << 20;
/// How long the runtime's threads have to end.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_millis(500);
/// Memory for its write buffers, in bytes.
const WRITE_BUFFER_BYTES: usize = 8 << 20;

/// Starts the broker where the configuration asks for it. A development chain gets a certificate authority of its own.
///
/// # Errors
/// There is no certificate authority, a port is taken, or the database cannot be opened.
pub(super) async fn start_broker(config: &NodeConfig) -> Result<Option<Broker>, Fatal> {
    if !config.mqtt.enabled {
        return Ok(None);
    }
    let folder = config.data.devices_dir();
    if config.dev.is_some() && !Authority::certificate_path(&folder).exists() {
        let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        Authority::init(&folder, "Drawbridge development", &hosts, now_seconds()).map_err(fatal)?;
        info!(folder = %folder.display(), "made a certificate authority for devices");
    }
    broker(&config.mqtt, &folder).await.map(Some)
}

async fn broker(mqtt: &MqttConfig, folder: &Path) -> Result<Broker, Fatal> {
    if !Authority::certificate_path(folder).exists() {
        return Err(fatal(device_bridge::registry::RegistryError::NoAuthority(folder.to_owned())));
    }
    let registry = Arc::new(Registry::open(folder).map_err(fatal)?);
    warn_of_server_certificate(folder);
    let settings = BrokerSettings {
        mqtt: resolve(&mqtt.host, mqtt.port).await?,
        https: match mqtt.https_port {
            Some(port) => Some(resolve(&mqtt.host, port).await?),
            None => None,
        },
    };
    let store = open_store(folder)?;
    Broker::start(settings, registry, store).await.map_err(|error| broker_error(folder, mqtt, error))
}

fn warn_of_server_certificate(folder: &Path) {
    let path = Authority::server_certificate_path(folder);
    let times = std::fs::read_to_string(path).map(|text| device_bridge::registry::certificate_times(&text));
    if let Ok(Ok((_, until))) = times {
        let days = until.saturating_sub(now_seconds()) / (24 * 3600);
        if days < 30 {
            warn!(days, "the broker's certificate ends soon; `drawbridge device ca server` makes another");
        }
    }
}

fn open_store(folder: &Path) -> Result<Arc<dyn Store>, Fatal> {
    let options = RocksOptions {
        tables: TableSet::Devices,
        cache_bytes: CACHE_BYTES,
        write_buffer_bytes: WRITE_BUFFER_BYTES,
        ..RocksOptions::default()
    };
    let path = folder.join("db");
    let store = RocksStore::open(&path, options).map_err(|error| storage_error(&path, error))?;
    Ok(Arc::new(store))
}

fn broker_error(folder: &Path, mqtt: &MqttConfig, error: BrokerError) -> Fatal {
    match error {
        BrokerError::Listen { addr, source } if source.kind() == std::io::ErrorKind::AddrInUse => {
            let flag = if addr.port() == mqtt.port { "--mqtt.port" } else { "--mqtt.httpsport" };
            Fatal::PortInUse { address: addr.to_string(), flag }
        }
        BrokerError::Listen { .. } => Fatal::config(error, "correct --mqtt.addr, --mqtt.port or --mqtt.httpsport"),
        BrokerError::Registry(error) => fatal(error),
        BrokerError::Storage(error) => storage_error(&folder.join("db"), error),
    }
}

async fn resolve(host: &str, port: u16) -> Result<SocketAddr, Fatal> {
    let bad =
        |problem: &dyn std::fmt::Display| Fatal::config(format!("{host}:{port}: {problem}"), "correct --mqtt.addr");
    let mut found = tokio::net::lookup_host((host, port)).await.map_err(|error| bad(&error))?.collect::<Vec<_>>();
    // A name that has both: the one that clients try first everywhere.
    found.sort_by_key(|addr| !addr.is_ipv4());
    found.first().copied().ok_or_else(|| bad(&"no address"))
}

/// Runs the shadow service without a chain until a signal ends it: with its own broker, or behind another one.
///
/// # Errors
/// A condition that ends the program.
pub fn device_serve(config: &NodeConfig, external: &ExternalArgs) -> Result<(), Fatal> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Fatal::Internal { cause: format!("no runtime: {error}") })?;
    let folder = config.data.devices_dir();
    let ended = runtime.block_on(async {
        let internal = |error: std::io::Error| Fatal::Internal { cause: format!("no signals: {error}") };
        let mut interrupted = signal(SignalKind::interrupt()).map_err(internal)?;
        let mut terminated = signal(SignalKind::terminate()).map_err(internal)?;
        let stopped = async move {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            info!("stopping");
        };
        match &external.broker {
            None => {
                let broker = broker(&config.mqtt, &folder).await?;
                stopped.await;
                broker.stop().await;
            }
            Some(place) => {
                let broker = external_broker(place, external)?;
                let store = open_store(&folder)?;
                let (stop, ended) = watch::channel(false);
                let serving = tokio::spawn(external::serve(broker, store, ended));
                stopped.await;
                // It may have ended.
                let _ = stop.send(true);
                let failed = |error: StorageError| storage_error(&folder.join("db"), error);
                serving.await.map_err(|error| Fatal::Internal { cause: error.to_string() })?.map_err(failed)?;
            }
        }
        info!("stopped");
        Ok(())
    });
    runtime.shutdown_timeout(SHUTDOWN_TIME_MAX);
    ended
}

fn external_broker(place: &str, args: &ExternalArgs) -> Result<ExternalBroker, Fatal> {
    let bad = || Fatal::config(format!("{place:?} is not HOST:PORT"), "give --broker as in mqtt.example:8883");
    let (host, port) = place.rsplit_once(':').ok_or_else(bad)?;
    let port = port.parse().map_err(|_| bad())?;
    let tls = match (&args.broker_ca, &args.broker_cert, &args.broker_key) {
        (Some(ca), Some(certificate), Some(key)) => {
            let alpn: Vec<&[u8]> = args.broker_alpn.iter().map(|name| name.as_bytes()).collect();
            Some(tls::client_config(ca, certificate, key, &alpn).map_err(fatal)?)
        }
        _ => {
            warn!("without --broker.ca the connection to the broker is not protected");
            None
        }
    };
    Ok(ExternalBroker { host: host.to_owned(), port, client_id: args.broker_clientid.clone(), tls })
}
