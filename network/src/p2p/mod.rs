//! libp2p around the machine: identity, transport, discovery, who may come, and the task that owns the swarm.

mod address;
mod behaviour;
mod board;
mod bootnode;
mod config;
mod dialer;
mod exchange;
mod gate;
mod handle;
mod identity;
mod names;
mod raw;
mod shell;
mod transport;

pub use address::{AddressError, PeerAddress, parse_peer};
pub use board::{Behind, Board, Counters, Peer, RefusedPeer};
pub use bootnode::run_bootnode;
pub use config::{P2pConfig, PORT_DEFAULT, StartError};
pub use gate::Refused;
pub use handle::{NetworkHandle, PeerChange, Stopped};
pub use identity::{KeyFileError, KeyTextError, NodeKey, SwarmKey};
pub use libp2p::{Multiaddr, PeerId};
pub use raw::{Answers, RawError, RawPeer};
pub use shell::{ClockMs, Network, ShellError, start};
