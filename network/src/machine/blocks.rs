//! New blocks: compact announcements come, are checked, rebuilt from the pool, passed on and imported; our own are published.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::EMPTY_ROOT_HASH;
use alloy_primitives::B256;
use chain::{ImportError, ImportOutcome, ViewError};
use consensus::validation::FUTURE_BLOCK_SECONDS_MAX;
use consensus::{RecoveredBlock, RecoveredTransaction, SealedHeader};

use super::action::{Action, Alarm, Offence, Verdict};
use super::bounded::{RecentBlocks, Seen, block_bytes};
use super::event::PeerId;
use super::job::{Job, Rebuild, RebuildFault};
use super::limits::{
    BLOCK_TRANSACTIONS_ASKED_MAX, IMPORTS_AHEAD_MAX, ORPHAN_DISTANCE_MAX, ORPHAN_MS, REBUILDS_MAX, REBUILDS_PER_PEER,
    RECENT_BYTES_MAX, SEEN_BLOCKS_MAX, SIDE_BYTES_MAX,
};
use super::orphans::Orphans;
use super::peers::{Peer, Share};
use super::requests::Purpose;
use super::verify::{self, Anchor, HeaderEntry};
use super::{Context, Machine};
use crate::message::{CompactBlock, Gossip, GossipId, Request};

/// Says how a block came that is being imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Passed on by this peer.
    Gossip(PeerId),
    /// From the chain of this peer.
    Sync(PeerId),
}

/// A block that is on its way to the ledger.
#[derive(Clone, Copy, Debug)]
struct Importing {
    source: Source,
    number: u64,
    bytes: usize,
}

/// A block that is being put together.
struct Building {
    peer: PeerId,
    /// The gossip message that waits for a verdict; `None` for a block that waited itself.
    gossip: Option<GossipId>,
    entry: HeaderEntry,
    parent_timestamp: u64,
    hashes: Vec<B256>,
    found: Vec<Option<RecoveredTransaction>>,
    /// Who was asked for what is missing, the last one now.
    asked: Vec<PeerId>,
}

impl Building {
    /// Tells whether none of its transactions is named, although there are some.
    fn is_bare(&self) -> bool {
        self.hashes.is_empty() && self.entry.header.transactions_root != EMPTY_ROOT_HASH
    }

    /// Counts the transactions that an answer must bring at least.
    fn missing(&self) -> usize {
        let unknown = self.found.iter().filter(|found| found.is_none()).count();
        if self.is_bare() { 1 } else { unknown }
    }
}

/// Holds the blocks that are on their way in.
pub(crate) struct Blocks {
    seen: Seen,
    /// By a number of our own: two announcements of one block may differ in their transactions, and one of them lie.
    building: BTreeMap<u64, Building>,
    next_building: u64,
    orphans: Orphans,
    recent: RecentBlocks,
    importing: BTreeMap<B256, Importing>,
    /// Blocks that a sync has brought: old news, of which nobody is told.
    synced: Seen,
    /// Side blocks above the finalized one that came by gossip: number, bytes.
    side: Vec<(u64, usize)>,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            seen: Seen::new(SEEN_BLOCKS_MAX),
            building: BTreeMap::new(),
            next_building: 0,
            orphans: Orphans::default(),
            recent: RecentBlocks::new(RECENT_BYTES_MAX),
            importing: BTreeMap::new(),
            synced: Seen::new(SEEN_BLOCKS_MAX),
            side: Vec::new(),
        }
    }
}

impl Blocks {
    /// Counts the imports that are on their way.
    pub(crate) fn importing_count(&self) -> usize {
        self.importing.len()
    }

    /// Tells whether a block is on its way to the ledger.
    pub(crate) fn is_importing(&self, hash: B256) -> bool {
        self.importing.contains_key(&hash)
    }

    /// Remembers a block as told, so that it is not published again.
    pub(crate) fn mark_seen(&mut self, hash: B256) -> bool {
        self.seen.insert(hash)
    }

    /// Returns the transactions of a recent block that are asked for.
    pub(crate) fn pick(&self, block: B256, hashes: &[B256]) -> Option<Vec<Vec<u8>>> {
        self.recent.get(block).map(|block| super::serve::pick(&block.transactions, hashes))
    }

