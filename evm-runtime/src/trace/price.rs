//! What an instruction costs that cannot be paid. The EVM stops at the first part of the price for which the gas does not last; geth and
//! OpenEthereum show all of it.

use alloy_primitives::{Address, U256};
use revm::Database;
use revm::bytecode::opcode;
use revm::context_interface::cfg::GasParams;
use revm::context_interface::context::SStoreResult;
use revm::context_interface::{ContextTr, Host, JournalTr};
use revm::inspector::JournalExt;
use revm::interpreter::instructions::gas_table_spec;
use revm::interpreter::interpreter_types::{InputsTr, Jumps, MemoryTr, RuntimeFlag};
use revm::interpreter::{InstructionResult, Interpreter};
use revm::primitives::hardfork::SpecId;

/// How many operands a price can hang on.
const OPERANDS: usize = 7;
/// The bytes of a word of memory.
const WORD_BYTES: usize = 32;

/// What an instruction began on, as far as its price hangs on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    opcode: u8,
    spec: SpecId,
    /// What was left.
    gas: u64,
    /// How large the memory was.
    memory_words: usize,
    /// The top of the stack, the top first.
    operands: [U256; OPERANDS],
    contract: Address,
    /// Whether the account or slot that it names was touched for the first time.
    is_cold: bool,
    /// Whether it would have made the account that it names.
    makes_account: bool,
    /// The value of the slot that it names, before the transaction and now, where the transaction has read it.
    slot: Option<(U256, U256)>,
}

/// The price of an instruction, in gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Price {
    /// What it costs whatever its operands are.
    pub(super) constant: u64,
    /// All of it, without what a call hands on.
    pub(super) whole: u64,
    /// What was left.
    gas: u64,
}

impl Price {
    /// Returns what geth shows, which looks at the constant part first.
    pub(super) fn as_geth(self) -> u64 {
        if self.gas < self.constant { self.constant } else { self.whole }
    }
}

/// Tells whether an instruction ended for want of gas.
pub(super) fn is_unpaid(end: InstructionResult) -> bool {
    use InstructionResult::{InvalidOperandOOG, MemoryOOG, OutOfGas, ReentrancySentryOOG};
    matches!(end, OutOfGas | MemoryOOG | InvalidOperandOOG | ReentrancySentryOOG)
}

impl Before {
    /// Looks at what an instruction begins on.
    pub(super) fn look<CTX: ContextTr<Journal: JournalExt>>(interpreter: &Interpreter, context: &mut CTX) -> Self {
        let mut operands = [U256::ZERO; OPERANDS];
        for (operand, word) in operands.iter_mut().zip(interpreter.stack.data().iter().rev()) {
            *operand = *word;
        }
        let mut before = Self {
            opcode: interpreter.bytecode.opcode(),
            spec: interpreter.runtime_flag.spec_id(),
            gas: interpreter.gas.remaining(),
            memory_words: interpreter.memory.size() / WORD_BYTES,
            operands,
            contract: interpreter.input.target_address(),
            is_cold: false,
            makes_account: false,
            slot: None,
        };
        before.look_at_state(context);
        before
    }

