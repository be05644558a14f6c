//! Filters that clients poll.

use std::sync::Arc;

use alloy_primitives::{B256, U256};
use alloy_rpc_types_eth::Log;
use consensus::RecoveredTransaction;
use serde_json::{Value, json};

use crate::api::{Answer, Api, reply};
use crate::errors::RpcError;
use crate::eth::logs;
use crate::filters::{BlockChange, Changes, FilterKind};
use crate::objects::{self, Branch, Transactions, matching_logs};
use crate::params::{Call, LogQuery};

pub(crate) fn new_filter(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let query = call.required::<LogQuery>()?;
    query.check(&api.limits)?;
    install(api, FilterKind::Logs(Arc::new(query)))
}

pub(crate) fn new_block_filter(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    install(api, FilterKind::Blocks)
}

pub(crate) fn new_pending_transaction_filter(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    install(api, FilterKind::Transactions(call.optional::<bool>()?.into()))
}

pub(crate) fn filter_changes(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    match api.filters.poll(&api.events.filter_log, call.required()?)? {
        Changes::Blocks(blocks) => reply(&added(&blocks)),
        Changes::Logs(blocks, query) => reply(&changed_logs(api, &blocks, &query)?),
        Changes::Transactions(found, form) => reply(&found.iter().map(|tx| announce(tx, form)).collect::<Vec<_>>()),
    }
}

pub(crate) fn filter_logs(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    reply(&logs::find(api, &*api.filters.log_query(call.required()?)?)?)
}

pub(crate) fn uninstall_filter(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    reply(&api.filters.uninstall(&api.events.filter_log, call.required::<U256>()?))
}

fn install(api: &Api, kind: FilterKind) -> Answer {
    reply(&api.filters.install(&api.events.filter_log, kind)?)
}

fn added(blocks: &[BlockChange]) -> Vec<B256> {
    let hash = |change: &BlockChange| match change {
        BlockChange::Added(hash) => Some(*hash),
        BlockChange::Dropped(..) => None,
    };
    blocks.iter().filter_map(hash).collect()
}

/// Returns the logs of the blocks that came, and those of the blocks that left, marked as removed, in order.
fn changed_logs(api: &Api, blocks: &[BlockChange], query: &LogQuery) -> Result<Vec<Log>, RpcError> {
    let view = api.view();
    let mut found = Vec::new();
    for change in blocks {
        match change {
            BlockChange::Added(hash) => {
                let admits = view.header_by_hash(*hash)?.is_some_and(|header| query.may_match(&header.logs_bloom));
                if admits {
                    found.extend(logs::of_block(api, &view, *hash, query)?);
                }
            }
            BlockChange::Dropped(block, receipts) => {
                found.extend(matching_logs(block, receipts, query, Branch::Dropped));
            }
        }
    }
    if found.len() > api.limits.logs_results {
        return Err(RpcError::too_many_results(api.limits.logs_results));
    }
    Ok(found)
}

/// Shows a transaction that entered the pool.
pub(crate) fn announce(tx: &RecoveredTransaction, form: Transactions) -> Value {
    match form {
        Transactions::Hashes => json!(tx.hash()),
        Transactions::Full => json!(objects::unmined(tx)),
    }
}
