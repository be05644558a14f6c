//! A simulated node: a real ledger on a memory store that survives crashes, and a real machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use chain::{BuildRequest, Fact, Ledger, LedgerConfig, LedgerHandle, PoolConfig, TransactionOrder};
use consensus::search::{SearchJob, search};
use consensus::{Genesis, RecoveredBlock, RecoveredTransaction, Witness, crypto};
use network::machine::{Event, Machine, MachineConfig};
use network::message::{GossipId, Topic};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use storage::MemoryStore;

use crate::world::{START_MS, miner_key};

/// What the ledger has told and the machine has not heard yet.
type Facts = Arc<Mutex<Vec<Fact>>>;

/// What a node is like.
#[derive(Clone)]
pub(crate) struct Role {
    pub(crate) genesis: Genesis,
    /// Its share of the hash rate; 0: it does not mine.
    pub(crate) hash_rate: f64,
    pub(crate) is_honest: bool,
}

/// What runs while a node is up.
pub(crate) struct Running {
    pub(crate) ledger: LedgerHandle,
    pub(crate) machine: Machine,
    facts: Facts,
    /// Gossip messages that came, as gossipsub remembers them.
    pub(crate) seen: BTreeSet<GossipId>,
    /// Gossip messages that wait for a verdict.
    pub(crate) undecided: Vec<(GossipId, Topic, Vec<u8>)>,
}

pub(crate) struct Node {
    pub(crate) index: usize,
    pub(crate) role: Role,
    store: MemoryStore,
    journal: PathBuf,
    pub(crate) skew_ms: i64,
    pub(crate) rng: StdRng,
    pub(crate) running: Option<Running>,
    /// Grows at each crash, so that what was under way then is forgotten.
    pub(crate) life: u64,
    /// Grows with each head and each start, so that the search on an older head is forgotten.
    pub(crate) search: u64,
    /// When the ledger has done what it was given, in microseconds.
    pub(crate) ledger_free_at: u64,
    /// Transactions that this node reported as dropped.
    pub(crate) dropped: BTreeMap<B256, String>,
    pub(crate) reorganisations: u64,
    /// Those to a branch with more work and fewer blocks.
    pub(crate) descents: u64,
}

/// Whoever begins with an empty store asks for a snapshot, where there is anything final.
fn machine_config() -> MachineConfig {
    MachineConfig { start_from_snapshot: true, snapshot_distance_min: 4, ..MachineConfig::default() }
}

impl Node {
    pub(crate) fn new(index: usize, role: Role, journal: PathBuf, skew_ms: i64, seed: u64) -> Self {
        Self {
            index,
            role,
            store: MemoryStore::new(),
            journal,
            skew_ms,
            rng: StdRng::seed_from_u64(seed),
            running: None,
            life: 0,
            search: 0,
            ledger_free_at: 0,
            dropped: BTreeMap::new(),
            reorganisations: 0,
            descents: 0,
        }
    }

    /// The node's clock in milliseconds.
    pub(crate) fn clock_ms(&self, at_us: u64) -> u64 {
        (START_MS + at_us / 1000).saturating_add_signed(self.skew_ms)
    }

    pub(crate) fn start(&mut self, at_us: u64) {
        let pool = PoolConfig { journal: Some(self.journal.clone()), ..PoolConfig::default() };
        let config = LedgerConfig { state_cache_bytes: 64 << 10, pool, ..LedgerConfig::default() };
        let ledger = Ledger::open(Arc::new(self.store.clone()), &self.role.genesis, "simulated", config).unwrap();
        let facts = Facts::default();
        let sink = facts.clone();
        ledger.subscribe(Box::new(move |fact| sink.lock().push(fact.clone())));
        ledger.load_journal(self.clock_ms(at_us) / 1000).unwrap();
        let machine = Machine::new(machine_config(), &ledger.view()).unwrap();
        self.running = Some(Running { ledger, machine, facts, seen: BTreeSet::new(), undecided: Vec::new() });
        self.ledger_free_at = at_us;
    }

    /// Stops at once; only the store and the journal stay.
    pub(crate) fn crash(&mut self) {
        if let Some(running) = self.running.take() {
            running.ledger.shut_down().unwrap();
        }
        self.life += 1;
    }

    /// Turns what the ledger has told into events for the machine.
    pub(crate) fn take_facts(&mut self) -> Vec<Event> {
        let Some(running) = &self.running else { return Vec::new() };
        let facts = std::mem::take(&mut *running.facts.lock());
        let mut events = Vec::new();
        for fact in facts {
            match fact {
                Fact::NewHead { added, reorganisation, .. } => {
                    self.reorganisations += u64::from(reorganisation.is_some());
                    let dropped = reorganisation.as_ref().map_or(0, |moved| moved.dropped.len());
                    self.descents += u64::from(dropped > added.len());
                    events.push(Event::NewHead { added });
                }
                Fact::NewTransaction(tx) => events.push(Event::NewTransaction(tx)),
                Fact::DroppedTransaction { hash, reason } => {
                    self.dropped.insert(hash, reason.to_string());
                }
                Fact::JournalFailed { problem, .. } => panic!("journal: {problem}"),
                Fact::Failed(problem) => panic!("ledger: {problem}"),
            }
        }
        events
    }

    /// Finds a block on the node's head.
    pub(crate) fn mine(&mut self, at_us: u64) -> Option<Arc<RecoveredBlock>> {
        let key = miner_key(self.index);
        let now = self.clock_ms(at_us) / 1000;
        let ledger = &self.running.as_ref()?.ledger;
        let request = BuildRequest {
            beneficiary: crypto::address_of(&key),
            timestamp: now,
            extra_data: Bytes::new(),
            gas_limit: 30_000_000,
            order: TransactionOrder::Arrival,
            min_tip_wei: 0,
        };
        let candidate = ledger.build(&request).unwrap();
        let nonce = search(&SearchJob::new(candidate.header()), 0, 1).unwrap();
        let listed = !self.role.genesis.spec.pow.authorized_miners.is_empty();
        let witness = listed.then(|| Witness::sign(&key, candidate.hash_with(nonce)));
        // A head that is too far ahead of a clock that was set back makes a miner wait.
        ledger.import_mined(candidate, nonce, witness, now).ok()?;
        let view = ledger.view();
        view.block_by_hash(view.head().hash()).unwrap()
    }

    /// Adds a user's transaction, and tells whether it is acknowledged.
    pub(crate) fn submit(&mut self, tx: RecoveredTransaction, at_us: u64) -> bool {
        let now = self.clock_ms(at_us) / 1000;
        let Some(running) = &self.running else { return false };
        running.ledger.add_transaction(tx, chain::TransactionOrigin::Local, now).is_ok()
    }

    pub(crate) fn head(&self) -> Option<(u64, B256)> {
        let view = self.running.as_ref()?.ledger.view();
        Some((view.head().number, view.head().hash()))
    }
}
