//! What the rest of the node holds of the network: a handle that asks the task, and the board that it writes.

use std::sync::Arc;

use libp2p::PeerId;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::address::PeerAddress;
use super::board::Board;

/// How many changes among the peers a slow reader may fall behind before it misses some.
pub(super) const CHANGES_CAPACITY: usize = 256;
/// How many commands may wait for the task.
pub(super) const COMMANDS_MAX: usize = 64;

/// A change among the peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerChange {
    /// The peer.
    pub peer: PeerId,
    /// Where it is.
    pub address: String,
    /// Why it is gone; none: it has come.
    pub gone: Option<String>,
}

/// Something that the task is asked to do.
pub(super) enum Command {
    Add(PeerAddress, oneshot::Sender<bool>),
    Remove(PeerId, oneshot::Sender<bool>),
    Trust(PeerId, bool, oneshot::Sender<bool>),
    AllowOnly(Option<Vec<PeerId>>),
    Stop,
}

/// The network's task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the network has stopped")]
pub struct Stopped;

/// Looks at the network and steers it; clones share it.
#[derive(Clone)]
pub struct NetworkHandle {
    pub(super) me: PeerId,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) changes: broadcast::Sender<PeerChange>,
    pub(super) board: Arc<Board>,
}

impl NetworkHandle {
    /// Returns who the node is to others.
    pub fn peer_id(&self) -> PeerId {
        self.me
    }

    /// Returns what the task tells.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Returns the addresses under which others can name the node.
    pub fn addresses(&self) -> Vec<PeerAddress> {
        let addresses = self.board.addresses().into_iter();
        addresses.map(|address| PeerAddress { peer: self.me, address }).collect()
    }

    /// Follows the changes among the peers.
    pub fn changes(&self) -> broadcast::Receiver<PeerChange> {
        self.changes.subscribe()
    }

    /// Connects to a peer and stays connected; tells whether it is new. Blocks the thread: not for the runtime's own.
    ///
    /// # Errors
    /// The network has stopped.
    pub fn add_peer(&self, peer: PeerAddress) -> Result<bool, Stopped> {
        self.ask(|reply| Command::Add(peer, reply))
    }

    /// Parts from a peer and no longer calls it; tells whether it was known. Blocks the thread.
    ///
    /// # Errors
    /// The network has stopped.
    pub fn remove_peer(&self, peer: PeerId) -> Result<bool, Stopped> {
        self.ask(|reply| Command::Remove(peer, reply))
    }

    /// Lets a peer come whatever the number of peers, or no longer; tells whether that is a change. Blocks the thread.
    ///
    /// # Errors
    /// The network has stopped.
    pub fn set_trusted(&self, peer: PeerId, trusted: bool) -> Result<bool, Stopped> {
        self.ask(|reply| Command::Trust(peer, trusted, reply))
    }

    /// Lets only these peers come, or all; others are cut off. Blocks the thread.
    ///
    /// # Errors
    /// The network has stopped.
    pub fn allow_only(&self, peers: Option<Vec<PeerId>>) -> Result<(), Stopped> {
        self.commands.blocking_send(Command::AllowOnly(peers)).map_err(|_| Stopped)
    }

    /// Ends the task.
    pub async fn stop(&self) {
        // A task that has ended needs no word.
        let _ = self.commands.send(Command::Stop).await;
    }

    fn ask(&self, command: impl FnOnce(oneshot::Sender<bool>) -> Command) -> Result<bool, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.commands.blocking_send(command(reply)).map_err(|_| Stopped)?;
        answer.blocking_recv().map_err(|_| Stopped)
    }
}
