//! One request on one state: the EVM is prepared once and runs the request as often as asked, with any gas limit. Nothing is
//! ever written.

use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::{Address, TxKind};
use consensus::Fork;
use revm::bytecode::opcode;
use revm::context::{BlockEnv, CfgEnv, ContextError, Evm, TxEnv};
use revm::context_interface::ContextTr;
use revm::context_interface::either::Either;
use revm::context_interface::result::{
    EVMError, ExecutionResult, HaltReason, InvalidTransaction, Output, ResultAndState,
};
use revm::database::CacheDB;
use revm::handler::instructions::EthInstructions;
use revm::handler::{EthFrame, MainBuilder, MainContext};
use revm::interpreter::instructions::{contract, control};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::{Instruction, InstructionContext, InstructionExecResult, InstructionResult, InterpreterTypes};
use revm::{Context, Database, DatabaseRef, ExecuteEvm, InspectEvm, Inspector, Journal};

use super::halt::{self, LastStep};
use super::precompiles::CallPrecompiles;
use super::{BlockOverrides, CallContext, CallError, CallOutcome, CallRequest, StateOverrides, overrides, refusal};
use crate::console::CONSOLE;
use crate::environment;

/// What instructions see: a layer over the state, and the switch that ends the call.
pub(crate) type Host<'a, DB> = Context<BlockEnv, TxEnv, CfgEnv, DB, Journal<DB>, Cancellation<'a>>;

/// The EVM over such a host; `P` knows the precompiles.
pub(crate) type CallEvm<'a, DB, I, P = CallPrecompiles> =
    Evm<Host<'a, DB>, I, EthInstructions<EthInterpreter, Host<'a, DB>>, P, EthFrame<EthInterpreter>>;

/// Ends a call from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cancellation<'a>(pub(crate) &'a AtomicBool);

impl Cancellation<'_> {
    /// Tells whether the switch is set.
    pub(crate) fn is_set(self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The host of a [`Simulation`].
pub(crate) type SimulationHost<'a, D> = Host<'a, CacheDB<&'a D>>;

/// A request on its state, ready to run.
pub(crate) struct Simulation<'a, D: DatabaseRef, I = LastStep> {
    evm: CallEvm<'a, CacheDB<&'a D>, I>,
    tx: TxEnv,
    fork: Fork,
    came_to_console: bool,
}

/// Says why a run gave no result.
#[derive(Debug)]
pub(crate) enum RunError {
    /// The request breaks a rule of transactions.
    Refused {
        /// Which.
        rule: InvalidTransaction,
        /// In geth's words.
        words: String,
    },
    /// Cancelled, or the store failed.
    Call(CallError),
}

impl RunError {
    /// Becomes the error of a call, a refusal's words put into `frame`.
    pub(crate) fn or_invalid(self, frame: impl FnOnce(String) -> String) -> CallError {
        match self {
            Self::Refused { words, .. } => CallError::Invalid(frame(words)),
            Self::Call(error) => error,
        }
    }
}

impl<'a, D: DatabaseRef> Simulation<'a, D>
where
    CallError: From<D::Error>,
{
    /// Prepares `request`.
    ///
    /// # Errors
    /// Fields or overrides that exclude each other, or the store failed.
    pub(crate) fn new(
        context: &CallContext<'a, D>,
        request: &CallRequest,
        state_overrides: &StateOverrides,
        block_overrides: &BlockOverrides,
    ) -> Result<Self, CallError> {
        Simulation::inspected(context, request, state_overrides, block_overrides, LastStep::default())
    }

    /// Runs the request and returns how it ended; a halt that names its instruction is found by a second run.
    ///
    /// # Errors
    /// Refused, cancelled, or the store failed.
    pub(crate) fn outcome(&mut self, gas: u64) -> Result<CallOutcome, RunError> {
        let result = self.run(gas)?;
        let mut last = LastStep::default();
        if let ExecutionResult::Halt { reason, .. } = &result
            && (halt::names_the_step(reason) && (self.tx.kind.is_create() || !is_out_of_gas(reason)))
        {
            self.inspect(gas)?;
            last = self.evm.inspector;
        }
        Ok(outcome(result, last))
    }
}

