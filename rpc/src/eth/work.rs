//! Work for miners elsewhere, under the names of geth's Ethash: a block's seal hash to search for, the nonce that was found, and
//! how fast they search.

use std::sync::Arc;

use alloy_primitives::{B64, B256, U64};

use crate::api::{Answer, Api, reply};
use crate::params::{Call, Quantity};
use crate::services::Work;

/// The second word, where Ethash has the seed of its DAG: there is none.
pub(crate) fn get_work(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let Work { seal_hash, target, number } = api.services.miner.work()?;
    reply(&(seal_hash, B256::ZERO, target, U64::from(number)))
}

/// The third argument, Ethash's mix digest, means nothing to Drawbridge's seal.
pub(crate) fn submit_work(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (nonce, seal_hash) = (call.required::<B64>()?, call.required::<B256>()?);
    call.optional::<B256>()?;
    reply(&api.services.miner.submit_work(seal_hash, nonce))
}

pub(crate) fn submit_hash_rate(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (Quantity(rate), id) = (call.required()?, call.required::<B256>()?);
    api.services.miner.report_hash_rate(id, rate);
    reply(&true)
}

/// A plain number, as geth's.
pub(crate) fn get_hash_rate(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&api.services.miner.hash_rate())
}
