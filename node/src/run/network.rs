//! The network in the node: from the configuration to the running task, and what JSON-RPC sees of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use network::machine::{MachineConfig, rules_of};
use network::message::{Roles, Status};
use network::p2p::{
    KeyFileError, Network, NetworkHandle, NodeKey, P2pConfig, Peer, PeerAddress, PeerId, ShellError, StartError,
    SwarmKey, parse_peer,
};
use parking_lot::Mutex;
use rpc::{NetworkControl, NetworkStatus, NodeIdentity, PeerChain, PeerChange, PeerView, SyncStatus};
use tokio::sync::broadcast;
use tracing::{info, warn};

use super::ledger::{Opened, storage_error};
use super::now_ms;
use crate::commands::version;
use crate::config::NodeConfig;
use crate::config::values::SyncMode;
use crate::exit::Fatal;

/// Starts the network that the configuration asks for, on the current runtime. `allowed` are the only peers that may come.
pub(super) fn start(
    config: &NodeConfig,
    opened: &Opened,
    allowed: Option<Vec<PeerId>>,
) -> Result<Option<Network>, Fatal> {
    if !config.network.enabled {
        return Ok(None);
    }
    let p2p = p2p_config(config, opened, allowed)?;
    info!(
        peer_id = %p2p.key.peer_id(), swarm_key = p2p.swarm_key.map(|key| key.fingerprint()), listen = %p2p.listen,
        boot_nodes = p2p.boot_nodes.len(), static_peers = p2p.static_peers.len(), "meeting other nodes"
    );
    let network = network::p2p::start(p2p, machine_config(config, opened), opened.ledger.clone(), now_ms);
    network.map(Some).map_err(|error| start_error(error, "--port"))
}

/// Returns the nodes that the configuration names, which no list shuts out.
pub(super) fn named_peers(config: &NodeConfig) -> Vec<PeerId> {
    let network = &config.network;
    let addresses = network.boot_nodes.iter().chain(&network.static_peers);
    addresses.map(|address| address.peer).chain(trusted_peers(config)).collect()
}

fn p2p_config(config: &NodeConfig, opened: &Opened, allowed: Option<Vec<PeerId>>) -> Result<P2pConfig, Fatal> {
    let network = &config.network;
    let key = NodeKey::load_or_create(&network.node_key_file).map_err(|error| key_error(&error))?;
    let swarm_key = network.swarm_key_file.as_deref().map(SwarmKey::load).transpose();
    let mut boot_nodes = network.boot_nodes.clone();
    boot_nodes.extend(boot_nodes_of_chain(opened));
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(P2pConfig {
        listen: SocketAddr::new(network.host, network.port),
        external: network.external.iter().map(|place| place.0.clone()).collect(),
        swarm_key: swarm_key.map_err(|error| key_error(&error))?,
        quic: network.quic,
        discover: network.discover,
        mdns: network.mdns,
        boot_nodes,
        static_peers: network.static_peers.iter().chain(&network.reserved).cloned().collect(),
        trusted: trusted_peers(config).collect(),
        allowed,
        peers_max: count(network.peers_max),
        per_address_max: count(network.per_address_max),
        memory_bytes_max: network.memory_mib_max.map(|mib| usize::try_from(mib.get() << 20).unwrap_or(usize::MAX)),
        agent: version::client_version(network.identity.as_deref()),
        known_peers: Some(network.known_peers_file.clone()),
        ..P2pConfig::new(key)
    })
}

/// Returns the nodes that may come whatever the number of peers.
fn trusted_peers(config: &NodeConfig) -> impl Iterator<Item = PeerId> + '_ {
    let network = &config.network;
    network.trusted.iter().map(|peer| peer.0).chain(network.reserved.iter().map(|peer| peer.peer))
}

/// Returns the boot nodes that the chain file names in a way that this network understands.
fn boot_nodes_of_chain(opened: &Opened) -> Vec<PeerAddress> {
    let parse = |text: &String| match text.parse() {
        Ok(address) => Some(address),
        Err(problem) => {
            let problem: network::p2p::AddressError = problem;
            warn!(%problem, "a boot node of the chain file is left out");
            None
        }
    };
    opened.genesis.bootnodes.iter().filter_map(parse).collect()
}

