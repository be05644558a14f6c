//! The parts of the swarm: who may come, gossip, questions and answers, who others are, and where they are.

use std::sync::Arc;
use std::time::Duration;

use libp2p::gossipsub::{
    self, IdentTopic, MessageAuthenticity, PeerScoreParams, PeerScoreThresholds, ValidationMode,
    WhitelistSubscriptionFilter,
};
use libp2p::identity::Keypair;
use libp2p::kad::{self, store::MemoryStore};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{NetworkBehaviour, Swarm};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, connection_limits, identify, mdns, memory_connection_limits, ping,
    request_response,
};

use super::address::{ip_of, without_peer};
use super::board::Board;
use super::config::{P2pConfig, StartError};
use super::exchange;
use super::gate::{Gate, GateLimits, HALF_OPEN_MAX};
use super::names::{Counted, Names};
use super::transport::transport;
use crate::message::limits::GOSSIP_BYTES_MAX;

/// The protocol version that nodes tell each other; another one still connects, so that the handshake can say why not.
pub(crate) const VERSION: &str = "/drawbridge/1";
const KADEMLIA: StreamProtocol = StreamProtocol::new("/drawbridge/kad/1");
/// How often gossip looks after its mesh.
const HEARTBEAT: Duration = Duration::from_millis(700);
/// For how many heartbeats a message waits for its validation.
const VALIDATION_HEARTBEATS: usize = 30;
/// For how long gossip keeps the score of a peer that is gone.
const SCORE_KEPT: Duration = Duration::from_secs(10);
/// For how long gossip remembers the names of messages: longer than one waits for its validation, and than a message travels.
const REMEMBERED: Duration = Duration::from_secs(30);
/// How many bytes gossip may have from a peer that are no whole frame yet: the longest message with its topic, and what was read of the
/// next frame together with its end.
const FRAME_BYTES_MAX: usize = GOSSIP_BYTES_MAX + 16 * 1024;
/// How many messages may wait for a peer that does not read; what comes then is not for it.
const UNREAD_MAX: usize = 512;
/// How many messages one frame of gossip may hold: a node puts each into a frame of its own.
const FRAME_MESSAGES_MAX: usize = 1;
/// How many messages that were read from a connection may wait for the node beside the one that is next. More would be megabytes of each
/// peer; a connection waits instead, and its peer with it.
const EVENTS_AHEAD: usize = 0;
/// How many streams of a peer may be about to say what they are for.
const NEGOTIATING_MAX: usize = 16;
/// How often the routing table is filled up.
const BOOTSTRAP_EVERY: Duration = Duration::from_secs(60);
/// How often a connection is tried, and for how long an answer is waited for; a connection on which several in a row are lost is closed.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls that are only begun.
const CALLS_MAX: u32 = 64;
/// Two nodes that call each other at the same time have two connections.
const PER_PEER_MAX: u32 = 2;
/// How many may be connected who are no peers.
const VISITORS_MAX: usize = 8;
/// Connections of a node are kept until somebody ends them.
const KEPT: Duration = Duration::from_secs(365 * 24 * 3600);
/// Connections of a boot node end when nobody has asked for so long.
const VISIT: Duration = Duration::from_secs(60);

/// How many addresses of one peer are known: more than a machine has reason to have.
const ADDRESSES_MAX: usize = 16;

/// The routing table, in which nothing is stored.
pub(crate) type Kademlia = kad::Behaviour<MemoryStore>;
/// Gossip that is counted, about our topics alone.
type Gossip = gossipsub::Behaviour<Counted, WhitelistSubscriptionFilter>;

/// What a node is made of.
#[derive(NetworkBehaviour)]
pub(crate) struct NodeBehaviour {
    pub(crate) gate: Gate,
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    pub(crate) gossip: Gossip,
    pub(crate) exchange: request_response::Behaviour<exchange::Codec>,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(crate) kademlia: Toggle<Kademlia>,
    mdns: Toggle<mdns::tokio::Behaviour>,
}

/// What a boot node is made of.
#[derive(NetworkBehaviour)]
pub(crate) struct BootBehaviour {
    gate: Gate,
    limits: connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(crate) kademlia: Kademlia,
}

/// Makes the swarm of a node of the chain whose gossip has these names; what comes by gossip is counted on the board.
///
/// # Errors
/// Settings that contradict each other.
pub(crate) fn node_swarm(
    config: &P2pConfig,
    names: &Arc<Names>,
    board: &Arc<Board>,
) -> Result<Swarm<NodeBehaviour>, StartError> {
    let keypair = config.key.keypair();
    let peer = keypair.public().to_peer_id();
    let setup = |problem: &dyn std::fmt::Display| StartError::Setup(problem.to_string());
    let mdns = config.mdns.then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), peer));
    let mdns = mdns.transpose().map_err(|error| setup(&format!("mDNS: {error}")))?;
    let behaviour = NodeBehaviour {
        gate: gate(config),
        limits: connection_limits(),
        memory: match config.memory_bytes_max {
            Some(bytes) => memory_connection_limits::Behaviour::with_max_bytes(bytes),
            None => memory_connection_limits::Behaviour::with_max_percentage(0.8),
        },
        gossip: gossip(names, board).map_err(|problem| setup(&problem))?,
        exchange: exchange::behaviour(),
        identify: identify(config, &keypair),
        ping: ping(),
        kademlia: config.discover.then(|| kademlia(peer)).into(),
        mdns: mdns.into(),
    };
    let transport = transport(config, &keypair)?;
    let swarm_config = libp2p::swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(KEPT)
        .with_per_connection_event_buffer_size(EVENTS_AHEAD)
        .with_max_negotiating_inbound_streams(NEGOTIATING_MAX);
    Ok(Swarm::new(transport, behaviour, peer, swarm_config))
}

