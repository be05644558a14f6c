//! The `net`, `web3` and `rpc` namespaces.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{U64, keccak256};

use crate::api::{Answer, Api, reply};
use crate::params::{Call, Data};

/// A decimal string, unlike everything else.
pub(crate) fn version(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&api.services.network_id.to_string())
}

/// As in geth a node that meets nobody is said to listen: tools test their connection by it.
pub(crate) fn listening(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let network = &api.services.operation.network;
    reply(&(network.identity().is_none() || network.status().is_listening))
}

pub(crate) fn peer_count(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&U64::from(api.services.operation.network.status().peers))
}

pub(crate) fn client_version(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&api.services.client_version)
}

pub(crate) fn sha3(_: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    reply(&keccak256(call.required::<Data>()?))
}

/// The namespaces of this transport, each with its version.
pub(crate) fn modules(_: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    reply(&call.session.namespaces().map(|name| (name, "1.0")).collect::<BTreeMap<_, _>>())
}
