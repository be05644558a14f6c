//! The order in which a miner takes transactions.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use alloy_consensus::Transaction as _;
use alloy_primitives::Address;
use alloy_primitives::map::AddressSet;
use consensus::RecoveredTransaction;

use super::account::Account;
use super::config::TransactionOrder;

/// What a miner asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) order: TransactionOrder,
    pub(super) base_fee: Option<u64>,
    pub(super) min_tip: u128,
}

/// Yields the executable transactions as they were at one moment: each sender's by nonce, the senders' by arrival or by price.
///
/// An account's transactions end at the first one that does not pay the base fee or, for a remote account, the minimum tip.
#[derive(Debug)]
pub struct BestTransactions {
    accounts: Vec<(Address, Arc<Account>)>,
    /// Each account's next transaction.
    heads: BinaryHeap<Head>,
    skipped: AddressSet,
    terms: Terms,
}

/// Ordered by what is taken first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    /// The effective tip; 0 for all in order of arrival.
    tip_wei: u128,
    sequence: Reverse<u64>,
    account: usize,
    nonce: u64,
}

impl BestTransactions {
    pub(super) fn new(accounts: Vec<(Address, Arc<Account>)>, terms: Terms) -> Self {
        let firsts = accounts.iter().enumerate();
        let heads =
            firsts.filter_map(|(index, (_, account))| head(index, account, account.facts().nonce, terms)).collect();
        Self { accounts, heads, skipped: AddressSet::default(), terms }
    }

    /// Leaves out what else `address` has: an earlier one of it could not be executed.
    pub fn skip_account(&mut self, address: Address) {
        self.skipped.insert(address);
    }
}

/// Finds an account's transaction with this nonce, if it is executable and pays enough.
fn head(index: usize, account: &Account, nonce: u64, terms: Terms) -> Option<Head> {
    if nonce >= account.next() {
        return None;
    }
    let entry = account.get(nonce)?;
    let tip = entry.transaction.effective_tip_per_gas(terms.base_fee.unwrap_or(0))?;
    if tip < terms.min_tip && !account.is_local() {
        return None;
    }
    let tip_wei = match terms.order {
        TransactionOrder::Arrival => 0,
        TransactionOrder::Price => tip,
    };
    Some(Head { tip_wei, sequence: Reverse(entry.sequence), account: index, nonce })
}

impl Iterator for BestTransactions {
    type Item = RecoveredTransaction;

    fn next(&mut self) -> Option<RecoveredTransaction> {
        loop {
            let Head { account: index, nonce, .. } = self.heads.pop()?;
            let (address, account) = &self.accounts[index];
            if self.skipped.contains(address) {
                continue;
            }
            let transaction = account.get(nonce).expect("found in this account").transaction.clone();
            self.heads.extend(head(index, account, nonce + 1, self.terms));
            return Some(transaction);
        }
    }
}
