//! The bytes between two nodes: TCP, below everything else the swarm key, then noise and yamux; or QUIC.

use std::time::Duration;

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::pnet::PnetConfig;
use libp2p::{PeerId, Transport, noise, quic, tcp, yamux};

use super::config::{P2pConfig, StartError};
use super::identity::SwarmKey;

/// How long two nodes may take until they know each other.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many streams a connection may have, as far as their windows go: with so many of 256 KiB each nothing of the connection's gigabyte is
/// left, so that no stream gets a larger window. Otherwise a peer that sends fast and answers pings slowly is given windows of many
/// megabytes, and what we have not read of them yet is held here. How many streams are really open the protocols on them say.
const STREAMS_MAX: usize = 4096;

type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// Returns the transport that the configuration asks for.
///
/// # Errors
/// QUIC together with a swarm key, which it could not keep.
pub(crate) fn transport(config: &P2pConfig, keypair: &Keypair) -> Result<Connections, StartError> {
    let tcp = match config.swarm_key {
        Some(_) if config.quic => return Err(StartError::QuicWithSwarmKey),
        Some(key) => private_tcp(keypair, key)?,
        None => open_tcp(keypair)?,
    };
    if !config.quic {
        return Ok(tcp);
    }
    let quic = quic::tokio::Transport::new(quic::Config::new(keypair))
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    Ok(quic.or_transport(tcp).map(|either, _| either.into_inner()).boxed())
}

fn noise_of(keypair: &Keypair) -> Result<noise::Config, StartError> {
    noise::Config::new(keypair).map_err(|error| StartError::Setup(format!("noise: {error}")))
}

fn streams() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(STREAMS_MAX);
    config
}

fn open_tcp(keypair: &Keypair) -> Result<Connections, StartError> {
    Ok(tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise_of(keypair)?)
        .multiplex(streams())
        .timeout(HANDSHAKE_TIMEOUT)
        .boxed())
}

fn private_tcp(keypair: &Keypair, key: SwarmKey) -> Result<Connections, StartError> {
    let pre_shared = key.pre_shared();
    Ok(tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .and_then(move |socket, _| PnetConfig::new(pre_shared).handshake(socket))
        .upgrade(Version::V1Lazy)
        .authenticate(noise_of(keypair)?)
        .multiplex(streams())
        .timeout(HANDSHAKE_TIMEOUT)
        .boxed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::p2p::identity::NodeKey;

    #[test]
    fn a_swarm_key_and_quic_exclude_each_other() {
        let key = NodeKey::generate();
        let check = |swarm_key: bool, quic: bool| {
            let swarm_key = swarm_key.then(SwarmKey::generate);
            transport(&P2pConfig { swarm_key, quic, ..P2pConfig::new(key.clone()) }, &key.keypair()).is_ok()
        };
        assert!(check(false, false) && check(true, false));
        assert!(!check(true, true));
    }
}