    /// Looks at the account or the slot that the instruction names; what is cold stays so.
    fn look_at_state<CTX: ContextTr<Journal: JournalExt>>(&mut self, context: &mut CTX) {
        let (contract, key) = (self.contract, self.operands[0]);
        match self.opcode {
            opcode::SLOAD | opcode::SSTORE => {
                let state = context.journal_ref().evm_state();
                let slot = state.get(&contract).and_then(|account| account.storage.get(&key));
                self.slot = slot.map(|slot| (slot.original_value, slot.present_value));
                self.is_cold =
                    self.has_cold_prices() && context.journal_mut().sload_skip_cold_load(contract, key, true).is_err();
            }
            opcode::SELFDESTRUCT => {
                let target = self.address(0);
                self.is_cold = self.is_cold_account(target, context);
                let state = context.journal_ref().evm_state();
                let has_value = state.get(&contract).is_some_and(|account| !account.info.balance.is_zero());
                let may_make = has_value || !self.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON);
                self.makes_account = may_make && is_empty(self.spec, target, context);
            }
            opcode::BALANCE | opcode::EXTCODESIZE | opcode::EXTCODEHASH | opcode::EXTCODECOPY => {
                self.is_cold = self.is_cold_account(self.address(0), context);
            }
            _ if self.is_call() => self.is_cold = self.is_cold_account(self.address(1), context),
            _ => {}
        }
    }

    fn has_cold_prices(&self) -> bool {
        self.spec.is_enabled_in(SpecId::BERLIN)
    }

    fn is_cold_account<CTX: ContextTr>(&self, address: Address, context: &mut CTX) -> bool {
        self.has_cold_prices() && context.journal_mut().load_account_info_skip_cold_load(address, false, true).is_err()
    }

    fn is_call(&self) -> bool {
        matches!(self.opcode, opcode::CALL | opcode::CALLCODE | opcode::DELEGATECALL | opcode::STATICCALL)
    }

    fn address(&self, operand: usize) -> Address {
        Address::from_word(self.operands[operand].into())
    }

    fn size(&self, operand: usize) -> Option<usize> {
        usize::try_from(self.operands[operand]).ok()
    }

    /// Returns the price. Where an operand is larger than any memory, only the constant part counts.
    pub(super) fn price<CTX: ContextTr<Journal: JournalExt>>(&self, context: &mut CTX) -> Price {
        let params = context.gas_params().clone();
        let mut constant = u64::from(gas_table_spec(self.spec)[usize::from(self.opcode)]);
        if matches!(self.opcode, opcode::CREATE | opcode::CREATE2) {
            constant = constant.saturating_add(params.create_cost());
        }
        let rest = self.by_operands(&params).unwrap_or(0).saturating_add(self.by_state(&params, context));
        Price { constant, whole: constant.saturating_add(rest), gas: self.gas }
    }

    /// Returns the part that follows from sizes.
    fn by_operands(&self, params: &GasParams) -> Option<u64> {
        let (in_memory, plain): (Option<(usize, usize)>, u64) = match self.opcode {
            opcode::KECCAK256 => (Some((0, 1)), params.keccak256_cost(self.size(1)?)),
            opcode::CALLDATACOPY | opcode::CODECOPY | opcode::RETURNDATACOPY => {
                (Some((0, 2)), params.copy_cost(self.size(2)?))
            }
            opcode::MCOPY => {
                let farthest = usize::from(self.operands[1] > self.operands[0]);
                (Some((farthest, 2)), params.mcopy_cost(self.size(2)?))
            }
            opcode::EXTCODECOPY => (Some((1, 3)), params.extcodecopy(self.size(3)?)),
            opcode::LOG0..=opcode::LOG4 => {
                let length = u64::try_from(self.size(1)?).ok()?;
                (Some((0, 1)), params.log_cost(self.opcode - opcode::LOG0, length))
            }
            opcode::RETURN | opcode::REVERT => (Some((0, 1)), 0),
            opcode::CREATE | opcode::CREATE2 => {
                let length = self.size(2)?;
                let is_metered = self.spec.is_enabled_in(SpecId::SHANGHAI);
                let init_code = if is_metered { params.initcode_cost(length) } else { 0 };
                let is_hashed = self.opcode == opcode::CREATE2;
                let hash = if is_hashed { params.keccak256_cost(length) } else { 0 };
                (Some((1, 2)), init_code.saturating_add(hash))
            }
            opcode::MLOAD | opcode::MSTORE => (None, self.expansion(params, self.size(0)?, WORD_BYTES)?),
            opcode::MSTORE8 => (None, self.expansion(params, self.size(0)?, 1)?),
            opcode::EXP => (None, params.exp_cost(self.operands[1])),
            _ if self.is_call() => {
                let first = if matches!(self.opcode, opcode::CALL | opcode::CALLCODE) { 3 } else { 2 };
                let (input, output) = (self.range(params, first)?, self.range(params, first + 2)?);
                (None, input.max(output))
            }
            _ => (None, 0),
        };
        let expansion = match in_memory {
            Some((offset, size)) => match self.size(size)? {
                0 => 0,
                size => self.expansion(params, self.size(offset)?, size)?,
            },
            None => 0,
        };
        Some(plain.saturating_add(expansion))
    }

    /// Returns what it costs to widen the memory to a range that two operands name: where it begins and its size.
    fn range(&self, params: &GasParams, first: usize) -> Option<u64> {
        match self.size(first + 1)? {
            0 => Some(0),
            size => self.expansion(params, self.size(first)?, size),
        }
    }

    fn expansion(&self, params: &GasParams, offset: usize, size: usize) -> Option<u64> {
        let words = offset.checked_add(size)?.div_ceil(WORD_BYTES).max(self.memory_words);
        Some(params.memory_cost(words).saturating_sub(params.memory_cost(self.memory_words)))
    }

    /// Returns the part that follows from the account or slot that is named.
    fn by_state<CTX: ContextTr<Journal: JournalExt>>(&self, params: &GasParams, context: &mut CTX) -> u64 {
        let if_cold = |gas: u64| if self.is_cold { gas } else { 0 };
        match self.opcode {
            opcode::SLOAD => if_cold(params.cold_storage_additional_cost()),
            opcode::BALANCE | opcode::EXTCODESIZE | opcode::EXTCODEHASH | opcode::EXTCODECOPY => {
                if_cold(params.cold_account_additional_cost())
            }
            opcode::SELFDESTRUCT => params.selfdestruct_cost(self.makes_account, self.is_cold),
            // Below the stipend it is refused whatever it would cost.
            opcode::SSTORE if self.spec.is_enabled_in(SpecId::ISTANBUL) && self.gas <= params.call_stipend() => 0,
            opcode::SSTORE => {
                let (original_value, present_value) = self.slot.unwrap_or_else(|| self.stored(context));
                let change = SStoreResult { original_value, present_value, new_value: self.operands[1] };
                let dynamic =
                    params.sstore_dynamic_gas(self.spec.is_enabled_in(SpecId::ISTANBUL), &change, self.is_cold);
                params.sstore_static_gas().saturating_add(dynamic)
            }
            _ if self.is_call() => {
                if_cold(params.cold_account_additional_cost()).saturating_add(self.by_callee(params, context))
            }
            _ => 0,
        }
    }

    /// Returns the value of a slot that the transaction has not touched before.
    fn stored<CTX: ContextTr<Journal: JournalExt>>(&self, context: &mut CTX) -> (U256, U256) {
        let (contract, key) = (self.contract, self.operands[0]);
        let account = context.journal_ref().evm_state().get(&contract);
        let read = account.and_then(|account| account.storage.get(&key)).map(|slot| slot.original_value);
        let value = read.or_else(|| context.db_mut().storage(contract, key).ok()).unwrap_or_default();
        (value, value)
    }

    /// Returns what a call costs for the value that it carries, for an account that it makes, and for the code that it is delegated to.
    fn by_callee<CTX: ContextTr<Journal: JournalExt>>(&self, params: &GasParams, context: &mut CTX) -> u64 {
        let carries = matches!(self.opcode, opcode::CALL | opcode::CALLCODE) && !self.operands[2].is_zero();
        let value = if carries { params.transfer_value_cost() } else { 0 };
        let callee = self.address(1);
        let rest = if self.opcode == opcode::CALL && is_empty(self.spec, callee, context) {
            params.new_account_cost(self.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON), carries)
        } else {
            match self.delegate(callee, context) {
                Some(delegate) if self.is_cold_account(delegate, context) => {
                    params.warm_storage_read_cost().saturating_add(params.cold_account_additional_cost())
                }
                Some(_) => params.warm_storage_read_cost(),
                None => 0,
            }
        };
        value.saturating_add(rest)
    }

    /// Returns whose code an account runs (EIP-7702).
    fn delegate<CTX: ContextTr<Journal: JournalExt>>(&self, address: Address, context: &mut CTX) -> Option<Address> {
        if !self.spec.is_enabled_in(SpecId::PRAGUE) {
            return None;
        }
        let known = context.journal_ref().evm_state().get(&address).map(|account| account.info.clone());
        let info = known.or_else(|| context.db_mut().basic(address).ok().flatten())?;
        let code = info.code.or_else(|| context.db_mut().code_by_hash(info.code_hash).ok())?;
        code.eip7702_address()
    }
}

