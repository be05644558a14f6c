//! A full block through a line of nodes: the time from the head of the node that mines it to that of the last one.

use std::path::Path;
use std::time::Duration;

use alloy_primitives::Address;
use bench::Failure;
use bench::accounts::{Account, ether_transfer};
use bench::ipc::quantity;
use bench::networked::chain::{self, SENDERS};
use bench::networked::{Node, between, time_of};
use bench::summary::{median, millis, percentile};
use serde_json::json;

/// How long transactions and blocks may take through the line.
const TRAVEL_MAX: Duration = Duration::from_secs(60);

/// Measures the line.
pub(crate) fn measure(program: &Path, folder: &Path, count: usize, blocks: u64, transfers: u64) -> Result<(), Failure> {
    let mut senders = chain::senders();
    let chain_file = folder.join("chain.json");
    std::fs::write(&chain_file, chain::chain_file(&senders, "never")?)?;
    let mut nodes: Vec<Node> = Vec::new();
    for index in 0..count {
        let before = nodes.last().map(Node::address).transpose()?;
        let datadir = folder.join(format!("line-{index}"));
        let miner = format!("{}", Address::repeat_byte(0xbe));
        let pool = ["--txpool.globalslots", "100000", "--txpool.accountslots", "1000", "--miner.etherbase", &miner];
        let peers: Vec<String> = before.into_iter().collect();
        nodes.push(Node::start(program, &datadir, &chain_file, &peers, &pool)?);
    }
    let (first, last) = (nodes.first().ok_or("no nodes")?, nodes.last().ok_or("no nodes")?);
    let mut hashes = Vec::new();
    for _ in 0..blocks {
        hashes.push(one_block(&nodes, &mut senders, transfers)?);
    }
    let (log_first, log_last) = (first.log()?, last.log()?);
    let mut times = Vec::new();
    for hash in &hashes {
        let begun = time_of(&log_first, &["new head", hash])?;
        let ended = time_of(&log_last, &["new head", hash])?;
        times.push(between(begun, ended));
    }
    println!(
        "{} blocks of {transfers} transfers through a line of {count} nodes: median {:.1} ms, p99 {:.1} ms, to the last node's new head",
        times.len(),
        millis(median(&times)),
        millis(percentile(&times, 0.99))
    );
    nodes.into_iter().try_for_each(Node::stop)
}

/// Fills all pools, lets the first node mine one block, and waits until it is everywhere; returns its hash.
fn one_block(nodes: &[Node], senders: &mut [Account], transfers: u64) -> Result<String, Failure> {
    let mut first = nodes.first().ok_or("no nodes")?.ipc()?;
    let before = quantity(&first.call("eth_blockNumber", json!([]))?)?;
    let each = transfers.div_ceil(SENDERS);
    let order = ether_transfer(Address::repeat_byte(0x77), 1);
    let mut left = transfers;
    for sender in senders.iter_mut() {
        for _ in 0..each.min(left) {
            let raw = sender.sign_raw(&chain::terms(), &order);
            first.call("eth_sendRawTransaction", json!([raw.hex]))?;
            left -= 1;
        }
    }
    for node in nodes {
        node.wait("the transactions", TRAVEL_MAX, |ipc| {
            Ok(quantity(&ipc.call("txpool_status", json!([]))?["pending"])? >= transfers)
        })?;
    }
    first.call("miner_start", json!([1]))?;
    for node in nodes {
        node.wait("the block", TRAVEL_MAX, |ipc| Ok(quantity(&ipc.call("eth_blockNumber", json!([]))?)? > before))?;
    }
    first.call("miner_stop", json!([]))?;
    let header = first.call("eth_getHeaderByNumber", json!([format!("{:#x}", before + 1)]))?;
    let hash = header["hash"].as_str().ok_or("no hash")?.to_owned();
    let left = quantity(&first.call("txpool_status", json!([]))?["pending"])?;
    if left == 0 { Ok(hash) } else { Err(format!("{left} of {transfers} transfers are not in the block").into()) }
}
