//! Filters that clients install and poll.
//!
//! The chain's changes are recorded once, in a bounded log, and each filter is a place in it: a filter costs nothing until
//! it is polled, and one whose place has been dropped from the log is gone, as after a long silence.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{B256, U256};
use chain::Reorganisation;
use consensus::{RecoveredBlock, RecoveredTransaction};
use evm_runtime::Receipt;
use parking_lot::Mutex;

use crate::errors::RpcError;
use crate::objects::Transactions;
use crate::params::LogQuery;

/// How many changes of the canonical chain are kept for filters that are not polled.
const BLOCKS_KEPT: usize = 16_384;
/// How many pool transactions are kept for filters that are not polled.
const TRANSACTIONS_KEPT: usize = 16_384;

/// A block that became or ceased to be canonical.
#[derive(Clone)]
pub(crate) enum BlockChange {
    /// It became canonical.
    Added(B256),
    /// It left the canonical chain.
    Dropped(Arc<RecoveredBlock>, Arc<Vec<Receipt>>),
}

/// The latest entries of an endless list.
struct Tail<T> {
    entries: VecDeque<T>,
    /// The place of the first entry kept.
    first: u64,
    capacity: usize,
}

impl<T: Clone> Tail<T> {
    fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), first: 0, capacity }
    }

    fn push(&mut self, entry: T) {
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
            self.first += 1;
        }
        self.entries.push_back(entry);
    }

    /// Returns the place after the last entry.
    fn end(&self) -> u64 {
        self.first + u64::try_from(self.entries.len()).expect("a length fits 64 bits")
    }

    /// Returns the entries from a place on; `None` where some of them are gone.
    fn since(&self, place: u64) -> Option<Vec<T>> {
        let skipped = usize::try_from(place.checked_sub(self.first)?).ok()?;
        Some(self.entries.iter().skip(skipped).cloned().collect())
    }

    /// Forgets all entries without giving their places away again.
    fn clear(&mut self) {
        self.first = self.end();
        self.entries = VecDeque::new();
    }
}

/// The record of changes that filters read.
pub(crate) struct FilterLog {
    blocks: Mutex<Tail<BlockChange>>,
    transactions: Mutex<Tail<RecoveredTransaction>>,
    block_readers: AtomicUsize,
    transaction_readers: AtomicUsize,
}

impl Default for FilterLog {
    fn default() -> Self {
        Self {
            blocks: Mutex::new(Tail::new(BLOCKS_KEPT)),
            transactions: Mutex::new(Tail::new(TRANSACTIONS_KEPT)),
            block_readers: AtomicUsize::new(0),
            transaction_readers: AtomicUsize::new(0),
        }
    }
}

impl FilterLog {
    /// Records a change of the head, where a filter wants it.
    pub(crate) fn record_head(&self, added: &[Arc<RecoveredBlock>], reorganisation: Option<&Reorganisation>) {
        if self.block_readers.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut blocks = self.blocks.lock();
        for (block, receipts) in reorganisation.map_or(&[][..], |moved| &moved.dropped) {
            blocks.push(BlockChange::Dropped(Arc::clone(block), Arc::clone(receipts)));
        }
        for block in added {
            blocks.push(BlockChange::Added(block.hash()));
        }
    }

    /// Records a pool transaction, where a filter wants it.
    pub(crate) fn record_transaction(&self, tx: &RecoveredTransaction) {
        if self.transaction_readers.load(Ordering::Acquire) > 0 {
            self.transactions.lock().push(tx.clone());
        }
    }

    fn readers(&self, kind: &FilterKind) -> &AtomicUsize {
        match kind {
            FilterKind::Blocks | FilterKind::Logs(_) => &self.block_readers,
            FilterKind::Transactions(_) => &self.transaction_readers,
        }
    }

    fn end(&self, kind: &FilterKind) -> u64 {
        match kind {
            FilterKind::Blocks | FilterKind::Logs(_) => self.blocks.lock().end(),
            FilterKind::Transactions(_) => self.transactions.lock().end(),
        }
    }

    fn add_reader(&self, kind: &FilterKind) {
        self.readers(kind).fetch_add(1, Ordering::AcqRel);
    }

    fn remove_reader(&self, kind: &FilterKind) {
        if self.readers(kind).fetch_sub(1, Ordering::AcqRel) == 1 {
            match kind {
                FilterKind::Blocks | FilterKind::Logs(_) => self.blocks.lock().clear(),
                FilterKind::Transactions(_) => self.transactions.lock().clear(),
            }
        }
    }
}

