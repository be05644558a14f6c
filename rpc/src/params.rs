//! Positional parameters, read with geth's words: the first missing or unreadable one is named by its index.

use std::borrow::Cow;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::block_id::BlockTag;
use crate::config::RpcLimits;
use crate::errors::RpcError;
use crate::session::Session;

/// A method's arguments, read from left to right, and the connection that they came by.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    arguments: Vec<&'a RawValue>,
    next: usize,
    /// The connection.
    pub(crate) session: &'a Session,
}

impl<'a> Call<'a> {
    /// Splits the `params` of a request, of which a method takes at most `most`. Absent and `null` mean none.
    pub(crate) fn new(params: Option<&'a RawValue>, most: usize, session: &'a Session) -> Result<Self, RpcError> {
        let text = params.map_or("[]", |raw| raw.get().trim_start());
        let arguments: Vec<&'a RawValue> = match text.as_bytes().first() {
            Some(b'[') => serde_json::from_str(text).map_err(|_| RpcError::non_array_arguments())?,
            _ if text == "null" => Vec::new(),
            _ => return Err(RpcError::non_array_arguments()),
        };
        if arguments.len() > most {
            return Err(RpcError::too_many_arguments(most));
        }
        Ok(Self { arguments, next: 0, session })
    }

    /// Reads the next argument, which must be there.
    pub(crate) fn required<T: DeserializeOwned>(&mut self) -> Result<T, RpcError> {
        let index = self.next;
        self.optional()?.ok_or_else(|| RpcError::missing_argument(index))
    }

    /// Reads the next argument; absent and `null` are `None`.
    pub(crate) fn optional<T: DeserializeOwned>(&mut self) -> Result<Option<T>, RpcError> {
        let index = self.next;
        self.next += 1;
        match self.arguments.get(index).map(|raw| raw.get()) {
            None | Some("null") => Ok(None),
            Some(text) => serde_json::from_str(text).map(Some).map_err(|error| unreadable(index, &error)),
        }
    }
}

/// Words why an argument is not what it should be, without serde's line and column.
fn unreadable(index: usize, error: &serde_json::Error) -> RpcError {
    let text = error.to_string();
    let reason = text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]);
    RpcError::invalid_argument(index, reason)
}

/// Tells `null` from nothing.
pub(crate) fn some<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A number: `0x`-hexadecimal as the specification has it, or a JSON number, which some scripts send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quantity(pub(crate) u64);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => Ok(Self(number)),
            NumberOrText::Text(text) => parse_quantity(&text).map(Self).map_err(D::Error::custom),
        }
    }
}

/// A [`Quantity`], or decimal digits in a string, as geth takes them for counts of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => Ok(Self(number)),
            NumberOrText::Text(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().map(Self).map_err(|_| D::Error::custom("number > 64 bits"))
            }
            NumberOrText::Text(text) => parse_quantity(&text).map(Self).map_err(D::Error::custom),
        }
    }
}

/// A number or a string.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a hexadecimal string or a number")]
pub(crate) enum NumberOrText<'a> {
    /// A JSON number.
    Number(u64),
    /// A JSON string.
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

/// Reads `0x`-hexadecimal (leading zeros tolerated) into 64 bits.
pub(crate) fn parse_quantity(text: &str) -> Result<u64, &'static str> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).ok_or("hex string without 0x prefix")?;
    match digits.trim_start_matches('0') {
        "" if digits.is_empty() => Err("hex string \"0x\""),
        "" => Ok(0),
        significant if significant.len() > 16 => Err("hex number > 64 bits"),
        significant => u64::from_str_radix(significant, 16).map_err(|_| "invalid hex string"),
    }
}

/// A storage slot: up to 32 bytes of hexadecimal, short ones and odd ones too, with or without `0x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(pub(crate) U256);

impl<'de> Deserialize<'de> for Slot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        parse_slot(&text).map(Self).map_err(D::Error::custom)
    }
}

/// Reads a storage slot.
pub(crate) fn parse_slot(text: &str) -> Result<U256, &'static str> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    if digits.len() > 64 {
        return Err("unable to decode storage key: hex string too long, want at most 32 bytes");
    }
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("unable to decode storage key: hex string invalid");
    }
    if digits.is_empty() { Ok(U256::ZERO) } else { U256::from_str_radix(digits, 16).map_err(|_| "hex string invalid") }
}

/// One value or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<Option<T>>),
}

impl<T> OneOrMany<T> {
    /// Returns the values; none where a `null` among them matches everything.
    fn into_alternatives(self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value],
            Self::Many(values) => values.into_iter().collect::<Option<Vec<T>>>().unwrap_or_default(),
        }
    }
}

