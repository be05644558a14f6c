//! The one door through which blocks come: validate, execute, compare, commit as one batch.

use std::sync::Arc;

use alloy_primitives::B256;
use consensus::ethash::LightCaches;
use consensus::ethereum::ommers::{ANCESTORS, Ancestor};
use consensus::validation::Departures;
use consensus::{ChainSpec, Era, Header, RecoveredBlock, SealedHeader, ValidationError, fork_choice, validation};
use evm_runtime::execute::execute_block;
use evm_runtime::receipt::{encode_receipts, logs_bloom, receipts_root};
use evm_runtime::requests::requests_hash;
use evm_runtime::{ExecutedBlock, ExecutionError, Receipt, StateError, state};
use storage::{Reader, RowCache, Snapshot, Stage, StorageError, Store, Table, Write};

use crate::amendments;
use crate::build::Candidate;
use crate::finality::Finalized;
use crate::index;
use crate::open::LedgerConfig;
use crate::records::{
    HeaderRecord, block_key, canonical_hash, meta, number_of, put_block, put_canonical, read_block, read_u64,
    remove_canonical,
};
use crate::view::ChainView;

/// Says why a block was not imported, by blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The block breaks a rule: its sender is to blame.
    #[error("invalid block: {0}")]
    Invalid(String),
    /// The block's parent is not here: fetch it.
    #[error("unknown ancestor: {0}")]
    UnknownParent(B256),
    /// The block is too far ahead of the clock: try again later.
    #[error(transparent)]
    Future(ValidationError),
    /// Nothing at or below the finalized block is reorganised, nor where the history was pruned.
    #[error("the branch leaves the canonical chain at block {ancestor}, below the finalized block {finalized}")]
    BelowFinalized {
        /// The common ancestor's number.
        ancestor: u64,
        /// The finalized block's number; where the history of later blocks was pruned, that of the first block that can be gone back to.
        finalized: u64,
    },
    /// The next block is not made here: the chain file gives it to other clients.
    #[error("block {number} is not made here: {why}")]
    MadeElsewhere {
        /// The next block's number.
        number: u64,
        /// What the chain file says, and what to do.
        why: String,
    },
    /// What was asked for cannot be done; nothing has changed.
    #[error("{0}")]
    Refused(String),
    /// Our own store failed: stop.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Our own state does not hold together: stop.
    #[error("{0}")]
    Corrupt(String),
    /// The writer thread has ended.
    #[error("the ledger is shut down")]
    ShutDown,
}

impl ImportError {
    /// Tells whether our own machine is to blame, so that the node must stop. A full disk is no such reason: nothing was written, reads go
    /// on, and the same block can be imported when there is space again.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Storage(_) | Self::Corrupt(_) | Self::ShutDown) && !self.is_out_of_space()
    }

    /// Tells whether the disk is full.
    pub fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Storage(StorageError::Full(_)))
    }
}

impl From<StateError> for ImportError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Storage(error) => Self::Storage(error),
            StateError::Corrupt(problem) => Self::Corrupt(problem),
        }
    }
}

impl From<ValidationError> for ImportError {
    fn from(error: ValidationError) -> Self {
        match error {
            ValidationError::UnknownParent(hash) => Self::UnknownParent(hash),
            ValidationError::FutureBlock { .. } => Self::Future(error),
            other => Self::Invalid(other.to_string()),
        }
    }
}

impl From<ExecutionError> for ImportError {
    fn from(error: ExecutionError) -> Self {
        match error {
            ExecutionError::State(error) => error.into(),
            other => Self::Invalid(other.to_string()),
        }
    }
}

/// Says what an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportOutcome {
    /// The block was known.
    Known,
    /// The block is stored on a side branch.
    SideBranch,
    /// The block is the new head.
    Canonical {
        /// How many blocks left the canonical chain for it.
        reverted: usize,
    },
}

/// A block that left the canonical chain, with its receipts.
pub type DroppedBlock = (Arc<RecoveredBlock>, Arc<Vec<Receipt>>);

