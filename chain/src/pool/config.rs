//! The pool's knobs, with geth's names and defaults.

use std::collections::BTreeSet;
use std::path::PathBuf;

use alloy_primitives::Address;

/// The largest encoding of a transaction that the pool takes, in bytes: four slots of 32 KiB, as geth has it.
pub const TRANSACTION_BYTES_MAX: usize = 128 * 1024;

/// Says who brought a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionOrigin {
    /// A user of this node, or the node itself.
    Local,
    /// A peer.
    Remote,
}

/// Says in which order a miner takes transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransactionOrder {
    /// The order in which they entered the pool, whatever they pay.
    #[default]
    Arrival,
    /// The highest effective tip first.
    Price,
}

/// Holds the pool's limits. The defaults are geth's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// The least tip cap in wei (gas price, for types 0 and 1) of a remote transaction.
    pub price_limit_wei: u128,
    /// By how many percent a replacement must raise both the fee cap and the tip cap.
    pub price_bump_percent: u64,
    /// An account with at most so many executable transactions loses none to fairness, only to better-paying ones.
    pub account_slots: usize,
    /// The most executable transactions of remote accounts in all.
    pub global_slots: usize,
    /// The most queued transactions of one remote account.
    pub account_queue: usize,
    /// The most queued transactions of remote accounts in all.
    pub global_queue: usize,
    /// How long a remote account's queued transactions wait after its last addition, in seconds.
    pub lifetime_s: u64,
    /// Accounts that are always treated as local.
    pub locals: BTreeSet<Address>,
    /// Treats transactions of local origin as remote ones; `locals` stay local.
    pub no_locals: bool,
    /// Where local transactions are kept over a restart; `None`: nowhere.
    pub journal: Option<PathBuf>,
    /// How often the owner of the pool should rotate the journal, in seconds.
    pub rejournal_s: u64,
    /// The most memory in bytes that all transactions, local ones too, may take.
    pub bytes_max: usize,
    /// Whether transactions that nobody has signed are taken from impersonated accounts: on a development chain.
    pub takes_impersonated: bool,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            price_limit_wei: 1,
            price_bump_percent: 10,
            account_slots: 16,
            global_slots: 5120,
            account_queue: 64,
            global_queue: 1024,
            lifetime_s: 3 * 60 * 60,
            locals: BTreeSet::new(),
            no_locals: false,
            journal: None,
            rejournal_s: 60 * 60,
            // geth's bound in other words: 5120 + 1024 slots of 32 KiB.
            bytes_max: 192 * 1024 * 1024,
            takes_impersonated: false,
        }
    }
}