/// What a log query asks for: blocks, and what the logs must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogQuery {
    /// The one block to look at; excludes the range.
    pub(crate) block_hash: Option<B256>,
    /// The first block; default: latest.
    pub(crate) from_block: Option<BlockTag>,
    /// The last block; default: latest.
    pub(crate) to_block: Option<BlockTag>,
    /// The emitting contracts, any of them; empty: all.
    pub(crate) addresses: Vec<Address>,
    /// Per position the topics, any of them; empty: all.
    pub(crate) topics: Vec<Vec<B256>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogQueryFields {
    block_hash: Option<B256>,
    from_block: Option<BlockTag>,
    to_block: Option<BlockTag>,
    address: Option<OneOrMany<Address>>,
    topics: Option<Vec<Option<OneOrMany<B256>>>>,
}

impl<'de> Deserialize<'de> for LogQuery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = LogQueryFields::deserialize(deserializer)?;
        if fields.block_hash.is_some() && (fields.from_block.is_some() || fields.to_block.is_some()) {
            let words = "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other";
            return Err(D::Error::custom(words));
        }
        let alternatives = |topic: Option<OneOrMany<B256>>| topic.map_or_else(Vec::new, OneOrMany::into_alternatives);
        Ok(Self {
            block_hash: fields.block_hash,
            from_block: fields.from_block,
            to_block: fields.to_block,
            addresses: fields.address.map_or_else(Vec::new, OneOrMany::into_alternatives),
            topics: fields.topics.unwrap_or_default().into_iter().map(alternatives).collect(),
        })
    }
}

impl LogQuery {
    /// Refuses a range that ends before it begins, and more addresses or topics than allowed. A log has at most four topics, so that more positions never match.
    pub(crate) fn check(&self, limits: &RpcLimits) -> Result<(), RpcError> {
        const POSITIONS: usize = 4;
        if self.topics.len() > POSITIONS {
            return Err(RpcError::invalid_params("exceed max topics"));
        }
        if let (Some(BlockTag::Number(first)), Some(BlockTag::Number(last))) = (self.from_block, self.to_block)
            && first > last
        {
            return Err(RpcError::invalid_params("invalid block range params"));
        }
        let too_many_topics = self.topics.iter().any(|position| position.len() > limits.logs_topics);
        if self.addresses.len() > limits.logs_addresses || too_many_topics {
            return Err(RpcError::invalid_params("exceed max addresses or topics per search position"));
        }
        Ok(())
    }
}

/// A text to sign or hash: bytes in hexadecimal.
pub(crate) type Data = Bytes;

/// A private key; never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PrivateKey(pub(crate) B256);

