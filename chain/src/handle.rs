//! The ledger's handle: what everyone but the writer thread holds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use alloy_primitives::{B64, B256};
use arc_swap::ArcSwap;
use consensus::validation::Departures;
use consensus::{Genesis, RecoveredBlock, RecoveredTransaction, Witness};
use crossbeam_channel::{Receiver, Sender, bounded};
use evm_runtime::state::AccountAmendment;
use parking_lot::{Mutex, RwLock};
use storage::{RowCache, StorageError, Store, Table};

use crate::backup::{self, BackupError, BackupRecord};
use crate::build::{self, BuildRequest, Candidate};
use crate::head::PoolHead;
use crate::import::{ImportError, ImportOutcome, Imported, Reorganisation, Writer};
use crate::index;
use crate::open::{LedgerConfig, OpenError, head_view, initialise, upgrade};
use crate::pool::{DropReason, JournalError, JournalReport, Pool, PoolError, TransactionOrigin};
use crate::rewind::{self, AfterRewind, BLOCKS_PER_BATCH, RewindTarget};
use crate::snapshot::StateSnapshot;
use crate::verify;
use crate::view::ChainView;

/// How many imports may wait for the writer; whoever brings more waits.
const COMMANDS_MAX: usize = 64;

/// Something that happened to the ledger.
#[derive(Clone)]
pub enum Fact {
    /// The head changed; the view is the new one.
    NewHead {
        /// The chain after the change.
        view: Arc<ChainView>,
        /// The blocks that became canonical, oldest first; the last one is the head. None where an operator has gone back.
        added: Vec<Arc<RecoveredBlock>>,
        /// What left the canonical chain, where the change was no mere growth.
        reorganisation: Option<Arc<Reorganisation>>,
    },
    /// A transaction entered the pool.
    NewTransaction(RecoveredTransaction),
    /// A transaction left the pool unmined.
    DroppedTransaction {
        /// Its hash.
        hash: B256,
        /// Why.
        reason: DropReason,
    },
    /// A local transaction is not in the journal, and would not survive a restart.
    JournalFailed {
        /// The transaction's hash.
        hash: B256,
        /// Why.
        problem: JournalError,
    },
    /// Our own store failed: the writer has ended and the node must stop.
    Failed(ImportError),
}

/// Receives facts, on the thread where they happen; must not block.
pub type Sink = Box<dyn Fn(&Fact) + Send + Sync>;

/// Where a command's outcome goes, and where it comes from.
type Reply = Sender<Result<ImportOutcome, ImportError>>;
type Answer = Receiver<Result<ImportOutcome, ImportError>>;

/// A block that was handed over to be imported.
#[derive(Debug)]
#[must_use = "an import stands whether it is waited for or not, but only this tells of it"]
pub struct PendingImport(Answer);

impl PendingImport {
    /// Waits until the block is committed.
    ///
    /// # Errors
    /// As [`LedgerHandle::import`].
    pub fn wait(self) -> Result<ImportOutcome, ImportError> {
        self.0.recv().map_err(|_| ImportError::ShutDown)?
    }
}

enum Command {
    Import(Box<RecoveredBlock>, u64, Reply),
    ImportMined(Box<Candidate>, u64, Reply),
    Adopt(Box<StateSnapshot>, u64, Reply),
    Rewind(RewindTarget, AfterRewind, u64, Reply),
    Amend(Vec<AccountAmendment>, u64, Reply),
    Stop,
}

/// Opens ledgers.
#[derive(Debug)]
pub struct Ledger;

impl Ledger {
    /// Opens the ledger in `store`, which gets the genesis block where it is empty, and starts the writer thread.
    ///
    /// # Errors
    /// Another chain, a newer format, a corrupt or failing store.
    pub fn open(
        store: Arc<dyn Store>,
        genesis: &Genesis,
        chain_file: &str,
        config: LedgerConfig,
    ) -> Result<LedgerHandle, OpenError> {
        evm_runtime::install_crypto();
        initialise(&*store, genesis, chain_file)?;
        index::prepare(&*store, config.index).map_err(OpenError::of_import)?;
        let cache = RowCache::new(config.state_cache_bytes);
        let mut view = head_view(cache.view(store.snapshot()), genesis)?;
        if upgrade(&*store, &view)? {
            view.snapshot = cache.view(store.snapshot());
        }
        let view = Arc::new(view);
        let (sender, receiver) = bounded(COMMANDS_MAX);
        let shared = Arc::new(Shared {
            pool: Pool::new(config.pool.clone()),
            head: ArcSwap::from_pointee(PoolHead::new(&view)),
            view: ArcSwap::from(view.clone()),
            sinks: RwLock::new(Vec::new()),
            commands: sender,
            store: store.clone(),
            thread: Mutex::new(None),
            backups: Mutex::new(()),
            is_out_of_space: AtomicBool::new(false),
        });
        let ethash = config.ethash.clone();
        let writer = Writer { store, config, cache, view, ethash };
        let for_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || for_thread.write(writer, &receiver))
            .map_err(|error| OpenError::Storage(StorageError::Io(format!("no thread for the ledger: {error}"))))?;
        *shared.thread.lock() = Some(thread);
        Ok(LedgerHandle { shared })
    }
}

