//! An inspector that ends a run when the record of it grows too large.
//!
//! A block's gas buys far more trace than memory holds: 50 million gas are 15 million steps with up to 1,024 stack words each. What
//! is recorded is therefore weighed as it comes, in about the bytes that it will take as JSON.

use std::collections::HashSet;

use alloy_primitives::{Address, Log, U256};
use revm::bytecode::opcode;
use revm::context_interface::{ContextError, ContextTr, JournalTr};
use revm::handler::FrameResult;
use revm::inspector::JournalExt;
use revm::interpreter::interpreter_types::{InputsTr, Jumps, LoopControl, MemoryTr, ReturnData};
use revm::interpreter::{
    CallInputs, CallOutcome, CreateInputs, CreateOutcome, FrameInput, InstructionResult, Interpreter, InterpreterAction,
};
use revm::{Inspector, primitives::map::HashMap};

use super::machine::Machine;
use super::price::{Before, is_unpaid};
use super::words::Words;

/// What the fields of a step take apart from those that grow.
const STEP_BYTES: usize = 90;
/// What the fields of a frame take apart from input and output.
const FRAME_BYTES: usize = 400;
/// What the fields of a log take apart from its data.
const LOG_BYTES: usize = 200;
/// What a storage slot takes: two words with quotes, colon and comma.
const SLOT_BYTES: usize = 138;
/// What a word of 32 bytes takes, with quotes and comma.
const WORD_BYTES: usize = 67;

/// Says what an inspector records of each step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StepWeights {
    /// Whether steps are recorded at all.
    pub(super) steps: bool,
    /// Whether with the stack.
    pub(super) stack: bool,
    /// Whether with the memory.
    pub(super) memory: bool,
    /// Whether with the storage that the contract has touched so far.
    pub(super) storage: bool,
    /// Whether with what the last call returned.
    pub(super) return_data: bool,
    /// How many steps are recorded at most; 0: all.
    pub(super) steps_max: u64,
}

/// Passes everything on to `inner` until the record has become too large.
#[derive(Debug)]
pub(super) struct Bounded<I> {
    pub(super) inner: I,
    weights: StepWeights,
    room_bytes: usize,
    steps: u64,
    slots: HashMap<Address, HashSet<U256>>,
    exceeded: bool,
    pub(super) words: Words,
    /// Only where the machine's steps are shown as OpenEthereum does.
    pub(super) machine: Option<Machine>,
    /// What the instruction under way began on, where steps are recorded.
    before: Option<Before>,
    /// A destruction that the EVM has not told of yet.
    untold: Option<Destruction>,
}

/// A contract destroys itself in its own favour.
#[derive(Clone, Copy, Debug)]
struct Destruction {
    contract: Address,
    balance: U256,
}

impl<I> Bounded<I> {
    /// Puts a limit on what `inner` records.
    pub(super) fn new(inner: I, weights: StepWeights, bytes_max: usize) -> Self {
        Self {
            inner,
            weights,
            room_bytes: bytes_max,
            steps: 0,
            slots: HashMap::default(),
            exceeded: false,
            words: Words::default(),
            machine: None,
            before: None,
            untold: None,
        }
    }

    /// Notes what OpenEthereum's machine trace shows beside what `inner` records.
    pub(super) fn with_machine(mut self) -> Self {
        self.machine = Some(Machine::default());
        self
    }

    /// Tells whether the run was ended for its size.
    pub(super) fn has_exceeded(&self) -> bool {
        self.exceeded
    }

    /// Begins another transaction; what was recorded so far still counts.
    pub(super) fn next_transaction(&mut self) {
        self.steps = 0;
        self.slots.clear();
    }

    fn take(&mut self, bytes: usize) {
        match self.room_bytes.checked_sub(bytes) {
            Some(left) => self.room_bytes = left,
            None => self.exceeded = true,
        }
    }

    fn begin_frame(&mut self) {
        self.words.begin_frame();
        if let Some(machine) = &mut self.machine {
            machine.begin_frame();
        }
    }

    /// A frame ends: where it destroyed its contract in the contract's own favour, `inner` is told of it. The EVM tells only of what
    /// changes the state, and that does not since EIP-6780, unless the contract is new.
    fn tell_of_destruction<CTX>(&mut self)
    where
        I: Inspector<CTX>,
    {
        if let Some(Destruction { contract, balance }) = self.untold.take() {
            self.inner.selfdestruct(contract, contract, balance);
        }
    }

