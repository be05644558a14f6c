//! Body rules: what belongs to a header.

use alloy_consensus::proofs::{calculate_transaction_root, calculate_withdrawals_root};
use alloy_consensus::{Transaction as _, TxType, Typed2718};
use alloy_eips::eip4844::DATA_GAS_PER_BLOB;

use super::{BLOCK_SIZE_BYTES_MAX, ValidationError, ensure};
use crate::block::{Block, BlockBody, Header, ommers_hash};
use crate::ethereum::ommers::{OMMERS_MAX, OmmerError};
use crate::spec::{ChainSpec, EmptyBlocks, Era, Fork};
use crate::transaction::Transaction;

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
    let (era, fork) = (spec.era_of(header), spec.fork_of(header));
    block_size_is_within_limit(fork, header, body)?;
    ommers_match(era, header, body)?;
    withdrawals_match(era, fork, header, body)?;
    for (index, transaction) in body.transactions.iter().enumerate() {
        transaction_type_exists(era, fork, index, transaction)?;
        chain_id_matches(spec, index, transaction)?;
    }
    if era == Era::Drawbridge {
        empty_block_is_allowed(spec, header, body, parent_timestamp)?;
    } else {
        blob_gas_matches(spec, fork, header, body)?;
    }
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

/// Blocks under Ethash name up to two ommers, others none.
fn ommers_match(era: Era, header: &Header, body: &BlockBody) -> Result<(), ValidationError> {
    let count = body.ommers.len();
    if era != Era::Ethash {
        return ensure(count == 0, || ValidationError::Ommers { actual: count });
    }
    ensure(count <= OMMERS_MAX, || OmmerError::TooMany { actual: count }.into())?;
    let (expected, actual) = (header.ommers_hash, ommers_hash(&body.ommers));
    ensure(expected == actual, || ValidationError::OmmersHash { expected, actual })
}

/// Since Shanghai a body has a list of withdrawals (EIP-4895), which proof of work leaves empty.
fn withdrawals_match(era: Era, fork: Fork, header: &Header, body: &BlockBody) -> Result<(), ValidationError> {
    let withdrawals = body.withdrawals.as_ref();
    let actual = withdrawals.map(|withdrawals| withdrawals.len());
    if era != Era::Merged || fork < Fork::Shanghai {
        let expected = (fork >= Fork::Shanghai).then_some(0);
        return ensure(expected == actual, || ValidationError::Withdrawals { expected, actual });
    }
    let Some(withdrawals) = withdrawals else {
        return Err(ValidationError::Withdrawals { expected: Some(0), actual });
    };
    let (expected, actual) =
        (header.withdrawals_root.unwrap_or_default(), calculate_withdrawals_root(withdrawals.as_slice()));
    ensure(expected == actual, || ValidationError::WithdrawalsRoot { expected, actual })
}

/// A block uses the blob gas of its blobs, at most what its fork allows (EIP-4844).
fn blob_gas_matches(spec: &ChainSpec, fork: Fork, header: &Header, body: &BlockBody) -> Result<(), ValidationError> {
    let (Some(rules), Some(expected)) = (&spec.ethereum, header.blob_gas_used) else { return Ok(()) };
    let max = rules.blobs.at(fork, header.timestamp).max_blob_count.saturating_mul(DATA_GAS_PER_BLOB);
    ensure(expected <= max, || ValidationError::BlobGasLimit { max, actual: expected })?;
    let used = body.transactions.iter().filter_map(|transaction| transaction.blob_gas_used());
    let actual = used.fold(0, u64::saturating_add);
    ensure(expected == actual, || ValidationError::BlobGas { expected, actual })
}

/// A transaction's type has come with a fork: signatures over a chain id (EIP-155), access lists (EIP-2930), dynamic fees
/// (EIP-1559), blobs (EIP-4844; not under Drawbridge's seal), delegations (EIP-7702).
pub(super) fn transaction_type_exists(
    era: Era,
    fork: Fork,
    index: usize,
    transaction: &Transaction,
) -> Result<(), ValidationError> {
    let since = match transaction.tx_type() {
        TxType::Legacy => {
            let protected = transaction.chain_id().is_some();
            let known = !protected || fork >= Fork::SpuriousDragon;
            return ensure(known, || ValidationError::ReplayProtection { index, fork });
        }
        TxType::Eip2930 => Fork::Berlin,
        TxType::Eip1559 => Fork::London,
        TxType::Eip4844 if era == Era::Drawbridge => return Err(ValidationError::BlobTransaction { index }),
        TxType::Eip4844 => Fork::Cancun,
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
