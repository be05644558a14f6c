//! The requests that the machine has sent and that are not answered yet.

use std::collections::BTreeMap;

use alloy_primitives::B256;

use super::event::{PeerId, RequestId};
use super::limits::{BLOCK_TRANSACTIONS_MS, HEADERS_MS, RESPONSE_MS};

/// Says what a request was for, so that its answer finds its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The peer's status.
    Status,
    /// Headers for this sync.
    Headers(u64),
    /// Bodies of these blocks for the sync.
    Bodies(Vec<B256>),
    /// These transactions, which were announced.
    Transactions(Vec<B256>),
    /// The transactions that a compactly announced block needs, by our name for it.
    BlockTransactions(u64),
    /// What is in the peer's pool.
    Pool,
    /// A piece for a start from a snapshot.
    Snapshot {
        /// Our name for the start.
        id: u64,
        /// How long the piece may take, in milliseconds.
        patience_ms: u64,
    },
}

/// A request that is not answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) peer: PeerId,
    pub(crate) purpose: Purpose,
    pub(crate) sent_at: u64,
}

/// Holds the requests that are not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    next: u64,
    open: BTreeMap<RequestId, Open>,
}

impl Requests {
    /// Remembers a request that is being sent.
    pub(crate) fn open(&mut self, peer: PeerId, purpose: Purpose, now_ms: u64) -> RequestId {
        let id = RequestId(self.next);
        self.next += 1;
        self.open.insert(id, Open { peer, purpose, sent_at: now_ms });
        id
    }

    /// Takes a request that was answered by `peer`.
    pub(crate) fn close(&mut self, id: RequestId, peer: PeerId) -> Option<Open> {
        self.open.get(&id).filter(|open| open.peer == peer)?;
        self.open.remove(&id)
    }

    /// Takes the requests that a peer did not answer in time.
    pub(crate) fn late(&mut self, now_ms: u64) -> Vec<Open> {
        let patience = |open: &Open| match open.purpose {
            Purpose::Headers(_) => HEADERS_MS,
            Purpose::Snapshot { patience_ms, .. } => patience_ms,
            Purpose::BlockTransactions(_) => BLOCK_TRANSACTIONS_MS,
            _ => RESPONSE_MS,
        };
        let is_late = |open: &Open| now_ms.saturating_sub(open.sent_at) >= patience(open);
        let late: Vec<_> = self.open.iter().filter(|(_, open)| is_late(open)).map(|(id, _)| *id).collect();
        late.into_iter().filter_map(|id| self.open.remove(&id)).collect()
    }

    /// Finds the request for this block's body, where it was sent before `before_ms`, and the peer that was asked.
    pub(crate) fn late_body(&self, block: B256, before_ms: u64) -> Option<(RequestId, PeerId)> {
        let asks = |open: &Open| matches!(&open.purpose, Purpose::Bodies(asked) if asked.contains(&block));
        let (id, open) = self.open.iter().find(|(_, open)| asks(open))?;
        (open.sent_at <= before_ms).then_some((*id, open.peer))
    }

    /// Takes the requests to a peer that is gone.
    pub(crate) fn of(&mut self, peer: PeerId) -> Vec<Open> {
        let lost: Vec<_> = self.open.iter().filter(|(_, open)| open.peer == peer).map(|(id, _)| *id).collect();
        lost.into_iter().filter_map(|id| self.open.remove(&id)).collect()
    }

    /// Counts the open requests.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}
