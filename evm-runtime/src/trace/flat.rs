//! The flat call tracer: geth's call frames laid out in a list as Parity has them.

use alloy_primitives::{Address, Bytes, U256};
use alloy_rpc_types_trace::geth::call::FlatCallFrame;
use alloy_rpc_types_trace::geth::{CallFrame, GethDebugTracerConfig};
use alloy_rpc_types_trace::parity::{
    Action, CallAction, CallOutput, CallType, CreateAction, CreateOutput, CreationMethod, LocalizedTransactionTrace,
    SelfdestructAction, TraceOutput, TransactionTrace,
};
use revm::context::BlockEnv;
use revm_inspectors::tracing::TransactionContext;
use serde::Deserialize;

use super::TraceError;

/// The options of `flatCallTracer`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Options {
    /// Parity's words for errors.
    convert_parity_errors: bool,
    /// Calls of precompiles too.
    include_precompiles: bool,
}

impl Options {
    /// Reads what a request says.
    pub(super) fn read(config: &GethDebugTracerConfig) -> Result<Self, TraceError> {
        if config.is_null() {
            return Ok(Self::default());
        }
        serde_json::from_value(config.0.clone())
            .map_err(|error| TraceError::Options(format!("invalid tracer config: {error}")))
    }
}

/// Where the frames come from: the transaction and the precompiles of its fork.
pub(super) struct Origin<'a> {
    pub(super) at: TransactionContext,
    pub(super) block: &'a BlockEnv,
    pub(super) is_precompile: &'a dyn Fn(&Address) -> bool,
}

/// Lays the frames of a transaction out in a list, callers before what they call.
pub(super) fn frames(options: Options, root: CallFrame, origin: &Origin<'_>) -> FlatCallFrame {
    let mut list = Vec::new();
    let mut waiting = vec![(root, Vec::new())];
    while let Some((mut frame, place)) = waiting.pop() {
        if !options.include_precompiles {
            frame.calls.retain(|call| !is_left_out(call, origin));
        }
        let calls = std::mem::take(&mut frame.calls);
        let subtraces = calls.len();
        for (index, call) in calls.into_iter().enumerate().rev() {
            let below = place.iter().copied().chain([index]).collect();
            waiting.push((call, below));
        }
        list.push(LocalizedTransactionTrace {
            trace: one(options, frame, subtraces, place),
            block_hash: origin.at.block_hash,
            block_number: Some(origin.block.number.saturating_to()),
            transaction_hash: origin.at.tx_hash,
            transaction_position: origin.at.tx_index.and_then(|index| u64::try_from(index).ok()),
        });
    }
    list
}

/// Parity does not list calls of precompiles, but does the ones that run foreign code in the caller's place.
fn is_left_out(call: &CallFrame, origin: &Origin<'_>) -> bool {
    matches!(call.typ.as_str(), "CALL" | "STATICCALL") && call.to.as_ref().is_some_and(origin.is_precompile)
}

fn one(options: Options, frame: CallFrame, subtraces: usize, trace_address: Vec<usize>) -> TransactionTrace {
    let failed = frame.error.as_deref().is_some_and(|error| error != "execution reverted");
    let error =
        frame.error.clone().map(|words| if options.convert_parity_errors { parity_words(&words) } else { words });
    let result = if failed { None } else { output(&frame) };
    TransactionTrace { action: action(frame), error, result, subtraces, trace_address }
}

fn output(frame: &CallFrame) -> Option<TraceOutput> {
    let (gas_used, output) = (gas(frame.gas_used), frame.output.clone().unwrap_or_default());
    match frame.typ.as_str() {
        "SELFDESTRUCT" => None,
        "CREATE" | "CREATE2" => {
            Some(TraceOutput::Create(CreateOutput { address: frame.to.unwrap_or_default(), code: output, gas_used }))
        }
        _ => Some(TraceOutput::Call(CallOutput { gas_used, output })),
    }
}