impl<'a, D: DatabaseRef, I: Inspector<Host<'a, CacheDB<&'a D>>, EthInterpreter>> Simulation<'a, D, I>
where
    CallError: From<D::Error>,
{
    /// Prepares `request` with an inspector of what it does.
    ///
    /// # Errors
    /// Fields or overrides that exclude each other, or the store failed.
    pub(crate) fn inspected(
        context: &CallContext<'a, D>,
        request: &CallRequest,
        state_overrides: &StateOverrides,
        block_overrides: &BlockOverrides,
        inspector: I,
    ) -> Result<Self, CallError> {
        let mut db = CacheDB::new(context.state);
        overrides::apply_to_state(&mut db, state_overrides)?;

        let number = block_overrides.number.unwrap_or(context.header.number);
        let timestamp = block_overrides.timestamp.unwrap_or(context.header.timestamp);
        let fork = context.spec.fork_by(number, timestamp, context.header.difficulty);
        let mut block = environment::block_env(context.spec, fork, context.header);
        overrides::apply_to_call(&mut db, &mut block, block_overrides);

        let mut cfg = environment::cfg_env(context.spec, fork, timestamp);
        cfg.disable_nonce_check = true;
        cfg.disable_block_gas_limit = true;
        cfg.disable_eip3607 = true;
        cfg.tx_gas_limit_cap = Some(u64::MAX);

        let tx = tx_env(request, fork, context.spec.chain_id)?;
        // A base fee above the price would break what contracts may rely on.
        if pays_nothing(&tx, block.basefee) {
            block.basefee = 0;
        }
        let cancellation = Cancellation(context.cancelled);
        let host = Context::mainnet().with_db(db).with_cfg(cfg).with_block(block).with_chain(cancellation);
        let precompiles = CallPrecompiles::new(environment::spec_id(fork), state_overrides)?;
        let mut evm = host.build_mainnet_with_inspector(inspector).with_precompiles(precompiles);
        look_at_cancellation(&mut evm);
        Ok(Self { evm, tx, fork, came_to_console: false })
    }

    /// Returns the fork whose rules the request runs under.
    pub(crate) fn fork(&self) -> Fork {
        self.fork
    }

    /// Returns the request as a transaction; its `gas_price` is the highest price offered, whatever the type.
    pub(crate) fn tx(&self) -> &TxEnv {
        &self.tx
    }

    /// Returns the state that the request sees, overrides laid over it.
    pub(crate) fn state(&mut self) -> &mut CacheDB<&'a D> {
        self.evm.ctx.db_mut()
    }

    /// Replaces the access list of the request.
    pub(crate) fn set_access_list(&mut self, list: alloy_eips::eip2930::AccessList) {
        self.tx.access_list = list;
        self.tx.tx_type = self.tx.tx_type.max(1);
    }

    /// Runs the request with this gas limit.
    ///
    /// # Errors
    /// Refused, cancelled, or the store failed.
    pub(crate) fn run(&mut self, gas: u64) -> Result<ExecutionResult, RunError> {
        let result = self.evm.transact_one(TxEnv { gas_limit: gas, ..self.tx.clone() });
        self.finish(result)
    }

    /// Runs the request with this gas limit under the inspector.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(crate) fn inspect(&mut self, gas: u64) -> Result<ExecutionResult, RunError> {
        let result = self.evm.inspect_one_tx(TxEnv { gas_limit: gas, ..self.tx.clone() });
        self.finish(result)
    }

    /// Runs the request with this gas limit under the inspector, and returns also what it changed.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(crate) fn inspect_state(&mut self, gas: u64) -> Result<ResultAndState, RunError> {
        let result = self.evm.inspect_one_tx(TxEnv { gas_limit: gas, ..self.tx.clone() });
        let state = self.evm.finalize();
        Ok(ResultAndState::new(self.finish(result)?, state))
    }

    /// Tells whether a run came to the address of `console.log`.
    pub(crate) fn came_to_console(&self) -> bool {
        self.came_to_console
    }

    /// Returns the inspector, the state before the request, overrides laid over it, and the block that it sees.
    pub(crate) fn parts(&mut self) -> (&mut I, &mut CacheDB<&'a D>, &BlockEnv) {
        let host = &mut self.evm.ctx;
        (&mut self.evm.inspector, &mut host.journaled_state.database, &host.block)
    }

    /// Returns the inspector.
    pub(crate) fn inspector(&mut self) -> &mut I {
        &mut self.evm.inspector
    }

    /// Forgets what the run changed and says why it gave no result.
    fn finish(&mut self, result: Result<ExecutionResult, EVMError<D::Error>>) -> Result<ExecutionResult, RunError> {
        self.came_to_console |= self.evm.finalize().contains_key(&CONSOLE);
        result.map_err(|error| match error {
            EVMError::Transaction(rule) => {
                let context = &self.evm.ctx;
                RunError::Refused { words: refusal::text(&rule, &context.cfg, &context.block, &context.tx), rule }
            }
            EVMError::Database(error) => RunError::Call(error.into()),
            EVMError::Custom(_) if self.evm.ctx.chain.is_set() => RunError::Call(CallError::Cancelled),
            other => RunError::Call(CallError::Invalid(other.to_string())),
        })
    }
}

