//! A place in the endless list of what became and ceased to be canonical, from which a client that was away goes on.
//!
//! A cursor names a block and how many of its logs the client has been told. It holds no state here: what is missing follows
//! from the chain as it is now. Where the cursor's block is no longer canonical, its logs are taken back, then those of its
//! ancestors down to the canonical chain, newest first; then come the canonical ones, oldest first. So a client that applies
//! what it gets always holds exactly the canonical chain up to its cursor.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::B256;
use chain::ChainView;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, json};

use crate::api::Api;
use crate::errors::RpcError;
use crate::objects::{self, Branch, matching_logs};
use crate::params::LogQuery;

/// How many blocks without anything to tell are passed in one step, so that a step stays short.
const BLOCKS_PER_STEP: usize = 1024;

/// What a client has been told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The block.
    pub(crate) hash: B256,
    /// How many of the block's logs have been told, counted without regard to any query; `None`: all.
    pub(crate) logs: Option<u64>,
}

impl Cursor {
    /// The place behind a whole block.
    pub(crate) fn after(hash: B256) -> Self {
        Self { hash, logs: None }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.logs {
            None => write!(f, "{}", self.hash),
            Some(logs) => write!(f, "{}:{logs}", self.hash),
        }
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (hash, logs) = match text.split_once(':') {
            None => (text, None),
            Some((hash, logs)) => (hash, Some(logs.parse().map_err(|_| "cursor: no number after the colon")?)),
        };
        if !hash.starts_with("0x") {
            return Err("cursor: no 0x before the block hash");
        }
        Ok(Self { hash: hash.parse().map_err(|_| "cursor: no block hash")?, logs })
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// What a client follows by cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Feed {
    /// Headers.
    Heads,
    /// The logs that a query asks for.
    Logs(LogQuery),
}

/// What one step gives.
#[derive(Debug)]
pub(crate) struct Step {
    /// What to tell the client, in order, each with its own cursor.
    pub(crate) items: Vec<Value>,
    /// The place after it.
    pub(crate) cursor: Cursor,
    /// Whether that is the view's head.
    pub(crate) at_head: bool,
}

impl Feed {
    /// Goes on from a cursor by at least one block, or to the head of the view.
    ///
    /// # Errors
    /// The cursor's block is unknown here, or our own store failed.
    pub(crate) fn step(&self, api: &Api, view: &ChainView, mut cursor: Cursor) -> Result<Step, RpcError> {
        let head = view.head().hash();
        for _ in 0..BLOCKS_PER_STEP {
            let items;
            (items, cursor) = self.one_block(api, view, cursor)?;
            let at_head = cursor == Cursor::after(head);
            if at_head || !items.is_empty() {
                return Ok(Step { items, cursor, at_head });
            }
        }
        Ok(Step { items: Vec::new(), cursor, at_head: false })
    }

    fn one_block(&self, api: &Api, view: &ChainView, cursor: Cursor) -> Result<(Vec<Value>, Cursor), RpcError> {
        let header = view.header_by_hash(cursor.hash)?.ok_or_else(unknown)?;
        if !view.is_canonical(header.number, cursor.hash)? {
            let items = self.block(api, view, cursor.hash, 0..cursor.logs.unwrap_or(u64::MAX), Branch::Dropped)?;
            return Ok((items, Cursor::after(header.parent_hash)));
        }
        if let Some(told) = cursor.logs {
            let items = self.block(api, view, cursor.hash, told..u64::MAX, Branch::Canonical)?;
            return Ok((items, Cursor::after(cursor.hash)));
        }
        match view.canonical_hash(header.number.saturating_add(1))? {
            None => Ok((Vec::new(), cursor)),
            Some(next) => Ok((self.block(api, view, next, 0..u64::MAX, Branch::Canonical)?, Cursor::after(next))),
        }
    }

    /// Tells a block, or takes it back; of its logs only those whose index is within `told`.
    fn block(
        &self,
        api: &Api,
        view: &ChainView,
        hash: B256,
        told: std::ops::Range<u64>,
        branch: Branch,
    ) -> Result<Vec<Value>, RpcError> {
        let header = view.header_by_hash(hash)?.ok_or_else(unknown)?;
        let query = match self {
            Self::Heads => {
                let at = if branch == Branch::Dropped { header.parent_hash } else { hash };
                let shown = json!(objects::header(&header));
                let shown = with(shown, "removed", json!(branch == Branch::Dropped));
                return Ok(vec![with(shown, "cursor", json!(Cursor::after(at).to_string()))]);
            }
            Self::Logs(query) => query,
        };
        if header.logs_bloom.is_zero() || !query.may_match(&header.logs_bloom) {
            return Ok(Vec::new());
        }
        let Some(found) = api.block(view, hash)? else { return Ok(Vec::new()) };
        let receipts = found.receipts(view)?.unwrap_or_default();
        let logs = matching_logs(found.block(), &receipts, query, branch);
        let wanted = logs.into_iter().filter(|log| log.log_index.is_some_and(|index| told.contains(&index)));
        let place = |log: &alloy_rpc_types_eth::Log| {
            let index = log.log_index.unwrap_or_default();
            let logs = if branch == Branch::Dropped { index } else { index.saturating_add(1) };
            json!(Cursor { hash, logs: Some(logs) }.to_string())
        };
        let mut items: Vec<Value> = wanted.map(|log| with(json!(log), "cursor", place(&log))).collect();
        if branch == Branch::Dropped {
            items.reverse();
        }
        Ok(items)
    }
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
    object
}

fn unknown() -> RpcError {
    RpcError::server(
        "unknown cursor: this node does not have its block; subscribe without a cursor and read the chain anew",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_cursor_is_text_and_comes_back() {
        let hash = B256::repeat_byte(0xab);
        for cursor in [Cursor::after(hash), Cursor { hash, logs: Some(0) }, Cursor { hash, logs: Some(u64::MAX) }] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        let text = format!("0x{}", "ab".repeat(32));
        let cases = ["", "0x", "0x12", &text[2..], &format!("{text}:"), &format!("{text}:-1"), &format!("{text}:1:2")];
        for bad in cases {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
