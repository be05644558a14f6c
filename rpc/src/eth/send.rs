//! Transactions that enter here: signed by the client, or by the node for it.

use std::sync::Arc;
use std::time::Duration;

use alloy_consensus::{SignableTransaction, Transaction as _};
use alloy_primitives::{Address, B256, Bytes, Signature};
use alloy_rpc_types_eth::TransactionRequest;
use chain::TransactionOrigin;
use consensus::transaction::{decode_transaction, encode_transaction, impersonation};
use consensus::{RecoveredTransaction, Transaction};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;

use crate::api::{Answer, Api, reply};
use crate::errors::RpcError;
use crate::eth::{fees, fill, transactions};
use crate::objects::{self, TransactionObject};
use crate::params::{Call, Data, Quantity};
use crate::services::SignerError;

/// How long `eth_sendRawTransactionSync` waits where the client says nothing (geth's default).
const SYNC_TIMEOUT: Duration = Duration::from_secs(20);
/// How long it waits at most (geth's maximum).
const SYNC_TIMEOUT_MAX: Duration = Duration::from_secs(60);

pub(crate) fn send_raw(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    reply(&submit(api, read_raw(api, &call.required::<Data>()?)?)?)
}

/// Decodes a transaction, checks what needs no state, and recovers its sender: the costly part, free of locks.
pub(crate) fn read_raw(api: &Api, bytes: &[u8]) -> Result<RecoveredTransaction, RpcError> {
    if matches!(bytes.first(), Some(0x05..=0x7f)) {
        return Err(RpcError::server("transaction type not supported"));
    }
    let transaction = decode_transaction(bytes).map_err(RpcError::server)?;
    check(api, &transaction)?;
    RecoveredTransaction::recover(transaction).map_err(RpcError::server)
}

/// Adds a transaction to the pool.
pub(crate) fn submit(api: &Api, transaction: RecoveredTransaction) -> Result<B256, RpcError> {
    if !api.services.operation.permissions.allows_account(transaction.sender()) {
        return Err(RpcError::sender_not_authorized());
    }
    let added = api.services.ledger.add_transaction(transaction, TransactionOrigin::Local, api.now());
    added.map_err(RpcError::server)
}

/// Checks what this door alone demands: a chain id, and a fee below the configured cap.
fn check(api: &Api, transaction: &Transaction) -> Result<(), RpcError> {
    let want = api.view().spec().chain_id;
    match transaction.chain_id() {
        Some(have) if have != want => return Err(RpcError::wrong_chain_id(have, want)),
        None if !api.allow_unprotected_txs => return Err(RpcError::unprotected_transaction()),
        _ => {}
    }
    check_fee(api, transaction.gas_limit(), transaction.max_fee_per_gas())
}

/// Checks the most that a transaction can pay for gas.
pub(crate) fn check_fee(api: &Api, gas: u64, price_wei: u128) -> Result<(), RpcError> {
    let cap = api.limits.tx_fee_cap_wei;
    let fee = u128::try_from(fees::cost(gas, price_wei)).unwrap_or(u128::MAX);
    if cap > 0 && fee > cap { Err(RpcError::fee_above_cap(fee, cap)) } else { Ok(()) }
}

