//! A machine on a bench: a real ledger, a clock that is set by hand, and peers that say what a test wants.

use std::collections::VecDeque;
use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, B64, B256, Bytes, TxKind, U256};
use chain::{BuildRequest, Ledger, LedgerConfig, LedgerHandle, TransactionOrder, TransactionOrigin};
use consensus::crypto::{self, SecretKey};
use consensus::search::{SearchJob, search};
use consensus::{Genesis, RecoveredBlock, RecoveredTransaction, SealedHeader};
use network::machine::*;
use network::message::*;
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use storage::MemoryStore;

/// The clock at the beginning, in milliseconds.
pub(crate) const START_MS: u64 = 1_800_000_000_000;

/// A contract that stores word 1 of its call data under word 0.
pub(crate) const CELL: Address = Address::repeat_byte(0xce);

fn user() -> SecretKey {
    crypto::secret_key([1; 32]).unwrap()
}

pub(crate) fn genesis() -> Genesis {
    let user = crypto::address_of(&user());
    let file = format!(
        r#"{{"config": {{"chainId": 7, "pow": {{"difficulty": {{"fixed": 1}}, "block_reward": "5", "safe_depth": 2,
        "finality_depth": 6}}}}, "gasLimit": "0x1c9c380", "difficulty": "0x1", "alloc": {{
        "{user}": {{"balance": "0x56bc75e2d63100000"}},
        "{CELL}": {{"balance": "0", "code": "0x3615600d5760203560003555005b33ff", "storage": {{"0x01": "0x05", "0x09": "0x06"}}}}}}}}"#
    );
    Genesis::parse(&file).unwrap().0
}

/// Gives the pool a transaction that stores `value` under `slot` of the cell.
pub(crate) fn store(ledger: &LedgerHandle, nonce: u64, slot: u64, value: u64) {
    let tx = TxEip1559 {
        chain_id: 7,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(CELL),
        value: U256::ZERO,
        access_list: Default::default(),
        input: [U256::from(slot).to_be_bytes::<32>(), U256::from(value).to_be_bytes::<32>()].concat().into(),
    };
    let signature = crypto::sign(&user(), tx.signature_hash());
    let tx = RecoveredTransaction::recover(tx.into_signed(signature).into()).unwrap();
    ledger.add_transaction(tx, TransactionOrigin::Local, START_MS / 1000).unwrap();
}

pub(crate) fn ledger() -> LedgerHandle {
    ledger_on(MemoryStore::new())
}

pub(crate) fn ledger_on(store: MemoryStore) -> LedgerHandle {
    let config = LedgerConfig { state_cache_bytes: 64 << 10, ..LedgerConfig::default() };
    Ledger::open(Arc::new(store), &genesis(), "test", config).unwrap()
}

/// Mines blocks of what is in the pool on the ledger's head.
pub(crate) fn mine(ledger: &LedgerHandle, count: usize, salt: &str) -> Vec<RecoveredBlock> {
    (0..count)
        .map(|_| {
            let request = BuildRequest {
                beneficiary: Address::ZERO,
                timestamp: START_MS / 1000,
                extra_data: Bytes::copy_from_slice(salt.as_bytes()),
                gas_limit: 30_000_000,
                order: TransactionOrder::Arrival,
                min_tip_wei: 0,
            };
            let candidate = ledger.build(&request).unwrap();
            let nonce = search(&SearchJob::new(candidate.header()), 0, 1).unwrap();
            ledger.import_mined(candidate, nonce, None, START_MS / 1000).unwrap();
            let view = ledger.view();
            RecoveredBlock::clone(&view.block_by_hash(view.head().hash()).unwrap().unwrap())
        })
        .collect()
}

/// Gives a changed header a seal that fits.
pub(crate) fn sealed(mut header: consensus::Header, change: impl FnOnce(&mut consensus::Header)) -> SealedHeader {
    change(&mut header);
    header.nonce = B64::ZERO;
    let nonce = search(&SearchJob::new(&header), 0, 1).unwrap();
    consensus::seal::apply(&mut header, nonce);
    SealedHeader::new(header)
}