/// Makes the swarm of a boot node.
///
/// # Errors
/// Settings that contradict each other.
pub(crate) fn boot_swarm(config: &P2pConfig) -> Result<Swarm<BootBehaviour>, StartError> {
    let keypair = config.key.keypair();
    let peer = keypair.public().to_peer_id();
    let behaviour = BootBehaviour {
        gate: gate(config),
        limits: connection_limits(),
        identify: identify(config, &keypair),
        ping: ping(),
        kademlia: kademlia(peer),
    };
    let transport = transport(config, &keypair)?;
    let swarm_config = libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(VISIT);
    Ok(Swarm::new(transport, behaviour, peer, swarm_config))
}

/// Begins to listen.
///
/// # Errors
/// The address or the port cannot be had.
pub(crate) fn listen<B: NetworkBehaviour>(swarm: &mut Swarm<B>, config: &P2pConfig) -> Result<(), StartError> {
    refuse_port_in_use(config)?;
    for address in config.listen_addresses() {
        swarm
            .listen_on(address)
            .map_err(|error| StartError::Address { address: config.listen, problem: error.to_string() })?;
    }
    for address in &config.external {
        swarm.add_external_address(address.clone());
    }
    Ok(())
}

/// The transport shares ports between sockets, so that a second node on the same port would not be told; this socket does not.
fn refuse_port_in_use(config: &P2pConfig) -> Result<(), StartError> {
    match std::net::TcpListener::bind(config.listen) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(StartError::PortInUse(config.listen)),
        Err(error) => Err(StartError::Address { address: config.listen, problem: error.to_string() }),
    }
}

fn gate(config: &P2pConfig) -> Gate {
    // The machine holds the limit exactly; boot nodes and visitors who only look for others come on top.
    let limits = GateLimits { peers_max: config.peers_max + VISITORS_MAX, per_address_max: config.per_address_max };
    let trusted = config.trusted.iter().copied().chain(config.static_peers.iter().map(|peer| peer.peer));
    let allowed = config.allowed.as_ref().map(|peers| peers.iter().copied().collect());
    Gate::new(limits, allowed, trusted.collect())
}

fn connection_limits() -> connection_limits::Behaviour {
    connection_limits::Behaviour::new(
        connection_limits::ConnectionLimits::default()
            .with_max_pending_incoming(Some(HALF_OPEN_MAX))
            .with_max_pending_outgoing(Some(CALLS_MAX))
            .with_max_established_per_peer(Some(PER_PEER_MAX)),
    )
}

fn identify(config: &P2pConfig, keypair: &Keypair) -> identify::Behaviour {
    let identity = identify::Config::new(VERSION.to_owned(), keypair.public());
    identify::Behaviour::new(identity.with_agent_version(config.agent.clone()))
}

fn ping() -> ping::Behaviour {
    ping::Behaviour::new(ping::Config::new().with_interval(PING_EVERY).with_timeout(PING_TIMEOUT))
}

fn kademlia(peer: PeerId) -> Kademlia {
    let mut config = kad::Config::new(KADEMLIA);
    config.set_periodic_bootstrap_interval(Some(BOOTSTRAP_EVERY));
    // Nodes are found here; nothing is stored.
    config.set_record_filtering(kad::StoreInserts::FilterBoth);
    let mut kademlia = kad::Behaviour::with_config(peer, MemoryStore::new(peer), config);
    kademlia.set_mode(Some(kad::Mode::Server));
    kademlia
}

/// Nobody signs gossip, and nobody's signature is looked at: who published a message says nothing about it, and who passed it on is known
/// from the connection. To verify signatures would be most of the work that bad messages cost.
fn gossip(names: &Arc<Names>, board: &Arc<Board>) -> Result<Gossip, String> {
    let naming = Arc::clone(names);
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix("/drawbridge/gossip")
        .heartbeat_interval(HEARTBEAT)
        .heartbeat_initial_delay(HEARTBEAT)
        .history_length(VALIDATION_HEARTBEATS)
        .duplicate_cache_time(REMEMBERED)
        .validation_mode(ValidationMode::None)
        .validate_messages()
        .max_transmit_size(FRAME_BYTES_MAX)
        .max_publish_messages(FRAME_MESSAGES_MAX)
        .connection_handler_queue_len(UNREAD_MAX)
        .message_id_fn(move |message: &gossipsub::Message| naming.name(message))
        .build()
        .map_err(|error| format!("gossip: {error}"))?;
    let (wanted, counted) = (WhitelistSubscriptionFilter(names.hashes()), Counted::new(Arc::clone(board), names));
    let anonymous = MessageAuthenticity::Anonymous;
    let mut gossip = Gossip::new_with_subscription_filter_and_transform(anonymous, config, wanted, counted)?;
    // A small network may stand behind one address; how many may come from one is the gate's business.
    let scores = PeerScoreParams {
        ip_colocation_factor_weight: 0.0,
        // The machine's points of blame, of which a peer has less than a hundred.
        app_specific_weight: 1.0,
        // The machine remembers blame, and the gate who is cut off; here each identity that is gone would take a place, and they cost nothing.
        retain_score: SCORE_KEPT,
        ..PeerScoreParams::default()
    };
    gossip.with_peer_score(scores, PeerScoreThresholds::default())?;
    for (_, name) in names.topics() {
        gossip.subscribe(&IdentTopic::new(name)).map_err(|error| error.to_string())?;
    }
    Ok(gossip)
}

