//! What web3 computes without a node: units, hashes, hexadecimal.

use alloy_primitives::{Address, hex, keccak256};

use super::value::{Function, Value, decimal, moved_back, quantity};

/// Units of ether, with how many places they have over the wei.
const UNITS: [(&str, usize); 17] = [
    ("wei", 0),
    ("kwei", 3),
    ("babbage", 3),
    ("femtoether", 3),
    ("mwei", 6),
    ("lovelace", 6),
    ("picoether", 6),
    ("gwei", 9),
    ("shannon", 9),
    ("nanoether", 9),
    ("szabo", 12),
    ("microether", 12),
    ("finney", 15),
    ("milliether", 15),
    ("ether", 18),
    ("kether", 21),
    ("mether", 24),
];
/// The helpers under `web3`.
pub(super) const WEB3: [&str; 11] = [
    "fromAscii",
    "fromWei",
    "isAddress",
    "sha3",
    "toAscii",
    "toBigNumber",
    "toChecksumAddress",
    "toDecimal",
    "toHex",
    "toUtf8",
    "toWei",
];
/// What numbers and texts can do themselves.
const OF_VALUES: [&str; 3] = ["toString", "toNumber", "toFixed"];

/// Returns a helper or a further place by its name.
pub(super) fn in_place(place: &str, name: &str) -> Option<Value> {
    let method = |name: &str| Some(Value::Function(Function::Method(name.to_owned())));
    match (place, name) {
        ("web3", "version") => Some(Value::Place("web3.version".to_owned())),
        ("web3.version", "node") => method("web3_clientVersion"),
        ("web3.version", "network") => method("net_version"),
        ("web3.version", _) => Some(Value::Undefined),
        ("web3", name) => {
            WEB3.into_iter().find(|known| *known == name).map(|name| Value::Function(Function::Helper(name)))
        }
        _ => None,
    }
}

/// Returns what a value has or can do itself.
pub(super) fn of_value(value: &Value, name: &str) -> Option<Value> {
    let length = |length: usize| u64::try_from(length).map(Value::integer).unwrap_or(Value::Undefined);
    match (value, name) {
        (Value::List(values), "length") => Some(length(values.len())),
        (Value::Text(text), "length") => Some(length(text.chars().count())),
        (Value::Text(_) | Value::Integer(_) | Value::Decimal(_) | Value::Bool(_), name) => {
            let known = OF_VALUES.into_iter().find(|known| *known == name)?;
            Some(Value::Function(Function::Of(Box::new(value.clone()), known)))
        }
        _ => None,
    }
}

/// Calls what a value can do itself.
pub(super) fn call_of(value: &Value, name: &str, with: &[Value]) -> Result<Value, String> {
    match (name, with.first().and_then(Value::as_integer).and_then(|base| u32::try_from(base).ok())) {
        ("toString", Some(16)) => {
            let number = value.as_integer().and_then(quantity).ok_or("no whole number")?;
            Ok(Value::Text(number.trim_start_matches("0x").to_owned()))
        }
        ("toFixed", places) => {
            let places = usize::try_from(places.unwrap_or(0).min(100)).unwrap_or(0);
            let number = value.as_decimal().ok_or("no number")?;
            Ok(Value::Text(format!("{number:.places$}")))
        }
        ("toNumber", _) => number(value),
        _ => Ok(Value::Text(value.to_text())),
    }
}

/// Calls a helper.
pub(super) fn call(name: &str, with: &[Value]) -> Result<Value, String> {
    let first = with.first().ok_or_else(|| format!("{name} needs an argument"))?;
    match name {
        "fromWei" => {
            let wei = first.as_integer().ok_or("the amount is no whole number of wei")?;
            Ok(Value::Text(moved_back(wei, places(with.get(1))?)))
        }
        "toWei" => {
            let text = first.to_text();
            let wei = decimal(&text, places(with.get(1))?);
            wei.map(Value::Integer).ok_or_else(|| format!("{text} is no whole number of wei"))
        }
        "toHex" => to_hex(first),
        "toDecimal" | "toBigNumber" => number(first),
        "sha3" => sha3(first, with.get(1)),
        "isAddress" => Ok(Value::Bool(first.to_text().parse::<Address>().is_ok())),
        "toChecksumAddress" => {
            let address = first.to_text().parse::<Address>().map_err(|_| "no address")?;
            Ok(Value::Text(address.to_checksum(None)))
        }
        "fromAscii" => Ok(Value::Text(hex::encode_prefixed(first.to_text()))),
        "toAscii" | "toUtf8" => {
            let bytes = hex::decode(first.to_text()).map_err(|_| "no hexadecimal digits")?;
            let text = String::from_utf8_lossy(&bytes);
            Ok(Value::Text(text.trim_end_matches('\0').to_owned()))
        }
        _ => Err(format!("{name} is no function")),
    }
}

