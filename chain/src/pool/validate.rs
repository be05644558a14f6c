//! The rules for one transaction: first those that need no account, then those that need the sender's.

use alloy_consensus::{EthereumTxEnvelope, Transaction as _};
use alloy_primitives::U256;
use consensus::{Fork, RecoveredTransaction};

use super::account::Account;
use super::config::TRANSACTION_BYTES_MAX;
use super::errors::PoolError;
use super::gas::{TRANSACTION_GAS_MAX, floor_gas, intrinsic_gas};
use super::{HeadFacts, account};

/// The largest contract code in bytes (EIP-170), where the chain sets no other; init code may be twice as long (EIP-3860).
const CONTRACT_SIZE_MAX: usize = 24_576;

/// Validates everything about `transaction` that needs no account.
pub(super) fn validate_alone(transaction: &RecoveredTransaction, head: &HeadFacts) -> Result<(), PoolError> {
    validate_type(transaction, head.fork)?;
    validate_chain_id(transaction, head)?;
    validate_size(transaction, head)?;
    validate_gas(transaction, head)?;
    if transaction.max_priority_fee_per_gas().is_some_and(|tip| tip > transaction.max_fee_per_gas()) {
        return Err(PoolError::TipAboveFeeCap);
    }
    if transaction.nonce() == u64::MAX {
        return Err(PoolError::NonceMax);
    }
    Ok(())
}

fn validate_type(transaction: &RecoveredTransaction, fork: Fork) -> Result<(), PoolError> {
    let (kind, first, name) = match transaction.transaction() {
        EthereumTxEnvelope::Legacy(_) => (0, Fork::Frontier, "Frontier"),
        EthereumTxEnvelope::Eip2930(_) => (1, Fork::Berlin, "Berlin"),
        EthereumTxEnvelope::Eip1559(_) => (2, Fork::London, "London"),
        EthereumTxEnvelope::Eip4844(_) => return Err(PoolError::BlobsUnsupported),
        EthereumTxEnvelope::Eip7702(_) => (4, Fork::Prague, "Prague"),
    };
    if fork < first {
        return Err(PoolError::TypeNotSupported { kind, fork: name });
    }
    if transaction.authorization_list().is_some_and(<[_]>::is_empty) {
        return Err(PoolError::EmptyAuthorizationList);
    }
    Ok(())
}

fn validate_chain_id(transaction: &RecoveredTransaction, head: &HeadFacts) -> Result<(), PoolError> {
    match transaction.chain_id() {
        None => Ok(()),
        Some(_) if head.fork < Fork::SpuriousDragon => Err(PoolError::InvalidSender),
        Some(have) if have != head.chain_id => Err(PoolError::WrongChainId { have, want: head.chain_id }),
        Some(_) => Ok(()),
    }
}

fn validate_size(transaction: &RecoveredTransaction, head: &HeadFacts) -> Result<(), PoolError> {
    let size = transaction.size_bytes();
    if size > TRANSACTION_BYTES_MAX {
        return Err(PoolError::Oversized { size, limit: TRANSACTION_BYTES_MAX });
    }
    let limit = head.contract_size_limit.unwrap_or(CONTRACT_SIZE_MAX).saturating_mul(2);
    let size = transaction.input().len();
    if head.fork >= Fork::Shanghai && transaction.is_create() && size > limit {
        return Err(PoolError::MaxInitCodeSize { size, limit });
    }
    Ok(())
}

fn validate_gas(transaction: &RecoveredTransaction, head: &HeadFacts) -> Result<(), PoolError> {
    let gas = transaction.gas_limit();
    if head.fork >= Fork::Osaka && gas > TRANSACTION_GAS_MAX {
        return Err(PoolError::GasLimitAboveTransactionCap { cap: TRANSACTION_GAS_MAX, gas });
    }
    if gas > head.gas_limit {
        return Err(PoolError::ExceedsBlockGasLimit);
    }
    let minimum = intrinsic_gas(transaction, head.fork);
    if gas < minimum {
        return Err(PoolError::IntrinsicGasTooLow { gas, minimum });
    }
    let minimum = floor_gas(transaction, head.fork);
    if gas < minimum {
        return Err(PoolError::FloorGasTooLow { gas, minimum });
    }
    Ok(())
}

/// Returns the least tip cap in wei that a transaction declares: for types 0 and 1 its gas price.
pub(super) fn tip_cap(transaction: &RecoveredTransaction) -> u128 {
    transaction.max_priority_fee_per_gas().unwrap_or_else(|| transaction.max_fee_per_gas())
}

/// Validates that a balance covers `transaction`, alone and together with what waits in `account`.
pub(super) fn validate_funds(
    transaction: &RecoveredTransaction,
    balance: U256,
    account: Option<&Account>,
) -> Result<(), PoolError> {
    let cost = account::cost(transaction);
    if cost > balance {
        return Err(PoolError::InsufficientFunds { balance, cost, overshot: cost.saturating_sub(balance) });
    }
    let Some(account) = account else { return Ok(()) };
    let (balance, queued, nonce) = (account.facts().balance, account.spent(), transaction.nonce());
    match account.get(nonce).filter(|_| nonce < account.next()) {
        Some(old) => {
            let bump = cost.saturating_sub(old.cost);
            if queued.saturating_add(bump) > balance {
                return Err(PoolError::OverdraftByReplacement { balance, queued, bump });
            }
        }
        None if queued.saturating_add(cost) > balance => return Err(PoolError::Overdraft { balance, queued, cost }),
        None => {}
    }
    Ok(())
}

/// Validates that `new` may take the place of `old`: both its caps are raised by the price bump.
///
/// A cap of zero asks for nothing, and with a bump of zero an equal price is enough; so on a network without fees a stuck
/// transaction can be replaced. Otherwise the cap must be higher by at least 1 wei.
pub(super) fn validate_replacement(
    old: &RecoveredTransaction,
    new: &RecoveredTransaction,
    bump_percent: u64,
) -> Result<(), PoolError> {
    let outbids = |old: u128, new: u128| {
        let raised = U256::from(old) * (U256::from(100) + U256::from(bump_percent)) / U256::from(100);
        let step = if old == 0 || bump_percent == 0 { U256::ZERO } else { U256::from(1) };
        U256::from(new) >= raised.max(U256::from(old) + step)
    };
    if outbids(old.max_fee_per_gas(), new.max_fee_per_gas()) && outbids(tip_cap(old), tip_cap(new)) {
        Ok(())
    } else {
        Err(PoolError::ReplacementUnderpriced)
    }
}
