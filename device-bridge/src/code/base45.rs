//! Base45 (RFC 9285): bytes as the characters of a QR code's alphanumeric mode.

const ALPHABET: &[u8; 45] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

/// Writes bytes. The last character is never a space, which a scanner might cut off.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(2) * 3);
    let mut push = |digit: u32| text.push(char::from(ALPHABET[usize::try_from(digit % 45).unwrap_or(0)]));
    for pair in bytes.chunks(2) {
        match pair {
            [high, low] => {
                let value = u32::from(*high) << 8 | u32::from(*low);
                push(value);
                push(value / 45);
                push(value / 2025);
            }
            rest => {
                let value = rest.first().map_or(0, |byte| u32::from(*byte));
                push(value);
                push(value / 45);
            }
        }
    }
    text
}

/// Reads what [`encode`] writes, in capitals or small letters; `None`: no Base45.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.bytes().map(digit).collect();
    let digits = digits?;
    let mut bytes = Vec::with_capacity(digits.len() / 3 * 2 + 1);
    for group in digits.chunks(3) {
        match *group {
            [a, b, c] => bytes.extend_from_slice(&u16::try_from(a + b * 45 + c * 2025).ok()?.to_be_bytes()),
            [a, b] => bytes.push(u8::try_from(a + b * 45).ok()?),
            _ => return None,
        }
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u32> {
    let place = ALPHABET.iter().position(|known| *known == character.to_ascii_uppercase())?;
    u32::try_from(place).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_specification_hold() {
        for (bytes, text) in
            [("AB", "BB8"), ("Hello!!", "%69 VD92EX0"), ("base-45", "UJCLQE7W581"), ("ietf!", "QED8WEX0")]
        {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
        }
    }

    #[test]
    fn what_no_bytes_give_is_refused() {
        for text in ["GGW", "::", "A", "AAAA", "ab_", "é00"] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode("FGW"), Some(vec![255, 255]));
    }

    proptest! {
        #[test]
        fn bytes_come_back_in_any_case(bytes: Vec<u8>) {
            let text = encode(&bytes);
            prop_assert!(!text.ends_with(' '));
            prop_assert_eq!(decode(&text), Some(bytes.clone()));
            prop_assert_eq!(decode(&text.to_ascii_lowercase()), Some(bytes));
        }

        #[test]
        fn each_text_that_is_read_is_the_one_that_is_written(text in "[0-9A-Z $%*+./:-]{0,40}") {
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
