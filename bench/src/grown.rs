//! A state that grows to many accounts, and is changed and read at each size.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{B256, KECCAK256_EMPTY, U256};
use evm_runtime::state::{self, AccountChange, StateSource};
use evm_runtime::{StateChanges, StateView, TrieAccount};
use storage::{Durability, RocksStore, Stage, Store};

use crate::Failure;
use crate::random::Random;
use crate::recorded::open_store;

/// How many accounts are written at once while the state grows.
const GROWTH_BATCH: usize = 50_000;

/// Holds a state of accounts without code or storage.
#[derive(Debug)]
pub struct GrownState {
    store: Arc<RocksStore>,
    hashes: Vec<B256>,
    random: Random,
    /// The number of the next block of changes.
    next_block: u64,
}

/// Holds the times of one block's changes.
#[derive(Clone, Copy, Debug)]
pub struct ChangeTimes {
    /// Computing the new trie nodes and the root.
    pub root: Duration,
    /// All of it: computing, collecting the rows, committing them as one batch.
    pub all: Duration,
}

impl GrownState {
    /// Begins without accounts in a fresh store in `folder`.
    ///
    /// # Errors
    /// The store failed.
    pub fn new(folder: &Path) -> Result<Self, Failure> {
        Ok(Self { store: open_store(folder)?, hashes: Vec::new(), random: Random::new(1), next_block: 1 })
    }

    /// Adds accounts until there are `count`, and tidies the tables as a node does over time.
    ///
    /// # Errors
    /// The store failed.
    pub fn grow(&mut self, count: usize) -> Result<(), Failure> {
        while self.hashes.len() < count {
            let batch = GROWTH_BATCH.min(count - self.hashes.len());
            let fresh: Vec<B256> = (0..batch).map(|_| self.random.word()).collect();
            let mut changes: Vec<_> = fresh.iter().map(|hash| change(*hash, None, &mut self.random)).collect();
            changes.sort_unstable_by_key(|change| change.address_hash);
            let mut stage = Stage::new(self.store.snapshot());
            state::compute(&stage, &StateChanges { accounts: changes, codes: Vec::new() })?.write(&mut stage, None)?;
            self.store.commit(stage.into_batch(), Durability::Process)?;
            self.hashes.extend(fresh);
        }
        Ok(self.store.compact()?)
    }

    /// Changes `count` accounts that are there, as one block does. They are read first, outside the time, since execution has read them.
    ///
    /// # Errors
    /// The store failed.
    pub fn change(&mut self, count: usize) -> Result<ChangeTimes, Failure> {
        let view = StateView::at_head(self.store.snapshot());
        let mut chosen: Vec<B256> = (0..count).map(|_| self.hashes[self.random.index(self.hashes.len())]).collect();
        chosen.sort_unstable();
        chosen.dedup();
        let accounts = chosen.iter().map(|hash| Ok(change(*hash, view.account_by_hash(*hash)?, &mut self.random)));
        let changes = StateChanges { accounts: accounts.collect::<Result<_, Failure>>()?, codes: Vec::new() };
        let begun = Instant::now();
        let mut stage = Stage::new(self.store.snapshot());
        let applied = state::compute(&stage, &changes)?;
        let root = begun.elapsed();
        applied.write(&mut stage, Some(self.next_block))?;
        self.store.commit(stage.into_batch(), Durability::Process)?;
        self.next_block += 1;
        Ok(ChangeTimes { root, all: begun.elapsed() })
    }

    /// Reads `count` random accounts that are there, and returns the time for one.
    ///
    /// # Errors
    /// The store failed.
    pub fn read(&mut self, count: u32) -> Result<Duration, Failure> {
        let chosen: Vec<B256> = (0..count).map(|_| self.hashes[self.random.index(self.hashes.len())]).collect();
        self.read_all(&chosen, true)
    }

    /// Reads `count` accounts that are not there, and returns the time for one.
    ///
    /// # Errors
    /// The store failed.
    pub fn read_absent(&mut self, count: u32) -> Result<Duration, Failure> {
        let chosen: Vec<B256> = (0..count).map(|_| self.random.word()).collect();
        self.read_all(&chosen, false)
    }

    fn read_all(&self, chosen: &[B256], present: bool) -> Result<Duration, Failure> {
        let view = StateView::at_head(self.store.snapshot());
        let begun = Instant::now();
        for hash in chosen {
            if view.account_by_hash(*hash)?.is_some() != present {
                return Err(format!("account {hash}: present is not {present}").into());
            }
        }
        Ok(begun.elapsed() / u32::try_from(chosen.len().max(1))?)
    }
}

fn change(address_hash: B256, old: Option<TrieAccount>, random: &mut Random) -> AccountChange {
    let balance = U256::from(random.number());
    let nonce = old.map_or(0, |old| old.nonce + 1);
    let new = Some(TrieAccount::new(nonce, balance, B256::ZERO, KECCAK256_EMPTY));
    AccountChange { address_hash, old, new, wiped: false, slots: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_grows_changes_and_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut grown = GrownState::new(folder.path()).unwrap();
        grown.grow(300).unwrap();
        let times = grown.change(50).unwrap();
        assert!(times.root <= times.all);
        grown.change(50).unwrap();
        grown.read(100).unwrap();
        grown.read_absent(100).unwrap();
    }
}
