//! A boot node: knows who is there and tells those who ask. It has no chain.

use std::future::Future;

use futures::StreamExt;
use libp2p::core::ConnectedPoint;
use libp2p::swarm::SwarmEvent;
use libp2p::{PeerId, identify};
use std::collections::HashMap;
use tracing::{debug, info};

use super::address::PeerAddress;
use super::behaviour::{BootBehaviourEvent, boot_swarm, listen, note_addresses, usable};
use super::config::{P2pConfig, StartError};

/// Runs a boot node until `stop` is ready. `tell` hears each address under which others can name it.
///
/// # Errors
/// The address cannot be listened on, or the settings contradict each other.
pub async fn run_bootnode(
    config: P2pConfig,
    mut tell: impl FnMut(PeerAddress),
    stop: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let mut swarm = boot_swarm(&config)?;
    listen(&mut swarm, &config)?;
    let me = *swarm.local_peer_id();
    for address in &config.external {
        tell(PeerAddress { peer: me, address: address.clone() });
    }
    for boot in &config.boot_nodes {
        swarm.behaviour_mut().kademlia.add_address(&boot.peer, boot.address.clone());
    }
    let mut connected: HashMap<PeerId, ConnectedPoint> = HashMap::new();
    tokio::pin!(stop);
    loop {
        let event = tokio::select! {
            () = &mut stop => return Ok(()),
            event = swarm.select_next_some() => event,
        };
        match event {
            SwarmEvent::NewListenAddr { address, .. } => tell(PeerAddress { peer: me, address }),
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                info!(peer = %peer_id, address = %endpoint.get_remote_address(), "a node asks");
                connected.insert(peer_id, endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                debug!(peer = %peer_id, "a node left");
                connected.remove(&peer_id);
            }
            SwarmEvent::IncomingConnectionError { error, send_back_addr, .. } => {
                debug!(address = %send_back_addr, %error, "a connection failed");
            }
            SwarmEvent::Behaviour(BootBehaviourEvent::Identify(identify::Event::Received {
                peer_id, info, ..
            })) => {
                let Some(endpoint) = connected.get(&peer_id) else { continue };
                let told = usable(info.listen_addrs, endpoint.get_remote_address());
                note_addresses(&mut swarm.behaviour_mut().kademlia, peer_id, told);
            }
            _ => {}
        }
    }
}
