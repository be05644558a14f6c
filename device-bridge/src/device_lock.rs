//! The named shadow `lock`, through which a device is told to open and says what it did: its document and its topics.
//!
//! The device that scanned a code writes `lock`, `job`, `until` and `code` into the desired state; the bridge adds `released` once the release
//! is settled on the chain, and clears the desired state when the device reported the job. `lock: open` alone never opens
//! anything: what counts is the job, once.

use std::fmt;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The shadow's name.
pub const SHADOW: &str = "lock";
/// Where the bridge tells of devices that do not comply: this, `/` and the thing's name.
pub const ALARM_TOPIC: &str = "drawbridge/alarms";

/// Names a position of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// It lets people take the item.
    Open,
    /// It does not.
    Closed,
}

/// One section, desired or reported, of the shadow. Keys that are not known are of no interest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockState {
    /// The lock's position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Position>,
    /// The job: the digest of what the buyer signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<B256>,
    /// The last second in which the job may be carried out, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// The code as it was scanned, with the nonce that the device chose where a plain code has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// When the release was recorded on the chain, by a block that is settled, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<u64>,
    /// Why the job was not carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
}

/// Writes the state for people.
impl fmt::Display for LockState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lock = match self.lock {
            Some(Position::Open) => "open",
            Some(Position::Closed) => "closed",
            None => "nothing",
        };
        formatter.write_str(lock)?;
        if let Some(job) = &self.job {
            write!(formatter, " for {}", &job.to_string()[..10])?;
        }
        if self.released.is_some() {
            formatter.write_str(", released")?;
        }
        self.rejected.as_ref().map_or(Ok(()), |reason| write!(formatter, ", rejected: {reason}"))
    }
}

/// Both sections of the shadow at one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockShadow {
    /// The version.
    pub version: u64,
    /// What is wanted.
    pub desired: LockState,
    /// What is.
    pub reported: LockState,
}

/// What a message on one of the shadow's topics says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockMessage {
    /// The whole shadow (`get/accepted`, `update/documents`).
    Whole(LockShadow),
    /// What is desired and not reported (`update/delta`), and the version.
    Delta(u64, LockState),
    /// An update was accepted; its client token.
    Accepted(String),
    /// An update or a get was refused: the token, the code and the text. 404 on a get means that there is no shadow yet.
    Refused {
        /// The client token.
        token: String,
        /// The code, as in HTTP.
        code: u64,
        /// The text.
        message: String,
    },
}

/// Returns the topic of the shadow of `thing` that ends with `rest`, such as `update/delta`; `+` stands for all things.
pub fn topic(thing: &str, rest: &str) -> String {
    format!("$aws/things/{thing}/shadow/name/{SHADOW}/{rest}")
}

/// Reads a message; `None`: another topic, or not what a shadow service sends. The text is the thing's name.
pub fn read(topic: &str, payload: &[u8]) -> Option<(String, LockMessage)> {
    let (thing, rest) = topic.strip_prefix("$aws/things/")?.split_once("/shadow/name/lock/")?;
    let body: Value = serde_json::from_slice(payload).ok()?;
    let token = || body["clientToken"].as_str().unwrap_or_default().to_owned();
    let message = match rest {
        "get/accepted" => LockMessage::Whole(shadow(&body)?),
        "update/documents" => LockMessage::Whole(shadow(&body["current"])?),
        "update/delta" => LockMessage::Delta(body["version"].as_u64()?, section(&body["state"])),
        "update/accepted" => LockMessage::Accepted(token()),
        "get/rejected" | "update/rejected" => LockMessage::Refused {
            token: token(),
            code: body["code"].as_u64()?,
            message: body["message"].as_str().unwrap_or_default().chars().take(200).collect(),
        },
        _ => return None,
    };
    Some((thing.to_owned(), message))
}

fn shadow(body: &Value) -> Option<LockShadow> {
    let state = &body["state"];
    Some(LockShadow {
        version: body["version"].as_u64()?,
        desired: section(&state["desired"]),
        reported: section(&state["reported"]),
    })
}

/// Reads a section. One with a wrong value is as good as none: it opens nothing.
fn section(value: &Value) -> LockState {
    LockState::deserialize(value).unwrap_or_default()
}

