//! Values of Solidity's own types, as JSON has them.

use alloy_primitives::{Address, B256, I256, Sign, U256, hex, keccak256};
use serde_json::Value;

use super::TypedDataError;

/// Returns the word of a value whose type is neither struct nor list: numbers padded to 32 bytes, `bytes` and `string` hashed.
pub(super) fn atom(kind: &str, value: &Value, path: &str) -> Result<B256, TypedDataError> {
    let wrong = |problem: String| TypedDataError::value(path, problem);
    let text = || value.as_str().ok_or_else(|| wrong(format!("expected text for {kind}, got {}", shown(value))));
    match kind {
        "string" => return text().map(|text| keccak256(text.as_bytes())),
        "bytes" => return bytes(text()?).map(keccak256).map_err(wrong),
        "bool" => {
            let is_true =
                value.as_bool().ok_or_else(|| wrong(format!("expected true or false, got {}", shown(value))))?;
            return Ok(B256::with_last_byte(is_true.into()));
        }
        "address" => {
            let address: Address = text()?.parse().map_err(|_| wrong(format!("{} is no address", shown(value))))?;
            return Ok(address.into_word());
        }
        _ => {}
    }
    let missing = || TypedDataError::MissingType(kind.to_owned());
    if let Some(size) = kind.strip_prefix("bytes") {
        let size = size.parse::<usize>().ok().filter(|size| (1..=32).contains(size)).ok_or_else(missing)?;
        let bytes = bytes(text()?).map_err(wrong)?;
        if bytes.len() != size {
            return Err(wrong(format!("expected {size} bytes, got {}", bytes.len())));
        }
        return Ok(B256::right_padding_from(&bytes));
    }
    if let Some(bits) = kind.strip_prefix("uint") {
        let bits = width(bits).ok_or_else(missing)?;
        let number = unsigned(value).filter(|number| number.bit_len() <= bits);
        return number.map(B256::from).ok_or_else(|| wrong(format!("{} is no {kind}", shown(value))));
    }
    let bits = kind.strip_prefix("int").and_then(width).ok_or_else(missing)?;
    let number = signed(value).filter(|number| fits(number, bits));
    number.map(|number| B256::from(number.into_raw())).ok_or_else(|| wrong(format!("{} is no {kind}", shown(value))))
}

/// Reads the width of an integer type; `uint` alone is `uint256`.
fn width(bits: &str) -> Option<usize> {
    if bits.is_empty() {
        return Some(256);
    }
    bits.parse().ok().filter(|bits: &usize| (8..=256).contains(bits) && bits.is_multiple_of(8))
}

/// Reads a whole number: a JSON number, or text in decimal or `0x`-hexadecimal.
fn unsigned(value: &Value) -> Option<U256> {
    match value {
        Value::Number(number) => number.as_u64().map(U256::from),
        Value::String(text) => unsigned_text(text),
        _ => None,
    }
}

fn unsigned_text(text: &str) -> Option<U256> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    U256::from_str_radix(digits, radix).ok()
}

/// The same with a sign before it.
fn signed(value: &Value) -> Option<I256> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .map(|number| I256::unchecked_from(i128::from(number)))
            .or_else(|| I256::try_from(unsigned(value)?).ok()),
        Value::String(text) => match text.strip_prefix('-') {
            Some(digits) => I256::checked_from_sign_and_abs(Sign::Negative, unsigned_text(digits)?),
            None => I256::try_from(unsigned_text(text)?).ok(),
        },
        _ => None,
    }
}

/// Tells whether `number` fits a two's complement of `bits`.
fn fits(number: &I256, bits: usize) -> bool {
    let magnitude = if number.is_negative() { !number.into_raw() } else { number.into_raw() };
    magnitude.bit_len() < bits
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.strip_prefix("0x").ok_or_else(|| format!("{text:?} does not begin with 0x"))?;
    hex::decode(digits).map_err(|error| format!("{text:?}: {error}"))
}

/// A value as an error message shows it.
fn shown(value: &Value) -> String {
    /// More would hide the message.
    const CHARACTERS_MAX: usize = 40;
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => {
            let text = other.to_string();
            if text.chars().count() <= CHARACTERS_MAX {
                text
            } else {
                text.chars().take(CHARACTERS_MAX).chain("…".chars()).collect()
            }
        }
    }
}
