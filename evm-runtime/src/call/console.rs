//! What a call says by `console.log`.

use revm::DatabaseRef;

use super::{BlockOverrides, CallContext, CallError, CallRequest, Simulation, StateOverrides};
use crate::console::ConsoleLog;

/// Runs `request` as [`super::call`] does, and returns the lines that it says, however it ends.
///
/// # Errors
/// The request is invalid, the call was cancelled, or the store failed.
pub fn console_lines<D: DatabaseRef>(
    context: &CallContext<'_, D>,
    request: &CallRequest,
    state_overrides: &StateOverrides,
    block_overrides: &BlockOverrides,
) -> Result<Vec<String>, CallError>
where
    CallError: From<D::Error>,
{
    let gas = request.gas.unwrap_or(context.gas_cap).min(context.gas_cap);
    let log = ConsoleLog::default();
    let mut simulation = Simulation::inspected(context, request, state_overrides, block_overrides, log)?;
    simulation.inspect(gas).map_err(|error| error.or_invalid(|words| words))?;
    Ok(std::mem::take(&mut simulation.inspector().lines))
}
