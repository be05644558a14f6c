//! geth's tracers: the struct logger and the built-in ones, with their options.

use alloy_primitives::{Address, B256};
use alloy_rpc_types_trace::geth::mux::MuxFrame;
use alloy_rpc_types_trace::geth::{
    GethDebugBuiltInTracerType as BuiltIn, GethDebugTracerConfig, GethDebugTracerType, GethDebugTracingOptions,
    GethTrace,
};
use revm::DatabaseRef;
use revm::context::{BlockEnv, TxEnv};
use revm::context_interface::result::ResultAndState;
use revm::precompile::{PrecompileSpecId, Precompiles};
use revm::primitives::hardfork::SpecId;
use revm_inspectors::tracing::{DebugInspector, DebugInspectorError, TransactionContext};
use serde_json::Value;

use super::bounded::{Bounded, StepWeights};
use super::replay::{Replay, tx_env};
use super::{TraceContext, TraceError, flat, prestate};
use crate::call::{CallContext, CallError, CallRequest, Simulation};
use crate::environment::spec_id;
use crate::{BlockOverrides, StateOverrides};

/// A tracer that was asked for, its options read and checked.
#[derive(Clone, Debug)]
pub struct GethTracer {
    options: GethDebugTracingOptions,
    flat: Option<flat::Options>,
}

impl GethTracer {
    /// Reads what a request says; without a name it is the struct logger.
    ///
    /// # Errors
    /// No such tracer, or options that it does not know.
    pub fn new(mut options: GethDebugTracingOptions) -> Result<Self, TraceError> {
        match &options.tracer {
            Some(GethDebugTracerType::JsTracer(name)) if !name.is_empty() => return Err(unknown(name)),
            Some(GethDebugTracerType::BuiltInTracer(BuiltIn::MuxTracer)) => complete_mux(&mut options.tracer_config)?,
            _ => {}
        }
        let is_flat = options.tracer == Some(BuiltIn::FlatCallTracer.into());
        let flat = is_flat.then(|| flat::Options::read(&options.tracer_config)).transpose()?;
        if is_flat {
            // The frames are the call tracer's.
            options.tracer = Some(BuiltIn::CallTracer.into());
            options.tracer_config = GethDebugTracerConfig::default();
        }
        let tracer = Self { options, flat };
        tracer.inspector(0)?;
        Ok(tracer)
    }

    fn inspector(&self, bytes_max: usize) -> Result<Bounded<DebugInspector>, TraceError> {
        let inner =
            DebugInspector::new(self.options.clone()).map_err(|error| TraceError::Options(error.to_string()))?;
        let weights = match &inner {
            DebugInspector::Default(_, options) => StepWeights {
                steps: true,
                stack: options.is_stack_enabled(),
                memory: options.is_memory_enabled(),
                storage: options.is_storage_enabled(),
                return_data: options.is_return_data_enabled(),
                steps_max: options.limit.unwrap_or_default(),
            },
            // It keeps every step with stack and memory.
            DebugInspector::Erc7562Tracer(..) => {
                StepWeights { steps: true, stack: true, memory: true, storage: true, ..StepWeights::default() }
            }
            _ => StepWeights::default(),
        };
        Ok(Bounded::new(inner, weights, bytes_max))
    }

    /// Takes the trace of the transaction that has just run out of the inspector.
    fn finish<DB: DatabaseRef>(
        &self,
        inspector: &mut Bounded<DebugInspector>,
        ran: &Ran<'_>,
        result: &ResultAndState,
        before: &mut DB,
    ) -> Result<GethTrace, TraceError>
    where
        CallError: From<DB::Error>,
    {
        let Ran { at, tx, block, spec } = *ran;
        let recorded = inspector.inner.get_result(Some(at), tx, block, result, before);
        let mut trace = recorded.map_err(unfinished)?;
        inspector.inner.fuse().map_err(|error| TraceError::Options(error.to_string()))?;
        inspector.words.finish(&mut trace);
        match (self.flat, trace) {
            (Some(options), GethTrace::CallTracer(root)) => {
                let precompiles = Precompiles::new(PrecompileSpecId::from_spec_id(spec));
                let is_precompile = |address: &Address| precompiles.contains(address);
                let origin = flat::Origin { at, block, is_precompile: &is_precompile };
                Ok(flat::frames(options, root, &origin).into())
            }
            (_, trace) => self.complete(trace, result, before).map_err(|error| CallError::from(error).into()),
        }
    }

    /// Completes the prestate tracer's answers.
    fn complete<DB: DatabaseRef>(
        &self,
        trace: GethTrace,
        result: &ResultAndState,
        before: &DB,
    ) -> Result<GethTrace, DB::Error> {
        let change = prestate::Change { result, before };
        let options = &self.options.tracer_config.0;
        match trace {
            GethTrace::PreStateTracer(frame) => change.complete(frame, options),
            GethTrace::MuxTracer(MuxFrame(traces)) => {
                let one = |(tracer, trace)| match trace {
                    GethTrace::PreStateTracer(frame) => {
                        Ok((tracer, change.complete(frame, &options["prestateTracer"])?))
                    }
                    trace => Ok((tracer, trace)),
                };
                Ok(MuxFrame(traces.into_iter().map(one).collect::<Result<_, DB::Error>>()?).into())
            }
            trace => Ok(trace),
        }
    }
}

/// What has run: the transaction, where, and under which rules.
struct Ran<'a> {
    at: TransactionContext,
    tx: &'a TxEnv,
    block: &'a BlockEnv,
    spec: SpecId,
}

