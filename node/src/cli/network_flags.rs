//! The flags of the node about other nodes, and about being watched.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use network::p2p::PeerAddress;

use crate::config::values::{List, PeerName, Place};

/// Other nodes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// Meet other nodes. On where another flag of this section is given; without any the node runs alone
    #[arg(long = "p2p")]
    pub p2p: Option<bool>,
    /// Port for other nodes; 0 takes a free one [default: 30303]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Address to listen on for other nodes [default: 0.0.0.0]
    #[arg(long = "p2p.addr", value_name = "ADDRESS")]
    pub p2p_addr: Option<IpAddr>,
    /// Addresses (multiaddrs) under which others reach this node, where it stands behind a router
    #[arg(long = "p2p.external", value_name = "ADDRESSES")]
    pub p2p_external: Option<List<Place>>,
    /// File with the node's key [default: nodekey in the data directory]
    #[arg(long, value_name = "FILE")]
    pub nodekey: Option<PathBuf>,
    /// File with the secret of a private network; nodes with another one cannot talk [default: swarm.key in the data directory, where there is one]
    #[arg(long = "p2p.swarmkey", value_name = "FILE")]
    pub p2p_swarmkey: Option<PathBuf>,
    /// Speak QUIC beside TCP; QUIC keeps no swarm key
    #[arg(long = "p2p.quic")]
    pub p2p_quic: Option<bool>,
    /// Do not look for other nodes than those that are named
    #[arg(long)]
    pub nodiscover: Option<bool>,
    /// Look for nodes on the local network by multicast DNS
    #[arg(long = "p2p.mdns")]
    pub p2p_mdns: Option<bool>,
    /// Nodes to ask for others: multiaddrs such as /ip4/10.0.0.7/tcp/30303/p2p/12D3Koo…, separated by commas
    #[arg(long, value_name = "ADDRESSES")]
    pub bootnodes: Option<List<PeerAddress>>,
    /// Nodes to stay connected with, separated by commas
    #[arg(long = "p2p.static", value_name = "ADDRESSES")]
    pub p2p_static: Option<List<PeerAddress>>,
    /// Nodes that may come whatever the number of peers: peer ids or multiaddrs, separated by commas
    #[arg(long = "p2p.trusted", value_name = "PEERS")]
    pub p2p_trusted: Option<List<PeerName>>,
    /// Nodes that are both static and trusted, separated by commas
    #[arg(long = "p2p.reserved", value_name = "ADDRESSES")]
    pub p2p_reserved: Option<List<PeerAddress>>,
    /// File (TOML) with the only nodes and accounts that are served: nodes-allowlist and accounts-allowlist
    #[arg(long = "p2p.permissions", value_name = "FILE")]
    pub p2p_permissions: Option<PathBuf>,
    /// The most peers at a time; trusted and reserved ones come on top [default: 50]
    #[arg(long, value_name = "N")]
    pub maxpeers: Option<u32>,
    /// The most connections from one address [default: 16]
    #[arg(long = "p2p.maxperip", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub p2p_maxperip: Option<u32>,
    /// Make no further connections while the process takes more memory than this; 0 is four fifths of the machine's [default: 0]
    #[arg(long = "p2p.maxmemory", value_name = "MIB")]
    pub p2p_maxmemory: Option<u64>,
    /// Name that the node adds to its version
    #[arg(long, value_name = "NAME")]
    pub identity: Option<String>,
}

/// Being watched.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Metrics")]
pub struct MetricsArgs {
    /// Serve metrics in Prometheus' format at /metrics, and the node's health at /livez and /readyz
    #[arg(long = "metrics")]
    pub metrics: Option<bool>,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long = "metrics.addr", value_name = "ADDRESS")]
    pub metrics_addr: Option<IpAddr>,
    /// Port to listen on; 0 takes a free one [default: 6060]
    #[arg(long = "metrics.port", value_name = "PORT")]
    pub metrics_port: Option<u16>,
}
