//! What the bridge remembers over restarts: each device's last job and those before it that are not over, in a small database of its own.
//!
//! Key: the thing's name; value: JSON. A record is on the disk before the command that it stands for is carried out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use storage::{Batch, Durability, RocksOptions, RocksStore, StorageError, Store, Table};

use super::reconcile::{Device, Job};

/// The table that holds the records.
const TABLE: Table = Table::Meta;
/// Memory for reading and for writing: there is little of either.
const CACHE_BYTES: usize = 1 << 20;

/// A record.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    job: Option<Job>,
    recording: Vec<Job>,
    past: BTreeMap<B256, u64>,
}

/// Holds the records.
#[derive(Clone)]
pub struct Outbox(Arc<dyn Store>);

impl Outbox {
    /// Opens the outbox in a directory, which is made where there is none.
    ///
    /// # Errors
    /// It is in use or damaged, or the disk refuses.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let options =
            RocksOptions { cache_bytes: CACHE_BYTES, write_buffer_bytes: CACHE_BYTES, ..RocksOptions::default() };
        Ok(Self(Arc::new(RocksStore::open(path, options)?)))
    }

    /// Keeps the records in `store`.
    pub fn over(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    /// Returns what is remembered of a thing; a new one is blank.
    ///
    /// # Errors
    /// The store fails, or the record cannot be read.
    pub fn load(&self, thing: &str) -> Result<Device, StorageError> {
        let Some(value) = self.0.get(TABLE, thing.as_bytes())? else { return Ok(Device::default()) };
        let record: Record = serde_json::from_slice(&value)
            .map_err(|error| StorageError::Corrupt(format!("the bridge's record of {thing}: {error}")))?;
        Ok(Device { job: record.job, recording: record.recording, past: record.past, ..Device::default() })
    }

    /// Brings what is to be remembered of a thing to the disk.
    ///
    /// # Errors
    /// The store fails; nothing may be done that needs the record.
    pub fn keep(&self, thing: &str, device: &Device) -> Result<(), StorageError> {
        let Device { job, recording, past, .. } = device.clone();
        let record = Record { job, recording, past };
        let value = serde_json::to_vec(&record).map_err(|error| StorageError::Corrupt(error.to_string()))?;
        let mut batch = Batch::default();
        batch.put(TABLE, thing.as_bytes(), value);
        self.0.commit(batch, Durability::Disk)
    }

    /// Returns the things of which something is remembered.
    ///
    /// # Errors
    /// The store fails.
    pub fn things(&self) -> Result<Vec<String>, StorageError> {
        self.0.iterate(TABLE, &[]).map(|entry| Ok(String::from_utf8_lossy(&entry?.0).into_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_lock::{LockShadow, LockState, Position};

    #[test]
    fn a_job_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let desired = LockState {
            lock: Some(Position::Open),
            job: Some(B256::repeat_byte(3)),
            until: Some(7),
            code: Some("T1:X".to_owned()),
            ..LockState::default()
        };
        let mut device = Device::default();
        device.see(LockShadow { version: 9, desired, reported: LockState::default() });
        device.past.insert(B256::ZERO, 5);
        {
            let outbox = Outbox::open(folder.path()).unwrap();
            assert_eq!(outbox.load("dock-1").unwrap(), Device::default());
            outbox.keep("dock-1", &device).unwrap();
        }
        let outbox = Outbox::open(folder.path()).unwrap();
        let loaded = outbox.load("dock-1").unwrap();
        assert_eq!((&loaded.job, &loaded.past), (&device.job, &device.past));
        assert_eq!(outbox.things().unwrap(), ["dock-1"]);
    }

    #[test]
    fn a_damaged_record_is_an_error_and_a_failing_disk_too() {
        let store = Arc::new(storage::MemoryStore::default());
        let mut batch = Batch::default();
        batch.put(TABLE, "dock-1", "{");
        store.commit(batch, Durability::Disk).unwrap();
        let problem = Outbox::over(store).load("dock-1").unwrap_err().to_string();
        assert!(problem.contains("dock-1"), "{problem}");
    }
}
