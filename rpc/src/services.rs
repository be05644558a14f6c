//! What the server needs from the rest of the node: the ledger, and two traits that the node implements, because it
//! imports this crate and not the other way round.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, Signature};
use chain::LedgerHandle;

use crate::dev::DevChain;
use crate::operation::Operation;

/// Tells the time in seconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Holds what the methods work on.
#[derive(Clone)]
pub struct Services {
    /// The chain and its pool.
    pub ledger: LedgerHandle,
    /// The keystore.
    pub signer: Arc<dyn Signer>,
    /// The miner's switch.
    pub miner: Arc<dyn MinerControl>,
    /// The clock.
    pub clock: Clock,
    /// What `web3_clientVersion` answers, such as `Drawbridge/v0.1.0/linux-amd64`.
    pub client_version: String,
    /// What `net_version` answers.
    pub network_id: u64,
    /// What the methods of operators work on.
    pub operation: Operation,
    /// What the methods of development chains work on; `None`: this is none.
    pub dev: Option<DevChain>,
}

/// Says why the keystore does not sign, in geth's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The account is locked.
    #[error("authentication needed: password or unlock")]
    Locked,
    /// The password is wrong.
    #[error("could not decrypt key with given password")]
    WrongPassword,
    /// The account is not in the keystore.
    #[error("unknown account")]
    UnknownAccount,
    /// The account's key file is gone.
    #[error("no key for given address or file")]
    NoKey,
    /// The account is there already.
    #[error("account already exists")]
    AlreadyExists,
    /// The bytes are no private key.
    #[error("invalid private key")]
    InvalidKey,
    /// The key file cannot be read or written.
    #[error("{0}")]
    Store(String),
}

/// Holds accounts and signs for them.
pub trait Signer: Send + Sync {
    /// Returns the accounts, in the order in which they were made.
    fn accounts(&self) -> Vec<Address>;

    /// Signs a 32-byte digest with an unlocked account.
    ///
    /// # Errors
    /// The account is locked or unknown.
    fn sign_hash(&self, address: Address, digest: B256) -> Result<Signature, SignerError>;

    /// Signs a 32-byte digest with an account that the password opens for this one time.
    ///
    /// # Errors
    /// The password is wrong, or the account unknown.
    fn sign_with_password(&self, address: Address, password: &str, digest: B256) -> Result<Signature, SignerError>;

    /// Makes an account whose key file the password locks.
    ///
    /// # Errors
    /// The key file cannot be written.
    fn new_account(&self, password: &str) -> Result<Address, SignerError>;

    /// Adds an account with a given private key.
    ///
    /// # Errors
    /// No private key, an account that exists, or a key file that cannot be written.
    fn import(&self, key: B256, password: &str) -> Result<Address, SignerError>;

    /// Unlocks an account for a duration; `None` until the node ends.
    ///
    /// # Errors
    /// The password is wrong, or the account unknown.
    fn unlock(&self, address: Address, password: &str, duration: Option<Duration>) -> Result<(), SignerError>;

    /// Locks an account; tells whether it exists.
    fn lock(&self, address: Address) -> bool;

    /// Returns the accounts with where their keys lie and whether they are unlocked.
    fn wallets(&self) -> Vec<WalletView>;
}

/// Describes where an account's key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletView {
    /// The account.
    pub address: Address,
    /// The key file; none where the key is in memory alone.
    pub file: Option<PathBuf>,
    /// Whether it signs without a password now.
    pub is_unlocked: bool,
}

/// Says why the miner does not obey.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MinerError {
    /// Nobody is named to be credited.
    #[error("etherbase must be explicitly specified")]
    NoEtherbase,
    /// The chain file names authorized miners, and the etherbase is none of them.
    #[error("the etherbase {0} is not an authorized miner of this chain")]
    NotAuthorized(Address),
    /// The extra data are longer than the 32 bytes of a header.
    #[error("extra exceeds max length. {actual} > 32")]
    ExtraTooLong {
        /// The length in bytes.
        actual: usize,
    },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Starts, stops and tunes the miner.
pub trait MinerControl: Send + Sync {
    /// Starts mining, on `threads` threads where given; a running miner changes its number of threads.
    ///
    /// # Errors
    /// No etherbase, or one that may not mine.
    fn start(&self, threads: Option<usize>) -> Result<(), MinerError>;

    /// Stops mining; nothing happens where it does not mine.
    fn stop(&self);

    /// Tells whether the miner runs.
    fn is_mining(&self) -> bool;

    /// Returns hashes per second.
    fn hash_rate(&self) -> u64;

    /// Returns who is credited.
    fn etherbase(&self) -> Option<Address>;

    /// Sets who is credited from the next block on.
    ///
    /// # Errors
    /// The address may not mine.
    fn set_etherbase(&self, address: Address) -> Result<(), MinerError>;

    /// Sets the extra data of the blocks to come.
    ///
    /// # Errors
    /// They are longer than 32 bytes.
    fn set_extra(&self, extra: Bytes) -> Result<(), MinerError>;

    /// Sets the least tip in wei that the miner takes.
    fn set_gas_price(&self, wei: u128);

    /// Sets the gas limit to move towards.
    fn set_gas_limit(&self, gas: u64);

    /// Sets how often the block being mined takes in new transactions.
    fn set_recommit(&self, every: Duration);
}
