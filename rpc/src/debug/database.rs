//! Looking into the database: rows as they lie there, what it says about itself, and its compaction.

use std::sync::Arc;

use alloy_primitives::{Bytes, U64, hex};
use serde_json::Value;

use crate::api::{Answer, Api, reply};
use crate::block_id::BlockTag;
use crate::errors::RpcError;
use crate::params::{Call, Quantity};

/// The names under which geth's tools ask for the report.
const PROPERTIES: [&str; 3] = ["", "stats", "leveldb.stats"];

/// `debug_dbGet`: the key is hexadecimal with `0x`, or text; a second argument names the table.
pub(crate) fn get(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let key = read_key(&call.required::<String>()?)?;
    let table = call.optional::<String>()?;
    let row = api.view().row(table.as_deref(), &key)?;
    reply(&Bytes::from(row.ok_or_else(|| RpcError::server("not found"))?))
}

fn read_key(text: &str) -> Result<Vec<u8>, RpcError> {
    match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).map_err(|error| RpcError::invalid_argument(0, error)),
        None => Ok(text.as_bytes().to_vec()),
    }
}

/// `debug_dbAncients`: how many blocks from genesis on will not change any more. They lie in the same tables as the others.
pub(crate) fn ancients(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&U64::from(api.view().finalized_number().saturating_add(1)))
}

/// `debug_dbAncient`: a part of a block that will not change any more, in geth's encoding.
pub(crate) fn ancient(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let kind = call.required::<String>()?;
    let Quantity(number) = call.required()?;
    let view = api.view();
    if number > view.finalized_number() {
        return Err(RpcError::server("out of bounds"));
    }
    let found = api.block_at(&view, BlockTag::Number(number))?.ok_or_else(RpcError::header_not_found)?;
    let block = found.block();
    let encoded = match kind.as_str() {
        "headers" => alloy_rlp::encode(&*block.header),
        "hashes" => block.hash().to_vec(),
        "bodies" => alloy_rlp::encode(block.to_block().body),
        "diffs" => alloy_rlp::encode(view.total_difficulty(block.hash())?.unwrap_or_default()),
        _ => return Err(RpcError::invalid_argument(0, "the kind is one of headers, hashes, bodies, diffs")),
    };
    reply(&Bytes::from(encoded))
}

/// `debug_chaindbProperty`: how large the tables are, and what the database says about itself, as text.
pub(crate) fn property(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let name = call.optional::<String>()?.unwrap_or_default();
    if !PROPERTIES.contains(&name.as_str()) {
        return Err(RpcError::invalid_argument(0, "the only property is stats"));
    }
    reply(&api.services.ledger.describe_database().map_err(RpcError::server)?)
}

/// `debug_chaindbCompact`: takes as long as it takes; the chain goes on meanwhile.
pub(crate) fn compact(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    api.services.ledger.compact_database().map_err(RpcError::server)?;
    reply(&Value::Null)
}
