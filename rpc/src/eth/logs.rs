//! Finding logs: header by header through the blooms, within limits of range, results and time.

use std::sync::Arc;

use alloy_primitives::B256;
use alloy_rpc_types_eth::Log;
use chain::ChainView;
use consensus::SealedHeader;

use crate::api::{Answer, Api, reply};
use crate::block_id::BlockTag;
use crate::config::RpcLimits;
use crate::errors::RpcError;
use crate::objects::{Branch, matching_logs};
use crate::params::{Call, LogQuery};

pub(crate) fn get_logs(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    reply(&find(api, &call.required()?)?)
}

/// Returns the logs that a query asks for.
pub(crate) fn find(api: &Api, query: &LogQuery) -> Result<Vec<Log>, RpcError> {
    query.check(&api.limits)?;
    let view = api.view();
    let mut found = Vec::new();
    if let Some(hash) = query.block_hash {
        let header = view.header_by_hash(hash)?.ok_or_else(|| RpcError::server("unknown block"))?;
        collect(api, &view, &header, query, &mut found)?;
        return Ok(found);
    }
    let (from, to) = range(&view, query, &api.limits)?;
    let deadline = api.deadline(api.limits.logs_timeout);
    let mut bytes = 0_usize;
    for number in from..=to {
        if deadline.has_passed() {
            return Err(RpcError::timed_out());
        }
        let Some(header) = view.header_by_number(number)? else { break };
        let before = found.len();
        collect(api, &view, &header, query, &mut found)?;
        if found.len() > api.limits.logs_results {
            return Err(RpcError::too_many_results(api.limits.logs_results));
        }
        bytes = bytes.saturating_add(found[before..].iter().map(shown_bytes).sum());
        if bytes > api.limits.batch_response_bytes {
            return Err(RpcError::response_too_large());
        }
    }
    Ok(found)
}

/// Returns about how many bytes a log takes in an answer, at least: hexadecimal digits are two a byte.
fn shown_bytes(log: &Log) -> usize {
    const WORDS_BYTES: usize = 300;
    WORDS_BYTES + 2 * log.data().data.len()
}

/// Resolves a query's range; both ends are included.
fn range(view: &ChainView, query: &LogQuery, limits: &RpcLimits) -> Result<(u64, u64), RpcError> {
    let number = |tag: Option<BlockTag>| tag.unwrap_or(BlockTag::Latest).number(view);
    let (from, to) = (number(query.from_block), number(query.to_block));
    // Who polls asks from the block after the last one known up to the newest: there may be nothing yet, which is no error.
    if from > to && !matches!(query.to_block, Some(BlockTag::Number(_))) {
        return Ok((from, to));
    }
    check_range(from, to, view.head().number, limits)
}

fn check_range(from: u64, to: u64, head: u64, limits: &RpcLimits) -> Result<(u64, u64), RpcError> {
    if from > to {
        return Err(RpcError::invalid_params("invalid block range params"));
    }
    if to > head {
        return Err(RpcError::invalid_params("block range extends beyond current head block"));
    }
    if limits.logs_range > 0 && to - from >= limits.logs_range {
        return Err(RpcError::block_range_too_wide(limits.logs_range));
    }
    Ok((from, to))
}

/// Adds a block's logs, read only where its bloom admits some.
fn collect(
    api: &Api,
    view: &ChainView,
    header: &SealedHeader,
    query: &LogQuery,
    found: &mut Vec<Log>,
) -> Result<(), RpcError> {
    if header.logs_bloom.is_zero() || !query.may_match(&header.logs_bloom) {
        return Ok(());
    }
    found.append(&mut of_block(api, view, header.hash(), query)?);
    Ok(())
}

/// Returns the logs of a block that became canonical.
pub(crate) fn of_block(api: &Api, view: &ChainView, hash: B256, query: &LogQuery) -> Result<Vec<Log>, RpcError> {
    let Some(found) = api.block(view, hash)? else { return Ok(Vec::new()) };
    let receipts = found.receipts(view)?.unwrap_or_default();
    Ok(matching_logs(found.block(), &receipts, query, Branch::Canonical))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked_in_geths_words() {
        let limits = RpcLimits { logs_range: 10, ..RpcLimits::default() };
        let check = |from, to| check_range(from, to, 20, &limits).map_err(|error| error.message.into_owned());
        let cases = [
            (0, 9, Ok((0, 9))),
            (20, 20, Ok((20, 20))),
            (0, 10, Err("exceed maximum block range 10")),
            (5, 4, Err("invalid block range params")),
            (15, 21, Err("block range extends beyond current head block")),
        ];
        for (from, to, expected) in cases {
            assert_eq!(check(from, to), expected.map_err(str::to_owned), "{from}..={to}");
        }
        assert!(check_range(0, 20, 20, &RpcLimits::default()).is_ok());
    }
}
