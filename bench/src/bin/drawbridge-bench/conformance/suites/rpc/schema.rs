//! Holds a result against the schema that an OpenRPC document gives for its method: as much of JSON Schema as that document uses.

use serde_json::{Map, Value};

use crate::conformance::suite::Checked;

/// Passes where `result` is what `openrpc` says that `method` answers.
///
/// # Errors
/// Says where it is not, or that the document says something that is not understood here.
pub(super) fn check(openrpc: &Value, method: &str, result: &Value) -> Checked {
    let methods = openrpc["methods"].as_array().ok_or("openrpc.json has no methods")?;
    let found = methods.iter().find(|one| one["name"] == method);
    let found = found.ok_or_else(|| format!("openrpc.json has no {method}"))?;
    fits("result", &found["result"]["schema"], result)
}

fn fits(path: &str, schema: &Value, value: &Value) -> Checked {
    let Value::Object(rules) = schema else { return Err(format!("{path}: the schema is {schema}")) };
    for (name, rule) in rules {
        match name.as_str() {
            "type" => has_type(path, rule, value)?,
            "enum" => {
                let all = rule.as_array().map(Vec::as_slice).unwrap_or_default();
                if !all.contains(value) {
                    return Err(format!("{path}: {value} is none of {rule}"));
                }
            }
            "pattern" => has_pattern(path, rule, value)?,
            "minimum" => {
                if value.as_f64() < rule.as_f64() {
                    return Err(format!("{path}: {value} is below {rule}"));
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    fits(&format!("{path}[{index}]"), rule, item)?;
                }
            }
            "properties" | "required" | "additionalProperties" => has_fields(path, rules, value)?,
            "anyOf" | "oneOf" => {
                let fitting = rule.as_array().into_iter().flatten().map(|one| fits(path, one, value));
                let failures: Vec<_> = fitting.filter_map(Result::err).collect();
                let choices = rule.as_array().map_or(0, Vec::len);
                let fitted = choices - failures.len();
                if fitted == 0 || (name == "oneOf" && fitted > 1) {
                    return Err(format!("{path}: fits {fitted} of {choices} schemas: {}", failures.join("; ")));
                }
            }
            "title" | "description" => {}
            other => return Err(format!("{path}: the schema's {other} is not understood")),
        }
    }
    Ok(())
}

fn has_type(path: &str, rule: &Value, value: &Value) -> Checked {
    let fitting = match rule.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_u64() || value.is_i64(),
        _ => return Err(format!("{path}: the schema's type {rule} is not understood")),
    };
    if fitting { Ok(()) } else { Err(format!("{path}: {value} is no {rule}")) }
}

/// Checks the fields of an object; whatever is no object has none.
fn has_fields(path: &str, rules: &Map<String, Value>, value: &Value) -> Checked {
    let Value::Object(fields) = value else { return Ok(()) };
    for name in rules.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            return Err(format!("{path}.{name} is missing"));
        }
    }
    for (name, field) in fields {
        let path = format!("{path}.{name}");
        match (rules.get("properties").and_then(|known| known.get(name)), rules.get("additionalProperties")) {
            (Some(schema), _) | (None, Some(schema @ Value::Object(_))) => fits(&path, schema, field)?,
            (None, Some(Value::Bool(false))) => return Err(format!("{path} is not expected")),
            (None, _) => {}
        }
    }
    Ok(())
}

/// Checks the patterns that the document uses.
fn has_pattern(path: &str, rule: &Value, value: &Value) -> Checked {
    let Value::String(text) = value else { return Ok(()) };
    let digits = text.strip_prefix("0x");
    let is_small = |digits: &str| digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let is_quantity =
        |digits: &str| is_small(digits) && !digits.is_empty() && (digits == "0" || !digits.starts_with('0'));
    let fitting = match rule.as_str() {
        Some("^0x(0|[1-9a-f][0-9a-f]*)$") => digits.is_some_and(is_quantity),
        Some("^0x(0|[1-9a-f][0-9a-f]{0,63})$") => {
            digits.is_some_and(|digits| is_quantity(digits) && digits.len() <= 64)
        }
        Some("^0x[0-9a-f]{64}$") => digits.is_some_and(|digits| is_small(digits) && digits.len() == 64),
        Some("^0x[0-9a-f]*$") => digits.is_some_and(is_small),
        Some("^0x[0-9a-fA-F]{40}$") => {
            digits.is_some_and(|digits| is_small(&digits.to_ascii_lowercase()) && digits.len() == 40)
        }
        _ => return Err(format!("{path}: the schema's pattern {rule} is not understood")),
    };
    if fitting { Ok(()) } else { Err(format!("{path}: {value} does not fit {rule}")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn results_fit_their_schemas_or_not() {
        let quantity = json!({"type": "string", "pattern": "^0x(0|[1-9a-f][0-9a-f]*)$"});
        let object = json!({
            "type": "object", "properties": {"a": quantity}, "required": ["a"], "additionalProperties": false
        });
        let either = json!({"oneOf": [{"type": "null"}, {"type": "array", "items": quantity}]});
        let cases = [
            (&quantity, json!("0x0"), true),
            (&quantity, json!("0x10"), true),
            (&quantity, json!("0x01"), false),
            (&quantity, json!("0x"), false),
            (&quantity, json!(1), false),
            (&object, json!({"a": "0x1"}), true),
            (&object, json!({}), false),
            (&object, json!({"a": "0x1", "b": 1}), false),
            (&either, json!(null), true),
            (&either, json!(["0x1"]), true),
            (&either, json!(["1"]), false),
            (&json!({"type": "integer", "minimum": 1}), json!(0), false),
            (&json!({"enum": ["x"]}), json!("y"), false),
            (&json!({"pattern": "^y$"}), json!("y"), false),
        ];
        for (schema, value, expected) in cases {
            let openrpc = json!({"methods": [{"name": "m", "result": {"schema": schema}}]});
            assert_eq!(check(&openrpc, "m", &value).is_ok(), expected, "{schema} {value}");
        }
        assert!(check(&json!({"methods": []}), "m", &json!(1)).is_err());
    }
}
