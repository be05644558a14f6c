//! State and block overrides of a call or of simulated blocks: an account or the environment looks different while they run.

use alloy_primitives::{Address, B256, Bytes, U256};
use revm::DatabaseRef;
use revm::bytecode::Bytecode;
use revm::context::BlockEnv;
use revm::database::CacheDB;

use super::{AccountOverride, BlockOverrides, CallError, StateOverrides};
use crate::overlay::BlockState;

/// Lays `overrides` over the state that `db` reads.
pub(super) fn apply_to_state<D: DatabaseRef>(db: &mut CacheDB<D>, overrides: &StateOverrides) -> Result<(), CallError>
where
    CallError: From<D::Error>,
{
    overrides.iter().try_for_each(|(address, account)| apply_to_account(db, *address, account))
}

fn apply_to_account<D: DatabaseRef>(
    db: &mut CacheDB<D>,
    address: Address,
    overrides: &AccountOverride,
) -> Result<(), CallError>
where
    CallError: From<D::Error>,
{
    check(address, overrides)?;
    let mut info = db.db.basic_ref(address)?.unwrap_or_default();
    info.balance = overrides.balance.unwrap_or(info.balance);
    info.nonce = overrides.nonce.unwrap_or(info.nonce);
    if let Some(code) = &overrides.code {
        let code = bytecode(code);
        info.code_hash = code.hash_slow();
        info.code = Some(code);
    }
    db.insert_account_info(address, info);
    if let Some(all) = &overrides.state {
        db.replace_account_storage(address, all.iter().map(word).collect())?;
    }
    for (slot, value) in overrides.state_diff.iter().flatten().map(word) {
        db.insert_account_storage(address, slot, value)?;
    }
    Ok(())
}

/// Writes `overrides` into the state of a block.
///
/// # Errors
/// Overrides that exclude each other, or the store failed.
pub(crate) fn write_to_state(state: &mut BlockState<'_>, overrides: &StateOverrides) -> Result<(), CallError> {
    for (address, account) in overrides {
        check(*address, account)?;
        let AccountOverride { balance, nonce, code, .. } = account;
        if balance.is_some() || nonce.is_some() || code.is_some() {
            state.set_account(*address, *nonce, *balance, code.as_ref().map(bytecode))?;
        }
        if account.state.is_some() {
            state.clear_storage(*address)?;
        }
        for (slot, value) in account.state.iter().chain(&account.state_diff).flatten().map(word) {
            state.set_slot(*address, slot, value)?;
        }
    }
    Ok(())
}

fn check(address: Address, overrides: &AccountOverride) -> Result<(), CallError> {
    if overrides.state.is_some() && overrides.state_diff.is_some() {
        return Err(CallError::Invalid(format!("account {address} has both 'state' and 'stateDiff'")));
    }
    Ok(())
}

/// Bytes that begin like a delegation (EIP-7702) without being one run as plain code.
fn bytecode(code: &Bytes) -> Bytecode {
    Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code.clone()))
}

fn word((slot, value): (&B256, &B256)) -> (U256, U256) {
    (U256::from_be_bytes(slot.0), U256::from_be_bytes(value.0))
}

/// Changes the block that opcodes see, and the hashes of past blocks.
pub(super) fn apply_to_call<D>(db: &mut CacheDB<D>, block: &mut BlockEnv, overrides: &BlockOverrides) {
    apply_to_block(block, overrides);
    db.cache.block_hashes.extend(overrides.block_hashes.iter().map(|(number, hash)| (U256::from(*number), *hash)));
}

/// Changes the block that opcodes see.
pub(crate) fn apply_to_block(block: &mut BlockEnv, overrides: &BlockOverrides) {
    if let Some(number) = overrides.number {
        block.number = U256::from(number);
    }
    if let Some(timestamp) = overrides.timestamp {
        block.timestamp = U256::from(timestamp);
    }
    if block.prevrandao.is_some() {
        block.prevrandao = overrides.mix_hash.or(block.prevrandao);
    }
    block.difficulty = overrides.difficulty.unwrap_or(block.difficulty);
    block.gas_limit = overrides.gas_limit.unwrap_or(block.gas_limit);
    block.beneficiary = overrides.beneficiary.unwrap_or(block.beneficiary);
    block.basefee = overrides.base_fee.unwrap_or(block.basefee);
    if let (Some(blob), Some(price)) = (&mut block.blob_excess_gas_and_price, overrides.blob_base_fee) {
        blob.blob_gasprice = price;
    }
}