pub(crate) fn send_raw_sync(api: &Arc<Api>, call: &mut Call<'_>) -> Result<BoxFuture<'static, Answer>, RpcError> {
    let raw = call.required::<Data>()?;
    let wait = call.optional::<Quantity>()?.map(|Quantity(ms)| Duration::from_millis(ms));
    let wait = wait.filter(|wait| !wait.is_zero()).unwrap_or(SYNC_TIMEOUT).min(SYNC_TIMEOUT_MAX);
    let api = Arc::clone(api);
    Ok(async move { send_and_wait(&api, &raw, wait).await }.boxed())
}

/// Adds a transaction and waits for its receipt.
async fn send_and_wait(api: &Api, raw: &Bytes, wait: Duration) -> Answer {
    let transaction = read_raw(api, raw)?;
    let hash = transaction.hash();
    let (mut heads, mut dropped) = (api.events.heads.subscribe(), api.events.dropped.subscribe());
    submit(api, transaction)?;
    let timeout = tokio::time::sleep(wait);
    tokio::pin!(timeout);
    loop {
        tokio::select! {
            () = &mut timeout => return Err(RpcError::not_mined_in_time(hash, wait)),
            head = heads.recv() => {
                let mined = match head {
                    Ok(head) => head.added.iter().any(|block| block.transactions.iter().any(|tx| tx.hash() == hash)),
                    Err(RecvError::Lagged(_)) => true,
                    Err(RecvError::Closed) => return Err(RpcError::not_mined_in_time(hash, wait)),
                };
                if mined && let Some(receipt) = transactions::find_receipt(api, hash)? {
                    return reply(&receipt);
                }
            }
            fact = dropped.recv() => if let Ok((gone, reason)) = fact && gone == hash {
                return Err(RpcError::server(format!("transaction dropped: {reason}")));
            },
        }
    }
}

/// Says whose authority signs.
pub(crate) enum Authority<'a> {
    /// The account is unlocked.
    Unlocked,
    /// The request brings the password.
    Password(&'a str),
}

impl Authority<'_> {
    /// Signs a digest.
    pub(crate) fn sign(&self, api: &Api, address: Address, digest: B256) -> Result<Signature, RpcError> {
        let signer = &api.services.signer;
        Ok(match self {
            Self::Unlocked => signer.sign_hash(address, digest)?,
            Self::Password(password) => signer.sign_with_password(address, password, digest)?,
        })
    }
}

pub(crate) fn send(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    send_as(api, call.required()?, &Authority::Unlocked)
}

/// Fills, signs and adds a transaction of one of the node's accounts.
pub(crate) fn send_as(api: &Api, request: TransactionRequest, authority: &Authority<'_>) -> Answer {
    let sender = own_account(api, &request)?;
    // Two requests at the same time must not get the same nonce.
    let _turn = api.lock_sender(sender);
    let signed = sign_filled(api, sender, fill::complete(api, sender, request)?, authority)?;
    reply(&submit(api, signed)?)
}

/// A signed transaction, raw and readable.
#[derive(Serialize)]
struct SignedObject {
    raw: Bytes,
    tx: TransactionObject,
}

impl SignedObject {
    fn of(transaction: &RecoveredTransaction) -> Self {
        Self { raw: encode_transaction(transaction.transaction()), tx: objects::unmined(transaction) }
    }
}

pub(crate) fn sign_transaction(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    sign_as(api, call.required()?, &Authority::Unlocked)
}

/// Signs a transaction that the client has filled itself, and does not send it.
pub(crate) fn sign_as(api: &Api, request: TransactionRequest, authority: &Authority<'_>) -> Answer {
    let sender = own_account(api, &request)?;
    fill::require_filled(&request)?;
    let signed = sign_filled(api, sender, fill::complete(api, sender, request)?, authority)?;
    reply(&SignedObject::of(&signed))
}

/// Fills what a request leaves open, and does not sign it.
pub(crate) fn fill_transaction(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let request = call.required::<TransactionRequest>()?;
    let sender = request.from.unwrap_or_default();
    let unsigned = fill::complete(api, sender, request)?;
    let nothing = Signature::new(alloy_primitives::U256::ZERO, alloy_primitives::U256::ZERO, false);
    let shown = RecoveredTransaction::with_sender(unsigned.into_envelope(nothing), sender);
    reply(&SignedObject::of(&shown))
}

fn sign_filled(
    api: &Api,
    sender: Address,
    unsigned: fill::Unsigned,
    authority: &Authority<'_>,
) -> Result<RecoveredTransaction, RpcError> {
    check_fee(api, unsigned.gas_limit(), unsigned.max_fee_per_gas())?;
    let signature = match impersonated(api, sender) {
        true => impersonation(sender),
        false => authority.sign(api, sender, unsigned.signature_hash())?,
    };
    Ok(RecoveredTransaction::with_sender(unsigned.into_envelope(signature), sender))
}

/// Tells whether a sender needs no key here.
fn impersonated(api: &Api, sender: Address) -> bool {
    api.dev.as_ref().is_some_and(|dev| dev.impersonates(sender)) && !api.services.signer.accounts().contains(&sender)
}

/// Returns the sender of a request, who must have an account here or be impersonated.
fn own_account(api: &Api, request: &TransactionRequest) -> Result<Address, RpcError> {
    let sender = request.from.ok_or_else(|| RpcError::server("from not specified"))?;
    let may_send = api.services.signer.accounts().contains(&sender) || impersonated(api, sender);
    if may_send { Ok(sender) } else { Err(SignerError::UnknownAccount.into()) }
}
