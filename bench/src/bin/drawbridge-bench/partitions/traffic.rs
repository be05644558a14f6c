//! The load: an account at each node sends transfers to it, as long as the node answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use bench::Failure;
use bench::accounts::{Account, Terms, ether_transfer};
use serde_json::json;

use crate::partitions::nodes::{NODES, Nodes};
use bench::ipc::{Ipc, quantity};

/// The pause between two transfers of one account.
const PAUSE: Duration = Duration::from_millis(100);
/// The pause before a node that does not answer is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// The most that is paid for a unit of gas.
const FEE_WEI: u128 = 50_000_000_000;

/// The accounts.
pub(crate) struct Traffic {
    accounts: Vec<Account>,
}

/// What was sent.
#[derive(Default)]
pub(crate) struct Sent {
    pub(crate) acknowledged: Vec<B256>,
    pub(crate) problems: Vec<String>,
}

/// A load that is under way.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Sent>>,
}

impl Traffic {
    /// Makes one account for each node.
    pub(crate) fn new(seed: u64) -> Self {
        Self { accounts: (0..NODES as u64).map(|index| Account::numbered(seed, index)).collect() }
    }

    /// Returns the accounts, which need ether.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.accounts.iter().map(|account| account.address).collect()
    }

    /// Begins to send.
    pub(crate) fn begin(&mut self, nodes: &Nodes) -> Result<Load, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let chain_id = quantity(&Ipc::connect(&nodes.socket(0))?.call("eth_chainId", json!([]))?)?;
        let terms = Terms { chain_id, fee_per_gas_wei: FEE_WEI };
        let threads = self.accounts.iter().cloned().enumerate().map(|(node, account)| {
            let (socket, stop) = (nodes.socket(node), Arc::clone(&stop));
            std::thread::spawn(move || send(account, terms, &socket, &stop))
        });
        Ok(Load { stop: Arc::clone(&stop), threads: threads.collect() })
    }
}

impl Load {
    /// Ends the load, and returns what was acknowledged.
    pub(crate) fn end(self) -> Sent {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Sent::default();
        for thread in self.threads {
            match thread.join() {
                Ok(sent) => {
                    all.acknowledged.extend(sent.acknowledged);
                    all.problems.extend(sent.problems);
                }
                Err(_) => all.problems.push("a sending thread panicked".to_owned()),
            }
        }
        all
    }
}

fn send(mut account: Account, terms: Terms, socket: &std::path::Path, stop: &AtomicBool) -> Sent {
    let mut sent = Sent::default();
    let mut connection: Option<Ipc> = None;
    let mut number: u8 = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(ipc) = connection.as_mut() else {
            connection = Ipc::connect(socket).ok();
            if connection.is_none() {
                std::thread::sleep(RETRY);
            }
            continue;
        };
        number = number.wrapping_add(1);
        let before = account.nonce;
        let raw = account.sign_raw(&terms, &ether_transfer(Address::repeat_byte(number | 1), 1));
        match ipc.try_call("eth_sendRawTransaction", json!([raw.hex])) {
            Ok(Ok(_)) => sent.acknowledged.push(raw.hash),
            // An answer that was lost with the node that gave it.
            Ok(Err(problem)) if problem == "already known" || problem.starts_with("nonce too low") => {}
            Ok(Err(problem)) if problem.contains("txpool is full") || problem.contains("account limit") => {
                account.nonce = before;
                std::thread::sleep(RETRY);
            }
            Ok(Err(problem)) => {
                sent.problems.push(format!("transaction {}: {problem}", raw.hash));
                return sent;
            }
            Err(_) => {
                account.nonce = before;
                connection = None;
            }
        }
        std::thread::sleep(PAUSE);
    }
    sent
}
