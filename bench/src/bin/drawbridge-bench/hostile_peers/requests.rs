//! Questions beyond a peer's share.

use std::time::{Duration, Instant};

use futures::future::join_all;
use network::message::Request;
use network::p2p::RawError;

use super::stranger::{CUT_OFF_MAX, Stage, cut_off};

/// How many questions one asks at a time: none of them waits for another one's answer.
const AT_ONCE: usize = 16;

/// Asks for a header again and again, whether it is answered or refused, until it is cut off.
pub(crate) async fn ask(stage: Stage) -> Result<Option<Duration>, RawError> {
    let peer = stage.enter_welcome().await?;
    let since = Instant::now();
    let request = Request::Headers { locator: vec![stage.genesis], count: 1 }.encode();
    let lanes = (0..AT_ONCE).map(|_| async {
        while peer.is_connected() && since.elapsed() < CUT_OFF_MAX {
            // Whoever is cut off gets no answer.
            let _ = peer.ask(request.clone()).await;
        }
    });
    join_all(lanes).await;
    Ok(cut_off(peer, since).await)
}
