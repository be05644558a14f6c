//! Why a transaction waits: what stands between it and the next block, as far as pool and head can tell.

use alloy_consensus::Transaction as _;
use alloy_primitives::{B256, U256};

use super::account::{Account, Entry};
use super::contents::Contents;
use super::validate::tip_cap;

/// How many missing nonces an explanation names.
pub const MISSING_NONCES_MAX: usize = 16;

/// Says what keeps a transaction from being mined. Amounts are in wei.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Earlier nonces of its sender are missing.
    NonceGap {
        /// The nonce that the account uses next.
        next: u64,
        /// The missing nonces, lowest first, at most [`MISSING_NONCES_MAX`] of them.
        missing: Vec<u64>,
        /// How many are missing in all.
        missing_count: u64,
    },
    /// The balance does not cover its sender's transactions up to `nonce` in sum.
    Balance {
        /// The first nonce that is not covered.
        nonce: u64,
        /// The sender's balance.
        balance: U256,
        /// What the transactions up to `nonce` can cost at most.
        needed: U256,
    },
    /// A transaction's fee cap is below the next block's base fee.
    FeeCap {
        /// Its nonce: the explained transaction's own, or that of an earlier one.
        nonce: u64,
        /// What it pays at most per unit of gas.
        fee_cap_wei: u128,
        /// What the next block takes per unit of gas.
        base_fee_wei: u64,
    },
    /// A transaction leaves this node's miner less than it asks for.
    Tip {
        /// Its nonce: the explained transaction's own, or that of an earlier one.
        nonce: u64,
        /// What would be left to the miner per unit of gas.
        tip_wei: u128,
        /// What this node's miner asks for.
        minimum_wei: u128,
    },
}

/// Holds what the pool knows of a transaction that waits in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Whether its nonce and its sender's balance allow it in the next block.
    pub executable: bool,
    /// How many of its sender's transactions stand before it.
    pub behind: usize,
    /// What keeps it from being mined; empty where nothing but a block with room is wanting.
    pub obstacles: Vec<Obstacle>,
}

/// Explains why the transaction with this hash waits; `None` where it is not here. `base_fee` is the next block's, `min_tip` what
/// this node's miner asks of remote accounts; both in wei.
pub(super) fn explain(contents: &Contents, hash: B256, base_fee: Option<u64>, min_tip: u128) -> Option<Waiting> {
    let (address, nonce) = *contents.by_hash.get(&hash)?;
    let account = contents.accounts.get(&address)?;
    let executable = nonce < account.next();
    let min_tip = if account.is_local() { 0 } else { min_tip };
    let mut obstacles: Vec<Obstacle> =
        [nonce_gap(account, nonce), balance(account, nonce)].into_iter().flatten().collect();
    obstacles.extend(
        account.entries().take_while(|entry| entry.nonce() <= nonce).find_map(|entry| price(entry, base_fee, min_tip)),
    );
    let behind = account.entries().take_while(|entry| entry.nonce() < nonce).count();
    Some(Waiting { executable, behind, obstacles })
}

fn nonce_gap(account: &Account, nonce: u64) -> Option<Obstacle> {
    let next = account.facts().nonce;
    let present = account.entries().take_while(|entry| entry.nonce() < nonce).count();
    let present = u64::try_from(present).expect("a length fits 64 bits");
    let missing_count = nonce.saturating_sub(next).saturating_sub(present);
    if missing_count == 0 {
        return None;
    }
    let missing =
        (account.next()..nonce).filter(|nonce| account.get(*nonce).is_none()).take(MISSING_NONCES_MAX).collect();
    Some(Obstacle::NonceGap { next, missing, missing_count })
}

/// The balance is what stops the executable ones where the nonce behind them is there.
fn balance(account: &Account, nonce: u64) -> Option<Obstacle> {
    let first = account.next();
    let entry = account.get(first).filter(|_| first <= nonce)?;
    let needed = account.spent().saturating_add(entry.cost);
    Some(Obstacle::Balance { nonce: first, balance: account.facts().balance, needed })
}

fn price(entry: &Entry, base_fee: Option<u64>, min_tip: u128) -> Option<Obstacle> {
    let (nonce, base_fee_wei) = (entry.nonce(), base_fee.unwrap_or(0));
    let fee_cap_wei = entry.transaction.max_fee_per_gas();
    let Some(left) = fee_cap_wei.checked_sub(u128::from(base_fee_wei)) else {
        return Some(Obstacle::FeeCap { nonce, fee_cap_wei, base_fee_wei });
    };
    let tip_wei = left.min(tip_cap(&entry.transaction));
    (tip_wei < min_tip).then_some(Obstacle::Tip { nonce, tip_wei, minimum_wei: min_tip })
}
