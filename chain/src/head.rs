//! What the pool knows of the head.

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use consensus::fees;
use evm_runtime::state::StateSource;
use evm_runtime::{StateError, StateView};

use crate::pool::{HeadFacts, HeadState};
use crate::view::ChainView;

/// Reads accounts at the head of a view.
pub(crate) struct PoolHead {
    facts: HeadFacts,
    state: StateView,
    state_root: B256,
}

impl PoolHead {
    /// Takes what the pool must know from `view`.
    pub(crate) fn new(view: &ChainView) -> Self {
        let (head, spec) = (view.head(), view.spec());
        let next = head.number.saturating_add(1);
        let facts = HeadFacts {
            number: head.number,
            timestamp: head.timestamp,
            base_fee: fees::next_base_fee(spec, head, head.timestamp),
            gas_limit: head.gas_limit,
            fork: spec.fork_by(next, head.timestamp, head.difficulty),
            chain_id: spec.chain_id,
            contract_size_limit: spec.contract_size_limit,
        };
        Self { facts, state: view.head_state(), state_root: view.state_root }
    }

    /// Returns the root of the state at the head.
    pub(crate) fn state_root(&self) -> B256 {
        self.state_root
    }
}

impl HeadState for PoolHead {
    fn account(&self, address: Address) -> Result<(u64, U256, bool), StateError> {
        /// How the code of a delegated account begins (EIP-7702).
        const DELEGATION: [u8; 3] = [0xef, 0x01, 0x00];
        let Some(account) = self.state.account(address)? else { return Ok((0, U256::ZERO, false)) };
        let is_contract = account.code_hash != KECCAK256_EMPTY
            && !self.state.code_by_hash(account.code_hash)?.starts_with(&DELEGATION);
        Ok((account.nonce, account.balance, is_contract))
    }

    fn head(&self) -> &HeadFacts {
        &self.facts
    }
}
