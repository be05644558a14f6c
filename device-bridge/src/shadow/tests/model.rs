//! The shadow against a plain model: a section is the set of its object paths and the map of its leaf paths.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::*;

type Path = Vec<String>;

#[derive(Clone, Debug, Default, PartialEq)]
struct Section {
    objects: BTreeSet<Path>,
    leaves: BTreeMap<Path, Value>,
}

impl Section {
    fn remove(&mut self, path: &Path) {
        self.objects.retain(|other| !other.starts_with(path));
        self.leaves.retain(|other, _| !other.starts_with(path));
    }

    fn patch(&mut self, path: &Path, value: &Value) {
        match value {
            Value::Null => self.remove(path),
            Value::Object(object) => {
                if self.leaves.contains_key(path) {
                    self.remove(path);
                }
                self.objects.insert(path.clone());
                for (key, value) in object {
                    self.patch(&[path.as_slice(), std::slice::from_ref(key)].concat(), value);
                }
            }
            leaf => {
                self.remove(path);
                self.leaves.insert(path.clone(), leaf.clone());
            }
        }
    }

    /// What `self` asks for and `told` does not say: leaves, and objects without anything below, by path.
    fn missing(&self, told: &Self) -> BTreeMap<Path, Value> {
        let mut missing = BTreeMap::new();
        for (path, value) in &self.leaves {
            if told.leaves.get(path) != Some(value) {
                missing.insert(path.clone(), value.clone());
            }
        }
        for path in self.objects.iter().filter(|path| !path.is_empty()) {
            let is_empty = !self
                .objects
                .iter()
                .chain(self.leaves.keys())
                .any(|other| other.len() > path.len() && other.starts_with(path));
            if is_empty && !told.objects.contains(path) {
                missing.insert(path.clone(), json!({}));
            }
        }
        missing
    }
}

/// Every leaf of a document by its path; an empty object is a leaf.
fn flatten(path: &Path, value: &Value, into: &mut BTreeMap<Path, Value>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (key, value) in object {
                flatten(&[path.as_slice(), std::slice::from_ref(key)].concat(), value, into);
            }
        }
        leaf => {
            into.insert(path.clone(), leaf.clone());
        }
    }
}

fn leaves(value: &Value) -> BTreeMap<Path, Value> {
    let mut flat = BTreeMap::new();
    if value.as_object().is_some_and(|object| !object.is_empty()) {
        flatten(&Vec::new(), value, &mut flat);
    }
    flat
}

fn patches() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        3 => (0..3_u8).prop_map(|number| json!(number)),
        1 => Just(json!("x")),
        1 => Just(json!([1, 2])),
        2 => Just(Value::Null),
    ];
    let value = leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::btree_map("[abc]", inner, 0..3).prop_map(|map| Value::Object(map.into_iter().collect()))
    });
    prop::collection::btree_map("[abc]", value, 0..3)
        .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>()))
}

#[derive(Clone, Debug)]
enum Step {
    Update { desired: Option<Value>, reported: Option<Value>, version: Option<i8> },
    Clear,
    Delete,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let section = || prop::option::of(prop_oneof![6 => patches(), 1 => Just(Value::Null)]);
    let update = (section(), section(), prop::option::of(-1..2_i8))
        .prop_map(|(desired, reported, version)| Step::Update { desired, reported, version });
    prop::collection::vec(prop_oneof![12 => update, 1 => Just(Step::Clear), 1 => Just(Step::Delete)], 1..12)
}

fn ask(shadow: &Shadow, operation: Operation, document: &Value) -> Applied {
    let name = ShadowName::new("t", None).unwrap();
    let payload = serde_json::to_vec(document).unwrap();
    shadow.apply(&Request { name: &name, operation, payload: &payload, writes: Writes::Both }, 1)
}

fn apply_to(section: &mut Section, patch: Option<&Value>) {
    match patch {
        None => {}
        Some(Value::Null) => *section = Section::default(),
        Some(patch) => section.patch(&Vec::new(), patch),
    }
}

proptest! {
    #[test]
    fn the_shadow_is_the_model(steps in steps()) {
        let (mut shadow, mut version, mut alive) = (Shadow::default(), 0_u64, false);
        let (mut desired, mut reported) = (Section::default(), Section::default());
        for step in steps {
            match step {
                Step::Update { desired: wanted, reported: told, version: offset } => {
                    let current = if alive { version } else { 0 };
                    let asked = offset.map(|offset| current.saturating_add_signed(offset.into()));
                    let mut state = Map::new();
                    state.extend(wanted.clone().map(|section| ("desired".to_owned(), section)));
                    state.extend(told.clone().map(|section| ("reported".to_owned(), section)));
                    let mut document = json!({ "state": state });
                    if let Some(asked) = asked {
                        document["version"] = json!(asked);
                    }
                    let applied = ask(&shadow, Operation::Update, &document);
                    if asked.is_some_and(|asked| asked != current) {
                        prop_assert_eq!(applied.answer, Err(ShadowError::VersionConflict));
                        prop_assert_eq!(applied.document, None);
                        continue;
                    }
                    shadow = applied.document.unwrap();
                    (version, alive) = (version + 1, true);
                    apply_to(&mut desired, wanted.as_ref());
                    apply_to(&mut reported, told.as_ref());
                    let delta = applied.messages.iter().find(|message| message.topic.ends_with("/delta"));
                    let delta: Value = delta.map_or(json!({}), |delta| serde_json::from_slice(&delta.payload).unwrap());
                    prop_assert_eq!(leaves(&delta["state"]), desired.missing(&reported));
                }
                Step::Clear => {
                    shadow = ask(&shadow, Operation::Update, &json!({ "state": null })).document.unwrap();
                    (version, alive) = (version + 1, true);
                    (desired, reported) = (Section::default(), Section::default());
                }
                Step::Delete => {
                    let applied = ask(&shadow, Operation::Delete, &json!({}));
                    prop_assert_eq!(applied.answer.is_ok(), alive);
                    if alive {
                        shadow = applied.document.unwrap();
                        (version, alive) = (version + 1, false);
                        (desired, reported) = (Section::default(), Section::default());
                    }
                }
            }
            prop_assert_eq!(shadow.version(), version);
            prop_assert_eq!(shadow.exists(), alive);
            // What is stored is read back the same.
            let row = serde_json::to_vec(&shadow).unwrap();
            prop_assert_eq!(&serde_json::from_slice::<Shadow>(&row).unwrap(), &shadow);
        }
    }

    #[test]
    fn reporting_the_delta_settles_it(desired in patches(), reported in patches()) {
        let document = json!({ "state": { "desired": desired, "reported": reported } });
        let shadow = ask(&Shadow::default(), Operation::Update, &document).document.unwrap();
        let got: Value = serde_json::from_slice(&ask(&shadow, Operation::Get, &json!({})).answer.unwrap()).unwrap();
        let Some(delta) = got["state"].get("delta") else { return Ok(()) };
        let shadow = ask(&shadow, Operation::Update, &json!({ "state": { "reported": delta } })).document.unwrap();
        let got: Value = serde_json::from_slice(&ask(&shadow, Operation::Get, &json!({})).answer.unwrap()).unwrap();
        prop_assert_eq!(got["state"].get("delta"), None);
    }

    #[test]
    fn arbitrary_payloads_never_panic(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let name = ShadowName::new("t", None).unwrap();
        for operation in [Operation::Get, Operation::Update, Operation::Delete] {
            let request = Request { name: &name, operation, payload: &payload, writes: Writes::Both };
            prop_assert!(!Shadow::default().apply(&request, 1).messages.is_empty());
        }
    }
}
