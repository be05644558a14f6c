//! What contracts under test say: calls of the address that Solidity's `console.log` libraries call, decoded into text.
//!
//! The libraries encode up to four arguments by the selector of `log(…)` with their types; older ones write `uint` and `int` where the
//! ABI has `uint256` and `int256`, which gives other selectors. Nothing here changes how a call ends: no code is at that address.

use std::collections::HashMap;
use std::sync::LazyLock;

use alloy_primitives::{Address, I256, U256, address, hex, keccak256};
use revm::Inspector;
use revm::context_interface::ContextTr;
use revm::interpreter::{CallInputs, CallOutcome};

/// The address that the libraries call: `console.log` in ASCII.
pub const CONSOLE: Address = address!("000000000000000000636F6e736F6c652e6c6f67");

/// How many lines one run may say; what follows is not recorded.
const LINES_MAX: usize = 1000;
/// How many bytes one line may have; the rest of it is cut off.
const LINE_BYTES_MAX: usize = 16 << 10;

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Uint,
    Int,
    Text,
    Bool,
    Address,
    Bytes,
    /// `bytes1` to `bytes32`.
    Word(u8),
}

/// The arguments by selector.
static SIGNATURES: LazyLock<HashMap<[u8; 4], Vec<Kind>>> = LazyLock::new(signatures);

fn signatures() -> HashMap<[u8; 4], Vec<Kind>> {
    const KINDS: [(Kind, [&str; 2]); 4] = [
        (Kind::Uint, ["uint256", "uint"]),
        (Kind::Text, ["string", "string"]),
        (Kind::Bool, ["bool", "bool"]),
        (Kind::Address, ["address", "address"]),
    ];
    let mut lists: Vec<Vec<usize>> = vec![Vec::new()];
    let mut longest = lists.clone();
    for _ in 0..4 {
        longest =
            longest.iter().flat_map(|list| (0..KINDS.len()).map(move |next| [&list[..], &[next]].concat())).collect();
        lists.extend(longest.iter().cloned());
    }
    let of_list = |list: &Vec<usize>| {
        [0, 1].map(|spelling| {
            let names: Vec<_> = list.iter().map(|index| KINDS[*index].1[spelling]).collect();
            (names.join(","), list.iter().map(|index| KINDS[*index].0).collect::<Vec<_>>())
        })
    };
    let mut known: Vec<(String, Vec<Kind>)> = lists.iter().flat_map(of_list).collect();
    for name in ["int256", "int"] {
        known.push((name.to_owned(), vec![Kind::Int]));
        known.push((format!("string,{name}"), vec![Kind::Text, Kind::Int]));
    }
    known.push(("bytes".to_owned(), vec![Kind::Bytes]));
    known.extend((1..=32).map(|size| (format!("bytes{size}"), vec![Kind::Word(size)])));
    let selector = |names: &str| {
        let hash = keccak256(format!("log({names})"));
        [hash[0], hash[1], hash[2], hash[3]]
    };
    known.into_iter().map(|(names, kinds)| (selector(&names), kinds)).collect()
}

/// Returns what call data of the console say; `None` where they are none of the libraries'.
pub fn decode(input: &[u8]) -> Option<String> {
    let (selector, data) = input.split_first_chunk::<4>()?;
    let kinds = SIGNATURES.get(selector)?;
    let shown = kinds.iter().enumerate().map(|(index, kind)| show(*kind, data, index)).collect::<Option<Vec<_>>>()?;
    let is_format = kinds.first() == Some(&Kind::Text) && kinds.len() > 1;
    let line = if is_format { fill(&shown) } else { shown.join(" ") };
    // Whoever reads the line on a terminal is not to be steered by a contract.
    let mut line: String = line.chars().flat_map(visible).collect();
    if line.len() > LINE_BYTES_MAX {
        let end = (0..=LINE_BYTES_MAX).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    Some(line)
}

/// Returns a letter as it is, a control character in its escaped form.
fn visible(letter: char) -> impl Iterator<Item = char> {
    let (escaped, plain) =
        if letter.is_control() { (Some(letter.escape_default()), None) } else { (None, Some(letter)) };
    escaped.into_iter().flatten().chain(plain)
}

/// Puts the arguments behind the first one into its `%s`, `%d`, `%i`, `%o` and `%x`, and those that are left behind it.
fn fill(shown: &[String]) -> String {
    let Some((format, rest)) = shown.split_first() else { return String::new() };
    let mut rest = rest.iter();
    let mut line = String::new();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('%', Some('%')) => {
                letters.next();
                line.push('%');
            }
            ('%', Some('s' | 'd' | 'i' | 'o' | 'x')) => match rest.next() {
                Some(argument) => {
                    letters.next();
                    line.push_str(argument);
                }
                None => line.push('%'),
            },
            _ => line.push(letter),
        }
    }
    rest.for_each(|argument| {
        line.push(' ');
        line.push_str(argument);
    });
    line
}

