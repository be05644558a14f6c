//! `device_*`: the node's devices, their certificates and their shadows, for whoever may steer them.
//!
//! Numbers are plain JSON numbers and times are seconds since 1970, as in shadows.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Log as RawLog, U64, b256};
use chain::index::EventScope;
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{Answer, Api, reply};
use crate::devices::{DeviceError, DeviceEvent, ShadowAsk, ShadowPlace};
use crate::errors::{INVALID_PARAMS, RpcError, SERVER_ERROR};
use crate::index::{FoundLog, Search};
use crate::page::Page;
use crate::params::{Call, LogQuery};

impl From<DeviceError> for RpcError {
    fn from(error: DeviceError) -> Self {
        let data = error.code.map(|code| code.to_string());
        Self { code: SERVER_ERROR, message: error.message.into(), data }
    }
}

/// Which page of the devices.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListOption {
    after: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
}

pub(crate) fn list(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let ListOption { after, limit } = call.optional()?.unwrap_or_default();
    let size = Page::size(limit);
    let mut devices = api.services.operation.devices.list(after.as_deref(), size.saturating_add(1))?;
    let has_more = devices.len() > size;
    devices.truncate(size);
    let next = devices.last().filter(|_| has_more).map(|device| device.name.clone());
    reply(&json!({ "items": devices, "next": next }))
}

pub(crate) fn get(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    reply(&api.services.operation.devices.device(&call.required::<String>()?)?)
}

pub(crate) fn revoke(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (name, certificate) = (call.required::<String>()?, call.optional::<String>()?);
    if certificate.as_ref().is_some_and(String::is_empty) {
        return Err(RpcError::new(INVALID_PARAMS, "an empty certificate id would name all of them: leave it out"));
    }
    reply(&api.services.operation.devices.revoke(&name, certificate.as_deref())?)
}

/// The longest text of a code, in bytes: a safe code is about half as long.
const CODE_BYTES_MAX: usize = 400;

pub(crate) fn scan(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (name, code) = (call.required::<String>()?, call.required::<String>()?);
    if code.is_empty() || code.len() > CODE_BYTES_MAX {
        let words = format!("a code of {} bytes; from 1 to {CODE_BYTES_MAX} are possible", code.len());
        return Err(RpcError::new(INVALID_PARAMS, words));
    }
    api.services.operation.devices.scan(&name, &code)?;
    reply(&true)
}

pub(crate) fn shadows(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    reply(&api.services.operation.devices.shadows(&call.required::<String>()?)?)
}

pub(crate) fn get_shadow(api: &Arc<Api>, call: &mut Call<'_>) -> Result<BoxFuture<'static, Answer>, RpcError> {
    let place = read_place(call)?;
    Ok(ask(api, place, ShadowAsk::Get))
}

pub(crate) fn update_shadow(api: &Arc<Api>, call: &mut Call<'_>) -> Result<BoxFuture<'static, Answer>, RpcError> {
    let place = read_place(call)?;
    let document = call.required::<Value>()?;
    Ok(ask(api, place, ShadowAsk::Update(document.to_string().into_bytes())))
}

pub(crate) fn delete_shadow(api: &Arc<Api>, call: &mut Call<'_>) -> Result<BoxFuture<'static, Answer>, RpcError> {
    let place = read_place(call)?;
    Ok(ask(api, place, ShadowAsk::Delete))
}

fn ask(api: &Arc<Api>, place: ShadowPlace, ask: ShadowAsk) -> BoxFuture<'static, Answer> {
    let answer = api.services.operation.devices.ask(place, ask);
    Box::pin(async move { reply(&answer.await?) })
}

fn read_place(call: &mut Call<'_>) -> Result<ShadowPlace, RpcError> {
    Ok(ShadowPlace { device: call.required()?, shadow: call.optional()? })
}

pub(crate) fn history(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    /// Which page of the versions.
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct HistoryOption {
        before: Option<u64>,
        limit: Option<usize>,
    }
    let place = read_place(call)?;
    let HistoryOption { before, limit } = call.optional()?.unwrap_or_default();
    let size = Page::size(limit);
    let before = before.unwrap_or(u64::MAX);
    let mut changes = api.services.operation.devices.changes(&place, before, size.saturating_add(1))?;
    let has_more = changes.len() > size;
    changes.truncate(size);
    let next = changes.last().filter(|_| has_more).map(|change| change.version);
    reply(&json!({ "items": changes, "next": next }))
}

/// The first topic of `Released(address,bytes32,address,string,bytes32,bool)`: an order's item may be handed over.
const RELEASED: B256 = b256!("9793f4ede9602e94c612b55e80013d338f929a8643514398f2bf1e6684e0552c");
/// The first topic of `Opened(address,bytes32,string)`: a lock was opened for it.
const OPENED: B256 = b256!("1f851418834b50a6f6e67583808cbd508caafde4736e08ef2b1a8be9b4e13cf3");

/// Which openings.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpeningsOption {
    device: Option<String>,
}

pub(crate) fn openings(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let OpeningsOption { device } = call.optional()?.unwrap_or_default();
    let page: Page = call.optional()?.unwrap_or_default();
    let search = Search {
        scopes: vec![EventScope::Topic(RELEASED), EventScope::Topic(OPENED)],
        query: LogQuery { topics: vec![vec![RELEASED, OPENED]], ..LogQuery::default() },
        holder: None,
    };
    search.find(api, &page, |found| show_opening(found, device.as_deref()))?.answer()
}

/// Shows a release or an opening; none: another contract's event of that name, or another device.
fn show_opening(found: &FoundLog, wanted: Option<&str>) -> Option<Value> {
    let FoundLog { header, row, log, hash } = found;
    let (topics, device) = (log.topics(), first_text(log)?);
    if wanted.is_some_and(|wanted| wanted != device) {
        return None;
    }
    let signed = match topics.first() == Some(&RELEASED) {
        true => Some(log.data.data.get(64..96)?.last() == Some(&1)),
        false => None,
    };
    Some(json!({
        "event": if signed.is_some() { "released" } else { "opened" },
        "job": topics.get(2)?,
        "device": device,
        "order": log.address,
        "buyer": Address::from_word(*topics.get(1)?),
        "signed": signed,
        "hash": hash,
        "blockNumber": U64::from(row.number),
        "timestamp": U64::from(header.timestamp),
        "logIndex": U64::from(row.log_index),
    }))
}

/// Returns the text that a log's data begin with, by Solidity's ABI.
fn first_text(log: &RawLog) -> Option<String> {
    let data = &log.data.data;
    let number = |at: usize| -> Option<usize> {
        let word = data.get(at..at.checked_add(32)?)?;
        let (high, low) = word.split_at(24);
        let low = u64::from_be_bytes(low.try_into().ok()?);
        high.iter().all(|byte| *byte == 0).then(|| usize::try_from(low).ok()).flatten()
    };
    let start = number(0)?;
    let from = start.checked_add(32)?;
    let text = data.get(from..from.checked_add(number(start)?)?)?;
    String::from_utf8(text.to_vec()).ok()
}

/// What a subscriber wants to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// Devices that come, go and change, and alarms.
    Devices,
    /// Shadows: all of them, those of one device, or one.
    Shadows(ShadowOption),
}

