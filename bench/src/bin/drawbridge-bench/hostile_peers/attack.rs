//! The attacks, each of which goes on until its time is over.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use alloy_primitives::{B64, B256, U256};
use bench::Failure;
use bench::random::Random;
use clap::ValueEnum;
use consensus::Header;
use network::message::limits::{GOSSIP_BYTES_MAX, HEADERS_MAX, REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};
use network::message::{CompactBlock, Gossip, Request, Response, Topic, WitnessedHeader};
use network::p2p::{PeerId, RawError, RawPeer};

use crate::hostile_peers::stranger::{Stage, cut_off, publish};
use crate::hostile_peers::{Flags, crowd, frames};

/// How many identities attack at a time.
const AT_ONCE: u32 = 8;
/// What an attacker does when the node lets nobody in for now.
const PAUSE: Duration = Duration::from_millis(50);
/// Transactions in an orphan, which make it about a megabyte long.
const ORPHAN_TRANSACTIONS: u64 = 32_000;

/// An attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// Malformed bytes on bare sockets.
    Frames,
    /// Malformed requests, responses and gossip, and RLP that promises more than it holds.
    Bombs,
    /// Gossiped headers with bad seals.
    Seals,
    /// Branches of headers with bad seals, claimed to be the heaviest.
    Branches,
    /// Blocks whose parent nobody has.
    Orphans,
    /// Many identities from one address.
    Sybils,
    /// Many identities from many addresses.
    Crowd,
}

/// How large the attacks are, and how a peer becomes trusted.
#[derive(Clone)]
pub(crate) struct Sizes {
    headers: u32,
    orphan_bytes: u64,
    pub(crate) sybils: u16,
    /// Places in all, and for one address.
    pub(crate) places: usize,
    pub(crate) per_address: usize,
    pub(crate) trust: Trust,
}

/// Makes the node trust a peer.
pub(crate) type Trust = Arc<dyn Fn(PeerId) -> Result<(), Failure> + Send + Sync>;

/// What an attack did, and what came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deed {
    /// What was sent, for people.
    pub(crate) sent: String,
    /// Who did something for which a peer is cut off.
    pub(crate) offenders: usize,
    /// How long each of those kept its place that lost it.
    pub(crate) cut_off: Vec<Duration>,
    /// What should not have been possible.
    pub(crate) problems: Vec<String>,
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Frames => "malformed frames",
            Self::Bombs => "RLP bombs",
            Self::Seals => "headers with bad seals",
            Self::Branches => "branches with bad seals",
            Self::Orphans => "orphans",
            Self::Sybils => "sybils, one address",
            Self::Crowd => "sybils, many addresses",
        })
    }
}

impl Sizes {
    pub(crate) fn of(flags: &Flags, trust: Trust) -> Self {
        let orphan_bytes = flags.orphans_mb << 20;
        // Visitors who only look for others come on top of the places.
        Self { headers: flags.headers, orphan_bytes, sybils: flags.sybils, places: 50 + 8, per_address: 16, trust }
    }
}

impl Attack {
    /// Returns the attacks that are wanted.
    pub(crate) fn all(only: &[Self]) -> Vec<Self> {
        if only.is_empty() { Self::value_variants().to_vec() } else { only.to_vec() }
    }

    /// Attacks until `until`.
    pub(crate) async fn run(self, stage: Stage, sizes: Sizes, until: Instant) -> Result<Deed, Failure> {
        match self {
            Self::Frames => send_frames(stage, until).await,
            Self::Bombs => one_after_the_other(stage, until, "bombs", |stage, turn| Box::pin(bomb(stage, turn))).await,
            Self::Seals => flood_headers(stage, sizes, until).await,
            Self::Branches => {
                one_after_the_other(stage, until, "branches", |stage, _| Box::pin(false_branch(stage))).await
            }
            Self::Orphans => send_orphans(stage, sizes, until).await,
            Self::Sybils => crowd::attack(stage, sizes, until, false).await,
            Self::Crowd => crowd::attack(stage, sizes, until, true).await,
        }
    }
}