    fn weigh_step(&mut self, interpreter: &Interpreter) {
        let weights = self.weights;
        self.steps += 1;
        if !weights.steps || (weights.steps_max > 0 && self.steps > weights.steps_max) {
            return;
        }
        let mut bytes = STEP_BYTES;
        if weights.stack {
            let hex_bytes = |word: &U256| 5 + word.bit_len().div_ceil(4);
            bytes += interpreter.stack.data().iter().map(hex_bytes).sum::<usize>();
        }
        if weights.memory {
            bytes = bytes.saturating_add((interpreter.memory.size() / 32).saturating_mul(WORD_BYTES));
        }
        if weights.return_data {
            bytes = bytes.saturating_add(interpreter.return_data.buffer().len().saturating_mul(2));
        }
        if weights.storage && matches!(interpreter.bytecode.opcode(), opcode::SLOAD | opcode::SSTORE) {
            let slots = self.slots.entry(interpreter.input.target_address()).or_default();
            slots.extend(interpreter.stack.data().last());
            bytes = bytes.saturating_add(slots.len().saturating_mul(SLOT_BYTES));
        }
        self.take(bytes);
    }
}

impl Destruction {
    /// Looks whether the instruction that is about to run destroys its contract in the contract's own favour.
    fn look<CTX: ContextTr>(interpreter: &Interpreter, context: &mut CTX) -> Option<Self> {
        if interpreter.bytecode.opcode() != opcode::SELFDESTRUCT {
            return None;
        }
        let contract = interpreter.input.target_address();
        let target = Address::from_word((*interpreter.stack.data().last()?).into());
        if target != contract {
            return None;
        }
        // It is loaded, since it runs.
        let balance = context.journal_mut().load_account(contract).ok()?.data.info.balance;
        Some(Self { contract, balance })
    }
}

impl<CTX: ContextTr<Journal: JournalExt>, I: Inspector<CTX>> Inspector<CTX> for Bounded<I> {
    fn initialize_interp(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        self.inner.initialize_interp(interpreter, context);
    }

    fn step(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        self.weigh_step(interpreter);
        self.words.begin_step(interpreter, self.weights.steps);
        self.before = self.weights.steps.then(|| Before::look(interpreter, context));
        self.untold = Destruction::look(interpreter, context);
        let noted = self.machine.as_mut().map_or(0, |machine| machine.begin_step(interpreter));
        self.take(noted.saturating_mul(2));
        self.inner.step(interpreter, context);
        if self.exceeded {
            if context.error().is_ok() {
                *context.error() = Err(ContextError::Custom("the trace is too large".to_owned()));
            }
            interpreter.bytecode.action().take();
            interpreter.bytecode.reset_action();
            interpreter.halt_fatal();
        }
    }

    fn step_end(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        self.inner.step_end(interpreter, context);
        let end = match interpreter.bytecode.action() {
            Some(InterpreterAction::Return(end)) => Some(end.result),
            _ => None,
        };
        self.untold = self.untold.filter(|_| end == Some(InstructionResult::SelfDestruct));
        let price = match (end, self.before.take()) {
            (Some(end), Some(before)) if is_unpaid(end) => Some(before.price(context)),
            _ => None,
        };
        if let (Some(price), Some(machine)) = (price, &mut self.machine) {
            machine.note_price(price.whole);
        }
        self.words.end_step(interpreter, self.weights.steps, price);
    }

    fn log(&mut self, context: &mut CTX, log: Log) {
        self.take(LOG_BYTES.saturating_add(log.data.data.len().saturating_mul(2)));
        self.inner.log(context, log);
    }

    fn log_full(&mut self, interpreter: &mut Interpreter, context: &mut CTX, log: Log) {
        self.take(LOG_BYTES.saturating_add(log.data.data.len().saturating_mul(2)));
        self.inner.log_full(interpreter, context, log);
    }

    fn frame_start(&mut self, context: &mut CTX, input: &mut FrameInput) -> Option<FrameResult> {
        self.inner.frame_start(context, input)
    }

    fn frame_end(&mut self, context: &mut CTX, input: &FrameInput, result: &mut FrameResult) {
        self.inner.frame_end(context, input, result);
    }

    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.take(FRAME_BYTES.saturating_add(inputs.input.len().saturating_mul(2)));
        self.begin_frame();
        self.inner.call(context, inputs)
    }

    fn call_end(&mut self, context: &mut CTX, inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.take(outcome.result.output.len().saturating_mul(2));
        self.words.end_frame(outcome.result.result);
        if let Some(machine) = &mut self.machine {
            machine.end_frame();
        }
        self.tell_of_destruction::<CTX>();
        self.inner.call_end(context, inputs, outcome);
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.take(FRAME_BYTES.saturating_add(inputs.init_code().len().saturating_mul(2)));
        self.begin_frame();
        self.inner.create(context, inputs)
    }

    fn create_end(&mut self, context: &mut CTX, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        self.take(outcome.result.output.len().saturating_mul(2));
        self.words.end_creation(outcome.result.result, &outcome.result.output);
        if let Some(machine) = &mut self.machine {
            machine.end_creation(outcome.result.result, inputs.init_code());
        }
        self.tell_of_destruction::<CTX>();
        self.inner.create_end(context, inputs, outcome);
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.untold = None;
        self.inner.selfdestruct(contract, target, value);
    }
}