    /// Returns how many bytes are held here.
    pub(crate) fn bytes(&self) -> usize {
        self.orphans.bytes() + self.recent.bytes()
    }
}

/// Says what is to be done with an announced block.
enum Fate {
    Drop,
    Refuse(String),
    Orphan,
    Future(u64),
    Build(u64),
}

impl Machine {
    /// Handles an announced block.
    pub(crate) fn on_block(
        &mut self,
        context: &mut Context<'_>,
        peer: PeerId,
        gossip: Option<GossipId>,
        block: Box<CompactBlock>,
    ) -> Result<(), ViewError> {
        let entry = HeaderEntry { header: SealedHeader::new(block.header.clone()), witness: block.witness };
        let hash = entry.header.hash();
        let fate = self.judge(context, &entry, &block.transactions)?;
        match fate {
            Fate::Drop => {
                self.verdict(context, peer, gossip, Verdict::Ignore);
                self.count_old_block(context, peer);
            }
            Fate::Refuse(problem) => {
                self.verdict(context, peer, gossip, Verdict::Reject);
                self.punish(context, peer, Offence::InvalidHeader, format!("block {hash}: {problem}"));
            }
            Fate::Future(due_at) => {
                self.verdict(context, peer, gossip, Verdict::Ignore);
                self.blocks.orphans.keep(hash, peer, block, due_at, context.now_ms);
                context.push(Action::WakeAt(due_at));
            }
            Fate::Orphan => {
                self.verdict(context, peer, gossip, Verdict::Ignore);
                let near = context.view.head().number.saturating_add(ORPHAN_DISTANCE_MAX);
                if entry.header.number <= near {
                    self.blocks.orphans.keep(hash, peer, block, 0, context.now_ms);
                }
                self.ask_status_soon(context, peer)?;
            }
            Fate::Build(parent_timestamp) => {
                self.build(context, peer, gossip, entry, parent_timestamp, block.transactions);
            }
        }
        Ok(())
    }

    /// Counts an announcement of a block that is known or final, or of the far future; who makes too many of them is blamed.
    fn count_old_block(&mut self, context: &mut Context<'_>, peer: PeerId) {
        let share = self.peers.get_mut(peer).map(|known| known.take_old_block(context.now_ms));
        if share == Some(Share::Flooding) {
            self.punish(context, peer, Offence::Flood, "announcements of old blocks beyond its share".to_owned());
        }
    }

    fn verdict(&self, context: &mut Context<'_>, peer: PeerId, gossip: Option<GossipId>, verdict: Verdict) {
        if let Some(id) = gossip {
            context.push(Action::Verdict { peer, id, verdict });
        }
    }

