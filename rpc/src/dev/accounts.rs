//! Sending as somebody else, and the pool.

use std::sync::Arc;

use alloy_primitives::{Address, B256};

use super::{SENDERS_MAX, dev};
use crate::api::Api;
use crate::errors::RpcError;
use crate::params::Call;

pub(crate) fn impersonate(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let address = call.required::<Address>()?;
    let mut senders = dev(api)?.senders.lock();
    if senders.impersonated.len() >= SENDERS_MAX {
        return Err(RpcError::server(format!("at most {SENDERS_MAX} accounts can be impersonated")));
    }
    senders.impersonated.insert(address);
    Ok(())
}

/// Tells whether the account was impersonated.
pub(crate) fn stop_impersonating(api: &Arc<Api>, call: &mut Call<'_>) -> Result<bool, RpcError> {
    let address = call.required::<Address>()?;
    Ok(dev(api)?.senders.lock().impersonated.remove(&address))
}

/// Lets everybody send without a key, or only those who are named.
pub(crate) fn impersonate_everybody(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    dev(api)?.senders.lock().everybody = call.required()?;
    Ok(())
}

/// Adds an account without a key, which `personal_unlockAccount` opens with the password. Tells whether it is new.
pub(crate) fn add_account(api: &Arc<Api>, call: &mut Call<'_>) -> Result<bool, RpcError> {
    let (address, password) = (call.required::<Address>()?, call.required::<String>()?);
    let is_own = api.services.signer.accounts().contains(&address);
    let mut senders = dev(api)?.senders.lock();
    if is_own || senders.added.contains_key(&address) {
        return Ok(false);
    }
    if senders.added.len() >= SENDERS_MAX {
        return Err(RpcError::server(format!("at most {SENDERS_MAX} accounts can be added")));
    }
    senders.added.insert(address, password);
    Ok(true)
}

/// Removes an account that was added, where the password is right.
pub(crate) fn remove_account(api: &Arc<Api>, call: &mut Call<'_>) -> Result<bool, RpcError> {
    let (address, password) = (call.required::<Address>()?, call.required::<String>()?);
    let mut senders = dev(api)?.senders.lock();
    let fits = senders.added.get(&address).is_some_and(|known| *known == password);
    if fits {
        senders.added.remove(&address);
        senders.impersonated.remove(&address);
    }
    Ok(fits)
}

/// Opens an account that `evm_addAccount` added; `None` where it is none of those.
pub(crate) fn unlock_added(api: &Api, address: Address, password: &str) -> Option<bool> {
    let mut senders = api.dev.as_ref()?.senders.lock();
    let fits = senders.added.get(&address)? == password;
    if fits {
        senders.impersonated.insert(address);
    }
    Some(fits)
}

/// Tells whether the transaction was in the pool.
pub(crate) fn drop_transaction(api: &Arc<Api>, call: &mut Call<'_>) -> Result<bool, RpcError> {
    Ok(api.services.ledger.drop_transaction(call.required()?))
}

/// Returns the hash where the transaction was in the pool, as Anvil does.
pub(crate) fn anvil_drop_transaction(api: &Arc<Api>, call: &mut Call<'_>) -> Result<Option<B256>, RpcError> {
    let hash = call.required::<B256>()?;
    Ok(api.services.ledger.drop_transaction(hash).then_some(hash))
}

pub(crate) fn drop_all_transactions(api: &Arc<Api>, _: &mut Call<'_>) -> Result<(), RpcError> {
    let content = api.pool().content();
    let all = content.pending.into_values().chain(content.queued.into_values());
    for transaction in all.flat_map(std::collections::BTreeMap::into_values) {
        api.services.ledger.drop_transaction(transaction.hash());
    }
    Ok(())
}

/// Whether the log tells what contracts say by `console.log`.
pub(crate) fn set_logging(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let enabled = call.required::<bool>()?;
    dev(api)?.chain.terms.wish(|wishes| wishes.is_silent = !enabled);
    Ok(())
}
