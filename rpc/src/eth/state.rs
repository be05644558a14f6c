//! Accounts, code and storage.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U64};

use crate::api::{Answer, Api, reply};
use crate::block_id::BlockId;
use crate::errors::RpcError;
use crate::params::{Call, Slot};

/// The most slots of one request (geth's limit).
const SLOTS_MAX: usize = 1024;

pub(crate) fn balance(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (address, block) = account_at(call)?;
    reply(&block.state(&api.view())?.balance(address)?)
}

/// The `pending` block counts what waits in the pool.
pub(crate) fn transaction_count(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (address, block) = account_at(call)?;
    if block.is_pending()
        && let Some(nonce) = api.pool().pending_nonce(address)
    {
        return reply(&U64::from(nonce));
    }
    reply(&U64::from(block.state(&api.view())?.nonce(address)?))
}

pub(crate) fn code(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (address, block) = account_at(call)?;
    reply(&block.state(&api.view())?.code(address)?)
}

pub(crate) fn storage_at(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (address, Slot(slot)) = (call.required::<Address>()?, call.required()?);
    let block = call.optional::<BlockId>()?.unwrap_or(BlockId::LATEST);
    reply(&B256::from(block.state(&api.view())?.storage(address, slot)?))
}

/// Many slots of many accounts in one answer.
pub(crate) fn storage_values(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let wanted = call.required::<BTreeMap<Address, Vec<Slot>>>()?;
    let block = call.optional::<BlockId>()?.unwrap_or(BlockId::LATEST);
    let count: usize = wanted.values().map(Vec::len).sum();
    if count == 0 {
        return Err(RpcError::invalid_params("empty request"));
    }
    if count > SLOTS_MAX {
        return Err(RpcError::client_limit(format!("too many slots (max {SLOTS_MAX})")));
    }
    let state = block.state(&api.view())?;
    let mut values = BTreeMap::<Address, Vec<B256>>::new();
    for (address, slots) in wanted {
        let read = slots.into_iter().map(|Slot(slot)| state.storage(address, slot).map(B256::from));
        values.insert(address, read.collect::<Result<_, _>>()?);
    }
    reply(&values)
}

/// Reads an address and a block, by default the head.
fn account_at(call: &mut Call<'_>) -> Result<(Address, BlockId), RpcError> {
    Ok((call.required()?, call.optional()?.unwrap_or(BlockId::LATEST)))
}
