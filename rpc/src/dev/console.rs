//! What contracts say by `console.log`, told by the node's log.
//!
//! A block is run once more for it, after it was mined, on a thread that nobody waits for: blocks are built, and calls answered, as on
//! any other chain.

use std::sync::{Arc, Weak};

use evm_runtime::trace;
use tokio::sync::broadcast::error::RecvError;
use tracing::{debug, info, warn};

use crate::api::Api;
use crate::debug::mined::Mined;
use crate::eth::calls::Question;
use crate::events::NewHead;

/// Tells what a call says.
pub(crate) fn tell_call(api: &Api, question: &Question) {
    if !tells(api) {
        return;
    }
    // A call that cannot run has told its reason already.
    for line in question.console_lines(api).unwrap_or_default() {
        info!(target: "console", "{line}");
    }
}

fn tells(api: &Api) -> bool {
    api.dev.as_ref().is_some_and(|dev| dev.chain.terms.tells_console())
}

/// Tells what the transactions of new blocks say, for as long as the node runs.
pub(crate) fn follow(api: &Arc<Api>) {
    if api.dev.is_none() {
        return;
    }
    let mut heads = api.events.heads.subscribe();
    let api = Arc::downgrade(api);
    tokio::spawn(async move {
        loop {
            match heads.recv().await {
                Ok(head) => {
                    let api = Weak::clone(&api);
                    // It can only have panicked, which the panic hook has told.
                    let _ = tokio::task::spawn_blocking(move || tell_blocks(&api, &head)).await;
                }
                Err(RecvError::Lagged(missed)) => warn!(missed, "too many blocks to tell what their contracts say"),
                Err(RecvError::Closed) => return,
            }
        }
    });
}

fn tell_blocks(api: &Weak<Api>, head: &NewHead) {
    let Some(api) = api.upgrade().filter(|api| tells(api)) else { return };
    for block in head.added.iter().filter(|block| !block.transactions.is_empty()) {
        let said = Mined::new(Arc::clone(&head.view), Arc::clone(block))
            .and_then(|mined| mined.replay(&api, api.limits.trace_timeout, trace::console_lines));
        match said {
            Ok(said) => {
                for (tx, lines) in block.transactions.iter().zip(said) {
                    for line in lines {
                        info!(target: "console", tx = %tx.hash(), "{line}");
                    }
                }
            }
            // Somebody has gone back meanwhile, or the block takes too long.
            Err(error) => debug!(number = block.number(), error = %error.message, "a block is not looked through"),
        }
    }
}
