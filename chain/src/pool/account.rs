//! One sender's transactions: the executable ones, whose nonces follow the account's own without a gap and which its
//! balance covers in sum, and the queued ones behind them.

use std::collections::BTreeMap;

use alloy_consensus::Transaction as _;
use alloy_primitives::{B256, U256};
use consensus::RecoveredTransaction;

use super::config::TransactionOrigin;

/// What the miner of a transaction earns at best, first by the tip that is left after the base fee at its arrival. It is not
/// computed again when the base fee moves: it only decides who leaves a full pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    tip_wei: u128,
    fee_cap_wei: u128,
}

impl Rank {
    pub(super) fn new(transaction: &RecoveredTransaction, base_fee: Option<u64>) -> Self {
        let tip_wei = transaction.effective_tip_per_gas(base_fee.unwrap_or(0)).unwrap_or(0);
        Self { tip_wei, fee_cap_wei: transaction.max_fee_per_gas() }
    }
}

/// A transaction in the pool.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) transaction: RecoveredTransaction,
    /// Grows with each entry into the pool.
    pub(super) sequence: u64,
    pub(super) added_at: u64,
    pub(super) origin: TransactionOrigin,
    /// Gas limit times fee cap, plus value.
    pub(super) cost: U256,
    pub(super) rank: Rank,
    /// The lowest rank among this one and those executable before it: it is worth no more than what it waits for.
    pub(super) floor: Rank,
}

impl Entry {
    pub(super) fn nonce(&self) -> u64 {
        self.transaction.nonce()
    }

    pub(super) fn hash(&self) -> B256 {
        self.transaction.hash()
    }
}

/// Returns the most that a transaction can cost its sender, in wei.
pub(super) fn cost(transaction: &RecoveredTransaction) -> U256 {
    let gas = U256::from(transaction.gas_limit()).saturating_mul(U256::from(transaction.max_fee_per_gas()));
    gas.saturating_add(transaction.value())
}

/// What the state says of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) nonce: u64,
    pub(super) balance: U256,
}

#[derive(Clone, Debug)]
pub(super) struct Account {
    facts: Facts,
    /// No key is below `facts.nonce`.
    transactions: BTreeMap<u64, Entry>,
    /// The executable nonces are `facts.nonce..next`.
    next: u64,
    /// What the executable ones cost in sum; at most the balance.
    spent: U256,
    /// No transaction here asks for more gas.
    gas_max: u64,
    local: bool,
    /// When something was last added, in seconds.
    pub(super) beat: u64,
}

impl Account {
    pub(super) fn new(facts: Facts, local: bool, beat: u64) -> Self {
        let (transactions, next, spent) = (BTreeMap::new(), facts.nonce, U256::ZERO);
        Self { facts, transactions, next, spent, gas_max: 0, local, beat }
    }

    pub(super) fn facts(&self) -> Facts {
        self.facts
    }

    pub(super) fn is_local(&self) -> bool {
        self.local
    }

