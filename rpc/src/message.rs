//! One JSON-RPC message, from its text to its response, with geth's words for what is none.

use jsonrpsee::core::middleware::{Batch, BatchEntry, BatchEntryErr, Request, RpcServiceT};
use jsonrpsee::server::MethodResponse;
use jsonrpsee::types::{ErrorObjectOwned, Id, InvalidRequest};
use serde_json::value::RawValue;

use crate::dispatch::{Door, Subscribing};
use crate::errors::{INVALID_REQUEST, PARSE_ERROR, RpcError};

/// Answers one JSON value: a request, a notification, or a batch of at most `batch_items` of them.
pub(crate) async fn respond<S: Subscribing>(door: &Door<S>, text: &[u8], batch_items: usize) -> MethodResponse {
    let text = text.trim_ascii_start();
    if text.first() == Some(&b'[') {
        let Ok(entries) = serde_json::from_slice::<Vec<&RawValue>>(text) else { return parse_error() };
        if entries.len() > batch_items {
            return MethodResponse::error(Id::Null, ErrorObjectOwned::from(RpcError::batch_too_large()));
        }
        if entries.is_empty() {
            return MethodResponse::error(
                Id::Null,
                ErrorObjectOwned::from(RpcError::new(INVALID_REQUEST, "empty batch")),
            );
        }
        let entries = entries
            .into_iter()
            .map(|entry| read_entry(entry.get().as_bytes()).map_err(|id| BatchEntryErr::new(id, invalid_request())));
        return door.batch(Batch::from(entries.collect())).await;
    }
    match read_entry(text) {
        Ok(BatchEntry::Call(request)) => door.call(request).await,
        Ok(BatchEntry::Notification(notification)) => door.notification(notification).await,
        Err(_) if serde_json::from_slice::<&RawValue>(text).is_err() => parse_error(),
        Err(id) => MethodResponse::error(id, invalid_request()),
    }
}

/// Reads a request or a notification; what is neither gives its id.
pub(crate) fn read_entry(text: &[u8]) -> Result<BatchEntry<'_>, Id<'_>> {
    if let Ok(request) = serde_json::from_slice::<Request<'_>>(text) {
        return Ok(BatchEntry::Call(request));
    }
    if let Ok(notification) = serde_json::from_slice(text) {
        return Ok(BatchEntry::Notification(notification));
    }
    Err(serde_json::from_slice::<InvalidRequest<'_>>(text).map_or(Id::Null, |invalid| invalid.id))
}

fn parse_error() -> MethodResponse {
    MethodResponse::error(Id::Null, ErrorObjectOwned::from(RpcError::new(PARSE_ERROR, "parse error")))
}

fn invalid_request() -> ErrorObjectOwned {
    RpcError::new(INVALID_REQUEST, "invalid request").into()
}
