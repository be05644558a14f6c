//! The semantics as data: each case is a series of requests to one shadow, and what the last of them is answered.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

/// A request as a line: `get`, `delete`, or an update's document.
type Line = &'static str;

struct Outcome {
    /// Topic's end ⇒ document, in the order of sending.
    messages: Vec<(String, Value)>,
    shadow: Shadow,
}

/// Runs the lines against a shadow that never was; the clock starts at 1 and ticks by one with each request.
fn run(lines: &[&str]) -> Outcome {
    let mut outcome = Outcome { messages: Vec::new(), shadow: Shadow::default() };
    for (index, line) in lines.iter().enumerate() {
        let now = u64::try_from(index).unwrap() + 1;
        outcome = step(&outcome.shadow, line, now, Writes::Both);
    }
    outcome
}

fn step(shadow: &Shadow, line: &str, now: u64, writes: Writes) -> Outcome {
    let (operation, payload) = match line.split_once(' ') {
        Some(("get", token)) => (Operation::Get, token),
        Some(("delete", token)) => (Operation::Delete, token),
        _ if line == "get" => (Operation::Get, ""),
        _ if line == "delete" => (Operation::Delete, ""),
        _ => (Operation::Update, line),
    };
    let name = ShadowName::new("t", None).unwrap();
    let applied = shadow.apply(&Request { name: &name, operation, payload: payload.as_bytes(), writes }, now);
    let messages = applied.messages.iter().map(|message| {
        let topic = message.topic.strip_prefix("$aws/things/t/shadow/").unwrap().to_owned();
        (topic, serde_json::from_slice(&message.payload).unwrap())
    });
    Outcome { messages: messages.collect(), shadow: applied.document.unwrap_or_else(|| shadow.clone()) }
}

fn last(lines: &[&str]) -> Value {
    run(lines).messages.pop().unwrap().1
}

fn sent(lines: &[&str], topic: &str) -> Option<Value> {
    run(lines).messages.into_iter().find(|(end, _)| end == topic).map(|(_, document)| document)
}