/// What a filter reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FilterKind {
    /// New blocks' hashes.
    Blocks,
    /// Transactions that enter the pool.
    Transactions(Transactions),
    /// Logs.
    Logs(Arc<LogQuery>),
}

/// What happened since a filter was polled last.
pub(crate) enum Changes {
    /// For [`FilterKind::Blocks`].
    Blocks(Vec<BlockChange>),
    /// For [`FilterKind::Transactions`].
    Transactions(Vec<RecoveredTransaction>, Transactions),
    /// For [`FilterKind::Logs`].
    Logs(Vec<BlockChange>, Arc<LogQuery>),
}

struct Filter {
    kind: FilterKind,
    place: u64,
    polled: Instant,
}

/// The installed filters.
pub(crate) struct Filters {
    installed: Mutex<HashMap<U256, Filter>>,
    most: usize,
    timeout: Duration,
    ids: IdSource,
}

impl Filters {
    /// Keeps at most `most` filters, each at most `timeout` without being polled.
    pub(crate) fn new(most: usize, timeout: Duration) -> Self {
        Self { installed: Mutex::default(), most, timeout, ids: IdSource::default() }
    }

    /// Installs a filter that reports what happens from now on, and returns its id.
    pub(crate) fn install(&self, log: &FilterLog, kind: FilterKind) -> Result<U256, RpcError> {
        let mut installed = self.installed.lock();
        Self::expire(&mut installed, log, self.timeout);
        if installed.len() >= self.most {
            return Err(RpcError::server(format!("too many filters: at most {} can be installed", self.most)));
        }
        let id = self.ids.next();
        log.add_reader(&kind);
        let place = log.end(&kind);
        installed.insert(id, Filter { kind, place, polled: Instant::now() });
        Ok(id)
    }

    /// Uninstalls a filter; tells whether it was there.
    pub(crate) fn uninstall(&self, log: &FilterLog, id: U256) -> bool {
        let removed = self.installed.lock().remove(&id);
        if let Some(filter) = &removed {
            log.remove_reader(&filter.kind);
        }
        removed.is_some()
    }

    /// Returns what happened since the last poll.
    pub(crate) fn poll(&self, log: &FilterLog, id: U256) -> Result<Changes, RpcError> {
        let mut installed = self.installed.lock();
        Self::expire(&mut installed, log, self.timeout);
        let filter = installed.get_mut(&id).ok_or_else(RpcError::filter_not_found)?;
        let changes = match &filter.kind {
            FilterKind::Blocks => log.blocks.lock().since(filter.place).map(Changes::Blocks),
            FilterKind::Logs(query) => {
                log.blocks.lock().since(filter.place).map(|blocks| Changes::Logs(blocks, Arc::clone(query)))
            }
            FilterKind::Transactions(form) => {
                log.transactions.lock().since(filter.place).map(|found| Changes::Transactions(found, *form))
            }
        };
        let Some(changes) = changes else {
            let filter = installed.remove(&id).expect("it was found above");
            log.remove_reader(&filter.kind);
            return Err(RpcError::filter_not_found());
        };
        let count = match &changes {
            Changes::Blocks(blocks) | Changes::Logs(blocks, _) => blocks.len(),
            Changes::Transactions(transactions, _) => transactions.len(),
        };
        filter.place += u64::try_from(count).expect("a length fits 64 bits");
        filter.polled = Instant::now();
        Ok(changes)
    }

    /// Returns the query of a log filter.
    pub(crate) fn log_query(&self, id: U256) -> Result<Arc<LogQuery>, RpcError> {
        let mut installed = self.installed.lock();
        match installed.get_mut(&id) {
            Some(Filter { kind: FilterKind::Logs(query), polled, .. }) => {
                *polled = Instant::now();
                Ok(Arc::clone(query))
            }
            _ => Err(RpcError::filter_not_found()),
        }
    }

    fn expire(installed: &mut HashMap<U256, Filter>, log: &FilterLog, timeout: Duration) {
        installed.retain(|_, filter| {
            let alive = filter.polled.elapsed() < timeout;
            if !alive {
                log.remove_reader(&filter.kind);
            }
            alive
        });
    }
}

