//! What the nodes agree on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use bench::Failure;
use serde_json::{Value, json};

use crate::partitions::nodes::{NODES, Nodes};
use bench::ipc::{Ipc, quantity};

/// How far apart heads may be that are of one branch: blocks travel while the nodes are asked.
const SPREAD_MAX: u64 = 2;
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// What was seen of the nodes.
#[derive(Default)]
pub(crate) struct Watch {
    /// Number ⇒ hash of each finalized block ⇒ the nodes that have it.
    finalized: BTreeMap<u64, BTreeMap<String, BTreeSet<usize>>>,
}

fn block(ipc: &mut Ipc, tag: &str) -> Result<(u64, String), Failure> {
    let header = ipc.call("eth_getHeaderByNumber", json!([tag]))?;
    let hash = header["hash"].as_str().ok_or_else(|| format!("no block {tag}"))?;
    Ok((quantity(&header["number"])?, hash.to_owned()))
}

impl Watch {
    /// Looks at all nodes that run, and notes their finalized blocks; returns their heads.
    fn look(&mut self, nodes: &Nodes) -> Result<Vec<(usize, u64, String)>, Failure> {
        let mut heads = Vec::new();
        for node in (0..NODES).filter(|node| nodes.is_running(*node)) {
            let Ok(mut ipc) = Ipc::connect(&nodes.socket(node)) else { continue };
            let (number, hash) = block(&mut ipc, "latest")?;
            heads.push((node, number, hash));
            let (number, hash) = block(&mut ipc, "finalized")?;
            self.finalized.entry(number).or_default().entry(hash).or_default().insert(node);
        }
        Ok(heads)
    }

    /// Looks at the nodes for a while, and returns how many blocks the longest of different branches had.
    pub(crate) fn look_for(&mut self, nodes: &Nodes, time: Duration) -> Result<u64, Failure> {
        let begun = Instant::now();
        let first = self.look(nodes)?.iter().map(|(_, number, _)| *number).min().unwrap_or(0);
        let mut highest = first;
        while begun.elapsed() < time {
            highest = self.look(nodes)?.iter().map(|(_, number, _)| *number).max().unwrap_or(highest).max(highest);
            std::thread::sleep(PAUSE);
        }
        Ok(highest.saturating_sub(first))
    }

    /// Waits until all nodes have one branch that is `grown` blocks longer than any was before; returns its head's number.
    pub(crate) fn wait_one_head(&mut self, nodes: &Nodes, grown: u64, limit: Duration) -> Result<u64, String> {
        let begun = Instant::now();
        let text = |error: Failure| error.to_string();
        let before = self.look(nodes).map_err(text)?.iter().map(|(_, number, _)| *number).max().unwrap_or(0);
        let mut last = String::new();
        while begun.elapsed() < limit {
            let heads = self.look(nodes).map_err(text)?;
            let (least, most) = (
                heads.iter().map(|head| head.1).min().unwrap_or(0),
                heads.iter().map(|head| head.1).max().unwrap_or(0),
            );
            last = heads
                .iter()
                .map(|(node, number, hash)| format!("node{} {number} {:.10}", node + 1, hash))
                .collect::<Vec<_>>()
                .join(", ");
            if heads.len() == NODES
                && least >= before + grown
                && most - least <= SPREAD_MAX
                && one_hash(nodes, least).map_err(text)?
            {
                return Ok(least);
            }
            std::thread::sleep(PAUSE);
        }
        Err(format!("no one head within {limit:?}: {last}"))
    }

    /// Waits until every acknowledged transaction is on every node's chain; returns those that are not.
    pub(crate) fn lost(&self, nodes: &Nodes, acknowledged: &[B256], limit: Duration) -> Result<Vec<String>, Failure> {
        let begun = Instant::now();
        let mut problems = Vec::new();
        for node in 0..NODES {
            let mut ipc = Ipc::connect(&nodes.socket(node))?;
            let mut missing: Vec<B256> = acknowledged.to_vec();
            loop {
                let mut still = Vec::new();
                for hash in missing {
                    if ipc.call("eth_getTransactionReceipt", json!([hash]))? == Value::Null {
                        still.push(hash);
                    }
                }
                missing = still;
                if missing.is_empty() || begun.elapsed() > limit {
                    break;
                }
                std::thread::sleep(PAUSE);
            }
            for hash in missing {
                problems.push(format!("node{} has no receipt of the acknowledged transaction {hash}", node + 1));
            }
        }
        Ok(problems)
    }

    /// Returns the numbers at which two nodes have had different finalized blocks.
    pub(crate) fn conflicts(&self) -> Vec<String> {
        let conflicts = self.finalized.iter().filter(|(_, hashes)| hashes.len() > 1);
        conflicts.map(|(number, hashes)| format!("finalized block {number} differs: {hashes:?}")).collect()
    }

    /// Returns how many finalized blocks were seen by at least two nodes.
    pub(crate) fn finalized_count(&self) -> usize {
        self.finalized.values().filter(|hashes| hashes.values().flatten().count() > 1).count()
    }
}

/// Tells whether all nodes have the same block at a number.
fn one_hash(nodes: &Nodes, number: u64) -> Result<bool, Failure> {
    let mut hashes = BTreeSet::new();
    for node in 0..NODES {
        let mut ipc = Ipc::connect(&nodes.socket(node))?;
        let header = ipc.call("eth_getHeaderByNumber", json!([format!("{number:#x}")]))?;
        hashes.insert(header["hash"].to_string());
    }
    Ok(hashes.len() == 1)
}
