//! The `personal` namespace: accounts with passwords.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use serde_json::json;

use crate::api::{Answer, Api, reply};
use crate::dev;
use crate::errors::RpcError;
use crate::eth::send::{Authority, send_as, sign_as};
use crate::eth::sign::{recover, sign_message};
use crate::params::{Call, Data, PrivateKey, Quantity};
use crate::services::{SignerError, WalletView};

/// How long an account stays unlocked where the client says nothing (geth's default).
const UNLOCK_DEFAULT: Duration = Duration::from_secs(300);
/// The longest unlocking in seconds (geth's: what fits 63 bits of nanoseconds).
const UNLOCK_MAX_SECONDS: u64 = i64::MAX as u64 / 1_000_000_000;

pub(crate) fn list_accounts(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&api.services.signer.accounts())
}

/// Each account is a wallet, as geth's keystore has it; where a key is in memory alone, there is no file to name.
pub(crate) fn list_wallets(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let show = |wallet: WalletView| {
        let file = wallet.file.map(|file| file.display().to_string());
        let url = format!("keystore://{}", file.as_deref().unwrap_or("memory"));
        let status = if wallet.is_unlocked { "Unlocked" } else { "Locked" };
        json!({"url": url, "status": status, "accounts": [{"address": wallet.address, "url": url}]})
    };
    reply(&api.services.signer.wallets().into_iter().map(show).collect::<Vec<_>>())
}

pub(crate) fn new_account(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    reply(&api.services.signer.new_account(&call.required::<String>()?)?)
}

pub(crate) fn import_raw_key(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (PrivateKey(key), password) = (call.required()?, call.required::<String>()?);
    reply(&api.services.signer.import(key, &password)?)
}

/// 0 seconds unlock until the node ends.
pub(crate) fn unlock_account(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (address, password) = (call.required::<Address>()?, call.required::<String>()?);
    let duration = match call.optional::<Quantity>()? {
        None => Some(UNLOCK_DEFAULT),
        Some(Quantity(0)) => None,
        Some(Quantity(seconds)) if seconds > UNLOCK_MAX_SECONDS => {
            return Err(RpcError::server("unlock duration too large"));
        }
        Some(Quantity(seconds)) => Some(Duration::from_secs(seconds)),
    };
    if !api.allows_unlock() {
        return Err(RpcError::unlock_forbidden());
    }
    match dev::unlock_added(api, address, &password) {
        Some(true) => return reply(&true),
        Some(false) => return Err(SignerError::WrongPassword.into()),
        None => {}
    }
    api.services.signer.unlock(address, &password, duration)?;
    reply(&true)
}

pub(crate) fn lock_account(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    reply(&api.services.signer.lock(call.required::<Address>()?))
}

pub(crate) fn send_transaction(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let request = call.required()?;
    with_password(call, |authority| send_as(api, request, authority))
}

pub(crate) fn sign_transaction(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let request = call.required()?;
    with_password(call, |authority| sign_as(api, request, authority))
}

/// Without a password the account must be unlocked, as wallets' `personal_sign` expects.
pub(crate) fn sign(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (message, address) = (call.required::<Data>()?, call.required::<Address>()?);
    with_password(call, |authority| reply(&sign_message(api, address, &message, authority)?))
}

pub(crate) fn ec_recover(_: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (message, signature) = (call.required::<Data>()?, call.required::<Data>()?);
    reply(&recover(&message, &signature)?)
}

fn with_password(call: &mut Call<'_>, act: impl FnOnce(&Authority<'_>) -> Answer) -> Answer {
    match call.optional::<String>()? {
        Some(password) => act(&Authority::Password(&password)),
        None => act(&Authority::Unlocked),
    }
}
