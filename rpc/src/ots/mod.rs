//! The `ots` namespace: what the explorer Otterscan asks a node for, so that it needs no index of its own.

pub(crate) mod blocks;
pub(crate) mod search;
pub(crate) mod transactions;

use std::sync::Arc;

use crate::api::{Answer, Api, reply};
use crate::params::Call;

/// The version of the interface that is answered.
const API_LEVEL: u64 = 8;

pub(crate) fn api_level(_: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&API_LEVEL)
}
