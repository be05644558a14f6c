//! Blocks, headers, ommers and a block's receipts.

use std::sync::Arc;

use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{B256, U64, U256};
use alloy_rpc_types_eth::{Block, BlockTransactions};
use chain::ChainView;
use consensus::{Fork, Header, RecoveredBlock, SealedHeader, fees};
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::{Answer, Api, reply};
use crate::block_id::{BlockId, BlockTag};
use crate::errors::RpcError;
use crate::objects::{self, Transactions};
use crate::params::{Call, Quantity};
use crate::recent::RecentBlock;

pub(crate) fn by_number(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (tag, form) = (call.required::<BlockTag>()?, call.optional::<bool>()?.into());
    let view = api.view();
    if tag == BlockTag::Pending {
        return pending(api, &view, form);
    }
    show(&view, api.block_at(&view, tag)?.as_deref(), form)
}

pub(crate) fn by_hash(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (hash, form) = (call.required::<B256>()?, call.optional::<bool>()?.into());
    let view = api.view();
    show(&view, api.block(&view, hash)?.as_deref(), form)
}

pub(crate) fn header_by_number(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let tag = call.required::<BlockTag>()?;
    let view = api.view();
    if tag == BlockTag::Pending {
        let header = objects::header(&SealedHeader::new(next_header(api, &view)));
        return reply(&unsealed(&header)?);
    }
    show_header(&view, BlockId::Tag(tag).header(&view)?)
}

pub(crate) fn header_by_hash(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let hash = call.required()?;
    let view = api.view();
    show_header(&view, view.header_by_hash(hash)?)
}

pub(crate) fn transaction_count_by_number(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let tag = call.required::<BlockTag>()?;
    if tag == BlockTag::Pending {
        return reply(&U64::from(next_block(api, &api.view()).transactions.len()));
    }
    let block = api.block_at(&api.view(), tag)?;
    reply(&block.map(|found| U64::from(found.block().transactions.len())))
}

pub(crate) fn transaction_count_by_hash(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let block = api.block(&api.view(), call.required()?)?;
    reply(&block.map(|found| U64::from(found.block().transactions.len())))
}

pub(crate) fn receipts(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let id = call.required::<BlockId>()?;
    if id.is_pending() {
        // What is not executed has no receipts.
        return reply(&Value::Null);
    }
    let view = api.view();
    let Some(found) = find(api, &view, id)? else { return reply(&Value::Null) };
    let Some(receipts) = found.receipts(&view)? else { return reply(&Value::Null) };
    let show = |index| objects::whole_receipt(view.spec(), found.block(), &receipts, index);
    let all: Vec<_> = (0..receipts.len()).filter_map(show).collect();
    reply(&all)
}

pub(crate) fn uncle_count_by_number(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let block = api.block_at(&api.view(), call.required()?)?;
    reply(&block.map(|found| U64::from(found.block().ommers.len())))
}

pub(crate) fn uncle_count_by_hash(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let block = api.block(&api.view(), call.required()?)?;
    reply(&block.map(|found| U64::from(found.block().ommers.len())))
}

pub(crate) fn uncle_by_number(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (tag, index) = (call.required()?, call.required()?);
    show_uncle(api.block_at(&api.view(), tag)?.as_deref(), index)
}

pub(crate) fn uncle_by_hash(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (hash, index) = (call.required()?, call.required()?);
    show_uncle(api.block(&api.view(), hash)?.as_deref(), index)
}

/// Returns the block that a request names.
fn find(api: &Api, view: &ChainView, id: BlockId) -> Result<Option<Arc<RecentBlock>>, RpcError> {
    match id {
        BlockId::Tag(tag) => api.block_at(view, tag),
        BlockId::Hash { hash, .. } => match id.header(view)? {
            Some(_) => api.block(view, hash),
            None => Ok(None),
        },
    }
}

fn show(view: &ChainView, found: Option<&RecentBlock>, form: Transactions) -> Answer {
    match found {
        Some(found) => reply(&objects::block(view, found.block(), form)?),
        None => reply(&Value::Null),
    }
}