struct Shared {
    pool: Pool,
    head: ArcSwap<PoolHead>,
    view: ArcSwap<ChainView>,
    sinks: RwLock<Vec<Sink>>,
    commands: Sender<Command>,
    store: Arc<dyn Store>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Held while a backup is made.
    backups: Mutex<()>,
    /// Whether the last import failed for want of space.
    is_out_of_space: AtomicBool,
}

/// Reads the ledger and hands it work; clones share it.
#[derive(Clone)]
pub struct LedgerHandle {
    shared: Arc<Shared>,
}

impl LedgerHandle {
    /// Returns the chain as it is now.
    pub fn view(&self) -> Arc<ChainView> {
        self.shared.view.load_full()
    }

    /// Returns the transaction pool.
    pub fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    /// Registers a receiver of facts.
    pub fn subscribe(&self, sink: Sink) {
        self.shared.sinks.write().push(sink);
    }

    /// Imports a block and waits until it is committed. `now` is the clock in seconds.
    ///
    /// # Errors
    /// By blame: invalid, missing, or our own store.
    pub fn import(&self, block: RecoveredBlock, now: u64) -> Result<ImportOutcome, ImportError> {
        self.ask(|reply| Command::Import(Box::new(block), now, reply))
    }

    /// Hands over a block to be imported after all that was handed over before, and waits no longer than there is room for it.
    ///
    /// # Errors
    /// The ledger was shut down.
    pub fn begin_import(&self, block: RecoveredBlock, now: u64) -> Result<PendingImport, ImportError> {
        self.send(|reply| Command::Import(Box::new(block), now, reply)).map(PendingImport)
    }

    /// Imports a block of our own that was built and now has its seal; it is not executed again.
    ///
    /// # Errors
    /// As [`LedgerHandle::import`].
    pub fn import_mined(
        &self,
        candidate: Candidate,
        nonce: B64,
        witness: Option<Witness>,
        now: u64,
    ) -> Result<ImportOutcome, ImportError> {
        let candidate = Box::new(candidate.with_seal(nonce, witness));
        self.ask(|reply| Command::ImportMined(candidate, now, reply))
    }

    /// Puts a verified state snapshot in the place of the genesis state of a ledger that has no other block yet, and waits until it is
    /// committed: all of it, or nothing. `now` is the clock in seconds.
    ///
    /// # Errors
    /// The ledger has blocks, the snapshot does not hold together, or our own store.
    pub fn adopt(&self, state: StateSnapshot, now: u64) -> Result<ImportOutcome, ImportError> {
        self.ask(|reply| Command::Adopt(Box::new(state), now, reply))
    }