/// Tells whether there is nothing at an address, by the fork's rule.
fn is_empty<CTX: ContextTr<Journal: JournalExt>>(spec: SpecId, address: Address, context: &mut CTX) -> bool {
    if let Some(account) = context.journal_ref().evm_state().get(&address) {
        return account.state_clear_aware_is_empty(spec);
    }
    match context.db_mut().basic(address) {
        Ok(Some(info)) => spec.is_enabled_in(SpecId::SPURIOUS_DRAGON) && info.is_empty(),
        Ok(None) => true,
        // The run ends for this reason anyway.
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(opcode: u8, operands: &[u64]) -> Before {
        let mut words = [U256::ZERO; OPERANDS];
        for (word, operand) in words.iter_mut().zip(operands) {
            *word = if *operand == u64::MAX { U256::MAX } else { U256::from(*operand) };
        }
        Before {
            opcode,
            spec: SpecId::CANCUN,
            gas: 10,
            memory_words: 1,
            operands: words,
            contract: Address::ZERO,
            is_cold: false,
            makes_account: false,
            slot: None,
        }
    }

    #[test]
    fn sizes_have_their_price() {
        let params = GasParams::new_spec(SpecId::CANCUN);
        let huge = u64::MAX;
        let cases: [(u8, &[u64], Option<u64>); 16] = [
            (opcode::ADD, &[], Some(0)),
            (opcode::MSTORE, &[0], Some(0)),
            (opcode::MSTORE, &[1], Some(3)),
            (opcode::MSTORE, &[huge], None),
            (opcode::MSTORE8, &[64], Some(6)),
            (opcode::KECCAK256, &[32, 33], Some(6 * 2 + 6)),
            (opcode::KECCAK256, &[huge, 0], Some(0)),
            (opcode::CALLDATACOPY, &[0, 9, 64], Some(3 * 2 + 3)),
            (opcode::MCOPY, &[0, 64, 32], Some(3 + 6)),
            (opcode::LOG2, &[0, 32], Some(8 * 32 + 2 * 375)),
            (opcode::EXP, &[2, 256], Some(100)),
            (opcode::CREATE, &[0, 0, 64], Some(2 * 2 + 3)),
            (opcode::CREATE2, &[0, 0, 64, 7], Some(2 * 2 + 6 * 2 + 3)),
            (opcode::CALL, &[0, 0, 0, 0, 32, 32, 64], Some(6)),
            (opcode::STATICCALL, &[0, 0, 0, 0, 0, 0], Some(0)),
            (opcode::RETURN, &[0, 1 << 30], Some(3 * ((1 << 25) - 1) + (1 << 50) / 512)),
        ];
        for (opcode, operands, expected) in cases {
            assert_eq!(before(opcode, operands).by_operands(&params), expected, "{opcode:#x} {operands:?}");
        }
    }

    #[test]
    fn geth_looks_at_the_constant_part_first() {
        let price = |gas| Price { constant: 5000, whole: 30_000, gas };
        assert_eq!([497, 4999, 5000, 29_999].map(|gas| price(gas).as_geth()), [5000, 5000, 30_000, 30_000]);
    }
}
