//! What a client asks first: which chain, how far, who mines.

use std::sync::Arc;

use alloy_primitives::U64;
use serde_json::{Value, json};

use crate::api::{Answer, Api, reply};
use crate::errors::RpcError;
use crate::params::Call;

pub(crate) fn chain_id(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&U64::from(api.view().spec().chain_id))
}

pub(crate) fn block_number(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&U64::from(api.view().head().number))
}

/// A node without peers is never behind.
pub(crate) fn syncing(_: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&false)
}

pub(crate) fn accounts(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&api.services.signer.accounts())
}

pub(crate) fn coinbase(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let etherbase = api.services.miner.etherbase();
    reply(&etherbase.ok_or_else(|| RpcError::server("etherbase must be explicitly specified"))?)
}

pub(crate) fn mining(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&api.services.miner.is_mining())
}

pub(crate) fn hash_rate(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&U64::from(api.services.miner.hash_rate()))
}

/// 0x44 is eth/68.
pub(crate) fn protocol_version(_: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&U64::from(0x44))
}

/// Which blocks may still be reorganised: none at or below `finalized`.
pub(crate) fn finality(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let view = api.view();
    let block = |number: u64| -> Result<Value, RpcError> {
        Ok(json!({ "number": U64::from(number), "hash": view.canonical_hash(number)? }))
    };
    let pow = &view.spec().pow;
    reply(&json!({
        "latest": block(view.head().number)?,
        "safe": block(view.safe_number())?,
        "finalized": block(view.finalized_number())?,
        "safeDepth": U64::from(pow.safe_depth),
        "finalityDepth": U64::from(pow.finality_depth),
    }))
}
