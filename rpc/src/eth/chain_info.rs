//! What a client asks first: which chain, how far, who mines.

use std::sync::Arc;

use alloy_primitives::U64;

use crate::admin;
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
pub(crate) fn syncing(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&admin::show_sync(api))
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