fn places(unit: Option<&Value>) -> Result<usize, String> {
    let name = unit.map_or_else(|| "ether".to_owned(), Value::to_text).to_ascii_lowercase();
    let known = UNITS.iter().find(|(known, _)| *known == name).map(|(_, places)| *places);
    known.ok_or_else(|| format!("no unit {name}: one of {}", UNITS.map(|(name, _)| name).join(", ")))
}

fn number(value: &Value) -> Result<Value, String> {
    match (value.as_integer(), value.as_decimal()) {
        (Some(whole), _) => Ok(Value::Integer(whole)),
        (None, Some(other)) => Ok(Value::Decimal(other)),
        (None, None) => Err(format!("{} is no number", value.to_text())),
    }
}

/// A text that is hexadecimal already stays so, another one is written as its bytes.
fn to_hex(value: &Value) -> Result<Value, String> {
    let text = value.to_text();
    let written = match value {
        Value::Text(text) if text.starts_with("0x") => text.clone(),
        _ => match value.as_integer() {
            Some(number) => quantity(number).ok_or("a negative number")?,
            None => hex::encode_prefixed(&text),
        },
    };
    Ok(Value::Text(written))
}

/// Hashes a text, or bytes where the option says `{encoding: "hex"}`.
fn sha3(value: &Value, option: Option<&Value>) -> Result<Value, String> {
    let is_hex = matches!(option, Some(Value::Object(fields))
        if fields.iter().any(|(name, value)| name == "encoding" && value.to_text() == "hex"));
    let bytes = match is_hex {
        true => hex::decode(value.to_text()).map_err(|_| "no hexadecimal digits")?,
        false => value.to_text().into_bytes(),
    };
    Ok(Value::Text(keccak256(bytes).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::show::show;

    fn check(name: &str, with: &[Value]) -> String {
        call(name, with).map_or_else(|problem| problem, |value| show(&value))
    }

    #[test]
    fn helpers_compute_as_web3_does() {
        let text = |text: &str| Value::Text(text.to_owned());
        for (name, with, expected) in [
            ("fromWei", vec![Value::integer(1_500_000_000), text("gwei")], "\"1.5\""),
            ("fromWei", vec![text("1"), text("ether")], "\"0.000000000000000001\""),
            ("fromWei", vec![text("0xde0b6b3a7640000")], "\"1\""),
            ("toWei", vec![text("1.5")], "1500000000000000000"),
            ("toWei", vec![Value::integer(2), text("Gwei")], "2000000000"),
            ("toWei", vec![Value::Decimal(0.1), text("ether")], "100000000000000000"),
            ("toWei", vec![text("x")], "x is no whole number of wei"),
            ("toHex", vec![Value::integer(255)], "\"0xff\""),
            ("toHex", vec![text("hi")], "\"0x6869\""),
            ("toDecimal", vec![text("0x10")], "16"),
            ("toAscii", vec![text("0x68690000")], "\"hi\""),
            ("fromAscii", vec![text("hi")], "\"0x6869\""),
            ("sha3", vec![text("")], "\"0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470\""),
            ("isAddress", vec![text("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")], "true"),
            ("isAddress", vec![text("0xf39F")], "false"),
        ] {
            assert_eq!(check(name, &with), expected, "{name} {with:?}");
        }
        let hex = Value::Object(vec![("encoding".into(), text("hex"))]);
        assert_eq!(check("sha3", &[text("0x"), hex]), check("sha3", &[text("")]));
        assert!(check("fromWei", &[Value::integer(1), text("penny")]).contains("no unit penny: one of wei"));
        assert!(WEB3.iter().all(|name| check(name, &[]).contains("needs an argument")));
    }

    #[test]
    fn values_can_do_a_little_themselves() {
        let number = Value::integer(255);
        for (name, with, expected) in [
            ("toString", vec![Value::integer(16)], "\"ff\""),
            ("toString", vec![], "\"255\""),
            ("toNumber", vec![], "255"),
            ("toFixed", vec![Value::integer(2)], "\"255.00\""),
        ] {
            assert_eq!(call_of(&number, name, &with).map(|value| show(&value)), Ok(expected.to_owned()), "{name}");
        }
    }
}
