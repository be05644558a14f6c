//! How values are shown: as JavaScript's literals, objects a field a line, sorted by name.

use std::fmt::Write;

use super::names;
use super::value::Value;

/// Returns a value as text.
pub(super) fn show(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value, 0);
    text
}

fn write_value(text: &mut String, value: &Value, depth: usize) {
    // Writing to a String cannot fail.
    let _ = match value {
        Value::Text(content) => write!(text, "{}", serde_json::Value::from(content.as_str())),
        Value::List(values) => {
            text.push('[');
            for (index, value) in values.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                write_value(text, value, depth);
            }
            write!(text, "]")
        }
        Value::Object(fields) if fields.is_empty() => write!(text, "{{}}"),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|(left, _), (right, _)| left.cmp(right));
            let margin = "  ".repeat(depth + 1);
            for (index, (name, value)) in fields.into_iter().enumerate() {
                text.push_str(if index == 0 { "{\n" } else { ",\n" });
                let _ = write!(text, "{margin}{}: ", key(name));
                write_value(text, value, depth + 1);
            }
            write!(text, "\n{}}}", "  ".repeat(depth))
        }
        Value::Place(name) => {
            let members = names::members(name);
            write!(text, "{name}: {}", members.join(", "))
        }
        Value::Function(function) => write!(text, "{}", names::signature(function)),
        plain @ (Value::Undefined | Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Decimal(_)) => {
            write!(text, "{}", plain.to_text())
        }
    };
}

/// Names that are none in JavaScript are quoted.
fn key(name: &str) -> String {
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
    if is_name { name.to_owned() } else { serde_json::Value::from(name).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_look_as_in_javascript() {
        for (json, expected) in [
            (json!(null), "null"),
            (json!(true), "true"),
            (json!(12), "12"),
            (json!(1.5), "1.5"),
            (json!("a \"b\"\n"), r#""a \"b\"\n""#),
            (json!([]), "[]"),
            (json!({}), "{}"),
            (json!([1, "x"]), "[1, \"x\"]"),
            (json!({"b": 1, "a": [{"c": {}}], "0x1": 2}), "{\n  \"0x1\": 2,\n  a: [{\n    c: {}\n  }],\n  b: 1\n}"),
        ] {
            assert_eq!(show(&Value::from(json.clone())), expected, "{json}");
        }
        assert_eq!(show(&Value::Undefined), "undefined");
        assert!(show(&Value::Place("txpool".into())).starts_with("txpool: cancel, content"));
    }
}