fn machine_config(config: &NodeConfig, opened: &Opened) -> MachineConfig {
    let roles = [
        (config.miner.enabled || config.dev.is_some(), Roles::MINER),
        (config.http.enabled || config.ws.enabled, Roles::RPC),
        (config.data.history_blocks.is_none(), Roles::ARCHIVE),
    ];
    let roles = roles.into_iter().filter(|(is_so, _)| *is_so).fold(Roles::default(), |all, (_, role)| all.with(role));
    MachineConfig {
        rules: rules_of(&opened.genesis),
        agent: version::client_version(config.network.identity.as_deref()),
        roles,
        peers_max: usize::try_from(config.network.peers_max).unwrap_or(usize::MAX),
        start_from_snapshot: config.chain.sync_mode == SyncMode::Snap,
        ..MachineConfig::default()
    }
}

/// Tells how a key file that cannot be used ends the program.
pub(crate) fn key_error(error: &KeyFileError) -> Fatal {
    match error {
        KeyFileError::Io { path, source } => match source.kind() {
            std::io::ErrorKind::NotFound => {
                Fatal::key(error, "correct the path: there is no such file, or no such folder to write it into")
            }
            std::io::ErrorKind::AlreadyExists => Fatal::key(error, "name another file; a key is never overwritten"),
            _ => Fatal::io(path, source),
        },
        KeyFileError::Malformed { .. } => Fatal::key(error, "name the right file, or make a new key"),
    }
}

/// Tells how a network that does not start ends the program; `flag` chooses the port.
pub(crate) fn start_error(error: StartError, flag: &'static str) -> Fatal {
    match error {
        StartError::PortInUse(address) => Fatal::PortInUse { address: address.to_string(), flag },
        StartError::Address { .. } => Fatal::config(error, "choose another address with --p2p.addr and --port"),
        StartError::QuicWithSwarmKey => Fatal::config(error, "leave out --p2p.quic, or the swarm key"),
        StartError::Setup(_) => Fatal::config(error, "correct the network's settings"),
    }
}

/// Tells how the end of the network's task ends the program.
pub(super) fn task_error(config: &NodeConfig, ended: Result<Result<(), ShellError>, tokio::task::JoinError>) -> Fatal {
    match ended {
        Ok(Err(ShellError::View(chain::ViewError::Storage(error)))) => storage_error(&config.data.dir, error),
        Ok(Err(error)) => Fatal::Internal { cause: error.to_string() },
        Ok(Ok(())) => Fatal::Internal { cause: "the network has ended".to_owned() },
        Err(error) => Fatal::Internal { cause: format!("the network's task has ended: {error}") },
    }
}

/// What JSON-RPC sees of a running network.
pub(super) struct NetworkSwitch {
    handle: NetworkHandle,
    peers_max: usize,
    static_peers: Mutex<BTreeSet<PeerId>>,
    trusted: Mutex<BTreeSet<PeerId>>,
    changes: broadcast::Sender<PeerChange>,
}

/// How many changes among the peers a slow subscriber may fall behind before it misses some.
const CHANGES_CAPACITY: usize = 256;