    pub(super) fn set_local(&mut self, local: bool) {
        self.local = local;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// Returns the first nonce behind the executable ones.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Returns what the executable transactions cost in sum.
    pub(super) fn spent(&self) -> U256 {
        self.spent
    }

    pub(super) fn executable_count(&self) -> usize {
        usize::try_from(self.next - self.facts.nonce).expect("each executable nonce is in memory")
    }

    pub(super) fn queued_count(&self) -> usize {
        self.transactions.len() - self.executable_count()
    }

    pub(super) fn get(&self, nonce: u64) -> Option<&Entry> {
        self.transactions.get(&nonce)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.transactions.values()
    }

    pub(super) fn executables(&self) -> impl Iterator<Item = &Entry> {
        self.transactions.range(..self.next).map(|(_, entry)| entry)
    }

    pub(super) fn queued(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.transactions.range(self.next..).map(|(_, entry)| entry)
    }

    /// Returns the executable transaction with the highest nonce.
    pub(super) fn last_executable(&self) -> Option<&Entry> {
        if self.next == self.facts.nonce { None } else { self.transactions.get(&(self.next - 1)) }
    }

    /// Returns the queued transaction with the highest nonce.
    pub(super) fn last_queued(&self) -> Option<&Entry> {
        self.queued().next_back()
    }

    /// Puts an entry in, and returns the one that had its nonce. The nonce is not below the account's.
    pub(super) fn insert(&mut self, entry: Entry) -> Option<Entry> {
        let nonce = entry.nonce();
        self.gas_max = self.gas_max.max(entry.transaction.gas_limit());
        let replaced = self.transactions.insert(nonce, entry);
        if nonce < self.next {
            self.settle();
        } else if nonce == self.next {
            self.extend();
        }
        replaced
    }

    /// Takes an entry out; those behind it are queued then.
    pub(super) fn remove(&mut self, nonce: u64) -> Option<Entry> {
        let entry = self.transactions.remove(&nonce)?;
        if nonce.checked_add(1) == Some(self.next) {
            self.next = nonce;
            self.spent = self.spent.saturating_sub(entry.cost);
        } else if nonce < self.next {
            self.settle();
        }
        Some(entry)
    }

    /// Takes the state's word, and returns the entries whose nonces are used. Quick where the nonce moved within the executable
    /// ones and the balance still covers what is left of them.
    pub(super) fn update(&mut self, facts: Facts) -> Vec<Entry> {
        let mut used = Vec::new();
        while let Some(first) = self.transactions.first_entry().filter(|first| *first.key() < facts.nonce) {
            if *first.key() < self.next {
                self.spent = self.spent.saturating_sub(first.get().cost);
            }
            used.push(first.remove());
        }
        let is_prefix = (self.facts.nonce..=self.next).contains(&facts.nonce) && self.spent <= facts.balance;
        // The floors behind the first one are right if its own is: if it owes nothing to the used ones.
        let are_floors_right = self.get(facts.nonce).is_none_or(|first| first.floor == first.rank);
        self.facts = facts;
        if is_prefix && are_floors_right {
            self.extend();
        } else {
            self.settle();
        }
        used
    }

    /// Takes out the entries that ask for more gas than a block has.
    pub(super) fn extract_larger_than(&mut self, block_gas: u64) -> Vec<Entry> {
        if self.gas_max <= block_gas {
            return Vec::new();
        }
        self.gas_max = block_gas;
        self.extract(|entry| entry.transaction.gas_limit() > block_gas)
    }

    /// Takes out the entries that the balance does not cover even alone: none of the executable ones.
    pub(super) fn extract_unaffordable(&mut self) -> Vec<Entry> {
        let (next, balance) = (self.next, self.facts.balance);
        if self.queued().all(|entry| entry.cost <= balance) {
            return Vec::new();
        }
        self.extract(|entry| entry.nonce() >= next && entry.cost > balance)
    }

    /// Takes out all entries for which `unfit` is true.
    pub(super) fn extract(&mut self, unfit: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let nonces: Vec<u64> = self.entries().filter(|entry| unfit(entry)).map(Entry::nonce).collect();
        let taken: Vec<Entry> = nonces.iter().filter_map(|nonce| self.transactions.remove(nonce)).collect();
        if !taken.is_empty() {
            self.settle();
        }
        taken
    }

    /// Finds the executable ones anew.
    fn settle(&mut self) {
        self.next = self.facts.nonce;
        self.spent = U256::ZERO;
        self.extend();
    }

    /// Makes executable what follows the executable ones.
    fn extend(&mut self) {
        let mut floor = self.last_executable().map(|entry| entry.floor);
        for (nonce, entry) in self.transactions.range_mut(self.next..) {
            let Some(spent) = self.spent.checked_add(entry.cost) else { break };
            if *nonce != self.next || spent > self.facts.balance {
                break;
            }
            entry.floor = floor.map_or(entry.rank, |floor| floor.min(entry.rank));
            floor = Some(entry.floor);
            self.spent = spent;
            self.next += 1;
        }
    }
}