/// Returns which of the addresses that a peer tells others can use, given where it is connected from: its loopback
/// addresses are of use on the same machine alone.
pub(crate) fn usable(told: Vec<Multiaddr>, connected_at: &Multiaddr) -> Vec<Multiaddr> {
    let is_local = |address: &Multiaddr| ip_of(address).is_some_and(|ip| ip.is_loopback());
    let same_machine = is_local(connected_at);
    told.into_iter().filter(|address| same_machine || !is_local(address)).take(ADDRESSES_MAX).collect()
}

/// Notes in the routing table where a peer says it is. What was known before stays as far as there is room: the table itself only ever adds,
/// and a peer can say something else at any time.
pub(crate) fn note_addresses(kademlia: &mut Kademlia, peer: PeerId, told: Vec<Multiaddr>) {
    let known = addresses_of(kademlia, peer);
    let mut all = Vec::with_capacity(ADDRESSES_MAX);
    for address in told.into_iter().map(without_peer).chain(known.iter().cloned()) {
        if all.len() < ADDRESSES_MAX && !all.contains(&address) {
            all.push(address);
        }
    }
    if all.iter().all(|address| known.contains(address)) {
        return;
    }
    kademlia.remove_peer(&peer);
    for address in all {
        kademlia.add_address(&peer, address);
    }
}

fn addresses_of(kademlia: &mut Kademlia, peer: PeerId) -> Vec<Multiaddr> {
    let Some(bucket) = kademlia.kbucket(peer) else { return Vec::new() };
    let entry = bucket.iter().find(|entry| *entry.node.key.preimage() == peer);
    entry.into_iter().flat_map(|entry| entry.node.value.iter().cloned().map(without_peer)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::p2p::identity::NodeKey;

    fn config() -> P2pConfig {
        let listen = "127.0.0.1:0".parse().unwrap();
        P2pConfig { listen, ..P2pConfig::new(NodeKey::generate()) }
    }

    #[tokio::test]
    async fn a_port_in_use_is_told() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let config = P2pConfig { listen: taken.local_addr().unwrap(), ..config() };
        let names = Arc::new(Names::new(alloy_primitives::B256::ZERO));
        let mut swarm = node_swarm(&config, &names, &Arc::default()).unwrap();
        assert!(matches!(listen(&mut swarm, &config), Err(StartError::PortInUse(address)) if address == config.listen));
    }

    #[test]
    fn a_peer_that_says_ever_new_addresses_has_sixteen_of_them() {
        let (mut kademlia, peer) = (kademlia(PeerId::random()), PeerId::random());
        let of = |host: u32| Multiaddr::from(std::net::Ipv4Addr::from_bits(host));
        for round in 1..100 {
            let told: Vec<_> = (0..16).map(|index| of(round * 16 + index)).collect();
            note_addresses(&mut kademlia, peer, told.clone());
            assert_eq!(addresses_of(&mut kademlia, peer), told);
        }
        // One more takes the place of the oldest; the same again changes nothing.
        for _ in 0..2 {
            note_addresses(&mut kademlia, peer, vec![of(1)]);
            let known = addresses_of(&mut kademlia, peer);
            assert_eq!((known.len(), known[0].clone()), (16, of(1)));
        }
        note_addresses(&mut kademlia, peer, Vec::new());
        assert_eq!(addresses_of(&mut kademlia, peer).len(), 16);
    }

    #[test]
    fn loopback_addresses_are_for_the_same_machine() {
        let of = |text: &str| text.parse::<Multiaddr>().unwrap();
        let told = vec![of("/ip4/127.0.0.1/tcp/1"), of("/ip4/10.0.0.1/tcp/1"), of("/ip6/::1/tcp/1")];
        assert_eq!(usable(told.clone(), &of("/ip4/10.0.0.1/tcp/5")), [of("/ip4/10.0.0.1/tcp/1")]);
        assert_eq!(usable(told.clone(), &of("/ip4/127.0.0.1/tcp/5")), told);
        assert_eq!(usable(vec![of("/ip4/10.0.0.1/tcp/1"); 100], &of("/ip4/10.0.0.1/tcp/5")).len(), 16);
    }
}
