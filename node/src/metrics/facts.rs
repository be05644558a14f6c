//! What is counted as it happens, on the ledger's thread: additions, nothing that waits.

use std::sync::atomic::{AtomicU64, Ordering};

use chain::Fact;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// What the ledger has told since the start.
pub(super) struct FactCounts {
    pub(super) blocks: AtomicU64,
    pub(super) transactions: AtomicU64,
    pub(super) gas: AtomicU64,
    pub(super) reorganisations: AtomicU64,
    pub(super) dropped_blocks: AtomicU64,
    pub(super) last_depth: AtomicU64,
    pub(super) pool_added: AtomicU64,
    pub(super) pool_dropped: AtomicU64,
    depth: Histogram,
    block_gas: Histogram,
}

impl FactCounts {
    /// Makes the counts; the histograms are written by the registry itself.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let depth = Histogram::new([1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 20.0, 32.0, 64.0]);
        let block_gas = Histogram::new((0..12).map(|step| 21_000.0 * f64::from(2_u32.pow(step))));
        registry.register_with_unit(
            "drawbridge_reorganisation_depth",
            "How many blocks left the canonical chain at a time",
            Unit::Other("blocks".to_owned()),
            depth.clone(),
        );
        registry.register_with_unit(
            "drawbridge_block_used",
            "Gas used by the blocks that became canonical",
            Unit::Other("gas".to_owned()),
            block_gas.clone(),
        );
        Self {
            blocks: AtomicU64::new(0),
            transactions: AtomicU64::new(0),
            gas: AtomicU64::new(0),
            reorganisations: AtomicU64::new(0),
            dropped_blocks: AtomicU64::new(0),
            last_depth: AtomicU64::new(0),
            pool_added: AtomicU64::new(0),
            pool_dropped: AtomicU64::new(0),
            depth,
            block_gas,
        }
    }

    /// Counts a fact.
    pub(super) fn count(&self, fact: &Fact) {
        match fact {
            Fact::NewHead { added, reorganisation, .. } => {
                for block in added {
                    add(&self.blocks, 1);
                    add(&self.transactions, u64::try_from(block.transactions.len()).unwrap_or(u64::MAX));
                    add(&self.gas, block.header.gas_used);
                    self.block_gas.observe(float(block.header.gas_used));
                }
                if let Some(moved) = reorganisation {
                    let depth = u64::try_from(moved.dropped.len()).unwrap_or(u64::MAX);
                    add(&self.reorganisations, 1);
                    add(&self.dropped_blocks, depth);
                    self.last_depth.store(depth, Ordering::Relaxed);
                    self.depth.observe(float(depth));
                }
            }
            Fact::NewTransaction(_) => add(&self.pool_added, 1),
            Fact::DroppedTransaction { .. } => add(&self.pool_dropped, 1),
            Fact::JournalFailed { .. } | Fact::Failed(_) => {}
        }
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Returns the nearest number that Prometheus can hold: exact below 2^53.
#[allow(clippy::cast_precision_loss)]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}
