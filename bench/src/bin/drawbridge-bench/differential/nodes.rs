//! The two nodes: the same transactions are mined by both, in the same blocks where the other node lets itself be told.

use std::time::{Duration, Instant};

use alloy_primitives::B256;
use bench::Failure;
use bench::accounts::{Account, DEV_MNEMONIC, Raw};
use bench::client::{Client, Endpoint, quantity};
use serde_json::{Value, json};

use crate::differential::case::Terms;
use crate::differential::generate::{Blocks, SENDERS};

/// How long a transaction may take to be mined.
const MINED_TIME_MAX: Duration = Duration::from_secs(30);
/// How often a node is asked whether a transaction is mined.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// A block that both nodes have.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) number: u64,
    pub(crate) transactions: Vec<B256>,
}

/// Both nodes, and who sends.
pub(crate) struct Nodes {
    pub(crate) own: Client,
    pub(crate) other: Client,
    pub(crate) blocks: Blocks,
    pub(crate) senders: Vec<Account>,
    pub(crate) terms: Terms,
    pub(crate) other_name: String,
}

impl Nodes {
    /// Connects to both nodes, which must have the same chain id and the development accounts.
    pub(crate) fn connect(own: &Endpoint, other: &Endpoint) -> Result<Self, Failure> {
        let (mut own, mut other) = (Client::connect(own)?, Client::connect(other)?);
        let chain_id = quantity(&own.call("eth_chainId", json!([]))?)?;
        let theirs = quantity(&other.call("eth_chainId", json!([]))?)?;
        if chain_id != theirs {
            return Err(format!("the other node has chain id {theirs}, this one {chain_id}").into());
        }
        let name = other.call("web3_clientVersion", json!([]))?;
        let other_name = name.as_str().unwrap_or("unknown").to_owned();
        let is_anvil = other_name.to_lowercase().contains("anvil");
        let blocks = if is_anvil { Blocks::Equal } else { Blocks::Own };
        let mut senders = Account::of_mnemonic(DEV_MNEMONIC, u32::try_from(SENDERS)?)?;
        for sender in &mut senders {
            let nonce = |client: &mut Client| -> Result<u64, Failure> {
                Ok(quantity(&client.call("eth_getTransactionCount", json!([sender.address, "latest"]))?)?)
            };
            let (ours, theirs) = (nonce(&mut own)?, nonce(&mut other)?);
            if ours != theirs {
                return Err(format!("{} has nonce {theirs} on the other node, here {ours}", sender.address).into());
            }
            sender.nonce = ours;
        }
        let terms = Terms::new(chain_id, blocks == Blocks::Equal);
        let mut nodes = Self { own, other, blocks, senders, terms, other_name };
        if blocks == Blocks::Equal {
            nodes.own.call("miner_stop", json!([]))?;
            let beneficiary = nodes.own.call("eth_coinbase", json!([]))?;
            nodes.other.call("anvil_setCoinbase", json!([beneficiary]))?;
            nodes.other.call("evm_setAutomine", json!([false]))?;
        }
        Ok(nodes)
    }

    /// Has both nodes mine these transactions, in this order.
    pub(crate) fn mine(&mut self, transactions: &[Raw]) -> Result<Vec<Pair>, Failure> {
        match self.blocks {
            Blocks::Equal => self.mine_together(transactions),
            Blocks::Own => self.mine_one_by_one(transactions),
        }
    }

    /// Lets this node put all of them into a block, and tells the other one to make the same block.
    fn mine_together(&mut self, transactions: &[Raw]) -> Result<Vec<Pair>, Failure> {
        send(&mut self.own, "this node", transactions)?;
        self.own.call("miner_start", json!([1]))?;
        let receipts = wait_for_receipts(&mut self.own, transactions)?;
        self.own.call("miner_stop", json!([]))?;
        let mut pairs: Vec<Pair> = Vec::new();
        for (raw, receipt) in transactions.iter().zip(&receipts) {
            let number = quantity(&receipt["blockNumber"])?;
            match pairs.last_mut() {
                Some(last) if last.number == number => last.transactions.push(raw.hash),
                Some(last) if last.number > number => return Err("this node mines in another order".into()),
                _ => pairs.push(Pair { number, transactions: vec![raw.hash] }),
            }
        }
        let mut rest = transactions;
        for pair in &pairs {
            let (these, later) = rest.split_at(pair.transactions.len());
            rest = later;
            self.repeat_block(pair, these)?;
        }
        Ok(pairs)
    }