/// Makes ids of 128 bits that others cannot guess: whoever knows a filter's id can empty it.
#[derive(Debug, Default)]
pub(crate) struct IdSource {
    keys: [RandomState; 2],
    next: AtomicUsize,
}

impl IdSource {
    /// Returns an id that was not returned before.
    pub(crate) fn next(&self) -> U256 {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let halves = self.keys.each_ref().map(|key| key.hash_one(count));
        U256::from_limbs([halves[0], halves[1], 0, 0])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloy_consensus::{SignableTransaction, TxLegacy};
    use alloy_primitives::{Address, Signature};

    fn transaction(nonce: u64) -> RecoveredTransaction {
        let tx = TxLegacy { nonce, ..Default::default() }.into_signed(Signature::test_signature());
        RecoveredTransaction::with_sender(consensus::Transaction::Legacy(tx), Address::ZERO)
    }

    fn block(number: u64) -> Arc<RecoveredBlock> {
        let header = consensus::Header { number, ..Default::default() };
        Arc::new(RecoveredBlock {
            header: consensus::SealedHeader::new(header),
            transactions: vec![],
            ommers: vec![],
            withdrawals: None,
            witness: None,
        })
    }

    fn count(changes: Result<Changes, RpcError>) -> usize {
        match changes.map_err(|error| error.message).unwrap() {
            Changes::Blocks(blocks) | Changes::Logs(blocks, _) => blocks.len(),
            Changes::Transactions(transactions, _) => transactions.len(),
        }
    }

    #[test]
    fn a_filter_reports_each_change_once() {
        let (log, filters) = (FilterLog::default(), Filters::new(10, Duration::from_secs(60)));
        log.record_head(&[block(1)], None);
        let blocks = filters.install(&log, FilterKind::Blocks).unwrap();
        let transactions = filters.install(&log, FilterKind::Transactions(Transactions::Hashes)).unwrap();
        assert_eq!(count(filters.poll(&log, blocks)), 0);
        log.record_head(&[block(2), block(3)], None);
        log.record_transaction(&transaction(0));
        assert_eq!(count(filters.poll(&log, blocks)), 2);
        assert_eq!(count(filters.poll(&log, blocks)), 0);
        assert_eq!(count(filters.poll(&log, transactions)), 1);
        let moved = Reorganisation { ancestor: 1, dropped: vec![(block(3), Arc::default())] };
        log.record_head(&[block(4)], Some(&moved));
        assert_eq!(count(filters.poll(&log, blocks)), 2);
    }

    #[test]
    fn a_filter_that_is_gone_is_not_found() {
        let (log, filters) = (FilterLog::default(), Filters::new(1, Duration::from_secs(60)));
        let id = filters.install(&log, FilterKind::Blocks).unwrap();
        assert!(filters.install(&log, FilterKind::Blocks).is_err());
        assert!(filters.uninstall(&log, id));
        assert!(!filters.uninstall(&log, id));
        assert_eq!(filters.poll(&log, id).err(), Some(RpcError::filter_not_found()));
        assert_eq!(filters.log_query(id), Err(RpcError::filter_not_found()));
        assert!(filters.install(&log, FilterKind::Blocks).is_ok());
    }

    #[test]
    fn a_filter_that_is_not_polled_expires() {
        let (log, filters) = (FilterLog::default(), Filters::new(1, Duration::ZERO));
        let id = filters.install(&log, FilterKind::Blocks).unwrap();
        assert_eq!(filters.poll(&log, id).err(), Some(RpcError::filter_not_found()));
        assert_eq!(log.block_readers.load(Ordering::Acquire), 0);
    }

    #[test]
    fn a_filter_that_falls_too_far_behind_is_gone() {
        let (log, filters) = (FilterLog::default(), Filters::new(2, Duration::from_secs(60)));
        let id = filters.install(&log, FilterKind::Transactions(Transactions::Full)).unwrap();
        for nonce in 0..=u64::try_from(TRANSACTIONS_KEPT).unwrap() {
            log.record_transaction(&transaction(nonce));
        }
        assert_eq!(filters.poll(&log, id).err(), Some(RpcError::filter_not_found()));
        assert!(log.transactions.lock().entries.is_empty());
    }

    #[test]
    fn ids_are_not_in_sequence() {
        let ids = IdSource::default();
        let (a, b) = (ids.next(), ids.next());
        assert!(a.abs_diff(b) > U256::from(1000));
    }
}