fn show(kind: Kind, data: &[u8], index: usize) -> Option<String> {
    let word = data.get(index * 32..index * 32 + 32)?;
    let number = U256::from_be_slice(word);
    Some(match kind {
        Kind::Uint => number.to_string(),
        Kind::Int => I256::from_raw(number).to_string(),
        Kind::Bool => (!number.is_zero()).to_string(),
        Kind::Address => Address::from_slice(&word[12..]).to_string(),
        Kind::Word(size) => hex::encode_prefixed(&word[..usize::from(size)]),
        Kind::Text => String::from_utf8_lossy(tail(data, number)?).into_owned(),
        Kind::Bytes => hex::encode_prefixed(tail(data, number)?),
    })
}

/// Returns the bytes of an argument that stands behind the words, length first.
fn tail(data: &[u8], offset: U256) -> Option<&[u8]> {
    let offset = usize::try_from(offset).ok()?;
    let (length, rest) = data.get(offset..)?.split_at_checked(32)?;
    rest.get(..usize::try_from(U256::from_be_slice(length)).ok()?)
}

/// Records what a run says.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConsoleLog {
    pub(crate) lines: Vec<String>,
}

impl<C: ContextTr> Inspector<C> for ConsoleLog {
    fn call(&mut self, context: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        if inputs.bytecode_address == CONSOLE && self.lines.len() < LINES_MAX {
            self.lines.extend(decode(&inputs.input.as_bytes(context)));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Call data of `log(types)` with these words.
    fn call(types: &str, words: &[&str]) -> Vec<u8> {
        let mut data = keccak256(format!("log({types})"))[..4].to_vec();
        for word in words {
            let bytes = hex::decode(word).expect("the tests write hexadecimal");
            data.extend(bytes);
        }
        data
    }

    fn number(value: u64) -> String {
        format!("{value:064x}")
    }

    fn text(value: &str) -> String {
        let padded = value.len().div_ceil(32) * 64;
        number(value.len() as u64) + &format!("{:0<padded$}", hex::encode(value))
    }

    #[test]
    fn what_the_libraries_say_is_read() {
        let (one, minus) = (number(1), "f".repeat(64));
        let word = format!("{:0<64}", "abcd");
        let caller = format!("{:0>64}", "b0".repeat(20));
        for (data, line) in [
            (call("", &[]), ""),
            (call("uint256", &[&one]), "1"),
            (call("uint", &[&one]), "1"),
            (call("int256", &[&minus]), "-1"),
            (call("bool", &[&one]), "true"),
            (call("address", &[&caller]), "0xb0b0B0b0b0B0B0b0b0b0b0b0b0b0b0b0b0b0b0b0"),
            (call("bytes2", &[&word]), "0xabcd"),
            (call("string", &[&number(32), &text("hello")]), "hello"),
            (call("string", &[&number(32), &text("a\n\u{1b}[31m")]), "a\\n\\u{1b}[31m"),
            (call("bytes", &[&number(32), &text("hi")]), "0x6869"),
            (call("string,uint256", &[&number(64), &number(7), &text("x is")]), "x is 7"),
            (call("string,uint256", &[&number(64), &number(7), &text("%d%% of %s")]), "7% of %s"),
            (call("uint256,bool,uint256,bool", &[&one, &one, &number(2), &number(0)]), "1 true 2 false"),
        ] {
            let shown = decode(&data).map(|shown| shown.to_lowercase());
            assert_eq!(shown, Some(line.to_lowercase()), "{}", hex::encode(&data));
        }
    }

    #[test]
    fn what_is_no_message_is_passed_over() {
        let short = call("uint256", &["00"]);
        let far = call("string", &[&"f".repeat(64)]);
        let long = call("string", &[&number(32), &number(99)]);
        for data in [&b""[..], &[1, 2, 3, 4], &short, &far, &long] {
            assert_eq!(decode(data), None);
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = decode(&call("string", &[&number(32), &text(&"é".repeat(LINE_BYTES_MAX / 2 + 10))]));
        assert!(line.is_some_and(|line| line.ends_with("é…") && line.len() <= LINE_BYTES_MAX + 3));
    }

    proptest! {
        #[test]
        fn any_call_data_is_read_or_passed_over(at: prop::sample::Index, data: Vec<u8>) {
            let selectors: Vec<_> = SIGNATURES.keys().collect();
            let _ = decode(&[&selectors[at.index(selectors.len())][..], &data].concat());
        }
    }
}
