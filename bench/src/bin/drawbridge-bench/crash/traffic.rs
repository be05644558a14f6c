//! The load between two kills: threads that send transfers, token transfers and creations, and note each receipt that is served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, U256};
use bench::Failure;
use bench::accounts::{Account, DEV_MNEMONIC, Order, Raw, Terms, ether_transfer};
use bench::client::{Client, ClientError, Endpoint, quantity};
use bench::funding::{read_nonces, send_and_wait, succeeded};
use bench::random::Random;
use bench::token::{TokenCode, transfer_order};
use serde_json::{Value, json};

use crate::crash::checks::{Served, served};

/// How many threads send, each from an account of its own; one more account creates the token.
const THREADS: u32 = 3;
/// How many transactions go into one batch at most.
const BURST_MAX: u64 = 20;
/// The pause between two looks for receipts.
const POLL_PAUSE: Duration = Duration::from_millis(1);
/// The most that is paid for a unit of gas.
const FEE_WEI: u128 = 50_000_000_000;

/// Makes the load; it goes on from cycle to cycle.
pub(crate) struct Traffic {
    /// How long a transaction may wait for its receipt.
    pub(crate) patience: Duration,
    owner: Account,
    senders: Vec<(Account, Random)>,
    code: TokenCode,
    token: Option<Address>,
}

/// What one thread, or all of them, saw until the node was killed.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) receipts: Vec<Served>,
    pub(crate) acknowledged: Vec<B256>,
    pub(crate) problems: Vec<String>,
}

/// A load that is under way.
pub(crate) struct Running {
    threads: Vec<JoinHandle<Seen>>,
    killed: Arc<AtomicBool>,
}

struct Sender {
    patience: Duration,
    account: Account,
    random: Random,
    terms: Terms,
    token: Address,
    code: TokenCode,
}

impl Traffic {
    pub(crate) fn new(seed: u64) -> Result<Self, Failure> {
        let mut accounts = Account::of_mnemonic(DEV_MNEMONIC, THREADS + 1)?;
        let owner = accounts.pop().ok_or("no account")?;
        let randoms = (1..).map(|number| Random::new(seed.wrapping_mul(1000).wrapping_add(number)));
        let patience = Duration::from_secs(10);
        Ok(Self {
            patience,
            owner,
            senders: accounts.into_iter().zip(randoms).collect(),
            code: TokenCode::read()?,
            token: None,
        })
    }

    /// Makes the next load create a token, as it begins on another chain.
    pub(crate) fn forget(&mut self) {
        self.token = None;
    }

    /// Begins the load on a node that answers. The first time a token is created.
    pub(crate) fn begin(&mut self, endpoint: &Endpoint) -> Result<Running, Failure> {
        let mut client = Client::connect(endpoint)?;
        let chain_id = quantity(&client.call("eth_chainId", json!([]))?)?;
        let terms = Terms { chain_id, fee_per_gas_wei: FEE_WEI };
        let token = match self.token {
            Some(token) => token,
            None => self.create_token(&mut client, &terms)?,
        };
        let killed = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (account, random) in &mut self.senders {
            read_nonces(&mut client, std::slice::from_mut(account))?;
            let random = Random::new(random.number());
            let sender = Sender {
                patience: self.patience,
                account: account.clone(),
                random,
                terms,
                token,
                code: self.code.clone(),
            };
            let connection = Client::connect(endpoint)?;
            let killed = killed.clone();
            threads.push(std::thread::spawn(move || sender.send_until_killed(connection, &killed)));
        }
        Ok(Running { threads, killed })
    }

    fn create_token(&mut self, client: &mut Client, terms: &Terms) -> Result<Address, Failure> {
        read_nonces(client, std::slice::from_mut(&mut self.owner))?;
        let token = self.owner.address.create(self.owner.nonce);
        let mut raws = vec![self.owner.sign_raw(terms, &self.code.creation_order(U256::from(u64::MAX)))];
        for (account, _) in &self.senders {
            raws.push(self.owner.sign_raw(terms, &transfer_order(token, account.address, u64::MAX / 8)));
        }
        send_and_wait(client, &raws)?;
        self.token = Some(token);
        Ok(token)
    }
}