/// Gossip bytes of a block without transactions.
pub(crate) fn announce(header: &consensus::Header) -> Vec<u8> {
    let block = CompactBlock { header: header.clone(), witness: None, transactions: Vec::new() };
    Gossip::Block(Box::new(block)).encode()
}

pub(crate) struct Bench {
    pub(crate) ledger: LedgerHandle,
    pub(crate) machine: Machine,
    pub(crate) now_ms: u64,
    rng: StdRng,
    facts: Arc<Mutex<Vec<Event>>>,
    next_inbound: u64,
    /// Whether imports wait until [`Bench::import_next`].
    pub(crate) holds_imports: bool,
    pub(crate) held: VecDeque<RecoveredBlock>,
    /// Whether jobs wait until [`Bench::run_held`].
    pub(crate) holds_jobs: bool,
    pub(crate) held_jobs: VecDeque<Box<Job>>,
}

impl Bench {
    pub(crate) fn new(config: MachineConfig) -> Self {
        Self::on(MemoryStore::new(), config)
    }

    pub(crate) fn on(store: MemoryStore, config: MachineConfig) -> Self {
        let ledger = ledger_on(store);
        let machine = Machine::new(config, &ledger.view()).unwrap();
        let facts = Arc::new(Mutex::new(Vec::new()));
        let sink = facts.clone();
        ledger.subscribe(Box::new(move |fact| match fact {
            chain::Fact::NewHead { added, .. } => sink.lock().push(Event::NewHead { added: added.clone() }),
            chain::Fact::NewTransaction(tx) => sink.lock().push(Event::NewTransaction(tx.clone())),
            _ => {}
        }));
        let rng = StdRng::seed_from_u64(1);
        Self {
            ledger,
            machine,
            now_ms: START_MS,
            rng,
            facts,
            next_inbound: 0,
            holds_imports: false,
            held: VecDeque::new(),
            holds_jobs: false,
            held_jobs: VecDeque::new(),
        }
    }

