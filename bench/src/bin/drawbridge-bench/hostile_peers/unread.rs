//! Answers that nobody reads: peers ask for as many full blocks as they may, and take nothing of what is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use bench::Failure;
use consensus::SealedHeader;
use network::message::limits::{BODIES_MAX, HEADERS_MAX};
use network::message::{Request, Response};
use network::p2p::{RawError, RawPeer};
use tokio::task::JoinSet;

use super::attack::{Deed, Figure, Term};
use super::proxy;
use super::stranger::Stage;

/// How many peers ask.
const PEERS: usize = 32;
/// How many questions of each are open at a time: as many as a connection has streams for them.
const OPEN: usize = 32;
/// How soon one that was refused asks again: all of a peer together ask no more than its share, 64 a second.
const AGAIN: Duration = Duration::from_millis(500);
/// How often the honest one asks: its answers are work too, which is not the attackers'.
const READ_EVERY: Duration = Duration::from_secs(1);

/// Asks from many addresses until it is over; an honest peer that reads is still answered.
pub(crate) async fn ask(stage: Stage, mut term: Term) -> Result<Deed, Failure> {
    let place = stage.behind(proxy::start(stage.socket()?).await?)?;
    let reader = place.enter_welcome().await?;
    let blocks = last_blocks(&place, &reader).await?;
    let request = Request::Bodies(blocks).encode();
    let length = bodies(&reader, &request).await?;
    let mut asking = JoinSet::new();
    for _ in 0..PEERS {
        let peer = Arc::new(place.enter_unreading().await?);
        for _ in 0..OPEN {
            let (peer, request) = (Arc::clone(&peer), request.clone());
            asking.spawn(async move {
                while peer.is_connected() {
                    // What is not read is given up in the end.
                    let _ = peer.ask(request.clone()).await;
                    tokio::time::sleep(AGAIN).await;
                }
            });
        }
    }
    let (mut slowest, mut answered, mut problems) = (Duration::ZERO, 0, Vec::new());
    while !term.is_over() || answered == 0 {
        let begun = Instant::now();
        if let Err(error) = bodies(&reader, &request).await {
            problems.push(format!("a peer that reads is not answered: {error}"));
            break;
        }
        answered += 1;
        slowest = slowest.max(begun.elapsed());
        // It ends with the attack.
        let _ = tokio::time::timeout(READ_EVERY, term.over()).await;
    }
    term.over().await;
    asking.abort_all();
    let slowest = u64::try_from(slowest.as_millis())?;
    let figures = vec![
        Figure::most(PEERS * OPEN, "questions at a time"),
        Figure::most(length >> 10, "KB each"),
        Figure::Most(slowest, "ms at most for one who reads"),
    ];
    Ok(Deed { figures, problems, ..Deed::default() })
}

/// Asks for bodies, and returns the length of the answer.
async fn bodies(reader: &RawPeer, request: &[u8]) -> Result<usize, RawError> {
    let answer = reader.ask(request.to_vec()).await?;
    match Response::decode(&answer) {
        Ok(Response::Bodies(bodies)) if !bodies.is_empty() => Ok(answer.len()),
        Ok(other) => Err(RawError::NoAnswer(format!("no bodies but {other:?}"))),
        Err(error) => Err(RawError::NoAnswer(error.to_string())),
    }
}

/// Returns the last blocks of the node's chain.
async fn last_blocks(stage: &Stage, reader: &RawPeer) -> Result<Vec<B256>, Failure> {
    let (mut blocks, mut known) = (Vec::new(), stage.genesis);
    loop {
        let request = Request::Headers { locator: vec![known], count: u64::try_from(HEADERS_MAX)? };
        let answer = Response::decode(&reader.ask(request.encode()).await?)?;
        let Response::Headers(headers) = answer else { return Err(format!("no headers but {answer:?}").into()) };
        blocks.extend(headers.into_iter().map(|header| SealedHeader::new(header.header).hash()));
        match blocks.last() {
            Some(last) if *last != known => known = *last,
            _ => break,
        }
    }
    Ok(blocks.split_off(blocks.len().saturating_sub(BODIES_MAX)))
}
