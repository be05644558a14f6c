//! `admin_backup`: a copy of the chain's database, made while the node goes on.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use crate::api::{Answer, Api, reply};
use crate::errors::RpcError;
use crate::params::Call;

/// The path must be absolute: nobody over there knows in which directory the node runs.
pub(crate) fn create(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let path = PathBuf::from(call.required::<String>()?);
    if !path.is_absolute() {
        return Err(RpcError::invalid_argument(0, "the path must be absolute"));
    }
    let made = api.services.ledger.back_up(&path).map_err(RpcError::server)?;
    reply(&json!({"path": path, "number": format!("{:#x}", made.number), "hash": made.head, "genesis": made.genesis}))
}