    /// Makes an earlier canonical block the head, and waits until it is committed: whatever is final is an operator's to undo, and
    /// `finalized` goes back by as many blocks as the head.
    /// Subscribers are told as of a reorganisation to a branch without blocks. `now` is the clock in seconds.
    ///
    /// The blocks that leave stay in the store; one that is imported again and is heavier than the head is taken again. Some thousand
    /// blocks go in one atomic batch, more in several.
    ///
    /// # Errors
    /// The block is above the head or below what can be undone ([`ImportError::Refused`]), or our own store failed.
    pub fn rewind(&self, target: RewindTarget, then: AfterRewind, now: u64) -> Result<(), ImportError> {
        rewind::refuse_rewind(&self.view(), target.number)?;
        loop {
            let step = self.view().head().number.saturating_sub(BLOCKS_PER_BATCH);
            let is_last = step <= target.number;
            let part = if is_last { target } else { RewindTarget::block(step) };
            let then = if is_last { then.clone() } else { then.on_the_way() };
            self.ask(|reply| Command::Rewind(part, then, now, reply))?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Changes the state after the head by hand, as one atomic batch, and waits until it is committed. Each account may be named
    /// once. What is built or executed from then on sees it; no other node does, so that the chain must be this node's alone.
    ///
    /// # Errors
    /// Our own store failed.
    pub fn amend(&self, accounts: Vec<AccountAmendment>, now: u64) -> Result<(), ImportError> {
        self.ask(|reply| Command::Amend(accounts, now, reply)).map(drop)
    }

    fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<ImportOutcome, ImportError> {
        PendingImport(self.send(command)?).wait()
    }

    fn send(&self, command: impl FnOnce(Reply) -> Command) -> Result<Answer, ImportError> {
        let (reply, answer) = bounded(1);
        self.shared.commands.send(command(reply)).map_err(|_| ImportError::ShutDown)?;
        Ok(answer)
    }

    /// Adds a transaction to the pool. `now` is the clock in seconds.
    ///
    /// # Errors
    /// The pool's reason, in geth's words.
    pub fn add_transaction(
        &self,
        transaction: RecoveredTransaction,
        origin: TransactionOrigin,
        now: u64,
    ) -> Result<B256, PoolError> {
        let head = self.shared.head.load();
        let added = self.shared.pool.add(transaction.clone(), origin, &**head, now)?;
        self.shared.publish_dropped(added.dropped);
        if let Some(problem) = added.journal_error {
            self.shared.publish(&Fact::JournalFailed { hash: added.hash, problem });
        }
        self.shared.publish(&Fact::NewTransaction(transaction));
        Ok(added.hash)
    }

    /// Puts the journal's transactions back into the pool. `now` is the clock in seconds.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn load_journal(&self, now: u64) -> Result<JournalReport, JournalError> {
        let head = self.shared.head.load();
        self.shared.pool.load_journal(&**head, now)
    }

    /// Sets the least tip in wei that the pool takes, and drops what offers less.
    pub fn set_price_limit(&self, wei: u128) {
        self.shared.pool.set_price_limit(wei);
        self.shared.publish_dropped(self.shared.pool.take_dropped());
    }

    /// Takes a transaction out of the pool at the operator's wish, and tells whether it was there.
    pub fn drop_transaction(&self, hash: B256) -> bool {
        let removed = self.shared.pool.remove(hash);
        self.shared.publish_dropped(self.shared.pool.take_dropped());
        removed
    }

    /// Drops what has waited in the pool for too long. `now` is the clock in seconds.
    pub fn expire_transactions(&self, now: u64) {
        self.shared.publish_dropped(self.shared.pool.expire(now));
    }

    /// Builds a block on the head from the pool; executed, without a seal.
    ///
    /// # Errors
    /// Our own store failed.
    pub fn build(&self, request: &BuildRequest) -> Result<Candidate, ImportError> {
        self.build_departing(request, Departures::default())
    }

    /// Builds a block as [`LedgerHandle::build`], but with fields that a development chain's operator wants against the rules. Only
    /// [`LedgerHandle::import_mined`] takes it.
    ///
    /// # Errors
    /// Our own store failed.
    pub fn build_departing(&self, request: &BuildRequest, departures: Departures) -> Result<Candidate, ImportError> {
        let (candidate, failed) = build::build(&self.view(), self.pool(), request, departures)?;
        if !failed.is_empty() {
            let head = self.shared.head.load();
            self.shared.publish_dropped(self.shared.pool.recheck(&failed, &**head));
        }
        Ok(candidate)
    }

    /// Tells whether the last import failed because the disk is full. Reads go on meanwhile, and so do imports when there is space again.
    pub fn is_out_of_space(&self) -> bool {
        self.shared.is_out_of_space.load(Ordering::Relaxed)
    }

    /// Makes a backup of the chain as it is now in the directory `target`, which must not exist yet; imports go on meanwhile.
    ///
    /// # Errors
    /// `target` exists, or the store or the disk failed.
    pub fn back_up(&self, target: &Path) -> Result<BackupRecord, BackupError> {
        let _one_at_a_time = self.shared.backups.lock();
        backup::create(&*self.shared.store, target)
    }

    /// Returns what the database says about itself, and how large its tables are, as lines of text.
    ///
    /// # Errors
    /// The store failed.
    pub fn describe_database(&self) -> Result<String, StorageError> {
        let store = &*self.shared.store;
        let mut text = String::new();
        for table in Table::ALL {
            let size = store.size(table)?;
            text.push_str(&format!("{:<18}{:>14} rows {:>16} bytes\n", table.name(), size.rows, size.bytes));
        }
        for (name, value) in verify::facts(store)? {
            text.push_str(&format!("{name:<18}{value}\n"));
        }
        Ok(text)
    }

    /// Rewrites the database, so that deleted rows give their space back; imports go on meanwhile.
    ///
    /// # Errors
    /// The store failed.
    pub fn compact_database(&self) -> Result<(), StorageError> {
        let _one_at_a_time = self.shared.backups.lock();
        self.shared.store.compact()
    }

    /// Brings all imports to the disk.
    ///
    /// # Errors
    /// The store failed.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.shared.store.sync()
    }

