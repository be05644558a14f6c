//! How the server is set up: where it listens, what it offers there, and its limits.

use std::path::PathBuf;
use std::time::Duration;

use crate::gate::Gate;

/// Holds the whole set-up of the server. The default serves nothing.
#[derive(Clone, Debug, Default)]
pub struct RpcConfig {
    /// JSON-RPC over HTTP; `None`: off.
    pub http: Option<HttpConfig>,
    /// JSON-RPC over WebSocket; `None`: off. With the address and port of `http`, one socket serves both.
    pub ws: Option<WsConfig>,
    /// The path of the unix socket; `None`: off. All namespaces are offered there; the file's mode is 0600.
    pub ipc: Option<PathBuf>,
    /// Who may ask what over HTTP and WebSocket; `None`: everybody everything that is offered.
    pub gate: Option<Gate>,
    /// Limits on what others can ask for.
    pub limits: RpcLimits,
    /// Whether transactions without a chain id (before EIP-155) are taken.
    pub allow_unprotected_txs: bool,
    /// Whether `personal_unlockAccount` works while HTTP or WebSocket is on.
    pub allow_insecure_unlock: bool,
    /// Whether namespaces that steer the node or sign may be served beyond this machine to whoever asks.
    pub allow_exposed: bool,
    /// Whether this is a dev chain: browsers of every origin may ask.
    pub dev: bool,
    /// The least tip in wei that the pool takes, below which no price is suggested.
    pub price_limit_wei: u128,
}

/// Holds the set-up of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// The host name or IP address to listen on.
    pub addr: String,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The namespaces to offer, such as `eth`.
    pub api: Vec<String>,
    /// The origins that browsers may ask from; `*` is any; empty: none.
    pub cors: Vec<String>,
    /// The host names that requests may be addressed to, besides IP addresses; `*` is any.
    pub vhosts: Vec<String>,
    /// Whether the desk, the browser application, is served below `/desk/`. WebSocket, where it is on, is served on the same port then.
    pub desk: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            addr: "127.0.0.1".to_owned(),
            port: 8545,
            api: default_api(),
            cors: Vec::new(),
            vhosts: vec!["localhost".to_owned()],
            desk: true,
        }
    }
}

/// Holds the set-up of WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsConfig {
    /// The host name or IP address to listen on.
    pub addr: String,
    /// The port; 0 takes a free one, or HTTP's where HTTP's is 0 on the same address.
    pub port: u16,
    /// The namespaces to offer.
    pub api: Vec<String>,
    /// The origins that browsers may connect from; `*` is any; empty: pages of this machine.
    pub origins: Vec<String>,
}

impl Default for WsConfig {
    fn default() -> Self {
        Self { addr: "127.0.0.1".to_owned(), port: 8546, api: default_api(), origins: Vec::new() }
    }
}

/// The namespaces that are offered where nothing else is said, as in geth.
fn default_api() -> Vec<String> {
    ["eth", "net", "web3"].map(str::to_owned).to_vec()
}

/// Holds the limits on what others can ask for. The defaults are geth's where geth has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcLimits {
    /// The most gas of `eth_call` and `eth_estimateGas`.
    pub gas_cap: u64,
    /// How long a call may run.
    pub evm_timeout: Duration,
    /// How long a trace, a replay or a walk through the state may run at most; a request may ask for less.
    pub trace_timeout: Duration,
    /// The most blocks of a `trace_filter`; 0: no limit but time and size.
    pub trace_range: u64,
    /// The most that a transaction sent here may pay for gas, in wei; 0: no limit.
    pub tx_fee_cap_wei: u128,
    /// The most entries of a batch.
    pub batch_items: usize,
    /// The largest answer in bytes, of a batch or a single request.
    pub batch_response_bytes: usize,
    /// The largest HTTP body in bytes.
    pub body_bytes: u32,
    /// The largest WebSocket or IPC message in bytes.
    pub ws_message_bytes: u32,
    /// The most blocks of a log query; 0: no limit but time and results.
    pub logs_range: u64,
    /// The most logs of an answer.
    pub logs_results: usize,
    /// The most addresses of a log query.
    pub logs_addresses: usize,
    /// The most topics per position of a log query.
    pub logs_topics: usize,
    /// How long a log query may take.
    pub logs_timeout: Duration,
    /// The most installed filters.
    pub filters: usize,
    /// How long a filter lives without being polled.
    pub filter_timeout: Duration,
    /// The most connections per listener. When they are used up, those that have been idle for longest make room.
    pub connections: usize,
    /// The most WebSocket connections, and the most connections of the unix socket.
    pub lasting_connections: usize,
    /// How long a connection may be idle, or take to send a request's headers.
    pub idle_timeout: Duration,
    /// How long an answer may wait for a client to read anything of it.
    pub read_timeout: Duration,
    /// The most subscriptions per connection.
    pub subscriptions: u32,
    /// The most requests of a WebSocket connection that are answered at the same time.
    pub requests_per_connection: usize,
    /// The most requests of a kind that run at the same time off the network's threads; never more than the machine's cores bear.
    pub concurrent_calls: usize,
    /// The most requests of a kind that wait to be run.
    pub waiting_calls: usize,
    /// How long a request may wait to be run.
    pub waiting_timeout: Duration,
    /// How long the answers to a batch may take; what is left of it then is refused.
    pub batch_timeout: Duration,
    /// The most bytes of all HTTP requests together that are not answered yet.
    pub pending_request_bytes: usize,
    /// The most bytes of all HTTP answers together that are not read yet.
    pub pending_answer_bytes: usize,
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self {
            gas_cap: 50_000_000,
            evm_timeout: Duration::from_secs(5),
            trace_timeout: Duration::from_secs(30),
            trace_range: 1000,
            tx_fee_cap_wei: 1_000_000_000_000_000_000,
            batch_items: 1000,
            batch_response_bytes: 25_000_000,
            body_bytes: 5 << 20,
            ws_message_bytes: 32 << 20,
            logs_range: 0,
            logs_results: 20_000,
            logs_addresses: 1000,
            logs_topics: 1000,
            logs_timeout: Duration::from_secs(10),
            filters: 1000,
            filter_timeout: Duration::from_secs(5 * 60),
            connections: 16_384,
            lasting_connections: 2048,
            idle_timeout: Duration::from_secs(120),
            read_timeout: Duration::from_secs(30),
            subscriptions: 128,
            requests_per_connection: 256,
            concurrent_calls: 32,
            waiting_calls: 1024,
            waiting_timeout: Duration::from_secs(10),
            batch_timeout: Duration::from_secs(30),
            pending_request_bytes: 256 << 20,
            pending_answer_bytes: 256 << 20,
        }
    }
}