/// Holds what a reorganisation moved.
#[derive(Clone, Debug)]
pub struct Reorganisation {
    /// The number of the last common block.
    pub ancestor: u64,
    /// The blocks that left, newest first, each with its receipts.
    pub dropped: Vec<DroppedBlock>,
}

/// Holds what a successful import changed, for the pool and the subscribers.
pub(crate) struct Imported {
    pub(crate) outcome: ImportOutcome,
    /// The blocks that became canonical, oldest first.
    pub(crate) added: Vec<Arc<RecoveredBlock>>,
    pub(crate) reorganisation: Option<Reorganisation>,
}

impl Imported {
    pub(crate) fn nothing(outcome: ImportOutcome) -> Self {
        Self { outcome, added: Vec::new(), reorganisation: None }
    }

    /// Tells whether the head is another one.
    pub(crate) fn has_moved(&self) -> bool {
        !self.added.is_empty() || self.reorganisation.is_some()
    }
}

/// The ledger's writing side; one thread owns it.
pub(crate) struct Writer {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) config: LedgerConfig,
    pub(crate) cache: Arc<RowCache>,
    pub(crate) view: Arc<ChainView>,
    /// What verifying foreign seals needs.
    pub(crate) ethash: LightCaches,
}

impl Writer {
    /// Imports one block; on success the writer's view is the new one.
    pub(crate) fn import(&mut self, block: RecoveredBlock, now: u64) -> Result<Imported, ImportError> {
        let snapshot = self.view.snapshot.clone();
        if self.is_settled(&*snapshot, block.hash())? {
            return Ok(Imported::nothing(ImportOutcome::Known));
        }
        self.refuse_known_invalid(&block)?;
        // Past the merge the clock of the consensus layer counted, which is not here.
        if self.view.spec.era_of(&block.header) != Era::Merged {
            validation::validate_not_future(&block.header, now)?;
        }
        let parent = self.validate(&*snapshot, &block, &Departures::default())?;
        let total_difficulty = parent.total_difficulty.saturating_add(block.header.difficulty);
        let block = Arc::new(block);
        if block.header.parent_hash == self.view.head.hash() {
            return self.extend(snapshot, block, total_difficulty);
        }
        if fork_choice::takes_head(&self.view.spec, &block.header, total_difficulty, self.view.head_td) {
            return self.reorganise(snapshot, block, total_difficulty);
        }
        self.rehearse(snapshot.clone(), &block)?;
        let mut stage = Stage::new(snapshot);
        put_block(&mut stage, &block, total_difficulty);
        let snapshot = self.commit(stage)?;
        self.view = Arc::new(ChainView { snapshot, ..(*self.view).clone() });
        Ok(Imported::nothing(ImportOutcome::SideBranch))
    }

    /// Imports a block of our own, which was executed when it was built.
    pub(crate) fn import_mined(&mut self, candidate: Candidate, now: u64) -> Result<Imported, ImportError> {
        let (built_on, departures) = (candidate.parent_state_root, candidate.departures);
        let (block, receipts, mut stage) = candidate.into_parts();
        if block.header.parent_hash != self.view.head.hash() {
            return self.import(block, now);
        }
        if built_on != self.view.state_root {
            let problem = "the state was changed by hand while the block was built";
            return Err(ImportError::Refused(problem.to_owned()));
        }
        validation::validate_not_future(&block.header, now)?;
        let parent = self.validate(&*self.view.snapshot, &block, &departures)?;
        let total_difficulty = parent.total_difficulty.saturating_add(block.header.difficulty);
        let block = Arc::new(block);
        put_connected(&mut stage, &block, total_difficulty, &receipts)?;
        self.commit_head(stage, &block, total_difficulty)?;
        Ok(Imported { outcome: ImportOutcome::Canonical { reverted: 0 }, added: vec![block], reorganisation: None })
    }

    /// Tells whether a block is known and stands where it belongs. One that was left by going back and is heavier than the head is
    /// taken again.
    fn is_settled(&self, reader: &dyn Reader, hash: B256) -> Result<bool, ImportError> {
        let Some(number) = number_of(reader, hash)? else { return Ok(false) };
        if canonical_hash(reader, number)? == Some(hash) {
            return Ok(true);
        }
        let record = HeaderRecord::read(reader, number, hash)?;
        Ok(record.is_none_or(|record| record.total_difficulty <= self.view.head_td))
    }