    /// Ends the writer thread after the imports that wait, and brings everything to the disk. Further work is refused.
    ///
    /// # Errors
    /// The store failed.
    pub fn shut_down(&self) -> Result<(), StorageError> {
        // A writer that has already ended needs no word.
        let _ = self.shared.commands.send(Command::Stop);
        if let Some(thread) = self.shared.thread.lock().take() {
            // It can only have panicked, which the panic hook has told.
            let _ = thread.join();
        }
        self.shared.store.sync()
    }
}

impl Shared {
    /// Runs the writer until it is told to stop or the store fails.
    fn write(&self, mut writer: Writer, commands: &Receiver<Command>) {
        while let Ok(command) = commands.recv() {
            let mut then = AfterRewind::ReturnTransactions;
            let (result, now, reply) = match command {
                Command::Import(block, now, reply) => (writer.import(*block, now), now, reply),
                Command::ImportMined(candidate, now, reply) => (writer.import_mined(*candidate, now), now, reply),
                Command::Adopt(state, now, reply) => (writer.adopt(&state), now, reply),
                Command::Rewind(target, wanted, now, reply) => {
                    then = wanted;
                    (writer.rewind(target), now, reply)
                }
                Command::Amend(accounts, now, reply) => (writer.amend(accounts), now, reply),
                Command::Stop => return,
            };
            let state_before = self.head.load().state_root();
            self.view.store(writer.view.clone());
            let out_of_space = result.as_ref().is_err_and(ImportError::is_out_of_space);
            self.is_out_of_space.store(out_of_space, Ordering::Relaxed);
            let fatal = result.as_ref().err().filter(|error| error.is_fatal()).cloned();
            let outcome = result.map(|imported| {
                let is_news = imported.has_moved()
                    || writer.view.state_root != state_before
                    || matches!(then, AfterRewind::ReplacePool(_));
                if is_news { self.follow(&writer.view, imported, then, now) } else { imported.outcome }
            });
            // Nobody waits for the answer any more: the import stands all the same.
            let _ = reply.send(outcome);
            if let Some(error) = fatal {
                self.publish(&Fact::Failed(error));
                return;
            }
        }
    }

    /// Tells pool and subscribers what an import changed.
    fn follow(&self, view: &Arc<ChainView>, imported: Imported, then: AfterRewind, now: u64) -> ImportOutcome {
        let head = Arc::new(PoolHead::new(view));
        self.head.store(head.clone());
        let has_moved = imported.has_moved();
        let dropped = match then {
            AfterRewind::ReplacePool(wanted) => self.pool.replace(wanted, &*head, now),
            AfterRewind::ReturnTransactions if has_moved => {
                let left = imported.reorganisation.iter().flat_map(|moved| moved.dropped.iter().rev());
                let returned = left.flat_map(|(block, _)| block.transactions.iter().cloned()).collect();
                let mut mined = imported.added.iter().flat_map(|block| block.transactions.iter());
                let mut dropped = self.pool.on_new_head(&*head, &mut mined, returned, now);
                // A state that was adopted changes accounts without a transaction that says so.
                if view.base_number() > 0 && view.base_number() == view.head().number {
                    dropped.extend(self.pool.recheck(&self.pool.senders(), &*head));
                }
                dropped
            }
            // Changed by hand: whatever waits may be affordable now, or not any more.
            AfterRewind::ReturnTransactions => self.pool.recheck(&self.pool.senders(), &*head),
        };
        if has_moved {
            self.publish(&Fact::NewHead {
                view: view.clone(),
                added: imported.added.clone(),
                reorganisation: imported.reorganisation.map(Arc::new),
            });
        }
        self.publish_dropped(dropped);
        imported.outcome
    }

    fn publish(&self, fact: &Fact) {
        for sink in self.sinks.read().iter() {
            sink(fact);
        }
    }

    fn publish_dropped(&self, dropped: Vec<(B256, DropReason)>) {
        for (hash, reason) in dropped {
            self.publish(&Fact::DroppedTransaction { hash, reason });
        }
    }
}
