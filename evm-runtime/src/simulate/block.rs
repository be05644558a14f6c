//! One simulated block: what comes before its calls, the calls, what comes after, and the header that follows.

use alloy_consensus::{ReceiptEnvelope, SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxLegacy, proofs};
use alloy_eips::eip7685::Requests;
use alloy_primitives::{Signature, TxKind, U256};
use consensus::{Fork, Header, RecoveredBlock, RecoveredTransaction, SealedHeader, Transaction};
use revm::context::TxEnv;
use revm::context_interface::result::{EVMError, InvalidTransaction};
use revm::handler::{MainBuilder, MainContext};
use revm::{Context, DatabaseCommit, DatabaseRef, InspectEvm};
use storage::Reader;

use super::observer::Observer;
use super::{
    BlockPlan, BrokenRule, SimulatedBlock, SimulatedCall, SimulationContext, SimulationError, Validation, look_at,
};
use crate::call::overrides;
use crate::call::precompiles::CallPrecompiles;
use crate::call::{
    CallError, CallEvm, CallOutcome, CallRequest, Cancellation, look_at_cancellation, outcome, pays_nothing, refusal,
};
use crate::environment;
use crate::execute::{BlockExecutor, receipt};
use crate::overlay::BlockState;
use crate::receipt::{Receipt, logs_bloom, receipts_root};
use crate::state::{StateError, compute};

/// Simulates the blocks of one chain.
pub(super) struct Simulator<'a> {
    context: &'a SimulationContext<'a>,
    reader: &'a dyn Reader,
    /// The gas that calls may still take.
    gas_left: u64,
}

/// A block whose calls run.
struct Running<'a> {
    evm: CallEvm<'a, BlockState<'a>, Observer>,
    header: &'a Header,
    fork: Fork,
    transactions: Vec<RecoveredTransaction>,
    receipts: Vec<Receipt>,
    calls: Vec<SimulatedCall>,
}

impl Running<'_> {
    fn gas_used(&self) -> u64 {
        self.receipts.last().map_or(0, ReceiptEnvelope::cumulative_gas_used)
    }

    fn state(&self) -> &BlockState<'_> {
        &self.evm.ctx.journaled_state.database
    }
}

impl<'a> Simulator<'a> {
    pub(super) fn new(context: &'a SimulationContext<'a>, reader: &'a dyn Reader) -> Self {
        Self { context, reader, gas_left: context.gas_cap }
    }

    /// Simulates one block on `state`; `header` holds what is known of it before.
    ///
    /// # Errors
    /// A call breaks a rule, a system contract failed, the simulation was cancelled, or the store failed.
    pub(super) fn block(
        &mut self,
        plan: &BlockPlan,
        header: &'a Header,
        mut state: BlockState<'a>,
    ) -> Result<(SimulatedBlock, BlockState<'a>), SimulationError> {
        let (spec, reader) = (self.context.spec, self.reader);
        look_at(self.context.cancelled)?;
        overrides::write_to_state(&mut state, &plan.state)?;
        let begun = BlockExecutor::begin_on(spec, header, state, reader)?;
        let mut running = self.running(plan, header, begun.into_state())?;
        for call in &plan.calls {
            look_at(self.context.cancelled)?;
            self.call(&mut running, call)?;
        }
        let Running { evm, transactions, receipts, calls, .. } = running;
        let state = evm.ctx.journaled_state.database;
        let executor = BlockExecutor::resume(spec, header, state, reader, receipts);
        let (executed, state) = executor.end(&[], &plan.withdrawals)?;
        let plain: Vec<_> = transactions.iter().map(RecoveredTransaction::transaction).collect();
        let sealed = Header {
            gas_used: executed.gas_used,
            state_root: compute(reader, &executed.changes)?.root,
            transactions_root: proofs::calculate_transaction_root(&plain),
            receipts_root: receipts_root(&executed.receipts),
            logs_bloom: logs_bloom(&executed.receipts),
            requests_hash: (spec.fork_of(header) >= Fork::Prague)
                .then(|| Requests::new(executed.requests.clone()).requests_hash()),
            ..header.clone()
        };
        let withdrawals = header.withdrawals_root.map(|_| plan.withdrawals.clone().into());
        let header = SealedHeader::new(sealed);
        let block = RecoveredBlock { header, transactions, ommers: Vec::new(), withdrawals, witness: None };
        Ok((SimulatedBlock { block, receipts: executed.receipts, calls }, state))
    }

