//! How the pool follows the chain: transactions that were mined leave, those of dropped blocks come back.

use alloy_consensus::Transaction as _;
use alloy_primitives::map::{AddressMap, HashMap};
use alloy_primitives::{Address, B256, U256};
use consensus::{Fork, RecoveredTransaction};
use evm_runtime::StateError;

use super::account::{Entry, Facts};
use super::contents::{Admission, Candidate, Contents};
use super::errors::{DropReason, PoolError};
use super::validate::validate_alone;

/// What the pool must know of the head.
pub trait HeadState {
    /// Returns an account's nonce, its balance in wei, and whether it has code that is no EIP-7702 delegation.
    ///
    /// # Errors
    /// The store failed.
    fn account(&self, address: Address) -> Result<(u64, U256, bool), StateError>;

    /// Returns what is true for all accounts.
    fn head(&self) -> &HeadFacts;
}

/// Holds what the pool must know of the head and of the block after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadFacts {
    /// The head's number.
    pub number: u64,
    /// The head's timestamp in seconds.
    pub timestamp: u64,
    /// The base fee of the next block in wei; `None` before London.
    pub base_fee: Option<u64>,
    /// The head's gas limit.
    pub gas_limit: u64,
    /// The next block's fork.
    pub fork: Fork,
    /// The chain id of EIP-155.
    pub chain_id: u64,
    /// The chain's own limit of contract code in bytes; `None`: the fork's.
    pub contract_size_limit: Option<usize>,
}

/// Returns what the state says of the sender of a transaction, who may be a contract only where it is impersonated.
pub(super) fn sender_facts(state: &dyn HeadState, transaction: &RecoveredTransaction) -> Result<Facts, PoolError> {
    let (nonce, balance, is_contract) = state.account(transaction.sender())?;
    if is_contract && !transaction.is_impersonated() {
        return Err(PoolError::SenderNotEoa(transaction.sender()));
    }
    Ok(Facts { nonce, balance })
}

impl Contents {
    /// Follows the chain to a new head.
    pub(super) fn follow(
        &mut self,
        state: &dyn HeadState,
        mined: &mut dyn Iterator<Item = &RecoveredTransaction>,
        returned: Vec<RecoveredTransaction>,
        now: u64,
    ) {
        let head = state.head();
        let fork_before = self.head.replace((head.number, head.fork)).map(|(_, fork)| fork);
        let hashes = self.note_mined(mined);
        let mut touched: Vec<Address> = self.mined.keys().copied().collect();
        touched.extend(self.doubtful.drain());
        touched
            .extend(returned.iter().flat_map(|transaction| [Some(transaction.sender()), transaction.to()]).flatten());
        touched.retain(|address| self.accounts.contains_key(address));
        touched.sort_unstable();
        touched.dedup();
        for address in touched {
            self.refresh(address, state, &hashes);
        }
        if fork_before.is_some_and(|fork| fork != head.fork) {
            self.drop_invalid(head);
        }
        for transaction in returned {
            self.take_back(transaction, state, &hashes, now);
        }
        self.make_room();
    }

    /// Remembers the senders of the newest blocks, and returns the mined hashes of senders that are in the pool.
    fn note_mined(&mut self, mined: &mut dyn Iterator<Item = &RecoveredTransaction>) -> HashMap<(Address, u64), B256> {
        let mut next_nonces = AddressMap::default();
        let mut hashes = HashMap::default();
        for transaction in mined {
            let (sender, nonce) = (transaction.sender(), transaction.nonce());
            let next = next_nonces.entry(sender).or_insert(0);
            *next = nonce.saturating_add(1).max(*next);
            hashes.insert((sender, nonce), transaction.hash());
        }
        self.mined = next_nonces;
        hashes
    }

    /// Reads an account's state again. Where the store fails, the mined nonces alone are taken.
    pub(super) fn refresh(&mut self, address: Address, state: &dyn HeadState, mined: &HashMap<(Address, u64), B256>) {
        let Some(known) = self.accounts.get(&address).map(|account| account.facts()) else { return };
        let facts = state.account(address).map_or_else(
            |_| Facts { nonce: self.mined.get(&address).copied().unwrap_or(0).max(known.nonce), ..known },
            |(nonce, balance, _)| Facts { nonce, balance },
        );
        let block_gas = state.head().gas_limit;
        let taken = self.change(address, |account| {
            let used = account.update(facts);
            let too_large = account.extract_larger_than(block_gas);
            let unpaid = account.extract_unaffordable();
            (used, too_large, unpaid)
        });
        let Some((used, too_large, unpaid)) = taken else { return };
        for entry in used {
            self.drop_used(entry, mined);
        }
        self.drop_all(too_large, DropReason::ExceedsBlockGasLimit);
        self.drop_all(unpaid, DropReason::InsufficientFunds);
    }

    /// Lets go of an entry whose nonce is used: by itself, or by another one.
    fn drop_used(&mut self, entry: Entry, mined: &HashMap<(Address, u64), B256>) {
        match mined.get(&(entry.transaction.sender(), entry.nonce())) {
            Some(hash) if *hash == entry.hash() => self.forget(&entry),
            Some(by) => self.drop_all(vec![entry], DropReason::Replaced { by: *by }),
            None => self.drop_all(vec![entry], DropReason::NonceTooLow),
        }
    }

    /// Drops what the next block's fork does not allow.
    fn drop_invalid(&mut self, head: &HeadFacts) {
        let entries = self.accounts.values().flat_map(|account| account.entries());
        let invalid = |entry: &Entry| validate_alone(&entry.transaction, head).err().map(|error| (entry.hash(), error));
        let invalid: Vec<(B256, PoolError)> = entries.filter_map(invalid).collect();
        for (hash, error) in invalid {
            self.drop_one(hash, DropReason::Invalid(Box::new(error)));
        }
    }

    /// Puts a transaction of a dropped block back, unless the new branch has it.
    fn take_back(
        &mut self,
        transaction: RecoveredTransaction,
        state: &dyn HeadState,
        mined: &HashMap<(Address, u64), B256>,
        now: u64,
    ) {
        let hash = transaction.hash();
        if mined.get(&(transaction.sender(), transaction.nonce())) == Some(&hash) {
            return;
        }
        let head = state.head();
        let result = validate_alone(&transaction, head).and_then(|()| {
            let facts = sender_facts(state, &transaction)?;
            let (seen_at, base_fee) = (head.number, head.base_fee);
            self.admit(Candidate { transaction, admission: Admission::Returned, facts, seen_at, base_fee, now })
        });
        match result {
            Ok(()) | Err(PoolError::AlreadyKnown) => {}
            Err(error) => self.unreported.push((hash, reason_of(error))),
        }
    }
}

/// Says why a transaction did not come back.
fn reason_of(error: PoolError) -> DropReason {
    match error {
        PoolError::NonceTooLow { .. } => DropReason::NonceTooLow,
        PoolError::PoolFull => DropReason::PoolFull,
        PoolError::Outbid => DropReason::Underpriced,
        PoolError::ExceedsBlockGasLimit => DropReason::ExceedsBlockGasLimit,
        PoolError::InsufficientFunds { .. }
        | PoolError::Overdraft { .. }
        | PoolError::OverdraftByReplacement { .. } => DropReason::InsufficientFunds,
        error => DropReason::Invalid(Box::new(error)),
    }
}