impl Running {
    /// Tells the threads to stop after what they are doing; the node may go on.
    pub(crate) fn stop(&self) {
        self.killed.store(true, Ordering::SeqCst);
    }

    /// Collects what the threads saw; the node must be dead.
    pub(crate) fn end(self) -> Seen {
        self.killed.store(true, Ordering::SeqCst);
        let mut all = Seen::default();
        for thread in self.threads {
            match thread.join() {
                Ok(seen) => {
                    all.receipts.extend(seen.receipts);
                    all.acknowledged.extend(seen.acknowledged);
                    all.problems.extend(seen.problems);
                }
                Err(_) => all.problems.push("a sending thread panicked".to_owned()),
            }
        }
        all
    }
}

impl Sender {
    fn send_until_killed(mut self, mut client: Client, killed: &AtomicBool) -> Seen {
        let mut seen = Seen::default();
        loop {
            match self.burst(&mut client, &mut seen, killed) {
                Ok(()) => {}
                // The connection is gone because the node was killed, or is just being killed.
                Err(ClientError::Connection(_)) => break,
                Err(error) => {
                    seen.problems.push(format!("the load: {error}"));
                    break;
                }
            }
            if killed.load(Ordering::SeqCst) {
                break;
            }
        }
        seen
    }

    /// Sends a few transactions, and waits for their receipts.
    fn burst(&mut self, client: &mut Client, seen: &mut Seen, killed: &AtomicBool) -> Result<(), ClientError> {
        let raws: Vec<Raw> = (0..self.random.between(1, BURST_MAX))
            .map(|_| {
                let order = self.order();
                self.account.sign_raw(&self.terms, &order)
            })
            .collect();
        let calls: Vec<_> = raws.iter().map(|raw| ("eth_sendRawTransaction", json!([raw.hex]))).collect();
        let mut waiting = Vec::new();
        for (raw, answer) in raws.iter().zip(client.batch(&calls)?) {
            answer?;
            seen.acknowledged.push(raw.hash);
            waiting.push(raw.hash);
        }
        let begun = Instant::now();
        while !waiting.is_empty() && !killed.load(Ordering::SeqCst) {
            waiting = self.look(client, waiting, seen)?;
            if begun.elapsed() > self.patience {
                return Err(ClientError::Malformed(format!("no receipt of {} after {:?}", waiting[0], self.patience)));
            }
            if !waiting.is_empty() {
                std::thread::sleep(POLL_PAUSE);
            }
        }
        Ok(())
    }

    /// Looks for receipts once, and returns the transactions that have none yet.
    fn look(&self, client: &mut Client, waiting: Vec<B256>, seen: &mut Seen) -> Result<Vec<B256>, ClientError> {
        let calls: Vec<_> = waiting.iter().map(|hash| ("eth_getTransactionReceipt", json!([hash]))).collect();
        let mut rest = Vec::new();
        for (hash, receipt) in waiting.iter().zip(client.batch(&calls)?) {
            match receipt? {
                Value::Null => rest.push(*hash),
                receipt => {
                    if !succeeded(&receipt) {
                        seen.problems.push(format!("transaction {hash} failed: {receipt}"));
                    }
                    seen.receipts.push(served(*hash, &receipt, Instant::now())?);
                }
            }
        }
        Ok(rest)
    }

    /// Orders a transfer of ether or tokens, or now and then a creation.
    fn order(&mut self) -> Order {
        let to = Address::from_word(self.random.word());
        match self.random.below(20) {
            0 => self.code.creation_order(U256::from(self.random.number())),
            1..=10 => ether_transfer(to, u128::from(self.random.between(1, 1_000_000))),
            _ => transfer_order(self.token, to, self.random.between(1, 1_000_000)),
        }
    }
}
