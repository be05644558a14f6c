//! Headers, blocks, receipts and transactions in their consensus encodings.

use std::sync::Arc;

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes};
use serde::Serialize;

use super::mined::find;
use crate::api::{Answer, Api, reply};
use crate::block_id::BlockId;
use crate::errors::RpcError;
use crate::eth::transactions;
use crate::params::Call;

/// How many refused blocks are shown, as many as geth keeps.
const BAD_BLOCKS_MAX: usize = 10;

pub(crate) fn header(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let id = call.required::<BlockId>()?;
    let header = id.known_header(&api.view())?;
    reply(&Bytes::from(alloy_rlp::encode(header.into_header())))
}

pub(crate) fn block(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let found = find(api, &api.view(), call.required()?)?;
    reply(&Bytes::from(alloy_rlp::encode(found.block().to_block())))
}

pub(crate) fn receipts(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let view = api.view();
    let found = find(api, &view, call.required()?)?;
    let receipts = found.receipts(&view)?.ok_or_else(|| RpcError::server("the block was never executed here"))?;
    let encoded: Vec<_> = receipts.iter().map(|receipt| Bytes::from(receipt.encoded_2718())).collect();
    reply(&encoded)
}

pub(crate) fn transaction(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    transactions::raw_by_hash(api, call)
}

/// A block that was refused. Of such blocks only this is kept.
#[derive(Serialize)]
struct BadBlock {
    hash: B256,
    /// Why, in the words of the rule that it breaks.
    reason: String,
    block: Option<()>,
    rlp: Option<()>,
}

pub(crate) fn bad_blocks(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let refused = api.view().refused_blocks(BAD_BLOCKS_MAX)?;
    let shown = |(hash, reason)| BadBlock { hash, reason, block: None, rlp: None };
    reply(&refused.into_iter().map(shown).collect::<Vec<_>>())
}
