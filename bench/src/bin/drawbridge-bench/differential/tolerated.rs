//! What may differ between two nodes without one of them being wrong: a short list, each entry with its reason and counted.

use std::collections::BTreeMap;

use serde_json::Value;

/// One tolerated difference.
struct Tolerated {
    name: &'static str,
    reason: &'static str,
    /// Tells whether this difference at this place is meant.
    is_meant: fn(&str, &Value, &Value) -> bool,
}

/// All tolerated differences.
const TOLERATED: [Tolerated; 10] = [
    Tolerated {
        name: "words of a step's error",
        reason: "geth names the error of a step only where it finds it before the step runs; Anvil prints its EVM's own name of every halt",
        is_meant: |path, own, other| {
            path.ends_with(".error") && path.starts_with("struct logs.") && (own.is_null() || other.is_string())
        },
    },
    Tolerated {
        name: "refund counter of a step",
        reason: "geth counts refunds over the whole transaction and leaves out a zero; Anvil counts them in the frame and shows every one",
        is_meant: |path, _, _| path.ends_with(".refund") && path.starts_with("struct logs."),
    },
    Tolerated {
        name: "name of an undefined opcode",
        reason: "geth writes its number, Anvil `Unknown`",
        is_meant: |path, own, _| {
            path.ends_with(".op") && own.as_str().is_some_and(|name| name.ends_with(" not defined"))
        },
    },
    Tolerated {
        name: "words of a frame's error",
        reason: "geth's words name the instruction and the stack; Anvil's are shorter for the same failure",
        is_meant: |path, own, other| {
            path.ends_with(".error") && path.starts_with("callTracer") && same_failure(own, other)
        },
    },
    Tolerated {
        name: "gas of the whole trace",
        reason: "geth gives what the transaction used, Anvil what the block had used by then; receipts are compared",
        is_meant: |path, own, other| path == "struct logs.gas" && own.as_u64() < other.as_u64(),
    },
    Tolerated {
        name: "gas used by the outermost frame",
        reason: "the same in the call tracer",
        is_meant: |path, own, other| path == "callTracer.gasUsed" && quantity(own) < quantity(other),
    },
    Tolerated {
        name: "gas of the outermost frame",
        reason: "geth gives the gas limit, Anvil takes off what the transaction costs before it runs",
        is_meant: |path, own, other| path == "callTracer.gas" && own.is_string() && other.is_string(),
    },
    Tolerated {
        name: "code hash of a traced account",
        reason: "geth shows it since 2025, Anvil does not; code is compared",
        is_meant: |path, own, other| {
            path.starts_with("prestateTracer") && path.ends_with(".codeHash") && own.is_string() && other.is_null()
        },
    },
    Tolerated {
        name: "account that had nothing",
        reason: "geth leaves it out of what was there before the transaction, Anvil lists it",
        is_meant: |path, own, other| path.starts_with("prestateTracer") && is_empty_account(own, other),
    },
    Tolerated {
        name: "balance and nonce that follow from a node's own blocks",
        reason: "the beneficiary's fees depend on the base fee, where the nodes do not make the same blocks",
        is_meant: |path, _, _| path.starts_with("own-blocks"),
    },
];

