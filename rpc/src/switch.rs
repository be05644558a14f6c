//! Starts and stops the transports, at the start of the node and while it runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jsonrpsee::Methods;
use jsonrpsee::server::{ServerHandle, stop_channel};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use crate::api::Api;
use crate::budget::Budgets;
use crate::config::{HttpConfig, RpcConfig, WsConfig};
use crate::desk::Desk;
use crate::dev;
use crate::dispatch::Dispatcher;
use crate::exposure;
use crate::filters::IdSource;
use crate::http::{HttpSide, Listener, WsSide};
use crate::ipc;
use crate::methods;
use crate::server::ServeError;
use crate::session::{Audience, Session, Transport};
use crate::subscriptions;

/// How long a stop waits for answers that are being written.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// Holds what every transport shares, and those that run.
pub(crate) struct Switch {
    config: RpcConfig,
    api: Arc<Api>,
    dispatcher: Arc<Dispatcher>,
    methods: Methods,
    ids: Arc<IdSource>,
    budgets: Budgets,
    /// What WebSocket connections share.
    ws_budgets: Budgets,
    running: Mutex<Running>,
}

/// The transports that run.
#[derive(Default)]
struct Running {
    http: Option<Served>,
    /// Whether HTTP serves the desk's pages.
    desk: bool,
    ws: Option<RunningWs>,
    ipc: Option<ServerHandle>,
}

/// WebSocket as it runs.
struct RunningWs {
    served: Served,
    side: Arc<WsSide>,
    /// Closes its connections.
    connections: ServerHandle,
}

/// A socket that a transport is served on.
#[derive(Clone)]
struct Served {
    /// What it was asked to listen on.
    wanted: (String, u16),
    /// Where it listens.
    addr: SocketAddr,
    listener: Listener,
    stop: ServerHandle,
}

impl Switch {
    /// Puts together what the transports share.
    ///
    /// # Errors
    /// The system gives no threads.
    pub(crate) fn new(config: RpcConfig, api: Arc<Api>) -> std::io::Result<Self> {
        Ok(Self {
            dispatcher: Arc::new(Dispatcher::new(Arc::clone(&api))?),
            methods: subscriptions::methods(Arc::clone(&api)),
            ids: Arc::new(IdSource::default()),
            budgets: Budgets::new(&config.limits),
            ws_budgets: Budgets::new(&config.limits),
            running: Mutex::default(),
            api,
            config,
        })
    }

    /// Starts HTTP and returns where it listens.
    ///
    /// # Errors
    /// It runs already, the address cannot be had, or strangers would steer the node.
    pub(crate) async fn start_http(&self, http: &HttpConfig) -> Result<SocketAddr, ServeError> {
        methods::check_namespaces(&http.api, "--http.api")?;
        self.check_exposure(&http.addr, &http.api)?;
        let mut running = self.running.lock().await;
        if let Some(served) = &running.http {
            return Err(ServeError::AlreadyServed { what: "HTTP", addr: served.addr });
        }
        let shared = running.ws.as_ref().map(|ws| &ws.served);
        let served = self.socket(shared, &http.addr, http.port, "--http.port").await?;
        let session = Session::new(Transport::Http, self.offered(http.api.iter().map(String::as_str)));
        let session = session.for_audience(self.audience(&http.addr));
        let (cors, vhosts, budgets) = (http.cors.clone(), http.vhosts.clone(), self.budgets.clone());
        let desk = http.desk.then(Desk::embedded);
        let dispatcher = Arc::clone(&self.dispatcher);
        let side = HttpSide::new(dispatcher, session, cors, vhosts, &self.config.limits, budgets, desk);
        served.listener.set_http(Some(Arc::new(side)));
        // The desk's pages connect to where they come from, whatever WebSocket's own port is.
        if let Some(ws) = running.ws.as_ref().filter(|_| http.desk) {
            served.listener.set_ws(Some(Arc::clone(&ws.side)));
        }
        let addr = served.addr;
        running.http = Some(served);
        running.desk = http.desk;
        self.tell(&running);
        Ok(addr)
    }

    /// Starts WebSocket and returns where it listens.
    ///
    /// # Errors
    /// It runs already, the address cannot be had, or strangers would steer the node.
    pub(crate) async fn start_ws(&self, ws: &WsConfig) -> Result<SocketAddr, ServeError> {
        methods::check_namespaces(&ws.api, "--ws.api")?;
        self.check_exposure(&ws.addr, &ws.api)?;
        let mut running = self.running.lock().await;
        if let Some(ws) = &running.ws {
            return Err(ServeError::AlreadyServed { what: "WebSocket", addr: ws.served.addr });
        }
        let served = self.socket(running.http.as_ref(), &ws.addr, ws.port, "--ws.port").await?;
        let session = Session::new(Transport::WebSocket, self.offered(ws.api.iter().map(String::as_str)));
        let session = session.for_audience(self.audience(&ws.addr));
        let vhosts = self.config.http.as_ref().map_or_else(|| HttpConfig::default().vhosts, |http| http.vhosts.clone());
        let (stop, handle) = stop_channel();
        let (dispatcher, methods) = (Arc::clone(&self.dispatcher), self.methods.clone());
        let (origins, ids) = (ws.origins.clone(), Arc::clone(&self.ids));
        let side = WsSide::new(dispatcher, methods, session, origins, vhosts, &self.config.limits, ids, stop);
        let has_pages = running.desk || self.config.http.as_ref().is_some_and(|http| http.desk);
        let side = Arc::new(side.for_own_pages(has_pages));
        served.listener.set_ws(Some(Arc::clone(&side)));
        if let Some(http) = running.http.as_ref().filter(|_| running.desk) {
            http.listener.set_ws(Some(Arc::clone(&side)));
        }
        let addr = served.addr;
        running.ws = Some(RunningWs { served, side, connections: handle });
        self.tell(&running);
        Ok(addr)
    }