    fn repeat_block(&mut self, pair: &Pair, transactions: &[Raw]) -> Result<(), Failure> {
        let block = self.own.call("eth_getBlockByNumber", json!([format!("{:#x}", pair.number), false]))?;
        self.other.call("evm_setNextBlockTimestamp", json!([quantity(&block["timestamp"])?]))?;
        self.other.call("anvil_setNextBlockBaseFeePerGas", json!([block["baseFeePerGas"]]))?;
        send(&mut self.other, "the other node", transactions)?;
        self.other.call("evm_mine", json!([]))?;
        let theirs = self.other.call("eth_getBlockByNumber", json!([format!("{:#x}", pair.number), false]))?;
        if theirs["transactions"] == block["transactions"] {
            return Ok(());
        }
        let problem = format!("block {} has other transactions on the other node: {theirs}", pair.number);
        Err(problem.into())
    }

    fn mine_one_by_one(&mut self, transactions: &[Raw]) -> Result<Vec<Pair>, Failure> {
        let mut pairs = Vec::new();
        for raw in transactions {
            let one = std::slice::from_ref(raw);
            send(&mut self.own, "this node", one)?;
            send(&mut self.other, "the other node", one)?;
            let receipts = wait_for_receipts(&mut self.own, one)?;
            wait_for_receipts(&mut self.other, one)?;
            pairs.push(Pair { number: quantity(&receipts[0]["blockNumber"])?, transactions: vec![raw.hash] });
        }
        Ok(pairs)
    }

    /// Gives senders and beneficiary the balances on the other node that they have here, where it can be told.
    pub(crate) fn align_balances(&mut self) -> Result<(), Failure> {
        if self.blocks == Blocks::Own {
            return Ok(());
        }
        let beneficiary = self.own.call("eth_coinbase", json!([]))?;
        let accounts = self.senders.iter().map(|sender| json!(sender.address)).chain([beneficiary]);
        for account in accounts.collect::<Vec<_>>() {
            let balance = self.own.call("eth_getBalance", json!([account, "latest"]))?;
            self.other.call("anvil_setBalance", json!([account, balance]))?;
        }
        Ok(())
    }

    /// Asks both nodes the same.
    pub(crate) fn ask(&mut self, calls: &[bench::client::Call<'_>]) -> Result<Vec<(Answer, Answer)>, Failure> {
        let text = |result: Result<Value, bench::client::ClientError>| result.map_err(|error| error.to_string());
        let own = self.own.batch(calls)?.into_iter().map(text);
        let other = self.other.batch(calls)?.into_iter().map(text);
        Ok(own.zip(other).collect())
    }
}

/// What a node answers.
pub(crate) type Answer = Result<Value, String>;

fn send(client: &mut Client, who: &str, transactions: &[Raw]) -> Result<(), Failure> {
    let calls: Vec<_> = transactions.iter().map(|raw| ("eth_sendRawTransaction", json!([raw.hex]))).collect();
    for (raw, result) in transactions.iter().zip(client.batch(&calls)?) {
        result.map_err(|error| format!("{who} refuses {}: {error}: {}", raw.hash, raw.hex))?;
    }
    Ok(())
}

fn wait_for_receipts(client: &mut Client, transactions: &[Raw]) -> Result<Vec<Value>, Failure> {
    let calls: Vec<_> = transactions.iter().map(|raw| ("eth_getTransactionReceipt", json!([raw.hash]))).collect();
    let begun = Instant::now();
    loop {
        let receipts = client.batch(&calls)?.into_iter().collect::<Result<Vec<_>, _>>()?;
        if receipts.iter().all(Value::is_object) {
            return Ok(receipts);
        }
        if begun.elapsed() > MINED_TIME_MAX {
            return Err(format!("transactions are not mined within {MINED_TIME_MAX:?}").into());
        }
        // Nodes tell over HTTP only when asked.
        std::thread::sleep(ASK_EVERY);
    }
}
