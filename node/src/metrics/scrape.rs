//! What is looked up when somebody asks: one line here is one metric.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::U256;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use storage::Table;

use super::Sources;
use super::facts::{FactCounts, float};
use super::process::ProcessFacts;
use crate::run::now_ms;

/// Looks things up at each scrape.
pub(super) struct Scrape {
    pub(super) sources: Sources,
    pub(super) counts: Arc<FactCounts>,
}

impl std::fmt::Debug for Scrape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}

/// Writes metrics one after the other.
struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Page<'_> {
    fn gauge(&mut self, name: &str, help: &str, unit: Option<Unit>, value: f64) -> Result<(), Error> {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?)
    }

    fn count(&mut self, name: &str, help: &str, unit: Option<Unit>, value: u64) -> Result<(), Error> {
        self.gauge(name, help, unit, float(value))
    }

    fn total(&mut self, name: &str, help: &str, unit: Option<Unit>, value: f64) -> Result<(), Error> {
        let counter = ConstCounter::new(value);
        counter.encode(self.encoder.encode_descriptor(name, help, unit.as_ref(), counter.metric_type())?)
    }

    fn counted(&mut self, name: &str, help: &str, unit: Option<Unit>, value: &AtomicU64) -> Result<(), Error> {
        self.total(name, help, unit, float(value.load(Ordering::Relaxed)))
    }

    /// Writes one gauge with a value for each of several labels.
    fn labelled(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        label: &str,
        values: &[(&str, u64)],
    ) -> Result<(), Error> {
        let mut encoder = self.encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for (value, number) in values {
            let labels = [(label, *value)];
            ConstGauge::new(float(*number)).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn unit(name: &str) -> Option<Unit> {
    Some(Unit::Other(name.to_owned()))
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut page = Page { encoder };
        self.standard(&mut page)?;
        self.chain(&mut page)?;
        self.pool(&mut page)?;
        self.miner(&mut page)?;
        self.network(&mut page)?;
        self.database(&mut page)?;
        self.process(&mut page)
    }
}

impl Scrape {
    /// The four names that all Ethereum clients share.
    fn standard(&self, page: &mut Page<'_>) -> Result<(), Error> {
        let head = self.sources.ledger.view().head().number;
        let board = self.sources.network.as_ref().map(|network| network.board());
        let best = board.and_then(|board| board.best_known()).unwrap_or(0).max(head);
        let peers = board.map_or(0, |board| board.peer_count());
        page.count("ethereum_blockchain_height", "The head's number", None, head)?;
        page.count("ethereum_best_known_block_number", "The highest block that the node or a peer has", None, best)?;
        page.gauge("ethereum_peer_count", "Peers that have introduced themselves", None, float(peers as u64))?;
        page.count("ethereum_peer_limit", "The most peers at a time", None, self.sources.peers_max)
    }

    fn chain(&self, page: &mut Page<'_>) -> Result<(), Error> {
        let view = self.sources.ledger.view();
        let (head, counts) = (view.head(), &self.counts);
        page.count("drawbridge_head_number", "The head's number", None, head.number)?;
        page.count(
            "drawbridge_head_timestamp",
            "When the head was mined, since 1970",
            Some(Unit::Seconds),
            head.timestamp,
        )?;
        page.count("drawbridge_head_used", "Gas used by the head", unit("gas"), head.gas_used)?;
        page.count("drawbridge_head_limit", "Gas limit of the head", unit("gas"), head.gas_limit)?;
        let base_fee = head.base_fee_per_gas.unwrap_or(0);
        page.count("drawbridge_head_base_fee", "Base fee of the head, per gas", unit("wei"), base_fee)?;
        page.count("drawbridge_safe_number", "The number of the safe block", None, view.safe_number())?;
        page.count("drawbridge_finalized_number", "The number of the finalized block", None, view.finalized_number())?;
        page.gauge(
            "drawbridge_difficulty",
            "Difficulty of the head: hashes that a block takes",
            unit("hashes"),
            big(head.difficulty),
        )?;
        page.gauge("drawbridge_total_difficulty", "Hashes that the chain took", unit("hashes"), big(view.head_td()))?;
        page.counted(
            "drawbridge_imported",
            "Blocks that became canonical since the start",
            unit("blocks"),
            &counts.blocks,
        )?;
        page.counted("drawbridge_mined_transactions", "Transactions in them", None, &counts.transactions)?;
        page.counted("drawbridge_mined", "Gas used by them", unit("gas"), &counts.gas)?;
        page.counted(
            "drawbridge_reorganisations",
            "Changes of the head that were no mere growth",
            None,
            &counts.reorganisations,
        )?;
        page.counted(
            "drawbridge_dropped",
            "Blocks that left the canonical chain",
            unit("blocks"),
            &counts.dropped_blocks,
        )?;
        let depth = counts.last_depth.load(Ordering::Relaxed);
        page.count(
            "drawbridge_last_reorganisation_depth",
            "How many blocks the last one dropped",
            unit("blocks"),
            depth,
        )
    }

    fn pool(&self, page: &mut Page<'_>) -> Result<(), Error> {
        let status = self.sources.ledger.pool().status();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let kinds = [("pending", count(status.pending)), ("queued", count(status.queued))];
        let help = "Transactions in the pool: executable (pending), and waiting for an earlier nonce (queued)";
        page.labelled("drawbridge_pool_transactions", help, None, "kind", &kinds)?;
        page.count("drawbridge_pool_size", "Memory that they take, roughly", Some(Unit::Bytes), count(status.bytes))?;
        page.counted(
            "drawbridge_pool_added",
            "Transactions that entered the pool since the start",
            None,
            &self.counts.pool_added,
        )?;
        page.counted("drawbridge_pool_dropped", "Transactions that left it unmined", None, &self.counts.pool_dropped)
    }

    fn miner(&self, page: &mut Page<'_>) -> Result<(), Error> {
        let miner = &self.sources.miner;
        page.count("drawbridge_mining", "1 while the node mines", None, u64::from(miner.is_mining()))?;
        page.count("drawbridge_hash_rate", "Seals tried, per second", unit("hashes_per_second"), miner.hash_rate())
    }

    fn network(&self, page: &mut Page<'_>) -> Result<(), Error> {
        let Some(network) = &self.sources.network else {
            // Dashboards ask for these of every node.
            page.count("drawbridge_sync_behind", "How far the node is behind", unit("blocks"), 0)?;
            return page.gauge(
                "drawbridge_clock_offset",
                "The peers' clocks minus ours, the median",
                Some(Unit::Seconds),
                0.0,
            );
        };
        let (board, counters) = (network.board(), &network.board().counters);
        let head = self.sources.ledger.view().head().number;
        let behind = board.behind().map_or(0, |behind| behind.highest.saturating_sub(head));
        let peers = board.peers();
        let inbound = peers.iter().filter(|peer| peer.is_inbound).count() as u64;
        let directions = [("inbound", inbound), ("outbound", peers.len() as u64 - inbound)];
        page.count("drawbridge_sync_behind", "How far the node is behind", unit("blocks"), behind)?;
        let offset = board.clock_offset_ms().unwrap_or(0);
        let offset_s = float(offset.unsigned_abs()) / 1000.0 * if offset < 0 { -1.0 } else { 1.0 };
        page.gauge(
            "drawbridge_clock_offset",
            "The peers' clocks minus ours, the median",
            Some(Unit::Seconds),
            offset_s,
        )?;
        page.labelled("drawbridge_peers", "Peers by who called whom", None, "direction", &directions)?;
        page.count("drawbridge_refused_peers", "Peers refused of late", None, board.refused().len() as u64)?;
        page.counted("drawbridge_gossip_received", "Gossip messages that came", None, &counters.gossip_in)?;
        page.counted("drawbridge_gossip_published", "Gossip messages that we published", None, &counters.gossip_out)?;
        page.counted(
            "drawbridge_gossip_rejected",
            "Gossip messages that were invalid",
            None,
            &counters.gossip_rejected,
        )?;
        page.counted("drawbridge_requests_received", "Requests of peers", None, &counters.requests_in)?;
        page.counted("drawbridge_requests_sent", "Requests to peers", None, &counters.requests_out)?;
        page.counted("drawbridge_requests_failed", "Requests to peers that failed", None, &counters.requests_failed)?;
        page.counted(
            "drawbridge_network_received",
            "Gossip and requests that came",
            Some(Unit::Bytes),
            &counters.bytes_in,
        )?;
        page.counted(
            "drawbridge_network_sent",
            "Gossip and requests that we sent",
            Some(Unit::Bytes),
            &counters.bytes_out,
        )?;
        page.counted("drawbridge_peer_offences", "Offences of peers", None, &counters.offences)?;
        page.counted("drawbridge_peers_parted", "Peers that were cut off", None, &counters.parted)?;
        page.counted("drawbridge_alarms", "Alarms for the operator", None, &counters.alarms)?;
        let micros = counters.import_micros.load(Ordering::Relaxed);
        page.total(
            "drawbridge_execution",
            "Time taken to import peers' blocks",
            Some(Unit::Seconds),
            float(micros) / 1e6,
        )?;
        page.counted(
            "drawbridge_executed",
            "Blocks of peers that were imported",
            unit("blocks"),
            &counters.import_blocks,
        )?;
        page.counted("drawbridge_executed", "Gas used by them", unit("gas"), &counters.import_gas)
    }

    fn database(&self, page: &mut Page<'_>) -> Result<(), Error> {
        let sizes: Vec<_> = Table::ALL
            .into_iter()
            .filter_map(|table| Some((table.name(), self.sources.store.size(table).ok()?)))
            .collect();
        let bytes: Vec<_> = sizes.iter().map(|(name, size)| (*name, size.bytes)).collect();
        let rows: Vec<_> = sizes.iter().map(|(name, size)| (*name, size.rows)).collect();
        page.labelled("drawbridge_database_size", "Size of each table of RocksDB", Some(Unit::Bytes), "table", &bytes)?;
        page.labelled("drawbridge_database_rows", "Rows of each table, estimated", None, "table", &rows)
    }

    fn process(&self, page: &mut Page<'_>) -> Result<(), Error> {
        let facts = ProcessFacts::read();
        page.count("process_resident_memory", "Memory in use", Some(Unit::Bytes), facts.resident_bytes.unwrap_or(0))?;
        page.count("process_open_fds", "Open files and sockets", None, facts.open_files.unwrap_or(0))?;
        page.count("process_max_fds", "How many may be open", None, facts.open_files_max.unwrap_or(0))?;
        page.gauge("drawbridge_clock", "This node's clock, since 1970", Some(Unit::Seconds), float(now_ms()) / 1000.0)?;
        page.labelled("drawbridge_build_info", "The program's version", None, "version", &[(&self.sources.version, 1)])
    }
}

/// Returns the nearest number that Prometheus can hold.
fn big(number: U256) -> f64 {
    f64::from(number)
}
