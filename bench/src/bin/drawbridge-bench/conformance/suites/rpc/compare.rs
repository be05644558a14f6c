//! Compares an answer with the recorded one: every expected field is there and equal, and no other but those that are listed.

use serde_json::Value;

/// Whose answers they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// The specification's: of an error its code and data count.
    Specification,
    /// Besu's: of an error its code counts.
    Besu,
}

/// Fields that this node has and the recorded answers may lack: later or older nodes have them.
const EXTRA_FIELDS: [&str; 7] = [
    // Of transactions and logs, since 2025.
    "blockTimestamp",
    // Of blocks: whoever mines wants it, and the specification has dropped it.
    "totalDifficulty",
    // Of fee histories, since blobs.
    "baseFeePerBlobGas",
    "blobGasUsedRatio",
    // Of the steps of a `vmTrace`, and of creations in traces, in OpenEthereum's last releases.
    "op",
    "idx",
    "creationMethod",
];
/// Fields of Besu's traces and storage ranges that no other node has.
const BESU_FIELDS: [&str; 2] = ["revertReason", "complete"];

/// Returns where a response, or a batch of them, differs first.
pub(super) fn answers(compared: Compared, expected: &Value, actual: &Value) -> Option<String> {
    if let (Value::Array(expected), Value::Array(actual)) = (expected, actual) {
        if expected.len() != actual.len() {
            return Some(format!("expected {} answers, got {}", expected.len(), actual.len()));
        }
        let mut pairs = expected.iter().zip(actual).enumerate();
        return pairs.find_map(|(i, (a, b))| answer(compared, a, b).map(|found| format!("answer {i}: {found}")));
    }
    answer(compared, expected, actual)
}

fn answer(compared: Compared, expected: &Value, actual: &Value) -> Option<String> {
    let Some(refusal) = expected.get("error") else {
        return match actual.get("result") {
            Some(result) => first_difference(compared, "result", &expected["result"], result),
            None => Some(format!("expected the result {}, got {}", expected["result"], actual["error"])),
        };
    };
    let Some(error) = actual.get("error") else {
        return Some(format!("expected the error {refusal}, got the result {}", actual["result"]));
    };
    if refusal["code"] != error["code"] {
        return Some(format!("expected the error {refusal}, got {error}"));
    }
    let same_data = compared == Compared::Besu || refusal.get("data") == error.get("data");
    (!same_data).then(|| format!("expected the error's data {}, got {}", refusal["data"], error["data"]))
}

fn first_difference(compared: Compared, path: &str, expected: &Value, actual: &Value) -> Option<String> {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            let one = |(name, value): (&String, &Value)| {
                let path = format!("{path}.{name}");
                match actual.get(name) {
                    Some(actual) => first_difference(compared, &path, value, actual),
                    None if compared == Compared::Besu && BESU_FIELDS.contains(&name.as_str()) => None,
                    None => Some(format!("{path} is missing, expected {value}")),
                }
            };
            // A field that is null says no more than none.
            let is_listed = |name: &str, value: &Value| {
                expected.contains_key(name) || EXTRA_FIELDS.contains(&name) || value.is_null()
            };
            let mut extra = actual.iter().filter(|(name, value)| !is_listed(name, value));
            let extra = || extra.next().map(|(name, _)| format!("{path}.{name} is not expected"));
            expected.iter().find_map(one).or_else(extra)
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            let mut pairs = expected.iter().zip(actual).enumerate();
            pairs.find_map(|(i, (a, b))| first_difference(compared, &format!("{path}[{i}]"), a, b))
        }
        _ if expected == actual || is_besu_form(compared, path, expected, actual) => None,
        _ => Some(format!("{path}: expected {expected}, got {actual}")),
    }
}

/// Tells whether Besu writes the same in its own form: a trace's return value without `0x`, and the key of a proven slot without
/// its leading zeros.
fn is_besu_form(compared: Compared, path: &str, expected: &Value, actual: &Value) -> bool {
    let (Value::String(expected), Value::String(actual)) = (expected, actual) else { return false };
    let digits = |text: &str| text.trim_start_matches("0x").to_owned();
    let significant = |text: &str| digits(text).trim_start_matches('0').to_owned();
    compared == Compared::Besu
        && ((path.ends_with(".returnValue") && digits(expected) == digits(actual))
            || (path.ends_with(".key") && significant(expected) == significant(actual)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_found_and_named() {
        let cases = [
            (json!({"result": {"a": [1, {"b": 2}]}}), json!({"result": {"a": [1, {"b": 2}]}}), None),
            (json!({"result": {"a": [1]}}), json!({"result": {"a": [2]}}), Some("result.a[0]: expected 1, got 2")),
            (json!({"result": {"a": null}}), json!({"result": {}}), Some("result.a is missing, expected null")),
            (json!({"result": {}}), json!({"result": {"z": 1}}), Some("result.z is not expected")),
            (json!({"result": {}}), json!({"result": {"z": null, "blockTimestamp": "0x1"}}), None),
            (
                json!({"result": {"key": "0x1"}}),
                json!({"result": {"key": "0x01"}}),
                Some("result.key: expected \"0x1\", got \"0x01\""),
            ),
            (json!({"result": [1]}), json!({"result": [1, 2]}), Some("result: expected [1], got [1,2]")),
            (json!({"result": 1}), json!({"error": {"code": 3}}), Some("expected the result 1, got {\"code\":3}")),
            (json!({"error": {"code": 3}}), json!({"error": {"code": 3, "message": "m"}}), None),
            (
                json!({"error": {"code": 3}}),
                json!({"error": {"code": 4}}),
                Some("expected the error {\"code\":3}, got {\"code\":4}"),
            ),
            (
                json!({"error": {"code": 3, "data": "0x"}}),
                json!({"error": {"code": 3}}),
                Some("expected the error's data \"0x\", got null"),
            ),
            (json!([{"result": 1}]), json!([]), Some("expected 1 answers, got 0")),
            (json!([{"result": 1}]), json!([{"result": 2}]), Some("answer 0: result: expected 1, got 2")),
        ];
        for (expected, actual, difference) in cases {
            assert_eq!(answers(Compared::Specification, &expected, &actual).as_deref(), difference, "{expected}");
        }
        let (expected, actual) = (json!({"error": {"code": 3, "data": "0x"}}), json!({"error": {"code": 3}}));
        assert_eq!(answers(Compared::Besu, &expected, &actual), None);
        let expected = json!({"result": {"key": "0x0347", "returnValue": "", "revertReason": "0x"}});
        let actual = json!({"result": {"key": "0x00347", "returnValue": "0x"}});
        assert_eq!(answers(Compared::Besu, &expected, &actual), None);
    }
}
