//! Traces that geth published: one transaction on a given state, under one tracer, the whole answer.

mod vector;

use bench::Failure;
use serde_json::Value;
use vector::Vector;

use crate::conformance::stores::Stores;
use crate::conformance::suite::{Checked, Context, Job, NO_FORK, Suite};
use crate::conformance::vectors::{json_files, read_json};

pub(crate) const SUITE: Suite = Suite {
    name: "tracers",
    about: "the answers of geth's callTracer, flatCallTracer and prestateTracer, by the tracers behind `debug_traceTransaction`",
    archive: "tracers",
    skips: &[],
    jobs,
};

/// The tracer of each folder, and how its answers are compared.
const FOLDERS: [(&str, &str, Compared); 7] = [
    ("call_tracer", "callTracer", Compared::Whole),
    ("call_tracer_withLog", "callTracer", Compared::Whole),
    ("call_tracer_flat", "flatCallTracer", Compared::Flat),
    ("call_tracer_legacy", "callTracer", Compared::Expected),
    ("prestate_tracer", "prestateTracer", Compared::Whole),
    ("prestate_tracer_legacy", "prestateTracer", Compared::Expected),
    ("prestate_tracer_with_diff_mode", "prestateTracer", Compared::Whole),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compared {
    /// Both are equal.
    Whole,
    /// As geth compares flat frames: without the block's and the transaction's place, and a field that is absent or nothing is the same.
    Flat,
    /// What is expected is there: these answers come from older tracers with fewer fields.
    Expected,
}

fn jobs(context: &Context) -> Result<Vec<Job>, Failure> {
    let mut jobs = Vec::new();
    for (folder, tracer, compared) in FOLDERS {
        for path in json_files(&context.folder.join(folder))? {
            let stores = context.stores.clone();
            jobs.push(Job::new(context.name_of(&path), move |cases| {
                let vector: Vector = read_json(&path)?;
                cases.run(NO_FORK, "", || check(&vector, tracer, compared, &stores));
                Ok(())
            }));
        }
    }
    Ok(jobs)
}

fn check(vector: &Vector, tracer: &str, compared: Compared, stores: &Stores) -> Checked {
    let actual = vector.trace(tracer, stores).map_err(|error| error.to_string())?;
    let expected = vector.expected();
    let difference = match compared {
        Compared::Whole => first_difference("", expected, &actual, true),
        Compared::Flat => first_difference("", &flat(expected), &flat(&actual), true),
        Compared::Expected => first_difference("", expected, &actual, false),
    };
    difference.map_or(Ok(()), Err)
}

/// Leaves out what geth's own comparison of flat frames does.
fn flat(value: &Value) -> Value {
    const LEFT_OUT: [&str; 4] = ["blockHash", "blockNumber", "transactionHash", "transactionPosition"];
    match value {
        Value::Array(items) => items.iter().map(flat).collect(),
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()));
            let kept = kept.map(|(name, value)| (name.clone(), flat(value)));
            kept.filter(|(_, value)| !is_nothing(value)).collect()
        }
        other => other.clone(),
    }
}

/// Tells whether a field says nothing more than its absence would.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim_start_matches("0x").bytes().all(|digit| digit == b'0'),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Returns where two answers differ first; `strict`: a field that is not expected is a difference.
fn first_difference(path: &str, expected: &Value, actual: &Value, strict: bool) -> Option<String> {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            // Some of the answers are from before logs had an index; theirs is the first.
            let is_expected = |(name, value): &(&String, &Value)| {
                !strict || expected.contains_key(*name) || (*name == "index" && *value == "0x0")
            };
            let extra = || actual.iter().find(|field| !is_expected(field)).map(|(name, _)| name);
            let one = |(name, value): (&String, &Value)| {
                let path = format!("{path}.{name}");
                match actual.get(name) {
                    Some(actual) => first_difference(&path, value, actual, strict),
                    None if !strict && is_nothing(value) => None,
                    None => Some(format!("{path} is missing, expected {value}")),
                }
            };
            expected.iter().find_map(one).or_else(|| extra().map(|name| format!("{path}.{name} is not expected")))
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            let pairs = expected.iter().zip(actual).enumerate();
            pairs.into_iter().find_map(|(i, (a, b))| first_difference(&format!("{path}[{i}]"), a, b, strict))
        }
        _ if expected == actual || is_the_same_failure(path, expected, strict) => None,
        _ => Some(format!("{path}: expected {expected}, got {actual}")),
    }
}

/// The older tracers did not know why a call failed before it began.
fn is_the_same_failure(path: &str, expected: &Value, strict: bool) -> bool {
    !strict && path.ends_with(".error") && expected == "internal failure"
}