/// Puts a request into the words of a transaction. Fields that the fork does not know are left out.
fn tx_env(request: &CallRequest, fork: Fork, chain_id: u64) -> Result<TxEnv, CallError> {
    let dynamic_fee = request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
    if request.gas_price.is_some() && dynamic_fee {
        let words = "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified";
        return Err(CallError::Invalid(words.to_owned()));
    }
    let access_list = request.access_list.clone().filter(|_| fork >= Fork::Berlin);
    let authorizations = request.authorization_list.as_ref().filter(|_| fork >= Fork::Prague);
    let kind = request.to.unwrap_or(TxKind::Create);
    let sender = request.from.unwrap_or(Address::ZERO);
    if authorizations.is_some() && kind.is_create() {
        let rule = "EIP-7702 transaction cannot be used to create contract";
        return Err(CallError::Invalid(format!("{rule} (sender {sender})")));
    }
    let (gas_price, priority_fee) = match request.gas_price {
        None if dynamic_fee && fork >= Fork::London => {
            (request.max_fee_per_gas.unwrap_or_default(), Some(request.max_priority_fee_per_gas.unwrap_or_default()))
        }
        // A legacy price is cap and tip at once.
        price => (price.unwrap_or_default(), authorizations.map(|_| price.unwrap_or_default())),
    };
    let tx_type = match (&authorizations, priority_fee, &access_list) {
        (Some(_), ..) => 4,
        (None, Some(_), _) => 2,
        (None, None, Some(_)) => 1,
        (None, None, None) => 0,
    };
    let recovered = authorizations.into_iter().flatten().map(environment::recover_authority).map(Either::Right);
    Ok(TxEnv {
        tx_type,
        caller: sender,
        gas_price,
        gas_priority_fee: priority_fee,
        kind,
        value: request.value.unwrap_or_default(),
        data: request.input.clone(),
        nonce: request.nonce.unwrap_or_default(),
        chain_id: Some(chain_id),
        access_list: access_list.unwrap_or_default(),
        authorization_list: recovered.collect(),
        ..TxEnv::default()
    })
}

/// Says whether a unit of gas costs the sender nothing at this base fee.
pub(crate) fn pays_nothing(tx: &TxEnv, base_fee: u64) -> bool {
    let price = tx.gas_priority_fee.map_or(tx.gas_price, |tip| tip.saturating_add(base_fee.into()).min(tx.gas_price));
    price == 0
}

fn is_out_of_gas(reason: &HaltReason) -> bool {
    matches!(reason, HaltReason::OutOfGas(_))
}

/// Says how a call ended, `last` being its last instruction where the words of a halt name it.
pub(crate) fn outcome(result: ExecutionResult, last: LastStep) -> CallOutcome {
    let gas_used = result.tx_gas_used();
    match result {
        ExecutionResult::Success { output: Output::Call(output), logs, .. } => {
            CallOutcome::Success { output, gas_used, logs, created: None }
        }
        ExecutionResult::Success { output: Output::Create(output, created), logs, .. } => {
            CallOutcome::Success { output, gas_used, logs, created }
        }
        ExecutionResult::Revert { output, .. } => CallOutcome::Revert { output, gas_used },
        ExecutionResult::Halt { reason, .. } => CallOutcome::Halt { reason: halt::text(&reason, last), gas_used },
    }
}

/// Makes each instruction that can repeat work look at the switch first: jumps and calls. Code between them is finite (a
/// creation costs so much gas that it need not look), so a call ends soon after the switch is set; a relaxed load costs
/// nothing that can be measured beside a jump.
pub(crate) fn look_at_cancellation<'a, DB: Database, I, P>(evm: &mut CallEvm<'a, DB, I, P>) {
    let table = evm.instruction.instruction_table_mut();
    for (code, instruction) in [
        (opcode::JUMP, Instruction::new(jump)),
        (opcode::JUMPI, Instruction::new(jumpi)),
        (opcode::CALL, Instruction::new(call::<{ opcode::CALL }, _, _>)),
        (opcode::CALLCODE, Instruction::new(call::<{ opcode::CALLCODE }, _, _>)),
        (opcode::DELEGATECALL, Instruction::new(call::<{ opcode::DELEGATECALL }, _, _>)),
        (opcode::STATICCALL, Instruction::new(call::<{ opcode::STATICCALL }, _, _>)),
    ] {
        table[usize::from(code)] = instruction;
    }
}

fn jump<T: InterpreterTypes, DB: Database>(context: InstructionContext<'_, Host<'_, DB>, T>) -> InstructionExecResult {
    go_on(context.host)?;
    control::jump(context)
}

fn jumpi<T: InterpreterTypes, DB: Database>(context: InstructionContext<'_, Host<'_, DB>, T>) -> InstructionExecResult {
    go_on(context.host)?;
    control::jumpi(context)
}

fn call<const KIND: u8, T: InterpreterTypes, DB: Database>(
    context: InstructionContext<'_, Host<'_, DB>, T>,
) -> InstructionExecResult {
    go_on(context.host)?;
    contract::call::<KIND, _, _>(context)
}

#[inline(always)]
fn go_on<DB: Database>(host: &mut Host<'_, DB>) -> InstructionExecResult {
    if host.chain.is_set() {
        host.error = Err(ContextError::Custom("cancelled".to_owned()));
        return Err(InstructionResult::FatalExternalError);
    }
    Ok(())
}
