//! What the console computes with: JSON's values, whole numbers of 256 bits, and the functions of the node.

use alloy_primitives::{I256, Sign, U256};
use serde_json::Value as Json;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Undefined,
    Null,
    Bool(bool),
    Integer(I256),
    Decimal(f64),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
    /// A namespace, such as `eth`, or a part of `web3`.
    Place(String),
    Function(Function),
}

/// Something that can be called.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Function {
    /// A method of the node, by its JSON-RPC name.
    Method(String),
    /// A helper of the console.
    Helper(&'static str),
    /// What a value can do itself.
    Of(Box<Value>, &'static str),
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => Self::Integer(I256::from_raw(U256::from(value))),
                (None, Some(value)) => I256::try_from(value).map_or(Self::Undefined, Self::Integer),
                (None, None) => Self::Decimal(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::Text(text),
            Json::Array(values) => Self::List(values.into_iter().map(Self::from).collect()),
            Json::Object(fields) => {
                Self::Object(fields.into_iter().map(|(name, value)| (name, value.into())).collect())
            }
        }
    }
}

impl Value {
    /// Makes a whole number of a small one.
    pub(super) fn integer(value: u64) -> Self {
        Self::Integer(I256::from_raw(U256::from(value)))
    }

    /// Reads a number as JavaScript writes it.
    pub(super) fn number(text: &str) -> Option<Self> {
        if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            return U256::from_str_radix(digits, 16).ok().and_then(whole);
        }
        if let Some(value) = decimal(text, 0) {
            return Some(Self::Integer(value));
        }
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
        text.parse().ok().filter(|_| is_number).map(Self::Decimal)
    }

    /// Tells whether JavaScript takes it for true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Undefined | Self::Null => false,
            Self::Bool(value) => *value,
            Self::Integer(value) => !value.is_zero(),
            Self::Decimal(value) => *value != 0.0 && !value.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::List(_) | Self::Object(_) | Self::Place(_) | Self::Function(_) => true,
        }
    }

    /// Returns it as a whole number; texts are read.
    pub(super) fn as_integer(&self) -> Option<I256> {
        match self {
            Self::Integer(value) => Some(*value),
            Self::Text(text) => match Self::number(text.trim()) {
                Some(Self::Integer(value)) => Some(value),
                _ => None,
            },
            Self::Decimal(value) if value.fract() == 0.0 => decimal(&format!("{value}"), 0),
            _ => None,
        }
    }

    /// Returns it as a decimal number.
    pub(super) fn as_decimal(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => value.to_string().parse().ok(),
            Self::Decimal(value) => Some(*value),
            Self::Text(text) => match Self::number(text.trim())? {
                Self::Decimal(value) => Some(value),
                other => other.as_decimal(),
            },
            _ => None,
        }
    }

    /// Returns it as a text, as JavaScript joins it to others.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Undefined => "undefined".to_owned(),
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Decimal(value) => value.to_string(),
            Self::Text(text) => text.clone(),
            Self::List(values) => values.iter().map(Self::to_text).collect::<Vec<_>>().join(","),
            Self::Object(_) | Self::Place(_) => "[object Object]".to_owned(),
            Self::Function(_) => "function".to_owned(),
        }
    }
}

/// Returns a number of 256 bits where it has a sign too.
pub(super) fn whole(value: U256) -> Option<Value> {
    I256::checked_from_sign_and_abs(Sign::Positive, value).map(Value::Integer)
}

/// Writes a whole number as JSON-RPC wants it; `None` for a negative one.
pub(super) fn quantity(value: I256) -> Option<String> {
    (!value.is_negative()).then(|| format!("{:#x}", value.into_raw()))
}

/// Reads a decimal number, moved by so many places, where that makes it a whole one: `1.5` moved by 1 is 15.
pub(super) fn decimal(text: &str, places: usize) -> Option<I256> {
    let (sign, digits) = text.strip_prefix('-').map_or((Sign::Positive, text), |digits| (Sign::Negative, digits));
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{before}{after}");
    if all.is_empty() || all.len() > 160 || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let moved = i32::try_from(places).ok()?.checked_add(exponent)?.checked_sub(i32::try_from(after.len()).ok()?)?;
    let moved_by = usize::try_from(moved.unsigned_abs()).ok().filter(|places| *places <= 160)?;
    let text = if moved >= 0 {
        all + &"0".repeat(moved_by)
    } else {
        let cut = all.len().saturating_sub(moved_by);
        let (kept, lost) = all.split_at(cut);
        if lost.bytes().any(|digit| digit != b'0') {
            return None;
        }
        kept.to_owned()
    };
    let significant = text.trim_start_matches('0');
    let value = if significant.is_empty() { U256::ZERO } else { U256::from_str_radix(significant, 10).ok()? };
    I256::checked_from_sign_and_abs(sign, value)
}

/// Writes a whole number moved back by so many places: 15 moved by 1 is `1.5`.
pub(super) fn moved_back(value: I256, places: usize) -> String {
    let (sign, digits) = (if value.is_negative() { "-" } else { "" }, value.unsigned_abs().to_string());
    let digits = format!("{digits:0>width$}", width = places + 1);
    let (before, after) = digits.split_at(digits.len() - places);
    match after.trim_end_matches('0') {
        "" => format!("{sign}{before}"),
        after => format!("{sign}{before}.{after}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_exactly_where_they_are_whole() {
        for (text, places, expected) in [
            ("1", 0, Some("1")),
            ("1e18", 0, Some("1000000000000000000")),
            ("1.5", 18, Some("1500000000000000000")),
            ("-2.50", 2, Some("-250")),
            ("0.000000000000000001", 18, Some("1")),
            ("0.0000000000000000001", 18, None),
            ("1.5", 0, None),
            ("", 0, None),
            (".", 0, None),
            ("1e500", 0, None),
            ("1x", 0, None),
        ] {
            assert_eq!(decimal(text, places).map(|value| value.to_string()).as_deref(), expected, "{text} {places}");
        }
        assert_eq!(Value::number("0xff"), Some(Value::integer(255)));
        assert_eq!(Value::number("1.25"), Some(Value::Decimal(1.25)));
        assert_eq!(Value::number("nan"), None);
        assert_eq!(quantity(I256::try_from(255).unwrap()).as_deref(), Some("0xff"));
        assert_eq!(quantity(I256::MINUS_ONE), None);
    }

    proptest! {
        #[test]
        fn moving_there_and_back_changes_nothing(value in any::<i64>(), places in 0_usize..30) {
            let value = I256::try_from(value).unwrap();
            prop_assert_eq!(decimal(&moved_back(value, places), places), Some(value));
        }

        #[test]
        fn arbitrary_texts_do_not_panic(text in "[0-9eE.+x-]{0,30}", places in 0_usize..40) {
            let _ = (Value::number(&text), decimal(&text, places));
        }
    }
}
