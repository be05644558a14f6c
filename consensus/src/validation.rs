//! Header and body rules: what a block must satisfy before it is executed. One function per rule, the cheapest first.
//!
//! What execution shows (state root, receipts root, bloom, gas used) is compared by the ledger.

use alloy_consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS, MAXIMUM_EXTRA_DATA_SIZE};
use alloy_consensus::proofs::calculate_transaction_root;
use alloy_consensus::{Transaction as _, TxType, Typed2718};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B256, U256};

use crate::block::{Block, BlockBody, Header, RecoveredBlock, SealedHeader};
use crate::difficulty::next_difficulty;
use crate::fees::{GAS_LIMIT_BOUND_DIVISOR, GAS_LIMIT_MAX, GAS_LIMIT_MIN, gas_limit_base, next_base_fee};
use crate::seal::{self, SealError};
use crate::spec::{ChainSpec, EmptyBlocks, Fork};
use crate::transaction::Transaction;
use crate::witness::Witness;

/// How far a block's timestamp may be ahead of the clock, in seconds (as Ethash clients had it).
pub const FUTURE_BLOCK_SECONDS_MAX: u64 = 15;
/// How many bytes of RLP a block may have since Osaka: 10 MiB less a margin of 2 MiB (EIP-7934).
pub const BLOCK_SIZE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Says which rule a block breaks.
///
/// [`ValidationError::UnknownParent`] and [`ValidationError::FutureBlock`] blame nobody: the block may be good later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ValidationError {
    #[error("unknown ancestor: {0}")]
    UnknownParent(B256),
    #[error("timestamp {timestamp} is more than {FUTURE_BLOCK_SECONDS_MAX} s ahead of the clock ({now})")]
    FutureBlock { timestamp: u64, now: u64 },
    #[error("{0}")]
    Seal(#[from] SealError),
    #[error("no witness, or not by the authorized beneficiary {0}")]
    Witness(Address),
    #[error("extra data: at most {MAXIMUM_EXTRA_DATA_SIZE} bytes, header has {actual}")]
    ExtraDataSize { actual: usize },
    #[error("gas limit: {GAS_LIMIT_MIN} to {GAS_LIMIT_MAX}, header says {actual}")]
    GasLimitBounds { actual: u64 },
    #[error("gas used: {actual} is above the gas limit {limit}")]
    GasUsed { limit: u64, actual: u64 },
    #[error("{field}: missing, {fork:?} has it")]
    FieldMissing { field: &'static str, fork: Fork },
    #[error("{field}: present, {fork:?} does not have it")]
    FieldUnexpected { field: &'static str, fork: Fork },
    #[error("{field}: expected {expected}, header says {actual}")]
    FieldHash { field: &'static str, expected: B256, actual: B256 },
    #[error("{field}: expected {expected}, header says {actual}")]
    FieldNumber { field: &'static str, expected: u64, actual: u64 },
    #[error("parent hash: expected {expected}, header says {actual}")]
    ParentHash { expected: B256, actual: B256 },
    #[error("number: expected {expected}, header says {actual}")]
    Number { expected: u64, actual: u64 },
    #[error("timestamp: {actual} is before the parent's {parent}")]
    Timestamp { parent: u64, actual: u64 },
    #[error("mix hash: the parent's seal gives {expected}, header says {actual}")]
    MixHash { expected: B256, actual: B256 },
    #[error("gas limit: {actual} is {bound} or more away from {base}")]
    GasLimitStep { base: u64, bound: u64, actual: u64 },
    #[error("base fee: expected {expected:?}, header says {actual:?}")]
    BaseFee { expected: Option<u64>, actual: Option<u64> },
    #[error("difficulty: expected {expected}, header says {actual}")]
    Difficulty { expected: U256, actual: U256 },
    #[error("transactions root: header says {expected}, body gives {actual}")]
    TransactionsRoot { expected: B256, actual: B256 },
    #[error("ommers: expected none, body has {actual}")]
    Ommers { actual: usize },
    #[error("withdrawals: expected {expected:?}, body has {actual:?}")]
    Withdrawals { expected: Option<usize>, actual: Option<usize> },
    #[error("empty block: this chain has none")]
    EmptyBlock,
    #[error("empty block: {actual} s after its parent, this chain has them after {expected} s without transactions")]
    EmptyBlockEarly { expected: u64, actual: u64 },
    #[error("transaction {index}: type {kind} does not exist in {fork:?}")]
    TransactionType { index: usize, kind: u8, fork: Fork },
    #[error("transaction {index}: signed for a chain id, which {fork:?} does not know")]
    ReplayProtection { index: usize, fork: Fork },
    #[error("transaction {index}: blob transactions are not supported")]
    BlobTransaction { index: usize },
    #[error("transaction {index}: chain id: expected {expected}, transaction says {actual}")]
    ChainId { index: usize, expected: u64, actual: u64 },
    #[error("block size: at most {BLOCK_SIZE_BYTES_MAX} bytes, block has {actual}")]
    BlockSize { actual: usize },
}

impl ValidationError {
    /// Tells whether the block is wrong for good, so that who sent it is to blame.
    pub fn is_invalid(&self) -> bool {
        !matches!(self, Self::UnknownParent(_) | Self::FutureBlock { .. })
    }
}

/// Validates everything in a header that needs no parent: fields present exactly as the fork has them, sizes and bounds,
/// seal, witness.
///
/// # Errors
/// The first rule that is broken.
pub fn validate_header_alone(spec: &ChainSpec, block: &RecoveredBlock) -> Result<(), ValidationError> {
    validate_header_fields(spec, &block.header)?;
    seal::verify(&block.header)?;
    validate_witness(spec, &block.header, block.witness.as_ref())
}

/// Validates what a header says by itself, without seal and witness.
///
/// # Errors
/// The first rule that is broken.
pub fn validate_header_fields(spec: &ChainSpec, header: &Header) -> Result<(), ValidationError> {
    extra_data_is_short(header)?;
    gas_limit_is_within_bounds(header)?;
    gas_used_is_within_limit(header)?;
    ommers_hash_is_empty(header)?;
    fork_fields_are_exact(spec, header)
}

fn extra_data_is_short(header: &Header) -> Result<(), ValidationError> {
    let actual = header.extra_data.len();
    ensure(actual <= MAXIMUM_EXTRA_DATA_SIZE, || ValidationError::ExtraDataSize { actual })
}

fn gas_limit_is_within_bounds(header: &Header) -> Result<(), ValidationError> {
    let actual = header.gas_limit;
    ensure((GAS_LIMIT_MIN..=GAS_LIMIT_MAX).contains(&actual), || ValidationError::GasLimitBounds { actual })
}

fn gas_used_is_within_limit(header: &Header) -> Result<(), ValidationError> {
    let (limit, actual) = (header.gas_limit, header.gas_used);
    ensure(actual <= limit, || ValidationError::GasUsed { limit, actual })
}

/// Drawbridge's own blocks have no ommers.
fn ommers_hash_is_empty(header: &Header) -> Result<(), ValidationError> {
    hash_is("ommers hash", EMPTY_OMMER_ROOT_HASH, header.ommers_hash)
}

/// A header has the fields of its fork, no others; those that belong to proof of stake say "nothing".
fn fork_fields_are_exact(spec: &ChainSpec, header: &Header) -> Result<(), ValidationError> {
    let fork = spec.fork_at(header.number, header.timestamp);
    let present = |field, since, value: Option<()>| match (fork >= since, value) {
        (true, None) => Err(ValidationError::FieldMissing { field, fork }),
        (false, Some(())) => Err(ValidationError::FieldUnexpected { field, fork }),
        _ => Ok(()),
    };
    present("base fee", Fork::London, header.base_fee_per_gas.map(drop))?;
    present("withdrawals root", Fork::Shanghai, header.withdrawals_root.map(drop))?;
    present("blob gas used", Fork::Cancun, header.blob_gas_used.map(drop))?;
    present("excess blob gas", Fork::Cancun, header.excess_blob_gas.map(drop))?;
    present("parent beacon block root", Fork::Cancun, header.parent_beacon_block_root.map(drop))?;
    present("requests hash", Fork::Prague, header.requests_hash.map(drop))?;
    let unknown = |field| ValidationError::FieldUnexpected { field, fork };
    ensure(header.block_access_list_hash.is_none(), || unknown("block access list hash"))?;
    ensure(header.slot_number.is_none(), || unknown("slot number"))?;

    hash_is("withdrawals root", EMPTY_WITHDRAWALS, header.withdrawals_root.unwrap_or(EMPTY_WITHDRAWALS))?;
    number_is("blob gas used", 0, header.blob_gas_used.unwrap_or(0))?;
    number_is("excess blob gas", 0, header.excess_blob_gas.unwrap_or(0))?;
    hash_is("parent beacon block root", B256::ZERO, header.parent_beacon_block_root.unwrap_or(B256::ZERO))?;
    hash_is("requests hash", EMPTY_REQUESTS_HASH, header.requests_hash.unwrap_or(EMPTY_REQUESTS_HASH))
}

/// Validates that, where the chain names authorized miners, the beneficiary is one of them and has signed the block.
///
/// # Errors
/// [`ValidationError::Witness`].
pub fn validate_witness(
    spec: &ChainSpec,
    header: &SealedHeader,
    witness: Option<&Witness>,
) -> Result<(), ValidationError> {
    let miners = &spec.pow.authorized_miners;
    if miners.is_empty() {
        return Ok(());
    }
    let beneficiary = header.beneficiary;
    let signer = witness.and_then(|witness| witness.recover(header.hash()).ok());
    let authorized = miners.contains(&beneficiary) && signer == Some(beneficiary);
    ensure(authorized, || ValidationError::Witness(beneficiary))
}

/// Validates a header against its parent (and the grandparent's timestamp, absent where the parent is the genesis block).
///
/// # Errors
/// The first rule that is broken.
pub fn validate_header_against_parent(
    spec: &ChainSpec,
    header: &Header,
    parent: &SealedHeader,
    grandparent_timestamp: Option<u64>,
) -> Result<(), ValidationError> {
    parent_hash_matches(header, parent)?;
    number_follows(header, parent)?;
    timestamp_does_not_decrease(header, parent)?;
    mix_hash_follows(header, parent)?;
    gas_limit_moves_little(spec, header, parent)?;
    base_fee_follows(spec, header, parent)?;
    difficulty_follows(spec, header, parent, grandparent_timestamp)
}

fn parent_hash_matches(header: &Header, parent: &SealedHeader) -> Result<(), ValidationError> {
    let (expected, actual) = (parent.hash(), header.parent_hash);
    ensure(expected == actual, || ValidationError::ParentHash { expected, actual })
}

fn number_follows(header: &Header, parent: &Header) -> Result<(), ValidationError> {
    let (expected, actual) = (parent.number.saturating_add(1), header.number);
    ensure(expected == actual && actual > parent.number, || ValidationError::Number { expected, actual })
}

/// Timestamps never decrease; equal ones are allowed, since blocks may come faster than once a second.
fn timestamp_does_not_decrease(header: &Header, parent: &Header) -> Result<(), ValidationError> {
    let (parent, actual) = (parent.timestamp, header.timestamp);
    ensure(actual >= parent, || ValidationError::Timestamp { parent, actual })
}

/// The mix hash comes from the parent's seal, so that PREVRANDAO is known before the block's own seal is searched.
fn mix_hash_follows(header: &Header, parent: &Header) -> Result<(), ValidationError> {
    let (expected, actual) = (seal::next_mix_hash(parent), header.mix_hash);
    ensure(expected == actual, || ValidationError::MixHash { expected, actual })
}

/// A gas limit moves by less than a 1024th (Yellow Paper 4.4.4, equation 47; EIP-1559 where London begins).
fn gas_limit_moves_little(spec: &ChainSpec, header: &Header, parent: &Header) -> Result<(), ValidationError> {
    let base = gas_limit_base(spec, parent, header.timestamp);
    let bound = base / GAS_LIMIT_BOUND_DIVISOR;
    let actual = header.gas_limit;
    ensure(actual.abs_diff(base) < bound, || ValidationError::GasLimitStep { base, bound, actual })
}

fn base_fee_follows(spec: &ChainSpec, header: &Header, parent: &Header) -> Result<(), ValidationError> {
    let (expected, actual) = (next_base_fee(spec, parent, header.timestamp), header.base_fee_per_gas);
    ensure(expected == actual, || ValidationError::BaseFee { expected, actual })
}

fn difficulty_follows(
    spec: &ChainSpec,
    header: &Header,
    parent: &Header,
    grandparent_timestamp: Option<u64>,
) -> Result<(), ValidationError> {
    let (expected, actual) = (next_difficulty(&spec.pow, parent, grandparent_timestamp), header.difficulty);
    ensure(expected == actual, || ValidationError::Difficulty { expected, actual })
}

/// Validates that a header is not too far ahead of the clock `now` (seconds).
///
/// # Errors
/// [`ValidationError::FutureBlock`]: the block is to be held until its time has come.
pub fn validate_not_future(header: &Header, now: u64) -> Result<(), ValidationError> {
    let timestamp = header.timestamp;
    let in_time = timestamp <= now.saturating_add(FUTURE_BLOCK_SECONDS_MAX);
    ensure(in_time, || ValidationError::FutureBlock { timestamp, now })
}

/// Validates a body against its header: size, ommers, withdrawals, transaction types and chain ids, the rule for empty
/// blocks, transactions root.
///
/// # Errors
/// The first rule that is broken.
pub fn validate_body(
    spec: &ChainSpec,
    header: &Header,
    body: &BlockBody,
    parent_timestamp: u64,
) -> Result<(), ValidationError> {
    let fork = spec.fork_at(header.number, header.timestamp);
    block_size_is_within_limit(fork, header, body)?;
    body_has_no_ommers(body)?;
    withdrawals_are_empty(fork, body)?;
    for (index, transaction) in body.transactions.iter().enumerate() {
        transaction_type_exists(fork, index, transaction)?;
        chain_id_matches(spec, index, transaction)?;
    }
    empty_block_is_allowed(spec, header, body, parent_timestamp)?;
    transactions_root_matches(header, body)
}

/// A block's RLP is limited since Osaka (EIP-7934).
fn block_size_is_within_limit(fork: Fork, header: &Header, body: &BlockBody) -> Result<(), ValidationError> {
    if fork < Fork::Osaka {
        return Ok(());
    }
    let actual = Block::rlp_length_for(header, body);
    ensure(actual <= BLOCK_SIZE_BYTES_MAX, || ValidationError::BlockSize { actual })
}

fn body_has_no_ommers(body: &BlockBody) -> Result<(), ValidationError> {
    let actual = body.ommers.len();
    ensure(actual == 0, || ValidationError::Ommers { actual })
}

/// Since Shanghai a body has a list of withdrawals, which proof of work leaves empty.
fn withdrawals_are_empty(fork: Fork, body: &BlockBody) -> Result<(), ValidationError> {
    let expected = (fork >= Fork::Shanghai).then_some(0);
    let actual = body.withdrawals.as_ref().map(|withdrawals| withdrawals.len());
    ensure(expected == actual, || ValidationError::Withdrawals { expected, actual })
}

/// A transaction's type has come with a fork: signatures over a chain id (EIP-155), access lists (EIP-2930), dynamic fees
/// (EIP-1559), delegations (EIP-7702).
fn transaction_type_exists(fork: Fork, index: usize, transaction: &Transaction) -> Result<(), ValidationError> {
    let since = match transaction.tx_type() {
        TxType::Legacy => {
            let protected = transaction.chain_id().is_some();
            let known = !protected || fork >= Fork::SpuriousDragon;
            return ensure(known, || ValidationError::ReplayProtection { index, fork });
        }
        TxType::Eip2930 => Fork::Berlin,
        TxType::Eip1559 => Fork::London,
        TxType::Eip4844 => return Err(ValidationError::BlobTransaction { index }),
        TxType::Eip7702 => Fork::Prague,
    };
    ensure(fork >= since, || ValidationError::TransactionType { index, kind: transaction.ty(), fork })
}

/// A transaction is signed for this chain, or (legacy only) for none (EIP-155).
fn chain_id_matches(spec: &ChainSpec, index: usize, transaction: &Transaction) -> Result<(), ValidationError> {
    let (expected, actual) = (spec.chain_id, transaction.chain_id().unwrap_or(spec.chain_id));
    ensure(expected == actual, || ValidationError::ChainId { index, expected, actual })
}

/// Quiet chains may forbid blocks without transactions, or have them as a heartbeat only.
fn empty_block_is_allowed(
    spec: &ChainSpec,
    header: &Header,
    body: &BlockBody,
    parent_timestamp: u64,
) -> Result<(), ValidationError> {
    if !body.transactions.is_empty() {
        return Ok(());
    }
    match spec.pow.empty_blocks {
        EmptyBlocks::Always => Ok(()),
        EmptyBlocks::Never => Err(ValidationError::EmptyBlock),
        EmptyBlocks::Heartbeat { seconds: expected } => {
            let actual = header.timestamp.saturating_sub(parent_timestamp);
            ensure(actual >= expected, || ValidationError::EmptyBlockEarly { expected, actual })
        }
    }
}

fn transactions_root_matches(header: &Header, body: &BlockBody) -> Result<(), ValidationError> {
    let (expected, actual) = (header.transactions_root, calculate_transaction_root(&body.transactions));
    ensure(expected == actual, || ValidationError::TransactionsRoot { expected, actual })
}

fn hash_is(field: &'static str, expected: B256, actual: B256) -> Result<(), ValidationError> {
    ensure(expected == actual, || ValidationError::FieldHash { field, expected, actual })
}

fn number_is(field: &'static str, expected: u64, actual: u64) -> Result<(), ValidationError> {
    ensure(expected == actual, || ValidationError::FieldNumber { field, expected, actual })
}

fn ensure(holds: bool, error: impl FnOnce() -> ValidationError) -> Result<(), ValidationError> {
    if holds { Ok(()) } else { Err(error()) }
}

#[cfg(test)]
#[path = "validation_tests.rs"]
mod tests;
