//! The values that flags, the environment and the configuration file hold, each read from text and written back as text
//! that reads the same.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use alloy_primitives::{Address, Bytes, hex};
use clap::ValueEnum;
use network::p2p::{Multiaddr, PeerId};

/// One ether in wei.
const ETHER: u128 = 1_000_000_000_000_000_000;

/// The longest `extraData` of a block, in bytes (Yellow Paper, section 4.4.4).
pub const EXTRA_DATA_SIZE_MAX: usize = 32;

/// A length of time, read as Go programs write it (`3h0m0s`, `500ms`, `1.5s`) or as whole seconds (`15`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a time such as 15, 500ms, 2s or 1h30m");
        if let Ok(seconds) = text.parse() {
            return Ok(Self(Duration::from_secs(seconds)));
        }
        let mut rest = text;
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let number_size = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
            let (number, tail) = rest.split_at(number_size);
            let unit_size = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_size);
            let seconds = match unit {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                _ => return Err(bad()),
            };
            let number: f64 = number.parse().map_err(|_| bad())?;
            let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| bad())?;
            total = total.checked_add(part).ok_or_else(bad)?;
            rest = tail;
        }
        if text.is_empty() { Err(bad()) } else { Ok(Self(total)) }
    }
}

impl Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0.as_secs(), self.0.subsec_micros());
        if micros != 0 {
            return if seconds == 0 && micros.is_multiple_of(1000) {
                write!(formatter, "{}ms", micros / 1000)
            } else {
                write!(formatter, "{seconds}.{micros:06}s")
            };
        }
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        match (hours, minutes) {
            (0, 0) => write!(formatter, "{seconds}s"),
            (0, _) => write!(formatter, "{minutes}m{seconds}s"),
            _ => write!(formatter, "{hours}h{minutes}m{seconds}s"),
        }
    }
}

/// An amount in wei, read from decimal digits or from `0x` hexadecimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wei(pub u128);

impl FromStr for Wei {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u128::from_str_radix(digits, 16),
            None => text.parse(),
        };
        number.map(Self).map_err(|_| format!("`{text}` is not a whole number of wei"))
    }
}

impl Display for Wei {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// An amount read in ether, with up to 18 decimals, and held in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ether {
    /// The amount in wei.
    pub wei: u128,
}

impl FromStr for Ether {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not an amount of ether such as 1 or 0.25");
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || decimals.len() > 18 || !digits(whole) || !digits(decimals) {
            return Err(bad());
        }
        let fraction: u128 = format!("{decimals:0<18}").parse().map_err(|_| bad())?;
        let whole: u128 = whole.parse().map_err(|_| bad())?;
        let wei = whole.checked_mul(ETHER).and_then(|wei| wei.checked_add(fraction)).ok_or_else(bad)?;
        Ok(Self { wei })
    }
}

impl Display for Ether {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:018}", self.wei % ETHER);
        match decimals.trim_end_matches('0') {
            "" => write!(formatter, "{}", self.wei / ETHER),
            decimals => write!(formatter, "{}.{decimals}", self.wei / ETHER),
        }
    }
}

/// Items between commas. Space around them and empty items do not count, so that an empty text is an empty list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T: FromStr<Err: Display>> FromStr for List<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(|item| item.parse().map_err(|error| format!("`{item}`: {error}"))).collect::<Result<_, _>>().map(Self)
    }
}

/// Names an account by its address, or by its place in `account list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountRef {
    /// The address.
    Address(Address),
    /// The place in the list, from 0.
    Index(usize),
}

impl FromStr for AccountRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        if digits.len() == 40
            && let Ok(bytes) = hex::decode(digits)
            && let Ok(address) = Address::try_from(bytes.as_slice())
        {
            return Ok(Self::Address(address));
        }
        text.parse()
            .map(Self::Index)
            .map_err(|_| format!("`{text}` is neither an address of 40 hexadecimal digits nor a place in the list"))
    }
}

impl Display for AccountRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Index(index) => index.fmt(formatter),
        }
    }
}

/// Names a peer by its id, or by an address that ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerName(pub PeerId);

impl FromStr for PeerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        network::p2p::parse_peer(text).map(Self).map_err(|error| error.to_string())
    }
}

impl Display for PeerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// An address under which a node is reached: a multiaddr without a peer id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(pub Multiaddr);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            || format!("`{text}` is no address such as /ip4/203.0.113.7/tcp/30303 or /dns4/node1.example/tcp/30303");
        text.parse().map(Self).map_err(|_| bad())
    }
}