/// Which shadows.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShadowOption {
    name: Option<String>,
    /// `Some(None)`: the classic one.
    #[serde(default, deserialize_with = "crate::params::some")]
    shadow: Option<Option<String>>,
}

impl Watched {
    /// Reads what `device_subscribe` is asked for; none: there is no such kind.
    pub(crate) fn read(kind: &str, call: &mut Call<'_>) -> Result<Option<Self>, RpcError> {
        Ok(match kind {
            "devices" => Some(Self::Devices),
            "shadow" => Some(Self::Shadows(call.optional()?.unwrap_or_default())),
            _ => None,
        })
    }

    /// Returns what the subscriber is told of an event.
    pub(crate) fn show(&self, event: &DeviceEvent) -> Option<Value> {
        match (self, event) {
            (Self::Devices, DeviceEvent::Device(what, device)) => Some(json!({ "event": what, "device": device })),
            (Self::Devices, DeviceEvent::Alarm(name, alarm)) => {
                Some(json!({ "event": "alarm", "name": name, "alarm": alarm }))
            }
            (Self::Devices, DeviceEvent::Scan(name, report)) => {
                let mut item = report.clone();
                item.insert("event".to_owned(), json!("scan"));
                item.insert("name".to_owned(), json!(name));
                Some(Value::Object(item))
            }
            (Self::Shadows(wanted), DeviceEvent::Shadow(change)) => {
                let is_wanted = wanted.name.as_ref().is_none_or(|name| *name == change.name)
                    && wanted.shadow.as_ref().is_none_or(|shadow| *shadow == change.shadow);
                is_wanted.then(|| json!(change))
            }
            (Self::Devices, DeviceEvent::Shadow(_))
            | (Self::Shadows(_), DeviceEvent::Device(..) | DeviceEvent::Alarm(..) | DeviceEvent::Scan(..)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Bytes, keccak256};

    #[test]
    fn the_topics_are_those_of_the_contracts() {
        assert_eq!(RELEASED, keccak256("Released(address,bytes32,address,string,bytes32,bool)"));
        assert_eq!(OPENED, keccak256("Opened(address,bytes32,string)"));
    }

    #[test]
    fn the_device_is_read_from_data_of_any_shape_without_a_panic() {
        let word = |number: u64| B256::left_padding_from(&number.to_be_bytes());
        let text =
            |parts: &[&[u8]]| first_text(&RawLog::new_unchecked(Address::ZERO, vec![], Bytes::from(parts.concat())));
        let name = [b"lock-1".as_slice(), &[0; 26]].concat();
        assert_eq!(text(&[&word(32)[..], &word(6)[..], &name]).as_deref(), Some("lock-1"));
        assert_eq!(text(&[&word(96)[..], &[7; 64], &word(4)[..], &name]).as_deref(), Some("lock"));
        for bad in [
            vec![],
            vec![&word(32)[..]],
            vec![&word(32)[..], &word(33)[..], &name],
            vec![&word(u64::MAX)[..], &word(6)[..], &name],
            vec![&B256::repeat_byte(0xff)[..], &word(6)[..], &name],
            vec![&word(32)[..], &word(2)[..], &[0xff, 0xfe]],
        ] {
            assert_eq!(text(&bad), None, "{bad:02x?}");
        }
    }
}
