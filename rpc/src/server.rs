//! Starts the server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::api::Api;
use crate::config::RpcConfig;
use crate::dev;
use crate::services::Services;
use crate::switch::Switch;

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
    /// The transport runs already (geth's words).
    #[error("{what} server already running on {addr}")]
    AlreadyServed {
        /// The transport.
        what: &'static str,
        /// Where.
        addr: SocketAddr,
    },
    /// Strangers would steer the node.
    #[error(
        "{namespaces} would be served on {host} to whoever reaches it: name keys by --rpc.keys or a secret by --rpc.jwtsecret, or insist by --rpc.allow-exposed"
    )]
    Exposed {
        /// The namespaces that strangers must not reach.
        namespaces: String,
        /// Where.
        host: String,
    },
    /// The system gives no threads.
    #[error("no threads for JSON-RPC: {0}")]
    Threads(std::io::Error),
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

/// Holds a running server.
pub struct RpcHandle {
    /// Where HTTP listens.
    pub http_addr: Option<SocketAddr>,
    /// Where WebSocket listens.
    pub ws_addr: Option<SocketAddr>,
    /// The unix socket.
    pub ipc_path: Option<PathBuf>,
    switch: Arc<Switch>,
}

impl std::fmt::Debug for RpcHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RpcHandle").field("http_addr", &self.http_addr).field("ws_addr", &self.ws_addr).finish()
    }
}

impl RpcHandle {
    /// Stops listening, lets running answers be written for a second, and removes the unix socket.
    pub async fn stop(self) {
        self.switch.stop_all().await;
    }
}

/// Starts all configured transports.
///
/// # Errors
/// An address or a port that cannot be had, an unknown namespace, or namespaces that strangers would reach; nothing listens then.
pub async fn serve(config: RpcConfig, services: Services) -> Result<RpcHandle, ServeError> {
    let config = open_to_browsers_on_dev(config);
    let api = Arc::new(Api::new(&config, services).map_err(ServeError::Threads)?);
    dev::follow_console(&api);
    let switch = Arc::new(Switch::new(config.clone(), Arc::clone(&api)).map_err(ServeError::Threads)?);
    // Nothing else sets it.
    let _ = api.switch.set(Arc::downgrade(&switch));
    match start(&config, &switch).await {
        Ok((http_addr, ws_addr)) => Ok(RpcHandle { http_addr, ws_addr, ipc_path: config.ipc, switch }),
        Err(error) => {
            switch.stop_all().await;
            Err(error)
        }
    }
}

async fn start(config: &RpcConfig, switch: &Switch) -> Result<(Option<SocketAddr>, Option<SocketAddr>), ServeError> {
    let http = match &config.http {
        Some(http) => Some(switch.start_http(http).await?),
        None => None,
    };
    let ws = match &config.ws {
        Some(ws) => Some(switch.start_ws(ws).await?),
        None => None,
    };
    if let Some(path) = &config.ipc {
        switch.start_ipc(path.clone()).await?;
    }
    Ok((http, ws))
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