/// Returns an update of the reported state: position and job stay where nothing is said of them, the rest is that of this state.
pub fn report(state: &LockState, token: &str) -> Vec<u8> {
    let reported = over(json!({"until": null, "code": null, "released": null, "rejected": null}), state);
    json!({"state": {"reported": reported}, "clientToken": token}).to_string().into_bytes()
}

/// Lays the keys that a state has over others.
fn over(mut keys: Value, state: &LockState) -> Value {
    if let (Some(keys), Ok(Value::Object(given))) = (keys.as_object_mut(), serde_json::to_value(state)) {
        keys.extend(given);
    }
    keys
}

/// Returns an update of the desired state that replaces what another job left there.
pub fn desire(state: &LockState, token: &str) -> Vec<u8> {
    let desired = over(json!({"released": null, "rejected": null}), state);
    json!({"state": {"desired": desired}, "clientToken": token}).to_string().into_bytes()
}

/// Returns an update that adds that the release is settled.
pub fn announce(released_at: u64, version: u64) -> Vec<u8> {
    json!({"state": {"desired": {"released": released_at}}, "version": version}).to_string().into_bytes()
}

/// Returns an update that takes the desired state away, where it is still that of `version`.
pub fn clear(version: u64) -> Vec<u8> {
    json!({"state": {"desired": null}, "version": version}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state() -> LockState {
        LockState {
            lock: Some(Position::Open),
            job: Some(B256::repeat_byte(7)),
            until: Some(9),
            code: Some("T1:X".to_owned()),
            ..LockState::default()
        }
    }

    #[test]
    fn messages_are_read_by_topic() {
        let of = |rest: &str, body: Value| read(&topic("dock-1", rest), body.to_string().as_bytes()).map(|(_, m)| m);
        let desired = serde_json::to_value(state()).unwrap();
        let whole = LockShadow { version: 3, desired: state(), reported: LockState::default() };
        let document = json!({"state": {"desired": desired}, "version": 3});
        assert_eq!(of("get/accepted", document.clone()), Some(LockMessage::Whole(whole.clone())));
        assert_eq!(
            of("update/documents", json!({"current": document, "previous": null})),
            Some(LockMessage::Whole(whole))
        );
        assert_eq!(of("update/delta", json!({"state": desired, "version": 3})), Some(LockMessage::Delta(3, state())));
        assert_eq!(of("update/accepted", json!({"clientToken": "t"})), Some(LockMessage::Accepted("t".to_owned())));
        let refused = LockMessage::Refused { token: String::new(), code: 409, message: "Version conflict".to_owned() };
        assert_eq!(of("update/rejected", json!({"code": 409, "message": "Version conflict"})), Some(refused));
        for (rest, body) in [("update", json!({})), ("update/delta", json!({"state": {}})), ("get/accepted", json!(7))]
        {
            assert_eq!(of(rest, body), None, "{rest}");
        }
        assert_eq!(read("$aws/things/dock-1/shadow/update/delta", b"{\"version\":1}"), None);
    }

    #[test]
    fn a_section_with_a_wrong_value_says_nothing() {
        for body in [
            json!({"lock": "ajar"}),
            json!({"lock": "open", "job": "0x1"}),
            json!({"lock": "open", "until": -1}),
            json!([]),
        ] {
            assert_eq!(section(&body), LockState::default(), "{body}");
        }
        assert_eq!(section(&json!({"lock": "closed", "colour": 1})).lock, Some(Position::Closed));
    }

    #[test]
    fn a_new_desire_takes_the_marks_of_an_old_one_away() {
        let update: Value = serde_json::from_slice(&desire(&state(), "t")).unwrap();
        assert!(update["state"]["desired"]["released"].is_null() && update["state"]["desired"]["lock"] == "open");
        let report: Value = serde_json::from_slice(&report(&LockState::default(), "t")).unwrap();
        assert_eq!(
            report["state"]["reported"],
            json!({"until": null, "code": null, "released": null, "rejected": null})
        );
    }

    proptest! {
        #[test]
        fn any_message_is_read_or_refused(payload: Vec<u8>, rest in "(get/accepted|update/documents|update/delta|update/rejected|x)") {
            let _ = read(&topic("a", &rest), &payload);
        }
    }
}