impl Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The bytes of a block's `extraData`: hexadecimal after `0x`, else the text's own bytes; at most 32.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraData(pub Bytes);

impl FromStr for ExtraData {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = match text.strip_prefix("0x") {
            Some(digits) => hex::decode(digits).map_err(|_| format!("`{text}` is not hexadecimal"))?,
            None => text.as_bytes().to_vec(),
        };
        if bytes.len() > EXTRA_DATA_SIZE_MAX {
            return Err(format!("{} bytes; a block holds at most {EXTRA_DATA_SIZE_MAX}", bytes.len()));
        }
        Ok(Self(bytes.into()))
    }
}

impl Display for ExtraData {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Says which transactions a block takes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum MinerOrder {
    /// In the order in which they came, whatever they pay.
    #[default]
    Arrival,
    /// The best paying first.
    Price,
}

/// Says when the write-ahead log reaches the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Fsync {
    /// With every block.
    Block,
    /// At least once a second.
    #[default]
    Second,
}

/// Says how log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// Text on a terminal, JSON otherwise.
    Auto,
}

/// Says whether output is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// geth's names for how much history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GcMode {
    /// All of it.
    Archive,
    /// The newest 90,000 blocks.
    Full,
}

/// geth's names for how a node catches up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SyncMode {
    /// Executes every block.
    #[default]
    Full,
    /// An empty node begins with a snapshot of the state at a finalized block, where peers serve one.
    Snap,
    /// Not here.
    Fast,
    /// Not here.
    Light,
}

/// Returns the name of an enum's value as it is written on the command line.
pub(super) fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_as_go_writes_them() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(text.parse().ok(), millis.map(|millis| Span(Duration::from_millis(millis))), "{text}");
        };
        check("3h0m0s", Some(10_800_000));
        check("1h", Some(3_600_000));
        check("500ms", Some(500));
        check("1.5s", Some(1500));
        check("15", Some(15_000));
        check("0", Some(0));
        for bad in ["", "s", "-1s", "1x", "1h30", "∞", "1..2s", "99999999999999999999h"] {
            check(bad, None);
        }
    }

    #[test]
    fn amounts_are_exact() {
        let ether = |text: &str| text.parse::<Ether>().map(|ether| ether.wei).ok();
        assert_eq!(ether("1"), Some(ETHER));
        assert_eq!(ether("0.000000000000000001"), Some(1));
        assert_eq!(ether("1.1"), Some(1_100_000_000_000_000_000));
        for bad in ["", ".", ".5", "1e3", "-1", "1.0000000000000000001", "999999999999999999999999999999"] {
            assert_eq!(ether(bad), None, "{bad}");
        }
        assert_eq!("0x10".parse(), Ok(Wei(16)));
        assert_eq!("1".parse(), Ok(Wei(1)));
        assert!("1.5".parse::<Wei>().is_err());
    }

    #[test]
    fn accounts_are_addresses_or_places() {
        let address = Address::repeat_byte(0xab);
        for text in [format!("0x{}", "ab".repeat(20)), "AB".repeat(20), format!("{address}")] {
            assert_eq!(text.parse(), Ok(AccountRef::Address(address)), "{text}");
        }
        assert_eq!("3".parse(), Ok(AccountRef::Index(3)));
        for bad in ["", "0x12", "alice", "-1"] {
            assert!(bad.parse::<AccountRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn extra_data_is_text_or_hexadecimal_of_32_bytes() {
        assert_eq!("geth".parse(), Ok(ExtraData(Bytes::from_static(b"geth"))));
        assert_eq!("0x0102".parse(), Ok(ExtraData(Bytes::from_static(&[1, 2]))));
        assert!("x".repeat(33).parse::<ExtraData>().is_err());
        assert!("0xzz".parse::<ExtraData>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in 0..u64::MAX / 1_000_000, wei: u128, bytes in prop::collection::vec(any::<u8>(), 0..33)) {
            let span = Span(Duration::from_millis(millis % 100_000_000));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
            let ether = Ether { wei };
            prop_assert_eq!(ether.to_string().parse(), Ok(ether));
            prop_assert_eq!(Wei(wei).to_string().parse(), Ok(Wei(wei)));
            let extra = ExtraData(bytes.into());
            prop_assert_eq!(extra.to_string().parse(), Ok(extra));
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,40}") {
            let _ = (text.parse::<Span>(), text.parse::<Wei>(), text.parse::<Ether>(), text.parse::<AccountRef>(), text.parse::<ExtraData>());
        }
    }
}