    /// Starts the unix socket.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) async fn start_ipc(&self, path: PathBuf) -> Result<(), ServeError> {
        let bound = ipc::bind(&path).await;
        let socket = bound.map_err(|source| ServeError::Ipc { path: path.clone(), source })?;
        let session = Session::new(Transport::Ipc, self.offered(methods::namespaces()));
        let (dispatcher, methods) = (Arc::clone(&self.dispatcher), self.methods.clone());
        let server = ipc::IpcServer::new(dispatcher, methods, session, &self.config.limits, Arc::clone(&self.ids));
        let (stop, handle) = stop_channel();
        tokio::spawn(server.accept(socket, path, stop));
        self.running.lock().await.ipc = Some(handle);
        Ok(())
    }

    /// Stops HTTP; nothing happens where it does not run. What is being answered is still answered.
    pub(crate) async fn stop_http(&self) {
        let mut running = self.running.lock().await;
        let Some(served) = running.http.take() else { return };
        served.listener.set_http(None);
        running.desk = false;
        if running.ws.as_ref().is_none_or(|ws| ws.served.addr != served.addr) {
            // An error here means that it has stopped already.
            let _ = served.stop.stop();
        }
        self.tell(&running);
    }

    /// Stops WebSocket and closes its connections; nothing happens where it does not run.
    pub(crate) async fn stop_ws(&self) {
        let mut running = self.running.lock().await;
        let Some(RunningWs { served, connections, .. }) = running.ws.take() else { return };
        served.listener.set_ws(None);
        if let Some(http) = &running.http {
            http.listener.set_ws(None);
        }
        let _ = connections.stop();
        if running.http.as_ref().is_none_or(|http| http.addr != served.addr) {
            let _ = served.stop.stop();
        }
        self.tell(&running);
    }

    /// Stops everything, lets running answers be written for a second, and removes the unix socket.
    pub(crate) async fn stop_all(&self) {
        let running = std::mem::take(&mut *self.running.lock().await);
        let (ws, connections) = running.ws.map(|ws| (ws.served, ws.connections)).unzip();
        let sockets = running.http.into_iter().chain(ws).map(|served| served.stop);
        let handles: Vec<ServerHandle> = sockets.chain(connections).chain(running.ipc).collect();
        for handle in &handles {
            // An error here means that it has stopped already.
            let _ = handle.stop();
        }
        let stopped = futures::future::join_all(handles.into_iter().map(ServerHandle::stopped));
        let _ = tokio::time::timeout(STOP_PATIENCE, stopped).await;
    }

    /// Leaves out the namespaces that this chain does not have.
    fn offered<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
        names.into_iter().filter(|name| self.is_there(name))
    }

    /// Returns the other transport's socket where it is the same, or a new one.
    async fn socket(
        &self,
        shared: Option<&Served>,
        host: &str,
        port: u16,
        flag: &'static str,
    ) -> Result<Served, ServeError> {
        let wanted = (host.to_owned(), port);
        if let Some(served) = shared.filter(|served| served.wanted == wanted || is_at(served, host, port)) {
            return Ok(served.clone());
        }
        let socket = bind(host, port, flag).await?;
        let addr = socket.local_addr();
        let addr = addr.map_err(|source| ServeError::Address { addr: format!("{host}:{port}"), flag, source })?;
        let gate = self.config.gate.clone();
        let listener = Listener::new(&self.config.limits, gate, self.ws_budgets.clone());
        let (stop, handle) = stop_channel();
        tokio::spawn(listener.clone().accept(socket, stop));
        Ok(Served { wanted, addr, listener, stop: handle })
    }

    /// Tells whether this chain has a namespace: some are a development chain's.
    fn is_there(&self, name: &str) -> bool {
        self.api.dev.is_some() || !dev::NAMESPACES.contains(&name.trim().to_ascii_lowercase().as_str())
    }

    /// Refuses to let strangers steer the node.
    fn check_exposure(&self, host: &str, api: &[String]) -> Result<(), ServeError> {
        if self.config.allow_exposed || self.audience(host) == Audience::Known {
            return Ok(());
        }
        let named = exposure::steering(api.iter().map(String::as_str));
        if named.is_empty() {
            return Ok(());
        }
        Err(ServeError::Exposed { namespaces: named.join(", "), host: host.to_owned() })
    }

    fn audience(&self, host: &str) -> Audience {
        let is_known = self.config.allow_exposed || self.config.gate.is_some() || exposure::is_local(host);
        if is_known { Audience::Known } else { Audience::Strangers }
    }

    /// Tells the methods whether others may reach the node.
    fn tell(&self, running: &Running) {
        let is_served = running.http.is_some() || running.ws.is_some();
        self.api.serves_network.store(is_served, Ordering::Relaxed);
    }
}

/// Tells whether a socket listens on an address that is written out.
fn is_at(served: &Served, host: &str, port: u16) -> bool {
    port == served.addr.port() && host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip == served.addr.ip())
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
}
