//! What an operator chooses about the network, checked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::address::PeerAddress;
use super::identity::{NodeKey, SwarmKey};

/// The port of other nodes, geth's.
pub const PORT_DEFAULT: u16 = 30303;

/// Holds what a node needs to meet others.
#[derive(Clone, Debug)]
pub struct P2pConfig {
    /// Who it is.
    pub key: NodeKey,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Addresses under which others reach it, where those that it listens on are not the ones.
    pub external: Vec<Multiaddr>,
    /// The secret of a private network.
    pub swarm_key: Option<SwarmKey>,
    /// Whether QUIC is spoken beside TCP, on the same port number.
    pub quic: bool,
    /// Whether to look for other nodes than those that are named.
    pub discover: bool,
    /// Whether to look for nodes on the local network by multicast DNS.
    pub mdns: bool,
    /// Nodes to ask for others.
    pub boot_nodes: Vec<PeerAddress>,
    /// Nodes to stay connected with.
    pub static_peers: Vec<PeerAddress>,
    /// Nodes that may come whatever the number of peers.
    pub trusted: Vec<PeerId>,
    /// The only nodes that may come; none: all.
    pub allowed: Option<Vec<PeerId>>,
    /// The most peers at a time; trusted ones come on top.
    pub peers_max: usize,
    /// The most connections from one address.
    pub per_address_max: usize,
    /// The memory of the process, in bytes, above which no further connections are made; none: four fifths of the machine's.
    pub memory_bytes_max: Option<usize>,
    /// What the node calls itself.
    pub agent: String,
    /// A file that remembers good peers over a restart.
    pub known_peers: Option<PathBuf>,
}

impl P2pConfig {
    /// Returns a configuration for `key` that listens on all addresses and knows nobody.
    pub fn new(key: NodeKey) -> Self {
        Self {
            key,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT_DEFAULT),
            external: Vec::new(),
            swarm_key: None,
            quic: false,
            discover: true,
            mdns: false,
            boot_nodes: Vec::new(),
            static_peers: Vec::new(),
            trusted: Vec::new(),
            allowed: None,
            peers_max: 50,
            per_address_max: 16,
            memory_bytes_max: None,
            agent: "drawbridge".to_owned(),
            known_peers: None,
        }
    }

    /// Returns the addresses to listen on: TCP, and QUIC where it is on.
    pub(crate) fn listen_addresses(&self) -> Vec<Multiaddr> {
        let host = Multiaddr::from(self.listen.ip());
        let tcp = host.clone().with(Protocol::Tcp(self.listen.port()));
        let quic = host.with(Protocol::Udp(self.listen.port())).with(Protocol::QuicV1);
        std::iter::once(tcp).chain(self.quic.then_some(quic)).collect()
    }
}

/// Says why the network does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another program listens there.
    #[error("{0} is already in use")]
    PortInUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {problem}")]
    Address {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        problem: String,
    },
    /// QUIC and a swarm key together.
    #[error("QUIC knows no swarm key: it would let strangers in")]
    QuicWithSwarmKey,
    /// A part of the swarm refuses its settings.
    #[error("the network cannot be set up: {0}")]
    Setup(String),
}
