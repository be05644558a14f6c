//! The simulated network and the loop: everything that happens is in one queue, ordered by time, and handled one after the other.

mod faults;
mod links;
mod rules;
mod sprint;
mod work;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, keccak256};
use chain::StateSnapshot;
use consensus::RecoveredBlock;
use network::machine::{Action, Event, InboundId, Job, PeerId, RequestFailure, RequestId, TICK_MS, serve};
use network::message::Topic;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;

use crate::node::{Node, Role};
use crate::plan::{Attack, HEAL_US, JOIN_US, Plan, between};
use crate::trace::Trace;
use crate::world::{START_MS, USERS, genesis};
use sprint::Sprints;

/// What travels from node to node.
#[derive(Clone)]
enum Message {
    Gossip(Topic, Vec<u8>),
    Request(RequestId, Vec<u8>),
    Response(RequestId, Result<Vec<u8>, RequestFailure>),
}

impl Message {
    fn kind(&self) -> &'static str {
        match self {
            Self::Gossip(..) => "gossip",
            Self::Request(..) => "a request",
            Self::Response(..) => "a response",
        }
    }
}

/// What a node does beside its machine.
enum Work {
    Import(Box<RecoveredBlock>),
    Adopt(Box<StateSnapshot>),
    Job(Box<Job>),
}

enum Happening {
    Deliver { from: usize, to: usize, connection: u64, message: Message },
    Tick { node: usize, life: u64, is_regular: bool },
    Work { node: usize, life: u64, work: Work },
    Mine { node: usize, search: u64 },
    Submit,
    Connect(usize, usize),
    Cut(usize, usize),
    FaultBegins(usize),
    FaultEnds(usize),
    Join(usize),
    Sprint,
}

/// The connection of two nodes.
#[derive(Default)]
struct Link {
    is_up: bool,
    /// Grows with each connection, so that what an old one carried does not come out of a new one.
    connection: u64,
    banned_until_us: u64,
}

/// What a simulation counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) blocks_mined: u64,
    pub(crate) blocks_of_attacker: u64,
    pub(crate) transactions: u64,
    pub(crate) messages: u64,
    pub(crate) lost: u64,
    pub(crate) attacker_cut_off: u64,
    pub(crate) alarms: u64,
    pub(crate) snapshots: u64,
    pub(crate) held_bytes_max: usize,
}

impl Counts {
    /// Adds what another simulation has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.blocks_mined += other.blocks_mined;
        self.blocks_of_attacker += other.blocks_of_attacker;
        self.transactions += other.transactions;
        self.messages += other.messages;
        self.lost += other.lost;
        self.attacker_cut_off += other.attacker_cut_off;
        self.alarms += other.alarms;
        self.snapshots += other.snapshots;
        self.held_bytes_max = self.held_bytes_max.max(other.held_bytes_max);
    }
}

pub(crate) struct Simulation {
    pub(crate) plan: Plan,
    pub(crate) at_us: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    /// What went against a rule that holds at every moment.
    pub(crate) violations: Vec<String>,
    /// Acknowledged transactions, with the node that acknowledged each.
    pub(crate) acknowledged: Vec<(B256, usize)>,
    pub(crate) attacker_blocks: Vec<B256>,
    pub(crate) sprints: Sprints,
    queue: BTreeMap<(u64, u64), Happening>,
    next: u64,
    links: BTreeMap<(usize, usize), Link>,
    inbound: BTreeMap<(usize, InboundId), (usize, RequestId, u64)>,
    next_inbound: u64,
    rng: StdRng,
    active: BTreeSet<usize>,
    nonces: Vec<u64>,
    /// The block that nodes call final, for each number.
    finalized: BTreeMap<u64, B256>,
    /// The head and the number of the finalized block that each honest node had when they were looked at last.
    looked_at: Vec<(B256, u64)>,
    _journals: TempDir,
}

