//! Sybils: many identities that want a place, from one address and from many.

use std::pin::Pin;
use std::time::Duration;

use bench::Failure;
use network::message::Request;
use network::p2p::{NodeKey, RawPeer};
use tokio::task::JoinSet;

use super::attack::{Deed, Figure, Sizes, Term};
use super::proxy;
use super::stranger::Stage;

/// How many calls are made at a time.
const AT_ONCE: usize = 20;

/// Takes as many places as can be had, holds them until it is over, and looks whether a peer that is trusted still comes in.
pub(crate) async fn attack(stage: Stage, sizes: Sizes, mut term: Term, many_addresses: bool) -> Result<Deed, Failure> {
    let proxy = proxy::start(stage.socket()?).await?;
    let place = if many_addresses { stage.behind(proxy)? } else { stage.clone() };
    let entered =
        enter_all(&place, usize::from(sizes.sybils), |place| Box::pin(async move { place.enter_welcome().await.ok() }))
            .await;
    let mut problems = Vec::new();
    let limit = if many_addresses { sizes.places } else { sizes.per_address };
    let inside = entered.iter().filter(|peer| peer.is_connected()).count();
    if inside > limit {
        problems.push(format!("{inside} sybils have a place, at most {limit} may"));
    }
    // From an address of its own: the limit of one address is met before it is known who comes.
    let trusted = NodeKey::generate();
    (sizes.trust)(trusted.peer_id())?;
    match stage.behind(proxy)?.enter(trusted).await {
        Ok(peer) => {
            if let Err(error) = peer.ask(Request::Status(Box::new(stage.status.clone())).encode()).await {
                problems.push(format!("a trusted peer is not answered: {error}"));
            }
        }
        Err(error) => problems.push(format!("a trusted peer finds no place: {error}")),
    }
    term.over().await;
    let figures = vec![Figure::Most(u64::from(sizes.sybils), "calls"), Figure::most(inside, "in")];
    Ok(Deed { figures, problems, ..Deed::default() })
}

/// How one of them comes in.
pub(crate) type Entering = Pin<Box<dyn Future<Output = Option<RawPeer>> + Send>>;

/// Lets so many come in, each as a new identity, and returns those who were let in.
pub(crate) async fn enter_all(place: &Stage, count: usize, enter: fn(Stage) -> Entering) -> Vec<RawPeer> {
    let (mut calls, mut entered) = (JoinSet::new(), Vec::new());
    for _ in 0..count {
        if calls.len() >= AT_ONCE
            && let Some(Ok(Some(peer))) = calls.join_next().await
        {
            entered.push(peer);
        }
        calls.spawn(enter(place.clone()));
    }
    while let Some(called) = calls.join_next().await {
        entered.extend(called.ok().flatten());
    }
    // Whoever was refused after the connection stood notices it by now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    entered
}
