//! Header and body rules: what a block must satisfy before it is executed. One function per rule, the cheapest first; a rule
//! that differs by [`Era`] says so itself.
//!
//! What execution shows (state root, receipts root, bloom, gas used, requests) is compared by the ledger.

mod body;

use alloy_consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS, MAXIMUM_EXTRA_DATA_SIZE};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B64, B256, U256};

use crate::block::{Header, RecoveredBlock, SealedHeader};
use crate::difficulty;
use crate::ethash::LightCaches;
use crate::ethereum::EthashSeal;
use crate::ethereum::blobs::next_excess_blob_gas;
use crate::ethereum::ommers::{self, Ancestor, OmmerError};
use crate::fees::{GAS_LIMIT_BOUND_DIVISOR, GAS_LIMIT_MAX, GAS_LIMIT_MIN, gas_limit_base, next_base_fee};
use crate::seal::{self, SealError};
use crate::spec::{ChainSpec, Era, Fork};
use crate::witness::Witness;

pub use body::validate_body;

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
    #[error("timestamp: {actual} is not after the parent's {parent}")]
    TimestampNotLater { parent: u64, actual: u64 },
    #[error("nonce: expected 0 past the terminal total difficulty, header says {0}")]
    Nonce(B64),
    #[error("extra data: block {number} is not as its side of the DAO fork asks for")]
    DaoExtraData { number: u64 },
    #[error("difficulty: {actual}, but the work has ended at the terminal total difficulty")]
    WorkHasEnded { actual: U256 },
    #[error("difficulty: 0, but the parent's total difficulty {total} has not reached the terminal one")]
    WorkGoesOn { total: U256 },
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
    #[error("ommers hash: header says {expected}, body gives {actual}")]
    OmmersHash { expected: B256, actual: B256 },
    #[error("{0}")]
    Ommer(#[from] OmmerError),
    #[error("ommer {hash}: {error}")]
    OmmerHeader { hash: B256, error: Box<ValidationError> },
    #[error("withdrawals: expected {expected:?}, body has {actual:?}")]
    Withdrawals { expected: Option<usize>, actual: Option<usize> },
    #[error("withdrawals root: header says {expected}, body gives {actual}")]
    WithdrawalsRoot { expected: B256, actual: B256 },
    #[error("blob gas: header says {expected}, body has {actual}")]
    BlobGas { expected: u64, actual: u64 },
    #[error("blob gas: at most {max}, header says {actual}")]
    BlobGasLimit { max: u64, actual: u64 },
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

/// Validates everything in a header that needs no parent: fields present exactly as the fork has them, sizes and bounds;
/// Drawbridge's own seal and witness. Ethash seals, which cost a thousand times more, are left to [`validate_foreign_seal`].
///
/// # Errors
/// The first rule that is broken.
pub fn validate_header_alone(spec: &ChainSpec, block: &RecoveredBlock) -> Result<(), ValidationError> {
    validate_header_fields(spec, &block.header)?;
    match spec.era_of(&block.header) {
        Era::Ethash | Era::Merged => Ok(()),
        Era::Drawbridge => {
            seal::verify(&block.header)?;
            validate_witness(spec, &block.header, block.witness.as_ref())
        }
    }
}

/// Validates what a header says by itself, without seal and witness.
///
/// # Errors
/// The first rule that is broken.
pub fn validate_header_fields(spec: &ChainSpec, header: &Header) -> Result<(), ValidationError> {
    extra_data_is_short(header)?;
    gas_limit_is_within_bounds(header)?;
    gas_used_is_within_limit(header)?;
    fork_fields_are_present(spec, header)?;
    match spec.era_of(header) {
        Era::Ethash => dao_extra_data_fits(spec, header),
        Era::Merged => {
            ommers_hash_is_empty(header)?;
            ensure(header.nonce.is_zero(), || ValidationError::Nonce(header.nonce))
        }
        Era::Drawbridge => {
            ommers_hash_is_empty(header)?;
            stake_fields_are_empty(header)
        }
    }
}

/// Validates the seal of a block that another client made, where the chain asks for it: an Ethash block's work.
///
/// # Errors
/// [`ValidationError::Seal`].
pub fn validate_foreign_seal(spec: &ChainSpec, header: &Header, caches: &LightCaches) -> Result<(), ValidationError> {
    let verified = spec.ethereum.as_ref().is_some_and(|rules| rules.seal == EthashSeal::Verified);
    if verified && spec.era_of(header) == Era::Ethash {
        caches.verify(header)?;
    }
    Ok(())
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

/// Neither Drawbridge's own blocks nor those past the merge have ommers.
fn ommers_hash_is_empty(header: &Header) -> Result<(), ValidationError> {
    hash_is("ommers hash", EMPTY_OMMER_ROOT_HASH, header.ommers_hash)
}

/// Ten blocks from the DAO fork on carry its mark, or must not (EIP-779).
fn dao_extra_data_fits(spec: &ChainSpec, header: &Header) -> Result<(), ValidationError> {
    let dao = spec.ethereum.as_ref().and_then(|rules| rules.dao);
    let fits = dao.is_none_or(|dao| dao.extra_data_fits(header));
    ensure(fits, || ValidationError::DaoExtraData { number: header.number })
}

/// A header has the fields of its fork, no others.
fn fork_fields_are_present(spec: &ChainSpec, header: &Header) -> Result<(), ValidationError> {
    let fork = spec.fork_of(header);
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
    ensure(header.slot_number.is_none(), || unknown("slot number"))
}

/// Fields that belong to proof of stake say "nothing" in Drawbridge's own blocks.
fn stake_fields_are_empty(header: &Header) -> Result<(), ValidationError> {
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
    validate_departing_header(spec, header, parent, grandparent_timestamp, &Departures::default())
}

/// Holds what the operator of a development chain wants of one block, whatever follows from its parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Departures {
    /// The base fee in wei.
    pub base_fee: Option<u64>,
    /// PREVRANDAO.
    pub mix_hash: Option<B256>,
    /// The gas limit, however far from the parent's.
    pub gas_limit: Option<u64>,
}

/// Validates a header as [`validate_header_against_parent`], but for the fields that have exactly the values of `departures`.
///
/// # Errors
/// The first rule that is broken.
pub fn validate_departing_header(
    spec: &ChainSpec,
    header: &Header,
    parent: &SealedHeader,
    grandparent_timestamp: Option<u64>,
    departures: &Departures,
) -> Result<(), ValidationError> {
    parent_hash_matches(header, parent)?;
    number_follows(header, parent)?;
    timestamp_follows(spec, header, parent)?;
    if departures.mix_hash != Some(header.mix_hash) {
        mix_hash_follows(spec, header, parent)?;
    }
    if departures.gas_limit != Some(header.gas_limit) {
        gas_limit_moves_little(spec, header, parent)?;
    }
    if departures.base_fee.is_none() || departures.base_fee != header.base_fee_per_gas {
        base_fee_follows(spec, header, parent)?;
    }
    excess_blob_gas_follows(spec, header, parent)?;
    difficulty_follows(spec, header, parent, grandparent_timestamp)
}

/// Validates that blocks that other clients made have work up to the terminal total difficulty, and none past it (EIP-3675).
///
/// # Errors
/// [`ValidationError::WorkHasEnded`] or [`ValidationError::WorkGoesOn`].
pub fn validate_terminal_difficulty(
    spec: &ChainSpec,
    header: &Header,
    parent_total_difficulty: U256,
) -> Result<(), ValidationError> {
    let Some(rules) = &spec.ethereum else { return Ok(()) };
    let ended = rules.work_has_ended(parent_total_difficulty);
    match spec.era_of(header) {
        Era::Ethash => ensure(!ended, || ValidationError::WorkHasEnded { actual: header.difficulty }),
        Era::Merged => ensure(ended, || ValidationError::WorkGoesOn { total: parent_total_difficulty }),
        Era::Drawbridge => Ok(()),
    }
}

/// Validates the ommers of an Ethash block: who they are, their headers against their parents, their seals. `ancestors` are
/// the block's, its parent first, up to [`ommers::ANCESTORS`] of them.
///
/// # Errors
/// The first rule that is broken.
pub fn validate_ommers(
    spec: &ChainSpec,
    block: &RecoveredBlock,
    ancestors: &[Ancestor],
    caches: &LightCaches,
) -> Result<(), ValidationError> {
    for (ommer, parent) in ommers::with_parents(&block.header, &block.ommers, ancestors)? {
        validate_header_fields(spec, &ommer)
            .and_then(|()| validate_header_against_parent(spec, &ommer, parent, None))
            .and_then(|()| validate_foreign_seal(spec, &ommer, caches))
            .map_err(|error| ValidationError::OmmerHeader { hash: ommer.hash(), error: Box::new(error) })?;
    }
    Ok(())
}

fn parent_hash_matches(header: &Header, parent: &SealedHeader) -> Result<(), ValidationError> {
    let (expected, actual) = (parent.hash(), header.parent_hash);
    ensure(expected == actual, || ValidationError::ParentHash { expected, actual })
}

fn number_follows(header: &Header, parent: &Header) -> Result<(), ValidationError> {
    let (expected, actual) = (parent.number.saturating_add(1), header.number);
    ensure(expected == actual && actual > parent.number, || ValidationError::Number { expected, actual })
}

/// Timestamps never decrease; under Drawbridge's seal equal ones are allowed, since blocks may come faster than once a second.
fn timestamp_follows(spec: &ChainSpec, header: &Header, parent: &Header) -> Result<(), ValidationError> {
    let (parent, actual) = (parent.timestamp, header.timestamp);
    match spec.era_of(header) {
        Era::Drawbridge => ensure(actual >= parent, || ValidationError::Timestamp { parent, actual }),
        Era::Ethash | Era::Merged => ensure(actual > parent, || ValidationError::TimestampNotLater { parent, actual }),
    }
}

/// Under Drawbridge's seal the mix hash comes from the parent's seal, whatever seal that is, so that PREVRANDAO is known before
/// the block's own is searched.
fn mix_hash_follows(spec: &ChainSpec, header: &Header, parent: &Header) -> Result<(), ValidationError> {
    if spec.era_of(header) != Era::Drawbridge {
        return Ok(());
    }
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

/// Blob gas that was used above the target raises the price of the next block's (EIP-4844); Drawbridge's own blocks have none.
fn excess_blob_gas_follows(spec: &ChainSpec, header: &Header, parent: &Header) -> Result<(), ValidationError> {
    let (Some(rules), Some(actual), Era::Merged) = (&spec.ethereum, header.excess_blob_gas, spec.era_of(header)) else {
        return Ok(());
    };
    let params = rules.blobs.at(spec.fork_of(header), header.timestamp);
    number_is("excess blob gas", next_excess_blob_gas(&params, parent), actual)
}

fn difficulty_follows(
    spec: &ChainSpec,
    header: &Header,
    parent: &Header,
    grandparent_timestamp: Option<u64>,
) -> Result<(), ValidationError> {
    let expected = difficulty::expected(spec, header, parent, grandparent_timestamp);
    let actual = header.difficulty;
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