    fn refuse_known_invalid(&mut self, block: &RecoveredBlock) -> Result<(), ImportError> {
        for hash in [block.hash(), block.header.parent_hash] {
            if let Some(reason) = self.view.snapshot.get(Table::Invalid, hash.as_slice())? {
                return Err(ImportError::Invalid(String::from_utf8_lossy(&reason).into_owned()));
            }
        }
        Ok(())
    }

    /// Checks all that needs no execution, and returns the parent's record.
    fn validate(
        &self,
        reader: &dyn Reader,
        block: &RecoveredBlock,
        departures: &Departures,
    ) -> Result<HeaderRecord, ImportError> {
        let spec = &self.view.spec;
        validation::validate_header_alone(spec, block)?;
        let parent_hash = block.header.parent_hash;
        let parent_number = number_of(reader, parent_hash)?.ok_or(ImportError::UnknownParent(parent_hash))?;
        let record = HeaderRecord::read(reader, parent_number, parent_hash)?;
        let record = record.ok_or(ImportError::UnknownParent(parent_hash))?;
        let parent = SealedHeader::with_known_hash(record.header.clone(), parent_hash);
        let grandparent = grandparent_timestamp(reader, &parent)?;
        validation::validate_departing_header(spec, &block.header, &parent, grandparent, departures)?;
        validation::validate_terminal_difficulty(spec, &block.header, record.total_difficulty)?;
        validation::validate_body(spec, &block.header, &block.to_block().body, parent.timestamp)?;
        if !block.ommers.is_empty() {
            let ancestors = ancestors(reader, &block.header)?;
            validation::validate_ommers(spec, block, &ancestors, &self.ethash)?;
        }
        validation::validate_foreign_seal(spec, &block.header, &self.ethash)?;
        Ok(record)
    }

    fn extend(
        &mut self,
        snapshot: Snapshot,
        block: Arc<RecoveredBlock>,
        total_difficulty: alloy_primitives::U256,
    ) -> Result<Imported, ImportError> {
        let mut stage = Stage::new(snapshot);
        if let Err(error) = connect(&self.view.spec, &mut stage, &block, total_difficulty) {
            self.mark_invalid(&[&block], &error)?;
            return Err(error);
        }
        self.commit_head(stage, &block, total_difficulty)?;
        Ok(Imported { outcome: ImportOutcome::Canonical { reverted: 0 }, added: vec![block], reorganisation: None })
    }

    /// Puts the heavier branch in the place of the canonical one, all as one batch.
    fn reorganise(
        &mut self,
        snapshot: Snapshot,
        block: Arc<RecoveredBlock>,
        total_difficulty: alloy_primitives::U256,
    ) -> Result<Imported, ImportError> {
        let (ancestor, branch) = self.branch_of(&*snapshot, block.clone())?;
        let finalized = self.reorganisation_floor()?;
        if !fork_choice::may_reorganise(finalized, ancestor) {
            return Err(ImportError::BelowFinalized { ancestor, finalized });
        }
        let mut stage = Stage::new(snapshot);
        let dropped = self.switch(&mut stage, ancestor, &branch)?;
        self.commit_head(stage, &block, total_difficulty)?;
        let outcome = ImportOutcome::Canonical { reverted: dropped.len() };
        Ok(Imported { outcome, added: branch, reorganisation: Some(Reorganisation { ancestor, dropped }) })
    }

    fn reorganisation_floor(&self) -> Result<u64, ImportError> {
        self.view.reorganisation_floor().map_err(|error| ImportError::Corrupt(error.to_string()))
    }

