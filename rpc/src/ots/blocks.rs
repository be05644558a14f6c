//! A block's summary, and its transactions page by page.

use std::sync::Arc;

use alloy_primitives::{B256, U256};
use consensus::ethereum::rewards;
use consensus::{ChainSpec, Era, RecoveredBlock};
use evm_runtime::Receipt;
use serde_json::{Value, json};

use crate::api::{Answer, Api, reply};
use crate::block_id::BlockTag;
use crate::errors::RpcError;
use crate::objects::{self, Transactions};
use crate::params::{Call, Quantity};
use crate::recent::RecentBlock;

/// The most transactions of one page.
const PAGE_MAX: usize = 1000;

pub(crate) fn details(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let view = api.view();
    let found = api.block_at(&view, call.required::<BlockTag>()?)?;
    show_details(api, found.as_deref())
}

pub(crate) fn details_by_hash(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let view = api.view();
    let found = api.block(&view, call.required::<B256>()?)?;
    show_details(api, found.as_deref())
}

fn show_details(api: &Api, found: Option<&RecentBlock>) -> Answer {
    let Some(found) = found else { return reply(&Value::Null) };
    let (view, block) = (api.view(), found.block());
    let receipts = found.receipts(&view)?.unwrap_or_default();
    let mut shown = as_json(&objects::block(&view, block, Transactions::Hashes)?)?;
    shown["transactionCount"] = json!(block.transactions.len());
    shown["logsBloom"] = Value::Null;
    if let Some(fields) = shown.as_object_mut() {
        fields.remove("transactions");
    }
    let (own, ommers) = rewards(view.spec(), block);
    reply(&json!({
        "block": shown,
        "issuance": { "blockReward": own, "uncleReward": ommers, "issuance": own.saturating_add(ommers) },
        "totalFees": total_fees(block, &receipts),
    }))
}

/// Returns what a block's miner and what its ommers' miners are credited, in wei.
fn rewards(spec: &ChainSpec, block: &RecoveredBlock) -> (U256, U256) {
    let mut payments = match spec.era_of(&block.header) {
        Era::Drawbridge => vec![(block.header.beneficiary, spec.pow.block_reward)],
        Era::Ethash => rewards::payments(spec.fork_of(&block.header), &block.header, &block.ommers),
        Era::Merged => Vec::new(),
    };
    // The miner's own comes last.
    let own = payments.pop().map_or(U256::ZERO, |(_, wei)| wei);
    (own, payments.into_iter().map(|(_, wei)| wei).fold(U256::ZERO, U256::saturating_add))
}

/// Returns what the senders of a block's transactions paid for gas, in wei.
fn total_fees(block: &RecoveredBlock, receipts: &[Receipt]) -> U256 {
    let fee = |index| {
        let receipt = objects::receipt(block, receipts, index)?;
        Some(U256::from(receipt.gas_used).saturating_mul(U256::from(receipt.effective_gas_price)))
    };
    (0..receipts.len()).filter_map(fee).fold(U256::ZERO, U256::saturating_add)
}

/// Returns a page of a block's transactions, the last page first as the explorer numbers them.
pub(crate) fn transactions(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (tag, Quantity(page), Quantity(size)) = (call.required::<BlockTag>()?, call.required()?, call.required()?);
    let view = api.view();
    let Some(found) = api.block_at(&view, tag)? else { return reply(&Value::Null) };
    let block = found.block();
    let receipts = found.receipts(&view)?.unwrap_or_default();
    let narrow = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let size = narrow(size).min(PAGE_MAX);
    let end = block.transactions.len().saturating_sub(narrow(page).saturating_mul(size));
    let range = end.saturating_sub(size)..end;
    let mut full = as_json(&objects::block(&view, block, Transactions::Hashes)?)?;
    full["transactionCount"] = json!(block.transactions.len());
    full["logsBloom"] = Value::Null;
    full["transactions"] = range.clone().map(|index| shortened(block, index)).collect::<Result<Value, _>>()?;
    let receipts = range.map(|index| bare_receipt(block, &receipts, index)).collect::<Result<Value, _>>()?;
    reply(&json!({ "fullblock": full, "receipts": receipts }))
}

/// Shows a transaction with no more of its input than names the method.
fn shortened(block: &RecoveredBlock, index: usize) -> Result<Value, RpcError> {
    /// `0x` and the digits of 4 bytes.
    const SELECTOR_LENGTH: usize = 10;
    let mut shown = transaction(block, index)?;
    if let Some(Value::String(input)) = shown.get_mut("input") {
        input.truncate(SELECTOR_LENGTH);
    }
    Ok(shown)
}

/// Shows a transaction.
pub(super) fn transaction(block: &RecoveredBlock, index: usize) -> Result<Value, RpcError> {
    let place = u64::try_from(index).map_err(|_| RpcError::internal())?;
    as_json(&block.transactions.get(index).map(|tx| objects::mined(&block.header, place, tx)))
}

/// Shows a receipt without logs.
pub(super) fn bare_receipt(block: &RecoveredBlock, receipts: &[Receipt], index: usize) -> Result<Value, RpcError> {
    let mut shown = as_json(&objects::receipt(block, receipts, index))?;
    for field in ["logs", "logsBloom"] {
        shown[field] = Value::Null;
    }
    Ok(shown)
}

fn as_json(value: &impl serde::Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(value).map_err(|_| RpcError::internal())
}
