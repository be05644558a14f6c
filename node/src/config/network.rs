//! How the node meets others, and how it is watched.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use network::p2p::{PORT_DEFAULT, PeerAddress};

use super::values::{List, PeerName, Place};
use crate::cli::network_flags::{MetricsArgs, NetworkArgs};

/// The name of the node's key in the data directory.
const NODE_KEY_FILE: &str = "nodekey";
/// The name of the swarm key in the data directory.
const SWARM_KEY_FILE: &str = "swarm.key";
/// The name of the file that remembers good peers.
const KNOWN_PEERS_FILE: &str = "peers.txt";

/// How the node meets others.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    /// Whether it meets others at all.
    pub enabled: bool,
    /// The port for other nodes; 0 takes a free one.
    pub port: u16,
    /// The address to listen on.
    pub host: IpAddr,
    /// Addresses under which others reach the node.
    pub external: Vec<Place>,
    /// The file with the node's key; it is made where it is missing.
    pub node_key_file: PathBuf,
    /// The file with the secret of a private network.
    pub swarm_key_file: Option<PathBuf>,
    /// Whether QUIC is spoken beside TCP.
    pub quic: bool,
    /// Whether to look for other nodes.
    pub discover: bool,
    /// Whether to look for nodes on the local network.
    pub mdns: bool,
    /// Nodes to ask for others.
    pub boot_nodes: Vec<PeerAddress>,
    /// Nodes to stay connected with.
    pub static_peers: Vec<PeerAddress>,
    /// Nodes that may come whatever the number of peers.
    pub trusted: Vec<PeerName>,
    /// Nodes that are both.
    pub reserved: Vec<PeerAddress>,
    /// The file with the only nodes and accounts that are served.
    pub permissions_file: Option<PathBuf>,
    /// The most peers at a time.
    pub peers_max: u32,
    /// The most connections from one address.
    pub per_address_max: u32,
    /// The memory above which no further connections are made, in MiB; none: four fifths of the machine's.
    pub memory_mib_max: Option<NonZeroU64>,
    /// A name that the node adds to its version.
    pub identity: Option<String>,
    /// The file that remembers good peers over a restart.
    pub known_peers_file: PathBuf,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        build_network(NetworkArgs::default(), Path::new(""))
    }
}

/// Whether metrics are served.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsConfig {
    /// Whether they are.
    pub enabled: bool,
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        build_metrics(MetricsArgs::default())
    }
}

/// Makes the network's configuration from what was given. A node runs alone unless something about others is said.
pub(super) fn build_network(args: NetworkArgs, datadir: &Path) -> NetworkConfig {
    let is_mentioned = args.port.is_some()
        || args.p2p_addr.is_some()
        || args.p2p_swarmkey.is_some()
        || args.p2p_permissions.is_some()
        || args.p2p_quic == Some(true)
        || args.p2p_mdns == Some(true)
        || is_filled(args.p2p_external.as_ref())
        || is_filled(args.bootnodes.as_ref())
        || is_filled(args.p2p_static.as_ref())
        || is_filled(args.p2p_trusted.as_ref())
        || is_filled(args.p2p_reserved.as_ref());
    let swarm_key = datadir.join(SWARM_KEY_FILE);
    NetworkConfig {
        enabled: args.p2p.unwrap_or(is_mentioned),
        port: args.port.unwrap_or(PORT_DEFAULT),
        host: args.p2p_addr.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        external: listed(args.p2p_external),
        node_key_file: args.nodekey.unwrap_or_else(|| datadir.join(NODE_KEY_FILE)),
        swarm_key_file: args.p2p_swarmkey.or_else(|| swarm_key.exists().then_some(swarm_key)),
        quic: args.p2p_quic.unwrap_or(false),
        discover: !args.nodiscover.unwrap_or(false),
        mdns: args.p2p_mdns.unwrap_or(false),
        boot_nodes: listed(args.bootnodes),
        static_peers: listed(args.p2p_static),
        trusted: listed(args.p2p_trusted),
        reserved: listed(args.p2p_reserved),
        permissions_file: args.p2p_permissions,
        peers_max: args.maxpeers.unwrap_or(50),
        per_address_max: args.p2p_maxperip.unwrap_or(16),
        memory_mib_max: args.p2p_maxmemory.and_then(NonZeroU64::new),
        identity: args.identity.filter(|name| !name.is_empty()),
        known_peers_file: datadir.join(KNOWN_PEERS_FILE),
    }
}

/// Makes the metrics' configuration from what was given.
pub(super) fn build_metrics(args: MetricsArgs) -> MetricsConfig {
    MetricsConfig {
        enabled: args.metrics.unwrap_or(false),
        host: args.metrics_addr.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        port: args.metrics_port.unwrap_or(6060),
    }
}

fn is_filled<T>(given: Option<&List<T>>) -> bool {
    given.is_some_and(|list| !list.0.is_empty())
}

fn listed<T>(given: Option<List<T>>) -> Vec<T> {
    given.map_or_else(Vec::new, |list| list.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PEER: &str = "/ip4/10.0.0.7/tcp/30303/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X";

    #[test]
    fn a_node_runs_alone_until_others_are_mentioned() {
        let enabled = |args: NetworkArgs| build_network(args, Path::new("/nowhere")).enabled;
        assert!(!enabled(NetworkArgs::default()));
        assert!(!enabled(NetworkArgs { nodiscover: Some(true), maxpeers: Some(3), ..NetworkArgs::default() }));
        assert!(!enabled(NetworkArgs { bootnodes: Some("".parse().unwrap()), ..NetworkArgs::default() }));
        assert!(enabled(NetworkArgs { port: Some(30303), ..NetworkArgs::default() }));
        assert!(enabled(NetworkArgs { bootnodes: Some(PEER.parse().unwrap()), ..NetworkArgs::default() }));
        assert!(enabled(NetworkArgs { p2p: Some(true), ..NetworkArgs::default() }));
        assert!(!enabled(NetworkArgs { p2p: Some(false), port: Some(1), ..NetworkArgs::default() }));
    }

    #[test]
    fn a_swarm_key_in_the_data_directory_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(build_network(NetworkArgs::default(), folder.path()).swarm_key_file, None);
        std::fs::write(folder.path().join("swarm.key"), "").unwrap();
        let taken = build_network(NetworkArgs::default(), folder.path()).swarm_key_file;
        assert_eq!(taken, Some(folder.path().join("swarm.key")));
    }
}
