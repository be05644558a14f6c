//! `trace_filter`: the calls of a range of blocks by who made and who got them.

use std::sync::Arc;

use alloy_primitives::Address;
use alloy_rpc_types_trace::filter::{TraceFilter, TraceFilterMode};
use serde::Deserialize;

use super::replays;
use crate::api::{Answer, Api};
use crate::block_id::BlockTag;
use crate::debug::mined::{Mined, reply_bounded};
use crate::errors::RpcError;
use crate::params::{Call, Quantity};

/// What is looked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Query {
    /// The first block; default: the head.
    from_block: Option<BlockTag>,
    /// The last block; default: the head.
    to_block: Option<BlockTag>,
    from_address: Option<Vec<Address>>,
    to_address: Option<Vec<Address>>,
    #[serde(default)]
    mode: TraceFilterMode,
    /// How many of those found are passed over.
    after: Option<Quantity>,
    /// How many are returned at most.
    count: Option<Quantity>,
}

pub(crate) fn filter(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let query = call.required::<Query>()?;
    let view = api.view();
    let (first, last) = range(api, &query, &view)?;
    let matcher = TraceFilter {
        from_address: query.from_address.unwrap_or_default(),
        to_address: query.to_address.unwrap_or_default(),
        mode: query.mode,
        ..TraceFilter::default()
    }
    .matcher();
    let size = |given: Option<Quantity>, default| {
        given.map_or(default, |Quantity(size)| usize::try_from(size).unwrap_or(usize::MAX))
    };
    let (after, count) = (size(query.after, 0), size(query.count, usize::MAX));
    let deadline = api.deadline(api.limits.trace_timeout);
    let mut found = Vec::new();
    let mut passed_over = 0;
    for number in first.max(1)..=last {
        if found.len() >= count {
            break;
        }
        if deadline.has_passed() {
            return Err(RpcError::timed_out());
        }
        let missing = || match number < view.base_number() {
            true => RpcError::pruned_history(),
            false => RpcError::header_not_found(),
        };
        let block = view.block_by_number(number)?.ok_or_else(missing)?;
        if replays::has_nothing(view.spec(), &block) {
            continue;
        }
        let mined = Mined::new(Arc::clone(&view), block)?;
        for trace in replays::of_block(api, &mined, &deadline)? {
            if !matcher.matches(&trace.trace) {
                continue;
            }
            if passed_over < after {
                passed_over += 1;
            } else if found.len() < count {
                found.push(trace);
            }
        }
        if found.len() > api.limits.logs_results {
            return Err(RpcError::too_many_results(api.limits.logs_results));
        }
    }
    reply_bounded(api, &found)
}

/// Reads the range; one that ends before it begins is empty, as in OpenEthereum.
fn range(api: &Api, query: &Query, view: &chain::ChainView) -> Result<(u64, u64), RpcError> {
    let number = |tag: Option<BlockTag>| tag.unwrap_or(BlockTag::Latest).number(view);
    let (first, last) = (number(query.from_block), number(query.to_block));
    if last > view.head().number {
        return Err(RpcError::invalid_params("block range extends beyond current head block"));
    }
    let most = api.limits.trace_range;
    if most > 0 && last.saturating_sub(first) >= most {
        return Err(RpcError::block_range_too_wide(most));
    }
    Ok((first, last))
}
