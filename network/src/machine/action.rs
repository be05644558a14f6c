//! What the machine wants done.

use alloy_primitives::B256;
use chain::StateSnapshot;
use consensus::RecoveredBlock;

use super::event::{InboundId, PeerId, RequestId};
use super::job::Job;
use crate::message::{GossipId, Request, Response, Status, Topic};

/// Says what becomes of a gossip message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is valid: pass it on.
    Accept,
    /// It is invalid: do not pass it on, who passed it here is to blame.
    Reject,
    /// Do not pass it on; nobody is to blame.
    Ignore,
}

/// Says what a peer did wrong. Lacking something is no offence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Offence {
    /// It sent bytes that are no message, or above a limit.
    Malformed,
    /// It sent a header or block that breaks a rule which can be checked without execution.
    InvalidHeader,
    /// It has a block on its chain that turned out invalid when it was executed.
    InvalidBlock,
    /// It passed on a block that turned out invalid when it was executed, which it could not know.
    PassedInvalidBlock,
    /// It sent a transaction that no chain could hold.
    InvalidTransaction,
    /// It answered with something else than was asked for.
    WrongResponse,
    /// It goes on asking though it is refused.
    Overload,
    /// It announces more than its share.
    Flood,
    /// It claims more work than its chain has.
    FalseClaim,
    /// It sent state that does not have the root of its block.
    InvalidState,
}

impl Offence {
    /// Returns how many points the offence weighs; at [`super::SCORE_MAX`] a peer is cut off.
    pub fn weight(self) -> u32 {
        match self {
            Self::Malformed | Self::InvalidHeader | Self::InvalidBlock | Self::InvalidState | Self::Overload => 100,
            Self::InvalidTransaction | Self::WrongResponse => 50,
            Self::FalseClaim => 25,
            Self::Flood => 20,
            Self::PassedInvalidBlock => 10,
        }
    }

    /// Returns up to how many points the offence is counted. Blocks are passed on before they are executed, so that an honest peer passes
    /// on whatever an attacker seals: for that alone nobody is cut off.
    pub(super) fn points_max(self) -> u32 {
        if self == Self::PassedInvalidBlock { super::SCORE_MAX / 2 } else { u32::MAX }
    }
}

/// Something that an operator must know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Alarm {
    /// A heavier branch leaves our chain below the finalized block; it is refused.
    #[error(
        "peer {peer:?} has a heavier branch (block {head_number}, {head}) that leaves ours at block {ancestor}, below the \
         finalized block {finalized}: refused; compare the nodes, and if the other branch is right start anew from it"
    )]
    BelowFinalized {
        /// The peer whose branch it is.
        peer: PeerId,
        /// Its head.
        head: B256,
        /// Its head's number.
        head_number: u64,
        /// The last common block.
        ancestor: u64,
        /// Our finalized block.
        finalized: u64,
    },
    /// Most peers' clocks differ from ours.
    #[error(
        "the clocks of {peers} peers differ from ours by {offset_ms} ms in the median: set this machine's clock (NTP)"
    )]
    ClockOff {
        /// How many peers' clocks were compared.
        peers: usize,
        /// The median of theirs minus ours.
        offset_ms: i64,
    },
    /// A snapshot cannot be used, and the node goes on without.
    #[error("no start from a snapshot: {0}; the chain is executed from its beginning instead")]
    SnapshotFailed(String),
}

/// Something that the machine wants done. The shell does all of them, in order.
pub enum Action {
    /// Send a request to a peer; it comes back as [`super::Event::Response`], at the latest by a timeout of the shell.
    Send {
        /// The peer.
        peer: PeerId,
        /// The machine's name for it.
        request: RequestId,
        /// What is asked.
        message: Box<Request>,
    },
    /// Answer a peer's request.
    Respond {
        /// The peer.
        peer: PeerId,
        /// Its request.
        inbound: InboundId,
        /// The answer.
        response: Box<Response>,
    },
    /// Answer a peer's request by [`super::serve::answer`], which reads the ledger's store: on a thread that may block.
    Serve {
        /// The peer.
        peer: PeerId,
        /// Its request.
        inbound: InboundId,
        /// What it asks.
        message: Box<Request>,
    },
    /// Publish a gossip message.
    Publish {
        /// Its topic.
        topic: Topic,
        /// Its bytes.
        data: Vec<u8>,
    },
    /// Say what becomes of a gossip message that came.
    Verdict {
        /// The peer that passed it on.
        peer: PeerId,
        /// The message.
        id: GossipId,
        /// What becomes of it.
        verdict: Verdict,
    },
    /// Import a block; imports are made one after the other in the order of these actions. Comes back as
    /// [`super::Event::Imported`].
    Import(Box<RecoveredBlock>),
    /// Have the ledger adopt a verified state snapshot ([`chain::LedgerHandle::adopt`]). Comes back as [`super::Event::Adopted`].
    Adopt(Box<StateSnapshot>),
    /// Do work that takes long, on a thread that may; comes back as [`super::Event::JobDone`].
    Run(Box<Job>),
    /// A peer has introduced itself and is one of ours; comes again when its status changes.
    Welcome {
        /// The peer.
        peer: PeerId,
        /// What it says of itself.
        status: Box<Status>,
    },
    /// A peer has lost score.
    Punish {
        /// The peer.
        peer: PeerId,
        /// What it did.
        offence: Offence,
        /// What exactly.
        detail: String,
        /// Its points after this; at [`super::SCORE_MAX`] a [`Action::Disconnect`] follows.
        points: u32,
    },
    /// Part from a peer. Responses that were given before must still go out.
    Disconnect {
        /// The peer.
        peer: PeerId,
        /// Why, for the log and for `admin_peers`.
        reason: String,
        /// For how long it is not to be let in again, in milliseconds; 0: it may come back at once.
        ban_ms: u64,
        /// What the peer calls itself; empty where it has not introduced itself.
        agent: String,
    },
    /// Tell the operator.
    Alarm(Alarm),
    /// Send a [`super::Event::Tick`] at this time (milliseconds since 1970) at the latest.
    WakeAt(u64),
}
