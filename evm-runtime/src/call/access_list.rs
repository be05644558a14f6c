//! Access lists (EIP-2930): which accounts and slots a request touches.

use std::collections::{BTreeMap, BTreeSet};

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, TxKind};
use revm::bytecode::opcode;
use revm::interpreter::Interpreter;
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_types::{InputsTr, Jumps};
use revm::precompile::{PrecompileSpecId, Precompiles};
use revm::{Database, DatabaseRef, Inspector};

use super::simulation::Simulation;
use super::{BlockOverrides, CallContext, CallError, CallOutcome, CallRequest, StateOverrides};
use crate::environment::spec_id;

/// The list of one run may change what the next one touches; a request that never settles is cut off here.
const ROUNDS_MAX: usize = 16;

/// Holds the answer of [`create_access_list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedAccessList {
    /// What the request touches, by address; sender, callee and precompiles only where they have slots.
    pub access_list: AccessList,
    /// What the request uses with this list.
    pub gas_used: u64,
    /// How it failed, if it did.
    pub error: Option<String>,
}

/// Finds the access list of `request`, by running it with the list of the run before until the list stays the same.
///
/// # Errors
/// As [`super::call`].
pub fn create_access_list<D: DatabaseRef>(
    context: &CallContext<'_, D>,
    request: &CallRequest,
    state_overrides: &StateOverrides,
    block_overrides: &BlockOverrides,
) -> Result<CreatedAccessList, CallError>
where
    CallError: From<D::Error>,
{
    let gas = request.gas.unwrap_or(context.gas_cap).min(context.gas_cap);
    let refused = |words| format!("failed to apply transaction: err: {words}");
    let collector = Collector::default();
    let mut simulation = Simulation::inspected(context, request, state_overrides, block_overrides, collector)?;
    let excluded = excluded(&mut simulation)?;
    let mut list = request.access_list.clone().unwrap_or_default();
    for _ in 0..ROUNDS_MAX {
        simulation.set_access_list(list.clone());
        *simulation.inspector() = Collector::new(&excluded, &list);
        simulation.inspect(gas).map_err(|error| error.or_invalid(refused))?;
        let found = std::mem::take(simulation.inspector()).into_list();
        if found == list {
            break;
        }
        list = found;
    }
    let request = CallRequest { access_list: Some(list.clone()), ..request.clone() };
    let mut simulation = Simulation::new(context, &request, state_overrides, block_overrides)?;
    let (gas_used, error) = match simulation.outcome(gas).map_err(|error| error.or_invalid(refused))? {
        CallOutcome::Success { gas_used, .. } => (gas_used, None),
        CallOutcome::Revert { gas_used, .. } => (gas_used, Some("execution reverted".to_owned())),
        CallOutcome::Halt { reason, gas_used } => (gas_used, Some(reason)),
    };
    Ok(CreatedAccessList { access_list: list, gas_used, error })
}

/// Returns the addresses that are warm without a list: sender, callee or new contract, precompiles, and who delegates.
fn excluded<D: DatabaseRef>(simulation: &mut Simulation<'_, D, Collector>) -> Result<BTreeSet<Address>, CallError>
where
    CallError: From<D::Error>,
{
    let precompiles = Precompiles::new(PrecompileSpecId::from_spec_id(spec_id(simulation.fork())));
    let sender = simulation.tx().caller;
    let callee = match simulation.tx().kind {
        TxKind::Call(callee) => callee,
        TxKind::Create => sender.create(simulation.state().basic(sender)?.unwrap_or_default().nonce),
    };
    let authorities = simulation.tx().authorization_list.iter().filter_map(|authorization| match authorization {
        revm::context_interface::either::Either::Right(recovered) => recovered.authority(),
        revm::context_interface::either::Either::Left(_) => None,
    });
    Ok(precompiles.addresses().copied().chain([sender, callee]).chain(authorities).collect())
}

/// Collects what instructions touch.
#[derive(Debug, Default)]
struct Collector {
    excluded: BTreeSet<Address>,
    touched: BTreeMap<Address, BTreeSet<B256>>,
}

impl Collector {
    fn new(excluded: &BTreeSet<Address>, list: &AccessList) -> Self {
        let mut touched: BTreeMap<Address, BTreeSet<B256>> = BTreeMap::new();
        for item in list.iter().filter(|item| !excluded.contains(&item.address) || !item.storage_keys.is_empty()) {
            touched.entry(item.address).or_default().extend(&item.storage_keys);
        }
        Self { excluded: excluded.clone(), touched }
    }

    fn into_list(self) -> AccessList {
        let item = |(address, slots): (Address, BTreeSet<B256>)| AccessListItem {
            address,
            storage_keys: slots.into_iter().collect(),
        };
        AccessList(self.touched.into_iter().map(item).collect())
    }
}

impl<C> Inspector<C, EthInterpreter> for Collector {
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, _context: &mut C) {
        let word = |from_top| interpreter.stack.peek(from_top).ok();
        let touched = match interpreter.bytecode.opcode() {
            opcode::SLOAD | opcode::SSTORE => {
                if let Some(slot) = word(0) {
                    let contract = interpreter.input.target_address();
                    self.touched.entry(contract).or_default().insert(slot.into());
                }
                None
            }
            opcode::BALANCE
            | opcode::EXTCODESIZE
            | opcode::EXTCODECOPY
            | opcode::EXTCODEHASH
            | opcode::SELFDESTRUCT => word(0),
            opcode::CALL | opcode::CALLCODE | opcode::DELEGATECALL | opcode::STATICCALL => word(1),
            _ => None,
        };
        if let Some(address) = touched.map(|word| Address::from_word(word.into()))
            && !self.excluded.contains(&address)
        {
            self.touched.entry(address).or_default();
        }
    }
}
