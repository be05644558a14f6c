//! What the slots of an order and of its registry say: who bought, and what was released.

use alloy_primitives::{Address, B256, U256, keccak256};

use crate::ProofError;
use crate::state::{AccountProof, verify_account, verify_slot};

/// The slot of the buyer in a sale.
const BUYER: u64 = 3;
/// The slot of the released job.
const JOB: u64 = 5;
/// The slot that packs who released, when, when it opened, and whether it was signed for.
const RELEASE: u64 = 7;
/// The slot of the registry's mapping from orders to whether it created them.
const CREATED: u64 = 1;

/// Returns the slots of a sale that a proof must have, in this order.
pub fn slots() -> [U256; 3] {
    [BUYER, JOB, RELEASE].map(U256::from)
}

/// Returns the slot of a registry that tells whether it created `order`.
pub fn registry_slot(order: Address) -> U256 {
    let mut key = [0; 64];
    key[12..32].copy_from_slice(order.as_slice());
    key[32..].copy_from_slice(&U256::from(CREATED).to_be_bytes::<32>());
    U256::from_be_bytes(keccak256(key).0)
}

/// Proofs of an order and of the registry that is said to have created it.
#[derive(Clone, Debug, Default)]
pub struct OrderProof {
    /// The order's account with its [`slots`].
    pub order: AccountProof,
    /// The registry's account with its [`registry_slot`].
    pub registry: AccountProof,
}

/// What is proven of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// Whether the registry created it.
    pub known: bool,
    /// keccak256 of its code.
    pub code_hash: B256,
    /// Who bought it; zero: nobody.
    pub buyer: Address,
    /// The job that was released; zero: none.
    pub job: B256,
    /// When the release was recorded, in seconds since 1970.
    pub released_at: u64,
    /// When the opening was recorded; 0: not yet.
    pub opened_at: u64,
}

/// Verifies what a state root says about an order.
///
/// # Errors
/// Something is not proven.
pub fn verify_order(
    state_root: B256,
    registry: Address,
    order: Address,
    proof: &OrderProof,
) -> Result<Ownership, ProofError> {
    let account = verify_account(state_root, order, &proof.order)?.ok_or(ProofError::Account(order))?;
    let keeper = verify_account(state_root, registry, &proof.registry)?.ok_or(ProofError::Account(registry))?;
    let mut values = [U256::ZERO; 3];
    for ((value, slot), place) in values.iter_mut().zip(slots()).zip(0..) {
        let nodes = proof.order.slots.get(place).ok_or(ProofError::Slot(slot))?;
        *value = verify_slot(account.storage_root, slot, nodes)?;
    }
    let slot = registry_slot(order);
    let created = proof.registry.slots.first().ok_or(ProofError::Slot(slot))?;
    let created = verify_slot(keeper.storage_root, slot, created)?;
    let [buyer, job, release] = values;
    let seconds = |shift: usize| (release >> shift) & U256::from((1_u64 << 40) - 1);
    Ok(Ownership {
        known: created == U256::ONE,
        code_hash: account.code_hash,
        buyer: Address::from_word(B256::from(buyer)),
        job: B256::from(job),
        released_at: u64::try_from(seconds(160)).unwrap_or(0),
        opened_at: u64::try_from(seconds(200)).unwrap_or(0),
    })
}
