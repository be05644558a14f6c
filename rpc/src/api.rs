//! What all methods share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use alloy_primitives::{Address, B256};
use chain::{ChainView, Pool};
use consensus::Header;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::block_id::BlockTag;
use crate::config::{RpcConfig, RpcLimits};
use crate::deadline::{Deadline, Deadlines};
use crate::dev::{Dev, NextBlock};
use crate::errors::RpcError;
use crate::events::Events;
use crate::filters::Filters;
use crate::recent::RecentBlock;
use crate::services::Services;
use crate::switch::Switch;

/// What a method answers: its result as JSON, or an error.
pub(crate) type Answer = Result<Box<RawValue>, RpcError>;

/// Writes a result.
pub(crate) fn reply<T: Serialize + ?Sized>(result: &T) -> Answer {
    to_raw_value(result).map_err(|error| {
        tracing::error!(%error, "a result cannot be written");
        RpcError::internal()
    })
}

/// Holds what the methods work on.
pub(crate) struct Api {
    pub(crate) services: Services,
    pub(crate) limits: RpcLimits,
    pub(crate) allow_unprotected_txs: bool,
    /// Whether this is a dev chain.
    pub(crate) is_dev: bool,
    /// Whether accounts may be unlocked over RPC while others may reach the node.
    allow_insecure_unlock: bool,
    /// Whether HTTP or WebSocket is served.
    pub(crate) serves_network: AtomicBool,
    /// Starts and stops transports; set when the server starts.
    pub(crate) switch: OnceLock<Weak<Switch>>,
    /// The least tip in wei that the pool takes.
    pub(crate) price_limit_wei: Mutex<u128>,
    /// The tip suggested last, and for which head.
    pub(crate) suggested_tip: Mutex<Option<(B256, u128)>>,
    pub(crate) events: Arc<Events>,
    pub(crate) filters: Filters,
    /// What the methods of development chains share; `None`: this is none.
    pub(crate) dev: Option<Dev>,
    sending: [Mutex<()>; SENDING_LOCKS],
    deadlines: Deadlines,
}

/// How many senders can be served at the same time by `eth_sendTransaction`, at most.
const SENDING_LOCKS: usize = 16;

impl Api {
    /// Puts the parts together.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn new(config: &RpcConfig, services: Services) -> std::io::Result<Self> {
        let events = Events::follow(&services.ledger);
        Ok(Self {
            limits: config.limits.clone(),
            allow_unprotected_txs: config.allow_unprotected_txs,
            allow_insecure_unlock: config.allow_insecure_unlock,
            serves_network: AtomicBool::new(config.http.is_some() || config.ws.is_some()),
            switch: OnceLock::new(),
            is_dev: config.dev,
            price_limit_wei: Mutex::new(config.price_limit_wei),
            suggested_tip: Mutex::new(None),
            filters: Filters::new(config.limits.filters, config.limits.filter_timeout),
            sending: std::array::from_fn(|_| Mutex::new(())),
            dev: services.dev.clone().map(Dev::new),
            events,
            services,
            deadlines: Deadlines::start()?,
        })
    }

    /// Returns the chain as it is now.
    pub(crate) fn view(&self) -> Arc<ChainView> {
        self.services.ledger.view()
    }

    /// Returns a block of any known branch.
    pub(crate) fn block(&self, view: &ChainView, hash: B256) -> Result<Option<Arc<RecentBlock>>, RpcError> {
        Ok(self.events.recent.by_hash(view, hash)?)
    }

    /// Returns the canonical block that a tag names; the pending one is the head.
    pub(crate) fn block_at(&self, view: &ChainView, tag: BlockTag) -> Result<Option<Arc<RecentBlock>>, RpcError> {
        Ok(self.events.recent.by_number(view, tag.number(view))?)
    }

    /// Tells whether accounts may be unlocked over RPC.
    pub(crate) fn allows_unlock(&self) -> bool {
        self.allow_insecure_unlock || !self.serves_network.load(Ordering::Relaxed)
    }

    /// Returns what starts and stops transports, as long as the server runs.
    pub(crate) fn switch(&self) -> Result<Arc<Switch>, RpcError> {
        self.switch.get().and_then(Weak::upgrade).ok_or_else(|| RpcError::server("the server stops"))
    }

    /// Returns the transaction pool.
    pub(crate) fn pool(&self) -> &Pool {
        self.services.ledger.pool()
    }

    /// Returns the time in seconds.
    pub(crate) fn now(&self) -> u64 {
        (self.services.clock)()
    }

    /// Says what a development chain's operator wants of the block after `head`; `None` on other chains.
    pub(crate) fn next_block(&self, head: &Header) -> Option<NextBlock> {
        self.dev.as_ref().map(|dev| dev.chain.terms.next_block(head))
    }

    /// Keeps others from choosing a nonce for `sender` until the guard is dropped.
    pub(crate) fn lock_sender(&self, sender: Address) -> MutexGuard<'_, ()> {
        self.sending[usize::from(sender[19]) % SENDING_LOCKS].lock()
    }

    /// Starts a deadline after `limit`.
    pub(crate) fn deadline(&self, limit: Duration) -> Deadline {
        self.deadlines.after(limit)
    }
}