    /// Executes a side branch of other clients' blocks and forgets what came of it, so that a bad one is refused when it comes, as
    /// these clients do. Drawbridge's own blocks are executed when their branch becomes the heavier one: there a bad block has cost
    /// its sender as much work as a good one.
    fn rehearse(&mut self, snapshot: Snapshot, block: &Arc<RecoveredBlock>) -> Result<(), ImportError> {
        /// A longer branch is executed when it becomes the heavier one.
        const REHEARSED_MAX: usize = 64;
        if self.view.spec.era_of(&block.header) == Era::Drawbridge {
            return Ok(());
        }
        let (ancestor, branch) = self.branch_of(&*snapshot, block.clone())?;
        if branch.len() > REHEARSED_MAX || !fork_choice::may_reorganise(self.reorganisation_floor()?, ancestor) {
            return Ok(());
        }
        self.switch(&mut Stage::new(snapshot), ancestor, &branch).map(drop)
    }

    /// Undoes the canonical chain down to the common ancestor and connects a branch, all in `stage`; returns what was undone. Where
    /// the branch turns out invalid, it is marked so.
    fn switch(
        &mut self,
        stage: &mut Stage,
        ancestor: u64,
        branch: &[Arc<RecoveredBlock>],
    ) -> Result<Vec<DroppedBlock>, ImportError> {
        let dropped = self.disconnect_to(stage, ancestor)?;
        let ancestor_hash = canonical_hash(stage, ancestor)?.ok_or_else(|| corrupt("the common ancestor is gone"))?;
        let record = HeaderRecord::read(stage, ancestor, ancestor_hash)?;
        let mut td = record.ok_or_else(|| corrupt("the common ancestor's header is gone"))?.total_difficulty;
        for (index, member) in branch.iter().enumerate() {
            td = td.saturating_add(member.header.difficulty);
            if let Err(error) = connect(&self.view.spec, stage, member, td) {
                let doomed: Vec<_> = branch[index..].iter().map(|block| &**block).collect();
                self.mark_invalid(&doomed, &error)?;
                return Err(error);
            }
        }
        Ok(dropped)
    }

    /// Returns the number of the last canonical block below `tip`, and the branch above it, oldest first.
    fn branch_of(
        &self,
        reader: &dyn Reader,
        tip: Arc<RecoveredBlock>,
    ) -> Result<(u64, Vec<Arc<RecoveredBlock>>), ImportError> {
        let mut branch = vec![tip.clone()];
        let (mut number, mut hash) = (tip.number().saturating_sub(1), tip.header.parent_hash);
        while canonical_hash(reader, number)? != Some(hash) {
            let block = read_block(reader, number, hash)?.ok_or(ImportError::UnknownParent(hash))?;
            hash = block.header.parent_hash;
            number = number.checked_sub(1).ok_or_else(|| corrupt("a branch does not end at the genesis block"))?;
            branch.push(Arc::new(block));
        }
        branch.reverse();
        Ok((number, branch))
    }

    pub(crate) fn disconnect_to(&self, stage: &mut Stage, ancestor: u64) -> Result<Vec<DroppedBlock>, ImportError> {
        let mut dropped = Vec::new();
        let (mut number, mut hash) = (self.view.head.number, self.view.head.hash());
        while number > ancestor {
            let block = read_block(stage, number, hash)?.ok_or_else(|| corrupt("a canonical block is gone"))?;
            let receipts = self.view.receipts(hash).map_err(|error| ImportError::Corrupt(error.to_string()))?;
            disconnect(stage, &block)?;
            (number, hash) = (number.saturating_sub(1), block.header.parent_hash);
            dropped.push((Arc::new(block), receipts.unwrap_or_default()));
        }
        Ok(dropped)
    }

    /// Remembers that blocks are invalid, so that neither they nor their children are tried again.
    fn mark_invalid(&mut self, blocks: &[&RecoveredBlock], error: &ImportError) -> Result<(), ImportError> {
        let ImportError::Invalid(reason) = error else { return Ok(()) };
        let mut stage = Stage::new(self.view.snapshot.clone());
        for block in blocks {
            stage.put(Table::Invalid, block.hash().as_slice(), reason.as_bytes());
            let key = block_key(block.number(), block.hash());
            stage.delete(Table::Headers, key);
            stage.delete(Table::Bodies, key);
            stage.delete(Table::Numbers, block.hash().as_slice());
        }
        let snapshot = self.commit(stage)?;
        self.view = Arc::new(ChainView { snapshot, ..(*self.view).clone() });
        Ok(())
    }