async fn send_frames(stage: Stage, until: Instant) -> Result<Deed, Failure> {
    let (target, mut random, mut deed) = (stage.socket()?, Random::new(1), Deed::default());
    while Instant::now() < until {
        let sent: Vec<Vec<u8>> = (0..AT_ONCE).map(|_| frames::draw(&mut random)).collect();
        let tasks: Vec<_> =
            sent.into_iter().map(|bytes| tokio::spawn(async move { frames::send(target, &bytes).await })).collect();
        for task in tasks {
            deed.offenders += 1;
            deed.cut_off.extend(task.await??);
        }
    }
    deed.sent = format!("{} connections", deed.offenders);
    Ok(deed)
}

/// What one offender does; how long it kept its place, or `None` where it was not let in.
type Offence = std::pin::Pin<Box<dyn Future<Output = Result<Option<Duration>, RawError>> + Send>>;

/// Lets offenders come, several at a time, each as a new identity.
async fn one_after_the_other(
    stage: Stage,
    until: Instant,
    what: &str,
    offend: fn(Stage, u32) -> Offence,
) -> Result<Deed, Failure> {
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|first| {
            let stage = stage.clone();
            tokio::spawn(async move {
                let (mut turn, mut kept) = (first, Vec::new());
                while Instant::now() < until {
                    match offend(stage.clone(), turn).await {
                        Ok(time) => kept.push(time),
                        // There is no room while those before are parted from.
                        Err(_) => tokio::time::sleep(PAUSE).await,
                    }
                    turn += 1;
                }
                kept
            })
        })
        .collect();
    let mut deed = Deed::default();
    for task in tasks {
        let kept = task.await?;
        deed.offenders += kept.len();
        deed.cut_off.extend(kept.into_iter().flatten());
    }
    deed.sent = format!("{} {what}", deed.offenders);
    Ok(deed)
}

/// Sends one message that is none; each turn another one.
async fn bomb(stage: Stage, turn: u32) -> Result<Option<Duration>, RawError> {
    let promise = [&[0xff][..], &[0xff; 8], &[0; 64]].concat();
    let deep = |bytes: usize| vec![0xc1; bytes];
    // One list of a great many empty ones.
    let wide = |bytes: usize| {
        let length = u32::try_from(bytes - 5).unwrap_or(u32::MAX);
        [&[0xfb][..], &length.to_be_bytes(), &vec![0xc0; bytes - 5]].concat()
    };
    let refuse = |_: Request| Some(Response::Refused(String::new()).encode());
    let (peer, since) = match turn % 8 {
        // An answer that is a bomb, to the request for a status with which a node greets.
        0 => {
            let answer = wide(RESPONSE_BYTES_MAX);
            let peer = stage.enter_as(stage.boastful(), move |_| Some(answer.clone())).await?;
            (peer, Instant::now())
        }
        kind => {
            let peer = stage.enter_as(stage.status.clone(), refuse).await?;
            let since = Instant::now();
            match kind {
                1 => ask(&peer, promise).await,
                2 => ask(&peer, deep(REQUEST_BYTES_MAX)).await,
                3 => ask(&peer, wide(REQUEST_BYTES_MAX)).await,
                4 => publish(&peer, Topic::Blocks, promise).await,
                5 => publish(&peer, Topic::Blocks, deep(GOSSIP_BYTES_MAX)).await,
                6 => publish(&peer, Topic::Transactions, wide(GOSSIP_BYTES_MAX)).await,
                _ => publish(&peer, Topic::Transactions, vec![0xff; 100]).await,
            }
            (peer, since)
        }
    };
    Ok(cut_off(peer, since).await)
}

async fn ask(peer: &RawPeer, request: Vec<u8>) {
    // Whoever is cut off gets no answer.
    let _ = peer.ask(request).await;
}

