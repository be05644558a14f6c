//! Why the pool refuses a transaction, and why one leaves it unmined. Clients match the refusals' words, which are geth's.

use alloy_primitives::{Address, B256, U256};
use evm_runtime::StateError;

/// Says why a transaction did not enter the pool. Amounts are in wei.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum PoolError {
    /// The pool has this very transaction.
    #[error("already known")]
    AlreadyKnown,
    /// The sender's nonce is past it.
    #[error("nonce too low: next nonce {next}, tx nonce {tx}")]
    NonceTooLow { next: u64, tx: u64 },
    /// The last nonce of all could never be followed (EIP-2681).
    #[error("nonce has max value")]
    NonceMax,
    /// The pool has another one with this nonce, which this one does not outbid by the price bump.
    #[error("replacement transaction underpriced")]
    ReplacementUnderpriced,
    /// It pays less than this node asks for.
    #[error("transaction gas price below minimum: gas tip cap {tip_wei}, minimum needed {minimum_wei}")]
    Underpriced { tip_wei: u128, minimum_wei: u128 },
    /// The pool is full of transactions that pay at least as much.
    #[error("transaction underpriced")]
    Outbid,
    /// The sender cannot pay for this transaction alone.
    #[error("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {overshot}")]
    InsufficientFunds { balance: U256, cost: U256, overshot: U256 },
    /// The sender cannot pay for this transaction and for those that wait before it.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx cost {cost}, overshot {}",
        queued.saturating_add(*cost).saturating_sub(*balance)
    )]
    Overdraft { balance: U256, queued: U256, cost: U256 },
    /// The sender cannot pay what this replacement costs more.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx bumped {bump}, overshot {}",
        queued.saturating_add(*bump).saturating_sub(*balance)
    )]
    OverdraftByReplacement { balance: U256, queued: U256, bump: U256 },
    /// The gas limit does not cover what is charged before the first instruction.
    #[error("intrinsic gas too low: gas {gas}, minimum needed {minimum}")]
    IntrinsicGasTooLow { gas: u64, minimum: u64 },
    /// The gas limit does not cover the floor that call data sets (EIP-7623).
    #[error("insufficient gas for floor data gas cost: gas {gas}, minimum needed {minimum}")]
    FloorGasTooLow { gas: u64, minimum: u64 },
    /// No block has room for it.
    #[error("exceeds block gas limit")]
    ExceedsBlockGasLimit,
    /// The gas limit is above what one transaction may have (EIP-7825).
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas})")]
    GasLimitAboveTransactionCap { cap: u64, gas: u64 },
    /// EIP-1559.
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFeeCap,
    /// The pool, or the sender's share of it, is full.
    #[error("txpool is full")]
    PoolFull,
    /// Its encoding is too long.
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized { size: usize, limit: usize },
    /// EIP-3860.
    #[error("max initcode size exceeded: code size {size}, limit {limit}")]
    MaxInitCodeSize { size: usize, limit: usize },
    /// The next block's fork does not know this type of transaction.
    #[error("transaction type not supported: type {kind} rejected, pool not yet in {fork}")]
    TypeNotSupported { kind: u8, fork: &'static str },
    /// A private chain has no data-availability layer.
    #[error("blob transactions are not supported: a private chain has no data-availability layer")]
    BlobsUnsupported,
    /// EIP-7702.
    #[error("set code tx must have at least one authorization tuple")]
    EmptyAuthorizationList,
    /// It is signed for another chain.
    #[error("invalid chain id for signer: have {have} want {want}")]
    WrongChainId { have: u64, want: u64 },
    /// It is signed for a chain id, which the next block's fork does not know (EIP-155).
    #[error("invalid sender")]
    InvalidSender,
    /// The sender is a contract (EIP-3607).
    #[error("sender not an eoa: address {0}")]
    SenderNotEoa(Address),
    /// Our own store failed.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Says why a transaction left the pool unmined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum DropReason {
    /// Its sender replaced it, or had another one with its nonce mined.
    #[error("replaced by transaction {by}")]
    Replaced { by: B256 },
    /// Better-paying ones needed its place.
    #[error("the pool is full and others pay more")]
    Underpriced,
    /// The pool is full, and its sender has more transactions in it than others.
    #[error("the pool is full and its sender has the most transactions in it")]
    PoolFull,
    /// Its sender has too many transactions that wait for an earlier nonce.
    #[error("its sender has too many queued transactions")]
    AccountQueueFull,
    /// It waited for an earlier nonce longer than the pool's lifetime.
    #[error("it waited too long for an earlier nonce")]
    Expired,
    /// The chain has used its nonce.
    #[error("its nonce is used")]
    NonceTooLow,
    /// Its sender can no longer pay for it.
    #[error("its sender can no longer pay for it")]
    InsufficientFunds,
    /// The block gas limit fell below its own.
    #[error("its gas limit is above the block gas limit")]
    ExceedsBlockGasLimit,
    /// The operator raised the price limit above what it pays.
    #[error("it pays less than the raised price limit")]
    BelowPriceLimit,
    /// A fork or a reorganisation made it invalid.
    #[error("it is no longer valid: {0}")]
    Invalid(Box<PoolError>),
    /// The operator removed it.
    #[error("removed by the operator")]
    Removed,
}
