//! A mined block with all that replaying it takes.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use chain::ChainView;
use consensus::RecoveredBlock;
use evm_runtime::{StateView, TraceContext, TraceError};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::api::{Answer, Api};
use crate::block_id::{BlockId, BlockTag};
use crate::deadline::Deadline;
use crate::errors::RpcError;
use crate::recent::RecentBlock;

/// A block and the state that its transactions began on.
pub(crate) struct Mined {
    pub(crate) view: Arc<ChainView>,
    pub(crate) block: Arc<RecoveredBlock>,
    pub(crate) parent: StateView,
}

impl Mined {
    /// Puts a known block together with the state of its parent.
    pub(crate) fn new(view: Arc<ChainView>, block: Arc<RecoveredBlock>) -> Result<Self, RpcError> {
        let header = &block.header;
        let Some(number) = header.number.checked_sub(1) else {
            return Err(RpcError::server("genesis is not traceable"));
        };
        let parent = BlockId::Hash { hash: header.parent_hash, require_canonical: true };
        let known = parent.header(&view)?.is_some_and(|parent| parent.number == number);
        if !known {
            return Err(RpcError::server(format!("parent {} not found", header.parent_hash)));
        }
        let parent = parent.state(&view)?;
        Ok(Self { view, block, parent })
    }

    /// Finds a block that a request names; the one that is not mined yet cannot be replayed.
    pub(crate) fn by_id(api: &Api, id: BlockId) -> Result<Self, RpcError> {
        if id.is_pending() {
            return Err(RpcError::server("tracing on top of pending is not supported"));
        }
        let view = api.view();
        let block = find(api, &view, id)?.shared();
        Self::new(view, block)
    }

    /// Finds the block of a mined transaction, and its index there.
    pub(crate) fn by_transaction(api: &Api, hash: B256) -> Result<(Self, usize), RpcError> {
        let view = api.view();
        let Some(location) = view.transaction(hash)? else { return Err(RpcError::server("transaction not found")) };
        let block = api.block(&view, location.hash)?.ok_or_else(RpcError::header_not_found)?.shared();
        Ok((Self::new(view, block)?, location.index))
    }

    /// Replays as `work` says, for at most `limit`.
    pub(crate) fn replay<T>(
        &self,
        api: &Api,
        limit: Duration,
        work: impl FnOnce(&TraceContext<'_>) -> Result<T, TraceError>,
    ) -> Result<T, RpcError> {
        self.replay_until(api, &api.deadline(limit), work)
    }

    /// Replays as `work` says, until a deadline that others share.
    pub(crate) fn replay_until<T>(
        &self,
        api: &Api,
        deadline: &Deadline,
        work: impl FnOnce(&TraceContext<'_>) -> Result<T, TraceError>,
    ) -> Result<T, RpcError> {
        let block = &self.block;
        let context = TraceContext {
            spec: self.view.spec(),
            header: &block.header,
            hash: block.hash(),
            transactions: &block.transactions,
            parent: &self.parent,
            cancelled: deadline.flag(),
            bytes_max: api.limits.batch_response_bytes,
        };
        work(&context).map_err(|error| trace_error(&error))
    }
}

/// Returns the block that a request names, which must be there.
pub(crate) fn find(api: &Api, view: &ChainView, id: BlockId) -> Result<Arc<RecentBlock>, RpcError> {
    let found = match id {
        BlockId::Tag(tag) => api.block_at(view, tag)?,
        BlockId::Hash { hash, .. } => match id.header(view)? {
            Some(_) => api.block(view, hash)?,
            None => None,
        },
    };
    found.ok_or_else(|| not_found(id))
}

/// Says in geth's words that a block is not here.
fn not_found(id: BlockId) -> RpcError {
    match id {
        BlockId::Tag(BlockTag::Number(number)) => RpcError::server(format!("block #{number} not found")),
        BlockId::Tag(_) => RpcError::server("block not found"),
        BlockId::Hash { hash, .. } => RpcError::server(format!("block {hash} not found")),
    }
}

/// Turns the reason why there is no trace into its error.
pub(crate) fn trace_error(error: &TraceError) -> RpcError {
    match error {
        TraceError::TooLarge(_) => RpcError::response_too_large(),
        other => RpcError::server(other),
    }
}

/// Writes a result of at most as many bytes as an answer may have, and stops where it becomes longer.
pub(crate) fn reply_bounded<T: Serialize + ?Sized>(api: &Api, result: &T) -> Answer {
    let mut text = Bounded { bytes: Vec::new(), bytes_max: api.limits.batch_response_bytes };
    if serde_json::to_writer(&mut text, result).is_err() {
        return Err(RpcError::response_too_large());
    }
    let text = String::from_utf8(text.bytes).map_err(|_| RpcError::internal())?;
    RawValue::from_string(text).map_err(|_| RpcError::internal())
}

/// Takes bytes up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl std::io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + part.len() > self.bytes_max {
            return Err(std::io::Error::other("the result is too large"));
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
