//! What tools ask to learn what kind of chain this is.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{U64, U256};
use serde_json::{Value, json};

use super::dev;
use crate::api::Api;
use crate::errors::RpcError;
use crate::eth::fees;
use crate::params::Call;

/// Both tools answer these.
fn metadata(api: &Api) -> Result<Value, RpcError> {
    let view = api.view();
    Ok(json!({
        "clientVersion": api.services.client_version,
        "chainId": view.spec().chain_id,
        "instanceId": dev(api)?.instance,
        "latestBlockNumber": view.head().number,
        "latestBlockHash": view.head().hash(),
    }))
}

pub(crate) fn hardhat_metadata(api: &Arc<Api>, _: &mut Call<'_>) -> Result<Value, RpcError> {
    metadata(api)
}

/// Anvil tells the snapshots too.
pub(crate) fn anvil_metadata(api: &Arc<Api>, _: &mut Call<'_>) -> Result<Value, RpcError> {
    let mut shown = metadata(api)?;
    let places = dev(api)?.snapshots.lock();
    let snapshots: BTreeMap<_, _> = places.places().map(|(id, place)| (format!("{id:#x}"), place)).collect();
    shown["snapshots"] = json!(snapshots);
    shown["clientSemver"] = json!(env!("CARGO_PKG_VERSION"));
    shown["forkedNetwork"] = Value::Null;
    Ok(shown)
}

pub(crate) fn node_info(api: &Arc<Api>, _: &mut Call<'_>) -> Result<Value, RpcError> {
    let view = api.view();
    let head = view.head();
    let base_fee = fees::base_fee(api, &view).unwrap_or_default();
    let gas_price = u128::from(base_fee).saturating_add(fees::suggested_tip(api, &view)?);
    Ok(json!({
        "currentBlockNumber": U64::from(head.number),
        "currentBlockTimestamp": head.timestamp,
        "currentBlockHash": head.hash(),
        "hardFork": format!("{:?}", view.spec().fork_by(head.number, head.timestamp, head.difficulty)),
        "transactionOrder": "fifo",
        "environment": {
            "baseFee": U64::from(base_fee),
            "chainId": view.spec().chain_id,
            "gasLimit": U64::from(head.gas_limit),
            "gasPrice": U256::from(gas_price),
        },
        "forkConfig": { "forkUrl": null, "forkBlockNumber": null, "forkRetryBackoff": null },
    }))
}
