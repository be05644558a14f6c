//! What OpenEthereum's machine trace (`vmTrace`) shows and the recorder leaves out:
//!
//! - The step of a call has the whole memory that the call may write, also where less came back, or nothing.
//! - A jump was made before it is found out that it leads nowhere: its step has an effect.
//! - An instruction that cannot be paid has its price.
//! - A creation where an account already is has its code, although that never ran.

use std::ops::Range;

use alloy_primitives::{Bytes, U256};
use alloy_rpc_types_trace::parity::MemoryDelta;
use revm::bytecode::opcode;
use revm::interpreter::interpreter_types::{Jumps, MemoryTr};
use revm::interpreter::{InstructionResult, Interpreter};
use revm_inspectors::tracing::CallTraceArena;
use revm_inspectors::tracing::types::CallTraceNode;

/// Notes it beside the recorder. Frames are numbered as they begin, as the recorder's nodes are, and steps within their frame.
#[derive(Debug, Default)]
pub(super) struct Machine {
    open: Vec<OpenFrame>,
    frames: usize,
    notes: Vec<Note>,
}

#[derive(Debug)]
struct OpenFrame {
    index: usize,
    /// How many steps have begun.
    steps: usize,
    /// The memory that the last of them may write when the frame goes on, where it is a call.
    output: Option<Range<usize>>,
}

/// What is put into the record of a frame.
#[derive(Debug)]
struct Note {
    frame: usize,
    what: What,
}

#[derive(Debug)]
enum What {
    /// What a call's step may have written.
    Memory { step: usize, delta: MemoryDelta },
    /// What a step would have cost.
    Price { step: usize, gas: u64 },
    /// The code of a creation that never ran.
    Code(Bytes),
}

impl Machine {
    /// A frame begins.
    pub(super) fn begin_frame(&mut self) {
        self.open.push(OpenFrame { index: self.frames, steps: 0, output: None });
        self.frames += 1;
    }

    /// A frame ends.
    pub(super) fn end_frame(&mut self) {
        self.open.pop();
    }

    /// A creation with this code ends.
    pub(super) fn end_creation(&mut self, result: InstructionResult, init_code: &Bytes) {
        if let Some(frame) = self.open.pop()
            && result == InstructionResult::CreateCollision
        {
            self.notes.push(Note { frame: frame.index, what: What::Code(init_code.clone()) });
        }
    }

    /// An instruction is about to run. Returns how many bytes of memory were noted.
    pub(super) fn begin_step(&mut self, interpreter: &Interpreter) -> usize {
        let Some(frame) = self.open.last_mut() else { return 0 };
        let mut noted = 0;
        if let Some(range) = frame.output.take().filter(|range| range.end <= interpreter.memory.size()) {
            noted = range.len();
            let data = Bytes::copy_from_slice(&interpreter.memory.slice(range.clone()));
            let delta = MemoryDelta { off: range.start, data };
            self.notes.push(Note { frame: frame.index, what: What::Memory { step: frame.steps - 1, delta } });
        }
        frame.output = output_of_call(interpreter.bytecode.opcode(), interpreter.stack.data());
        frame.steps += 1;
        noted
    }

    /// The instruction that has just been tried could not be paid.
    pub(super) fn note_price(&mut self, gas: u64) {
        if let Some(frame) = self.open.last() {
            let step = frame.steps.saturating_sub(1);
            self.notes.push(Note { frame: frame.index, what: What::Price { step, gas } });
        }
    }

    /// Puts the notes into the record of a transaction and forgets them.
    pub(super) fn finish(&mut self, record: &mut CallTraceArena) {
        let nodes = record.nodes_mut();
        for step in nodes.iter_mut().flat_map(|node| &mut node.trace.steps) {
            step.status = step.status.filter(|status| *status != InstructionResult::InvalidJump);
        }
        for Note { frame, what } in std::mem::take(self).notes {
            if let Some(node) = nodes.get_mut(frame) {
                what.put_into(node);
            }
        }
    }
}

impl What {
    fn put_into(self, node: &mut CallTraceNode) {
        let trace = &mut node.trace;
        match self {
            Self::Memory { step, delta } => {
                if let Ok(place) = trace.step_deltas.binary_search_by_key(&step, |recorded| recorded.step) {
                    trace.step_deltas[place].memory = Some(delta);
                }
            }
            Self::Price { step, gas } => {
                if let Some(step) = trace.steps.get_mut(step) {
                    step.gas_cost = gas;
                }
            }
            Self::Code(code) => trace.bytecode = Some(code),
        }
    }
}

/// Returns the memory that a call may write; none where it may write none.
fn output_of_call(opcode: u8, stack: &[U256]) -> Option<Range<usize>> {
    let below_top = match opcode {
        opcode::CALL | opcode::CALLCODE => 5,
        opcode::DELEGATECALL | opcode::STATICCALL => 4,
        _ => return None,
    };
    let word = |depth: usize| usize::try_from(*stack.get(stack.len().checked_sub(depth + 1)?)?).ok();
    let (offset, size) = (word(below_top)?, word(below_top + 1)?);
    (size > 0).then_some(offset..offset.checked_add(size)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_a_call_is_where_its_operands_say() {
        let call = |offset, size| [size, offset, U256::ZERO, U256::ZERO, U256::ZERO, U256::ZERO, U256::ZERO];
        let word = U256::from(32);
        let cases = [
            (opcode::CALL, call(word, U256::from(64)).to_vec(), Some(32..96)),
            (opcode::CALLCODE, call(word, U256::from(1)).to_vec(), Some(32..33)),
            (opcode::STATICCALL, call(word, U256::from(2))[..6].to_vec(), Some(32..34)),
            (opcode::DELEGATECALL, call(U256::ZERO, word)[..6].to_vec(), Some(0..32)),
            (opcode::CALL, call(word, U256::ZERO).to_vec(), None),
            (opcode::CALL, call(U256::MAX, word).to_vec(), None),
            (opcode::CALL, call(U256::from(usize::MAX), word).to_vec(), None),
            (opcode::CALL, vec![word; 6], None),
            (opcode::CREATE, vec![word; 7], None),
        ];
        for (opcode, stack, expected) in cases {
            assert_eq!(output_of_call(opcode, &stack), expected, "{opcode:#x} {stack:?}");
        }
    }
}