fn action(frame: CallFrame) -> Action {
    let CallFrame { from, to, input, .. } = frame;
    let (to, value): (Address, U256) = (to.unwrap_or_default(), frame.value.unwrap_or_default());
    let gas = gas(frame.gas);
    let create =
        |init: Bytes, creation_method| Action::Create(CreateAction { from, gas, init, value, creation_method });
    let call = |input: Bytes, call_type| Action::Call(CallAction { from, call_type, gas, input, to, value });
    match frame.typ.as_str() {
        "SELFDESTRUCT" => {
            Action::Selfdestruct(SelfdestructAction { address: from, balance: value, refund_address: to })
        }
        "CREATE" => create(input, CreationMethod::Create),
        "CREATE2" => create(input, CreationMethod::Create2),
        "CALLCODE" => call(input, CallType::CallCode),
        "DELEGATECALL" => call(input, CallType::DelegateCall),
        "STATICCALL" => call(input, CallType::StaticCall),
        _ => call(input, CallType::Call),
    }
}

fn gas(gas: U256) -> u64 {
    gas.saturating_to()
}

/// Returns Parity's words for geth's.
fn parity_words(words: &str) -> String {
    let converted = match words {
        "contract creation code storage out of gas"
        | "out of gas"
        | "gas uint64 overflow"
        | "max code size exceeded" => "Out of gas",
        "invalid jump destination" => "Bad jump destination",
        "execution reverted" => "Reverted",
        "return data out of bounds" => "Out of bounds",
        "stack limit reached 1024 (1023)" => "Out of stack",
        "precompiled contract failed" | "invalid input length" => "Built-in failed",
        _ if words.starts_with("out of gas:") => "Out of gas",
        _ if words.starts_with("invalid opcode:") => "Bad instruction",
        _ if words.starts_with("stack underflow") => "Stack underflow",
        other => other,
    };
    converted.to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn frame(typ: &str, to: u8, calls: Vec<CallFrame>) -> CallFrame {
        CallFrame { typ: typ.to_owned(), to: Some(Address::with_last_byte(to)), calls, ..CallFrame::default() }
    }

    #[test]
    fn callers_come_before_what_they_call_and_precompiles_are_left_out() {
        let inner = frame("DELEGATECALL", 1, vec![]);
        let root = frame(
            "CALL",
            99,
            vec![
                frame("CALL", 50, vec![frame("STATICCALL", 2, vec![]), inner, frame("SELFDESTRUCT", 60, vec![])]),
                frame("CREATE", 51, vec![]),
            ],
        );
        let block = BlockEnv::default();
        let is_precompile = |address: &Address| address[19] < 10;
        let origin = Origin { at: TransactionContext::default(), block: &block, is_precompile: &is_precompile };
        for (include_precompiles, places) in [
            (false, vec![vec![], vec![0], vec![0, 0], vec![0, 1], vec![1]]),
            (true, vec![vec![], vec![0], vec![0, 0], vec![0, 1], vec![0, 2], vec![1]]),
        ] {
            let options = Options { include_precompiles, ..Options::default() };
            let list = frames(options, root.clone(), &origin);
            let found: Vec<_> = list.iter().map(|frame| frame.trace.trace_address.clone()).collect();
            assert_eq!(found, places);
            let direct: Vec<_> = list.iter().map(|frame| frame.trace.subtraces).collect();
            assert_eq!(direct[..2], [2, if include_precompiles { 3 } else { 2 }]);
        }
    }

    #[test]
    fn a_failure_has_no_result_but_a_revert_has() {
        for (error, has_result, parity) in [
            (None, true, None),
            (Some("execution reverted"), true, Some("Reverted")),
            (Some("out of gas: more"), false, Some("Out of gas")),
            (Some("invalid opcode: INVALID"), false, Some("Bad instruction")),
            (Some("write protection"), false, Some("write protection")),
        ] {
            let failing = CallFrame { error: error.map(str::to_owned), ..frame("CALL", 1, vec![]) };
            let options = Options { convert_parity_errors: true, ..Options::default() };
            let trace = one(options, failing, 0, Vec::new());
            assert_eq!((trace.result.is_some(), trace.error.as_deref()), (has_result, parity), "{error:?}");
        }
    }
}
