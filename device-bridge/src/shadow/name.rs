//! Names of things and shadows, and the topics that carry a shadow's requests and answers.

use std::fmt::{self, Display};

use super::ShadowError;

/// The longest name of a thing, in bytes (AWS IoT quotas).
pub const THING_NAME_BYTES_MAX: usize = 128;
/// The longest name of a shadow, in bytes (AWS IoT quotas).
pub const SHADOW_NAME_BYTES_MAX: usize = 64;

/// What every shadow topic begins with.
const THINGS: &str = "$aws/things/";

/// Names a shadow: the classic one of a thing, or one of its named ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShadowName {
    thing: String,
    shadow: Option<String>,
}

impl ShadowName {
    /// Checks a thing's name and, for a named shadow, the shadow's.
    ///
    /// # Errors
    /// A name is empty, too long, or has a character that names may not have.
    pub fn new(thing: &str, shadow: Option<&str>) -> Result<Self, ShadowError> {
        if !is_thing_name(thing) || !shadow.is_none_or(is_shadow_name) {
            return Err(ShadowError::InvalidName);
        }
        Ok(Self { thing: thing.to_owned(), shadow: shadow.map(str::to_owned) })
    }

    /// Returns the thing's name.
    pub fn thing(&self) -> &str {
        &self.thing
    }

    /// Returns the shadow's name; none: the classic shadow.
    pub fn shadow(&self) -> Option<&str> {
        self.shadow.as_deref()
    }

    /// Returns the topic of a request or an answer, such as `update/accepted`.
    pub fn topic(&self, rest: &str) -> String {
        match &self.shadow {
            None => format!("{THINGS}{}/shadow/{rest}", self.thing),
            Some(shadow) => format!("{THINGS}{}/shadow/name/{shadow}/{rest}", self.thing),
        }
    }

    /// Returns the key of the shadow in its table.
    pub(crate) fn key(&self) -> Vec<u8> {
        let mut key = Self::prefix(&self.thing);
        key.extend_from_slice(self.shadow.as_deref().unwrap_or_default().as_bytes());
        key
    }

    /// Returns what the keys of the shadow's changes begin with.
    pub(crate) fn changes_prefix(&self) -> Vec<u8> {
        let mut key = self.key();
        key.push(0);
        key
    }

    /// Returns what the keys of all shadows of a thing begin with; 0 is in no name.
    pub(crate) fn prefix(thing: &str) -> Vec<u8> {
        let mut key = thing.as_bytes().to_vec();
        key.push(0);
        key
    }

    /// Returns the name as errors quote it: the shadow's, or the thing's for the classic shadow.
    pub(crate) fn quoted(&self) -> &str {
        self.shadow.as_deref().unwrap_or(&self.thing)
    }
}

impl Display for ShadowName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shadow {
            None => write!(formatter, "{}", self.thing),
            Some(shadow) => write!(formatter, "{}/{shadow}", self.thing),
        }
    }
}

/// Tells whether `name` may name a thing, which is an MQTT client id too: no wildcard, no separator.
pub fn is_thing_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-');
    (1..=THING_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

fn is_shadow_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-' | b'$');
    (1..=SHADOW_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

/// What is asked of a shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reads the document.
    Get,
    /// Merges a document into it.
    Update,
    /// Deletes it.
    Delete,
}

impl Operation {
    /// Returns the word for it in topics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// Reads the topic of a request, such as `$aws/things/lock-1/shadow/update`; none: the topic is no request.
pub fn parse_request_topic(topic: &str) -> Option<(ShadowName, Operation)> {
    let (thing, rest) = topic.strip_prefix(THINGS)?.split_once("/shadow/")?;
    let (shadow, operation) = match rest.strip_prefix("name/") {
        None => (None, rest),
        Some(named) => named.split_once('/').map(|(shadow, operation)| (Some(shadow), operation))?,
    };
    let operation = [Operation::Get, Operation::Update, Operation::Delete]
        .into_iter()
        .find(|candidate| candidate.name() == operation)?;
    Some((ShadowName::new(thing, shadow).ok()?, operation))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn request_topics_are_read() {
        let check = |topic: &str, expected: Option<(&str, Option<&str>, Operation)>| {
            let expected =
                expected.map(|(thing, shadow, operation)| (ShadowName::new(thing, shadow).unwrap(), operation));
            assert_eq!(parse_request_topic(topic), expected, "{topic}");
        };
        check("$aws/things/lock-1/shadow/get", Some(("lock-1", None, Operation::Get)));
        check("$aws/things/a:b_c/shadow/update", Some(("a:b_c", None, Operation::Update)));
        check("$aws/things/x/shadow/name/$n/delete", Some(("x", Some("$n"), Operation::Delete)));
        check("$aws/things/x/shadow/name/get", None);
        check("$aws/things/x/shadow/update/delta", None);
        check("$aws/things/x/shadow/update/accepted", None);
        check("$aws/things/x/shadow/name/n/update/delta", None);
        check("$aws/things/x/shadow/name//get", None);
        check("$aws/things//shadow/get", None);
        check("$aws/things/x y/shadow/get", None);
        check("$aws/things/x/y/shadow/get", None);
        check("aws/things/x/shadow/get", None);
        check(&format!("$aws/things/{}/shadow/get", "x".repeat(129)), None);
        check(&format!("$aws/things/x/shadow/name/{}/get", "n".repeat(65)), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for shadow in [None, Some("config")] {
            for operation in [Operation::Get, Operation::Update, Operation::Delete] {
                let name = ShadowName::new("lock-1", shadow).unwrap();
                assert_eq!(parse_request_topic(&name.topic(operation.name())), Some((name, operation)));
            }
        }
    }
}
