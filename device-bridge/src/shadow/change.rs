//! What became of a shadow, one version after the other: told to whoever watches in the same process, and kept for a while.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use storage::{Batch, Reader, StorageError, Table};

use super::ShadowName;

/// How many versions of a shadow are kept; older ones go.
pub const CHANGES_KEPT: u64 = 100;

/// A shadow as of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowChange {
    /// Which shadow.
    pub name: ShadowName,
    /// The version.
    pub version: u64,
    /// When it came about, in seconds since 1970.
    pub timestamp: u64,
    /// `desired`, `reported` and `delta`, without those that are empty; none: the shadow was deleted.
    pub state: Option<Map<String, Value>>,
}

/// A row.
#[derive(Serialize, Deserialize)]
struct Row {
    timestamp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<Map<String, Value>>,
}

impl ShadowChange {
    /// Adds the change to what is committed, and takes away what is too old.
    pub(super) fn keep(&self, store: &dyn Reader, batch: &mut Batch) -> Result<(), StorageError> {
        let prefix = self.name.changes_prefix();
        if self.version == 1 {
            // A shadow of that name was deleted so long ago that its version is forgotten, and its changes with it.
            for row in store.iterate_prefix(Table::ShadowChanges, &prefix) {
                batch.delete(Table::ShadowChanges, row?.0);
            }
        }
        if let Some(old) = self.version.checked_sub(CHANGES_KEPT) {
            batch.delete(Table::ShadowChanges, key(&prefix, old));
        }
        let row = Row { timestamp: self.timestamp, state: self.state.clone() };
        let row = serde_json::to_vec(&row).expect("JSON with text keys is always written");
        batch.put(Table::ShadowChanges, key(&prefix, self.version), row);
        Ok(())
    }
}

/// Returns up to `most` changes of a shadow before the version `before`, the newest first.
pub(super) fn read(
    store: &dyn Reader,
    name: &ShadowName,
    before: u64,
    most: usize,
) -> Result<Vec<ShadowChange>, StorageError> {
    let prefix = name.changes_prefix();
    let Some(newest) = before.checked_sub(1) else { return Ok(Vec::new()) };
    let rows = store.iterate_back(Table::ShadowChanges, &key(&prefix, newest)).take(most);
    let mut changes = Vec::new();
    for row in rows {
        let (key, value) = row?;
        let Some(version) = key.strip_prefix(&prefix[..]).and_then(|version| version.try_into().ok()) else { break };
        let row: Row = serde_json::from_slice(&value)
            .map_err(|error| StorageError::Corrupt(format!("a shadow's change cannot be read: {error}")))?;
        let (name, version) = (name.clone(), u64::from_be_bytes(version));
        changes.push(ShadowChange { name, version, timestamp: row.timestamp, state: row.state });
    }
    Ok(changes)
}

fn key(prefix: &[u8], version: u64) -> Vec<u8> {
    [prefix, &version.to_be_bytes()].concat()
}