    /// Commits all rows of a stage as one batch, and returns the snapshot after it.
    pub(crate) fn commit(&self, stage: Stage) -> Result<Snapshot, StorageError> {
        let batch = stage.into_batch();
        let cached: Vec<Write> =
            batch.writes().iter().filter(|write| RowCache::holds(write.table())).cloned().collect();
        self.store.commit(batch, self.config.durability)?;
        self.cache.advance(cached);
        Ok(self.cache.view(self.store.snapshot()))
    }

    /// Commits a stage whose head is `block`; what is final rises with it.
    fn commit_head(
        &mut self,
        stage: Stage,
        block: &RecoveredBlock,
        total_difficulty: alloy_primitives::U256,
    ) -> Result<(), ImportError> {
        let finalized = self.view.finalized.risen(&stage, &self.view.spec.pow, block.number())?;
        self.commit_head_with(stage, block, total_difficulty, finalized)
    }

    /// Commits a stage whose head is `block`, all in one batch with what is final now.
    pub(crate) fn commit_head_with(
        &mut self,
        mut stage: Stage,
        block: &RecoveredBlock,
        total_difficulty: alloy_primitives::U256,
        finalized: Finalized,
    ) -> Result<(), ImportError> {
        finalized.put(&mut stage);
        self.forget_old_history(&mut stage, block.number())?;
        let amended = amendments::root(&stage, block.number(), block.hash())?;
        let snapshot = self.commit(stage)?;
        self.view = Arc::new(ChainView {
            spec: self.view.spec.clone(),
            snapshot,
            head: block.header.clone(),
            state_root: amended.unwrap_or(block.header.state_root),
            head_td: total_difficulty,
            genesis_hash: self.view.genesis_hash,
            finalized,
            base: self.view.base,
        });
        Ok(())
    }

    /// Forgets the history that the configuration does not keep. The first block whose state can be read never moves down, though the
    /// head may: what is forgotten stays so.
    fn forget_old_history(&self, stage: &mut Stage, head: u64) -> Result<(), ImportError> {
        /// A batch forgets the history of so many blocks; that of more, which a longer chain kept till now, is for `db prune`.
        const FORGOTTEN_MAX: u64 = 256;
        let Some(floor) = self.config.history.and_then(|kept| head.checked_sub(kept)) else { return Ok(()) };
        let before = stage.get(Table::Meta, meta::HISTORY_FLOOR)?.and_then(|row| read_u64(&row));
        let first = before.map_or(0, |before| before.saturating_add(1)).max(floor.saturating_sub(FORGOTTEN_MAX - 1));
        let mut forgotten = false;
        for number in first..=floor {
            forgotten |= state::forget_history(stage, number)?;
        }
        if forgotten {
            stage.put(Table::Meta, meta::HISTORY_FLOOR, floor.to_be_bytes());
        }
        Ok(())
    }
}

pub(crate) fn corrupt(problem: &str) -> ImportError {
    ImportError::Corrupt(problem.to_owned())
}

/// Returns the timestamp of a header's parent, or `None` for the genesis block.
pub(crate) fn grandparent_timestamp(reader: &dyn Reader, parent: &SealedHeader) -> Result<Option<u64>, StorageError> {
    let Some(number) = parent.number.checked_sub(1) else { return Ok(None) };
    Ok(HeaderRecord::read(reader, number, parent.parent_hash)?.map(|record| record.header.timestamp))
}

/// Reads the ancestors that decide which ommers a block may name, its parent first.
fn ancestors(reader: &dyn Reader, header: &Header) -> Result<Vec<Ancestor>, StorageError> {
    let mut ancestors = Vec::with_capacity(ANCESTORS);
    let (mut number, mut hash) = (header.number, header.parent_hash);
    while ancestors.len() < ANCESTORS && number > 0 {
        number -= 1;
        let Some(block) = read_block(reader, number, hash)? else { break };
        let ommers = block.ommers.iter().map(Header::hash_slow).collect();
        hash = block.header.parent_hash;
        ancestors.push(Ancestor { header: block.header, ommers });
    }
    Ok(ancestors)
}

