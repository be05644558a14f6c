//! What was served before the kills, and whether it is still there.

use alloy_primitives::B256;
use bench::client::{Client, ClientError, quantity};
use bench::load::head_number;
use bench::random::Random;
use serde_json::{Value, json};

/// How many older receipts are looked at in each cycle, beside those of the last one.
const OLDER: usize = 200;
/// How many requests go into one batch.
const BATCH: usize = 100;

/// A receipt that was served: the transaction and its block.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) hash: B256,
    pub(crate) block_number: u64,
    pub(crate) block_hash: Value,
}

/// Remembers all receipts that were served, in the order of the cycles.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) receipts: Vec<Served>,
    /// How many receipts are no longer there.
    pub(crate) lost: usize,
    /// How many transactions were acknowledged.
    pub(crate) acknowledged: usize,
    /// Transactions that were acknowledged in the last cycle.
    last_acknowledged: Vec<B256>,
    /// Where the receipts of the last cycle begin.
    last_begin: usize,
}

/// What a check found.
pub(crate) struct Check {
    pub(crate) head: u64,
    pub(crate) checked: usize,
    pub(crate) problems: Vec<String>,
}

impl Ledger {
    /// Takes what a cycle served, and returns how many receipts that were.
    pub(crate) fn remember(&mut self, receipts: Vec<Served>, acknowledged: Vec<B256>) -> usize {
        self.last_begin = self.receipts.len();
        self.acknowledged += acknowledged.len();
        self.last_acknowledged = acknowledged;
        let served = receipts.len();
        self.receipts.extend(receipts);
        served
    }

    /// Checks the head, all of the last cycle, and some of those before.
    pub(crate) fn check_recent(&mut self, client: &mut Client, random: &mut Random) -> Result<Check, ClientError> {
        let mut chosen = self.receipts[self.last_begin..].to_vec();
        if self.last_begin > 0 {
            chosen.extend((0..OLDER).map(|_| self.receipts[random.index(self.last_begin)].clone()));
        }
        let mut check = self.check(client, &chosen)?;
        self.check_acknowledged(client, &mut check)?;
        Ok(check)
    }

    /// Checks the head and every receipt.
    pub(crate) fn check_all(&mut self, client: &mut Client) -> Result<Check, ClientError> {
        let all = self.receipts.clone();
        let mut check = self.check(client, &all)?;
        self.check_acknowledged(client, &mut check)?;
        Ok(check)
    }

    fn check(&mut self, client: &mut Client, chosen: &[Served]) -> Result<Check, ClientError> {
        let head = head_number(client)?;
        let mut problems = Vec::new();
        let newest = chosen.iter().map(|served| served.block_number).max().unwrap_or(0);
        if head < newest {
            problems.push(format!("the head is block {head}, a receipt of block {newest} was served"));
        }
        for part in chosen.chunks(BATCH) {
            let calls: Vec<_> = part.iter().map(|served| ("eth_getTransactionReceipt", json!([served.hash]))).collect();
            for (served, receipt) in part.iter().zip(client.batch(&calls)?) {
                let receipt = receipt?;
                if receipt.get("blockHash") != Some(&served.block_hash) {
                    self.lost += 1;
                    let (hash, number) = (served.hash, served.block_number);
                    problems.push(format!("the receipt of {hash} in block {number} is lost: {receipt}"));
                }
            }
        }
        Ok(Check { head, checked: chosen.len(), problems })
    }

    /// Checks that transactions which were acknowledged are on the chain or in the pool.
    fn check_acknowledged(&mut self, client: &mut Client, check: &mut Check) -> Result<(), ClientError> {
        for part in std::mem::take(&mut self.last_acknowledged).chunks(BATCH) {
            let calls: Vec<_> = part.iter().map(|hash| ("eth_getTransactionByHash", json!([hash]))).collect();
            for (hash, transaction) in part.iter().zip(client.batch(&calls)?) {
                if transaction?.is_null() {
                    check.problems.push(format!("transaction {hash} was acknowledged and is gone"));
                }
            }
        }
        Ok(())
    }
}

/// Reads what a receipt says about its block.
pub(crate) fn served(hash: B256, receipt: &Value) -> Result<Served, ClientError> {
    let field = |name: &str| receipt.get(name).cloned().unwrap_or_default();
    Ok(Served { hash, block_number: quantity(&field("blockNumber"))?, block_hash: field("blockHash") })
}
