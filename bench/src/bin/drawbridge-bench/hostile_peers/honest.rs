//! The honest side: a miner, and the node that is attacked, which the miner sends blocks.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use bench::Failure;
use bench::accounts::{Account, ether_transfer};
use bench::ipc::{Ipc, quantity};
use bench::networked::{Node, between, chain, time_of};
use bench::process::free_port;
use consensus::{ChainSpec, Genesis};
use network::p2p::PeerAddress;
use serde_json::{Value, json};

use super::attack::{Heard, Shown, Trust};
use super::metrics;

/// Transfers in a block.
pub(crate) const TRANSFERS: usize = 200;
/// How long transactions and blocks may take from the miner to the node.
const TRAVEL_MAX: Duration = Duration::from_secs(60);

/// The miner and the node.
pub(crate) struct Honest {
    miner: Node,
    target: Node,
    miner_id: String,
    metrics_port: u16,
    genesis: B256,
    spec: Arc<ChainSpec>,
    senders: Vec<Account>,
}

impl Honest {
    /// Starts both; the node calls the miner.
    pub(crate) fn start(program: &Path, folder: &Path) -> Result<Self, Failure> {
        let senders = chain::senders();
        let text = chain::chain_file(&senders, "never")?;
        let chain_file = folder.join("chain.json");
        std::fs::write(&chain_file, &text)?;
        let beneficiary = Address::repeat_byte(0xbe).to_string();
        let miner =
            Node::start(program, &folder.join("miner"), &chain_file, &[], &["--miner.etherbase", &beneficiary])?;
        let metrics_port = free_port()?;
        // Caches that honest blocks fill at once: what is taken later is not theirs.
        let flags = ["--maxpeers", "50", "--metrics", "--metrics.port", &metrics_port.to_string(), "--cache", "8"];
        let target = Node::start(program, &folder.join("target"), &chain_file, &[miner.address()?], &flags)?;
        let address: PeerAddress = miner.address()?.parse()?;
        let genesis = Genesis::parse(&text)?.0;
        let (spec, genesis) = (Arc::new(genesis.spec), genesis.header.hash());
        Ok(Self { miner, target, miner_id: address.peer.to_string(), metrics_port, genesis, spec, senders })
    }

    /// Returns where the node is.
    pub(crate) fn target(&self) -> Result<PeerAddress, Failure> {
        Ok(self.target.address()?.parse()?)
    }

    /// Returns the node's process.
    pub(crate) fn target_id(&self) -> u32 {
        self.target.id()
    }

    /// Returns the hash of the chain's first block.
    pub(crate) fn genesis(&self) -> B256 {
        self.genesis
    }

    /// Returns the rules of the chain.
    pub(crate) fn spec(&self) -> Arc<ChainSpec> {
        Arc::clone(&self.spec)
    }

    /// Returns what tells how many gossip messages have come to the node.
    pub(crate) fn heard(&self) -> Heard {
        let port = self.metrics_port;
        Arc::new(move || metrics::read(port, "drawbridge_gossip_received_total"))
    }

    /// Mines blocks for `time`, at least `least`, and returns how long each took from the miner's new head to the node's.
    pub(crate) fn send_blocks(&mut self, time: Duration, least: usize) -> Result<Vec<Duration>, Failure> {
        let (begun, mut hashes) = (Instant::now(), Vec::new());
        while hashes.len() < least || begun.elapsed() < time {
            hashes.push(self.send_block()?);
        }
        self.wait_logged(&hashes)?;
        let (sent, came) = (self.miner.log()?, self.target.log()?);
        let time = |hash: &String| {
            let texts = ["new head", hash.as_str()];
            Ok(between(time_of(&sent, &texts)?, time_of(&came, &texts)?))
        };
        hashes.iter().map(time).collect()
    }

    /// Waits until both have logged the last of these blocks: they answer with it a moment before.
    fn wait_logged(&self, hashes: &[String]) -> Result<(), Failure> {
        let Some(last) = hashes.last() else { return Ok(()) };
        for node in [&self.miner, &self.target] {
            node.wait("its log", TRAVEL_MAX, |_| Ok(time_of(&node.log()?, &["new head", last]).is_ok()))?;
        }
        Ok(())
    }

    fn send_block(&mut self) -> Result<String, Failure> {
        let mut miner = self.miner.ipc()?;
        let before = quantity(&miner.call("eth_blockNumber", json!([]))?)?;
        let order = ether_transfer(Address::repeat_byte(0x77), 1);
        let senders = self.senders.iter_mut().take(TRANSFERS);
        let signed = senders.map(|sender| json!([sender.sign_raw(&chain::terms(), &order).hex]));
        miner.call_all("eth_sendRawTransaction", signed)?;
        let expected = u64::try_from(TRANSFERS)?;
        self.target.wait("the transactions", TRAVEL_MAX, |ipc| {
            Ok(quantity(&ipc.call("txpool_status", json!([]))?["pending"])? >= expected)
        })?;
        miner.call("miner_start", json!([1]))?;
        self.target
            .wait("the block", TRAVEL_MAX, |ipc| Ok(quantity(&ipc.call("eth_blockNumber", json!([]))?)? > before))?;
        miner.call("miner_stop", json!([]))?;
        let header = miner.call("eth_getHeaderByNumber", json!([format!("{:#x}", before + 1)]))?;
        Ok(header["hash"].as_str().ok_or("no hash")?.to_owned())
    }

    /// Returns what makes the node trust a peer.
    pub(crate) fn trust(&self) -> Trust {
        let socket = self.target.socket();
        Arc::new(move |peer| Ipc::connect(&socket)?.call("admin_addTrustedPeer", json!([peer.to_string()])).map(drop))
    }

    /// Returns what tells how many peers the node says it has.
    pub(crate) fn shown(&self) -> Shown {
        let socket = self.target.socket();
        Arc::new(move || {
            let peers = Ipc::connect(&socket)?.call("admin_peers", json!([]))?;
            Ok(peers.as_array().map_or(0, |peers| peers.iter().filter(|peer| peer["refused"].is_null()).count()))
        })
    }

    /// Checks that the miner is still the node's peer.
    pub(crate) fn check_place(&self) -> Result<(), Failure> {
        let peers = self.target.ipc()?.call("admin_peers", json!([]))?;
        let is_miner = |peer: &Value| peer["id"] == json!(self.miner_id) && peer["refused"].is_null();
        match peers.as_array().is_some_and(|peers| peers.iter().any(is_miner)) {
            true => Ok(()),
            false => Err("the honest peer has lost its place".into()),
        }
    }

    /// Stops both.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.target.stop()?;
        self.miner.stop()
    }
}
