//! What happens to the machine.

use std::sync::Arc;

use alloy_primitives::B256;
use chain::{ImportError, ImportOutcome};
use consensus::{RecoveredBlock, RecoveredTransaction};

use super::job::JobResult;
use crate::message::{Buffer, GossipId, Topic};

/// Names a peer. The shell gives each identity a number and keeps it while the identity is of interest, over reconnections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// Names a request that the machine has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names a request that a peer has sent; given by the shell, which knows by it where the response goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboundId(pub u64);

/// Says why a request got no response. None of them blames the peer: it may just be gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFailure {
    /// No answer came in time.
    #[error("no answer in time")]
    Timeout,
    /// The connection is gone.
    #[error("the connection is gone")]
    Disconnected,
    /// The peer does not speak the protocol.
    #[error("the peer does not speak this protocol")]
    Unsupported,
    /// Anything else that the transport says.
    #[error("{0}")]
    Io(String),
}

/// Something that happened.
pub enum Event {
    /// A connection to a peer stands (the first one, where there are several).
    Connected {
        /// The peer.
        peer: PeerId,
        /// Whether the peer may stay when others must go: static, trusted and reserved peers.
        is_reserved: bool,
    },
    /// The last connection to a peer is gone.
    Disconnected {
        /// The peer.
        peer: PeerId,
    },
    /// The operator wants a peer back: what it is blamed for is forgotten, and it is no longer kept out.
    Pardoned {
        /// The peer.
        peer: PeerId,
    },
    /// A gossip message came. The machine answers each by one [`super::Action::Verdict`], at once or later.
    Gossip {
        /// The peer that passed it on.
        peer: PeerId,
        /// [`GossipId::of`] the message, or another name where the same one was found invalid before.
        id: GossipId,
        /// Its topic.
        topic: Topic,
        /// Its bytes.
        data: Vec<u8>,
    },
    /// A peer asks something. The machine answers each by one [`super::Action::Respond`] or [`super::Action::Serve`].
    Request {
        /// The peer.
        peer: PeerId,
        /// Where the response goes.
        inbound: InboundId,
        /// The request's bytes.
        data: Buffer,
    },
    /// A request of ours was answered or has failed.
    Response {
        /// The peer that was asked.
        peer: PeerId,
        /// Which request.
        request: RequestId,
        /// The response's bytes.
        result: Result<Buffer, RequestFailure>,
    },
    /// An import that the machine has asked for has ended. Imports end in the order in which they were asked for.
    Imported {
        /// The block.
        hash: B256,
        /// What became of it.
        result: Result<ImportOutcome, ImportError>,
    },
    /// The ledger has taken the snapshot that the machine has given it, or has refused it.
    Adopted(Result<ImportOutcome, ImportError>),
    /// A job has ended.
    JobDone(Box<JobResult>),
    /// The ledger has a new head, whoever brought it: the ledger's fact.
    NewHead {
        /// The blocks that became canonical, oldest first; the last one is the head.
        added: Vec<Arc<RecoveredBlock>>,
    },
    /// A transaction entered the pool, whoever brought it: the ledger's fact.
    NewTransaction(RecoveredTransaction),
    /// Time has passed; comes about every [`super::TICK_MS`], and when the machine has asked to be woken.
    Tick,
}
