//! What the transactions of a block say by `console.log`.

use super::bounded::{Bounded, StepWeights};
use super::replay::{Replay, tx_env};
use super::{TraceContext, TraceError};
use crate::console::ConsoleLog;

/// Returns the lines that each transaction of a block says.
///
/// # Errors
/// Cancelled, or the store failed.
pub fn console_lines(context: &TraceContext<'_>) -> Result<Vec<Vec<String>>, TraceError> {
    let mut replay = Replay::begin(context, Bounded::new(ConsoleLog::default(), StepWeights::default(), usize::MAX))?;
    let mut said = Vec::with_capacity(context.transactions.len());
    for transaction in context.transactions {
        let outcome = replay.inspect(tx_env(transaction))?;
        replay.commit(outcome.state);
        said.push(std::mem::take(&mut replay.evm.inspector.inner.lines));
    }
    Ok(said)
}
