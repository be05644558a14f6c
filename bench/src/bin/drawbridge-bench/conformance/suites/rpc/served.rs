//! A node of one chain: its ledger, keystore and miner, and the JSON-RPC server on a free port.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Bytes;
use bench::client::{Client, Endpoint};
use chain::TransactionOrder;
use node::keystore::{KdfStrength, Keystore};
use node::miner::{Miner, Pace, Settings, Time};
use node::run::{KeystoreSigner, MinerSwitch};
use rpc::{HttpConfig, Operation, RpcConfig, RpcHandle, Services};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::super::chain::{Chain, ServedChain};
use crate::conformance::stores::Stores;

/// Serves one chain until it is dropped.
pub(super) struct ServedNode {
    chain: Chain,
    miner: Miner,
    server: Option<RpcHandle>,
    runtime: Runtime,
    endpoint: Endpoint,
    _keys: TempDir,
}

impl ServedNode {
    /// Imports the chain in `folder` and serves it.
    ///
    /// # Errors
    /// The chain cannot be imported, or the system gives no port.
    pub(super) fn start(served: &ServedChain, folder: &Path, stores: &Stores) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let chain = Chain::open(folder, &json!({ "seal": served.seal }), stores)?;
        chain.import(&folder.join(served.blocks))?;
        let ledger = chain.ledger.clone();
        let keys = tempfile::tempdir().map_err(|error| text(&error))?;
        let keystore = Arc::new(Keystore::open(keys.path(), KdfStrength::Light));
        let stopped = Box::new(|_: &chain::ImportError| {});
        let time = Time::System(node::run::now_seconds);
        let miner = Miner::spawn(ledger.clone(), Arc::clone(&keystore), settings(), time, stopped)
            .map_err(|error| text(&error))?;
        // The next block of the recorded node came twelve seconds later; the clock stands, so that answers are the same each time.
        let now = ledger.view().head().timestamp.saturating_add(12);
        let services = Services {
            network_id: ledger.view().spec().chain_id,
            ledger,
            signer: Arc::new(KeystoreSigner(keystore)),
            miner: Arc::new(MinerSwitch(miner.clone())),
            clock: Arc::new(move || now),
            client_version: "Drawbridge/conformance".to_owned(),
            operation: Operation::alone(folder.to_owned()),
            dev: None,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| text(&error))?;
        let server = runtime.block_on(rpc::serve(config(), services)).map_err(|error| text(&error))?;
        let address = server.http_addr.ok_or("HTTP is off")?;
        let endpoint = Endpoint::parse(&format!("http://{address}")).map_err(|error| text(&error))?;
        Ok(Self { chain, miner, server: Some(server), runtime, endpoint, _keys: keys })
    }

    /// Sends a request and returns the whole response.
    ///
    /// # Errors
    /// The connection failed, or the answer is no JSON.
    pub(super) fn ask(&self, request: &str) -> Result<Value, String> {
        let mut client = Client::connect(&self.endpoint).map_err(|error| error.to_string())?;
        let answer = client.send_framed(&self.endpoint.frame(request)).map_err(|error| error.to_string())?;
        serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))
    }
}

impl Drop for ServedNode {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
        self.miner.shut_down();
        // The store goes with this node: what it could not bring to the disk is not missed.
        let _ = self.chain.ledger.shut_down();
    }
}

/// All namespaces over HTTP on a free port.
fn config() -> RpcConfig {
    let api = rpc::namespaces().into_iter().map(str::to_owned).collect();
    let http = HttpConfig { port: 0, api, ..HttpConfig::default() };
    RpcConfig { http: Some(http), allow_unprotected_txs: true, ..RpcConfig::default() }
}

/// A miner that nobody starts.
fn settings() -> Settings {
    Settings {
        threads: 1,
        etherbase: None,
        extra_data: Bytes::new(),
        gas_limit: 30_000_000,
        order: TransactionOrder::Arrival,
        min_tip_wei: 0,
        cpu_percent: 100,
        recommit: Duration::from_secs(1),
        pace: Pace::OnDemand,
    }
}