    fn running(
        &self,
        plan: &BlockPlan,
        header: &'a Header,
        state: BlockState<'a>,
    ) -> Result<Running<'a>, SimulationError> {
        let SimulationContext { spec, cancelled, validation, transfers, .. } = *self.context;
        let fork = spec.fork_of(header);
        let mut cfg = environment::cfg_env(spec, fork, header.timestamp);
        cfg.disable_nonce_check = validation == Validation::Relaxed;
        cfg.disable_eip3607 = true;
        cfg.tx_gas_limit_cap = Some(u64::MAX);
        let mut block = environment::block_env(spec, fork, header);
        overrides::apply_to_block(&mut block, &plan.block);
        let host =
            Context::mainnet().with_db(state).with_cfg(cfg).with_block(block).with_chain(Cancellation(cancelled));
        let precompiles = CallPrecompiles::new(environment::spec_id(fork), &plan.state)?;
        let mut evm = host.build_mainnet_with_inspector(Observer::new(transfers)).with_precompiles(precompiles);
        look_at_cancellation(&mut evm);
        let (transactions, receipts, calls) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Running { evm, header, fork, transactions, receipts, calls })
    }

    fn call(&mut self, running: &mut Running<'a>, request: &CallRequest) -> Result<(), SimulationError> {
        let transaction = self.transaction(running, request)?;
        let tx = environment::tx_env(transaction.transaction(), transaction.sender());
        let gas = tx.gas_limit;
        let base_fee = running.evm.ctx.block.basefee;
        if self.context.validation == Validation::Relaxed && pays_nothing(&tx, base_fee) {
            running.evm.ctx.block.basefee = 0;
        }
        let ended = running.evm.inspect_tx(tx.clone());
        running.evm.ctx.block.basefee = base_fee;
        let ended = ended.map_err(|error| refused(error, running, &tx, gas))?;
        running.evm.ctx.journaled_state.database.commit(ended.state);
        let gas_used = running.gas_used().saturating_add(ended.result.tx_gas_used());
        self.gas_left = self.gas_left.saturating_sub(ended.result.tx_gas_used());
        let kind = transaction.tx_type();
        let receipt = receipt(running.fork, self.reader, running.state(), kind, ended.result.clone(), gas_used)?;
        let (logs, last) = running.evm.inspector.take();
        let gas = ended.result.gas();
        let gas_max = gas.total_gas_spent().max(gas.floor_gas());
        let outcome = outcome(ended.result, last);
        let logs = if matches!(outcome, CallOutcome::Success { .. }) { logs } else { Vec::new() };
        running.calls.push(SimulatedCall { outcome, logs, gas_max });
        running.receipts.push(receipt);
        running.transactions.push(transaction);
        Ok(())
    }

    /// Makes the transaction that a call stands for: what it leaves open is filled, its signature is nobody's.
    fn transaction(
        &self,
        running: &Running<'_>,
        request: &CallRequest,
    ) -> Result<RecoveredTransaction, SimulationError> {
        let sender = request.from.unwrap_or_default();
        let nonce = match request.nonce {
            Some(nonce) => nonce,
            None => running.state().basic_ref(sender)?.map_or(0, |account| account.nonce),
        };
        let available = running.evm.ctx.block.gas_limit.saturating_sub(running.gas_used());
        let wanted = request.gas.unwrap_or(available);
        if wanted > available {
            return Err(SimulationError::GasLimitReached { wanted, available });
        }
        let unsigned = Unsigned { nonce, gas: wanted.min(self.gas_left), chain_id: self.context.spec.chain_id };
        let has_base_fee = running.header.base_fee_per_gas.is_some();
        Ok(RecoveredTransaction::with_sender(unsigned.of(request, has_base_fee)?, sender))
    }
}

