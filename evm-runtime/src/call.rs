//! Calls and gas estimates: execution on a view of a block's state that changes nothing.

mod access_list;
mod console;
mod estimate;
pub(crate) mod halt;
pub(crate) mod overrides;
pub(crate) mod precompiles;
pub(crate) mod refusal;
mod simulation;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use alloy_eips::eip2930::AccessList;
use alloy_eips::eip7702::SignedAuthorization;
use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256};
use consensus::{ChainSpec, Header};
use revm::DatabaseRef;

use crate::state::{StateError, StateView};

pub use access_list::{CreatedAccessList, create_access_list};
pub use console::console_lines;
pub use estimate::{Estimate, estimate_gas};
pub(crate) use simulation::{
    CallEvm, Cancellation, Host, Simulation, SimulationHost, look_at_cancellation, outcome, pays_nothing,
};

/// Holds the transaction that a call imitates. `None` takes the default that `eth_call` documents.
#[derive(Clone, Debug, Default)]
pub struct CallRequest {
    /// The caller; default: the zero address.
    pub from: Option<Address>,
    /// The callee; `None` creates a contract.
    pub to: Option<TxKind>,
    /// Gas limit; default and maximum: [`CallContext::gas_cap`].
    pub gas: Option<u64>,
    /// Legacy price in wei.
    pub gas_price: Option<u128>,
    /// EIP-1559 cap in wei.
    pub max_fee_per_gas: Option<u128>,
    /// EIP-1559 tip in wei.
    pub max_priority_fee_per_gas: Option<u128>,
    /// Value in wei.
    pub value: Option<U256>,
    /// Call data or init code.
    pub input: Bytes,
    /// Nonce; default: the caller's.
    pub nonce: Option<u64>,
    /// EIP-2930 access list.
    pub access_list: Option<AccessList>,
    /// EIP-7702 authorizations.
    pub authorization_list: Option<Vec<SignedAuthorization>>,
}

/// Changes an account for the time of a call.
#[derive(Clone, Debug, Default)]
pub struct AccountOverride {
    /// Balance in wei.
    pub balance: Option<U256>,
    /// Nonce.
    pub nonce: Option<u64>,
    /// Code.
    pub code: Option<Bytes>,
    /// Replaces all storage.
    pub state: Option<BTreeMap<B256, B256>>,
    /// Replaces single slots.
    pub state_diff: Option<BTreeMap<B256, B256>>,
    /// Where the precompile at this address is to be found instead.
    pub move_precompile_to: Option<Address>,
}

/// Names the accounts that a call sees changed.
pub type StateOverrides = BTreeMap<Address, AccountOverride>;

/// Changes the block environment for the time of a call.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct BlockOverrides {
    pub number: Option<u64>,
    pub difficulty: Option<U256>,
    pub timestamp: Option<u64>,
    pub gas_limit: Option<u64>,
    pub beneficiary: Option<Address>,
    pub mix_hash: Option<B256>,
    pub base_fee: Option<u64>,
    pub blob_base_fee: Option<u128>,
    pub block_hashes: BTreeMap<u64, B256>,
}

/// Holds where a call runs and its limits. The state is a block's, or any other that the EVM can read.
#[derive(Debug)]
pub struct CallContext<'a, D = StateView> {
    /// The chain's rules.
    pub spec: &'a ChainSpec,
    /// The state at the end of `header`'s block.
    pub state: &'a D,
    /// The block whose environment the call sees.
    pub header: &'a Header,
    /// The most gas a call may use.
    pub gas_cap: u64,
    /// Ends the call when set: the deadline's or the client's doing.
    pub cancelled: &'a AtomicBool,
}

/// Says how a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It returned.
    Success {
        /// Return data, or the deployed code of a creation.
        output: Bytes,
        /// Gas used in all, refunds taken off.
        gas_used: u64,
        /// Events.
        logs: Vec<Log>,
        /// The contract, for a creation.
        created: Option<Address>,
    },
    /// It reverted.
    Revert {
        /// Revert data.
        output: Bytes,
        /// Gas used in all.
        gas_used: u64,
    },
    /// It ended by an exception, with the text that clients know (`out of gas`, `invalid opcode: INVALID`, `stack limit reached 1024 (1023)`, …).
    Halt {
        /// The text.
        reason: String,
        /// Gas used in all.
        gas_used: u64,
    },
}

/// Says why a call could not run at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The request breaks a rule of transactions, in geth's words (`insufficient funds for gas * price + value: …`, `intrinsic gas too low: …`).
    #[error("{0}")]
    Invalid(String),
    /// The deadline passed.
    #[error("execution aborted (timeout)")]
    Cancelled,
    /// A precompile is to be moved to where it is.
    #[error("MovePrecompileToAddress of {0} references itself in replacement")]
    PrecompileToItself(Address),
    /// Two precompiles are to be moved to one address.
    #[error("multiple MovePrecompileToAddress reference the same address {0} to replace")]
    PrecompilesToOne(Address),
    /// No gas limit up to the cap suffices.
    #[error("gas required exceeds allowance ({0})")]
    GasAllowance(u64),
    /// Our own store failed.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Runs `request` and returns how it ended.
///
/// As in geth, nonce, block gas limit and the sender's code are not checked, and without a gas price nothing is paid for gas and
/// the call sees a base fee of 0. A value must be owned. The transaction gas cap of Osaka does not bind calls.
///
/// # Errors
/// The request is invalid, the call was cancelled, or the store failed.
pub fn call<D: DatabaseRef>(
    context: &CallContext<'_, D>,
    request: &CallRequest,
    state_overrides: &StateOverrides,
    block_overrides: &BlockOverrides,
) -> Result<CallOutcome, CallError>
where
    CallError: From<D::Error>,
{
    call_with_console(context, request, state_overrides, block_overrides).map(|(outcome, _)| outcome)
}

/// Runs `request` as [`call`] does, and tells also whether it came to the address of `console.log`, so that [`console_lines`] may have
/// something to tell.
///
/// # Errors
/// As [`call`].
pub fn call_with_console<D: DatabaseRef>(
    context: &CallContext<'_, D>,
    request: &CallRequest,
    state_overrides: &StateOverrides,
    block_overrides: &BlockOverrides,
) -> Result<(CallOutcome, bool), CallError>
where
    CallError: From<D::Error>,
{
    let gas = request.gas.unwrap_or(context.gas_cap).min(context.gas_cap);
    let mut simulation = Simulation::new(context, request, state_overrides, block_overrides)?;
    let outcome = simulation.outcome(gas);
    let outcome = outcome.map_err(|error| error.or_invalid(|words| format!("err: {words} (supplied gas {gas})")))?;
    Ok((outcome, simulation.came_to_console()))
}

#[cfg(test)]
mod tests;
