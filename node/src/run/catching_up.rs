//! The bar of a node that catches up with its peers.

use std::convert::Infallible;
use std::time::Duration;

use chain::LedgerHandle;
use network::p2p::NetworkHandle;
use tokio::time::MissedTickBehavior;

use crate::screen::{Bar, Screen, Work};

/// How often the bar is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(250);

/// Shows a bar on `screen` whenever the node is behind its peers, for ever. Dropping the future takes the bar away.
pub(super) async fn show(screen: Screen, ledger: LedgerHandle, network: Option<NetworkHandle>) -> Infallible {
    let Some(network) = network else { return std::future::pending().await };
    let mut draw = tokio::time::interval(DRAW_EVERY);
    draw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shown: Option<Bar> = None;
    loop {
        draw.tick().await;
        let Some(behind) = network.board().behind() else {
            shown = None;
            continue;
        };
        let length = behind.highest.saturating_sub(behind.starting);
        if shown.is_none() {
            shown = screen.bar(Work::CatchUp, length);
        }
        if let Some(bar) = &shown {
            bar.at(ledger.view().head().number.saturating_sub(behind.starting), length);
            bar.tick();
        }
    }
}
