//! The precompiles that a call sees: those of its fork, unless overrides move or replace some.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use alloy_primitives::map::AddressSet;
use revm::context_interface::{Cfg, ContextTr};
use revm::handler::{EthPrecompiles, PrecompileProvider};
use revm::interpreter::{CallInputs, InterpreterResult};
use revm::primitives::hardfork::SpecId;

use super::{CallError, StateOverrides};

/// The precompiles of a fork, some of them elsewhere or gone.
#[derive(Clone, Debug)]
pub(crate) struct CallPrecompiles {
    fork: EthPrecompiles,
    /// Addresses where none is any more: an account that is overridden is an account.
    gone: BTreeSet<Address>,
    /// Addresses where one has come, and from where.
    moved: BTreeMap<Address, Address>,
}

impl CallPrecompiles {
    /// Returns the precompiles of a fork after `overrides`.
    ///
    /// # Errors
    /// What is to be moved is no precompile, or something else is or will be where it is to be moved to.
    pub(crate) fn new(spec: SpecId, overrides: &StateOverrides) -> Result<Self, CallError> {
        let mut precompiles = Self { fork: EthPrecompiles::new(spec), gone: BTreeSet::new(), moved: BTreeMap::new() };
        for (address, account) in overrides {
            let is_precompile = precompiles.fork.contains(address);
            if let Some(target) = account.move_precompile_to {
                precompiles.move_one(*address, target, is_precompile, overrides)?;
            }
            if is_precompile {
                precompiles.gone.insert(*address);
            }
        }
        Ok(precompiles)
    }

    fn move_one(
        &mut self,
        from: Address,
        to: Address,
        is_precompile: bool,
        overrides: &StateOverrides,
    ) -> Result<(), CallError> {
        if !is_precompile {
            return Err(CallError::Invalid(format!("account {from} is not a precompile")));
        }
        if to == from {
            return Err(CallError::PrecompileToItself(from));
        }
        if overrides.contains_key(&to) {
            return Err(CallError::Invalid(format!("account {to} is already overridden")));
        }
        if self.moved.insert(to, from).is_some() {
            return Err(CallError::PrecompilesToOne(to));
        }
        Ok(())
    }
}

impl<CTX: ContextTr<Cfg: Cfg<Spec = SpecId>>> PrecompileProvider<CTX> for CallPrecompiles {
    type Output = InterpreterResult;

    /// Keeps what was made for the fork: a call has one.
    fn set_spec(&mut self, spec: SpecId) -> bool {
        PrecompileProvider::<CTX>::set_spec(&mut self.fork, spec)
    }

    fn run(&mut self, context: &mut CTX, inputs: &CallInputs) -> Result<Option<InterpreterResult>, String> {
        let address = inputs.bytecode_address;
        if let Some(from) = self.moved.get(&address) {
            let there = CallInputs { bytecode_address: *from, ..inputs.clone() };
            return self.fork.run(context, &there);
        }
        if self.gone.contains(&address) {
            return Ok(None);
        }
        self.fork.run(context, inputs)
    }

    /// Returns the addresses of the fork's own: who moves one does not warm another (as in geth).
    fn warm_addresses(&self) -> &AddressSet {
        self.fork.warm_addresses()
    }

    fn contains(&self, address: &Address) -> bool {
        self.moved.contains_key(address) || (self.fork.contains(address) && !self.gone.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::AccountOverride;

    fn refusal(moves: &[(u8, u8)]) -> Option<String> {
        let at = |byte: u8| Address::with_last_byte(byte);
        let one = |(from, to): &(u8, u8)| {
            (at(*from), AccountOverride { move_precompile_to: Some(at(*to)), ..AccountOverride::default() })
        };
        CallPrecompiles::new(SpecId::OSAKA, &moves.iter().map(one).collect()).err().map(|error| error.to_string())
    }

    #[test]
    fn what_cannot_be_moved_is_refused() {
        assert_eq!(refusal(&[(1, 0x99)]), None);
        assert_eq!(refusal(&[(1, 2)]), None);
        let a = |byte: u8| Address::with_last_byte(byte).to_string();
        assert_eq!(refusal(&[(0x99, 1)]), Some(format!("account {} is not a precompile", a(0x99))));
        assert_eq!(refusal(&[(1, 2), (2, 0x99)]), Some(format!("account {} is already overridden", a(2))));
        assert!(refusal(&[(1, 1)]).is_some_and(|words| words.contains("itself")));
        assert!(refusal(&[(1, 0x99), (2, 0x99)]).is_some_and(|words| words.contains(&a(0x99))));
    }
}