fn show_header(view: &ChainView, header: Option<SealedHeader>) -> Answer {
    let Some(header) = header else { return reply(&Value::Null) };
    let total_difficulty = view.total_difficulty(header.hash())?;
    reply(&alloy_rpc_types_eth::Header { total_difficulty, ..objects::header(&header) })
}

/// Shows an ommer as a block without transactions, as clients expect.
fn show_uncle(found: Option<&RecentBlock>, Quantity(index): Quantity) -> Answer {
    let ommer = usize::try_from(index).ok().and_then(|index| found?.block().ommers.get(index));
    let Some(ommer) = ommer else { return reply(&Value::Null) };
    let alone = RecoveredBlock {
        header: SealedHeader::new(ommer.clone()),
        transactions: Vec::new(),
        ommers: Vec::new(),
        withdrawals: None,
        witness: None,
    };
    let size = Some(U256::from(objects::block_size_bytes(&alone)));
    let header = alloy_rpc_types_eth::Header { size, ..objects::header(&alone.header) };
    let transactions: BlockTransactions<objects::TransactionObject> = BlockTransactions::Uncle;
    reply(&Block { header, uncles: Vec::new(), transactions, withdrawals: None })
}

/// Returns the header of the block that would follow the head now, as far as it is known.
pub(crate) fn next_header(api: &Api, view: &ChainView) -> Header {
    let (spec, parent) = (view.spec(), view.head());
    let wanted = api.next_block(parent);
    let timestamp = wanted.map_or_else(|| api.now().max(parent.timestamp), |wanted| wanted.timestamp);
    let departures = wanted.map(|wanted| wanted.departures).unwrap_or_default();
    let number = parent.number.saturating_add(1);
    let parent_header: &Header = parent;
    let base_fee = fees::next_base_fee(spec, parent, timestamp);
    Header {
        parent_hash: parent.hash(),
        number,
        timestamp,
        beneficiary: api.services.miner.etherbase().unwrap_or_default(),
        base_fee_per_gas: base_fee.map(|follows| departures.base_fee.unwrap_or(follows)),
        mix_hash: departures.mix_hash.unwrap_or(parent.mix_hash),
        gas_limit: departures.gas_limit.unwrap_or(parent.gas_limit),
        gas_used: 0,
        ..parent_header.clone()
    }
}

/// Returns the block that would follow the head: the pool's executable transactions on the head's state.
pub(crate) fn next_block(api: &Api, view: &ChainView) -> RecoveredBlock {
    let header = next_header(api, view);
    let shanghai = view.spec().fork_at(header.number, header.timestamp) >= Fork::Shanghai;
    let mut room = header.gas_limit;
    let mut fits = |tx: &consensus::RecoveredTransaction| {
        use alloy_consensus::Transaction as _;
        let left = room.checked_sub(tx.gas_limit());
        room = left.unwrap_or(0);
        left.is_some()
    };
    let transactions = api.pool().pending_transactions().into_iter().take_while(|tx| fits(tx)).collect();
    let withdrawals = shanghai.then(Withdrawals::default);
    RecoveredBlock { header: SealedHeader::new(header), transactions, ommers: Vec::new(), withdrawals, witness: None }
}

/// Shows the block that would follow the head.
fn pending(api: &Api, view: &ChainView, form: Transactions) -> Answer {
    let block = next_block(api, view);
    let mut object = objects::block(view, &block, Transactions::Hashes)?;
    if form == Transactions::Full {
        object.transactions = BlockTransactions::Full(block.transactions.iter().map(objects::unmined).collect());
    }
    reply(&unsealed(&object)?)
}

/// Shows a block or a header that is not sealed: what only a sealed one has is null, as in geth.
fn unsealed(object: &impl Serialize) -> Result<Value, RpcError> {
    let mut object = serde_json::to_value(object).map_err(|_| RpcError::internal())?;
    for field in ["hash", "nonce", "miner", "logsBloom", "totalDifficulty"] {
        object[field] = json!(null);
    }
    Ok(object)
}
