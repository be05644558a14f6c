//! The `perm` namespace: Besu's methods and words for the lists of nodes and accounts that may come.

use std::sync::Arc;

use alloy_primitives::Address;

use crate::api::{Answer, Api, reply};
use crate::errors::RpcError;
use crate::operation::PermissionError;
use crate::params::Call;

/// What Besu answers where a list has changed.
const DONE: &str = "Success";

fn done(changed: Result<(), PermissionError>) -> Answer {
    changed.map_err(RpcError::server)?;
    reply(DONE)
}

pub(crate) fn nodes(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let nodes = api.services.operation.permissions.nodes();
    reply(&nodes.ok_or_else(|| RpcError::server(PermissionError::NodesNotEnabled))?)
}

pub(crate) fn add_nodes(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    done(api.services.operation.permissions.add_nodes(&call.required::<Vec<String>>()?))
}

pub(crate) fn remove_nodes(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    done(api.services.operation.permissions.remove_nodes(&call.required::<Vec<String>>()?))
}

pub(crate) fn accounts(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let accounts = api.services.operation.permissions.accounts();
    reply(&accounts.ok_or_else(|| RpcError::server(PermissionError::AccountsNotEnabled))?)
}

pub(crate) fn add_accounts(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    done(api.services.operation.permissions.add_accounts(&addresses(call)?))
}

pub(crate) fn remove_accounts(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    done(api.services.operation.permissions.remove_accounts(&addresses(call)?))
}

pub(crate) fn reload(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    done(api.services.operation.permissions.reload())
}

/// Reads accounts: a text that is none is answered as Besu answers it.
fn addresses(call: &mut Call<'_>) -> Result<Vec<Address>, RpcError> {
    let accounts: Result<Vec<Address>, _> = call.required::<Vec<String>>()?.iter().map(|text| text.parse()).collect();
    accounts.map_err(|_| RpcError::server(PermissionError::InvalidAccount))
}