/// The state that a get shows after these lines.
const STATES: [(&[Line], &str); 33] = [
    (&[r#"{"state":{"desired":{"a":1}}}"#], r#"{"desired":{"a":1},"delta":{"a":1}}"#),
    (&[r#"{"state":{"reported":{"a":1}}}"#], r#"{"reported":{"a":1}}"#),
    (&[r#"{"state":{"desired":{"a":1},"reported":{"a":1}}}"#], r#"{"desired":{"a":1},"reported":{"a":1}}"#),
    // Only what is named changes.
    (
        &[r#"{"state":{"reported":{"a":1,"b":2}}}"#, r#"{"state":{"reported":{"b":3}}}"#],
        r#"{"reported":{"a":1,"b":3}}"#,
    ),
    (&[r#"{"state":{"reported":{"a":1}}}"#, r#"{"state":{"reported":{"b":2}}}"#], r#"{"reported":{"a":1,"b":2}}"#),
    // Null deletes, and is never stored.
    (&[r#"{"state":{"reported":{"a":1,"b":2}}}"#, r#"{"state":{"reported":{"a":null}}}"#], r#"{"reported":{"b":2}}"#),
    (&[r#"{"state":{"reported":{"a":null,"b":2}}}"#], r#"{"reported":{"b":2}}"#),
    (&[r#"{"state":{"reported":{"a":1}}}"#, r#"{"state":{"reported":{"a":null}}}"#], "{}"),
    (
        &[r#"{"state":{"desired":{"a":1},"reported":{"b":2}}}"#, r#"{"state":{"desired":null}}"#],
        r#"{"reported":{"b":2}}"#,
    ),
    (
        &[r#"{"state":{"desired":{"a":1},"reported":{"b":2}}}"#, r#"{"state":{"reported":null}}"#],
        r#"{"desired":{"a":1},"delta":{"a":1}}"#,
    ),
    (&[r#"{"state":{"desired":{"a":1},"reported":{"b":2}}}"#, r#"{"state":null}"#], "{}"),
    (&[r#"{"state":null}"#], "{}"),
    // Empty sections are absent, and change nothing.
    (&[r#"{"state":{}}"#], "{}"),
    (&[r#"{"state":{"desired":{}}}"#], "{}"),
    (&[r#"{"state":{"desired":{"a":1}}}"#, r#"{"state":{"desired":{}}}"#], r#"{"desired":{"a":1},"delta":{"a":1}}"#),
    // Nested objects are merged; an empty one is stored.
    (
        &[r#"{"state":{"reported":{"c":{"r":1,"g":2}}}}"#, r#"{"state":{"reported":{"c":{"g":3}}}}"#],
        r#"{"reported":{"c":{"g":3,"r":1}}}"#,
    ),
    (
        &[r#"{"state":{"reported":{"c":{"r":1,"g":2}}}}"#, r#"{"state":{"reported":{"c":{"g":null}}}}"#],
        r#"{"reported":{"c":{"r":1}}}"#,
    ),
    (
        &[r#"{"state":{"reported":{"c":{"r":1}}}}"#, r#"{"state":{"reported":{"c":{"r":null}}}}"#],
        r#"{"reported":{"c":{}}}"#,
    ),
    (&[r#"{"state":{"desired":{"a":1,"d":{}}}}"#], r#"{"desired":{"a":1,"d":{}},"delta":{"a":1,"d":{}}}"#),
    (&[r#"{"state":{"reported":{"c":{"x":{"y":null}}}}}"#], r#"{"reported":{"c":{"x":{}}}}"#),
    (
        &[r#"{"state":{"reported":{"c":1}}}"#, r#"{"state":{"reported":{"c":{"r":1}}}}"#],
        r#"{"reported":{"c":{"r":1}}}"#,
    ),
    (&[r#"{"state":{"reported":{"c":{"r":1}}}}"#, r#"{"state":{"reported":{"c":1}}}"#], r#"{"reported":{"c":1}}"#),
    // Arrays are values.
    (&[r#"{"state":{"reported":{"l":[1,2,3]}}}"#, r#"{"state":{"reported":{"l":[4]}}}"#], r#"{"reported":{"l":[4]}}"#),
    (
        &[r#"{"state":{"reported":{"l":[{"a":1}]}}}"#, r#"{"state":{"reported":{"l":[{"b":2}]}}}"#],
        r#"{"reported":{"l":[{"b":2}]}}"#,
    ),
    (&[r#"{"state":{"reported":{"l":[]}}}"#], r#"{"reported":{"l":[]}}"#),
    // What differs: the path to it, with the desired value; never what is only reported.
    (
        &[r#"{"state":{"desired":{"c":{"r":1,"g":2}},"reported":{"c":{"r":1,"g":9,"b":7}}}}"#],
        r#"{"desired":{"c":{"g":2,"r":1}},"reported":{"c":{"b":7,"g":9,"r":1}},"delta":{"c":{"g":2}}}"#,
    ),
    (
        &[r#"{"state":{"desired":{"l":[1,2]},"reported":{"l":[1]}}}"#],
        r#"{"desired":{"l":[1,2]},"reported":{"l":[1]},"delta":{"l":[1,2]}}"#,
    ),
    (&[r#"{"state":{"desired":{"a":1},"reported":{"a":1.0}}}"#], r#"{"desired":{"a":1},"reported":{"a":1.0}}"#),
    (
        &[r#"{"state":{"desired":{"a":1},"reported":{"a":true}}}"#],
        r#"{"desired":{"a":1},"reported":{"a":true},"delta":{"a":1}}"#,
    ),
    (
        &[r#"{"state":{"desired":{"a":{"b":1}},"reported":{"a":5}}}"#],
        r#"{"desired":{"a":{"b":1}},"reported":{"a":5},"delta":{"a":{"b":1}}}"#,
    ),
    (
        &[r#"{"state":{"desired":{"a":"1"},"reported":{"a":1}}}"#],
        r#"{"desired":{"a":"1"},"reported":{"a":1},"delta":{"a":"1"}}"#,
    ),
    // The service never clears desired by itself.
    (
        &[r#"{"state":{"desired":{"a":1}}}"#, r#"{"state":{"reported":{"a":1}}}"#],
        r#"{"desired":{"a":1},"reported":{"a":1}}"#,
    ),
    (&[r#"{"state":{"desired":{"a":1}},"more":5}"#], r#"{"desired":{"a":1},"delta":{"a":1}}"#),
];

#[test]
fn states_follow_the_rules_of_merging() {
    for (lines, expected) in STATES {
        let mut lines = lines.to_vec();
        lines.push("get");
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(last(&lines)["state"], expected, "{lines:?}");
    }
}

/// The refusal of the last line: code and text.
const REFUSALS: [(&[Line], u16, &str); 30] = [
    (&["get"], 404, "No shadow exists with name: 't'"),
    (&["delete"], 404, "No shadow exists with name: 't'"),
    (&[r#"{"state":{"desired":{"a":1}}}"#, "delete", "get"], 404, "No shadow exists with name: 't'"),
    (&[r#"{"state":{"desired":{"a":1}}}"#, "delete", "delete"], 404, "No shadow exists with name: 't'"),
    (&[""], 400, "Invalid JSON"),
    (&["{"], 400, "Invalid JSON"),
    (&["[]"], 400, "Invalid JSON"),
    (&["5"], 400, "Invalid JSON"),
    (&["null"], 400, "Invalid JSON"),
    (&["{}"], 400, "Missing required node: state"),
    (&[r#"{"desired":{}}"#], 400, "Missing required node: state"),
    (&[r#"{"state":5}"#], 400, "State node must be an object"),
    (&[r#"{"state":[]}"#], 400, "State node must be an object"),
    (&[r#"{"state":"x"}"#], 400, "State node must be an object"),
    (&[r#"{"state":{"desired":5}}"#], 400, "Desired node must be an object"),
    (&[r#"{"state":{"desired":[]}}"#], 400, "Desired node must be an object"),
    (&[r#"{"state":{"reported":"on"}}"#], 400, "Reported node must be an object"),
    (&[r#"{"state":{"delta":{}}}"#], 400, "State contains an invalid node: 'delta'"),
    (&[r#"{"state":{"foo":1}}"#], 400, "State contains an invalid node: 'foo'"),
    (&[r#"{"state":{"desired":{"l":[1,null]}}}"#], 400, "State contains an invalid node: 'l'"),
    (&[r#"{"state":{"desired":{"c":{"l":[{"a":null}]}}}}"#], 400, "State contains an invalid node: 'l'"),
    (&[r#"{"state":{},"version":-1}"#], 400, "Invalid version"),
    (&[r#"{"state":{},"version":"1"}"#], 400, "Invalid version"),
    (&[r#"{"state":{},"version":1.5}"#], 400, "Invalid version"),
    (&[r#"{"state":{},"clientToken":5}"#], 400, "Invalid clientToken"),
    (&[r#"{"state":{},"version":1}"#], 409, "Version conflict"),
    (&[r#"{"state":{}}"#, r#"{"state":{},"version":2}"#], 409, "Version conflict"),
    (&[r#"{"state":{}}"#, r#"{"state":{}}"#, r#"{"state":{},"version":1}"#], 409, "Version conflict"),
    (&[r#"{"state":{}}"#, r#"{"state":{},"version":0}"#], 409, "Version conflict"),
    (
        &[r#"{"state":{"desired":{"1":{"2":{"3":{"4":{"5":{"6":{"7":1}}}}}}}}}"#],
        400,
        "JSON contains too many levels of nesting; maximum is 6",
    ),
];

#[test]
fn refusals_have_the_documented_code_and_text_and_change_nothing() {
    for (lines, code, text) in REFUSALS {
        let before = run(&lines[..lines.len() - 1]).shadow;
        let outcome = run(lines);
        let (topic, document) = &outcome.messages[0];
        assert_eq!((document["code"].as_u64(), &document["message"]), (Some(code.into()), &json!(text)), "{lines:?}");
        assert!(topic.ends_with("/rejected") && outcome.messages.len() == 1, "{lines:?}");
        assert_eq!(outcome.shadow, before, "{lines:?}");
    }
}

/// The version in the answer to the last line.
const VERSIONS: [(&[Line], u64); 10] = [
    (&[r#"{"state":{}}"#], 1),
    (&[r#"{"state":{},"version":0}"#], 1),
    (&[r#"{"state":{}}"#, r#"{"state":{}}"#], 2),
    (&[r#"{"state":{}}"#, r#"{"state":{},"version":1}"#], 2),
    (&[r#"{"state":{}}"#, r#"{"state":{},"version":9}"#, r#"{"state":{}}"#], 2),
    (&[r#"{"state":{}}"#, "get"], 1),
    (&[r#"{"state":{}}"#, r#"{"state":{}}"#, "delete"], 2),
    // A deletion counts, and the version goes on after it.
    (&[r#"{"state":{}}"#, "delete", r#"{"state":{}}"#], 3),
    (&[r#"{"state":{}}"#, "delete", r#"{"state":{},"version":0}"#], 3),
    (&[r#"{"state":{}}"#, "delete", "delete", r#"{"state":{}}"#, "delete", r#"{"state":{}}"#], 5),
];

#[test]
fn versions_grow_by_one_and_outlive_the_document() {
    for (lines, version) in VERSIONS {
        assert_eq!(last(lines)["version"], json!(version), "{lines:?}");
    }
}

#[test]
fn the_version_of_a_deleted_shadow_is_forgotten_after_48_hours() {
    let deleted = run(&[r#"{"state":{}}"#, "delete"]).shadow;
    let version =
        |now| step(&deleted, r#"{"state":{}}"#, now, Writes::Both).messages.pop().unwrap().1["version"].clone();
    assert_eq!((version(2 + TOMBSTONE_SECONDS - 1), version(2 + TOMBSTONE_SECONDS)), (json!(3), json!(1)));
    assert!(!deleted.is_forgotten(TOMBSTONE_SECONDS) && deleted.is_forgotten(TOMBSTONE_SECONDS + 2));
}

/// Whole answers: the lines, the topic, its document.
const ANSWERS: [(&[Line], &str, &str); 16] = [
    (
        &[r#"{"state":{"desired":{"lock":"open"}},"clientToken":"t"}"#],
        "update/accepted",
        r#"{"state":{"desired":{"lock":"open"}},"metadata":{"desired":{"lock":{"timestamp":1}}},"version":1,"timestamp":1,"clientToken":"t"}"#,
    ),
    (
        &[r#"{"state":{"desired":{"lock":"open"}},"clientToken":"t"}"#],
        "update/delta",
        r#"{"version":1,"timestamp":1,"state":{"lock":"open"},"metadata":{"lock":{"timestamp":1}},"clientToken":"t"}"#,
    ),
    (
        &[r#"{"state":{"desired":{"lock":"open"}}}"#],
        "update/documents",
        r#"{"previous":null,"current":{"state":{"desired":{"lock":"open"}},"metadata":{"desired":{"lock":{"timestamp":1}}},"version":1},"timestamp":1}"#,
    ),
    (
        &[r#"{"state":{"desired":{"a":1}}}"#, r#"{"state":{"reported":{"a":1}},"clientToken":"t"}"#],
        "update/documents",
        r#"{"previous":{"state":{"desired":{"a":1}},"metadata":{"desired":{"a":{"timestamp":1}}},"version":1},"current":{"state":{"desired":{"a":1},"reported":{"a":1}},"metadata":{"desired":{"a":{"timestamp":1}},"reported":{"a":{"timestamp":2}}},"version":2},"timestamp":2,"clientToken":"t"}"#,
    ),
    // The answer echoes exactly what was sent, nulls too.
    (
        &[r#"{"state":{"desired":{"a":1,"b":2}}}"#, r#"{"state":{"desired":{"a":null}}}"#],
        "update/accepted",
        r#"{"state":{"desired":{"a":null}},"metadata":{"desired":{"a":{"timestamp":2}}},"version":2,"timestamp":2}"#,
    ),
    (
        &[r#"{"state":null}"#],
        "update/accepted",
        r#"{"state":null,"metadata":{"timestamp":1},"version":1,"timestamp":1}"#,
    ),
    (&[r#"{"state":null}"#, "get"], "get/accepted", r#"{"state":{},"metadata":{},"version":1,"timestamp":2}"#),
    // Keys that are not named keep their stamp; those that are named get a new one, also with the same value.
    (
        &[r#"{"state":{"reported":{"a":1,"b":2}}}"#, r#"{"state":{"reported":{"b":2}}}"#, "get"],
        "get/accepted",
        r#"{"state":{"reported":{"a":1,"b":2}},"metadata":{"reported":{"a":{"timestamp":1},"b":{"timestamp":2}}},"version":2,"timestamp":3}"#,
    ),
    (
        &[r#"{"state":{"reported":{"l":[1,{"x":2}]}}}"#, "get"],
        "get/accepted",
        r#"{"state":{"reported":{"l":[1,{"x":2}]}},"metadata":{"reported":{"l":[{"timestamp":1},{"x":{"timestamp":1}}]}},"version":1,"timestamp":2}"#,
    ),
    (
        &[r#"{"state":{"reported":{"c":5}}}"#, r#"{"state":{"reported":{"c":{"timestamp":7}}}}"#, "get"],
        "get/accepted",
        r#"{"state":{"reported":{"c":{"timestamp":7}}},"metadata":{"reported":{"c":{"timestamp":{"timestamp":2}}}},"version":2,"timestamp":3}"#,
    ),
    // A delta is everything that still differs, also after an update of something else.
    (
        &[r#"{"state":{"desired":{"a":1,"b":2}}}"#, r#"{"state":{"reported":{"a":1}}}"#],
        "update/delta",
        r#"{"version":2,"timestamp":2,"state":{"b":2},"metadata":{"b":{"timestamp":1}}}"#,
    ),
    (
        &[r#"{"state":{"desired":{"c":{"r":1,"g":2}},"reported":{"c":{"r":1}}}}"#],
        "update/delta",
        r#"{"version":1,"timestamp":1,"state":{"c":{"g":2}},"metadata":{"c":{"g":{"timestamp":1}}}}"#,
    ),
    (
        &[r#"{"state":{}}"#, r#"get {"clientToken":"g"}"#],
        "get/accepted",
        r#"{"state":{},"metadata":{},"version":1,"timestamp":2,"clientToken":"g"}"#,
    ),
    (
        &[r#"{"state":{}}"#, r#"delete {"clientToken":"d"}"#],
        "delete/accepted",
        r#"{"version":1,"timestamp":2,"clientToken":"d"}"#,
    ),
    (
        &[r#"get {"clientToken":"g"}"#],
        "get/rejected",
        r#"{"code":404,"message":"No shadow exists with name: 't'","timestamp":1,"clientToken":"g"}"#,
    ),
    (
        &[r#"{"state":5,"clientToken":"u"}"#],
        "update/rejected",
        r#"{"code":400,"message":"State node must be an object","timestamp":1,"clientToken":"u"}"#,
    ),
];

#[test]
fn answers_are_whole() {
    for (lines, topic, expected) in ANSWERS {
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(sent(lines, topic), Some(expected), "{lines:?} {topic}");
    }
}

#[test]
fn messages_are_sent_in_this_order_and_no_delta_where_nothing_differs() {
    let topics = |lines: &[&str]| run(lines).messages.into_iter().map(|(topic, _)| topic).collect::<Vec<_>>();
    let desired = r#"{"state":{"desired":{"a":1}}}"#;
    assert_eq!(topics(&[desired]), ["update/delta", "update/documents", "update/accepted"]);
    assert_eq!(topics(&[desired, desired]), ["update/delta", "update/documents", "update/accepted"]);
    assert_eq!(topics(&[desired, r#"{"state":{"reported":{"a":1}}}"#]), ["update/documents", "update/accepted"]);
    assert_eq!(topics(&[desired, "delete"]), ["delete/accepted"]);
}

#[test]
fn six_levels_are_allowed_and_the_seventh_is_not() {
    let nested = |levels: usize| {
        let inner = (1..=levels).rev().fold("1".to_owned(), |inner, level| format!("{{\"{level}\":{inner}}}"));
        last(&[&format!(r#"{{"state":{{"desired":{inner}}}}}"#)])["code"].clone()
    };
    assert_eq!((nested(6), nested(7), nested(100)), (Value::Null, json!(400), json!(400)));
}

#[test]
fn the_size_counts_after_the_merge() {
    let of = |key: &str, bytes: usize| format!(r#"{{"state":{{"reported":{{"{key}":"{}"}}}}}}"#, "x".repeat(bytes));
    // {"reported":{"a":"…"}} has 21 bytes around the text.
    let around = r#"{"reported":{"a":""}}"#.len();
    let code = |lines: &[&str]| last(lines)["code"].clone();
    assert_eq!(code(&[&of("a", SHADOW_BYTES_MAX - around)]), Value::Null);
    assert_eq!(code(&[&of("a", SHADOW_BYTES_MAX - around + 1)]), json!(413));
    assert_eq!(code(&[&of("a", SHADOW_BYTES_MAX - around), r#"{"state":{"reported":{"b":1}}}"#]), json!(413));
    assert_eq!(code(&[&of("a", SHADOW_BYTES_MAX - around), r#"{"state":{"reported":{"a":null,"b":1}}}"#]), Value::Null);
    assert_eq!(code(&[&of("a", REQUEST_BYTES_MAX)]), json!(413));
}

#[test]
fn tokens_have_at_most_64_bytes() {
    let update = |token: &str| last(&[&format!(r#"{{"state":{{}},"clientToken":"{token}"}}"#)]);
    assert_eq!(update(&"t".repeat(64))["clientToken"], json!("t".repeat(64)));
    assert_eq!(update(&"t".repeat(65))["message"], "Invalid clientToken");
    assert_eq!(update(&"ä".repeat(33))["message"], "Invalid clientToken");
}

#[test]
fn a_payload_that_is_no_text_has_its_own_refusal() {
    let name = ShadowName::new("t", Some("n")).unwrap();
    let request = Request { name: &name, operation: Operation::Update, payload: &[0xff, b'{'], writes: Writes::Both };
    let applied = Shadow::default().apply(&request, 1);
    assert_eq!(applied.answer, Err(ShadowError::Encoding));
    assert_eq!(applied.messages[0].topic, "$aws/things/t/shadow/name/n/update/rejected");
    let request = Request { operation: Operation::Get, payload: &[0xff], ..request };
    assert_eq!(Shadow::default().apply(&request, 1).answer, Err(ShadowError::NoShadow("n".into())));
}

#[test]
fn who_may_write_one_section_cannot_touch_the_other() {
    let code = |line: &str, writes| step(&Shadow::default(), line, 1, writes).messages.pop().unwrap().1["code"].clone();
    let (desired, reported) = (r#"{"state":{"desired":{"a":1}}}"#, r#"{"state":{"reported":{"a":1}}}"#);
    for (line, writes, expected) in [
        (desired, Writes::Reported, json!(403)),
        (reported, Writes::Reported, Value::Null),
        (desired, Writes::Desired, Value::Null),
        (reported, Writes::Desired, json!(403)),
        (r#"{"state":null}"#, Writes::Reported, json!(403)),
        (r#"{"state":{"desired":null}}"#, Writes::Reported, json!(403)),
        (r#"{"state":{"desired":{}}}"#, Writes::Reported, json!(403)),
    ] {
        assert_eq!(code(line, writes), expected, "{line} {writes:?}");
    }
}

mod model;
