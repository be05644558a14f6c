//! Gas estimates: the least gas limit with which a request succeeds.

use alloy_primitives::{TxKind, U256};
use consensus::Fork;
use revm::context_interface::result::{ExecutionResult, InvalidTransaction, ResultGas};
use revm::primitives::eip7825::TX_GAS_LIMIT_CAP;
use revm::{Database, DatabaseRef};

use super::simulation::{RunError, Simulation};
use super::{BlockOverrides, CallContext, CallError, CallOutcome, CallRequest, StateOverrides, halt};

/// What a plain transfer costs, and the least limit that a request may name (Yellow Paper, appendix G: G_transaction).
const TRANSFER_GAS: u64 = 21_000;
/// What a call that carries value is given on top (Yellow Paper, appendix G: G_callstipend).
const CALL_STIPEND: u64 = 2_300;

/// Holds the answer of [`estimate_gas`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Estimate {
    /// The least sufficient gas limit.
    Gas(u64),
    /// It reverts or halts even at the cap: how.
    Fails(CallOutcome),
}

/// Finds the least gas limit with which `request` succeeds, by binary search between what it used and the cap.
///
/// The cap is the request's gas or else the block's gas limit, and at most [`CallContext::gas_cap`], the transaction gas cap of
/// Osaka, and what the sender can pay for where a price is given. What the request used at the cap is tried first, then that
/// with what calls hold back (EIP-150: one part in 64) on top; both are usually enough, so the search is short.
///
/// # Errors
/// As [`super::call`]; no limit suffices: [`CallError::GasAllowance`].
pub fn estimate_gas<D: DatabaseRef>(
    context: &CallContext<'_, D>,
    request: &CallRequest,
    state_overrides: &StateOverrides,
    block_overrides: &BlockOverrides,
) -> Result<Estimate, CallError>
where
    CallError: From<D::Error>,
{
    let mut simulation = Simulation::new(context, request, state_overrides, block_overrides)?;
    let cap = highest_limit(context, request, block_overrides, &mut simulation)?;
    if is_plain_transfer(&mut simulation)? && matches!(attempt(&mut simulation, TRANSFER_GAS), Ok(Attempt::Succeeds(_)))
    {
        return Ok(Estimate::Gas(TRANSFER_GAS));
    }
    let gas = match attempt(&mut simulation, cap)? {
        Attempt::Succeeds(gas) => gas,
        Attempt::BelowIntrinsic => return Err(CallError::GasAllowance(cap)),
        Attempt::Fails => return failure(&mut simulation, cap),
    };
    let spent = gas.total_gas_spent();
    let with_held_back = spent.saturating_add(CALL_STIPEND).saturating_mul(64) / 63;

    let (mut fails, mut succeeds) = (gas.tx_gas_used().saturating_sub(1), cap);
    for guess in [spent, with_held_back] {
        narrow(&mut simulation, &mut fails, &mut succeeds, guess)?;
    }
    while fails.saturating_add(1) < succeeds {
        // Most requests need little more than they used, so the first steps grow from below.
        let middle = fails.midpoint(succeeds).min(fails.saturating_mul(2).max(fails.saturating_add(1)));
        narrow(&mut simulation, &mut fails, &mut succeeds, middle)?;
    }
    Ok(Estimate::Gas(succeeds))
}

/// How a request fared with a gas limit.
enum Attempt {
    Succeeds(ResultGas),
    Fails,
    /// The limit does not even pay for the transaction's bytes.
    BelowIntrinsic,
}

fn attempt<D: DatabaseRef>(simulation: &mut Simulation<'_, D>, gas: u64) -> Result<Attempt, CallError>
where
    CallError: From<D::Error>,
{
    match simulation.run(gas) {
        Ok(ExecutionResult::Success { gas, .. }) => Ok(Attempt::Succeeds(gas)),
        Ok(ExecutionResult::Revert { .. } | ExecutionResult::Halt { .. }) => Ok(Attempt::Fails),
        Err(RunError::Refused {
            rule:
                InvalidTransaction::CallGasCostMoreThanGasLimit { .. } | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
            ..
        }) => Ok(Attempt::BelowIntrinsic),
        Err(error) => Err(error.or_invalid(|words| format!("failed with {gas} gas: {words}"))),
    }
}

/// Tries `guess`, where it lies strictly between the bounds, and moves the bound that it decides.
fn narrow<D: DatabaseRef>(
    simulation: &mut Simulation<'_, D>,
    fails: &mut u64,
    succeeds: &mut u64,
    guess: u64,
) -> Result<(), CallError>
where
    CallError: From<D::Error>,
{
    if (*fails..*succeeds).contains(&guess) && guess != *fails {
        match attempt(simulation, guess)? {
            Attempt::Succeeds(_) => *succeeds = guess,
            Attempt::Fails | Attempt::BelowIntrinsic => *fails = guess,
        }
    }
    Ok(())
}

/// Says how the request fails at the cap. Where more gas might help, the cap is to blame.
fn failure<D: DatabaseRef>(simulation: &mut Simulation<'_, D>, cap: u64) -> Result<Estimate, CallError>
where
    CallError: From<D::Error>,
{
    let outcome = simulation.outcome(cap).map_err(|error| error.or_invalid(|words| words))?;
    match &outcome {
        CallOutcome::Halt { reason, .. } if reason == halt::OUT_OF_GAS || reason == halt::CODE_STORAGE_OUT_OF_GAS => {
            Err(CallError::GasAllowance(cap))
        }
        _ => Ok(Estimate::Fails(outcome)),
    }
}

/// Returns the highest gas limit that the request may have.
fn highest_limit<D: DatabaseRef>(
    context: &CallContext<'_, D>,
    request: &CallRequest,
    block_overrides: &BlockOverrides,
    simulation: &mut Simulation<'_, D>,
) -> Result<u64, CallError>
where
    CallError: From<D::Error>,
{
    let block_limit = block_overrides.gas_limit.unwrap_or(context.header.gas_limit);
    let mut limit = request.gas.filter(|gas| *gas >= TRANSFER_GAS).unwrap_or(block_limit);
    if simulation.fork() >= Fork::Osaka {
        limit = limit.min(TX_GAS_LIMIT_CAP);
    }
    let max_fee = simulation.tx().gas_price;
    if max_fee > 0 {
        let (sender, value) = (simulation.tx().caller, simulation.tx().value);
        let balance = simulation.state().basic(sender)?.unwrap_or_default().balance;
        let Some(available) = balance.checked_sub(value).filter(|available| !available.is_zero()) else {
            return Err(CallError::Invalid("insufficient funds for transfer".to_owned()));
        };
        let affordable = available / U256::from(max_fee);
        limit = limit.min(affordable.saturating_to());
    }
    Ok(limit.min(context.gas_cap))
}

/// Says whether the request carries no data to an account without code.
fn is_plain_transfer<D: DatabaseRef>(simulation: &mut Simulation<'_, D>) -> Result<bool, CallError>
where
    CallError: From<D::Error>,
{
    match simulation.tx().kind {
        TxKind::Call(callee) if simulation.tx().data.is_empty() => {
            Ok(simulation.state().basic(callee)?.is_none_or(|account| account.is_empty_code_hash()))
        }
        _ => Ok(false),
    }
}
