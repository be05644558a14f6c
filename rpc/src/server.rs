//! Starts and stops the transports.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jsonrpsee::Methods;
use jsonrpsee::server::{ServerHandle, StopHandle, stop_channel};
use tokio::net::TcpListener;

use crate::api::Api;
use crate::config::{HttpConfig, RpcConfig, WsConfig};
use crate::desk::Desk;
use crate::dev;
use crate::dispatch::Dispatcher;
use crate::filters::IdSource;
use crate::http::{HttpSide, Listener, WsSide};
use crate::ipc;
use crate::methods;
use crate::services::Services;
use crate::session::{Session, Transport};
use crate::subscriptions;

/// How long a stop waits for answers that are being written.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// Says why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another program listens there.
    #[error("{addr} is in use: stop the other program, or choose another port with {flag}")]
    PortInUse {
        /// Where.
        addr: String,
        /// The flag that chooses another port.
        flag: &'static str,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {addr} (see {flag}): {source}")]
    Address {
        /// Where.
        addr: String,
        /// The flag that chooses another address.
        flag: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// The unix socket cannot be made.
    #[error("cannot listen on {path} (see --ipcpath): {source}")]
    Ipc {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// No such namespace.
    #[error("unknown API namespace {name:?} in {flag}; known: {known}")]
    UnknownNamespace {
        /// The name.
        name: String,
        /// The flag that names it.
        flag: &'static str,
        /// The known ones.
        known: String,
    },
}

/// Holds a running server. Dropping it leaves the server running until the runtime ends; [`RpcHandle::stop`] stops it.
#[derive(Debug)]
pub struct RpcHandle {
    /// Where HTTP listens.
    pub http_addr: Option<SocketAddr>,
    /// Where WebSocket listens.
    pub ws_addr: Option<SocketAddr>,
    /// The unix socket.
    pub ipc_path: Option<PathBuf>,
    server: ServerHandle,
}

impl RpcHandle {
    /// Stops listening, lets running answers be written for a second, and removes the unix socket.
    pub async fn stop(self) {
        // An error here means that everything has stopped already.
        let _ = self.server.stop();
        let _ = tokio::time::timeout(STOP_PATIENCE, self.server.stopped()).await;
    }
}

/// Starts all configured transports.
///
/// # Errors
/// An address or a port that cannot be had, or an unknown namespace; nothing listens then.
pub async fn serve(config: RpcConfig, services: Services) -> Result<RpcHandle, ServeError> {
    let config = open_to_browsers_on_dev(config);
    check_namespaces(&config)?;
    let api = Arc::new(Api::new(&config, services, tokio::runtime::Handle::current()));
    dev::follow_console(&api);
    let setup = Setup {
        dispatcher: Arc::new(Dispatcher::new(Arc::clone(&api))),
        methods: subscriptions::methods(Arc::clone(&api)),
        ids: Arc::new(IdSource::default()),
    };
    let bound = Bound::bind(&config).await?;
    let (stop, server) = stop_channel();
    let handle = RpcHandle {
        http_addr: bound.http.as_ref().and_then(|socket| socket.local_addr().ok()),
        ws_addr: bound.ws.as_ref().or(bound.http.as_ref().filter(|_| bound.shared)).and_then(|s| s.local_addr().ok()),
        ipc_path: config.ipc.clone(),
        server,
    };
    setup.start(&config, bound, stop);
    Ok(handle)
}

/// Lets pages of every origin ask on a dev chain, where nothing else is said.
fn open_to_browsers_on_dev(mut config: RpcConfig) -> RpcConfig {
    let any = || vec!["*".to_owned()];
    if config.dev {
        if let Some(http) = config.http.as_mut().filter(|http| http.cors.is_empty()) {
            http.cors = any();
        }
        if let Some(ws) = config.ws.as_mut().filter(|ws| ws.origins.is_empty()) {
            ws.origins = any();
        }
    }
    config
}

fn check_namespaces(config: &RpcConfig) -> Result<(), ServeError> {
    let known = methods::namespaces();
    let http = config.http.iter().flat_map(|http| http.api.iter().map(|name| (name, "--http.api")));
    let ws = config.ws.iter().flat_map(|ws| ws.api.iter().map(|name| (name, "--ws.api")));
    for (name, flag) in http.chain(ws) {
        let plain = name.trim().to_ascii_lowercase();
        if !plain.is_empty() && !known.contains(plain.as_str()) && !methods::EMPTY_NAMESPACES.contains(&plain.as_str())
        {
            let known = known.iter().copied().collect::<Vec<_>>().join(", ");
            return Err(ServeError::UnknownNamespace { name: name.clone(), flag, known });
        }
    }
    Ok(())
}

/// The sockets that were bound before anything is answered.
struct Bound {
    http: Option<TcpListener>,
    /// WebSocket's own; `None` also where it shares HTTP's.
    ws: Option<TcpListener>,
    shared: bool,
    ipc: Option<tokio::net::UnixListener>,
}

impl Bound {
    async fn bind(config: &RpcConfig) -> Result<Self, ServeError> {
        let shared = matches!((&config.http, &config.ws), (Some(http), Some(ws)) if same_socket(http, ws));
        let http = match &config.http {
            Some(http) => Some(bind(&http.addr, http.port, "--http.port").await?),
            None => None,
        };
        let ws = match config.ws.as_ref().filter(|_| !shared) {
            Some(ws) => Some(bind(&ws.addr, ws.port, "--ws.port").await?),
            None => None,
        };
        let ipc = match &config.ipc {
            Some(path) => {
                let bound = ipc::bind(path).await;
                Some(bound.map_err(|source| ServeError::Ipc { path: path.clone(), source })?)
            }
            None => None,
        };
        Ok(Self { http, ws, shared, ipc })
    }
}

fn same_socket(http: &HttpConfig, ws: &WsConfig) -> bool {
    (http.addr.as_str(), http.port) == (ws.addr.as_str(), ws.port)
}

/// Binds one address of a host name, an IPv4 one where there is one.
async fn bind(host: &str, port: u16, flag: &'static str) -> Result<TcpListener, ServeError> {
    let addr = format!("{host}:{port}");
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AddrInUse => ServeError::PortInUse { addr: addr.clone(), flag },
        _ => ServeError::Address { addr: addr.clone(), flag, source },
    };
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await.map_err(failed)?.collect();
    let chosen = found.iter().find(|addr| addr.is_ipv4()).or(found.first());
    let chosen = chosen.ok_or_else(|| failed(std::io::Error::other("the host name has no address")))?;
    TcpListener::bind(chosen).await.map_err(failed)
}

/// What every transport shares.
struct Setup {
    dispatcher: Arc<Dispatcher>,
    methods: Methods,
    ids: Arc<IdSource>,
}

impl Setup {
    fn start(self, config: &RpcConfig, bound: Bound, stop: StopHandle) {
        let limits = &config.limits;
        let serves_desk = config.http.as_ref().is_some_and(|http| http.desk);
        let is_dev = self.dispatcher.services().dev.is_some();
        let is_there = |name: &&str| is_dev || !dev::NAMESPACES.contains(&name.trim().to_ascii_lowercase().as_str());
        let ws_side = config.ws.as_ref().map(|ws| {
            let session = Session::new(Transport::WebSocket, ws.api.iter().map(String::as_str).filter(is_there));
            let vhosts = config.http.as_ref().map_or_else(|| HttpConfig::default().vhosts, |http| http.vhosts.clone());
            let (dispatcher, methods) = (Arc::clone(&self.dispatcher), self.methods.clone());
            let side =
                WsSide::new(dispatcher, methods, session, ws.origins.clone(), vhosts, limits, Arc::clone(&self.ids));
            Arc::new(side.for_own_pages(serves_desk))
        });
        let http_side = config.http.as_ref().map(|http| {
            let session = Session::new(Transport::Http, http.api.iter().map(String::as_str).filter(is_there));
            let desk = http.desk.then(Desk::embedded);
            let (cors, vhosts) = (http.cors.clone(), http.vhosts.clone());
            HttpSide::new(Arc::clone(&self.dispatcher), session, cors, vhosts, limits, desk)
        });
        if let Some(socket) = bound.ws {
            let listener = Listener::new(None, ws_side.clone(), limits.connections, config.gate.clone());
            tokio::spawn(listener.accept(socket, stop.clone()));
        }
        if let Some(socket) = bound.http {
            // The desk's pages connect to where they come from, whatever WebSocket's own port is.
            let ws_here = ws_side.filter(|_| bound.shared || serves_desk);
            let listener = Listener::new(http_side, ws_here, limits.connections, config.gate.clone());
            tokio::spawn(listener.accept(socket, stop.clone()));
        }
        if let (Some(socket), Some(path)) = (bound.ipc, &config.ipc) {
            let session = Session::new(Transport::Ipc, methods::namespaces().into_iter().filter(is_there));
            let server = ipc::IpcServer::new(self.dispatcher, self.methods, session, limits, self.ids);
            tokio::spawn(server.accept(socket, path.clone(), stop));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_names_its_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = bind("127.0.0.1", port, "--http.port").await.unwrap_err();
        assert!(matches!(error, ServeError::PortInUse { flag: "--http.port", .. }), "{error}");
        assert!(error.to_string().contains("choose another port with --http.port"));
    }

    #[tokio::test]
    async fn localhost_is_ipv4_first() {
        let socket = bind("localhost", 0, "--http.port").await.unwrap();
        assert!(socket.local_addr().unwrap().is_ipv4());
    }

    #[test]
    fn an_unknown_namespace_is_named() {
        let config = |api: &[&str]| RpcConfig {
            http: Some(HttpConfig {
                api: api.iter().map(|name| (*name).to_owned()).collect(),
                ..HttpConfig::default()
            }),
            ..RpcConfig::default()
        };
        assert!(check_namespaces(&config(&["personal", "db", "ETH", " net", "web3", "txpool", "miner", ""])).is_ok());
        let error = check_namespaces(&config(&["eth", "shh"])).unwrap_err().to_string();
        assert!(error.contains("\"shh\"") && error.contains("--http.api") && error.contains("txpool"), "{error}");
    }
}
