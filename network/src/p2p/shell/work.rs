//! The threads beside the task: one that imports, and those that may block.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

use chain::{LedgerHandle, StateSnapshot, ViewError};
use consensus::RecoveredBlock;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc;

use super::ClockMs;
use crate::machine::{Event, InboundId, Job, serve};
use crate::message::Request;
use crate::p2p::board::Board;

/// What comes back to the task.
pub(super) enum Internal {
    /// Something for the machine.
    Event(Event),
    /// The answer to a peer's request.
    Served(InboundId, Vec<u8>),
    /// Our own store failed.
    Failed(ViewError),
    /// Where a peer is that is to be called.
    Resolved(PeerId, Vec<Multiaddr>),
}

/// The thread that hands blocks to the ledger, one after the other.
pub(super) struct Importer {
    // As long as the machine lets imports be under way, which it limits.
    blocks: Option<mpsc::UnboundedSender<Box<RecoveredBlock>>>,
    thread: Option<JoinHandle<()>>,
}

impl Importer {
    /// Starts the thread.
    pub(super) fn spawn(
        ledger: LedgerHandle,
        clock_ms: ClockMs,
        results: mpsc::Sender<Internal>,
        board: Arc<Board>,
    ) -> std::io::Result<Self> {
        let (blocks, mut waiting) = mpsc::unbounded_channel::<Box<RecoveredBlock>>();
        let thread = std::thread::Builder::new().name("network-import".to_owned()).spawn(move || {
            while let Some(block) = waiting.blocking_recv() {
                let (hash, gas, begun) = (block.hash(), block.header.gas_used, Instant::now());
                let result = ledger.import(*block, clock_ms() / 1000);
                if result.is_ok() {
                    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                    let counters = &board.counters;
                    counters.import_blocks.fetch_add(1, Ordering::Relaxed);
                    counters.import_gas.fetch_add(gas, Ordering::Relaxed);
                    counters.import_micros.fetch_add(micros, Ordering::Relaxed);
                }
                if results.blocking_send(Internal::Event(Event::Imported { hash, result })).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { blocks: Some(blocks), thread: Some(thread) })
    }

    /// Hands over a block; false: the thread has ended.
    pub(super) fn import(&self, block: Box<RecoveredBlock>) -> bool {
        self.blocks.as_ref().is_some_and(|blocks| blocks.send(block).is_ok())
    }

    /// Ends the thread after the import that runs. Whoever hears its results must have stopped listening.
    pub(super) async fn stop(&mut self) {
        drop(self.blocks.take());
        if let Some(thread) = self.thread.take() {
            // It can only have panicked, which the panic hook has told.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// Runs a job and sends its result.
pub(super) fn run_job(job: Box<Job>, ledger: LedgerHandle, clock_ms: ClockMs, results: mpsc::Sender<Internal>) {
    tokio::task::spawn_blocking(move || {
        let done = job.run(&ledger, clock_ms() / 1000);
        // The task may have ended meanwhile.
        let _ = results.blocking_send(Internal::Event(Event::JobDone(Box::new(done))));
    });
}

/// Has the ledger adopt a state snapshot. No import is under way then: the machine asks for none before it hears of this.
pub(super) fn adopt(
    snapshot: Box<StateSnapshot>,
    ledger: LedgerHandle,
    clock_ms: ClockMs,
    results: mpsc::Sender<Internal>,
) {
    tokio::task::spawn_blocking(move || {
        let adopted = ledger.adopt(*snapshot, clock_ms() / 1000);
        // The task may have ended meanwhile.
        let _ = results.blocking_send(Internal::Event(Event::Adopted(adopted)));
    });
}

/// Answers a peer's request from the ledger.
pub(super) fn serve_request(ledger: &LedgerHandle, inbound: InboundId, request: &Request) -> Internal {
    match serve::answer(ledger, request) {
        Ok(response) => Internal::Served(inbound, response.encode()),
        Err(error) => Internal::Failed(error),
    }
}
