//! What happened inside a transaction, and who made a contract.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rpc_types_trace::geth::call::CallFrame;
use alloy_rpc_types_trace::geth::{GethDebugBuiltInTracerType, GethDebugTracingOptions, GethTrace};
use alloy_rpc_types_trace::parity::{Action, LocalizedTransactionTrace, TraceOutput};
use chain::ChainView;
use evm_runtime::{GethTracer, StateView, trace};
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::{Answer, Api, reply};
use crate::block_id::BlockId;
use crate::debug::mined::{Mined, reply_bounded, trace_error};
use crate::errors::RpcError;
use crate::params::{Call, Quantity};

pub(crate) fn has_code(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let address = call.required::<Address>()?;
    let block = call.optional()?.unwrap_or(BlockId::LATEST);
    reply(&!block.state(&api.view())?.code(address)?.is_empty())
}

pub(crate) fn internal_operations(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (mined, index) = Mined::by_transaction(api, call.required()?)?;
    let limit = api.limits.trace_timeout;
    reply_bounded(api, &mined.replay(api, limit, |context| trace::internal_operations(context, index))?)
}

/// Answers what a failed transaction returned; nothing for one that succeeded.
pub(crate) fn error(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let root = call_frames(api, call.required()?)?;
    let output = root.output.filter(|_| root.error.is_some()).unwrap_or_default();
    reply(&output)
}

/// One line of the explorer's call tree.
#[derive(Serialize)]
struct Line {
    r#type: String,
    depth: usize,
    from: Address,
    to: Option<Address>,
    value: Option<U256>,
    input: Bytes,
    output: Option<Bytes>,
}

pub(crate) fn trace_transaction(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let mut lines = Vec::new();
    let mut waiting = vec![(call_frames(api, call.required()?)?, 0)];
    while let Some((frame, depth)) = waiting.pop() {
        let has_value = !matches!(frame.typ.as_str(), "DELEGATECALL" | "STATICCALL");
        waiting.extend(frame.calls.into_iter().rev().map(|below| (below, depth + 1)));
        lines.push(Line {
            r#type: frame.typ,
            depth,
            from: frame.from,
            to: frame.to,
            value: frame.value.filter(|_| has_value),
            input: frame.input,
            output: frame.output,
        });
    }
    reply_bounded(api, &lines)
}

fn call_frames(api: &Api, hash: B256) -> Result<CallFrame, RpcError> {
    let (mined, index) = Mined::by_transaction(api, hash)?;
    let options = GethDebugTracingOptions::new_tracer(GethDebugBuiltInTracerType::CallTracer);
    let tracer = GethTracer::new(options).map_err(|error| trace_error(&error))?;
    let limit = api.limits.trace_timeout;
    match mined.replay(api, limit, |context| trace::trace_transaction(context, index, &tracer))? {
        GethTrace::CallTracer(root) => Ok(root),
        _ => Err(RpcError::internal()),
    }
}

pub(crate) fn by_sender_and_nonce(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (sender, Quantity(nonce)) = (call.required::<Address>()?, call.required()?);
    reply(&find_by_sender_and_nonce(&api.view(), sender, nonce)?)
}

/// Returns the hash of the mined transaction of `sender` with this nonce.
pub(crate) fn find_by_sender_and_nonce(
    view: &ChainView,
    sender: Address,
    nonce: u64,
) -> Result<Option<B256>, RpcError> {
    use alloy_consensus::Transaction as _;
    let Some(number) = first_block_with(view, |state| Ok(state.nonce(sender)? > nonce))? else { return Ok(None) };
    let Some(block) = view.block_by_number(number)? else { return Ok(None) };
    let found = block.transactions.iter().find(|tx| tx.sender() == sender && tx.nonce() == nonce);
    Ok(found.map(|tx| tx.hash()))
}

pub(crate) fn contract_creator(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let contract = call.required::<Address>()?;
    let view = api.view();
    let number = first_block_with(&view, |state| Ok(!state.code(contract)?.is_empty()))?;
    let Some(block) = number.map(|number| view.block_by_number(number)).transpose()?.flatten() else {
        return reply(&Value::Null);
    };
    if block.number() == 0 {
        return reply(&Value::Null);
    }
    let count = block.transactions.len();
    let mined = Mined::new(view, block)?;
    let limit = api.limits.trace_timeout;
    let traces = mined.replay(api, limit, |context| trace::transaction_traces(context, 0..count))?;
    reply(&traces.iter().find_map(|trace| creation(trace, contract)))
}

fn creation(trace: &LocalizedTransactionTrace, contract: Address) -> Option<Value> {
    match (&trace.trace.action, &trace.trace.result) {
        (Action::Create(create), Some(TraceOutput::Create(created))) if created.address == contract => {
            Some(json!({ "hash": trace.transaction_hash, "creator": create.from }))
        }
        _ => None,
    }
}

/// Returns the first block after which something holds that then stays so; `None` where it does not hold at the head.
fn first_block_with(
    view: &ChainView,
    holds: impl Fn(&StateView) -> Result<bool, RpcError>,
) -> Result<Option<u64>, RpcError> {
    if !holds(&view.head_state())? {
        return Ok(None);
    }
    let (mut low, mut high) = (view.history_floor()?, view.head().number);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(&view.state_at(middle)?)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(Some(low))
}