fn ordered(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

fn peer_of(node: usize) -> PeerId {
    PeerId(node as u64)
}

fn node_of(peer: PeerId) -> usize {
    peer.0 as usize
}

impl Simulation {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let plan = Plan::draw(seed, &mut rng);
        // Memory, where the system has some that looks like a disk.
        let memory = std::path::Path::new("/dev/shm");
        let journals = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let mut simulation = Self {
            at_us: 0,
            nodes: Vec::new(),
            trace: Trace::default(),
            counts: Counts::default(),
            violations: Vec::new(),
            acknowledged: Vec::new(),
            attacker_blocks: Vec::new(),
            sprints: Sprints::default(),
            queue: BTreeMap::new(),
            next: 0,
            links: plan.edges.iter().map(|(a, b)| (ordered(*a, *b), Link::default())).collect(),
            inbound: BTreeMap::new(),
            next_inbound: 0,
            rng,
            active: BTreeSet::new(),
            nonces: vec![0; usize::from(USERS)],
            finalized: BTreeMap::new(),
            looked_at: vec![(B256::ZERO, 0); plan.honest],
            _journals: journals,
            plan,
        };
        simulation.make_nodes(seed);
        simulation.schedule_all();
        simulation
    }

    fn make_nodes(&mut self, seed: u64) {
        let plan = self.plan.clone();
        let honest: Vec<_> = if plan.is_listed { (0..plan.honest).collect() } else { Vec::new() };
        let with_attacker: Vec<_> = (0..=plan.honest).collect();
        let listed = match plan.attack {
            Attack::Withheld | Attack::Sprints => &with_attacker,
            Attack::None | Attack::WithoutKey => &honest,
        };
        let ours = genesis(listed, &plan);
        let total: f64 = plan.hash_rates.iter().sum();
        for node in 0..plan.honest {
            let role = Role { genesis: ours.clone(), hash_rate: plan.hash_rates[node] / total, is_honest: true };
            self.add_node(role, plan.skews_ms[node], seed);
        }
        if plan.attack != Attack::None {
            // Its own list has its key: the list is not in the genesis hash.
            let hash_rate = match plan.attack {
                Attack::WithoutKey => 10.0,
                Attack::Withheld => 3.0,
                Attack::None | Attack::Sprints => 0.0,
            };
            let role = Role { genesis: genesis(&with_attacker, &plan), hash_rate, is_honest: false };
            self.add_node(role, 0, seed);
        }
    }

    fn add_node(&mut self, role: Role, skew_ms: i64, seed: u64) {
        let index = self.nodes.len();
        let journal = self._journals.path().join(index.to_string());
        self.nodes.push(Node::new(index, role, journal, skew_ms, seed ^ (index as u64 + 1) << 32));
    }

    fn schedule_all(&mut self) {
        for node in 0..self.nodes.len() {
            if Some(node) != self.plan.late_joiner {
                self.start(node);
            }
        }
        for (a, b) in self.plan.edges.clone() {
            let withheld = self.plan.attack == Attack::Withheld && b == self.plan.honest;
            let at = if withheld { HEAL_US } else { 0 };
            let at = at + between(&mut self.rng, 0, 1_000_000);
            self.schedule(at, Happening::Connect(a, b));
        }
        for (index, trouble) in self.plan.troubles.clone().iter().enumerate() {
            self.schedule(trouble.from_us, Happening::FaultBegins(index));
            self.schedule(trouble.to_us, Happening::FaultEnds(index));
        }
        if let Some(node) = self.plan.late_joiner {
            self.schedule(JOIN_US, Happening::Join(node));
        }
        if self.plan.attack == Attack::Sprints {
            self.schedule(HEAL_US, Happening::Sprint);
        }
        self.schedule(2_000_000, Happening::Submit);
    }

    fn schedule(&mut self, at_us: u64, happening: Happening) {
        self.queue.insert((at_us.max(self.at_us), self.next), happening);
        self.next += 1;
    }

    fn start(&mut self, node: usize) {
        let at_us = self.at_us;
        self.nodes[node].start(at_us);
        let life = self.nodes[node].life;
        let tick = between(&mut self.rng, 0, TICK_MS * 1000);
        self.schedule(at_us + tick, Happening::Tick { node, life, is_regular: true });
        self.schedule_mining(node);
    }

    /// Handles what happens next, and tells whether anything did until `until_us`.
    pub(crate) fn step(&mut self, until_us: u64) -> bool {
        let Some(((at_us, _), _)) = self.queue.first_key_value().filter(|((at_us, _), _)| *at_us <= until_us) else {
            self.at_us = until_us;
            return false;
        };
        self.at_us = *at_us;
        let Some((_, happening)) = self.queue.pop_first() else { return false };
        match happening {
            Happening::Deliver { from, to, connection, message } => self.deliver(from, to, connection, message),
            Happening::Tick { node, life, is_regular } => self.tick(node, life, is_regular),
            Happening::Work { node, life, work } => self.work(node, life, work),
            Happening::Mine { node, search } => self.mine(node, search),
            Happening::Submit => self.submit(),
            Happening::Connect(a, b) => self.connect(a, b),
            Happening::Cut(a, b) => self.disconnect(a, b, 0),
            Happening::FaultBegins(index) => self.fault_begins(index),
            Happening::FaultEnds(index) => self.fault_ends(index),
            Happening::Join(node) => self.start(node),
            Happening::Sprint => self.sprint(),
        }
        self.compare_finalized();
        true
    }

    fn has_joined(&self, node: usize) -> bool {
        self.plan.late_joiner != Some(node) || self.at_us >= JOIN_US
    }

    fn is_alive(&self, node: usize, life: u64) -> bool {
        self.nodes[node].life == life && self.nodes[node].running.is_some()
    }

    /// Gives a node's machine one event and does what it wants.
    fn tell(&mut self, node: usize, event: Event) {
        let at_us = self.at_us;
        let actions = {
            let simulated = &mut self.nodes[node];
            let now_ms = simulated.clock_ms(at_us);
            let Some(running) = &mut simulated.running else { return };
            let actions = running.machine.handle(event, now_ms, &mut simulated.rng, &running.ledger).unwrap();
            self.counts.held_bytes_max = self.counts.held_bytes_max.max(running.machine.held_bytes());
            actions
        };
        for action in actions {
            self.perform(node, action);
        }
    }

    fn tell_facts(&mut self, node: usize) {
        for event in self.nodes[node].take_facts() {
            let is_head = matches!(event, Event::NewHead { .. });
            self.tell(node, event);
            if is_head {
                self.on_head(node);
            }
        }
    }

    fn perform(&mut self, node: usize, action: Action) {
        match action {
            Action::Send { peer, request, message } => {
                self.trace_message(node, "asks", node_of(peer), message.name().as_bytes());
                self.transmit(node, node_of(peer), Message::Request(request, message.encode()));
            }
            Action::Respond { inbound, response, .. } => self.respond(node, inbound, response.encode()),
            Action::Serve { inbound, message, .. } => {
                let Some(running) = &self.nodes[node].running else { return };
                let response = serve::answer(&running.ledger, &message).unwrap();
                self.respond(node, inbound, response.encode());
            }
            Action::Publish { topic, data } => self.publish(node, topic, data),
            Action::Verdict { id, verdict, .. } => self.decide(node, id, verdict),
            Action::Import(block) => {
                let takes = between(&mut self.rng, 1_000, 60_000);
                let simulated = &mut self.nodes[node];
                simulated.ledger_free_at = simulated.ledger_free_at.max(self.at_us) + takes;
                let (at, life) = (simulated.ledger_free_at, simulated.life);
                self.schedule(at, Happening::Work { node, life, work: Work::Import(block) });
            }
            Action::Run(job) => {
                let at = self.at_us + between(&mut self.rng, 500, 20_000);
                let life = self.nodes[node].life;
                self.schedule(at, Happening::Work { node, life, work: Work::Job(job) });
            }
            Action::Adopt(snapshot) => {
                let at = self.at_us + between(&mut self.rng, 10_000, 100_000);
                let life = self.nodes[node].life;
                self.schedule(at, Happening::Work { node, life, work: Work::Adopt(snapshot) });
            }
            Action::Welcome { .. } => {}
            Action::Punish { peer, offence, detail, points } => {
                self.on_punish(node, node_of(peer), offence, &detail, points)
            }
            Action::Disconnect { peer, reason, ban_ms, .. } => {
                let at_us = self.at_us;
                self.trace.add(at_us, node, || format!("parts from {peer:?}: {reason}"));
                self.disconnect(node, node_of(peer), ban_ms);
            }
            Action::Alarm(alarm) => self.on_alarm(node, &alarm),
            Action::WakeAt(at_ms) => {
                let local = at_ms as i64 - START_MS as i64 - self.nodes[node].skew_ms;
                let life = self.nodes[node].life;
                self.schedule(local.max(0) as u64 * 1000, Happening::Tick { node, life, is_regular: false });
            }
        }
    }

    fn trace_message(&mut self, node: usize, verb: &str, other: usize, content: &[u8]) {
        let at_us = self.at_us;
        self.trace.add(at_us, node, || format!("{verb} {other} {}", &keccak256(content).to_string()[2..10]));
    }
}
