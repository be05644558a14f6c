//! The node's own gate, for those without a proxy that could keep it: who may ask what, and how much.
//!
//! A request over HTTP or WebSocket shows an API key in the path (`/KEY`), as `Authorization: Bearer KEY` or as `X-Api-Key`. A key has a list of
//! methods, for calls a list of contracts and functions, and budgets of requests and of gas. Or it shows a token (`Authorization: Bearer
//! TOKEN`, [`JwtSecret`]), which admits to all that is offered. Without either nothing is answered. The unix socket has no gate: its
//! file's mode is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use alloy_primitives::{Address, B256, keccak256};
use http::{Request, header};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::errors::{LIMIT_EXCEEDED, RpcError};
use crate::jwt::JwtSecret;

/// The shortest key: as long as 128 random bits in hexadecimal.
const KEY_BYTES_MIN: usize = 16;
/// The longest key that is looked at.
const KEY_BYTES_MAX: usize = 256;
/// The most keys of a gate.
const KEYS_MAX: usize = 100_000;
/// Methods that run a contract named by their first argument.
const CALLING: [&str; 4] = ["eth_call", "eth_estimateGas", "eth_createAccessList", "debug_traceCall"];

/// Says why a gate cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// The text is no list of keys.
    #[error("the list of keys: {0}")]
    Text(String),
    /// A key cannot be used.
    #[error("the key {name:?}: {problem}")]
    Key {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

/// A list of keys as it is written, in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenGate {
    keys: Vec<WrittenKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKey {
    name: String,
    key: Option<String>,
    key_hash: Option<B256>,
    methods: BTreeSet<String>,
    calls: Option<Vec<WrittenCalls>>,
    requests_per_second: Option<u32>,
    gas_per_second: Option<u64>,
    gas_per_call: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCalls {
    to: String,
    functions: Vec<String>,
}

/// Holds the keys, by their hash, so that looking one up takes no time that depends on the others, and the secret of the tokens.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    keys: Arc<BTreeMap<B256, Arc<Key>>>,
    secret: Option<Arc<JwtSecret>>,
}

impl Gate {
    /// Reads a list of keys in JSON.
    ///
    /// # Errors
    /// It is none, or a key cannot be used.
    pub fn read(text: &str) -> Result<Self, GateError> {
        let written: WrittenGate = serde_json::from_str(text).map_err(|error| GateError::Text(error.to_string()))?;
        if written.keys.is_empty() || written.keys.len() > KEYS_MAX {
            return Err(GateError::Text(format!("{} keys; from 1 to {KEYS_MAX} are needed", written.keys.len())));
        }
        let mut keys = BTreeMap::new();
        for written in written.keys {
            let name = written.name.clone();
            let wrong = |problem: String| GateError::Key { name: name.clone(), problem };
            let (hash, key) = Key::of(written).map_err(wrong)?;
            if keys.insert(hash, Arc::new(key)).is_some() {
                return Err(GateError::Key { name, problem: "another key is the same".to_owned() });
            }
        }
        Ok(Self { keys: Arc::new(keys), secret: None })
    }

    /// Returns the gate that admits tokens of this secret as well.
    pub fn with_secret(self, secret: JwtSecret) -> Self {
        Self { secret: Some(Arc::new(secret)), ..self }
    }

    /// Opens for a request at `now`, in seconds since 1970, and returns the key that it shows, where it is no token; or says why not.
    pub(crate) fn open<B>(&self, request: &Request<B>, now: u64) -> Result<Option<Arc<Key>>, &'static str> {
        let headers = request.headers();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = text(header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
        let path = request.uri().path().trim_matches('/');
        let shown = bearer.or_else(|| text("x-api-key")).unwrap_or(path);
        let known = (shown.len() <= KEY_BYTES_MAX).then(|| self.keys.get(&keccak256(shown)).cloned()).flatten();
        match (known, &self.secret, bearer) {
            (Some(key), ..) => Ok(Some(key)),
            (None, Some(secret), Some(token)) => secret.verify(token, now).map(|()| None),
            (None, Some(_), None) if self.keys.is_empty() => Err("missing token"),
            (None, ..) => Err("an API key is needed here"),
        }
    }
}

/// What one key allows.
#[derive(Debug)]
pub(crate) struct Key {
    name: String,
    methods: BTreeSet<String>,
    /// The functions that may be called; `None`: every one.
    calls: Option<BTreeSet<Function>>,
    gas_per_call: Option<u64>,
    requests: Option<Mutex<Bucket>>,
    gas: Option<Mutex<Bucket>>,
}

impl Key {
    fn of(written: WrittenKey) -> Result<(B256, Self), String> {
        let hash = match (written.key, written.key_hash) {
            (Some(key), None) if key.len() < KEY_BYTES_MIN || key.len() > KEY_BYTES_MAX => {
                return Err(format!("it has {} bytes; from {KEY_BYTES_MIN} to {KEY_BYTES_MAX} are needed", key.len()));
            }
            (Some(key), None) => keccak256(key),
            (None, Some(hash)) => hash,
            _ => return Err("either \"key\" or \"key_hash\" (its keccak256) is needed".to_owned()),
        };
        let calls = written.calls.map(|calls| calls.iter().map(allowed).collect::<Result<Vec<_>, _>>()).transpose()?;
        if written.gas_per_second.is_some() && written.gas_per_call.is_none() {
            return Err("\"gas_per_second\" needs \"gas_per_call\", the most that one call may declare".to_owned());
        }
        let bucket = |rate: u64| Mutex::new(Bucket::new(rate));
        let key = Self {
            name: written.name,
            methods: written.methods,
            calls: calls.map(|calls| calls.into_iter().flatten().collect()),
            gas_per_call: written.gas_per_call,
            requests: written.requests_per_second.map(|rate| bucket(u64::from(rate))),
            gas: written.gas_per_second.map(|rate| bucket(rate.max(written.gas_per_call.unwrap_or(0)))),
        };
        Ok((hash, key))
    }

    /// Admits a request, or says why not. What is admitted is counted.
    pub(crate) fn admit(&self, method: &str, params: Option<&RawValue>) -> Result<(), RpcError> {
        self.admit_at(method, params, Instant::now())
    }

    fn admit_at(&self, method: &str, params: Option<&RawValue>, now: Instant) -> Result<(), RpcError> {
        self.spend(self.requests.as_ref(), 1, "requests", now)?;
        if !self.methods.contains(method) {
            return Err(RpcError::method_not_found(method));
        }
        if !CALLING.contains(&method) || (self.calls.is_none() && self.gas_per_call.is_none()) {
            return Ok(());
        }
        let denied =
            |why: &'static str| RpcError::server(format!("the key {} does not allow this call: {why}", self.name));
        let params: Value =
            params.map_or(Ok(Value::Null), |raw| serde_json::from_str(raw.get())).unwrap_or(Value::Null);
        if let Some(calls) = &self.calls {
            let (to, selector) = called(&params).ok_or_else(|| denied("it names no contract and function"))?;
            if !calls.contains(&(Some(to), selector)) && !calls.contains(&(None, selector)) {
                return Err(denied("another contract or function"));
            }
            if params.as_array().is_some_and(|params| params.iter().skip(2).any(|more| !more.is_null())) {
                return Err(denied("it changes state or block"));
            }
        }
        if let Some(most) = self.gas_per_call {
            let gas = params[0]["gas"].as_str().and_then(|text| text.strip_prefix("0x"));
            let gas = gas.and_then(|digits| u64::from_str_radix(digits, 16).ok()).filter(|gas| *gas <= most);
            let gas = gas.ok_or_else(|| denied("it does not say how much gas it takes, or it takes too much"))?;
            self.spend(self.gas.as_ref(), gas, "gas", now)?;
        }
        Ok(())
    }

    fn spend(&self, bucket: Option<&Mutex<Bucket>>, amount: u64, what: &str, now: Instant) -> Result<(), RpcError> {
        match bucket.is_none_or(|bucket| bucket.lock().take(amount, now)) {
            true => Ok(()),
            false => {
                Err(RpcError::new(LIMIT_EXCEEDED, format!("the key {} is out of {what} for this second", self.name)))
            }
        }
    }
}

/// A contract (none: every one) and the selector of one of its functions.
type Function = (Option<Address>, [u8; 4]);

/// Returns the functions that a written entry allows.
fn allowed(calls: &WrittenCalls) -> Result<Vec<Function>, String> {
    let to = match calls.to.as_str() {
        "*" => None,
        text => Some(text.parse().map_err(|_| format!("{text:?} is neither an address nor \"*\""))?),
    };
    let selector = |function: &String| match function.strip_prefix("0x") {
        Some(digits) => alloy_primitives::hex::decode_to_array(digits)
            .map_err(|_| format!("{function:?} is no selector of 4 bytes")),
        None if function.ends_with(')') && function.contains('(') && !function.contains(' ') => {
            keccak256(function).first_chunk().copied().ok_or_else(|| "a hash has 4 bytes".to_owned())
        }
        None => Err(format!("{function:?} is neither a selector nor a function such as isOrder(address)")),
    };
    calls.functions.iter().map(|function| Ok((to, selector(function)?))).collect()
}

/// Returns the contract and the function that a call names; `data` and `input` must not say different things.
fn called(params: &Value) -> Option<(Address, [u8; 4])> {
    let call = params.get(0)?;
    let to: Address = call["to"].as_str()?.parse().ok()?;
    let selectors: Vec<&str> =
        ["data", "input"].into_iter().filter_map(|name| call[name].as_str()?.get(..10)).collect();
    let first = *selectors.first()?;
    let same = selectors.iter().all(|selector| selector.eq_ignore_ascii_case(first));
    let unread = ["data", "input"].into_iter().filter(|name| !call[*name].is_null()).count() != selectors.len();
    let bytes = first.strip_prefix("0x").and_then(|digits| alloy_primitives::hex::decode_to_array(digits).ok())?;
    (same && !unread).then_some((to, bytes))
}

/// A budget that fills up evenly, to what one second gives.
#[derive(Debug)]
struct Bucket {
    per_second: u64,
    left: u64,
    at: Option<Instant>,
}

impl Bucket {
    fn new(per_second: u64) -> Self {
        Self { per_second, left: per_second, at: None }
    }

    /// Takes an amount, where there is enough.
    fn take(&mut self, amount: u64, now: Instant) -> bool {
        let since = self.at.map_or(0, |at| now.saturating_duration_since(at).as_micros());
        let since = u64::try_from(since).unwrap_or(u64::MAX).min(1_000_000);
        let more = u128::from(since) * u128::from(self.per_second) / 1_000_000;
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        // A share of less than one stays in the clock.
        if more > 0 || self.at.is_none() {
            self.left = self.left.saturating_add(more).min(self.per_second);
            self.at = Some(now);
        }
        let enough = self.left >= amount;
        self.left -= if enough { amount } else { 0 };
        enough
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    const KEY: &str = "0123456789abcdef";
    const ORDER: &str = "0x5fbdb2315678afecb367f032d93f642f64180aa3";

    fn gate(change: impl FnOnce(&mut Value)) -> Result<Gate, GateError> {
        let mut key = json!({
            "name": "dock-1",
            "key": KEY,
            "methods": ["eth_chainId", "eth_call"],
            "calls": [{"to": "*", "functions": ["verifyOwnership(address)"]}, {"to": ORDER, "functions": ["0x5cc714fd"]}],
            "gas_per_call": 200_000,
        });
        change(&mut key);
        Gate::read(&json!({"keys": [key]}).to_string())
    }

    fn admit(gate: &Gate, method: &str, params: Value) -> Result<(), RpcError> {
        let key = gate.keys.values().next().unwrap();
        let raw = RawValue::from_string(params.to_string()).unwrap();
        key.admit(method, Some(&raw))
    }

    fn call(to: &str, data: &str) -> Value {
        json!([{"to": to, "data": data, "gas": "0x30d40"}, "latest"])
    }

    #[test]
    fn a_key_is_shown_in_path_or_header() {
        let gate = gate(|_| {}).unwrap();
        let shown = |uri: &str, name: &str, value: &str| {
            gate.open(&Request::builder().uri(uri).header(name, value).body(()).unwrap(), 0).is_ok()
        };
        for (uri, name, value, expected) in [
            ("/0123456789abcdef", "x", "", true),
            ("/0123456789abcdef/", "x", "", true),
            ("/", "authorization", "Bearer 0123456789abcdef", true),
            ("/", "x-api-key", "0123456789abcdef", true),
            ("/", "x", "", false),
            ("/0123456789abcdee", "x", "", false),
            ("/", "authorization", "Basic 0123456789abcdef", false),
            ("/0123456789abcdef", "x-api-key", "wrong", false),
            ("/a/0123456789abcdef", "x", "", false),
        ] {
            assert_eq!(shown(uri, name, value), expected, "{uri} {name}: {value}");
        }
    }

    #[test]
    fn a_token_opens_as_a_key_does_and_says_why_it_does_not() {
        let secret = JwtSecret::new([3; 32]);
        let token = secret.token(1000);
        let keys = gate(|_| {}).unwrap().with_secret(secret.clone());
        let alone = Gate::default().with_secret(secret);
        let open = |gate: &Gate, value: &str, now: u64| {
            let request = Request::builder().uri("/").header("authorization", value).body(()).unwrap();
            gate.open(&request, now).map(|key| key.is_some())
        };
        for (gate, value, now, expected) in [
            (&keys, format!("Bearer {token}"), 1000, Ok(false)),
            (&alone, format!("Bearer {token}"), 1060, Ok(false)),
            (&alone, format!("Bearer {token}"), 1061, Err("stale token")),
            (&keys, format!("Bearer {KEY}"), 0, Ok(true)),
            (&alone, format!("Bearer {KEY}"), 0, Err("token is malformed")),
            (&alone, "Basic x".to_owned(), 0, Err("missing token")),
            (&keys, "Basic x".to_owned(), 0, Err("an API key is needed here")),
        ] {
            assert_eq!(open(gate, &value, now), expected, "{value} at {now}");
        }
    }

    #[test]
    fn a_device_can_do_its_one_call_and_nothing_else() {
        let gate = gate(|_| {}).unwrap();
        let stranger = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8";
        assert_eq!(admit(&gate, "eth_chainId", json!([])), Ok(()));
        assert_eq!(admit(&gate, "eth_call", call(stranger, "0x2cc9c15100")), Ok(()));
        assert_eq!(admit(&gate, "eth_call", call(stranger, "0x2CC9C151")), Ok(()));
        assert_eq!(admit(&gate, "eth_call", call(ORDER, "0x5cc714fd")), Ok(()));
        for method in ["eth_getBalance", "eth_sendRawTransaction", "ETH_CALL", "eth_estimateGas", ""] {
            assert_eq!(admit(&gate, method, json!([])), Err(RpcError::method_not_found(method)));
        }
        let denied = [
            call(stranger, "0x5cc714fd"),
            call(ORDER, "0xa6f2ae3a"),
            call(ORDER, "0x2cc9c1"),
            call("0x", "0x2cc9c151"),
            json!([]),
            json!({}),
            json!([{"data": "0x2cc9c151", "gas": "0x1"}, "latest"]),
            json!([{"to": ORDER, "data": "0x2cc9c151", "input": "0xa6f2ae3a", "gas": "0x1"}, "latest"]),
            json!([{"to": ORDER, "data": "0x2cc9c151", "input": "0x", "gas": "0x1"}, "latest"]),
            json!([{"to": ORDER, "data": "0x2cc9c151", "gas": "0x1"}, "latest", {ORDER: {"code": "0x"}}]),
            json!([{"to": ORDER, "data": "0x2cc9c151", "gas": "0x30d41"}, "latest"]),
            json!([{"to": ORDER, "data": "0x2cc9c151"}, "latest"]),
        ];
        for params in denied {
            let error = admit(&gate, "eth_call", params.clone()).unwrap_err();
            assert!(error.message.contains("the key dock-1 does not allow"), "{params}: {error:?}");
        }
    }

    #[test]
    fn budgets_fill_up_with_time() {
        let gate = gate(|key| {
            key["requests_per_second"] = json!(4);
            key["gas_per_second"] = json!(400_000);
        });
        let gate = gate.unwrap();
        let key = gate.keys.values().next().unwrap();
        let raw = RawValue::from_string(call(ORDER, "0x2cc9c151").to_string()).unwrap();
        let begun = Instant::now();
        let at = |ms: u64| key.admit_at("eth_call", Some(&raw), begun + Duration::from_millis(ms)).map_err(|e| e.code);
        assert_eq!((at(0), at(0)), (Ok(()), Ok(())), "gas for two");
        assert_eq!(at(0), Err(LIMIT_EXCEEDED));
        assert_eq!(at(500), Ok(()), "and for one more after half a second");
        assert_eq!((at(500), at(500), at(500)), (Err(LIMIT_EXCEEDED), Err(LIMIT_EXCEEDED), Err(LIMIT_EXCEEDED)));
        assert_eq!(at(2_000), Ok(()));
    }

    #[test]
    fn lists_that_cannot_be_meant_are_refused() {
        let problem = |change: fn(&mut Value)| gate(change).unwrap_err().to_string();
        for (change, expected) in [
            ((|key| key["key"] = json!("short")) as fn(&mut Value), "it has 5 bytes"),
            (|key| key["key_hash"] = json!(B256::ZERO), "either \"key\" or \"key_hash\""),
            (|key| key["method"] = json!([]), "unknown field"),
            (|key| key["calls"] = json!([{"to": "0x1", "functions": []}]), "neither an address"),
            (|key| key["calls"] = json!([{"to": "*", "functions": ["buy"]}]), "neither a selector"),
            (|key| key["calls"] = json!([{"to": "*", "functions": ["0x12"]}]), "no selector"),
            (
                |key| {
                    key["gas_per_second"] = json!(1);
                    key["gas_per_call"] = Value::Null;
                },
                "needs \"gas_per_call\"",
            ),
        ] {
            assert!(problem(change).contains(expected), "{}", problem(change));
        }
        assert!(Gate::read("{\"keys\": []}").unwrap_err().to_string().contains("0 keys"));
        let twice =
            json!({"keys": [{"name": "a", "key": KEY, "methods": []}, {"name": "b", "key": KEY, "methods": []}]});
        assert!(Gate::read(&twice.to_string()).unwrap_err().to_string().contains("the same"));
    }
}
