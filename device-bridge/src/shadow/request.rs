//! The request documents, checked.

use serde_json::Value;

use super::ShadowError;
use super::merge::{DEPTH_MAX, Object, depth, null_in_array};

/// The longest client token, in bytes (AWS IoT quotas).
pub const CLIENT_TOKEN_BYTES_MAX: usize = 64;
/// The largest request that is read at all, in bytes: the largest MQTT payload of AWS IoT.
pub const REQUEST_BYTES_MAX: usize = 128 * 1024;

/// What an update does to a section.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Section {
    /// Nothing: it is not named.
    Kept,
    /// It is removed by null.
    Removed,
    /// This is merged into it.
    Merged(Object),
}

/// What an update asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Update {
    /// The `state` as it was sent, for the answer.
    pub(super) sent: Value,
    pub(super) desired: Section,
    pub(super) reported: Section,
    /// The version that the shadow must have.
    pub(super) version: Option<u64>,
}

/// Reads the client token of any request, so that a refusal carries it too. A payload that is no JSON object has none.
///
/// # Errors
/// The token is no text, or too long.
pub(super) fn client_token(payload: &[u8]) -> Result<Option<String>, ShadowError> {
    if payload.len() > REQUEST_BYTES_MAX {
        return Ok(None);
    }
    let Ok(Value::Object(mut document)) = serde_json::from_slice(payload) else { return Ok(None) };
    token_of(document.remove("clientToken"))
}

fn token_of(token: Option<Value>) -> Result<Option<String>, ShadowError> {
    match token {
        None => Ok(None),
        Some(Value::String(token)) if token.len() <= CLIENT_TOKEN_BYTES_MAX => Ok(Some(token)),
        Some(_) => Err(ShadowError::InvalidClientToken),
    }
}

/// Reads an update's document.
///
/// # Errors
/// It is malformed, too large or too deep.
pub(super) fn parse_update(payload: &[u8]) -> Result<Update, ShadowError> {
    if payload.len() > REQUEST_BYTES_MAX {
        return Err(ShadowError::TooLarge);
    }
    let text = std::str::from_utf8(payload).map_err(|_| ShadowError::Encoding)?;
    let document: Value = serde_json::from_str(text).map_err(|_| ShadowError::InvalidJson)?;
    let Value::Object(mut document) = document else { return Err(ShadowError::InvalidJson) };
    token_of(document.remove("clientToken"))?;
    let version = match document.remove("version") {
        None => None,
        Some(version) => Some(version.as_u64().ok_or(ShadowError::InvalidVersion)?),
    };
    let sent = document.remove("state").ok_or(ShadowError::MissingState)?;
    let (desired, reported) = match &sent {
        Value::Null => (Section::Removed, Section::Removed),
        Value::Object(state) => {
            if let Some(stranger) = state.keys().find(|key| *key != "desired" && *key != "reported") {
                return Err(ShadowError::InvalidNode(stranger.clone()));
            }
            let desired = section(state.get("desired"), ShadowError::DesiredNotObject)?;
            (desired, section(state.get("reported"), ShadowError::ReportedNotObject)?)
        }
        _ => return Err(ShadowError::StateNotObject),
    };
    Ok(Update { sent, desired, reported, version })
}

fn section(value: Option<&Value>, not_object: ShadowError) -> Result<Section, ShadowError> {
    let object = match value {
        None => return Ok(Section::Kept),
        Some(Value::Null) => return Ok(Section::Removed),
        Some(Value::Object(object)) => object,
        Some(_) => return Err(not_object),
    };
    if value.is_some_and(|value| depth(value) > DEPTH_MAX) {
        return Err(ShadowError::TooDeep);
    }
    if let Some(key) = null_in_array(object) {
        return Err(ShadowError::InvalidNode(key.to_owned()));
    }
    Ok(Section::Merged(object.clone()))
}
