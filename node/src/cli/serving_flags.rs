//! The flags of the node about serving JSON-RPC.

use std::path::PathBuf;

use alloy_primitives::Address;
use clap::Args;

use crate::config::values::{Ether, List, Span, Wei};

/// JSON-RPC over HTTP.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "JSON-RPC")]
pub struct HttpArgs {
    /// Serve JSON-RPC over HTTP
    #[arg(long = "http")]
    pub http: Option<bool>,
    /// Address to listen on [default: localhost]
    #[arg(long = "http.addr", value_name = "HOST")]
    pub http_addr: Option<String>,
    /// Port to listen on [default: 8545]
    #[arg(long = "http.port", value_name = "PORT")]
    pub http_port: Option<u16>,
    /// Namespaces to serve, separated by commas [default: eth,net,web3,drawbridge]
    #[arg(long = "http.api", value_name = "APIS")]
    pub http_api: Option<List<String>>,
    /// Web pages' origins that may ask, separated by commas; * is any
    #[arg(long = "http.corsdomain", value_name = "ORIGINS")]
    pub http_corsdomain: Option<List<String>>,
    /// Host names under which the node may be asked, separated by commas; * is any [default: localhost]
    #[arg(long = "http.vhosts", value_name = "HOSTS")]
    pub http_vhosts: Option<List<String>>,
    /// Serve the desk, the browser application, below /desk/ on the HTTP port [default: true]
    #[arg(long)]
    pub desk: Option<bool>,
    /// Order registries that the desk works with, separated by commas
    #[arg(long = "desk.registry", value_name = "ADDRESSES")]
    pub desk_registry: Option<List<Address>>,
    /// Account of the bridge, which the desk proposes to sellers as their order's operator
    #[arg(long = "desk.operator", value_name = "ADDRESS")]
    pub desk_operator: Option<Address>,
}

/// JSON-RPC over WebSocket.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "JSON-RPC")]
pub struct WsArgs {
    /// Serve JSON-RPC over WebSocket
    #[arg(long = "ws")]
    pub ws: Option<bool>,
    /// Address to listen on [default: localhost]
    #[arg(long = "ws.addr", value_name = "HOST")]
    pub ws_addr: Option<String>,
    /// Port to listen on; may be the HTTP port [default: 8546; with --dev the HTTP port]
    #[arg(long = "ws.port", value_name = "PORT")]
    pub ws_port: Option<u16>,
    /// Namespaces to serve, separated by commas [default: eth,net,web3,drawbridge]
    #[arg(long = "ws.api", value_name = "APIS")]
    pub ws_api: Option<List<String>>,
    /// Web pages' origins that may connect, separated by commas; * is any
    #[arg(long = "ws.origins", value_name = "ORIGINS")]
    pub ws_origins: Option<List<String>>,
}

/// JSON-RPC over a local socket.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "JSON-RPC")]
pub struct IpcArgs {
    /// Do not serve the local socket
    #[arg(long)]
    pub ipcdisable: Option<bool>,
    /// Path of the local socket [default: drawbridge.ipc in the data directory]
    #[arg(long, value_name = "PATH")]
    pub ipcpath: Option<PathBuf>,
}

/// What a request may cost.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "JSON-RPC limits")]
pub struct RpcArgs {
    /// Gas that a call may use; 0 is no cap [default: 50000000]
    #[arg(long = "rpc.gascap", value_name = "GAS")]
    pub rpc_gascap: Option<u64>,
    /// Time that a call may take; 0 is no limit [default: 5s]
    #[arg(long = "rpc.evmtimeout", value_name = "TIME")]
    pub rpc_evmtimeout: Option<Span>,
    /// The highest fee of a transaction sent over RPC, in ether; 0 is no cap [default: 1]
    #[arg(long = "rpc.txfeecap", value_name = "ETHER")]
    pub rpc_txfeecap: Option<Ether>,
    /// Requests in one batch; 0 is no limit [default: 1000]
    #[arg(long = "rpc.batch-request-limit", value_name = "N")]
    pub rpc_batch_request_limit: Option<u32>,
    /// Bytes in the answer to one batch; 0 is no limit [default: 25000000]
    #[arg(long = "rpc.batch-response-max-size", value_name = "BYTES")]
    pub rpc_batch_response_max_size: Option<u32>,
    /// File (JSON) with API keys: without one of them nothing is answered over HTTP and WebSocket; docs/devices.md tells its form
    #[arg(long = "rpc.keys", value_name = "FILE")]
    pub rpc_keys: Option<PathBuf>,
    /// File with the secret (64 hexadecimal digits) of tokens (JWT, HS256), which count for a minute and admit to all that is served; it is
    /// made where it is missing
    #[arg(long = "rpc.jwtsecret", value_name = "FILE")]
    pub rpc_jwtsecret: Option<PathBuf>,
    /// Serve admin, device, miner, perm and personal, and unlocked accounts, beyond this machine to whoever asks, without key or token
    #[arg(long = "rpc.allow-exposed")]
    pub rpc_allow_exposed: Option<bool>,
    /// Connections for HTTP and WebSocket together; those that have been idle for longest make room for new ones [default: 16384]
    #[arg(long = "rpc.connections", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rpc_connections: Option<u32>,
    /// Accept transactions that are not bound to this chain (without EIP-155) [default: false]
    #[arg(long = "rpc.allow-unprotected-txs")]
    pub rpc_allow_unprotected_txs: Option<bool>,
}

/// What the node answers when asked for a gas price.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Gas price suggestions")]
pub struct GasPriceArgs {
    /// Recent blocks to look at [default: 20]
    #[arg(long = "gpo.blocks", value_name = "N")]
    pub gpo_blocks: Option<u32>,
    /// Percentile of their prices to suggest [default: 60]
    #[arg(long = "gpo.percentile", value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub gpo_percentile: Option<u8>,
    /// The highest tip to suggest, in wei [default: 500000000000]
    #[arg(long = "gpo.maxprice", value_name = "WEI")]
    pub gpo_maxprice: Option<Wei>,
    /// Tips below this are passed over, in wei [default: 2]
    #[arg(long = "gpo.ignoreprice", value_name = "WEI")]
    pub gpo_ignoreprice: Option<Wei>,
}
