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

pub(crate) fn listening(_: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&true)
}

pub(crate) fn peer_count(_: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&U64::ZERO)
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
