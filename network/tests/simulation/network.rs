//! The simulated network and the loop: everything that happens is in one queue, ordered by time, and handled one after the other.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, keccak256};
use chain::StateSnapshot;
use consensus::RecoveredBlock;
use network::machine::{
    Action, Alarm, Event, InboundId, Job, Offence, PeerId, RequestFailure, RequestId, TICK_MS, Verdict, serve,
};
use network::message::{GossipId, Topic};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;

use crate::node::{Node, Role};
use crate::plan::{Attack, BLOCK_US, Fault, HEAL_US, JOIN_US, Plan, between, exponential, unit};
use crate::trace::Trace;
use crate::world::{START_MS, USERS, genesis, transaction};

/// What travels from node to node.
#[derive(Clone)]
enum Message {
    Gossip(Topic, Vec<u8>),
    Request(RequestId, Vec<u8>),
    Response(RequestId, Result<Vec<u8>, RequestFailure>),
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
    Mine { node: usize, life: u64 },
    Submit,
    Connect(usize, usize),
    Cut(usize, usize),
    FaultBegins(usize),
    FaultEnds(usize),
    Join(usize),
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
    queue: BTreeMap<(u64, u64), Happening>,
    next: u64,
    links: BTreeMap<(usize, usize), Link>,
    inbound: BTreeMap<(usize, InboundId), (usize, RequestId, u64)>,
    next_inbound: u64,
    rng: StdRng,
    active: BTreeSet<usize>,
    nonces: Vec<u64>,
    finalized: BTreeMap<u64, B256>,
    finalized_up_to: Vec<u64>,
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
        let journals = tempfile::tempdir().unwrap();
        let mut simulation = Self {
            at_us: 0,
            nodes: Vec::new(),
            trace: Trace::default(),
            counts: Counts::default(),
            violations: Vec::new(),
            acknowledged: Vec::new(),
            attacker_blocks: Vec::new(),
            queue: BTreeMap::new(),
            next: 0,
            links: plan.edges.iter().map(|(a, b)| (ordered(*a, *b), Link::default())).collect(),
            inbound: BTreeMap::new(),
            next_inbound: 0,
            rng,
            active: BTreeSet::new(),
            nonces: vec![0; usize::from(USERS)],
            finalized: BTreeMap::new(),
            finalized_up_to: vec![0; plan.honest],
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
            Attack::Withheld => &with_attacker,
            Attack::None | Attack::WithoutKey => &honest,
        };
        let ours = genesis(listed, plan.finality_depth);
        let total: f64 = plan.hash_rates.iter().sum();
        for node in 0..plan.honest {
            let role = Role { genesis: ours.clone(), hash_rate: plan.hash_rates[node] / total, is_honest: true };
            self.add_node(role, plan.skews_ms[node], seed);
        }
        if plan.attack != Attack::None {
            // Its own list has its key: the list is not in the genesis hash.
            let hash_rate = if plan.attack == Attack::WithoutKey { 10.0 } else { 3.0 };
            let role = Role { genesis: genesis(&with_attacker, plan.finality_depth), hash_rate, is_honest: false };
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

    fn schedule_mining(&mut self, node: usize) {
        let rate = self.nodes[node].role.hash_rate;
        if rate > 0.0 {
            let wait = exponential(&mut self.rng, BLOCK_US as f64 / rate);
            let life = self.nodes[node].life;
            self.schedule(self.at_us + wait, Happening::Mine { node, life });
        }
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
            Happening::Mine { node, life } => self.mine(node, life),
            Happening::Submit => self.submit(),
            Happening::Connect(a, b) => self.connect(a, b),
            Happening::Cut(a, b) => self.disconnect(a, b, 0),
            Happening::FaultBegins(index) => self.fault_begins(index),
            Happening::FaultEnds(index) => self.fault_ends(index),
            Happening::Join(node) => self.start(node),
        }
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

    /// Compares what nodes take for final: it must be one chain, at every moment.
    fn on_head(&mut self, node: usize) {
        let simulated = &self.nodes[node];
        let Some(running) = simulated.running.as_ref().filter(|_| simulated.role.is_honest) else { return };
        let view = running.ledger.view();
        let (number, hash) = (view.head().number, view.head().hash());
        let at_us = self.at_us;
        self.trace.add(at_us, node, || format!("head {number} {hash}"));
        for number in self.finalized_up_to[node].max(1)..=view.finalized_number() {
            let hash = view.canonical_hash(number).unwrap().unwrap();
            let first = *self.finalized.entry(number).or_insert(hash);
            if first != hash {
                self.violations.push(format!("node {node} finalized {hash} as block {number}, another node {first}"));
            }
        }
        self.finalized_up_to[node] = self.finalized_up_to[node].max(view.finalized_number());
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
            Action::Disconnect { peer, reason, ban_ms } => {
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

    fn on_alarm(&mut self, node: usize, alarm: &Alarm) {
        let at_us = self.at_us;
        self.trace.add(at_us, node, || format!("alarm: {alarm}"));
        let expected = self.plan.attack == Attack::Withheld || !self.nodes[node].role.is_honest;
        match alarm {
            Alarm::BelowFinalized { .. } if expected => {
                self.counts.alarms += u64::from(self.nodes[node].role.is_honest)
            }
            Alarm::BelowFinalized { .. } => self.violations.push(format!("node {node}: {alarm}")),
            // A node without a snapshot executes the chain, and is judged like the others.
            Alarm::ClockOff { .. } | Alarm::SnapshotFailed(_) => {}
        }
    }

    /// An honest node that is blamed by an honest one for what is invalid would be a fault of the machine.
    fn on_punish(&mut self, node: usize, other: usize, offence: Offence, detail: &str, points: u32) {
        let at_us = self.at_us;
        self.trace.add(at_us, node, || format!("blames {other}: {offence:?} {points} {detail}"));
        if self.nodes[node].role.is_honest && self.nodes[other].role.is_honest && offence != Offence::FalseClaim {
            self.violations.push(format!("node {node} blames node {other}: {offence:?}: {detail}"));
        }
    }

    fn respond(&mut self, node: usize, inbound: InboundId, data: Vec<u8>) {
        let Some((to, request, connection)) = self.inbound.remove(&(node, inbound)) else { return };
        if self.links.get(&ordered(node, to)).is_some_and(|link| link.is_up && link.connection == connection) {
            self.transmit(node, to, Message::Response(request, Ok(data)));
        }
    }

    fn neighbours(&self, node: usize) -> Vec<usize> {
        let up = self.links.iter().filter(|(_, link)| link.is_up);
        up.filter_map(|((a, b), _)| if *a == node { Some(*b) } else { (*b == node).then_some(*a) }).collect()
    }

    fn publish(&mut self, node: usize, topic: Topic, data: Vec<u8>) {
        let Some(running) = &mut self.nodes[node].running else { return };
        if !running.seen.insert(GossipId::of(topic, &data)) {
            return;
        }
        self.trace_message(node, "publishes", node, &data);
        for other in self.neighbours(node) {
            self.transmit(node, other, Message::Gossip(topic, data.clone()));
        }
    }

    fn decide(&mut self, node: usize, id: GossipId, verdict: Verdict) {
        let Some(running) = &mut self.nodes[node].running else { return };
        let Some(index) = running.undecided.iter().position(|(known, ..)| *known == id) else {
            self.violations.push(format!("node {node}: a second verdict on one message"));
            return;
        };
        let (_, topic, data) = running.undecided.swap_remove(index);
        if verdict == Verdict::Accept {
            for other in self.neighbours(node) {
                self.transmit(node, other, Message::Gossip(topic, data.clone()));
            }
        }
    }

    /// Tells whether a fault keeps anything from getting from one node to another.
    fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.active.iter().any(|index| match &self.plan.troubles[*index].fault {
            Fault::Partition(side) => side.contains(&from) != side.contains(&to) && from.max(to) < self.plan.honest,
            Fault::OneWay(a, b) => (from, to) == (*a, *b),
            Fault::Crash(_) | Fault::Lossy(_) | Fault::Clock(..) => false,
        })
    }

    fn loss(&self) -> f64 {
        let worse = self.active.iter().map(|index| match self.plan.troubles[*index].fault {
            Fault::Lossy(part) => part,
            _ => 0.0,
        });
        // At the end the line is better, but not perfect.
        let usual = if self.at_us < HEAL_US { self.plan.loss } else { self.plan.loss / 5.0 };
        worse.fold(usual, f64::max)
    }

    fn transmit(&mut self, from: usize, to: usize, message: Message) {
        self.counts.messages += 1;
        let link = self.links.get(&ordered(from, to)).filter(|link| link.is_up);
        let Some(connection) = link.map(|link| link.connection) else {
            if let Message::Request(request, _) = message {
                let life = self.nodes[from].life;
                let failed = Event::Response { peer: peer_of(to), request, result: Err(RequestFailure::Disconnected) };
                if self.is_alive(from, life) {
                    self.tell(from, failed);
                }
            }
            return;
        };
        if self.is_blocked(from, to) || unit(&mut self.rng) < self.loss() {
            self.counts.lost += 1;
            return;
        }
        let copies = if unit(&mut self.rng) < self.plan.duplicates { 2 } else { 1 };
        for _ in 0..copies {
            let delay = 1_000 + exponential(&mut self.rng, self.plan.delay_us);
            let message = message.clone();
            self.schedule(self.at_us + delay, Happening::Deliver { from, to, connection, message });
        }
    }

    fn deliver(&mut self, from: usize, to: usize, connection: u64, message: Message) {
        let same = self.links.get(&ordered(from, to)).is_some_and(|link| link.is_up && link.connection == connection);
        let Some(running) = self.nodes[to].running.as_mut().filter(|_| same) else { return };
        let peer = peer_of(from);
        let event = match message {
            Message::Gossip(topic, data) => {
                let id = GossipId::of(topic, &data);
                if !running.seen.insert(id) {
                    return;
                }
                running.undecided.push((id, topic, data.clone()));
                Event::Gossip { peer, id, topic, data }
            }
            Message::Request(request, data) => {
                let inbound = InboundId(self.next_inbound);
                self.next_inbound += 1;
                self.inbound.insert((to, inbound), (from, request, connection));
                Event::Request { peer, inbound, data }
            }
            Message::Response(request, result) => Event::Response { peer, request, result },
        };
        self.tell(to, event);
    }

    fn tick(&mut self, node: usize, life: u64, is_regular: bool) {
        if !self.is_alive(node, life) {
            return;
        }
        if is_regular {
            self.schedule(self.at_us + TICK_MS * 1000, Happening::Tick { node, life, is_regular });
        }
        self.tell(node, Event::Tick);
    }

    fn work(&mut self, node: usize, life: u64, work: Work) {
        if !self.is_alive(node, life) {
            return;
        }
        let now = self.nodes[node].clock_ms(self.at_us) / 1000;
        let Some(running) = &self.nodes[node].running else { return };
        let event = match work {
            Work::Import(block) => {
                let hash = block.hash();
                let result = running.ledger.import(*block, now);
                Event::Imported { hash, result }
            }
            Work::Adopt(snapshot) => {
                let result = running.ledger.adopt(*snapshot, now);
                self.counts.snapshots += u64::from(result.is_ok());
                Event::Adopted(result)
            }
            Work::Job(job) => Event::JobDone(Box::new(job.run(&running.ledger, now))),
        };
        self.tell_facts(node);
        self.tell(node, event);
    }

    fn mine(&mut self, node: usize, life: u64) {
        if !self.is_alive(node, life) {
            return;
        }
        if let Some(block) = self.nodes[node].mine(self.at_us) {
            let at_us = self.at_us;
            self.trace.add(at_us, node, || format!("mined {} {}", block.number(), block.hash()));
            if self.nodes[node].role.is_honest {
                self.counts.blocks_mined += 1;
            } else {
                self.counts.blocks_of_attacker += 1;
                self.attacker_blocks.push(block.hash());
            }
        }
        self.tell_facts(node);
        self.schedule_mining(node);
    }

    fn submit(&mut self) {
        if self.at_us < HEAL_US {
            let wait = exponential(&mut self.rng, 7e6);
            self.schedule(self.at_us + wait, Happening::Submit);
        }
        let node = between(&mut self.rng, 0, self.plan.honest as u64 - 1) as usize;
        let user = between(&mut self.rng, 0, u64::from(USERS) - 1) as u8;
        let tx = transaction(user, self.nonces[usize::from(user)]);
        let hash = tx.hash();
        if self.nodes[node].submit(tx, self.at_us) {
            self.nonces[usize::from(user)] += 1;
            self.counts.transactions += 1;
            self.acknowledged.push((hash, node));
            let at_us = self.at_us;
            self.trace.add(at_us, node, || format!("acknowledges {hash}"));
        }
        self.tell_facts(node);
    }

    fn connect(&mut self, a: usize, b: usize) {
        let both_run = self.nodes[a].running.is_some() && self.nodes[b].running.is_some();
        let blocked = self.is_blocked(a, b) || self.is_blocked(b, a);
        let at_us = self.at_us;
        let Some(link) = self.links.get_mut(&ordered(a, b)) else { return };
        if link.is_up {
            return;
        }
        if !both_run || blocked || link.banned_until_us > at_us {
            let again = at_us + between(&mut self.rng, 500_000, 2_000_000);
            self.schedule(again, Happening::Connect(a, b));
            return;
        }
        link.is_up = true;
        link.connection += 1;
        self.tell(a, Event::Connected { peer: peer_of(b), is_reserved: false });
        // The first one may have parted at once.
        if self.links.get(&ordered(a, b)).is_some_and(|link| link.is_up) {
            self.tell(b, Event::Connected { peer: peer_of(a), is_reserved: false });
        }
    }

    fn disconnect(&mut self, a: usize, b: usize, ban_ms: u64) {
        let at_us = self.at_us;
        let Some(link) = self.links.get_mut(&ordered(a, b)) else { return };
        link.banned_until_us = link.banned_until_us.max(at_us + ban_ms * 1000);
        if !link.is_up {
            return;
        }
        link.is_up = false;
        if self.nodes[a].role.is_honest && !self.nodes[b].role.is_honest {
            self.counts.attacker_cut_off += 1;
        }
        self.tell(a, Event::Disconnected { peer: peer_of(b) });
        self.tell(b, Event::Disconnected { peer: peer_of(a) });
        let again = at_us + between(&mut self.rng, 500_000, 2_000_000);
        self.schedule(again, Happening::Connect(a, b));
    }

    fn fault_begins(&mut self, index: usize) {
        self.active.insert(index);
        let fault = self.plan.troubles[index].fault.clone();
        let at_us = self.at_us;
        self.trace.add(at_us, 0, || format!("begins: {fault:?}"));
        match fault {
            Fault::Partition(side) => {
                let across =
                    self.links.keys().filter(|(a, b)| side.contains(a) != side.contains(b) && *b < self.plan.honest);
                let across: Vec<_> = across.copied().collect();
                // A connection that carries nothing is noticed after a while; some are not before it is over.
                for (a, b) in across {
                    let at = at_us + between(&mut self.rng, 1_000_000, 12_000_000);
                    if at < self.plan.troubles[index].to_us {
                        self.schedule(at, Happening::Cut(a, b));
                    }
                }
            }
            Fault::Crash(node) => {
                if self.nodes[node].running.is_some() {
                    self.nodes[node].crash();
                    let others = self.neighbours(node);
                    for other in others {
                        self.disconnect(node, other, 0);
                    }
                }
            }
            Fault::Clock(node, offset_ms) => self.nodes[node].skew_ms += offset_ms,
            Fault::OneWay(..) | Fault::Lossy(_) => {}
        }
    }

    fn fault_ends(&mut self, index: usize) {
        self.active.remove(&index);
        let fault = self.plan.troubles[index].fault.clone();
        let at_us = self.at_us;
        self.trace.add(at_us, 0, || format!("ends: {fault:?}"));
        match fault {
            Fault::Crash(node) if self.nodes[node].running.is_none() && self.has_joined(node) => self.start(node),
            Fault::Clock(node, offset_ms) => self.nodes[node].skew_ms -= offset_ms,
            Fault::Crash(_) | Fault::Partition(_) | Fault::OneWay(..) | Fault::Lossy(_) => {}
        }
    }
}
