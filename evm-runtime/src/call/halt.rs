//! The words in which an exceptional halt is reported: geth's, which clients match.

use revm::bytecode::opcode::OpCode;
use revm::context_interface::result::{HaltReason, OutOfGasError};
use revm::inspector::Inspector;
use revm::interpreter::interpreter_types::{Jumps, LoopControl, StackTr};
use revm::interpreter::{InstructionResult, Interpreter, InterpreterAction, InterpreterTypes};

/// What a call says when its gas ran out.
pub(crate) const OUT_OF_GAS: &str = "out of gas";
/// What a creation says when no gas is left for its code.
pub(crate) const CODE_STORAGE_OUT_OF_GAS: &str = "contract creation code storage out of gas";

/// Remembers the last instruction, whose halt ended the transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastStep {
    /// The opcode.
    pub(crate) opcode: u8,
    /// Words on the stack before it.
    pub(crate) stack_len: usize,
    /// Whether it was a RETURN that itself succeeded.
    pub(crate) returned: bool,
}

impl<C, T: InterpreterTypes> Inspector<C, T> for LastStep {
    fn step(&mut self, interpreter: &mut Interpreter<T>, _context: &mut C) {
        *self = Self { opcode: interpreter.bytecode.opcode(), stack_len: interpreter.stack.len(), returned: false };
    }

    fn step_end(&mut self, interpreter: &mut Interpreter<T>, _context: &mut C) {
        self.returned = matches!(
            interpreter.bytecode.action(),
            Some(InterpreterAction::Return(end)) if end.result == InstructionResult::Return
        );
    }
}

/// Says whether the words of `reason` name the instruction, so that [`text`] needs the last step.
pub(crate) fn names_the_step(reason: &HaltReason) -> bool {
    matches!(
        reason,
        HaltReason::OpcodeNotFound
            | HaltReason::NotActivated
            | HaltReason::StackUnderflow
            | HaltReason::OutOfGas(OutOfGasError::Basic)
    )
}

/// Returns geth's words for `reason`.
pub(crate) fn text(reason: &HaltReason, last: LastStep) -> String {
    let words = match reason {
        HaltReason::OutOfGas(OutOfGasError::InvalidOperand) => "gas uint64 overflow",
        HaltReason::OutOfGas(OutOfGasError::ReentrancySentry) => "out of gas: not enough gas for reentrancy sentry",
        HaltReason::OutOfGas(OutOfGasError::Basic) if last.returned => CODE_STORAGE_OUT_OF_GAS,
        HaltReason::OutOfGas(
            OutOfGasError::Basic | OutOfGasError::MemoryLimit | OutOfGasError::Memory | OutOfGasError::Precompile,
        ) => OUT_OF_GAS,
        HaltReason::OpcodeNotFound | HaltReason::NotActivated => return invalid_opcode(last.opcode),
        HaltReason::InvalidFEOpcode => "invalid opcode: INVALID",
        HaltReason::InvalidJump => "invalid jump destination",
        HaltReason::StackUnderflow => {
            let needed = OpCode::new(last.opcode).map_or(0, |opcode| opcode.inputs());
            return format!("stack underflow ({} <=> {needed})", last.stack_len);
        }
        // An opcode leaves at most one word more than it takes, so all of them refuse a full stack alike.
        HaltReason::StackOverflow => "stack limit reached 1024 (1023)",
        HaltReason::OutOfOffset => "return data out of bounds",
        HaltReason::CreateCollision => "contract address collision",
        HaltReason::PrecompileError => "precompiled contract failed",
        HaltReason::PrecompileErrorWithContext(message) => message,
        HaltReason::NonceOverflow => "nonce uint64 overflow",
        HaltReason::CreateContractSizeLimit => "max code size exceeded",
        HaltReason::CreateContractStartingWithEF => "invalid code: must not begin with 0xef",
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded",
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => "write protection",
        HaltReason::OverflowPayment | HaltReason::OutOfFunds => "insufficient balance for transfer",
        HaltReason::CallTooDeep => "max call depth exceeded",
    };
    words.to_owned()
}

fn invalid_opcode(opcode: u8) -> String {
    match OpCode::new(opcode) {
        Some(known) => format!("invalid opcode: {known}"),
        None => format!("invalid opcode: opcode {opcode:#x} not defined"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_halt_has_the_words_that_clients_know() {
        let out_of_gas = HaltReason::OutOfGas;
        let plain = LastStep::default();
        let at = |opcode, stack_len| LastStep { opcode, stack_len, returned: false };
        let returned = LastStep { returned: true, ..plain };
        for (reason, last, expected) in [
            (out_of_gas(OutOfGasError::Basic), plain, "out of gas"),
            (out_of_gas(OutOfGasError::Basic), returned, "contract creation code storage out of gas"),
            (out_of_gas(OutOfGasError::MemoryLimit), plain, "out of gas"),
            (out_of_gas(OutOfGasError::Memory), plain, "out of gas"),
            (out_of_gas(OutOfGasError::Precompile), plain, "out of gas"),
            (out_of_gas(OutOfGasError::InvalidOperand), plain, "gas uint64 overflow"),
            (out_of_gas(OutOfGasError::ReentrancySentry), plain, "out of gas: not enough gas for reentrancy sentry"),
            (HaltReason::OpcodeNotFound, at(0x0c, 0), "invalid opcode: opcode 0xc not defined"),
            (HaltReason::OpcodeNotFound, at(0xef, 0), "invalid opcode: opcode 0xef not defined"),
            (HaltReason::NotActivated, at(0x5f, 0), "invalid opcode: PUSH0"),
            (HaltReason::InvalidFEOpcode, plain, "invalid opcode: INVALID"),
            (HaltReason::InvalidJump, plain, "invalid jump destination"),
            (HaltReason::StackUnderflow, at(0x01, 1), "stack underflow (1 <=> 2)"),
            (HaltReason::StackUnderflow, at(0x8f, 15), "stack underflow (15 <=> 16)"),
            (HaltReason::StackUnderflow, at(0x90, 0), "stack underflow (0 <=> 2)"),
            (HaltReason::StackOverflow, at(0x60, 1024), "stack limit reached 1024 (1023)"),
            (HaltReason::OutOfOffset, plain, "return data out of bounds"),
            (HaltReason::CreateCollision, plain, "contract address collision"),
            (HaltReason::PrecompileError, plain, "precompiled contract failed"),
            (HaltReason::PrecompileErrorWithContext("bad point".to_owned()), plain, "bad point"),
            (HaltReason::NonceOverflow, plain, "nonce uint64 overflow"),
            (HaltReason::CreateContractSizeLimit, plain, "max code size exceeded"),
            (HaltReason::CreateContractStartingWithEF, plain, "invalid code: must not begin with 0xef"),
            (HaltReason::CreateInitCodeSizeLimit, plain, "max initcode size exceeded"),
            (HaltReason::OverflowPayment, plain, "insufficient balance for transfer"),
            (HaltReason::StateChangeDuringStaticCall, plain, "write protection"),
            (HaltReason::CallNotAllowedInsideStatic, plain, "write protection"),
            (HaltReason::OutOfFunds, plain, "insufficient balance for transfer"),
            (HaltReason::CallTooDeep, plain, "max call depth exceeded"),
        ] {
            assert_eq!(text(&reason, last), expected, "{reason:?}");
        }
    }

    #[test]
    fn only_a_push_or_a_dup_can_overflow_and_needs_one_word() {
        for opcode in (0..=u8::MAX).filter_map(OpCode::new) {
            assert!(opcode.io_diff() <= 1, "{opcode}");
        }
    }
}
