//! Accounts, code and storage.

use std::sync::Arc;

use alloy_primitives::{Address, B256, U64};

use crate::api::{Answer, Api, reply};
use crate::block_id::BlockId;
use crate::params::{Call, Slot};

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

/// Reads an address and a block, by default the head.
fn account_at(call: &mut Call<'_>) -> Result<(Address, BlockId), crate::errors::RpcError> {
    Ok((call.required()?, call.optional()?.unwrap_or(BlockId::LATEST)))
}
