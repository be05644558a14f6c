//! The end-to-end load: signed transactions go into a node by `eth_sendRawTransaction`, and the clock runs from the first one sent
//! to the last receipt.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Failure;
use crate::accounts::{Account, Order, Raw, ether_transfer};
use crate::client::{Client, ClientError, Endpoint, quantity, send_raw_body};
use crate::funding::{Sponsors, read_nonces, receipts, sign_all, succeeded, time_to_receipt, wait_for_all};
use crate::random::Random;
use crate::summary::{as_f64, millis, percentile};
use crate::token::{TRANSFER_GAS, transfer_order};

/// How many accounts receive; most of them are new to the chain at first.
const RECIPIENTS: u64 = 10_000;
/// How many transactions the latency is sampled with at most, and the pause between two of them.
const SAMPLES_MAX: usize = 2_000;
const SAMPLE_PAUSE: Duration = Duration::from_millis(20);

/// Names what is transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Ether between accounts.
    Ether,
    /// ERC-20 tokens between accounts.
    Erc20,
}

/// Says how a node is loaded.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the node serves JSON-RPC.
    pub url: String,
    /// What is transferred.
    pub kind: Kind,
    /// How many transactions.
    pub transactions: usize,
    /// How many go into one request: 1 is a single call.
    pub batch: usize,
    /// How many connections send, each with one request under way.
    pub connections: usize,
    /// How many accounts send.
    pub accounts: usize,
    /// Whose accounts pay for them.
    pub mnemonic: String,
    /// Names the accounts and what they transfer.
    pub seed: u64,
}

/// Holds what a load showed.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What the node calls itself.
    pub node: String,
    /// What was transferred.
    pub kind: Kind,
    /// How many transactions were sent in one request.
    pub batch: usize,
    /// How many connections sent.
    pub connections: usize,
    /// How many transactions were sent.
    pub transactions: usize,
    /// Seconds from the first one sent to the last receipt.
    pub seconds: f64,
    /// Seconds from the first one sent to the last one acknowledged.
    pub acknowledged_seconds: f64,
    /// Mined transactions per second.
    pub transactions_per_second: f64,
    /// Blocks they are in.
    pub blocks: usize,
    /// Transactions that the node refused.
    pub errors: usize,
    /// The first refusal.
    pub first_error: Option<String>,
    /// Transactions without a receipt at the end.
    pub missing: usize,
    /// Transactions that are mined and failed.
    pub failed: usize,
    /// Milliseconds from submission to receipt, measured beside the load by one more account.
    pub latency_ms: Option<Latency>,
}

/// Holds times from submission to receipt in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub samples: usize,
    /// The first one.
    pub first: f64,
    /// Half are below.
    pub p50: f64,
    /// 99 of 100 are below.
    pub p99: f64,
}

impl Latency {
    fn of(times: &[Duration]) -> Option<Self> {
        let first = times.first()?;
        Some(Self {
            samples: times.len(),
            first: millis(*first),
            p50: millis(percentile(times, 0.5)),
            p99: millis(percentile(times, 0.99)),
        })
    }
}

/// Loads a node as `plan` says.
///
/// # Errors
/// The node cannot be reached or prepared; refused transactions are counted, and are no error.
pub fn run(plan: &Plan) -> Result<Outcome, Failure> {
    consensus::crypto::install();
    let endpoint = Endpoint::parse(&plan.url)?;
    let mut client = Client::connect(&endpoint)?;
    let node = client.call("web3_clientVersion", json!([]))?.as_str().unwrap_or("unknown").to_owned();
    let mut prepared = Prepared::make(&mut client, plan)?;
    let requests = prepared.requests(&endpoint, plan);
    let hashes: Vec<B256> = prepared.raws.iter().flatten().map(|raw| raw.hash).collect();
    let last: Vec<B256> = prepared.raws.iter().filter_map(|raws| raws.last()).map(|raw| raw.hash).collect();
    let clock = timed(&endpoint, requests, &last, (plan.batch == 1).then_some(&mut prepared.sampler))?;

    let mined = receipts(&mut client, &hashes)?;
    let missing = mined.iter().filter(|receipt| receipt.is_none()).count();
    let failed = mined.iter().flatten().filter(|receipt| !succeeded(receipt)).count();
    let blocks: BTreeSet<&str> =
        mined.iter().flatten().filter_map(|receipt| receipt.get("blockHash").and_then(Value::as_str)).collect();
    Ok(Outcome {
        node,
        kind: plan.kind,
        batch: plan.batch,
        connections: plan.connections,
        transactions: hashes.len(),
        seconds: clock.total.as_secs_f64(),
        acknowledged_seconds: clock.acknowledged.as_secs_f64(),
        transactions_per_second: as_f64(hashes.len() - missing) / clock.total.as_secs_f64(),
        blocks: blocks.len(),
        errors: clock.errors,
        first_error: clock.first_error,
        missing,
        failed,
        latency_ms: Latency::of(&clock.latencies),
    })
}

