//! Parity's traces: calls in a flat list, changes of the state, and the machine's steps.

use alloy_primitives::map::HashSet;
use alloy_rpc_types_eth::TransactionInfo;
use alloy_rpc_types_trace::parity::{
    LocalizedTransactionTrace, TraceResults, TraceResultsWithTransactionHash, TraceType,
};
use revm::context_interface::result::ResultAndState;
use revm::database::CacheDB;
use revm::{DatabaseCommit, DatabaseRef};
use revm_inspectors::tracing::{TraceLimitBehavior, TraceLimits, TracingInspector, TracingInspectorConfig};

use super::bounded::{Bounded, StepWeights};
use super::geth::run_call;
use super::replay::{Replay, tx_env};
use super::{TraceContext, TraceError};
use crate::call::{CallContext, CallError, CallRequest, Simulation};
use crate::{BlockOverrides, StateOverrides};

/// One of the calls that are traced one after the other.
#[derive(Clone, Debug)]
pub struct TraceCall {
    /// What is called.
    pub request: CallRequest,
    /// What is recorded.
    pub types: HashSet<TraceType>,
}

fn inspector(types: &HashSet<TraceType>, bytes_max: usize) -> Bounded<TracingInspector> {
    let config = TracingInspectorConfig::from_parity_config(types);
    // What steps leave in memory is counted by the inspector itself.
    let limits = TraceLimits::default().set_max_recorded_bytes(Some(bytes_max)).set_behavior(TraceLimitBehavior::Halt);
    let weights = StepWeights { steps: config.record_steps, ..StepWeights::default() };
    let bounded = Bounded::new(TracingInspector::new(config).with_limits(limits), weights, bytes_max);
    if config.record_steps { bounded.with_machine() } else { bounded }
}

/// Takes the record of the transaction that has just run out of the inspector.
fn results<DB: DatabaseRef>(
    inspector: &mut Bounded<TracingInspector>,
    types: &HashSet<TraceType>,
    result: &ResultAndState,
    before: &DB,
    bytes_max: usize,
) -> Result<TraceResults, TraceError>
where
    CallError: From<DB::Error>,
{
    let recorded = &mut inspector.inner;
    if recorded.limit_exceeded() {
        return Err(TraceError::TooLarge(bytes_max));
    }
    if let Some(machine) = &mut inspector.machine {
        machine.finish(recorded.traces_mut());
    }
    let builder = recorded.clone().into_parity_builder();
    let traced = builder.into_trace_results_with_state(result, types, before);
    recorded.fuse();
    Ok(traced.map_err(CallError::from)?)
}

/// Returns what the transactions of the block from `first` up to before `end` did, as `types` say.
///
/// # Errors
/// Cancelled, too large, or the store failed.
pub fn replay(
    context: &TraceContext<'_>,
    range: std::ops::Range<usize>,
    types: &HashSet<TraceType>,
) -> Result<Vec<TraceResultsWithTransactionHash>, TraceError> {
    let mut replay = Replay::begin(context, inspector(types, context.bytes_max))?;
    replay.skip_to(range.start)?;
    let mut all = Vec::new();
    for index in range {
        let transaction = context.transaction(index)?;
        let result = replay.inspect(tx_env(transaction))?;
        let (evm_context, inspector) = (&replay.evm.ctx, &mut replay.evm.inspector);
        let before = &evm_context.journaled_state.database;
        let full_trace = results(inspector, types, &result, before, context.bytes_max)?;
        all.push(TraceResultsWithTransactionHash { full_trace, transaction_hash: transaction.hash() });
        replay.commit(result.state);
    }
    Ok(all)
}

/// Returns the calls of the transactions of the block in `range`, in order, with their places.
///
/// # Errors
/// Cancelled, too large, or the store failed.
pub fn transaction_traces(
    context: &TraceContext<'_>,
    range: std::ops::Range<usize>,
) -> Result<Vec<LocalizedTransactionTrace>, TraceError> {
    let types: HashSet<TraceType> = [TraceType::Trace].into_iter().collect();
    let first = range.start;
    let mut all = Vec::new();
    for (offset, traced) in replay(context, range, &types)?.into_iter().enumerate() {
        let info = TransactionInfo {
            hash: Some(traced.transaction_hash),
            index: u64::try_from(first + offset).ok(),
            block_hash: Some(context.hash),
            block_number: Some(context.header.number),
            ..Default::default()
        };
        all.extend(traced.full_trace.trace.into_iter().map(|trace| LocalizedTransactionTrace {
            trace,
            block_hash: info.block_hash,
            block_number: info.block_number,
            transaction_hash: info.hash,
            transaction_position: info.index,
        }));
    }
    Ok(all)
}

/// Runs calls one after the other, each on what the ones before left, and returns what each did.
///
/// # Errors
/// A call cannot run, was cancelled, is too large to trace, or the store failed.
pub fn trace_calls<D: DatabaseRef>(
    context: &CallContext<'_, D>,
    calls: &[TraceCall],
    state_overrides: &StateOverrides,
    block_overrides: &BlockOverrides,
    bytes_max: usize,
) -> Result<Vec<TraceResults>, TraceError>
where
    CallError: From<D::Error>,
{
    let CallContext { spec, state, header, gas_cap, cancelled } = *context;
    let mut state = CacheDB::new(state);
    let mut all = Vec::with_capacity(calls.len());
    for (index, TraceCall { request, types }) in calls.iter().enumerate() {
        // The overrides stay in the state once they are there.
        let no_overrides = StateOverrides::new();
        let overrides = if index == 0 { state_overrides } else { &no_overrides };
        let context = CallContext { spec, state: &state, header, gas_cap, cancelled };
        let inspector = inspector(types, bytes_max);
        let mut call = Simulation::inspected(&context, request, overrides, block_overrides, inspector)?;
        let (_, result) = run_call(&mut call, request.gas.unwrap_or(gas_cap).min(gas_cap), bytes_max)?;
        let (inspector, before, _) = call.parts();
        all.push(results(inspector, types, &result, &*before, bytes_max)?);
        let mut overridden = std::mem::take(&mut before.cache);
        drop(call);
        if index == 0 && calls.len() > 1 {
            std::mem::swap(&mut state.cache, &mut overridden);
        }
        state.commit(result.state);
    }
    Ok(all)
}
