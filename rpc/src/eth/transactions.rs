//! Transactions and receipts, mined and waiting.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use consensus::transaction::encode_transaction;
use consensus::{RecoveredBlock, RecoveredTransaction};
use serde_json::Value;

use crate::api::{Answer, Api, reply};
use crate::block_id::BlockTag;
use crate::errors::RpcError;
use crate::eth::blocks::next_block;
use crate::objects;
use crate::ots::transactions::find_by_sender_and_nonce;
use crate::params::{Call, Quantity};
use crate::recent::RecentBlock;

pub(crate) fn by_hash(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let hash = call.required::<B256>()?;
    if let Some((found, index)) = find_mined(api, hash)? {
        return show(Some(&found), index);
    }
    reply(&api.pool().get(hash).map(|pooled| objects::unmined(&pooled.transaction)))
}

/// The transaction that took or will take a nonce: mined, or in the pool.
pub(crate) fn by_sender_and_nonce(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (sender, Quantity(nonce)) = (call.required::<Address>()?, call.required()?);
    if let Some(waiting) = pooled(api, sender, nonce) {
        return reply(&objects::unmined(&waiting));
    }
    let Some(hash) = find_by_sender_and_nonce(&api.view(), sender, nonce)? else { return reply(&Value::Null) };
    match find_mined(api, hash)? {
        Some((found, index)) => show(Some(&found), index),
        None => reply(&Value::Null),
    }
}

/// Returns the transaction of `sender` with this nonce that is in the pool.
pub(crate) fn pooled(api: &Api, sender: Address, nonce: u64) -> Option<RecoveredTransaction> {
    let content = api.pool().content_from(sender);
    let mut all = content.pending.into_values().chain(content.queued.into_values());
    all.find_map(|mut by_nonce| by_nonce.remove(&nonce))
}

pub(crate) fn by_block_number(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (tag, index) = (call.required::<BlockTag>()?, call.required()?);
    if tag == BlockTag::Pending {
        return reply(&next_at(api, index).map(|tx| objects::unmined(&tx)));
    }
    show(api.block_at(&api.view(), tag)?.as_deref(), index)
}

pub(crate) fn by_block_hash(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (hash, index) = (call.required()?, call.required()?);
    show(api.block(&api.view(), hash)?.as_deref(), index)
}

pub(crate) fn raw_by_hash(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let hash = call.required::<B256>()?;
    if let Some((found, index)) = find_mined(api, hash)? {
        return reply(&raw_at(Some(&found), index));
    }
    reply(&api.pool().get(hash).map(|pooled| encode_transaction(pooled.transaction.transaction())))
}

pub(crate) fn raw_by_block_number(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (tag, index) = (call.required::<BlockTag>()?, call.required()?);
    if tag == BlockTag::Pending {
        return reply(&next_at(api, index).map(|tx| encode_transaction(tx.transaction())));
    }
    reply(&raw_at(api.block_at(&api.view(), tag)?.as_deref(), index))
}

pub(crate) fn raw_by_block_hash(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (hash, index) = (call.required()?, call.required()?);
    reply(&raw_at(api.block(&api.view(), hash)?.as_deref(), index))
}

pub(crate) fn receipt(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    match find_receipt(api, call.required()?)? {
        Some(receipt) => reply(&receipt),
        None => reply(&Value::Null),
    }
}

/// Returns the receipt of a mined transaction.
pub(crate) fn find_receipt(api: &Api, hash: B256) -> Result<Option<objects::ReceiptObject>, RpcError> {
    let view = api.view();
    let Some(location) = view.transaction(hash)? else { return Ok(None) };
    let Some(found) = api.block(&view, location.hash)? else { return Ok(None) };
    let receipts = found.receipts(&view)?;
    Ok(receipts.and_then(|receipts| objects::whole_receipt(view.spec(), found.block(), &receipts, location.index)))
}

/// Lists the pool's executable transactions of the node's own accounts, as geth does.
pub(crate) fn pending(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let accounts = api.services.signer.accounts();
    let own =
        |account| api.pool().content_from(account).pending.into_values().flat_map(|by_nonce| by_nonce.into_values());
    let transactions: Vec<_> = accounts.into_iter().flat_map(own).map(|tx| objects::unmined(&tx)).collect();
    reply(&transactions)
}

fn find_mined(api: &Api, hash: B256) -> Result<Option<(Arc<RecentBlock>, Quantity)>, RpcError> {
    let view = api.view();
    let Some(location) = view.transaction(hash)? else { return Ok(None) };
    let index = u64::try_from(location.index).map_err(|_| RpcError::internal())?;
    Ok(api.block(&view, location.hash)?.map(|found| (found, Quantity(index))))
}

/// Returns the transaction that would be at this place of the block that would follow the head.
fn next_at(api: &Api, Quantity(index): Quantity) -> Option<RecoveredTransaction> {
    let index = usize::try_from(index).ok()?;
    next_block(api, &api.view()).transactions.into_iter().nth(index)
}

fn at(found: Option<&RecentBlock>, Quantity(index): Quantity) -> Option<(&RecoveredBlock, &RecoveredTransaction)> {
    let block = found?.block();
    Some((block, block.transactions.get(usize::try_from(index).ok()?)?))
}

fn show(found: Option<&RecentBlock>, index: Quantity) -> Answer {
    reply(&at(found, index).map(|(block, tx)| objects::mined(&block.header, index.0, tx)))
}

fn raw_at(found: Option<&RecentBlock>, index: Quantity) -> Option<Bytes> {
    at(found, index).map(|(_, tx)| encode_transaction(tx.transaction()))
}