/// Sends transfers one after the other, each when the one before has its receipt: the node is idle otherwise.
///
/// # Errors
/// The node cannot be reached, or refuses one.
pub fn one_by_one(url: &str, mnemonic: &str, transactions: usize) -> Result<Latency, Failure> {
    let endpoint = Endpoint::parse(url)?;
    let mut client = Client::connect(&endpoint)?;
    let mut sponsors = Sponsors::find(&mut client, mnemonic, 100_000_000)?;
    let account = sponsors.accounts.last_mut().ok_or("no account")?;
    let mut times = Vec::with_capacity(transactions);
    for _ in 0..transactions {
        let raw = account.sign_raw(&sponsors.terms, &ether_transfer(recipient(0), 1));
        times.push(time_to_receipt(&mut client, |body| endpoint.frame(body), &raw)?);
    }
    Latency::of(&times).ok_or_else(|| "nothing to send".into())
}

/// Returns the address of a recipient.
fn recipient(index: u64) -> Address {
    Address::from_word(alloy_primitives::keccak256(index.to_be_bytes()))
}

struct Prepared {
    /// The signed transactions of each account.
    raws: Vec<Vec<Raw>>,
    /// The signed transactions that the latency is sampled with.
    sampler: Vec<Raw>,
}

impl Prepared {
    fn make(client: &mut Client, plan: &Plan) -> Result<Self, Failure> {
        let gas_limit = if plan.kind == Kind::Ether { 21_000 } else { TRANSFER_GAS };
        let senders = plan.accounts.max(1);
        let each = plan.transactions.div_ceil(senders).max(if plan.batch == 1 { SAMPLES_MAX } else { 0 });
        let gas = u64::try_from((senders + 1) * each)?.saturating_mul(gas_limit);
        let mut sponsors = Sponsors::find(client, &plan.mnemonic, gas)?;
        let mut accounts: Vec<_> =
            (0..=senders).map(|index| Account::numbered(plan.seed, u64::try_from(index).unwrap_or(u64::MAX))).collect();
        let wei = u128::try_from(each)? * (u128::from(gas_limit) * sponsors.terms.fee_per_gas_wei + 1);
        sponsors.fund(client, &accounts, wei)?;
        let token = match plan.kind {
            Kind::Ether => None,
            Kind::Erc20 => Some(sponsors.create_token(client, &accounts)?),
        };
        read_nonces(client, &mut accounts)?;
        let mut random = Random::new(plan.seed);
        let mut orders: Vec<Vec<Order>> = (0..senders)
            .map(|sender| (sender..plan.transactions).step_by(senders).map(|_| order(token, &mut random)).collect())
            .collect();
        orders.push(if plan.batch == 1 {
            (0..SAMPLES_MAX).map(|_| order(token, &mut random)).collect()
        } else {
            Vec::new()
        });
        let mut raws = sign_all(&mut accounts, &sponsors.terms, orders);
        let sampler = raws.pop().unwrap_or_default();
        Ok(Self { raws, sampler })
    }