/// Returns a header that follows the node's head by its number, with a difficulty that its seal does not have.
fn bad_header(stage: &Stage, number: u64, salt: u64) -> Header {
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

async fn flood_headers(stage: Stage, sizes: Sizes, until: Instant) -> Result<Deed, Failure> {
    let sent = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let each = Duration::from_secs(1) * AT_ONCE / sizes.headers.max(1);
    let tasks: Vec<_> = (0..u64::from(AT_ONCE))
        .map(|lane| tokio::spawn(flood_lane(stage.clone(), Arc::clone(&sent), lane << 32, each, until)))
        .collect();
    let mut deed = Deed::default();
    for task in tasks {
        let kept = task.await?;
        deed.offenders += kept.len();
        deed.cut_off.extend(kept.into_iter().flatten());
    }
    let (count, seconds) = (sent.load(Ordering::Relaxed), begun.elapsed().as_secs().max(1));
    deed.sent = format!("{count} headers, {} a second", count / seconds);
    Ok(deed)
}

/// Sends headers as one identity until it is cut off, and then as the next one.
async fn flood_lane(
    stage: Stage,
    sent: Arc<AtomicU64>,
    salt: u64,
    each: Duration,
    until: Instant,
) -> Vec<Option<Duration>> {
    let (mut salt, mut kept) = (salt, Vec::new());
    while Instant::now() < until {
        let Ok(peer) = stage.enter_welcome().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let since = Instant::now();
        let (mut of_peer, mut due) = (0u32, since);
        while peer.is_connected() && since.elapsed() < Duration::from_secs(15) {
            let header = bad_header(&stage, stage.status.head_number + 1, salt);
            let block = CompactBlock { header, witness: None, transactions: Vec::new() };
            publish(&peer, Topic::Blocks, Gossip::Block(Box::new(block)).encode()).await;
            (salt, of_peer) = (salt + 1, of_peer + 1);
            due += each;
            let early = due.saturating_duration_since(Instant::now());
            // The timer is no finer.
            if early >= Duration::from_millis(2) {
                tokio::time::sleep(early).await;
            }
        }
        sent.fetch_add(u64::from(of_peer), Ordering::Relaxed);
        kept.push(cut_off(peer, since).await);
    }
    kept
}

/// Claims to be far ahead, and answers with headers whose seals are bad.
async fn false_branch(stage: Stage) -> Result<Option<Duration>, RawError> {
    let (told, offended) = (stage.clone(), Arc::new(OnceLock::new()));
    let asked = Arc::clone(&offended);
    let answer = move |request: Request| match request {
        Request::Headers { locator, .. } => {
            let answer = bad_branch(&told, locator.first().copied().unwrap_or_default());
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
fn bad_branch(stage: &Stage, mut parent_hash: B256) -> Response {
    let count = u64::try_from(HEADERS_MAX).unwrap_or(0);
    let headers = (0..count).map(|index| {
        let header = Header { parent_hash, ..bad_header(stage, stage.status.head_number + 1 + index, index) };
        parent_hash = header.hash_slow();
        WitnessedHeader { header, witness: None }
    });
    Response::Headers(headers.collect())
}

/// Sends blocks that are sealed, at difficulty 1, and whose parent is unknown: that is no offence.
async fn send_orphans(stage: Stage, sizes: Sizes, until: Instant) -> Result<Deed, Failure> {
    let transactions: Vec<B256> = (0..ORPHAN_TRANSACTIONS).map(|index| B256::from(U256::from(index))).collect();
    let (mut peers, mut bytes, mut salt) = (Vec::new(), 0u64, 0u64);
    for _ in 0..AT_ONCE {
        peers.push(stage.enter_welcome().await?);
    }
    while bytes < sizes.orphan_bytes {
        for peer in &peers {
            salt += 1;
            let parent_hash = B256::from(U256::from(salt));
            let bare = bad_header(&stage, stage.status.head_number + 2, salt);
            let mut header = Header { parent_hash, difficulty: U256::ONE, gas_used: 1, ..bare };
            consensus::seal::apply(&mut header, B64::from(salt));
            let block = CompactBlock { header, witness: None, transactions: transactions.clone() };
            let message = Gossip::Block(Box::new(block)).encode();
            bytes += u64::try_from(message.len())?;
            publish(peer, Topic::Blocks, message).await;
        }
        // A line that is never empty: the node takes one after the other.
        tokio::time::sleep(PAUSE).await;
    }
    tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
    let left = peers.iter().filter(|peer| peer.is_connected()).count();
    let mut deed = Deed { sent: format!("{} MB", bytes >> 20), ..Deed::default() };
    if left < peers.len() {
        deed.problems
            .push(format!("{left} of {} who sent orphans keep their places: orphans are no offence", peers.len()));
    }
    Ok(deed)
}
