//! Who leaves a full pool first. Only remote accounts stand here: local ones are exempt.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use alloy_primitives::Address;

use super::account::{Account, Rank};

/// Counts the transactions and orders the remote accounts. Among equals the one that added last stands first to leave, so that a
/// newcomer never displaces its like.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// Executable transactions of all accounts.
    pub(super) executable: usize,
    /// Queued transactions of all accounts.
    pub(super) queued: usize,
    /// Executable transactions of remote accounts.
    pub(super) remote_executable: usize,
    /// Queued transactions of remote accounts.
    pub(super) remote_queued: usize,
    account_slots: usize,
    /// Those with more executable transactions than `account_slots`: count, sequence of the last one.
    largest: BTreeSet<(usize, u64, Address)>,
    /// The lowest rank among the executable ones, sequence of the last one.
    cheapest: BTreeSet<(Rank, Reverse<u64>, Address)>,
    /// Count of the queued ones, sequence of the last one.
    longest: BTreeSet<(usize, u64, Address)>,
}

impl Index {
    pub(super) fn new(account_slots: usize) -> Self {
        Self { account_slots, ..Self::default() }
    }

    /// Counts an account in.
    pub(super) fn add(&mut self, address: Address, account: &Account) {
        let (executable, queued) = (account.executable_count(), account.queued_count());
        self.executable += executable;
        self.queued += queued;
        if account.is_local() {
            return;
        }
        self.remote_executable += executable;
        self.remote_queued += queued;
        if let Some(last) = account.last_executable() {
            self.cheapest.insert((last.floor, Reverse(last.sequence), address));
            if executable > self.account_slots {
                self.largest.insert((executable, last.sequence, address));
            }
        }
        if let Some(last) = account.last_queued() {
            self.longest.insert((queued, last.sequence, address));
        }
    }

    /// Counts an account out, which is as it was when it was counted in.
    pub(super) fn remove(&mut self, address: Address, account: &Account) {
        let (executable, queued) = (account.executable_count(), account.queued_count());
        self.executable -= executable;
        self.queued -= queued;
        if account.is_local() {
            return;
        }
        self.remote_executable -= executable;
        self.remote_queued -= queued;
        if let Some(last) = account.last_executable() {
            self.cheapest.remove(&(last.floor, Reverse(last.sequence), address));
            if executable > self.account_slots {
                self.largest.remove(&(executable, last.sequence, address));
            }
        }
        if let Some(last) = account.last_queued() {
            self.longest.remove(&(queued, last.sequence, address));
        }
    }

    /// Returns the account with the most executable transactions, if it has more than its share.
    pub(super) fn largest(&self) -> Option<Address> {
        self.largest.last().map(|(_, _, address)| *address)
    }

    /// Returns the account whose executable transactions are worth least.
    pub(super) fn cheapest(&self) -> Option<Address> {
        self.cheapest.first().map(|(_, _, address)| *address)
    }

    /// Returns the account with the most queued transactions, and how many they are.
    pub(super) fn longest_queue(&self) -> Option<(usize, Address)> {
        self.longest.last().map(|(count, _, address)| (*count, *address))
    }

    /// Returns the accounts that have queued transactions.
    pub(super) fn queuing(&self) -> impl Iterator<Item = Address> {
        self.longest.iter().map(|(_, _, address)| *address)
    }
}