    /// Gives one event, runs the jobs and imports that come of it, and returns everything else that the machine wants.
    pub(crate) fn tell(&mut self, event: Event) -> Vec<Action> {
        let mut wants = Vec::new();
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let actions = self.machine.handle(event, self.now_ms, &mut self.rng, &self.ledger).unwrap();
            for action in actions {
                match action {
                    Action::Run(job) if self.holds_jobs => self.held_jobs.push_back(job),
                    Action::Run(job) => {
                        events.push_back(Event::JobDone(Box::new(job.run(&self.ledger, self.now_ms / 1000))));
                    }
                    Action::Import(block) if self.holds_imports => self.held.push_back(*block),
                    Action::Import(block) => {
                        let hash = block.hash();
                        let result = self.ledger.import(*block, self.now_ms / 1000);
                        events.extend(self.facts.lock().drain(..));
                        events.push_back(Event::Imported { hash, result });
                    }
                    Action::Adopt(snapshot) => {
                        let result = self.ledger.adopt(*snapshot, self.now_ms / 1000);
                        events.extend(self.facts.lock().drain(..));
                        events.push_back(Event::Adopted(result));
                    }
                    other => wants.push(other),
                }
            }
            events.extend(self.facts.lock().drain(..));
        }
        wants
    }

    /// Runs the jobs that wait.
    pub(crate) fn run_held(&mut self) -> Vec<Action> {
        let jobs = std::mem::take(&mut self.held_jobs);
        let done: Vec<_> = jobs.into_iter().map(|job| job.run(&self.ledger, self.now_ms / 1000)).collect();
        done.into_iter().flat_map(|done| self.tell(Event::JobDone(Box::new(done)))).collect()
    }

    /// Imports the first block that waits, and tells the machine what came of it.
    pub(crate) fn import_next(&mut self) -> Vec<Action> {
        let block = self.held.pop_front().expect("a block waits");
        let hash = block.hash();
        let result = self.ledger.import(block, self.now_ms / 1000);
        let facts: Vec<_> = self.facts.lock().drain(..).collect();
        let mut wants: Vec<_> = facts.into_iter().flat_map(|fact| self.tell(fact)).collect();
        wants.extend(self.tell(Event::Imported { hash, result }));
        wants
    }

    pub(crate) fn connect(&mut self, peer: u64) -> Vec<Action> {
        self.tell(Event::Connected { peer: PeerId(peer), is_reserved: false })
    }

    /// A status that fits this machine's chain, with another head.
    pub(crate) fn status(&self, head: B256, head_number: u64, total_difficulty: u64) -> Status {
        let view = self.ledger.view();
        let genesis = view.header_by_number(0).unwrap().unwrap();
        Status {
            protocol: limits_of_messages::PROTOCOL_VERSION,
            chain_id: 7,
            genesis: genesis.hash(),
            rules_digest: rules_digest(&[]),
            rules: Vec::new(),
            fork_id: self.fork_id(),
            head,
            head_number,
            total_difficulty: alloy_primitives::U256::from(total_difficulty),
            finalized: 0,
            finalized_hash: genesis.hash(),
            clock_ms: self.now_ms,
            history_from: 0,
            agent: "test".to_owned(),
            roles: Roles::default(),
        }
    }

    /// The fork id that the machine itself tells.
    fn fork_id(&self) -> ForkId {
        let mut other = Machine::new(MachineConfig::default(), &self.ledger.view()).unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        let connected = Event::Connected { peer: PeerId(0), is_reserved: false };
        let actions = other.handle(connected, self.now_ms, &mut rng, &self.ledger).unwrap();
        let Some(Action::Send { message, .. }) = actions.into_iter().next() else { panic!("no status") };
        let Request::Status(status) = *message else { panic!("no status") };
        status.fork_id
    }

    pub(crate) fn ask(&mut self, peer: u64, request: &Request) -> Vec<Action> {
        self.ask_bytes(peer, request.encode())
    }

    pub(crate) fn ask_bytes(&mut self, peer: u64, data: Vec<u8>) -> Vec<Action> {
        self.next_inbound += 1;
        self.tell(Event::Request { peer: PeerId(peer), inbound: InboundId(self.next_inbound), data: data.into() })
    }

    /// Connects a peer and introduces it with a claim.
    pub(crate) fn welcome(&mut self, peer: u64, status: Status) -> Vec<Action> {
        let mut wants = self.connect(peer);
        wants.extend(self.ask(peer, &Request::Status(Box::new(status))));
        wants
    }

    /// Connects a peer that claims our own head.
    pub(crate) fn welcome_equal(&mut self, peer: u64) -> Vec<Action> {
        let view = self.ledger.view();
        let status = self.status(view.head().hash(), view.head().number, u64::try_from(view.head_td()).unwrap());
        self.welcome(peer, status)
    }

    pub(crate) fn gossip(&mut self, peer: u64, topic: Topic, data: Vec<u8>) -> Vec<Action> {
        let id = GossipId::of(topic, &data);
        self.tell(Event::Gossip { peer: PeerId(peer), id, topic, data })
    }

    pub(crate) fn answer(&mut self, peer: u64, request: RequestId, response: &Response) -> Vec<Action> {
        self.tell(Event::Response { peer: PeerId(peer), request, result: Ok(response.encode().into()) })
    }

    /// Lets time pass, in steps of a tick.
    pub(crate) fn pass(&mut self, ms: u64) -> Vec<Action> {
        let end = self.now_ms + ms;
        let mut wants = Vec::new();
        while self.now_ms < end {
            self.now_ms += TICK_MS;
            wants.extend(self.tell(Event::Tick));
        }
        wants
    }
}

use network::message::limits as limits_of_messages;

/// Why a peer was parted from, if it was.
pub(crate) fn parted(actions: &[Action], peer: u64) -> Option<String> {
    actions.iter().find_map(|action| match action {
        Action::Disconnect { peer: of, reason, .. } if *of == PeerId(peer) => Some(reason.clone()),
        _ => None,
    })
}

pub(crate) fn verdicts(actions: &[Action]) -> Vec<Verdict> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Verdict { verdict, .. } => Some(*verdict),
            _ => None,
        })
        .collect()
}

/// The requests that were sent to a peer.
pub(crate) fn sent(actions: &[Action], peer: u64) -> Vec<(RequestId, Request)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Send { peer: of, request, message } if *of == PeerId(peer) => Some((*request, (**message).clone())),
            _ => None,
        })
        .collect()
}