    /// Checks all of an announcement that needs no transactions.
    fn judge(&self, context: &Context<'_>, entry: &HeaderEntry, hashes: &[B256]) -> Result<Fate, ViewError> {
        let (view, header) = (&context.view, &entry.header);
        let hash = header.hash();
        if self.blocks.seen.contains(hash) || self.blocks.is_importing(hash) {
            return Ok(Fate::Drop);
        }
        // Of old blocks too: who has done no work for a header is cut off, whatever its number.
        if let Err(problem) = verify::header_alone(view.spec(), entry) {
            return Ok(Fate::Refuse(problem));
        }
        if header.number <= view.finalized_number() || view.record(hash)?.is_some() {
            return Ok(Fate::Drop);
        }
        let mut sorted: Vec<&B256> = hashes.iter().collect();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Ok(Fate::Refuse("a transaction occurs twice".to_owned()));
        }
        if header.timestamp > (context.now_ms / 1000).saturating_add(FUTURE_BLOCK_SECONDS_MAX) {
            let due_at = header.timestamp.saturating_sub(FUTURE_BLOCK_SECONDS_MAX).saturating_mul(1000);
            // A block of the far future would hold its room for as long.
            let is_near = due_at.saturating_sub(context.now_ms) <= ORPHAN_MS;
            return Ok(if is_near { Fate::Future(due_at) } else { Fate::Drop });
        }
        let Some(anchor) = self.anchor(context, header.parent_hash)? else { return Ok(Fate::Orphan) };
        if let Err(problem) = verify::header_against(view.spec(), entry, &anchor) {
            return Ok(Fate::Refuse(problem));
        }
        // A parent that is on its way to the ledger is taken for the next head.
        let extends = header.parent_hash == view.head().hash() || view.record(header.parent_hash)?.is_none();
        let side: usize = self.blocks.side.iter().map(|(_, bytes)| bytes).sum();
        if !extends && side >= SIDE_BYTES_MAX {
            return Ok(Fate::Drop);
        }
        Ok(Fate::Build(anchor.parent.timestamp))
    }

    /// Finds what the children of `parent` are checked against, in the ledger or among the blocks on their way there.
    fn anchor(&self, context: &Context<'_>, parent: B256) -> Result<Option<Anchor>, ViewError> {
        if let Some(header) = context.view.header_by_hash(parent)? {
            return Anchor::read(&context.view, header);
        }
        let Some(parent) = self.blocks.recent.get(parent).map(|block| block.header.clone()) else { return Ok(None) };
        let grandparent = match self.blocks.recent.get(parent.parent_hash) {
            Some(block) => Some(block.header.timestamp),
            None => context.view.header_by_hash(parent.parent_hash)?.map(|header| header.timestamp),
        };
        Ok(grandparent.map(|timestamp| Anchor { parent, grandparent_timestamp: Some(timestamp) }))
    }

    /// Begins to put a block together from the pool; what is missing is fetched from who has announced it, and all where none is named.
    fn build(
        &mut self,
        context: &mut Context<'_>,
        peer: PeerId,
        gossip: Option<GossipId>,
        entry: HeaderEntry,
        parent_timestamp: u64,
        hashes: Vec<B256>,
    ) {
        let of_peer = self.blocks.building.values().filter(|building| building.peer == peer).count();
        if self.blocks.building.len() >= REBUILDS_MAX || of_peer >= REBUILDS_PER_PEER {
            self.verdict(context, peer, gossip, Verdict::Ignore);
            return;
        }
        let pool = context.ledger.pool();
        let found: Vec<_> = hashes.iter().map(|hash| pool.get(*hash).map(|pooled| pooled.transaction)).collect();
        let asked = Vec::new();
        let building = Building { peer, gossip, entry, parent_timestamp, hashes, found, asked };
        let (is_fetching, id) = (building.missing() > 0, self.blocks.next_building);
        self.blocks.next_building += 1;
        self.blocks.building.insert(id, building);
        if is_fetching {
            self.ask_missing(context, id, peer);
        } else {
            self.rebuild(context, id, Vec::new());
        }
    }

    /// Asks a peer for the transactions that a block lacks.
    fn ask_missing(&mut self, context: &mut Context<'_>, id: u64, peer: PeerId) {
        let Some(building) = self.blocks.building.get_mut(&id) else { return };
        building.asked.push(peer);
        let unknown = building.hashes.iter().zip(&building.found).filter(|(_, found)| found.is_none());
        let transactions = unknown.map(|(hash, _)| *hash).collect();
        let message = Request::BlockTransactions { block: building.entry.header.hash(), transactions };
        self.send(context, peer, Purpose::BlockTransactions(id), message);
    }

    fn rebuild(&mut self, context: &mut Context<'_>, id: u64, fetched: Vec<Vec<u8>>) {
        let Some(building) = self.blocks.building.get_mut(&id) else { return };
        let rebuild = Rebuild {
            id,
            peer: building.peer,
            entry: building.entry.clone(),
            parent_timestamp: building.parent_timestamp,
            hashes: building.hashes.clone(),
            found: std::mem::take(&mut building.found),
            fetched,
        };
        context.push(Action::Run(Box::new(Job::Rebuild(Box::new(rebuild)))));
    }

    /// Goes on with a block whose missing transactions have come.
    pub(crate) fn on_block_transactions(
        &mut self,
        context: &mut Context<'_>,
        id: u64,
        fetched: Vec<Vec<u8>>,
    ) -> Result<(), ViewError> {
        let Some(building) = self.blocks.building.get(&id) else { return Ok(()) };
        if fetched.len() < building.missing() {
            // The peer lacks them by now; nobody is to blame.
            return self.ask_missing_elsewhere(context, id);
        }
        self.rebuild(context, id, fetched);
        Ok(())
    }

    /// Asks another peer for what one did not send; after some of them the block is left to a sync.
    pub(crate) fn ask_missing_elsewhere(&mut self, context: &mut Context<'_>, id: u64) -> Result<(), ViewError> {
        let Some(building) = self.blocks.building.get(&id) else { return Ok(()) };
        let fresh = |(peer, known): &(PeerId, &Peer)| known.has_room() && !building.asked.contains(peer);
        let others = self.peers.welcome().filter(|_| building.asked.len() < BLOCK_TRANSACTIONS_ASKED_MAX).filter(fresh);
        // Who claims most work has the block most likely.
        if let Some((peer, _)) = others.max_by_key(|(peer, known)| (known.claimed_work(), Reverse(*peer))) {
            self.ask_missing(context, id, peer);
            return Ok(());
        }
        let Some(building) = self.blocks.building.remove(&id) else { return Ok(()) };
        self.verdict(context, building.peer, building.gossip, Verdict::Ignore);
        self.ask_status_soon(context, building.peer)
    }

    /// Passes a rebuilt block on and has it imported.
    pub(crate) fn on_rebuilt(
        &mut self,
        context: &mut Context<'_>,
        id: u64,
        result: Result<Box<RecoveredBlock>, RebuildFault>,
    ) -> Result<(), ViewError> {
        let Some(building) = self.blocks.building.remove(&id) else { return Ok(()) };
        let (peer, gossip) = (building.peer, building.gossip);
        match result {
            Ok(block) => {
                let hash = block.hash();
                let room = self.blocks.importing.len() < 2 * IMPORTS_AHEAD_MAX;
                if !room || self.blocks.is_importing(hash) || !self.blocks.seen.insert(hash) {
                    self.verdict(context, peer, gossip, Verdict::Ignore);
                    return Ok(());
                }
                self.verdict(context, peer, gossip, Verdict::Accept);
                if gossip.is_none() {
                    // It was ignored when it came, since it had to wait.
                    self.publish(context, &Gossip::Block(Box::new(CompactBlock::of(&block))));
                }
                self.blocks.recent.insert(Arc::new((*block).clone()));
                self.import(context, block, Source::Gossip(peer));
                self.adopt_orphans(context, hash)
            }
            Err(RebuildFault::Fetched(problem)) => {
                self.verdict(context, peer, gossip, Verdict::Ignore);
                let from = building.asked.last().copied().unwrap_or(peer);
                self.punish(context, from, Offence::WrongResponse, problem);
                self.ask_status_soon(context, peer)
            }
            Err(RebuildFault::Block(problem)) => {
                self.verdict(context, peer, gossip, Verdict::Reject);
                self.punish(context, peer, Offence::InvalidHeader, problem);
                Ok(())
            }
        }
    }

    pub(crate) fn import(&mut self, context: &mut Context<'_>, block: Box<RecoveredBlock>, source: Source) {
        let importing = Importing { source, number: block.number(), bytes: block_bytes(&block) };
        self.blocks.importing.insert(block.hash(), importing);
        if matches!(source, Source::Sync(_)) {
            self.blocks.synced.insert(block.hash());
        }
        context.push(Action::Import(block));
    }

    pub(crate) fn publish(&self, context: &mut Context<'_>, gossip: &Gossip) {
        context.push(Action::Publish { topic: gossip.topic(), data: gossip.encode() });
    }

    /// Takes up the blocks that waited for this one.
    fn adopt_orphans(&mut self, context: &mut Context<'_>, parent: B256) -> Result<(), ViewError> {
        for orphan in self.blocks.orphans.children(parent) {
            self.on_block(context, orphan.peer, None, orphan.block)?;
        }
        Ok(())
    }

    /// Takes up the blocks whose time has come.
    pub(crate) fn wake_orphans(&mut self, context: &mut Context<'_>) -> Result<(), ViewError> {
        for orphan in self.blocks.orphans.due(context.now_ms) {
            self.on_block(context, orphan.peer, None, orphan.block)?;
        }
        Ok(())
    }

    /// Learns what became of an import.
    pub(crate) fn on_imported(
        &mut self,
        context: &mut Context<'_>,
        hash: B256,
        result: Result<ImportOutcome, ImportError>,
    ) -> Result<(), ViewError> {
        let Some(Importing { source, number, bytes }) = self.blocks.importing.remove(&hash) else { return Ok(()) };
        match &result {
            Ok(outcome) => {
                if *outcome == ImportOutcome::SideBranch && matches!(source, Source::Gossip(_)) {
                    self.blocks.side.push((number, bytes));
                }
                self.adopt_orphans(context, hash)?;
            }
            Err(error) => self.on_import_error(context, hash, source, error)?,
        }
        if let Source::Sync(peer) = source {
            self.on_sync_imported(context, peer, &result)?;
        }
        self.drive_sync(context)
    }

    fn on_import_error(
        &mut self,
        context: &mut Context<'_>,
        hash: B256,
        source: Source,
        error: &ImportError,
    ) -> Result<(), ViewError> {
        let block = self.blocks.recent.get(hash).cloned();
        self.blocks.recent.remove(hash);
        let (Source::Gossip(peer) | Source::Sync(peer)) = source;
        match (error, source) {
            (ImportError::Invalid(reason), Source::Gossip(_)) => {
                self.punish(context, peer, Offence::PassedInvalidBlock, format!("block {hash}: {reason}"));
            }
            (ImportError::Invalid(reason), Source::Sync(_)) => {
                self.punish(context, peer, Offence::InvalidBlock, format!("block {hash}: {reason}"));
            }
            (ImportError::UnknownParent(_), _) => {
                self.blocks.seen.remove(hash);
                self.ask_status_soon(context, peer)?;
            }
            (ImportError::Future(_), _) => {
                self.blocks.seen.remove(hash);
                if let Some(block) = block {
                    let due_at = block.header.timestamp.saturating_sub(FUTURE_BLOCK_SECONDS_MAX).saturating_mul(1000);
                    let compact = Box::new(CompactBlock::of(&block));
                    self.blocks.orphans.keep(hash, peer, compact, due_at.max(1), context.now_ms);
                }
            }
            (ImportError::BelowFinalized { ancestor, finalized }, _) => {
                self.alarm_below_finalized(context, peer, hash, *ancestor, *finalized);
            }
            // It concerns blocks that are made here, and these came from a peer.
            (ImportError::MadeElsewhere { .. } | ImportError::Refused(_), _) => {}
            // The ledger itself tells the node.
            (ImportError::Storage(_) | ImportError::Corrupt(_) | ImportError::ShutDown, _) => {}
        }
        Ok(())
    }

    /// Raises the alarm about a branch that we refuse, once for each head.
    pub(crate) fn alarm_below_finalized(
        &mut self,
        context: &mut Context<'_>,
        peer: PeerId,
        head: B256,
        ancestor: u64,
        finalized: u64,
    ) {
        if !self.alarmed.insert(head) {
            return;
        }
        let head_number =
            self.peers.get(peer).and_then(|peer| peer.status.as_ref()).map_or(0, |status| status.head_number);
        context.push(Action::Alarm(Alarm::BelowFinalized { peer, head, head_number, ancestor, finalized }));
    }

    /// Follows the ledger to a new head: what nobody was told of yet is published.
    pub(crate) fn on_new_head(
        &mut self,
        context: &mut Context<'_>,
        added: &[Arc<RecoveredBlock>],
    ) -> Result<(), ViewError> {
        let finalized = context.view.finalized_number();
        self.blocks.side.retain(|(number, _)| *number > finalized);
        let Some(head) = added.last() else { return Ok(()) };
        let hash = head.hash();
        // The ledger may tell of the head before or after the import's end is told.
        if !self.blocks.synced.contains(hash) && self.blocks.seen.insert(hash) {
            self.blocks.recent.insert(head.clone());
            self.publish(context, &Gossip::Block(Box::new(CompactBlock::of(head))));
        }
        self.adopt_orphans(context, hash)
    }

    /// Drops what a peer that is gone has left here.
    pub(crate) fn forget_blocks_of(&mut self, peer: PeerId) {
        self.blocks.orphans.forget(peer);
    }
}
