//! Silent visitors: they finish the handshake of the connection and then say nothing at all.

use std::time::{Duration, Instant};

use bench::Failure;
use network::p2p::{NodeKey, RawPeer};
use tokio::task::JoinSet;

use super::attack::{Deed, Figure, Sizes, Term};
use super::crowd::enter_all;
use super::proxy;
use super::stranger::Stage;

/// How long they may stay from when all are in: the node lets them be silent for 15 s, and looks twice a second; the rest is for a machine
/// that is busy.
const STAY_MAX: Duration = Duration::from_secs(25);

/// Takes all places from many addresses, and waits until they are free again.
pub(crate) async fn visit(stage: Stage, sizes: Sizes, mut term: Term) -> Result<Deed, Failure> {
    let place = stage.behind(proxy::start(stage.socket()?).await?)?;
    let shown_before = (sizes.shown)()?;
    let visitors = enter_all(&place, sizes.places + sizes.per_address, |place| {
        Box::pin(async move { place.enter(NodeKey::generate()).await.ok() })
    })
    .await;
    let begun = Instant::now();
    let inside = visitors.iter().filter(|visitor| visitor.is_connected()).count();
    let mut problems = Vec::new();
    let shown = (sizes.shown)()?;
    if shown > shown_before {
        problems.push(format!("{} silent visitors are shown as peers", shown - shown_before));
    }
    let left = stay(visitors, begun).await;
    if left > 0 {
        problems.push(format!("{left} silent visitors keep their places for more than {} s", STAY_MAX.as_secs()));
    }
    let stayed = begun.elapsed().as_secs();
    match place.enter_welcome().await {
        Ok(newcomer) => newcomer.leave().await,
        Err(error) => problems.push(format!("an honest node finds no place after them: {error}")),
    }
    let figures = vec![Figure::most(inside, "in"), Figure::Most(stayed, "s until they are gone")];
    let mut deed = Deed { figures, problems, ..Deed::default() };
    if inside < sizes.places / 2 {
        deed.shortfalls.push(format!("only {inside} silent visitors came in"));
    }
    term.over().await;
    Ok(deed)
}

/// Waits until they are gone, and returns how many are not.
async fn stay(visitors: Vec<RawPeer>, begun: Instant) -> usize {
    let mut staying = JoinSet::new();
    for mut visitor in visitors {
        staying.spawn(async move {
            let left = STAY_MAX.saturating_sub(begun.elapsed());
            tokio::time::timeout(left, visitor.cut_off()).await.is_ok()
        });
    }
    staying.join_all().await.into_iter().filter(|is_gone| !is_gone).count()
}