/// What a call's transaction has that the call left open.
struct Unsigned {
    nonce: u64,
    gas: u64,
    chain_id: u64,
}

impl Unsigned {
    /// Chooses the type as geth does: by the price that is given, else the newest that the fork has.
    fn of(self, request: &CallRequest, has_base_fee: bool) -> Result<Transaction, SimulationError> {
        let Self { nonce, gas: gas_limit, chain_id } = self;
        let (value, input) = (request.value.unwrap_or_default(), request.input.clone());
        let (to, access_list) = (request.to.unwrap_or(TxKind::Create), request.access_list.clone());
        let (max_fee_per_gas, max_priority_fee_per_gas) =
            (request.max_fee_per_gas.unwrap_or_default(), request.max_priority_fee_per_gas.unwrap_or_default());
        let nobody = Signature::new(U256::ZERO, U256::ZERO, false);
        if let (Some(authorization_list), None) = (&request.authorization_list, request.gas_price) {
            let TxKind::Call(to) = to else {
                let words = "EIP-7702 transaction cannot be used to create contract".to_owned();
                return Err(CallError::Invalid(words).into());
            };
            let (access_list, authorization_list) = (access_list.unwrap_or_default(), authorization_list.clone());
            let tx = TxEip7702 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                authorization_list,
                input,
            };
            return Ok(tx.into_signed(nobody).into());
        }
        Ok(match (request.gas_price, access_list) {
            (None, access_list) if has_base_fee => {
                let access_list = access_list.unwrap_or_default();
                let tx = TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to,
                    value,
                    access_list,
                    input,
                };
                tx.into_signed(nobody).into()
            }
            (price, Some(access_list)) => {
                let gas_price = price.unwrap_or_default();
                let tx = TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input };
                tx.into_signed(nobody).into()
            }
            (price, None) => {
                let (chain_id, gas_price) = (Some(chain_id), price.unwrap_or_default());
                TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input }.into_signed(nobody).into()
            }
        })
    }
}

/// Says why a call did not run.
fn refused(error: EVMError<StateError>, running: &Running<'_>, tx: &TxEnv, gas: u64) -> SimulationError {
    match error {
        EVMError::Database(error) => error.into(),
        EVMError::Transaction(rule) => {
            let host = &running.evm.ctx;
            let words = refusal::text(&rule, &host.cfg, &host.block, tx);
            SimulationError::Refused { rule: broken(&rule), words: format!("err: {words} (supplied gas {gas})") }
        }
        EVMError::Custom(_) if running.evm.ctx.chain.is_set() => CallError::Cancelled.into(),
        other => CallError::Invalid(other.to_string()).into(),
    }
}

fn broken(rule: &InvalidTransaction) -> BrokenRule {
    match rule {
        InvalidTransaction::NonceTooLow { .. } => BrokenRule::NonceTooLow,
        InvalidTransaction::NonceTooHigh { .. } => BrokenRule::NonceTooHigh,
        InvalidTransaction::GasPriceLessThanBasefee => BrokenRule::BaseFeeTooHigh,
        InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
        | InvalidTransaction::GasFloorMoreThanGasLimit { .. } => BrokenRule::IntrinsicGas,
        InvalidTransaction::LackOfFundForMaxFee { .. } | InvalidTransaction::OverflowPaymentInTransaction => {
            BrokenRule::Funds
        }
        InvalidTransaction::RejectCallerWithCode => BrokenRule::SenderHasCode,
        InvalidTransaction::CreateInitCodeSizeLimit => BrokenRule::InitCodeTooLong,
        _ => BrokenRule::Other,
    }
}