impl<'de> Deserialize<'de> for PrivateKey {
    /// Reads 64 hexadecimal digits, with or without `0x`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let mut key = [0; 32];
        // The text is not repeated in the error: it may be a key with a slip in it.
        hex::decode_to_slice(text.as_ref(), &mut key).map_err(|_| D::Error::custom("invalid private key"))?;
        Ok(Self(B256::from(key)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn read(params: &str) -> Result<(Address, Option<Quantity>), RpcError> {
        let (params, session) = (raw(params), Session::for_tests());
        let mut call = Call::new(Some(&params), 2, &session)?;
        Ok((call.required()?, call.optional()?))
    }

    #[test]
    fn arguments_are_named_by_their_index() {
        let address = format!("\"{:?}\"", Address::repeat_byte(1));
        let good = [
            (format!("[{address}]"), None),
            (format!("[{address},null]"), None),
            (format!(" [ {address} , \"0x10\" ] "), Some(Quantity(16))),
            (format!("[{address},16]"), Some(Quantity(16))),
        ];
        for (params, expected) in good {
            assert_eq!(read(&params), Ok((Address::repeat_byte(1), expected)), "{params}");
        }
        let bad = [
            ("[]".to_owned(), "missing value for required argument 0"),
            ("[null]".to_owned(), "missing value for required argument 0"),
            ("null".to_owned(), "missing value for required argument 0"),
            (format!("[{address},1,2]"), "too many arguments, want at most 2"),
            ("{}".to_owned(), "non-array args"),
            ("7".to_owned(), "non-array args"),
            (format!("[{address},\"16\"]"), "invalid argument 1: hex string without 0x prefix"),
            (format!("[{address},\"0x\"]"), "invalid argument 1: hex string \"0x\""),
            (format!("[{address},\"0x10000000000000000\"]"), "invalid argument 1: hex number > 64 bits"),
            (format!("[{address},\"0xg\"]"), "invalid argument 1: invalid hex string"),
            (format!("[{address},{{}}]"), "invalid argument 1: expected a hexadecimal string or a number"),
        ];
        for (params, message) in bad {
            let error = read(&params).unwrap_err();
            assert_eq!((error.code, error.message.as_ref()), (-32602, message), "{params}");
        }
        let error = read("[\"0x12\"]").unwrap_err();
        assert!(error.message.starts_with("invalid argument 0: "), "{}", error.message);
        assert!(!error.message.contains("line"), "{}", error.message);
    }

    #[test]
    fn counts_may_be_decimal() {
        let count = |text: &str| serde_json::from_str::<Count>(text).ok();
        for (text, expected) in [
            ("4", Some(4)),
            ("\"4\"", Some(4)),
            ("\"0x10\"", Some(16)),
            ("\"16a\"", None),
            ("\"\"", None),
            ("\"-1\"", None),
            ("\"18446744073709551616\"", None),
        ] {
            assert_eq!(count(text), expected.map(Count), "{text}");
        }
    }

    #[test]
    fn slots_may_be_short() {
        let cases = [
            ("0x0", Ok(U256::ZERO)),
            ("0x", Ok(U256::ZERO)),
            ("1", Ok(U256::from(1))),
            ("0xabc", Ok(U256::from(0xabc))),
            ("0xzz", Err("unable to decode storage key: hex string invalid")),
            ("-1", Err("unable to decode storage key: hex string invalid")),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_slot(text), expected, "{text}");
        }
        assert_eq!(parse_slot(&format!("0x{}", "f".repeat(64))), Ok(U256::MAX));
        assert!(parse_slot(&format!("0x0{}", "f".repeat(64))).is_err());
    }

    #[test]
    fn log_queries_are_read() {
        let query = |text: &str| serde_json::from_str::<LogQuery>(text).map_err(|error| error.to_string());
        assert_eq!(query("{}").unwrap(), LogQuery::default());
        let (a, b) = (Address::repeat_byte(1), B256::repeat_byte(2));
        assert_eq!(query(&format!("{{\"address\":\"{a:?}\"}}")).unwrap().addresses, [a]);
        assert_eq!(query(&format!("{{\"address\":[\"{a:?}\",\"{a:?}\"]}}")).unwrap().addresses, [a, a]);
        let topics = query(&format!("{{\"topics\":[null,\"{b:?}\",[\"{b:?}\"],[],[null,\"{b:?}\"]]}}")).unwrap().topics;
        assert_eq!(topics, [vec![], vec![b], vec![b], vec![], vec![]]);
        let both = query(&format!("{{\"blockHash\":\"{b:?}\",\"fromBlock\":\"0x0\"}}")).unwrap_err();
        assert!(both.starts_with("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"));
    }

    #[test]
    fn log_queries_have_limits() {
        let limits = RpcLimits { logs_addresses: 2, logs_topics: 2, ..RpcLimits::default() };
        let check = |query: LogQuery| query.check(&limits).map_err(|error| error.message.into_owned());
        let words = "exceed max addresses or topics per search position";
        assert_eq!(check(LogQuery { addresses: vec![Address::ZERO; 2], ..LogQuery::default() }), Ok(()));
        let addresses = LogQuery { addresses: vec![Address::ZERO; 3], ..LogQuery::default() };
        assert_eq!(check(addresses), Err(words.to_owned()));
        let topics = LogQuery { topics: vec![vec![B256::ZERO; 3]], ..LogQuery::default() };
        assert_eq!(check(topics), Err(words.to_owned()));
        let (from_block, to_block) = (Some(BlockTag::Number(2)), Some(BlockTag::Number(1)));
        let backwards = LogQuery { from_block, to_block, ..LogQuery::default() };
        assert_eq!(check(backwards), Err("invalid block range params".to_owned()));
        let positions = LogQuery { topics: vec![vec![]; 5], ..LogQuery::default() };
        assert_eq!(check(positions), Err("exceed max topics".to_owned()));
    }

    #[test]
    fn a_private_key_is_never_repeated() {
        let error = serde_json::from_str::<PrivateKey>("\"0xsecret\"").err().unwrap().to_string();
        assert!(!error.contains("secret"));
    }

    proptest! {
        #[test]
        fn arbitrary_arguments_do_not_panic(text in "\\PC{0,200}") {
            let session = Session::for_tests();
            for candidate in [text.clone(), format!("[{text}]"), serde_json::to_string(&[&text]).unwrap()] {
                let Ok(params) = RawValue::from_string(candidate) else { continue };
                if let Ok(mut call) = Call::new(Some(&params), 3, &session) {
                    let _ = call.required::<LogQuery>();
                    let _ = call.optional::<Slot>();
                    let _ = call.optional::<crate::block_id::BlockId>();
                }
            }
        }
    }
}
