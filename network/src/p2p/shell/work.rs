//! The threads beside the task: one that imports, and those that may block.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

use alloy_primitives::B256;
use chain::{ImportError, LedgerHandle, PendingImport, StateSnapshot, ViewError};
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

/// What the ledger is to take in.
pub(super) enum Import {
    /// A block.
    Block(Box<RecoveredBlock>),
    /// A state, with its block.
    Snapshot(Box<StateSnapshot>),
}

/// The thread that hands blocks to the ledger, one after the other.
pub(super) struct Importer {
    // As long as the machine lets imports be under way, which it limits.
    imports: Option<mpsc::UnboundedSender<Import>>,
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
        let (imports, mut waiting) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name("network-import".to_owned()).spawn(move || {
            let (mut begun, mut last_end) = (None::<Begun>, Instant::now());
            loop {
                // While one block is being imported the next one is handed over already.
                let import = if begun.is_some() { waiting.try_recv().ok() } else { waiting.blocking_recv() };
                let next = match import {
                    Some(Import::Block(block)) => Some(Begun::begin(&ledger, *block, clock_ms() / 1000)),
                    Some(Import::Snapshot(snapshot)) => {
                        let last = begun.take().map(|last| last.end(&board, &mut last_end));
                        let adopted = Event::Adopted(ledger.adopt(*snapshot, clock_ms() / 1000));
                        if !tell_all(&results, last.into_iter().chain([adopted])) {
                            return;
                        }
                        continue;
                    }
                    None if begun.is_none() => return,
                    None => None,
                };
                let last = std::mem::replace(&mut begun, next).map(|last| last.end(&board, &mut last_end));
                if !tell_all(&results, last) {
                    return;
                }
            }
        })?;
        Ok(Self { imports: Some(imports), thread: Some(thread) })
    }

    /// Hands something over; false: the thread has ended.
    pub(super) fn import(&self, import: Import) -> bool {
        self.imports.as_ref().is_some_and(|imports| imports.send(import).is_ok())
    }

    /// Ends the thread after the import that runs. Whoever hears its results must have stopped listening.
    pub(super) async fn stop(&mut self) {
        drop(self.imports.take());
        if let Some(thread) = self.thread.take() {
            // It can only have panicked, which the panic hook has told.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// Tells the task; false: it has ended.
fn tell_all(results: &mpsc::Sender<Internal>, events: impl IntoIterator<Item = Event>) -> bool {
    events.into_iter().all(|event| results.blocking_send(Internal::Event(event)).is_ok())
}

/// A block that was handed to the ledger.
struct Begun {
    hash: B256,
    gas: u64,
    at: Instant,
    import: Result<PendingImport, ImportError>,
}

impl Begun {
    fn begin(ledger: &LedgerHandle, block: RecoveredBlock, now: u64) -> Self {
        let (hash, gas, at) = (block.hash(), block.header.gas_used, Instant::now());
        Self { hash, gas, at, import: ledger.begin_import(block, now) }
    }

    /// Waits for the import and counts the time that it took, without that before the one before was done.
    fn end(self, board: &Board, last_end: &mut Instant) -> Event {
        let result = self.import.and_then(PendingImport::wait);
        let now = Instant::now();
        if result.is_ok() {
            let micros = u64::try_from(now.duration_since(self.at.max(*last_end)).as_micros()).unwrap_or(u64::MAX);
            let counters = &board.counters;
            counters.import_blocks.fetch_add(1, Ordering::Relaxed);
            counters.import_gas.fetch_add(self.gas, Ordering::Relaxed);
            counters.import_micros.fetch_add(micros, Ordering::Relaxed);
        }
        *last_end = now;
        Event::Imported { hash: self.hash, result }
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

/// Answers a peer's request from the ledger.
pub(super) fn serve_request(ledger: &LedgerHandle, inbound: InboundId, request: &Request) -> Internal {
    match serve::answer(ledger, request) {
        Ok(response) => Internal::Served(inbound, response.encode()),
        Err(error) => Internal::Failed(error),
    }
}
