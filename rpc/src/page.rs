//! Pages of long lists: how many items at a time, and where the next page begins.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::params::parse_quantity;

/// Items on a page where nothing is said.
const ITEMS: usize = 25;
/// The most items on a page.
const ITEMS_MAX: usize = 200;

/// Which page of a list that goes back through the chain.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// Where the page begins: items before this place; none: at the head.
    pub(crate) before: Option<Place>,
    limit: Option<usize>,
}

impl Page {
    /// Returns how many items a page has.
    pub(crate) fn size(limit: Option<usize>) -> usize {
        limit.unwrap_or(ITEMS).clamp(1, ITEMS_MAX)
    }

    /// Returns how many items this page has.
    pub(crate) fn items(&self) -> usize {
        Self::size(self.limit)
    }
}

/// A place in the chain: a block, and a transaction or log in it. As text `NUMBER:INDEX`; a block number alone is its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The block's number.
    pub(crate) number: u64,
    /// The index in the block.
    pub(crate) index: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.index)
    }
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("0x") {
            return Ok(Self { number: parse_quantity(text)?, index: 0 });
        }
        let (number, index) = text.split_once(':').ok_or("neither NUMBER:INDEX nor a block number")?;
        let number = number.parse().map_err(|_| "no block number before the colon")?;
        Ok(Self { number, index: index.parse().map_err(|_| "no index after the colon")? })
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_text_and_comes_back() {
        for place in [Place { number: 0, index: 0 }, Place { number: u64::MAX, index: u32::MAX }] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        assert_eq!("0x10".parse(), Ok(Place { number: 16, index: 0 }));
        for bad in ["", "12", "0x", "1:", ":1", "1:2:3", "-1:0", "1:4294967296"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_has_a_limit() {
        for (asked, given) in [(None, 25), (Some(0), 1), (Some(7), 7), (Some(usize::MAX), 200)] {
            assert_eq!(Page::size(asked), given);
        }
    }
}