/// Executes a block on the stage's head, compares the outcome with its header, and makes it the stage's head; what was changed by
/// hand after it is changed again.
pub(crate) fn connect(
    spec: &ChainSpec,
    stage: &mut Stage,
    block: &RecoveredBlock,
    total_difficulty: alloy_primitives::U256,
) -> Result<(), ImportError> {
    let reader: &dyn Reader = stage;
    let executed = execute_block(spec, block, &reader, reader)?;
    let (compared, applied) = both(
        block.transactions.len(),
        || compare(&block.header, &executed),
        || state::compute(reader, &executed.changes),
    );
    compared?;
    let applied = applied?;
    if applied.root != block.header.state_root {
        let (expected, actual) = (block.header.state_root, applied.root);
        return Err(ImportError::Invalid(format!("state root: header says {expected}, execution gives {actual}")));
    }
    applied.write(stage, Some(block.number()))?;
    put_connected(stage, block, total_difficulty, &executed.receipts)?;
    amendments::repeat(stage, block.number(), block.hash())
}

/// From how many transactions on a part of the work is handed to another thread, which has to be woken for it.
const SHARED_FROM: usize = 16;

/// Does two things that take long for many transactions: those on two threads, others one after the other.
pub(crate) fn both<A: Send, B: Send>(
    transactions: usize,
    one: impl FnOnce() -> A + Send,
    other: impl FnOnce() -> B + Send,
) -> (A, B) {
    if transactions < SHARED_FROM { (one(), other()) } else { rayon::join(one, other) }
}

fn compare(header: &Header, executed: &ExecutedBlock) -> Result<(), ImportError> {
    let ExecutedBlock { gas_used, receipts, requests, .. } = executed;
    let differs = |what: &str, expected: &dyn std::fmt::Display, actual: &dyn std::fmt::Display| {
        Err(ImportError::Invalid(format!("{what}: header says {expected}, execution gives {actual}")))
    };
    if *gas_used != header.gas_used {
        return differs("gas used", &header.gas_used, gas_used);
    }
    // Before Prague there are none. A header that Drawbridge seals says so of all its blocks.
    let hash = requests_hash(requests);
    if header.requests_hash.is_some_and(|expected| expected != hash) {
        return differs("requests hash", &header.requests_hash.unwrap_or_default(), &hash);
    }
    let root = receipts_root(receipts);
    if root != header.receipts_root {
        return differs("receipts root", &header.receipts_root, &root);
    }
    let bloom = logs_bloom(receipts);
    if bloom != header.logs_bloom {
        return differs("logs bloom", &header.logs_bloom, &bloom);
    }
    Ok(())
}

fn put_connected(
    stage: &mut Stage,
    block: &RecoveredBlock,
    total_difficulty: alloy_primitives::U256,
    receipts: &[Receipt],
) -> Result<(), StorageError> {
    put_block(stage, block, total_difficulty);
    stage.put(Table::Receipts, block_key(block.number(), block.hash()), encode_receipts(receipts));
    put_canonical(stage, block);
    index::connect(stage, block, receipts)
}

/// Takes the stage's head off the chain and gives back the state before it.
pub(crate) fn disconnect(stage: &mut Stage, block: &RecoveredBlock) -> Result<(), ImportError> {
    let root = state::undo(stage, block.number())?;
    index::disconnect(stage, block)?;
    remove_canonical(stage, block);
    let (number, hash) = (block.number().saturating_sub(1), block.header.parent_hash);
    let parent = HeaderRecord::read(stage, number, hash)?.ok_or_else(|| corrupt("the parent of the head is gone"))?;
    let expected = amendments::root(stage, number, hash)?.unwrap_or(parent.header.state_root);
    if root == expected {
        Ok(())
    } else {
        Err(ImportError::Corrupt(format!("undoing block {}: state root {root}, not {expected}", block.number())))
    }
}
