//! The rules of merging and comparing: what an update changes, what stamps it leaves, and what still differs.

use serde_json::{Map, Value, json};

/// The deepest path below `desired` and `reported`.
pub(super) const DEPTH_MAX: usize = 6;

/// A JSON object.
pub(super) type Object = Map<String, Value>;

/// Merges `patch` into `state` and stamps what it names in `metadata`: null deletes, objects are merged, everything else,
/// arrays too, replaces.
pub(super) fn merge(state: &mut Object, metadata: &mut Object, patch: &Object, now: u64) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                state.remove(key);
                metadata.remove(key);
            }
            Value::Object(patch) => {
                if !state.get(key).is_some_and(Value::is_object) {
                    // What was no object before is replaced by one.
                    state.insert(key.clone(), json!({}));
                    metadata.insert(key.clone(), json!({}));
                }
                if let (Some(state), Some(metadata)) = (child(state, key), child(metadata, key)) {
                    merge(state, metadata, patch, now);
                }
            }
            value => {
                state.insert(key.clone(), value.clone());
                metadata.insert(key.clone(), stamps(value, now));
            }
        }
    }
}

fn child<'a>(parent: &'a mut Object, key: &str) -> Option<&'a mut Object> {
    parent.get_mut(key).and_then(Value::as_object_mut)
}

/// Returns the metadata of a value that was just written: a time stamp for each leaf.
pub(super) fn stamps(value: &Value, now: u64) -> Value {
    match value {
        Value::Object(object) => {
            Value::Object(object.iter().map(|(key, value)| (key.clone(), stamps(value, now))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| stamps(item, now)).collect()),
        _ => json!({ "timestamp": now }),
    }
}

/// Returns what `desired` asks for and `reported` does not say, with the metadata of those keys of `desired`.
pub(super) fn difference(desired: &Object, metadata: &Object, reported: &Object) -> (Object, Object) {
    let (mut delta, mut delta_metadata) = (Object::new(), Object::new());
    for (key, wanted) in desired {
        let stamped = metadata.get(key);
        match (wanted, reported.get(key)) {
            (Value::Object(wanted), Some(Value::Object(told))) => {
                let empty = Object::new();
                let inner = stamped.and_then(Value::as_object).unwrap_or(&empty);
                let (below, below_metadata) = difference(wanted, inner, told);
                if !below.is_empty() {
                    delta.insert(key.clone(), Value::Object(below));
                    delta_metadata.insert(key.clone(), Value::Object(below_metadata));
                }
            }
            (wanted, Some(told)) if same(wanted, told) => {}
            (wanted, _) => {
                delta.insert(key.clone(), wanted.clone());
                delta_metadata.extend(stamped.map(|stamped| (key.clone(), stamped.clone())));
            }
        }
    }
    (delta, delta_metadata)
}

/// Tells whether two values are equal, numbers by their value: 1 is 1.0.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || (one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| same(value, other)))
        }
        (one, other) => one == other,
    }
}

/// Returns how deep the paths of a section go: 1 for `{"a": 1}`.
pub(super) fn depth(value: &Value) -> usize {
    match value {
        Value::Object(object) => object.values().map(|value| depth(value) + 1).max().unwrap_or(0),
        Value::Array(items) => items.iter().map(|item| depth(item) + 1).max().unwrap_or(0),
        _ => 0,
    }
}

/// Returns the key whose array holds a null, which no shadow can store.
pub(super) fn null_in_array(object: &Object) -> Option<&str> {
    fn holds_null(value: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter().any(|item| item.is_null() || holds_null(item)),
            // Nothing inside an array is merged, so that a null there would be stored.
            Value::Object(object) => object.values().any(|value| value.is_null() || holds_null(value)),
            _ => false,
        }
    }
    object.iter().find_map(|(key, value)| match value {
        Value::Object(object) => null_in_array(object),
        Value::Array(_) if holds_null(value) => Some(key),
        _ => None,
    })
}
