//! Accounts and storage, set by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use evm_runtime::state::AccountAmendment;

use super::dev;
use crate::api::Api;
use crate::errors::RpcError;
use crate::params::{Call, Quantity, Slot};

fn amendment(address: Address) -> AccountAmendment {
    AccountAmendment { address_hash: keccak256(address), ..AccountAmendment::default() }
}

/// Changes the state after the head.
pub(super) fn amend(api: &Api, accounts: Vec<AccountAmendment>) -> Result<(), RpcError> {
    let _turn = dev(api)?.turn();
    api.services.ledger.amend(accounts, api.now()).map_err(RpcError::server)
}

pub(crate) fn set_balance(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let (address, balance) = (call.required()?, call.required::<U256>()?);
    amend(api, vec![AccountAmendment { balance: Some(balance), ..amendment(address) }])
}

pub(crate) fn set_nonce(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let (address, Quantity(nonce)) = (call.required()?, call.required()?);
    amend(api, vec![AccountAmendment { nonce: Some(nonce), ..amendment(address) }])
}

pub(crate) fn set_code(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let (address, code) = (call.required()?, call.required::<Bytes>()?);
    amend(api, vec![AccountAmendment { code: Some(code), ..amendment(address) }])
}

/// Takes short values too.
pub(crate) fn set_storage_at(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let (address, Slot(slot), Slot(value)) = (call.required()?, call.required()?, call.required()?);
    let slots = BTreeMap::from([(keccak256(B256::from(slot)), value)]);
    amend(api, vec![AccountAmendment { slots, ..amendment(address) }])
}
