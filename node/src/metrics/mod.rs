//! Metrics in Prometheus' format: what the node counts, and what it looks up when it is asked.
//!
//! Besu's four `ethereum_*` names are among them, so that its dashboards work; all others begin with `drawbridge_`. What each means
//! stands in its help text.

mod facts;
mod process;
mod scrape;
mod server;

use std::sync::Arc;

use chain::{Fact, LedgerHandle};
use network::p2p::NetworkHandle;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use storage::Store;

use crate::miner::Miner;
pub use server::{MetricsServer, serve};

use facts::FactCounts;
use scrape::Scrape;

/// What is looked up at each scrape.
#[derive(Clone)]
pub struct Sources {
    /// The chain and its pool.
    pub ledger: LedgerHandle,
    /// The database.
    pub store: Arc<dyn Store>,
    /// The miner.
    pub miner: Miner,
    /// The other nodes, where there are any.
    pub network: Option<NetworkHandle>,
    /// The most peers at a time.
    pub peers_max: u64,
    /// The program's version.
    pub version: String,
}

/// Counts, and writes what is counted.
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Begins to count what the ledger tells.
    pub fn new(sources: Sources) -> Self {
        let mut registry = Registry::default();
        let counts = Arc::new(FactCounts::register(&mut registry));
        let for_sink = Arc::clone(&counts);
        sources.ledger.subscribe(Box::new(move |fact: &Fact| for_sink.count(fact)));
        registry.register_collector(Box::new(Scrape { sources, counts }));
        Self { registry }
    }

    /// Returns all metrics as text. Reads the database's sizes: not for the runtime's own threads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}
