//! Spreads the ledger's facts to subscriptions and filters.
//!
//! Facts arrive on the ledger's writer thread, which must not wait: they are put into channels, and only where somebody
//! listens.

use std::sync::{Arc, Weak};

use alloy_primitives::B256;
use chain::{ChainView, Fact, LedgerHandle, Reorganisation};
use consensus::{RecoveredBlock, RecoveredTransaction};
use tokio::sync::broadcast;

use crate::explain::DropLog;
use crate::filters::FilterLog;
use crate::recent::RecentBlocks;

/// How many changes of the head a slow subscriber may fall behind before it misses some.
const HEADS_CAPACITY: usize = 1024;
/// How many transactions a slow subscriber may fall behind before it misses some.
const TRANSACTIONS_CAPACITY: usize = 8192;

/// A change of the head.
pub(crate) struct NewHead {
    /// The chain after it.
    pub(crate) view: Arc<ChainView>,
    /// The blocks that became canonical, oldest first.
    pub(crate) added: Vec<Arc<RecoveredBlock>>,
    /// What left the canonical chain.
    pub(crate) reorganisation: Option<Arc<Reorganisation>>,
}

/// The channels.
pub(crate) struct Events {
    /// Changes of the head.
    pub(crate) heads: broadcast::Sender<Arc<NewHead>>,
    /// Transactions that entered the pool.
    pub(crate) transactions: broadcast::Sender<RecoveredTransaction>,
    /// Transactions that left the pool unmined, and why.
    pub(crate) dropped: broadcast::Sender<(B256, String)>,
    /// Why the latest of them left.
    pub(crate) drop_log: DropLog,
    /// The blocks that clients ask for most.
    pub(crate) recent: RecentBlocks,
    /// What installed filters have not seen yet.
    pub(crate) filter_log: FilterLog,
}

impl Events {
    /// Follows a ledger for as long as the result lives.
    pub(crate) fn follow(ledger: &LedgerHandle) -> Arc<Self> {
        let events = Arc::new(Self {
            heads: broadcast::channel(HEADS_CAPACITY).0,
            transactions: broadcast::channel(TRANSACTIONS_CAPACITY).0,
            dropped: broadcast::channel(TRANSACTIONS_CAPACITY).0,
            drop_log: DropLog::default(),
            recent: RecentBlocks::default(),
            filter_log: FilterLog::default(),
        });
        let sink = Arc::downgrade(&events);
        ledger.subscribe(Box::new(move |fact| Self::receive(&sink, fact)));
        events
    }

    fn receive(events: &Weak<Self>, fact: &Fact) {
        let Some(events) = events.upgrade() else { return };
        // Sending fails only where nobody listens any more, which is no loss.
        match fact {
            Fact::NewHead { view, added, reorganisation } => {
                for block in added {
                    events.recent.keep(Arc::clone(block));
                }
                events.filter_log.record_head(added, reorganisation.as_deref());
                if events.heads.receiver_count() > 0 {
                    let (view, added, reorganisation) = (Arc::clone(view), added.clone(), reorganisation.clone());
                    let _ = events.heads.send(Arc::new(NewHead { view, added, reorganisation }));
                }
            }
            Fact::NewTransaction(tx) => {
                events.filter_log.record_transaction(tx);
                if events.transactions.receiver_count() > 0 {
                    let _ = events.transactions.send(tx.clone());
                }
            }
            // The node stops.
            Fact::Failed(_) | Fact::JournalFailed { .. } => {}
            Fact::DroppedTransaction { hash, reason } => {
                events.drop_log.record(*hash, reason.to_string());
                if events.dropped.receiver_count() > 0 {
                    let _ = events.dropped.send((*hash, reason.to_string()));
                }
            }
        }
    }
}
