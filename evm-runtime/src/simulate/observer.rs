//! What a simulated call emits: its logs, and transfers of ether as logs where they are asked for.

use alloy_primitives::{Address, B256, Log, LogData, U256, b256};
use revm::Inspector;
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::{CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, Interpreter};

use super::{TRANSFERS_FROM, Transfers};
use crate::call::halt::LastStep;

/// keccak256 of `Transfer(address,address,uint256)` (ERC-20).
const TRANSFER: B256 = b256!("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// Keeps the logs of a call, frame by frame: what reverts has emitted nothing.
#[derive(Debug)]
pub(super) struct Observer {
    transfers: Transfers,
    frames: Vec<Vec<Log>>,
    logs: Vec<Log>,
    last: LastStep,
}

impl Observer {
    pub(super) fn new(transfers: Transfers) -> Self {
        Self { transfers, frames: Vec::new(), logs: Vec::new(), last: LastStep::default() }
    }

    /// Returns the logs of the call that has ended and its last instruction, and forgets both.
    pub(super) fn take(&mut self) -> (Vec<Log>, LastStep) {
        self.frames.clear();
        (std::mem::take(&mut self.logs), std::mem::take(&mut self.last))
    }

    fn transfer(&mut self, from: Address, to: Address, wei: U256) {
        if self.transfers == Transfers::Hidden || wei.is_zero() {
            return;
        }
        let topics = vec![TRANSFER, from.into_word(), to.into_word()];
        let data = LogData::new_unchecked(topics, wei.to_be_bytes::<32>().into());
        self.emit(Log { address: TRANSFERS_FROM, data });
    }

    fn emit(&mut self, log: Log) {
        self.frames.last_mut().unwrap_or(&mut self.logs).push(log);
    }

    /// Ends a frame; what it emitted stands where it did not fail.
    fn end(&mut self, has_succeeded: bool) {
        let emitted = self.frames.pop().unwrap_or_default();
        if has_succeeded {
            self.frames.last_mut().unwrap_or(&mut self.logs).extend(emitted);
        }
    }
}

impl<C> Inspector<C, EthInterpreter> for Observer {
    fn step(&mut self, interpreter: &mut Interpreter, context: &mut C) {
        self.last.step(interpreter, context);
    }

    fn step_end(&mut self, interpreter: &mut Interpreter, context: &mut C) {
        self.last.step_end(interpreter, context);
    }

    fn log(&mut self, _: &mut C, log: Log) {
        self.emit(log);
    }

    fn call(&mut self, _: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.frames.push(Vec::new());
        if let Some(wei) = inputs.transfer_value() {
            // CALLCODE runs another's code on the caller's own account.
            let to = match inputs.scheme {
                CallScheme::CallCode => inputs.bytecode_address,
                _ => inputs.target_address,
            };
            self.transfer(inputs.caller, to, wei);
        }
        None
    }

    fn call_end(&mut self, _: &mut C, _: &CallInputs, outcome: &mut CallOutcome) {
        self.end(outcome.result.is_ok());
    }

    fn create(&mut self, _: &mut C, _: &mut CreateInputs) -> Option<CreateOutcome> {
        self.frames.push(Vec::new());
        None
    }

    fn create_end(&mut self, _: &mut C, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        // The address is known only now, but the transfer came before all else.
        let emitted = self.frames.last_mut().map(std::mem::take).unwrap_or_default();
        if let Some(created) = outcome.address {
            self.transfer(inputs.caller(), created, inputs.value());
        }
        emitted.into_iter().for_each(|log| self.emit(log));
        self.end(outcome.result.is_ok());
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.transfer(contract, target, value);
    }
}
