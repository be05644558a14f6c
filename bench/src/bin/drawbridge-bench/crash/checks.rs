//! What was served before the faults, and whether it is still there.

use std::time::Instant;

use alloy_primitives::B256;
use bench::client::{Client, ClientError, quantity};
use bench::load::head_number;
use bench::random::Random;
use serde_json::{Value, json};

/// How many older receipts are looked at in each cycle, beside those of the last one.
const OLDER: usize = 200;
/// How many requests go into one batch.
const BATCH: usize = 100;

/// A receipt that was served: the transaction and its block, and when.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) hash: B256,
    pub(crate) block_number: u64,
    pub(crate) block_hash: Value,
    pub(crate) at: Instant,
}

/// Remembers all receipts that were served, in the order of the cycles.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) receipts: Vec<Served>,
    /// Transactions that were acknowledged in the last cycle.
    last_acknowledged: Vec<B256>,
    /// Where the receipts of the last cycle begin.
    last_begin: usize,
}

/// What a check found.
#[derive(Default)]
pub(crate) struct Check {
    pub(crate) head: u64,
    pub(crate) checked: usize,
    /// Receipts that are no longer there.
    pub(crate) lost: Vec<Served>,
    pub(crate) problems: Vec<String>,
}

impl Ledger {
    /// Takes what a cycle served, and returns how many receipts that were.
    pub(crate) fn remember(&mut self, receipts: Vec<Served>, acknowledged: Vec<B256>) -> usize {
        self.last_begin = self.receipts.len();
        self.last_acknowledged = acknowledged;
        let served = receipts.len();
        self.receipts.extend(receipts);
        served
    }

    /// Forgets receipts that may be lost.
    pub(crate) fn forget(&mut self, lost: &[Served]) {
        self.receipts.retain(|served| !lost.iter().any(|lost| lost.hash == served.hash));
        self.last_begin = self.last_begin.min(self.receipts.len());
    }

    /// Checks the head, all of the last cycle, and some of those before.
    pub(crate) fn check_recent(&self, client: &mut Client, random: &mut Random) -> Result<Check, ClientError> {
        let mut chosen = self.receipts[self.last_begin..].to_vec();
        if self.last_begin > 0 {
            chosen.extend((0..OLDER).map(|_| self.receipts[random.index(self.last_begin)].clone()));
        }
        check(client, &chosen)
    }

    /// Checks the head and every receipt.
    pub(crate) fn check_all(&self, client: &mut Client) -> Result<Check, ClientError> {
        check(client, &self.receipts)
    }

    /// Checks that transactions which were acknowledged are on the chain or in the pool.
    pub(crate) fn check_acknowledged(&mut self, client: &mut Client) -> Result<Vec<String>, ClientError> {
        let mut problems = Vec::new();
        for part in std::mem::take(&mut self.last_acknowledged).chunks(BATCH) {
            let calls: Vec<_> = part.iter().map(|hash| ("eth_getTransactionByHash", json!([hash]))).collect();
            for (hash, transaction) in part.iter().zip(client.batch(&calls)?) {
                if transaction?.is_null() {
                    problems.push(format!("transaction {hash} was acknowledged and is gone"));
                }
            }
        }
        Ok(problems)
    }
}

impl Check {
    /// Takes each lost receipt for a problem.
    pub(crate) fn into_problems(mut self) -> Vec<String> {
        self.problems.extend(self.lost.iter().map(|served| {
            format!(
                "the receipt of {} in block {} is lost; the head is {}",
                served.hash, served.block_number, self.head
            )
        }));
        self.problems
    }
}

fn check(client: &mut Client, chosen: &[Served]) -> Result<Check, ClientError> {
    let mut check = Check { head: head_number(client)?, checked: chosen.len(), ..Check::default() };
    for part in chosen.chunks(BATCH) {
        let calls: Vec<_> = part.iter().map(|served| ("eth_getTransactionReceipt", json!([served.hash]))).collect();
        for (served, receipt) in part.iter().zip(client.batch(&calls)?) {
            let receipt = receipt?;
            if receipt.is_null() {
                check.lost.push(served.clone());
            } else if receipt.get("blockHash") != Some(&served.block_hash) {
                check.lost.push(served.clone());
                check.problems.push(format!("the receipt of {} is another one: {receipt}", served.hash));
            }
        }
    }
    Ok(check)
}

/// Reads what a receipt says about its block.
pub(crate) fn served(hash: B256, receipt: &Value, at: Instant) -> Result<Served, ClientError> {
    let field = |name: &str| receipt.get(name).cloned().unwrap_or_default();
    Ok(Served { hash, block_number: quantity(&field("blockNumber"))?, block_hash: field("blockHash"), at })
}