impl NetworkSwitch {
    /// Follows `handle`, on the current runtime.
    pub(super) fn new(handle: NetworkHandle, config: &NodeConfig) -> Self {
        let network = &config.network;
        let changes = broadcast::channel(CHANGES_CAPACITY).0;
        let (mut heard, told) = (handle.changes(), changes.clone());
        tokio::spawn(async move {
            loop {
                match heard.recv().await {
                    Ok(change) => {
                        let (id, address, gone) = (change.peer.to_string(), change.address, change.gone);
                        // Nobody may listen.
                        let _ = told.send(PeerChange { id, address, gone });
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
        Self {
            handle,
            peers_max: usize::try_from(network.peers_max).unwrap_or(usize::MAX),
            static_peers: Mutex::new(
                network.static_peers.iter().chain(&network.reserved).map(|peer| peer.peer).collect(),
            ),
            trusted: Mutex::new(trusted_peers(config).collect()),
            changes,
        }
    }

    fn show(&self, peer: &Peer) -> PeerView {
        PeerView {
            id: peer.id.to_string(),
            address: format!("{}/p2p/{}", peer.address, peer.id),
            local: peer.local.to_string(),
            name: peer.agent.clone(),
            is_inbound: peer.is_inbound,
            is_static: self.static_peers.lock().contains(&peer.id),
            is_trusted: self.trusted.lock().contains(&peer.id),
            chain: peer.status.as_ref().map(|status| chain_of(status, peer.clock_offset_ms)),
            points: peer.points,
            latency_ms: peer.latency_ms,
            refused: None,
        }
    }
}

fn chain_of(status: &Status, clock_offset_ms: i64) -> PeerChain {
    let known = [(Roles::MINER, "miner"), (Roles::RPC, "rpc"), (Roles::ARCHIVE, "archive")];
    PeerChain {
        head_number: status.head_number,
        head: status.head,
        total_difficulty: status.total_difficulty,
        finalized: status.finalized,
        clock_offset_ms,
        roles: known.into_iter().filter(|(role, _)| status.roles.has(*role)).map(|(_, name)| name).collect(),
    }
}

impl NetworkControl for NetworkSwitch {
    fn status(&self) -> NetworkStatus {
        let board = self.handle.board();
        NetworkStatus {
            is_listening: board.is_listening(),
            peers: board.peer_count(),
            peers_max: self.peers_max,
            sync: board.behind().map(|behind| SyncStatus { starting: behind.starting, highest: behind.highest }),
            best_known: board.best_known(),
        }
    }

    fn identity(&self) -> Option<NodeIdentity> {
        let mut addresses = self.handle.addresses();
        // Loopback is of use on this machine alone, and stands last.
        addresses.sort_by_key(|address| address.to_string().contains("/127.0.0.1/"));
        let listen = self.handle.board().addresses().iter().find_map(socket_of);
        let addresses = addresses.iter().map(ToString::to_string).collect();
        Some(NodeIdentity { id: self.handle.peer_id().to_string(), addresses, listen })
    }

    fn peers(&self) -> Vec<PeerView> {
        let board = self.handle.board();
        let mut peers: Vec<PeerView> = board.peers().iter().map(|peer| self.show(peer)).collect();
        peers.extend(board.refused().into_iter().map(|refused| PeerView {
            id: refused.id.map(|id| id.to_string()).unwrap_or_default(),
            address: refused.address,
            name: refused.agent,
            refused: Some(refused.reason),
            ..PeerView::default()
        }));
        peers
    }

    fn add_peer(&self, address: &str) -> Result<bool, String> {
        let address: PeerAddress = address.parse().map_err(|error: network::p2p::AddressError| error.to_string())?;
        self.static_peers.lock().insert(address.peer);
        self.handle.add_peer(address).map_err(|error| error.to_string())
    }

    fn remove_peer(&self, peer: &str) -> Result<bool, String> {
        let peer = parse_peer(peer).map_err(|error| error.to_string())?;
        self.static_peers.lock().remove(&peer);
        self.handle.remove_peer(peer).map_err(|error| error.to_string())
    }

    fn set_trusted(&self, peer: &str, trusted: bool) -> Result<bool, String> {
        let peer = parse_peer(peer).map_err(|error| error.to_string())?;
        if trusted {
            self.trusted.lock().insert(peer);
        } else {
            self.trusted.lock().remove(&peer);
        }
        self.handle.set_trusted(peer, trusted).map_err(|error| error.to_string())
    }

    fn changes(&self) -> Option<broadcast::Receiver<PeerChange>> {
        Some(self.changes.subscribe())
    }
}

/// Returns the socket that a multiaddr such as `/ip4/0.0.0.0/tcp/30303` names.
fn socket_of(address: &network::p2p::Multiaddr) -> Option<SocketAddr> {
    let text = address.to_string();
    let mut parts = text.split('/').skip(1);
    let (kind, host) = (parts.next()?, parts.next()?);
    let port = parts.nth(1)?.parse().ok()?;
    matches!(kind, "ip4" | "ip6").then(|| host.parse().ok().map(|host| SocketAddr::new(host, port)))?
}

/// Returns the permissions that the configuration names, with the sink that tells the network once it runs.
pub(super) fn permissions(
    config: &NodeConfig,
    handle: Arc<std::sync::OnceLock<NetworkHandle>>,
) -> Result<Option<Arc<crate::permissions::PermissionFile>>, Fatal> {
    let Some(path) = config.network.permissions_file.clone() else { return Ok(None) };
    let sink = Box::new(move |peers| {
        if let Some(handle) = handle.get() {
            // A network that has stopped lets nobody in.
            let _ = handle.allow_only(peers);
        }
    });
    let file = crate::permissions::PermissionFile::open(path, named_peers(config), sink);
    let file = file.map_err(|problem| Fatal::config(problem, "correct the file that --p2p.permissions names"))?;
    Ok(Some(Arc::new(file)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sockets_are_read_from_multiaddrs() {
        let check = |text: &str| socket_of(&text.parse().unwrap()).map(|socket| socket.to_string());
        assert_eq!(check("/ip4/10.0.0.7/tcp/30303").as_deref(), Some("10.0.0.7:30303"));
        assert_eq!(check("/ip6/::1/udp/1/quic-v1").as_deref(), Some("[::1]:1"));
        assert_eq!(check("/dns4/node1/tcp/30303"), None);
    }
}
