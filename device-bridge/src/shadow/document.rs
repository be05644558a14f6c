//! The shadow itself: a pure value, and what a request makes of it.
//!
//! Semantics are those of AWS IoT's device shadows, classic and named. Nothing here knows a clock, a broker or a disk: the
//! time is an argument, and what is to be stored and sent is the result.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::merge::{Object, difference, merge, stamps};
use super::request::{Section, Update, client_token, parse_update};
use super::{Operation, ShadowChange, ShadowError, ShadowName};

/// The largest shadow, in bytes: `desired` and `reported` together as compact JSON, without metadata (AWS IoT quotas).
pub const SHADOW_BYTES_MAX: usize = 8 * 1024;
/// How long the version of a deleted shadow is remembered, in seconds: 48 hours (AWS IoT developer guide).
pub const TOMBSTONE_SECONDS: u64 = 48 * 3600;

/// Says which sections somebody may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Writes {
    /// Both.
    #[default]
    Both,
    /// `desired` alone: an application.
    Desired,
    /// `reported` alone: a device.
    Reported,
}

/// One request to a shadow.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Which shadow.
    pub name: &'a ShadowName,
    /// What is asked.
    pub operation: Operation,
    /// The document that came with it.
    pub payload: &'a [u8],
    /// What the sender may write.
    pub writes: Writes,
}

/// A message for whoever is subscribed to its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The topic.
    pub topic: String,
    /// The document, JSON.
    pub payload: Vec<u8>,
}

/// What a request leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The shadow to store; none: nothing changed.
    pub document: Option<Shadow>,
    /// The messages to send once it is stored, in this order; the last one is the answer to the request.
    pub messages: Vec<Message>,
    /// The answer's document, or why the request was refused.
    pub answer: Result<Vec<u8>, ShadowError>,
}

/// A shadow: its two sections, when each of their values was written, and the version. The default is a shadow that never was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    version: u64,
    /// When it was deleted, in seconds since 1970; a deleted shadow keeps its version alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    desired: Object,
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    desired_metadata: Object,
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    reported: Object,
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    reported_metadata: Object,
}

impl Shadow {
    /// Applies a request at the time `now` (seconds since 1970).
    pub fn apply(&self, request: &Request<'_>, now: u64) -> Applied {
        let (token, bad_token) = match client_token(request.payload) {
            Ok(token) => (token, None),
            Err(error) => (None, Some(error)),
        };
        let done = match (bad_token, request.operation) {
            (Some(error), _) => Err(error),
            (None, Operation::Get) => self.get(request.name, token.as_deref(), now),
            (None, Operation::Update) => self.update(request, token.as_deref(), now),
            (None, Operation::Delete) => self.delete(request.name, token.as_deref(), now),
        };
        done.unwrap_or_else(|error| refusal(request.name, request.operation, error, token.as_deref(), now))
    }

    /// Returns the version; that of a deleted shadow is remembered.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Tells whether there is a document.
    pub fn exists(&self) -> bool {
        self.version > 0 && self.deleted_at.is_none()
    }

    /// Tells whether nothing of the shadow matters any more at `now`.
    pub fn is_forgotten(&self, now: u64) -> bool {
        self.deleted_at.is_some_and(|deleted| deleted.saturating_add(TOMBSTONE_SECONDS) <= now)
    }

    /// Returns the shadow as a change that came about at `now`.
    pub(crate) fn as_change(&self, name: &ShadowName, now: u64) -> ShadowChange {
        let state = self.exists().then(|| self.whole_state());
        ShadowChange { name: name.clone(), version: self.version, timestamp: now, state }
    }

    /// Returns what there is of `desired`, `reported` and the difference between them.
    fn whole_state(&self) -> Object {
        let (mut state, _) = self.sections();
        let (delta, _) = self.delta();
        if !delta.is_empty() {
            state.insert("delta".into(), Value::Object(delta));
        }
        state
    }

    fn get(&self, name: &ShadowName, token: Option<&str>, now: u64) -> Result<Applied, ShadowError> {
        self.must_exist(name)?;
        let (_, metadata) = self.sections();
        let document =
            json!({ "state": self.whole_state(), "metadata": metadata, "version": self.version, "timestamp": now });
        Ok(Applied::accepted(name, Operation::Get, None, Vec::new(), with_token(document, token)))
    }

    fn delete(&self, name: &ShadowName, token: Option<&str>, now: u64) -> Result<Applied, ShadowError> {
        self.must_exist(name)?;
        let tombstone = Self { version: self.version.saturating_add(1), deleted_at: Some(now), ..Self::default() };
        let document = json!({ "version": self.version, "timestamp": now });
        Ok(Applied::accepted(name, Operation::Delete, Some(tombstone), Vec::new(), with_token(document, token)))
    }

