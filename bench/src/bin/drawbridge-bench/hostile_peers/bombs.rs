//! Messages that are none: the longest that are taken, nothing but nesting or empty lists, and promises of more than there is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use alloy_primitives::{B64, B256, U256};
use consensus::SealedHeader;
use network::message::limits::{GOSSIP_BYTES_MAX, REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};
use network::message::{CompactBlock, Gossip, Request, Response, Topic};
use network::p2p::{RawError, RawPeer};

use super::stranger::{CUT_OFF_MAX, Stage, clock_ms, cut_off, publish};

/// How soon gossip that came to nothing is said again.
const AGAIN: Duration = Duration::from_millis(200);

/// Returns one list of a great many empty ones, `bytes` long.
fn wide(bytes: usize) -> Vec<u8> {
    let length = u32::try_from(bytes - 5).unwrap_or(u32::MAX);
    [&[0xfb][..], &length.to_be_bytes(), &vec![0xc0; bytes - 5]].concat()
}

/// Sends one message that is none; each turn another one. Returns how long the sender kept its place.
pub(crate) async fn throw(stage: Stage, turn: u32) -> Result<Option<Duration>, RawError> {
    let deep = |bytes: usize| vec![0xc1; bytes];
    let promise = [&[0xff][..], &[0xff; 8], &[0; 64]].concat();
    let refuse = |_: Request| Some(Response::Refused(String::new()).encode());
    match turn % 9 {
        0 => long_status(&stage).await,
        1 => long_transactions(&stage).await,
        kind => {
            let peer = stage.enter_as(stage.status.clone(), refuse).await?;
            let since = Instant::now();
            match kind {
                2 => ask(&peer, promise).await,
                3 => ask(&peer, deep(REQUEST_BYTES_MAX)).await,
                4 => ask(&peer, wide(REQUEST_BYTES_MAX)).await,
                5 => insist(&peer, Topic::Blocks, promise).await,
                6 => insist(&peer, Topic::Blocks, deep(GOSSIP_BYTES_MAX)).await,
                7 => insist(&peer, Topic::Transactions, wide(GOSSIP_BYTES_MAX)).await,
                _ => insist(&peer, Topic::Transactions, vec![0xff; 100]).await,
            }
            Ok(cut_off(peer, since).await)
        }
    }
}

/// Answers the request for a status with which a node greets by something far too long.
async fn long_status(stage: &Stage) -> Result<Option<Duration>, RawError> {
    let (bomb, asked) = (wide(RESPONSE_BYTES_MAX), Arc::new(OnceLock::new()));
    let offended = Arc::clone(&asked);
    let answers = move |_: &[u8]| {
        offended.get_or_init(Instant::now);
        Some(bomb.clone())
    };
    let peer = stage.enter_raw(Box::new(answers)).await?;
    let entered = Instant::now();
    let kept = cut_off(peer, entered).await;
    Ok(since(entered, &asked, kept))
}

/// Announces a block whose transactions are to be fetched, and sends the longest answer that is taken.
async fn long_transactions(stage: &Stage) -> Result<Option<Duration>, RawError> {
    let (bomb, asked) = (wide(RESPONSE_BYTES_MAX), Arc::new(OnceLock::new()));
    let offended = Arc::clone(&asked);
    let answers = move |request: Request| match request {
        Request::BlockTransactions { .. } => {
            offended.get_or_init(Instant::now);
            Some(bomb.clone())
        }
        _ => Some(Response::Refused(String::new()).encode()),
    };
    let peer = stage.enter_as(stage.status.clone(), answers).await?;
    let entered = Instant::now();
    while peer.is_connected() && asked.get().is_none() && entered.elapsed() < CUT_OFF_MAX {
        // The head may have gone on meanwhile, which makes the block a sibling of a newer one.
        let announced = sealed_block(stage, &peer).await?;
        publish(&peer, Topic::Blocks, announced).await;
        tokio::time::sleep(AGAIN).await;
    }
    let kept = cut_off(peer, entered).await;
    Ok(since(entered, &asked, kept))
}

/// Returns how long somebody kept its place from its offence on.
fn since(entered: Instant, offended: &OnceLock<Instant>, kept: Option<Duration>) -> Option<Duration> {
    let innocent = offended.get().map_or(Duration::ZERO, |at| at.saturating_duration_since(entered));
    kept.map(|kept| kept.saturating_sub(innocent))
}

/// Returns the announcement of a block that follows the node's head, is sealed, and holds a transaction that nobody has.
async fn sealed_block(stage: &Stage, peer: &RawPeer) -> Result<Vec<u8>, RawError> {
    let no_header = || RawError::NoAnswer("no header of its head".to_owned());
    let mut locator = vec![stage.genesis];
    let mut head = None;
    loop {
        let request = Request::Headers { locator: locator.clone(), count: 512 };
        let answer = Response::decode(&peer.ask(request.encode()).await?);
        let Ok(Response::Headers(headers)) = answer else { return Err(no_header()) };
        let Some(last) = headers.into_iter().last() else { break };
        let last = SealedHeader::new(last.header);
        locator = vec![last.hash()];
        head = Some(last);
    }
    let parent = head.ok_or_else(no_header)?;
    let timestamp = (clock_ms() / 1000).max(parent.timestamp);
    let mut header = parent.clone().into_header();
    header.parent_hash = parent.hash();
    header.number = parent.number + 1;
    header.timestamp = timestamp;
    header.mix_hash = consensus::seal::next_mix_hash(&parent);
    header.base_fee_per_gas = consensus::fees::next_base_fee(&stage.spec, &parent, timestamp);
    header.transactions_root = B256::from(U256::from(salt()));
    header.gas_used = 21_000;
    consensus::seal::apply(&mut header, B64::ZERO);
    let transactions = vec![header.transactions_root];
    Ok(Gossip::Block(Box::new(CompactBlock { header, witness: None, transactions })).encode())
}

/// Returns a number that is another one each time.
fn salt() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Says the same until it is cut off: what others have said just before may be passed over the first time.
async fn insist(peer: &RawPeer, topic: Topic, message: Vec<u8>) {
    let begun = Instant::now();
    while peer.is_connected() && begun.elapsed() < CUT_OFF_MAX {
        publish(peer, topic, message.clone()).await;
        tokio::time::sleep(AGAIN).await;
    }
}

async fn ask(peer: &RawPeer, request: Vec<u8>) {
    // Whoever is cut off gets no answer.
    let _ = peer.ask(request).await;
}