    /// Returns the requests of each connection. An account belongs to one connection, so that its nonces arrive in order;
    /// a connection takes its accounts in turn.
    fn requests(&self, endpoint: &Endpoint, plan: &Plan) -> Vec<Vec<Vec<u8>>> {
        let connections = plan.connections.max(1);
        (0..connections)
            .map(|connection| {
                let own: Vec<_> = self.raws.iter().skip(connection).step_by(connections).collect();
                let longest = own.iter().map(|raws| raws.len()).max().unwrap_or(0);
                let in_turn: Vec<String> = (0..longest)
                    .flat_map(|round| own.iter().filter_map(move |raws| raws.get(round)).map(|raw| raw.hex.clone()))
                    .collect();
                in_turn.chunks(plan.batch.max(1)).map(|part| endpoint.frame(&send_raw_body(part))).collect()
            })
            .collect()
    }
}

fn order(token: Option<Address>, random: &mut Random) -> Order {
    let to = recipient(random.below(RECIPIENTS));
    match token {
        None => ether_transfer(to, 1),
        Some(token) => transfer_order(token, to, random.between(1, 1000)),
    }
}

struct Clock {
    total: Duration,
    acknowledged: Duration,
    errors: usize,
    first_error: Option<String>,
    latencies: Vec<Duration>,
}

#[derive(Default)]
struct Sent {
    errors: usize,
    first_error: Option<String>,
}

/// Sends all requests, waits for the last receipt of each account, and samples the latency meanwhile.
fn timed(
    endpoint: &Endpoint,
    requests: Vec<Vec<Vec<u8>>>,
    last: &[B256],
    sampler: Option<&mut Vec<Raw>>,
) -> Result<Clock, Failure> {
    let start = Barrier::new(requests.len() + 1);
    let done = AtomicBool::new(false);
    let mut client = Client::connect(endpoint)?;
    let connections = requests.iter().map(|_| Client::connect(endpoint)).collect::<Result<Vec<_>, _>>()?;
    std::thread::scope(|scope| {
        let senders: Vec<_> = connections
            .into_iter()
            .zip(&requests)
            .map(|(connection, requests)| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    send_all(connection, requests)
                })
            })
            .collect();
        let samples = sampler.map(|raws| scope.spawn(|| sample(endpoint, raws, &done)));
        start.wait();
        let begun = Instant::now();
        let mut sent = Sent::default();
        let mut broken = None;
        for sender in senders {
            match sender.join().expect("a sender does not panic") {
                Ok(one) => {
                    sent.errors += one.errors;
                    sent.first_error = sent.first_error.or(one.first_error);
                }
                Err(error) => broken = Some(error),
            }
        }
        let acknowledged = begun.elapsed();
        let waited = if broken.is_none() { wait_for_all(&mut client, last).map(drop) } else { Ok(()) };
        let total = begun.elapsed();
        done.store(true, Ordering::Relaxed);
        let latencies = samples.map_or(Ok(Vec::new()), |samples| samples.join().expect("the sampler does not panic"));
        if let Some(error) = broken {
            return Err(error.into());
        }
        waited?;
        Ok(Clock { total, acknowledged, errors: sent.errors, first_error: sent.first_error, latencies: latencies? })
    })
}

fn send_all(mut connection: Client, requests: &[Vec<u8>]) -> Result<Sent, ClientError> {
    let mut sent = Sent::default();
    for request in requests {
        let answer = connection.send_framed(request)?;
        let errors = answer.matches("\"error\"").count();
        if errors > 0 {
            sent.errors += errors;
            sent.first_error.get_or_insert(answer);
        }
    }
    Ok(sent)
}

fn sample(endpoint: &Endpoint, raws: &[Raw], done: &AtomicBool) -> Result<Vec<Duration>, Failure> {
    let mut client = Client::connect(endpoint)?;
    let mut times = Vec::new();
    for raw in raws {
        if done.load(Ordering::Relaxed) {
            break;
        }
        times.push(time_to_receipt(&mut client, |body| endpoint.frame(body), raw)?);
        std::thread::sleep(SAMPLE_PAUSE);
    }
    Ok(times)
}

/// Returns the number of the newest block.
///
/// # Errors
/// The node does not answer.
pub fn head_number(client: &mut Client) -> Result<u64, ClientError> {
    quantity(&client.call("eth_blockNumber", json!([]))?)
}