    fn update(&self, request: &Request<'_>, token: Option<&str>, now: u64) -> Result<Applied, ShadowError> {
        let update = parse_update(request.payload)?;
        may_write(request.writes, &update)?;
        let expected = if self.exists() { self.version } else { 0 };
        if update.version.is_some_and(|version| version != expected) {
            return Err(ShadowError::VersionConflict);
        }
        let known = if self.is_forgotten(now) { 0 } else { self.version };
        let mut next = Self { version: known.saturating_add(1), deleted_at: None, ..self.clone() };
        change(&mut next.desired, &mut next.desired_metadata, update.desired, now);
        change(&mut next.reported, &mut next.reported_metadata, update.reported, now);
        if next.size_bytes() > SHADOW_BYTES_MAX {
            return Err(ShadowError::TooLarge);
        }
        let answer = json!({
            "state": update.sent, "metadata": stamps(&update.sent, now), "version": next.version, "timestamp": now
        });
        let messages = self.facts(request.name, &next, token, now);
        Ok(Applied::accepted(request.name, Operation::Update, Some(next), messages, with_token(answer, token)))
    }

    /// Returns the messages that tell of the step from `self` to `next`: what still differs, and both documents.
    fn facts(&self, name: &ShadowName, next: &Self, token: Option<&str>, now: u64) -> Vec<Message> {
        let mut messages = Vec::new();
        let (delta, metadata) = next.delta();
        if !delta.is_empty() {
            let document = json!({ "version": next.version, "timestamp": now, "state": delta, "metadata": metadata });
            messages.push(message(name, "update/delta", &with_token(document, token)));
        }
        let previous = if self.exists() { self.snapshot() } else { Value::Null };
        let document = json!({ "previous": previous, "current": next.snapshot(), "timestamp": now });
        messages.push(message(name, "update/documents", &with_token(document, token)));
        messages
    }

    fn must_exist(&self, name: &ShadowName) -> Result<(), ShadowError> {
        if self.exists() { Ok(()) } else { Err(ShadowError::NoShadow(name.quoted().to_owned())) }
    }

    fn delta(&self) -> (Object, Object) {
        difference(&self.desired, &self.desired_metadata, &self.reported)
    }

    fn snapshot(&self) -> Value {
        let (state, metadata) = self.sections();
        json!({ "state": state, "metadata": metadata, "version": self.version })
    }

    /// Returns state and metadata without the sections that are empty.
    fn sections(&self) -> (Object, Object) {
        let (mut state, mut metadata) = (Object::new(), Object::new());
        let sections =
            [("desired", &self.desired, &self.desired_metadata), ("reported", &self.reported, &self.reported_metadata)];
        for (key, section, stamps) in sections.into_iter().filter(|(_, section, _)| !section.is_empty()) {
            state.insert(key.to_owned(), Value::Object(section.clone()));
            metadata.insert(key.to_owned(), Value::Object(stamps.clone()));
        }
        (state, metadata)
    }

    fn size_bytes(&self) -> usize {
        let (state, _) = self.sections();
        bytes(&Value::Object(state)).len()
    }
}

impl Applied {
    fn accepted(
        name: &ShadowName,
        operation: Operation,
        document: Option<Shadow>,
        mut messages: Vec<Message>,
        answer: Value,
    ) -> Self {
        let accepted = message(name, &format!("{}/accepted", operation.name()), &answer);
        let answer = Ok(accepted.payload.clone());
        messages.push(accepted);
        Self { document, messages, answer }
    }
}

/// Returns the refusal of a request that does not get as far as its shadow.
pub(crate) fn refuse(name: &ShadowName, operation: Operation, payload: &[u8], error: ShadowError, now: u64) -> Applied {
    let token = client_token(payload).unwrap_or_default();
    refusal(name, operation, error, token.as_deref(), now)
}

/// Returns the refusal of a request, with the token that the requester waits for.
fn refusal(name: &ShadowName, operation: Operation, error: ShadowError, token: Option<&str>, now: u64) -> Applied {
    let document = json!({ "code": error.code(), "message": error.to_string(), "timestamp": now });
    let topic = format!("{}/rejected", operation.name());
    Applied { document: None, messages: vec![message(name, &topic, &with_token(document, token))], answer: Err(error) }
}

fn change(state: &mut Object, metadata: &mut Object, section: Section, now: u64) {
    match section {
        Section::Kept => {}
        Section::Removed => {
            state.clear();
            metadata.clear();
        }
        Section::Merged(patch) => merge(state, metadata, &patch, now),
    }
}

fn may_write(writes: Writes, update: &Update) -> Result<(), ShadowError> {
    let forbidden = match writes {
        Writes::Both => return Ok(()),
        Writes::Desired => &update.reported,
        Writes::Reported => &update.desired,
    };
    if *forbidden == Section::Kept { Ok(()) } else { Err(ShadowError::Forbidden) }
}

fn with_token(mut document: Value, token: Option<&str>) -> Value {
    if let (Some(object), Some(token)) = (document.as_object_mut(), token) {
        object.insert("clientToken".into(), token.into());
    }
    document
}

fn message(name: &ShadowName, rest: &str, document: &Value) -> Message {
    Message { topic: name.topic(rest), payload: bytes(document) }
}

fn bytes(document: &Value) -> Vec<u8> {
    serde_json::to_vec(document).expect("a JSON value with text keys is always written")
}
