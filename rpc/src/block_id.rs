//! How a request names a block: by tag, number or hash, or by an EIP-1898 object.

use std::borrow::Cow;

use alloy_primitives::B256;
use chain::ChainView;
use consensus::SealedHeader;
use evm_runtime::StateView;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::errors::RpcError;
use crate::params::{NumberOrText, parse_quantity};

/// Names a block of the canonical chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockTag {
    /// Block 0.
    Earliest,
    /// The head.
    Latest,
    /// The head, with the pool on top where that makes a difference.
    Pending,
    /// The head minus the safe depth.
    Safe,
    /// The head minus the finality depth.
    Finalized,
    /// A number.
    Number(u64),
}

impl BlockTag {
    /// Returns the number that the tag stands for now.
    pub(crate) fn number(self, view: &ChainView) -> u64 {
        match self {
            Self::Earliest => 0,
            Self::Latest | Self::Pending => view.head().number,
            Self::Safe => view.safe_number(),
            Self::Finalized => view.finalized_number(),
            Self::Number(number) => number,
        }
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(match text {
            "earliest" => Self::Earliest,
            "latest" | "" => Self::Latest,
            "pending" => Self::Pending,
            "safe" => Self::Safe,
            "finalized" => Self::Finalized,
            number => Self::Number(parse_quantity(number)?),
        })
    }
}

impl<'de> Deserialize<'de> for BlockTag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => Ok(Self::Number(number)),
            NumberOrText::Text(text) => Self::parse(&text).map_err(D::Error::custom),
        }
    }
}

/// Names a block, perhaps one that is not canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockId {
    /// By tag or number.
    Tag(BlockTag),
    /// By hash.
    Hash {
        /// The hash.
        hash: B256,
        /// Whether it must be on the canonical chain (EIP-1898).
        require_canonical: bool,
    },
}

impl BlockId {
    /// The head.
    pub(crate) const LATEST: Self = Self::Tag(BlockTag::Latest);

    /// Tells whether the pool counts too.
    pub(crate) fn is_pending(self) -> bool {
        self == Self::Tag(BlockTag::Pending)
    }

    /// Returns the header, or `None` for a block that is not here.
    pub(crate) fn header(self, view: &ChainView) -> Result<Option<SealedHeader>, RpcError> {
        match self {
            Self::Tag(BlockTag::Latest | BlockTag::Pending) => Ok(Some(view.head().clone())),
            Self::Tag(tag) => Ok(view.header_by_number(tag.number(view))?),
            Self::Hash { hash, require_canonical } => {
                let header = view.header_by_hash(hash)?;
                if let Some(header) = &header
                    && require_canonical
                    && !view.is_canonical(header.number, hash)?
                {
                    return Err(RpcError::server("hash is not currently canonical"));
                }
                Ok(header)
            }
        }
    }

    /// Returns the header of a block that must be here.
    pub(crate) fn known_header(self, view: &ChainView) -> Result<SealedHeader, RpcError> {
        self.header(view)?.ok_or_else(|| match self {
            Self::Tag(_) => RpcError::header_not_found(),
            Self::Hash { .. } => RpcError::header_for_hash_not_found(),
        })
    }

    /// Returns the state at the end of the block.
    pub(crate) fn state(self, view: &ChainView) -> Result<StateView, RpcError> {
        match self {
            Self::Tag(BlockTag::Latest | BlockTag::Pending) => Ok(view.head_state()),
            Self::Tag(tag) => state_of_number(view, tag.number(view)),
            Self::Hash { hash, .. } => {
                let header = self.known_header(view)?;
                if !view.is_canonical(header.number, hash)? {
                    return Err(RpcError::server("hash is not currently canonical"));
                }
                state_of_number(view, header.number)
            }
        }
    }
}

/// Returns the state at the end of a canonical block.
fn state_of_number(view: &ChainView, number: u64) -> Result<StateView, RpcError> {
    match number.cmp(&view.head().number) {
        std::cmp::Ordering::Less => Ok(view.state_at(number)?),
        std::cmp::Ordering::Equal => Ok(view.head_state()),
        std::cmp::Ordering::Greater => Err(RpcError::header_not_found()),
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a block number, tag, hash or EIP-1898 object")]
enum BlockIdForms<'a> {
    Number(u64),
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Object(BlockIdObject),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockIdObject {
    block_number: Option<BlockTag>,
    block_hash: Option<B256>,
    #[serde(default)]
    require_canonical: bool,
}

impl<'de> Deserialize<'de> for BlockId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// `0x` and 64 digits.
        const HASH_LENGTH: usize = 66;
        match BlockIdForms::deserialize(deserializer)? {
            BlockIdForms::Number(number) => Ok(Self::Tag(BlockTag::Number(number))),
            BlockIdForms::Text(text) if text.len() == HASH_LENGTH => {
                let hash = text.parse().map_err(|_| D::Error::custom("invalid hex string"))?;
                Ok(Self::Hash { hash, require_canonical: false })
            }
            BlockIdForms::Text(text) => BlockTag::parse(&text).map(Self::Tag).map_err(D::Error::custom),
            BlockIdForms::Object(object) => match (object.block_number, object.block_hash) {
                (Some(_), Some(_)) => {
                    Err(D::Error::custom("cannot specify both BlockHash and BlockNumber, choose one or the other"))
                }
                (Some(tag), None) => Ok(Self::Tag(tag)),
                (None, Some(hash)) => Ok(Self::Hash { hash, require_canonical: object.require_canonical }),
                (None, None) => Err(D::Error::custom("invalid arguments; neither block nor hash specified")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn blocks_are_named_in_all_forms() {
        let hash = B256::repeat_byte(7);
        let by_hash = |require_canonical| BlockId::Hash { hash, require_canonical };
        let number = BlockId::Tag(BlockTag::Number(16));
        let cases = [
            ("\"latest\"".to_owned(), BlockId::LATEST),
            ("\"pending\"".to_owned(), BlockId::Tag(BlockTag::Pending)),
            ("\"earliest\"".to_owned(), BlockId::Tag(BlockTag::Earliest)),
            ("\"safe\"".to_owned(), BlockId::Tag(BlockTag::Safe)),
            ("\"finalized\"".to_owned(), BlockId::Tag(BlockTag::Finalized)),
            ("\"0x10\"".to_owned(), number),
            ("\"0x0010\"".to_owned(), number),
            ("16".to_owned(), number),
            ("{\"blockNumber\":\"0x10\"}".to_owned(), number),
            (format!("\"{hash}\""), by_hash(false)),
            (format!("{{\"blockHash\":\"{hash}\"}}"), by_hash(false)),
            (format!("{{\"blockHash\":\"{hash}\",\"requireCanonical\":true}}"), by_hash(true)),
        ];
        for (text, expected) in cases {
            assert_eq!(serde_json::from_str::<BlockId>(&text).unwrap(), expected, "{text}");
        }
        for text in ["\"newest\"", "\"10\"", "{}", "[]", "-1", "\"0x\"", "{\"blockHash\":\"0x12\"}"] {
            assert!(serde_json::from_str::<BlockId>(text).is_err(), "{text}");
        }
    }
}
