//! On a development chain a sent transaction is mined when its answer comes: tests are written so that the next request sees what it
//! did.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use serde_json::value::RawValue;
use tokio::sync::broadcast::error::RecvError;

use crate::api::Api;
use crate::eth::fees;

/// The methods that send a transaction and answer its hash.
pub(crate) const SENDING: [&str; 3] = ["eth_sendRawTransaction", "eth_sendTransaction", "personal_sendTransaction"];

/// How long an answer waits at most for its transaction's block.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waits until the transaction of an answer is mined, if it will be at once.
pub(crate) async fn settle(api: &Arc<Api>, answer: &RawValue) {
    let Ok(hash) = serde_json::from_str::<B256>(answer.get()) else { return };
    // Listened to before the look at the pool, so that nothing is missed in between.
    let (mut heads, mut dropped) = (api.events.heads.subscribe(), api.events.dropped.subscribe());
    if !will_be_mined(api, hash) {
        return;
    }
    let timeout = tokio::time::sleep(PATIENCE);
    tokio::pin!(timeout);
    while api.pool().contains(hash) {
        tokio::select! {
            () = &mut timeout => return,
            head = heads.recv() => if matches!(head, Err(RecvError::Closed)) { return },
            fact = dropped.recv() => if matches!(fact, Err(RecvError::Closed)) { return },
        }
    }
}

fn will_be_mined(api: &Api, hash: B256) -> bool {
    let automines = api.dev.as_ref().is_some_and(|dev| dev.chain.miner.pace().automine);
    if !automines || !api.services.miner.is_mining() {
        return false;
    }
    let view = api.view();
    let waiting = api.pool().explain(hash, fees::base_fee(api, &view), 0);
    waiting.is_some_and(|waiting| waiting.executable && waiting.obstacles.is_empty())
}