fn unknown(name: &str) -> TraceError {
    /// Longer texts are JavaScript, of which the beginning tells enough.
    const SHOWN: usize = 40;
    let shown: String = name.chars().take(SHOWN).collect();
    TraceError::Options(format!(
        "unknown tracer {shown:?}: known are callTracer, prestateTracer, 4byteTracer, flatCallTracer, muxTracer, noopTracer, erc7562Tracer; JavaScript is not run"
    ))
}

/// Gives each tracer of a mux that has no options the empty ones, as geth does.
fn complete_mux(config: &mut GethDebugTracerConfig) -> Result<(), TraceError> {
    let Value::Object(tracers) = &mut config.0 else {
        return Err(TraceError::Options("muxTracer wants a tracerConfig that names tracers".to_owned()));
    };
    for (name, options) in tracers {
        let takes_none = matches!(name.as_str(), "4byteTracer" | "noopTracer");
        if takes_none {
            *options = Value::Null;
        } else if options.is_null() {
            *options = Value::Object(serde_json::Map::new());
        }
    }
    Ok(())
}

fn unfinished<E>(error: DebugInspectorError<E>) -> TraceError
where
    CallError: From<E>,
{
    match error {
        DebugInspectorError::Database(error) => CallError::from(error).into(),
        DebugInspectorError::InvalidTracerConfig => TraceError::Options("invalid tracer config".to_owned()),
        DebugInspectorError::UnsupportedTracer => TraceError::Options("unsupported tracer".to_owned()),
        DebugInspectorError::JsTracerNotEnabled => TraceError::Options("JavaScript tracers are not run".to_owned()),
        DebugInspectorError::MuxInspector(error) => TraceError::Options(error.to_string()),
    }
}

/// Traces the transaction at `index` of the block.
///
/// # Errors
/// No such transaction, cancelled, too large, or the store failed.
pub fn trace_transaction(
    context: &TraceContext<'_>,
    index: usize,
    tracer: &GethTracer,
) -> Result<GethTrace, TraceError> {
    context.transaction(index)?;
    let mut replay = Replay::begin(context, tracer.inspector(context.bytes_max)?)?;
    replay.skip_to(index)?;
    let (trace, _) = trace_next(&mut replay, context, index, tracer)?;
    Ok(trace)
}

/// Traces all transactions of the block; each with its hash.
///
/// # Errors
/// Cancelled, too large, or the store failed.
pub fn trace_block(context: &TraceContext<'_>, tracer: &GethTracer) -> Result<Vec<(B256, GethTrace)>, TraceError> {
    let mut replay = Replay::begin(context, tracer.inspector(context.bytes_max)?)?;
    let mut traces = Vec::with_capacity(context.transactions.len());
    for (index, transaction) in context.transactions.iter().enumerate() {
        let (trace, changes) = trace_next(&mut replay, context, index, tracer)?;
        replay.commit(changes);
        traces.push((transaction.hash(), trace));
    }
    Ok(traces)
}

fn trace_next<'a>(
    replay: &mut Replay<'a, DebugInspector>,
    context: &TraceContext<'a>,
    index: usize,
    tracer: &GethTracer,
) -> Result<(GethTrace, revm::state::EvmState), TraceError> {
    let transaction = context.transaction(index)?;
    let tx = tx_env(transaction);
    let at =
        TransactionContext { block_hash: Some(context.hash), tx_index: Some(index), tx_hash: Some(transaction.hash()) };
    let result = replay.inspect(tx.clone())?;
    let (host, inspector) = (&mut replay.evm.ctx, &mut replay.evm.inspector);
    let ran = Ran { at, tx: &tx, block: &host.block, spec: host.cfg.spec };
    let trace = tracer.finish(inspector, &ran, &result, &mut host.journaled_state.database)?;
    Ok((trace, result.state))
}

/// Traces a call that is run for this alone; overrides and checks are as [`crate::call::call`] has them.
///
/// # Errors
/// The call cannot run, was cancelled, is too large to trace, or the store failed.
pub fn trace_call<D: DatabaseRef>(
    context: &CallContext<'_, D>,
    request: &CallRequest,
    state_overrides: &StateOverrides,
    block_overrides: &BlockOverrides,
    tracer: &GethTracer,
    bytes_max: usize,
) -> Result<GethTrace, TraceError>
where
    CallError: From<D::Error>,
{
    let inspector = tracer.inspector(bytes_max)?;
    let mut call = Simulation::inspected(context, request, state_overrides, block_overrides, inspector)?;
    let gas = request.gas.unwrap_or(context.gas_cap).min(context.gas_cap);
    let (tx, result) = run_call(&mut call, gas, bytes_max)?;
    let spec = spec_id(call.fork());
    let (inspector, before, block) = call.parts();
    let ran = Ran { at: TransactionContext::default(), tx: &tx, block, spec };
    tracer.finish(inspector, &ran, &result, before)
}

/// Runs a call under its bounded inspector.
pub(super) fn run_call<'a, D, I>(
    call: &mut Simulation<'a, D, Bounded<I>>,
    gas: u64,
    bytes_max: usize,
) -> Result<(TxEnv, ResultAndState), TraceError>
where
    D: DatabaseRef,
    CallError: From<D::Error>,
    I: revm::Inspector<crate::call::SimulationHost<'a, D>>,
{
    let tx = TxEnv { gas_limit: gas, ..call.tx().clone() };
    let result = call.inspect_state(gas);
    if call.inspector().has_exceeded() {
        return Err(TraceError::TooLarge(bytes_max));
    }
    let result = result.map_err(|error| error.or_invalid(|words| words))?;
    Ok((tx, result))
}
