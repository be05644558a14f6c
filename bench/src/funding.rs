//! Before the clock starts: fresh accounts get ether and tokens from the accounts of the mnemonic.

use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, U256};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::Failure;
use crate::accounts::{Account, Order, Raw, Terms, ether_transfer};
use crate::client::{Client, ClientError, quantity, send_raw_body};
use crate::token::{TokenCode, transfer_order};

/// How many accounts of the mnemonic pay for a run.
const SPONSORS: u32 = 10;
/// How many requests go into one batch.
const BATCH: usize = 100;
/// How long transactions may take to be mined, counted from the last one that was.
const MINING_TIME_MAX: Duration = Duration::from_secs(30);
/// After this time without a receipt the node is told to mine (`evm_mine`), where it knows the word: Anvil's instant miner
/// overlooks transactions that arrive while it makes a block, and would never mine them. Other nodes refuse the call.
const NUDGE_AFTER: Duration = Duration::from_millis(20);
/// The pause between two looks for receipts.
const POLL_PAUSE: Duration = Duration::from_millis(2);
/// The highest fee offered, in wei for a unit of gas; accounts with less ether offer less.
const FEE_MAX_WEI: u128 = 1_000_000_000_000;
/// Tokens in existence, and what each account of a run receives.
const SUPPLY: u64 = 1_000_000_000_000_000;
const TOKENS_EACH: u64 = 1_000_000_000;

/// Holds the accounts that pay, and the terms of all transactions.
#[derive(Debug)]
pub struct Sponsors {
    /// The accounts of the mnemonic.
    pub accounts: Vec<Account>,
    /// The terms, the fee as high as the given budget allows.
    pub terms: Terms,
}

impl Sponsors {
    /// Reads chain id, nonces and balances from the node; the fee is what the accounts together can pay for `gas` units.
    ///
    /// # Errors
    /// The node does not answer, or the accounts cannot pay.
    pub fn find(client: &mut Client, mnemonic: &str, gas: u64) -> Result<Self, Failure> {
        let mut accounts = Account::of_mnemonic(mnemonic, SPONSORS)?;
        read_nonces(client, &mut accounts)?;
        let addresses: Vec<_> = accounts.iter().map(|account| account.address).collect();
        let least = balances(client, &addresses)?.into_iter().min().unwrap_or_default();
        let affordable = least * U256::from(SPONSORS * 8 / 10) / U256::from(gas.max(1));
        let fee_per_gas_wei = u128::try_from(affordable).unwrap_or(u128::MAX).min(FEE_MAX_WEI);
        let block = client.call("eth_getBlockByNumber", json!(["latest", false]))?;
        let base_fee = block.get("baseFeePerGas").map_or(Ok(0), quantity)?;
        if fee_per_gas_wei <= u128::from(base_fee) * 2 {
            return Err(format!(
                "the accounts of the mnemonic can pay {fee_per_gas_wei} wei for a unit of gas, too little"
            )
            .into());
        }
        let chain_id = quantity(&client.call("eth_chainId", json!([]))?)?;
        Ok(Self { accounts, terms: Terms { chain_id, fee_per_gas_wei } })
    }

    /// Gives each of `accounts` at least `wei`, and waits until that is mined.
    ///
    /// # Errors
    /// A transfer is refused, or not mined in time.
    pub fn fund(&mut self, client: &mut Client, accounts: &[Account], wei: u128) -> Result<(), Failure> {
        let addresses: Vec<_> = accounts.iter().map(|account| account.address).collect();
        let have = balances(client, &addresses)?;
        let poor = addresses.iter().zip(have).filter(|(_, have)| *have < U256::from(wei));
        let orders: Vec<Order> = poor.map(|(address, _)| ether_transfer(*address, wei)).collect();
        let payers = self.accounts.len();
        let raws: Vec<Raw> = orders
            .iter()
            .enumerate()
            .map(|(index, order)| self.accounts[index % payers].sign_raw(&self.terms, order))
            .collect();
        send_and_wait(client, &raws)
    }

    /// Creates a token, gives some to each of `accounts`, waits until that is mined, and returns the token's address.
    ///
    /// # Errors
    /// A transaction is refused, fails, or is not mined in time.
    pub fn create_token(&mut self, client: &mut Client, accounts: &[Account]) -> Result<Address, Failure> {
        let owner = &mut self.accounts[0];
        let token = owner.address.create(owner.nonce);
        let creation = owner.sign_raw(&self.terms, &TokenCode::read()?.creation_order(U256::from(SUPPLY)));
        send_and_wait(client, &[creation])?;
        let transfers: Vec<_> = accounts
            .iter()
            .map(|account| owner.sign_raw(&self.terms, &transfer_order(token, account.address, TOKENS_EACH)))
            .collect();
        send_and_wait(client, &transfers)?;
        Ok(token)
    }
}

