//! What Otterscan shows of a transaction: the transfers and creations inside it, and who took part.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use alloy_rpc_types_trace::otterscan::InternalOperation;
use alloy_rpc_types_trace::parity::{Action, LocalizedTransactionTrace, TraceOutput};
use revm_inspectors::otterscan::InternalOperationsInspector;

use super::bounded::{Bounded, StepWeights};
use super::replay::{Replay, tx_env};
use super::{TraceContext, TraceError};

/// One transfer, creation or destruction inside a transaction.
pub type InternalStep = InternalOperation;

/// Returns the transfers, creations and destructions inside the transaction at `index`, in order.
///
/// # Errors
/// No such transaction, cancelled, too large, or the store failed.
pub fn internal_operations(context: &TraceContext<'_>, index: usize) -> Result<Vec<InternalStep>, TraceError> {
    let transaction = context.transaction(index)?;
    let inspector = Bounded::new(InternalOperationsInspector::default(), StepWeights::default(), context.bytes_max);
    let mut replay = Replay::begin(context, inspector)?;
    replay.skip_to(index)?;
    replay.inspect(tx_env(transaction))?;
    Ok(replay.evm.inspector.inner.into_operations())
}

/// Returns who calls, is called, creates, is created, or is paid in a trace.
pub fn callers_and_callees(trace: &LocalizedTransactionTrace) -> BTreeSet<Address> {
    let mut parties = BTreeSet::new();
    match &trace.trace.action {
        Action::Call(call) => parties.extend([call.from, call.to]),
        Action::Create(create) => {
            parties.insert(create.from);
        }
        Action::Selfdestruct(end) => parties.extend([end.address, end.refund_address]),
        Action::Reward(reward) => {
            parties.insert(reward.author);
        }
    }
    if let Some(TraceOutput::Create(created)) = &trace.trace.result {
        parties.insert(created.address);
    }
    parties
}
