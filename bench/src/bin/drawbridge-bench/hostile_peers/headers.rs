//! Headers with bad seals: gossiped one after the other, and in answers as a branch that is said to be the heaviest.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use alloy_primitives::{B64, B256, U256};
use bench::Failure;
use consensus::Header;
use network::machine::limits::HEADERS_FIRST;
use network::message::{CompactBlock, Gossip, Request, Response, Topic, WitnessedHeader};
use network::p2p::{RawError, RawPeer};

use super::attack::{AT_ONCE, Deed, Figure, Heard, PAUSE, Sizes, Term, one_after_the_other};
use super::stranger::{CUT_OFF_MAX, Stage, cut_off};

/// How many one identity sends before it looks whether it is still connected.
const BURST: u64 = 64;

/// Returns a header that follows the node's head by its number, with a difficulty that its seal does not have.
pub(crate) fn bad_header(stage: &Stage, number: u64, salt: u64) -> Header {
    Header {
        parent_hash: stage.status.head,
        number,
        difficulty: U256::MAX,
        gas_limit: 36_000_000,
        timestamp: stage.status.clock_ms / 1000,
        nonce: B64::from(salt),
        base_fee_per_gas: Some(0),
        withdrawals_root: Some(alloy_consensus::constants::EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(alloy_eips::eip7685::EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}

/// Which headers are gossiped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bad {
    /// Those of a next block, whose seal is judged.
    Seal,
    /// Those of a block that is final, of which nothing is checked.
    Old,
}

/// Sends so many headers a second, from identities that come anew as soon as one is cut off, each with all that it can put on the line
/// until then. The node reads few of them, and the rest is behind a connection that it has ended.
pub(crate) async fn flood(stage: Stage, sizes: Sizes, term: Term, bad: Bad) -> Result<Deed, Failure> {
    let read_before = heard(&sizes.heard).await?;
    let pace = Arc::new(Pace { begun: Instant::now(), each_second: u64::from(sizes.headers), sent: AtomicU64::new(0) });
    let lanes: Vec<_> = (0..u64::from(AT_ONCE))
        .map(|lane| tokio::spawn(flood_lane(stage.clone(), bad, Arc::clone(&pace), lane << 32, term.clone())))
        .collect();
    let mut deed = Deed::default();
    for lane in lanes {
        deed.add(lane.await?);
    }
    let read = heard(&sizes.heard).await?.saturating_sub(read_before);
    deed.figures = vec![Figure::Sum(pace.sent(), "headers"), Figure::Sum(read, "read")];
    if pace.rate(pace.sent()) < pace.each_second * 9 / 10 {
        deed.shortfalls.push(format!("{} of {} headers a second were sent", pace.rate(pace.sent()), pace.each_second));
    }
    Ok(deed)
}

async fn heard(heard: &Heard) -> Result<u64, Failure> {
    let heard = Arc::clone(heard);
    tokio::task::spawn_blocking(move || heard()).await?
}

/// Says how many headers are to be sent by now, in all lanes.
struct Pace {
    begun: Instant,
    each_second: u64,
    sent: AtomicU64,
}

impl Pace {
    fn millis(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Returns what a count of since the beginning comes to in a second.
    fn rate(&self, count: u64) -> u64 {
        count.saturating_mul(1000) / self.millis()
    }

    /// Takes on to send what is due, up to a burst; 0 where nothing is.
    fn take(&self) -> u64 {
        let due = self.millis().saturating_mul(self.each_second) / 1000;
        let owed = |sent: u64| due.saturating_sub(sent).min(BURST);
        let before = self.sent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sent| Some(sent + owed(sent)));
        before.map_or(0, owed)
    }

    /// Gives back what could not be sent.
    fn give_back(&self, count: u64) {
        self.sent.fetch_sub(count, Ordering::Relaxed);
    }
}

/// Sends headers as one identity until it is cut off, and then as the next one.
async fn flood_lane(stage: Stage, bad: Bad, pace: Arc<Pace>, mut salt: u64, term: Term) -> Vec<Option<Duration>> {
    let mut kept = Vec::new();
    let number = match bad {
        Bad::Seal => stage.status.head_number + 1,
        Bad::Old => 0,
    };
    while !term.is_over() {
        let Ok(peer) = stage.enter_welcome().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let mut begun: Option<Instant> = None;
        while peer.is_connected() && !term.is_over() && begun.is_none_or(|begun| begun.elapsed() < CUT_OFF_MAX) {
            let count = pace.take();
            if count == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
                continue;
            }
            begun.get_or_insert_with(Instant::now);
            pace.give_back(count - send_burst(&stage, &peer, number, salt..salt + count).await);
            salt += count;
        }
        // Who came too late to send anything has done nothing.
        if let Some(begun) = begun {
            kept.push(cut_off(peer, begun).await);
        }
    }
    kept
}

/// Sends headers, and returns how many of them there was still a connection for.
async fn send_burst(stage: &Stage, peer: &RawPeer, number: u64, salts: std::ops::Range<u64>) -> u64 {
    let count = salts.end - salts.start;
    for (sent, salt) in (0..count).zip(salts) {
        let header = bad_header(stage, number, salt);
        let block = CompactBlock { header, witness: None, transactions: Vec::new() };
        if peer.publish(Topic::Blocks, Gossip::Block(Box::new(block)).encode()).await.is_err() {
            return sent;
        }
    }
    count
}

/// Lets one after the other offer a branch, whose headers are read to the last one before they are judged.
pub(crate) async fn branches(stage: Stage, sizes: Sizes, term: Term) -> Result<Deed, Failure> {
    let begun = Instant::now();
    let mut deed = one_after_the_other(stage, term, |stage, _| Box::pin(false_branch(stage))).await?;
    let headers = u64::try_from(deed.cut_off.len() * HEADERS_FIRST)?;
    let each_second = headers.saturating_mul(1000) / u64::try_from(begun.elapsed().as_millis())?.max(1);
    deed.figures = vec![Figure::count(deed.offenders, "branches"), Figure::Sum(headers, "headers")];
    if each_second < u64::from(sizes.headers) {
        deed.shortfalls.push(format!("{each_second} of {} headers a second in branches", sizes.headers));
    }
    Ok(deed)
}

/// Claims to be far ahead, and answers with headers whose seals are bad.
async fn false_branch(stage: Stage) -> Result<Option<Duration>, RawError> {
    let (told, offended) = (stage.clone(), Arc::new(OnceLock::new()));
    let asked = Arc::clone(&offended);
    let answer = move |request: Request| match request {
        Request::Headers { locator, count } => {
            let answer = bad_branch(&told, locator.first().copied().unwrap_or_default(), count);
            asked.get_or_init(Instant::now);
            Some(answer.encode())
        }
        _ => Some(Response::Refused(String::new()).encode()),
    };
    let peer = stage.enter_as(stage.boastful(), answer).await?;
    let entered = Instant::now();
    let kept = cut_off(peer, entered).await;
    match offended.get() {
        Some(offended) => Ok(kept.map(|kept| kept.saturating_sub(offended.saturating_duration_since(entered)))),
        // Another one's branch was looked at all the time.
        None => Err(RawError::NoAnswer("it was not asked".to_owned())),
    }
}

/// Returns headers that follow one another and have no seals.
fn bad_branch(stage: &Stage, mut parent_hash: B256, count: u64) -> Response {
    let headers = (0..count).map(|index| {
        let header = Header { parent_hash, ..bad_header(stage, stage.status.head_number + 1 + index, index) };
        parent_hash = header.hash_slow();
        WitnessedHeader { header, witness: None }
    });
    Response::Headers(headers.collect())
}