/// Reads the nonces of `accounts`, transactions in the pool counted.
///
/// # Errors
/// The node does not answer.
pub fn read_nonces(client: &mut Client, accounts: &mut [Account]) -> Result<(), ClientError> {
    for part in accounts.chunks_mut(BATCH) {
        let calls: Vec<_> =
            part.iter().map(|account| ("eth_getTransactionCount", json!([account.address, "pending"]))).collect();
        for (account, nonce) in part.iter_mut().zip(client.batch(&calls)?) {
            account.nonce = quantity(&nonce?)?;
        }
    }
    Ok(())
}

fn balances(client: &mut Client, addresses: &[Address]) -> Result<Vec<U256>, Failure> {
    let mut balances = Vec::with_capacity(addresses.len());
    for part in addresses.chunks(BATCH) {
        let calls: Vec<_> = part.iter().map(|address| ("eth_getBalance", json!([address, "latest"]))).collect();
        for balance in client.batch(&calls)? {
            let balance = balance?;
            balances.push(balance.as_str().ok_or("a balance is no text")?.parse()?);
        }
    }
    Ok(balances)
}

/// Signs with each account as many orders as it is given, in parallel.
pub fn sign_all(accounts: &mut [Account], terms: &Terms, orders: Vec<Vec<Order>>) -> Vec<Vec<Raw>> {
    accounts
        .par_iter_mut()
        .zip(orders)
        .map(|(account, orders)| orders.iter().map(|order| account.sign_raw(terms, order)).collect())
        .collect()
}

/// Sends transactions in batches, and waits until all are mined without failing.
///
/// # Errors
/// One is refused, fails, or is not mined in time.
pub fn send_and_wait(client: &mut Client, raws: &[Raw]) -> Result<(), Failure> {
    for part in raws.chunks(BATCH) {
        let calls: Vec<_> = part.iter().map(|raw| ("eth_sendRawTransaction", json!([raw.hex]))).collect();
        for answer in client.batch(&calls)? {
            answer?;
        }
    }
    let hashes: Vec<_> = raws.iter().map(|raw| raw.hash).collect();
    if let Some(hash) = wait_for_all(client, &hashes)? {
        return Err(format!("transaction {hash} is not mined after {MINING_TIME_MAX:?}").into());
    }
    let failed = receipts(client, &hashes)?.into_iter().flatten().filter(|receipt| !succeeded(receipt)).count();
    if failed == 0 { Ok(()) } else { Err(format!("{failed} transactions of the preparation failed").into()) }
}

/// Waits until each of `hashes` has a receipt; returns one that has none after half a minute without progress.
///
/// # Errors
/// The node does not answer.
pub fn wait_for_all(client: &mut Client, hashes: &[B256]) -> Result<Option<B256>, ClientError> {
    for hash in hashes.iter().rev() {
        if !wait_for_receipt(client, hash, POLL_PAUSE)? {
            return Ok(Some(*hash));
        }
    }
    Ok(None)
}

/// Waits until `hash` has a receipt; tells whether it came in time.
fn wait_for_receipt(client: &mut Client, hash: &B256, pause: Duration) -> Result<bool, ClientError> {
    let begun = Instant::now();
    let mut nudged = begun;
    while client.call("eth_getTransactionReceipt", json!([hash]))?.is_null() {
        if begun.elapsed() > MINING_TIME_MAX {
            return Ok(false);
        }
        std::thread::sleep(pause);
        if nudged.elapsed() > NUDGE_AFTER {
            match client.call("evm_mine", json!([])) {
                Ok(_) | Err(ClientError::Node { .. }) => nudged = Instant::now(),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(true)
}

/// Returns the receipts of `hashes`, `None` where there is none.
///
/// # Errors
/// The node does not answer.
pub fn receipts(client: &mut Client, hashes: &[B256]) -> Result<Vec<Option<Value>>, ClientError> {
    let mut receipts = Vec::with_capacity(hashes.len());
    for part in hashes.chunks(BATCH) {
        let calls: Vec<_> = part.iter().map(|hash| ("eth_getTransactionReceipt", json!([hash]))).collect();
        for receipt in client.batch(&calls)? {
            let receipt = receipt?;
            receipts.push((!receipt.is_null()).then_some(receipt));
        }
    }
    Ok(receipts)
}

/// Tells whether a receipt says that the transaction did not fail.
pub fn succeeded(receipt: &Value) -> bool {
    receipt.get("status").and_then(Value::as_str) == Some("0x1")
}

/// Sends one transaction and returns the time until its receipt is there.
///
/// # Errors
/// It is refused, or not mined in time.
pub fn time_to_receipt(client: &mut Client, frame: impl Fn(&str) -> Vec<u8>, raw: &Raw) -> Result<Duration, Failure> {
    /// Short, since it is part of what is measured.
    const PAUSE: Duration = Duration::from_micros(200);
    let request = frame(&send_raw_body(std::slice::from_ref(&raw.hex)));
    let begun = Instant::now();
    let answer = client.send_framed(&request)?;
    if answer.contains("\"error\"") {
        return Err(answer.into());
    }
    if !wait_for_receipt(client, &raw.hash, PAUSE)? {
        return Err(format!("transaction {} is not mined after {MINING_TIME_MAX:?}", raw.hash).into());
    }
    Ok(begun.elapsed())
}
