//! JSON-RPC: what wallets, libraries and tools ask an Ethereum node, over HTTP, WebSocket and a unix socket.
//!
//! All methods stand in one table ([`METHODS`]), all errors in one file (`errors`), and all transports enter by one door
//! (`dispatch`). A method resolves its block once, reads a view of it, and never waits for the ledger's writer. Nothing here decides
//! what is valid or canonical.

mod admin;
mod api;
mod backup;
mod block_id;
mod budget;
mod config;
mod cursor;
mod dashboard;
mod deadline;
mod debug;
mod desk;
mod dev;
mod device;
mod devices;
mod discover;
mod dispatch;
mod errors;
mod eth;
mod events;
mod explain;
pub mod exposure;
mod filters;
mod gate;
mod gzip;
pub mod health;
mod http;
mod index;
mod ipc;
mod jwt;
mod lanes;
mod logging;
mod message;
mod methods;
mod miner;
mod names;
mod net;
mod objects;
mod operation;
mod ots;
mod ownership;
mod page;
mod params;
mod patient;
mod perm;
mod personal;
mod recent;
mod revert;
mod server;
mod services;
mod session;
mod slots;
mod subscriptions;
mod switch;
mod trace;
mod txpool;

pub use config::{HttpConfig, RpcConfig, RpcLimits, WsConfig};
pub use dev::{DevChain, DevMiner, DevPace, DevTerms, NextBlock};
pub use devices::{
    CertificateView, DeviceError, DeviceEvent, DeviceView, Devices, NoDevices, ShadowAsk, ShadowPlace, ShadowView,
};
pub use gate::{Gate, GateError};
pub use jwt::{JwtSecret, WINDOW_SECONDS};
pub use methods::{EMPTY_NAMESPACES, METHODS, Method, method_table_markdown, namespaces};
pub use operation::{
    Alone, ChainFiles, Criterion, DeskFacts, Health, LogControl, NetworkControl, NetworkStatus, NodeIdentity,
    Operation, PeerChain, PeerChange, PeerView, PermissionError, Permissions, ReadinessDemands, SyncStatus,
};
pub use revert::reason as revert_reason;
pub use server::{RpcHandle, ServeError, serve};
pub use services::{Clock, MinerControl, MinerError, Services, Signer, SignerError, WalletView, Work};
