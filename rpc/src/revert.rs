//! Reads why a contract reverted: `Error(string)` and `Panic(uint256)`, Solidity's two built-in errors.

use alloy_primitives::U256;

/// First four bytes of keccak256("Error(string)").
const ERROR_SELECTOR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
/// First four bytes of keccak256("Panic(uint256)").
const PANIC_SELECTOR: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];

/// Returns the reason in revert data, in the words that clients know; `None` for custom errors and for no data.
pub fn reason(output: &[u8]) -> Option<String> {
    let (selector, arguments) = output.split_first_chunk::<4>()?;
    match *selector {
        ERROR_SELECTOR => error_string(arguments),
        PANIC_SELECTOR => Some(panic_reason(U256::from_be_slice(arguments.get(..32)?))),
        _ => None,
    }
}

/// Decodes the one string argument (Solidity ABI: offset, length, bytes).
fn error_string(arguments: &[u8]) -> Option<String> {
    let word = |at: usize| usize::try_from(U256::from_be_slice(arguments.get(at..at.checked_add(32)?)?)).ok();
    let offset = word(0)?;
    let start = offset.checked_add(32)?;
    let bytes = arguments.get(start..start.checked_add(word(offset)?)?)?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// Words the panic codes of Solidity ("Control structures: Panic via assert and Error via require").
fn panic_reason(code: U256) -> String {
    let words = match u8::try_from(code).unwrap_or(u8::MAX) {
        0x00 => "generic panic",
        0x01 => "assert(false)",
        0x11 => "arithmetic underflow or overflow",
        0x12 => "division or modulo by zero",
        0x21 => "enum overflow",
        0x22 => "invalid encoded storage byte array accessed",
        0x31 => "out-of-bounds array access; popping on an empty array",
        0x32 => "out-of-bounds access of an array or bytesN",
        0x41 => "out of memory",
        0x51 => "uninitialized function",
        _ => return format!("unknown panic code: {code:#x}"),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloy_primitives::hex;
    use proptest::prelude::*;

    fn encode_error(text: &str) -> Vec<u8> {
        let mut data = ERROR_SELECTOR.to_vec();
        data.extend(U256::from(32).to_be_bytes::<32>());
        data.extend(U256::from(text.len()).to_be_bytes::<32>());
        data.extend(text.as_bytes());
        data.resize(data.len().next_multiple_of(32) + 4, 0);
        data
    }

    #[test]
    fn solidity_errors_are_read() {
        let panic = |code: u64| [&PANIC_SELECTOR[..], &U256::from(code).to_be_bytes::<32>()].concat();
        let cases: Vec<(Vec<u8>, Option<&str>)> = vec![
            (encode_error("not the owner"), Some("not the owner")),
            (encode_error(""), Some("")),
            (panic(0x01), Some("assert(false)")),
            (panic(0x11), Some("arithmetic underflow or overflow")),
            (panic(0x12), Some("division or modulo by zero")),
            (panic(0x32), Some("out-of-bounds access of an array or bytesN")),
            (panic(0x77), Some("unknown panic code: 0x77")),
            (panic(u64::MAX), Some("unknown panic code: 0xffffffffffffffff")),
            (vec![], None),
            (vec![1, 2, 3], None),
            (hex::decode("82b42900").unwrap(), None),
            (ERROR_SELECTOR.to_vec(), None),
            (PANIC_SELECTOR.to_vec(), None),
        ];
        for (data, expected) in cases {
            assert_eq!(reason(&data).as_deref(), expected, "{}", hex::encode(&data));
        }
    }

    proptest! {
        #[test]
        fn hostile_revert_data_does_not_panic(arguments in proptest::collection::vec(any::<u8>(), 0..200), panics in any::<bool>()) {
            let selector = if panics { PANIC_SELECTOR } else { ERROR_SELECTOR };
            let _ = reason(&[&selector[..], &arguments].concat());
        }

        #[test]
        fn any_error_string_is_read_back(text in ".*") {
            prop_assert_eq!(reason(&encode_error(&text)), Some(text));
        }
    }
}