fn quantity(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

/// Tells whether Anvil lists an account that had nothing, with slots of it that were looked at.
fn is_empty_account(own: &Value, other: &Value) -> bool {
    let is_nothing = |(name, value): (&String, &Value)| match name.as_str() {
        "balance" => value == "0x0",
        "storage" => value.as_object().is_some_and(|slots| slots.values().all(is_zero_word)),
        _ => false,
    };
    own.is_null() && other.as_object().is_some_and(|fields| fields.iter().all(is_nothing))
}

fn is_zero_word(value: &Value) -> bool {
    value.as_str().is_some_and(is_zero)
}

/// Groups of words that mean the same failure: geth's begin with the first, Anvil's are one of the others.
const SAME_FAILURES: [(&str, &[&str]); 18] = [
    ("out of gas: not", &["ReentrancySentryOOG"]),
    (
        "out of gas",
        &["out of gas: out of memory", "out of gas: reach memory limit", "OutOfGas", "MemoryOOG", "PrecompileOOG"],
    ),
    ("gas uint64 overflow", &["out of gas: invalid operand", "InvalidOperandOOG"]),
    ("contract creation code storage out of gas", &["out of gas", "OutOfGas"]),
    ("invalid opcode", &["invalid opcode", "InvalidFEOpcode", "OpcodeNotFound", "NotActivated"]),
    ("invalid jump destination", &["InvalidJump"]),
    ("stack underflow", &["stack underflow", "StackUnderflow"]),
    ("stack limit reached", &["Out of stack", "StackOverflow"]),
    ("return data out of bounds", &["OutOfOffset"]),
    ("write protection", &["StateChangeDuringStaticCall", "CallNotAllowedInsideStatic"]),
    ("precompiled contract failed", &["precompiled failed", "PrecompileError"]),
    ("insufficient balance for transfer", &["OutOfFunds"]),
    ("max call depth exceeded", &["CallTooDeep"]),
    ("contract address collision", &["CreateCollision"]),
    ("nonce uint64 overflow", &["NonceOverflow"]),
    ("max code size exceeded", &["CreateContractSizeLimit"]),
    ("max initcode size exceeded", &["CreateInitCodeSizeLimit"]),
    ("invalid code: must not begin with 0xef", &["CreateContractStartingWithEF"]),
];

fn same_failure(own: &Value, other: &Value) -> bool {
    let (Some(own), Some(other)) = (own.as_str(), other.as_str()) else { return false };
    SAME_FAILURES.iter().any(|(words, others)| own.starts_with(words) && others.contains(&other))
}

/// What is tolerated of a whole step: geth shows the price of one that cannot be paid, Anvil the part of it that was paid, or what was left.
const UNPAID: &str = "price of a step that cannot be paid";

/// Tells whether two steps begin with the same gas and cannot be paid. Where an operand goes over 64 bits there is no price.
fn is_unpaid(own: &Value, other: &Value) -> bool {
    let error = own["error"].as_str().unwrap_or_default();
    own["gas"] == other["gas"] && (error.starts_with("out of gas") || error.starts_with("gas uint64 overflow"))
}

/// What is tolerated of a whole frame: geth tells who destroys itself in its own favour and with how much, Anvil does not.
const OWN_FAVOUR: &str = "frame of a contract that destroys itself in its own favour";

fn is_in_own_favour(own: &Value, other: &Value) -> bool {
    own["type"] == "SELFDESTRUCT" && own["from"] == own["to"] && other["from"].as_str().is_some_and(is_zero)
}

fn is_zero(digits: &str) -> bool {
    digits.trim_start_matches("0x").bytes().all(|digit| digit == b'0')
}

/// Counts what was tolerated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    /// Tells whether a difference is tolerated, and counts it.
    pub(crate) fn tolerates(&mut self, path: &str, own: &Value, other: &Value) -> bool {
        let found = TOLERATED.iter().find(|tolerated| (tolerated.is_meant)(path, own, other));
        if let Some(tolerated) = found {
            *self.0.entry(tolerated.name).or_default() += 1;
        }
        found.is_some()
    }

    /// Tells whether the field `name` of two objects is tolerated for what their other fields say, and counts it.
    pub(crate) fn tolerates_field(&mut self, path: &str, name: &str, own: &Value, other: &Value) -> bool {
        let is_step = path.starts_with("struct logs.structLogs[") && name == "gasCost";
        let is_frame = path.starts_with("callTracer") && (name == "from" || name == "to" || name == "value");
        let what = match () {
            () if own[name] == other[name] => return false,
            () if is_step && is_unpaid(own, other) => UNPAID,
            () if is_frame && is_in_own_favour(own, other) => OWN_FAVOUR,
            () => return false,
        };
        *self.0.entry(what).or_default() += 1;
        true
    }

    /// Lists what was tolerated, how often, and why.
    pub(crate) fn lines(&self) -> Vec<String> {
        let count = |tolerated: &Tolerated| self.0.get(tolerated.name).copied().unwrap_or_default();
        let seen = TOLERATED.iter().filter(|tolerated| count(tolerated) > 0);
        let listed =
            seen.map(|tolerated| format!("{} times: {} ({})", count(tolerated), tolerated.name, tolerated.reason));
        let wholes = [
            (UNPAID, "geth shows it whole, Anvil what was paid of it, or what was left"),
            (OWN_FAVOUR, "geth tells who and with how much, Anvil neither"),
        ];
        let wholes = wholes
            .into_iter()
            .filter_map(|(name, reason)| self.0.get(name).map(|count| format!("{count} times: {name} ({reason})")));
        listed.chain(wholes).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_listed_is_tolerated() {
        for (path, own, other, expected) in [
            ("struct logs.structLogs[3].error", json!(null), json!("Some(InvalidJump)"), true),
            ("struct logs.structLogs[3].gas", json!(1), json!(2), false),
            ("struct logs.structLogs[3].refund", json!(null), json!(0), true),
            ("struct logs.structLogs[3].op", json!("opcode 0xc not defined"), json!("Unknown"), true),
            ("struct logs.structLogs[3].op", json!("ADD"), json!("Unknown"), false),
            ("callTracer.calls[0].error", json!("stack underflow (1 <=> 2)"), json!("stack underflow"), true),
            ("callTracer.error", json!("execution reverted"), json!("out of gas"), false),
            ("callTracer.error", json!("out of gas"), json!(null), false),
            ("struct logs.gas", json!(1), json!(2), true),
            ("struct logs.gas", json!(2), json!(1), false),
            ("callTracer.gasUsed", json!("0x1"), json!("0x2"), true),
            ("callTracer.gasUsed", json!("0x2"), json!("0x1"), false),
            ("callTracer.gas", json!("0x2"), json!("0x1"), true),
            ("callTracer.calls[0].gas", json!("0x2"), json!("0x1"), false),
            ("prestateTracer.0x1", json!(null), json!({ "balance": "0x0" }), true),
            ("prestateTracer.0x1", json!(null), json!({ "balance": "0x0", "storage": { "0x01": "0x00" } }), true),
            ("prestateTracer.0x1", json!(null), json!({ "balance": "0x0", "storage": { "0x01": "0x10" } }), false),
            ("prestateTracer.0x1", json!(null), json!({ "balance": "0x1" }), false),
            ("callTracer.calls[0].gasUsed", json!("0x1"), json!("0x2"), false),
        ] {
            assert_eq!(Tally::default().tolerates(path, &own, &other), expected, "{path} {own} {other}");
        }
    }

    #[test]
    fn the_price_of_a_step_differs_only_where_it_cannot_be_paid() {
        let step = |gas: u64, cost: u64, error: Value| json!({ "gas": gas, "gasCost": cost, "error": error });
        let path = "struct logs.structLogs[3]";
        for (own, other, expected) in [
            (step(121, 2600, json!("out of gas")), step(121, 121, json!("OutOfGas")), true),
            (step(121, 100, json!("out of gas")), step(121, 121, Value::Null), true),
            (step(1599, 2600, json!("gas uint64 overflow")), step(1599, 121, json!("InvalidOperandOOG")), true),
            (step(103, 106, json!("out of gas")), step(103, 100, json!("MemoryOOG")), true),
            (step(121, 100, Value::Null), step(121, 121, Value::Null), false),
            (step(122, 2600, json!("out of gas")), step(121, 121, Value::Null), false),
        ] {
            assert_eq!(Tally::default().tolerates_field(path, "gasCost", &own, &other), expected, "{own} {other}");
            assert!(!Tally::default().tolerates_field(path, "gas", &own, &other), "{own} {other}");
        }
    }

    #[test]
    fn who_destroys_itself_in_its_own_favour_may_be_unnamed() {
        let frame = |from: &str, to: &str| json!({ "type": "SELFDESTRUCT", "from": from, "to": to, "value": "0x5" });
        for (own, other, expected) in [
            (frame("0x12", "0x12"), frame("0x00", "0x12"), true),
            (frame("0x12", "0x13"), frame("0x00", "0x13"), false),
            (frame("0x12", "0x12"), frame("0x14", "0x12"), false),
        ] {
            assert_eq!(
                Tally::default().tolerates_field("callTracer.calls[0]", "from", &own, &other),
                expected,
                "{own}"
            );
        }
    }
}
