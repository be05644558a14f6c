//! `debug_traceTransaction`, `debug_traceCall` and `debug_traceBlock*`.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, Bytes};
use alloy_rpc_types_trace::geth::{GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace};
use consensus::RecoveredBlock;
use consensus::block::decode_block;
use evm_runtime::{GethTracer, trace};
use serde::Serialize;

use super::mined::{Mined, reply_bounded, trace_error};
use crate::api::{Answer, Api};
use crate::block_id::{BlockId, BlockTag};
use crate::errors::RpcError;
use crate::eth::calls::Question;
use crate::params::Call;

/// What a block's trace has for each transaction.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TransactionTrace {
    tx_hash: B256,
    result: GethTrace,
}

pub(crate) fn transaction(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let hash = call.required()?;
    let (tracer, limit) = options(api, call.optional()?)?;
    let (mined, index) = Mined::by_transaction(api, hash)?;
    let traced = mined.replay(api, limit, |context| trace::trace_transaction(context, index, &tracer))?;
    reply_bounded(api, &traced)
}

pub(crate) fn block_by_number(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let tag = call.required::<BlockTag>()?;
    block(api, BlockId::Tag(tag), call.optional()?)
}

pub(crate) fn block_by_hash(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let hash = call.required::<B256>()?;
    block(api, BlockId::Hash { hash, require_canonical: false }, call.optional()?)
}

/// Traces a block that is given by its encoding, on the state of its parent.
pub(crate) fn encoded_block(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let encoded = call.required::<Bytes>()?;
    let undecodable = |error: &dyn std::fmt::Display| RpcError::server(format!("could not decode block: {error}"));
    let decoded = decode_block(&encoded).map_err(|error| undecodable(&error))?;
    let recovered = RecoveredBlock::recover(decoded, None).map_err(|error| undecodable(&error))?;
    trace_block(api, &Mined::new(api.view(), Arc::new(recovered))?, call.optional()?)
}

fn block(api: &Api, id: BlockId, given: Option<GethDebugTracingOptions>) -> Answer {
    trace_block(api, &Mined::by_id(api, id)?, given)
}

fn trace_block(api: &Api, mined: &Mined, given: Option<GethDebugTracingOptions>) -> Answer {
    // The time that geth gives each transaction, here for all of them.
    let (tracer, _) = options(api, given)?;
    let traced = mined.replay(api, api.limits.trace_timeout, |context| trace::trace_block(context, &tracer))?;
    let all: Vec<_> = traced.into_iter().map(|(tx_hash, result)| TransactionTrace { tx_hash, result }).collect();
    reply_bounded(api, &all)
}

pub(crate) fn call(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let request = call.required()?;
    let block = call.optional()?.unwrap_or(BlockId::LATEST);
    let given = call.optional::<GethDebugTracingCallOptions>()?.unwrap_or_default();
    let question = Question::new(request, block, given.state_overrides, given.block_overrides)?;
    let (tracer, limit) = options(api, Some(given.tracing_options))?;
    let bytes_max = api.limits.batch_response_bytes;
    let traced = match given.tx_index {
        None => question.trace(api, limit, |context, question| {
            let (state, block) = (&question.state_overrides, &question.block_overrides);
            trace::trace_call(context, &question.request, state, block, &tracer, bytes_max)
        })?,
        Some(index) => {
            let mined = Mined::by_id(api, block)?;
            let index = usize::try_from(index).map_err(|_| RpcError::invalid_params("txIndex is too large"))?;
            mined.replay(api, limit, |context| {
                let before = trace::state_before(context, index)?;
                let context = question.context(api, context, &before);
                let (state, block) = (&question.state_overrides, &question.block_overrides);
                trace::trace_call(&context, &question.request, state, block, &tracer, bytes_max)
            })?
        }
    };
    reply_bounded(api, &traced)
}

/// Reads the tracer and the time that it may take.
fn options(api: &Api, given: Option<GethDebugTracingOptions>) -> Result<(GethTracer, Duration), RpcError> {
    let given = given.unwrap_or_default();
    let limit = match &given.timeout {
        Some(text) => duration(text).ok_or_else(|| RpcError::server(format!("time: invalid duration {text:?}")))?,
        None => api.limits.evm_timeout,
    };
    let tracer = GethTracer::new(given).map_err(|error| trace_error(&error))?;
    Ok((tracer, limit.min(api.limits.trace_timeout)))
}

/// Reads a duration as Go writes it, such as `1m30s` or `500ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest == "0" {
        return Some(total);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let ms = |ms| Some(Duration::from_millis(ms));
        for (text, expected) in [
            ("5s", ms(5000)),
            ("1m30s", ms(90_000)),
            ("500ms", ms(500)),
            ("1.5s", ms(1500)),
            ("2h", ms(7_200_000)),
            ("0", ms(0)),
            ("", None),
            ("5", None),
            ("s", None),
            ("-5s", None),
            ("5 s", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(duration(text), expected, "{text:?}");
        }
    }
}
