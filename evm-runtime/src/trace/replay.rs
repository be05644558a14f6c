//! The transactions of a mined block once more, on the state of its parent.

use std::collections::BTreeSet;

use alloy_eips::{eip2935, eip4788, eip7002, eip7251};
use alloy_primitives::Address;
use consensus::RecoveredTransaction;
use revm::context::TxEnv;
use revm::context_interface::result::{EVMError, ResultAndState};
use revm::handler::{MainBuilder, MainContext, MainnetEvm};
use revm::interpreter::interpreter::EthInterpreter;
use revm::state::EvmState;
use revm::{Context, DatabaseCommit, ExecuteEvm, InspectEvm, Inspector};

use super::bounded::Bounded;
use super::{TraceContext, TraceError};
use crate::call::{Cancellation, Host, look_at_cancellation};
use crate::environment;
use crate::execute::{BlockExecutor, ExecutionError};
use crate::overlay::BlockState;
use crate::state::StateError;

/// A block under way: what stood before the next transaction is in its state.
pub(super) struct Replay<'a, I> {
    pub(super) evm: MainnetEvm<Host<'a, BlockState<'a>>, Bounded<I>>,
    bytes_max: usize,
    context: TraceContext<'a>,
}

impl<'a, I: Inspector<Host<'a, BlockState<'a>>, EthInterpreter>> Replay<'a, I> {
    /// Begins the block: what comes before its transactions is done.
    ///
    /// # Errors
    /// A system contract or the store failed.
    pub(super) fn begin(context: &TraceContext<'a>, inspector: Bounded<I>) -> Result<Self, TraceError> {
        let TraceContext { spec, header, parent, cancelled, bytes_max, .. } = *context;
        let begun = BlockExecutor::begin(spec, header, parent, parent.reader());
        let state = begun.map_err(not_begun)?.into_state();
        let fork = spec.fork_of(header);
        let mut cfg = environment::cfg_env(spec, fork, header.timestamp);
        // The block is valid: who sends with code is impersonated on a development chain (or has delegated it).
        cfg.disable_eip3607 = true;
        let host = Context::mainnet()
            .with_db(state)
            .with_cfg(cfg)
            .with_block(environment::block_env(spec, fork, header))
            .with_chain(Cancellation(cancelled));
        let mut evm = host.build_mainnet_with_inspector(inspector);
        look_at_cancellation(&mut evm);
        Ok(Self { evm, bytes_max, context: *context })
    }

    /// Runs the transactions before `index` without looking at them.
    ///
    /// # Errors
    /// Cancelled, or one of them does not run.
    pub(super) fn skip_to(&mut self, index: usize) -> Result<(), TraceError> {
        for transaction in self.context.transactions.iter().take(index) {
            let outcome = self.evm.transact(tx_env(transaction)).map_err(|error| self.failed(error))?;
            self.commit(outcome.state);
        }
        Ok(())
    }

    /// Runs a transaction under the inspector; its changes are not yet in the state.
    ///
    /// # Errors
    /// Cancelled, too large, or it does not run.
    pub(super) fn inspect(&mut self, tx: TxEnv) -> Result<ResultAndState, TraceError> {
        self.evm.inspector.next_transaction();
        let outcome = self.evm.inspect_tx(tx).map_err(|error| self.failed(error))?;
        if self.evm.inspector.has_exceeded() { Err(TraceError::TooLarge(self.bytes_max)) } else { Ok(outcome) }
    }

    /// Puts the changes of a transaction into the state.
    pub(super) fn commit(&mut self, changes: EvmState) {
        self.evm.ctx.journaled_state.database.commit(changes);
    }

    fn failed(&self, error: EVMError<StateError>) -> TraceError {
        match error {
            EVMError::Database(error) => TraceError::State(error),
            EVMError::Custom(_) if self.evm.inspector.has_exceeded() => TraceError::TooLarge(self.bytes_max),
            EVMError::Custom(_) if self.evm.ctx.chain.is_set() => TraceError::Cancelled,
            other => TraceError::Refused(other.to_string()),
        }
    }
}

/// Returns what the EVM runs for a mined transaction.
pub(super) fn tx_env(transaction: &RecoveredTransaction) -> TxEnv {
    environment::tx_env(transaction, transaction.sender())
}

fn not_begun(error: ExecutionError) -> TraceError {
    match error {
        ExecutionError::State(error) => TraceError::State(error),
        other => TraceError::Refused(other.to_string()),
    }
}

/// Returns the state before the transaction at `index` of the block; the number of transactions gives the state after the last.
///
/// # Errors
/// No such transaction, cancelled, or the store failed.
pub fn state_before<'a>(context: &TraceContext<'a>, index: usize) -> Result<BlockState<'a>, TraceError> {
    if index > context.transactions.len() {
        return Err(TraceError::NoTransaction { index, hash: context.hash });
    }
    let nothing = Bounded::new(revm::inspector::NoOpInspector, super::bounded::StepWeights::default(), usize::MAX);
    let mut replay = Replay::begin(context, nothing)?;
    replay.skip_to(index)?;
    Ok(replay.evm.ctx.journaled_state.database)
}

/// Returns the addresses of all accounts that the block looked at or changed, and of those that blocks credit outside of
/// transactions.
///
/// # Errors
/// Cancelled, or the store failed.
pub fn touched_addresses(context: &TraceContext<'_>) -> Result<BTreeSet<Address>, TraceError> {
    const SYSTEM_CONTRACTS: [Address; 4] = [
        eip4788::BEACON_ROOTS_ADDRESS,
        eip2935::HISTORY_STORAGE_ADDRESS,
        eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
        eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    ];
    let after = state_before(context, context.transactions.len())?;
    Ok(after.addresses().chain(SYSTEM_CONTRACTS).chain([context.header.beneficiary]).collect())
}
