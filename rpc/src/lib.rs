//! JSON-RPC: what wallets, libraries and tools ask an Ethereum node, over HTTP, WebSocket and a unix socket.
//!
//! All methods stand in one table ([`METHODS`]), all errors in one file (`errors`), and all transports enter by one door
//! (`dispatch`). A method resolves its block once, reads a view of it, and never waits for the ledger's writer. Nothing here decides
//! what is valid or canonical.

mod admin;
mod api;
mod backup;
mod block_id;
mod config;
mod cursor;
mod debug;
mod discover;
mod dispatch;
mod errors;
mod eth;
mod events;
mod explain;
mod filters;
mod gate;
pub mod health;
mod http;
mod ipc;
mod message;
mod methods;
mod miner;
mod net;
mod objects;
mod operation;
mod ots;
mod ownership;
mod params;
mod perm;
mod personal;
mod recent;
mod revert;
mod server;
mod services;
mod session;
mod subscriptions;
mod trace;
mod txpool;

pub use config::{HttpConfig, RpcConfig, RpcLimits, WsConfig};
pub use gate::{Gate, GateError};
pub use methods::{EMPTY_NAMESPACES, METHODS, Method, method_table_markdown, namespaces};
pub use operation::{
    Alone, ChainFiles, Criterion, Health, NetworkControl, NetworkStatus, NodeIdentity, Operation, PeerChain,
    PeerChange, PeerView, PermissionError, Permissions, ReadinessDemands, SyncStatus,
};
pub use revert::reason as revert_reason;
pub use server::{RpcHandle, ServeError, serve};
pub use services::{Clock, MinerControl, MinerError, Services, Signer, SignerError, Work};
