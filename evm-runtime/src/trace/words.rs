//! geth's words for how frames and steps failed, and the refund counter as geth counts it: over the whole transaction.

use alloy_primitives::Bytes;
use alloy_rpc_types_trace::geth::{CallFrame, DefaultFrame, GethTrace};
use revm::bytecode::opcode::OpCode;
use revm::context_interface::result::{HaltReason, SuccessReason};
use revm::interpreter::interpreter_types::{Jumps, LoopControl};
use revm::interpreter::{InstructionResult, Interpreter, InterpreterAction, SuccessOrHalt};

use super::price::Price;
use crate::call::halt::{self, LastStep};

/// Watches frames and steps beside a tracer, for what the tracer does not know.
#[derive(Debug, Default)]
pub(super) struct Words {
    open: Vec<OpenFrame>,
    /// For each frame in the order in which they began.
    frames: Vec<FrameNote>,
    steps: Vec<StepNote>,
    step_count: usize,
}

/// What a frame has beside the tracer's record.
#[derive(Debug, Default)]
struct FrameNote {
    /// How it failed, if it did.
    error: Option<String>,
    /// The code that a creation of Frontier returned without gas to keep it: the contract is there, and empty.
    lost_code: Option<Bytes>,
}

#[derive(Debug)]
struct OpenFrame {
    index: usize,
    last: LastStep,
    /// What it returned by RETURN.
    returned: Bytes,
    /// What the frame has refunded so far.
    refunded: i64,
    /// What the frames around it had refunded when it began.
    refunded_around: i64,
}

/// What a step has beside the tracer's record: only steps with a refund, an error or an unknown opcode are noted.
#[derive(Debug, Default)]
struct StepNote {
    step: usize,
    refund: u64,
    error: Option<String>,
    undefined: Option<u8>,
    /// What it would have cost, where it could not be paid.
    price: Option<u64>,
}

impl Words {
    /// A frame begins.
    pub(super) fn begin_frame(&mut self) {
        let refunded_around = self.open.last().map_or(0, |frame| frame.refunded_around + frame.refunded);
        self.open.push(OpenFrame {
            index: self.frames.len(),
            last: LastStep::default(),
            returned: Bytes::new(),
            refunded: 0,
            refunded_around,
        });
        self.frames.push(FrameNote::default());
    }

    /// A frame ends.
    pub(super) fn end_frame(&mut self, result: InstructionResult) {
        let Some(frame) = self.open.pop() else { return };
        if let SuccessOrHalt::<HaltReason>::Halt(reason) = result.into() {
            self.frames[frame.index].error = Some(halt::text(&reason, frame.last));
        }
    }

    /// A creation ends and leaves `code`.
    pub(super) fn end_creation(&mut self, result: InstructionResult, code: &Bytes) {
        if let Some(frame) = self.open.last()
            && result.is_ok()
            && code.is_empty()
            && !frame.returned.is_empty()
        {
            self.frames[frame.index].lost_code = Some(frame.returned.clone());
        }
        self.end_frame(result);
    }

    /// An instruction is about to run.
    pub(super) fn begin_step(&mut self, interpreter: &Interpreter, with_notes: bool) {
        let Some(frame) = self.open.last_mut() else { return };
        let opcode = interpreter.bytecode.opcode();
        frame.last = LastStep { opcode, stack_len: interpreter.stack.len(), returned: false };
        frame.refunded = interpreter.gas.refunded();
        if !with_notes {
            return;
        }
        let refund = u64::try_from(frame.refunded_around + frame.refunded).unwrap_or_default();
        let undefined = OpCode::new(opcode).is_none().then_some(opcode);
        if refund > 0 || undefined.is_some() {
            self.steps.push(StepNote { step: self.step_count, refund, undefined, ..StepNote::default() });
        }
        self.step_count += 1;
    }

    /// An instruction has run; `price` is there where it could not be paid.
    pub(super) fn end_step(&mut self, interpreter: &mut Interpreter, with_notes: bool, price: Option<Price>) {
        let Some(frame) = self.open.last_mut() else { return };
        let Some(InterpreterAction::Return(end)) = interpreter.bytecode.action().as_ref() else { return };
        frame.last.returned = end.result == InstructionResult::Return;
        if frame.last.returned {
            frame.returned = end.output.clone();
        }
        if !with_notes || !refused_before_it_ran(end.result) {
            return;
        }
        if let SuccessOrHalt::<HaltReason>::Halt(reason) = end.result.into() {
            let error = Some(halt::text(&reason, frame.last));
            let (step, price) = (self.step_count - 1, price.map(Price::as_geth));
            match self.steps.last_mut() {
                Some(note) if note.step == step => (note.error, note.price) = (error, price),
                _ => self.steps.push(StepNote { step, error, price, ..StepNote::default() }),
            }
        }
    }

    /// Puts the words into a trace and forgets them.
    pub(super) fn finish(&mut self, trace: &mut GethTrace) {
        match trace {
            GethTrace::CallTracer(root) => self.put_into_calls(root),
            GethTrace::Default(steps) => self.put_into_steps(steps),
            GethTrace::MuxTracer(traces) => {
                for trace in traces.0.values_mut() {
                    if let GethTrace::CallTracer(root) = trace {
                        self.put_into_calls(root);
                    }
                }
            }
            _ => {}
        }
        *self = Self::default();
    }

    fn put_into_calls(&self, root: &mut CallFrame) {
        let mut notes = self.frames.iter();
        // Frames began in this order; destructions stand among them without being frames.
        let mut waiting = vec![root];
        while let Some(frame) = waiting.pop() {
            if frame.typ != "SELFDESTRUCT"
                && let Some(note) = notes.next()
            {
                frame.error = note.error.clone().or(frame.error.take());
                frame.output = frame.output.take().or_else(|| note.lost_code.clone());
            }
            waiting.extend(frame.calls.iter_mut().rev());
        }
    }

    fn put_into_steps(&mut self, trace: &mut DefaultFrame) {
        for log in &mut trace.struct_logs {
            log.error = None;
            log.refund_counter = None;
        }
        for note in self.steps.drain(..) {
            let Some(log) = trace.struct_logs.get_mut(note.step) else { continue };
            log.error = note.error;
            log.gas_cost = note.price.unwrap_or(log.gas_cost);
            log.refund_counter = Some(note.refund).filter(|refund| *refund > 0);
            if let Some(opcode) = note.undefined {
                log.op = format!("opcode {opcode:#x} not defined").into();
            }
        }
    }
}

/// Tells whether geth finds the error before it hands the instruction to its tracer, which then is told of it.
fn refused_before_it_ran(result: InstructionResult) -> bool {
    match SuccessOrHalt::<HaltReason>::from(result) {
        SuccessOrHalt::Halt(reason) => {
            matches!(reason, HaltReason::OutOfGas(_) | HaltReason::StackUnderflow | HaltReason::StackOverflow)
        }
        SuccessOrHalt::Success(SuccessReason::Stop | SuccessReason::Return | SuccessReason::SelfDestruct)
        | SuccessOrHalt::Revert
        | SuccessOrHalt::FatalExternalError
        | SuccessOrHalt::Internal(_) => false,
    }
}
