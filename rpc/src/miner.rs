//! The `miner` namespace.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, Bytes, U256};
use serde_json::Value;

use crate::api::{Answer, Api, reply};
use crate::errors::RpcError;
use crate::params::{Call, Quantity};

pub(crate) fn start(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let threads = call.optional::<Quantity>()?.map(|Quantity(threads)| usize::try_from(threads));
    let threads = threads.transpose().map_err(|_| RpcError::invalid_argument(0, "too many threads"))?;
    api.services.miner.start(threads)?;
    reply(&Value::Null)
}

pub(crate) fn stop(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    api.services.miner.stop();
    reply(&Value::Null)
}

pub(crate) fn set_etherbase(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    api.services.miner.set_etherbase(call.required::<Address>()?)?;
    reply(&true)
}

/// Text, or bytes in hexadecimal where it begins with `0x`.
pub(crate) fn set_extra(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let text = call.required::<String>()?;
    let bytes = match text.strip_prefix("0x").map(alloy_primitives::hex::decode) {
        Some(Ok(bytes)) => Bytes::from(bytes),
        _ => Bytes::from(text.into_bytes()),
    };
    api.services.miner.set_extra(bytes)?;
    reply(&true)
}

/// Sets what the miner and the pool ask for at least.
pub(crate) fn set_gas_price(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let price = u128::try_from(call.required::<U256>()?);
    let price = price.map_err(|_| RpcError::invalid_argument(0, "more than 128 bits"))?;
    api.services.miner.set_gas_price(price);
    api.services.ledger.set_price_limit(price);
    *api.price_limit_wei.lock() = price;
    reply(&true)
}

/// Milliseconds, at least as many as geth takes.
pub(crate) fn set_recommit_interval(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    const LEAST_MS: u64 = 100;
    let Quantity(interval_ms) = call.required()?;
    if interval_ms < LEAST_MS {
        return Err(RpcError::invalid_argument(0, format!("at least {LEAST_MS} ms")));
    }
    api.services.miner.set_recommit(Duration::from_millis(interval_ms));
    reply(&Value::Null)
}

pub(crate) fn set_gas_limit(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    api.services.miner.set_gas_limit(call.required::<Quantity>()?.0);
    reply(&true)
}
