//! Traces of what was not mined: `trace_call`, `trace_callMany` and `trace_rawTransaction`.

use std::sync::Arc;

use alloy_consensus::Transaction as _;
use alloy_primitives::map::HashSet;
use alloy_primitives::{Bytes, TxKind};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::parity::{TraceResults, TraceType};
use consensus::RecoveredTransaction;
use evm_runtime::CallRequest;
use evm_runtime::trace::{self, TraceCall};

use crate::api::{Answer, Api};
use crate::block_id::BlockId;
use crate::debug::mined::reply_bounded;
use crate::errors::RpcError;
use crate::eth::calls::{Question, call_request};
use crate::eth::send;
use crate::params::Call;

/// The most calls of one `trace_callMany`.
const CALLS_MAX: usize = 1000;

pub(crate) fn call(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (request, types) = (call.required()?, call.required()?);
    let block = call.optional()?.unwrap_or(BlockId::LATEST);
    let question = Question::new(request, block, call.optional()?, call.optional()?)?;
    let calls = [TraceCall { request: question.request.clone(), types }];
    reply_first(api, run(api, &question, &calls)?)
}

pub(crate) fn call_many(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let given = call.required::<Vec<(TransactionRequest, HashSet<TraceType>)>>()?;
    let block = call.optional()?.unwrap_or(BlockId::LATEST);
    if given.len() > CALLS_MAX {
        return Err(RpcError::invalid_params(format!("too many calls (max {CALLS_MAX})")));
    }
    let one = |(request, types)| Ok(TraceCall { request: call_request(request)?, types });
    let calls = given.into_iter().map(one).collect::<Result<Vec<_>, RpcError>>()?;
    let question = Question::new(TransactionRequest::default(), block, None, None)?;
    reply_bounded(api, &run(api, &question, &calls)?)
}

pub(crate) fn raw_transaction(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (raw, types) = (call.required::<Bytes>()?, call.required()?);
    let block = call.optional()?.unwrap_or(BlockId::LATEST);
    let transaction = send::read_raw(api, &raw)?;
    let question = Question::new(TransactionRequest::default(), block, None, None)?;
    let calls = [TraceCall { request: as_call(&transaction), types }];
    reply_first(api, run(api, &question, &calls)?)
}

fn run(api: &Api, question: &Question, calls: &[TraceCall]) -> Result<Vec<TraceResults>, RpcError> {
    let bytes_max = api.limits.batch_response_bytes;
    question.trace(api, api.limits.trace_timeout, |context, question| {
        trace::trace_calls(context, calls, &question.state_overrides, &question.block_overrides, bytes_max)
    })
}

fn reply_first(api: &Api, traced: Vec<TraceResults>) -> Answer {
    match traced.into_iter().next() {
        Some(traced) => reply_bounded(api, &traced),
        None => Err(RpcError::internal()),
    }
}

/// Returns a call that does what a signed transaction would.
fn as_call(tx: &RecoveredTransaction) -> CallRequest {
    let is_dynamic = tx.max_priority_fee_per_gas().is_some();
    CallRequest {
        from: Some(tx.sender()),
        to: tx.to().map(TxKind::Call),
        gas: Some(tx.gas_limit()),
        gas_price: tx.gas_price(),
        max_fee_per_gas: is_dynamic.then(|| tx.max_fee_per_gas()),
        max_priority_fee_per_gas: tx.max_priority_fee_per_gas(),
        value: Some(tx.value()),
        input: tx.input().clone(),
        nonce: Some(tx.nonce()),
        access_list: tx.access_list().cloned(),
        authorization_list: tx.authorization_list().map(<[_]>::to_vec),
    }
}
