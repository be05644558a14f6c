//! The shell around the machine: one task that owns the swarm and the machine, gives it what happens, and does what it says.
//!
//! Imports go to the ledger one after the other on a thread of their own; what takes long runs on threads that may block. The task
//! decides nothing about blocks and peers itself, save whom to call.

mod actions;
mod answers;
mod events;
mod numbers;
mod reasons;
mod visitors;
mod work;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chain::{Fact, LedgerHandle, ViewError};
use futures::StreamExt;
use libp2p::PeerId;
use libp2p::request_response::{InboundRequestId, OutboundRequestId, ResponseChannel};
use libp2p::swarm::{ConnectionId, Swarm};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use self::answers::Answers;
use self::numbers::Numbers;
use self::visitors::{Overdue, Visitors};
use self::work::{Importer, Internal};
use super::address::{PeerAddress, resolve};
use super::behaviour::{NodeBehaviour, listen, node_swarm};
use super::board::{Behind, Board, Counters, Peer};
use super::config::{P2pConfig, StartError};
use super::dialer::{Dialer, Reason, Room};
use super::exchange::Parcel;
use super::handle::{CHANGES_CAPACITY, COMMANDS_MAX, Command, NetworkHandle, PeerChange};
use super::names::Names;
use crate::machine::{self, Event, Machine, MachineConfig, RequestId, TICK_MS};

/// How many heads may wait for the task; what is lost by more the machine learns from the ledger's view.
const HEADS_MAX: usize = 1024;
/// How many transactions may wait for the task; what is lost by more others learn when they ask for the pool.
const TRANSACTIONS_MAX: usize = 16_384;
/// How many results of work may wait for the task; the workers wait where there are more.
const RESULTS_MAX: usize = 1024;
/// How often calls are made, and the board brought up to date.
const HOUSEKEEPING_EVERY: Duration = Duration::from_millis(500);
/// How often the good peers are written to their file.
const REMEMBER_EVERY: Duration = Duration::from_secs(60);
/// How often discovery is begun anew while there are no peers.
const DISCOVER_EVERY: Duration = Duration::from_secs(5);
/// How long answers to a peer that is parted from may take to be written.
const PARTING: Duration = Duration::from_millis(250);
/// From how many blocks on a node counts as behind.
const BEHIND_MIN: u64 = 3;
/// How often a node that catches up writes how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Tells the time in milliseconds since 1970.
pub type ClockMs = fn() -> u64;

/// Says why the network's task has ended.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// Our own store failed.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A thread has ended that must not.
    #[error("the network's {0} has ended")]
    Worker(&'static str),
}

/// A running network.
pub struct Network {
    /// Looks at it and steers it.
    pub handle: NetworkHandle,
    /// The task; when it ends by itself the node must stop.
    pub task: JoinHandle<Result<(), ShellError>>,
}

/// Starts the network on the current runtime.
///
/// # Errors
/// The address cannot be listened on, or the settings contradict each other.
pub fn start(
    config: P2pConfig,
    machine: MachineConfig,
    ledger: LedgerHandle,
    clock_ms: ClockMs,
) -> Result<Network, StartError> {
    let names = Arc::new(Names::new(ledger.view().genesis_hash()));
    let board: Arc<Board> = Arc::default();
    let mut swarm = node_swarm(&config, &names, &board)?;
    listen(&mut swarm, &config)?;
    let machine = Machine::new(machine, &ledger.view()).map_err(|error| StartError::Setup(error.to_string()))?;
    let (commands, received) = mpsc::channel(COMMANDS_MAX);
    let handle =
        NetworkHandle { me: *swarm.local_peer_id(), commands, changes: broadcast::channel(CHANGES_CAPACITY).0, board };
    handle.board.set_external(config.external.clone());
    let (results_in, results) = mpsc::channel(RESULTS_MAX);
    let facts = Facts::follow(&ledger, &handle.board);
    let importer = Importer::spawn(ledger.clone(), clock_ms, results_in.clone(), handle.board.clone())
        .map_err(|error| StartError::Setup(format!("no thread for imports: {error}")))?;
    let mut seed = [0; 32];
    rand::fill(&mut seed);
    let mut shell = Shell {
        names,
        swarm,
        machine,
        ledger,
        clock_ms,
        random: StdRng::from_seed(seed),
        board: handle.board.clone(),
        changes: handle.changes.clone(),
        numbers: Numbers::default(),
        dialer: Dialer::default(),
        announced: HashSet::new(),
        visitors: Visitors::default(),
        blamed: HashSet::new(),
        pings_lost: HashMap::new(),
        parting: HashMap::new(),
        asked: HashMap::new(),
        answers: Answers::default(),
        wake_ms: None,
        importer,
        results: results_in,
        progress: Progress::default(),
        config,
    };
    shell.name_targets();
    let task = tokio::spawn(shell.run(received, results, facts));
    Ok(Network { handle, task })
}

/// What the ledger tells.
struct Facts {
    heads: mpsc::Receiver<Event>,
    transactions: mpsc::Receiver<Event>,
}

impl Facts {
    /// Follows the ledger, whose thread must not wait: what there is no room for is counted and left out.
    fn follow(ledger: &LedgerHandle, board: &Arc<Board>) -> Self {
        let (heads_in, heads) = mpsc::channel(HEADS_MAX);
        let (transactions_in, transactions) = mpsc::channel(TRANSACTIONS_MAX);
        let board = Arc::clone(board);
        ledger.subscribe(Box::new(move |fact| {
            let sent = match fact {
                Fact::NewHead { added, .. } => heads_in.try_send(Event::NewHead { added: added.clone() }),
                Fact::NewTransaction(tx) => transactions_in.try_send(Event::NewTransaction(tx.clone())),
                _ => return,
            };
            if let Err(mpsc::error::TrySendError::Full(_)) = sent {
                Counters::add(&board.counters.facts_lost, 1);
            }
        }));
        Self { heads, transactions }
    }
}

/// A peer that is being parted from.
struct Parting {
    /// When its connections are closed; none: they are being closed.
    at: Option<Instant>,
    /// For how long it is refused after that.
    ban: Duration,
    reason: String,
}

/// How far a node that catches up has come.
#[derive(Default)]
struct Progress {
    starting: Option<u64>,
    told: Option<(Instant, u64)>,
}

struct Shell {
    config: P2pConfig,
    swarm: Swarm<NodeBehaviour>,
    machine: Machine,
    ledger: LedgerHandle,
    clock_ms: ClockMs,
    random: StdRng,
    names: Arc<Names>,
    board: Arc<Board>,
    changes: broadcast::Sender<PeerChange>,
    numbers: Numbers,
    dialer: Dialer,
    /// The peers that the machine knows to be connected.
    announced: HashSet<PeerId>,
    /// Those who are connected and whom it does not know.
    visitors: Visitors,
    /// Those with points of blame.
    blamed: HashSet<PeerId>,
    /// How many pings in a row were lost on a connection.
    pings_lost: HashMap<ConnectionId, u32>,
    parting: HashMap<PeerId, Parting>,
    /// The machine's requests that have no answer yet.
    asked: HashMap<OutboundRequestId, (machine::PeerId, RequestId)>,
    /// The peers' requests whose answers are not made or not read yet.
    answers: Answers<InboundRequestId, ResponseChannel<Parcel>>,
    wake_ms: Option<u64>,
    importer: Importer,
    results: mpsc::Sender<Internal>,
    progress: Progress,
}

impl Shell {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut results: mpsc::Receiver<Internal>,
        mut facts: Facts,
    ) -> Result<(), ShellError> {
        let mut tick = tokio::time::interval(Duration::from_millis(TICK_MS));
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING_EVERY);
        let mut remember = tokio::time::interval(REMEMBER_EVERY);
        let mut discover = tokio::time::interval(DISCOVER_EVERY);
        let ended = loop {
            let wake = self.until_wake();
            let done = tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                command = commands.recv() => match command {
                    None | Some(Command::Stop) => break Ok(()),
                    Some(command) => self.on_command(command),
                },
                Some(result) = results.recv() => self.on_result(result),
                Some(event) = facts.heads.recv() => self.handle(event),
                Some(event) = facts.transactions.recv() => self.handle(event),
                _ = tick.tick() => self.on_tick(),
                () = tokio::time::sleep(wake) => self.on_wake(),
                _ = housekeeping.tick() => {
                    self.keep_house();
                    Ok(())
                }
                _ = discover.tick() => {
                    self.discover();
                    Ok(())
                }
                _ = remember.tick() => {
                    self.remember();
                    Ok(())
                }
            };
            if let Err(error) = done {
                break Err(error);
            }
        };
        self.remember();
        // Nobody takes what the workers still bring, and none of them waits for it.
        drop(results);
        self.importer.stop().await;
        ended
    }

    fn now_ms(&self) -> u64 {
        (self.clock_ms)()
    }

    /// Returns the time until the machine wants to be woken, or a connection is to be closed.
    fn until_wake(&self) -> Duration {
        /// Longer than a tick, which looks at the clock anyway.
        const NEVER: Duration = Duration::from_secs(3600);
        let wake = self.wake_ms.map_or(NEVER, |at| Duration::from_millis(at.saturating_sub(self.now_ms())));
        let parting = self.parting.values().filter_map(|parting| parting.at).min();
        parting.map_or(wake, |at| wake.min(at.saturating_duration_since(Instant::now())))
    }

    fn on_wake(&mut self) -> Result<(), ShellError> {
        self.finish_partings(Instant::now());
        if self.wake_ms.is_some_and(|at| at <= self.now_ms()) {
            self.wake_ms = None;
            return self.handle(Event::Tick);
        }
        Ok(())
    }

    fn on_tick(&mut self) -> Result<(), ShellError> {
        let now_ms = self.now_ms();
        for peer in std::mem::take(&mut self.blamed) {
            self.score(peer, self.numbers.known(&peer).map_or(0, |number| self.machine.points(number, now_ms)));
        }
        self.handle(Event::Tick)
    }

    /// Tells gossip and the operator of a peer's points of blame, which fade: as long as it has some they are looked at again.
    fn score(&mut self, peer: PeerId, points: u32) {
        self.board.with_peer(&peer, |known| known.points = points);
        self.swarm.behaviour_mut().gossip.set_application_score(&peer, -f64::from(points));
        if points > 0 {
            self.blamed.insert(peer);
        }
    }

    /// Gives the machine an event and does what it says.
    fn handle(&mut self, event: Event) -> Result<(), ShellError> {
        let now_ms = self.now_ms();
        let actions = self.machine.handle(event, now_ms, &mut self.random, &self.ledger)?;
        for action in actions {
            self.perform(action)?;
        }
        Ok(())
    }

    fn on_result(&mut self, result: Internal) -> Result<(), ShellError> {
        match result {
            Internal::Event(event) => self.handle(event),
            Internal::Served(inbound, bytes) => {
                self.on_served(inbound, bytes);
                Ok(())
            }
            Internal::Failed(error) => Err(error.into()),
            Internal::Resolved(peer, addresses) => {
                self.call(peer, addresses);
                Ok(())
            }
        }
    }

    /// Notes everyone whom the configuration names, and the good peers of the last run.
    fn name_targets(&mut self) {
        let now = Instant::now();
        for peer in &self.config.static_peers {
            self.dialer.add(peer.peer, peer.address.clone(), Reason::Static, now);
        }
        for peer in &self.config.boot_nodes {
            self.dialer.add(peer.peer, peer.address.clone(), Reason::Boot, now);
        }
        if !self.config.discover {
            return;
        }
        let remembered = self.config.known_peers.as_deref().and_then(|path| std::fs::read_to_string(path).ok());
        for line in remembered.iter().flat_map(|text| text.lines()).take(256) {
            if let Ok(peer) = line.parse::<PeerAddress>() {
                self.dialer.add(peer.peer, peer.address, Reason::Found, now);
            }
        }
    }

    fn on_command(&mut self, command: Command) -> Result<(), ShellError> {
        // Whoever asked may have gone away.
        match command {
            Command::Add(peer, reply) => {
                let is_new = self.dialer.reason(&peer.peer) != Some(Reason::Static);
                self.pardon(peer.peer)?;
                self.swarm.behaviour_mut().gate.set_trusted(peer.peer, true);
                self.dialer.add(peer.peer, peer.address, Reason::Static, Instant::now());
                let _ = reply.send(is_new);
            }
            Command::Remove(peer, reply) => {
                let was_named = self.dialer.remove(&peer);
                self.swarm.behaviour_mut().gate.set_trusted(peer, false);
                let was_connected = self.swarm.disconnect_peer_id(peer).is_ok();
                let _ = reply.send(was_named || was_connected);
            }
            Command::Trust(peer, trusted, reply) => {
                let gate = &mut self.swarm.behaviour_mut().gate;
                let is_change = gate.is_trusted(&peer) != trusted;
                gate.set_trusted(peer, trusted);
                let _ = reply.send(is_change);
            }
            Command::AllowOnly(peers) => {
                let peers = peers.map(|peers| peers.into_iter().collect());
                self.swarm.behaviour_mut().gate.allow_only(peers);
            }
            Command::Stop => {}
        }
        Ok(())
    }

    /// Forgets what a peer did, so that it can come at once.
    fn pardon(&mut self, peer: PeerId) -> Result<(), ShellError> {
        self.swarm.behaviour_mut().gate.pardon(&peer);
        if let Some(parting) = self.parting.get_mut(&peer) {
            parting.ban = Duration::ZERO;
        }
        let Some(number) = self.numbers.known(&peer) else { return Ok(()) };
        self.score(peer, 0);
        self.handle(Event::Pardoned { peer: number })
    }

    /// Calls whoever is due, closes what is parted from, and brings the board up to date.
    fn keep_house(&mut self) {
        let now = Instant::now();
        let connected: HashSet<PeerId> = self.swarm.connected_peers().copied().collect();
        // A node that has two thirds of its peers leaves the rest to those who call it.
        let wanted = self.config.peers_max.saturating_mul(2).div_ceil(3);
        let room = Room { peers: self.announced.len(), wanted };
        for (peer, addresses) in self.dialer.due(now, &connected, room) {
            if self.swarm.behaviour().gate.check_peer(&peer, now).is_err() {
                continue;
            }
            let results = self.results.clone();
            tokio::spawn(async move {
                let mut resolved = Vec::new();
                for address in &addresses {
                    match resolve(address).await {
                        Ok(found) => resolved.extend(found),
                        Err(error) => tracing::debug!(%address, %error, "a name cannot be looked up"),
                    }
                }
                // The task may have ended meanwhile.
                let _ = results.send(Internal::Resolved(peer, resolved)).await;
            });
        }
        self.see_visitors_off(now);
        self.watch_sync(now);
    }

    /// Parts from those who are connected for long and are no nodes.
    fn see_visitors_off(&mut self, now: Instant) {
        for Overdue { peer, has_spoken } in self.visitors.overdue(now) {
            if !has_spoken {
                self.note_silence(peer);
            }
            let reason = "no node".to_owned();
            self.parting.entry(peer).or_insert(Parting { at: Some(now), ban: Duration::ZERO, reason });
        }
        self.finish_partings(now);
    }

    /// Tells the operator of somebody who came, or was called, and said nothing.
    fn note_silence(&mut self, peer: PeerId) {
        let reason = format!("it said nothing for {} s", visitors::SILENCE_MAX.as_secs());
        match self.board.with_peer(&peer, |known| (known.is_inbound, known.address.clone())) {
            // Who it is says nothing: it can be somebody else each time.
            Some((true, address)) => self.refused_visit(None, &address, reason),
            _ => self.refused_by(peer, reason),
        }
    }

    fn finish_partings(&mut self, now: Instant) {
        let swarm = &mut self.swarm;
        self.parting.retain(|peer, parting| {
            if parting.at.is_none_or(|at| at > now) {
                return true;
            }
            parting.at = None;
            if parting.ban.is_zero() {
                // It may be gone already.
                let _ = swarm.disconnect_peer_id(*peer);
            } else {
                let reason = std::mem::take(&mut parting.reason);
                swarm.behaviour_mut().gate.ban(*peer, parting.ban, reason, now);
            }
            // Until its last connection is closed.
            swarm.is_connected(peer)
        });
    }

    /// Looks how far the node is behind its heaviest peer, and tells now and then.
    fn watch_sync(&mut self, now: Instant) {
        let view = self.ledger.view();
        let head = view.head().number;
        let heavier = |peer: &Peer| {
            let status = peer.status.as_ref()?;
            (status.total_difficulty > view.head_td()).then_some(status.head_number)
        };
        let highest = self.board.peers().iter().filter_map(heavier).max().unwrap_or(0);
        if highest < head.saturating_add(BEHIND_MIN) {
            if let Some(starting) = self.progress.starting.take() {
                info!(head, blocks = head.saturating_sub(starting), "caught up");
            }
            self.progress.told = None;
            return self.board.set_behind(None);
        }
        let starting = *self.progress.starting.get_or_insert(head);
        self.board.set_behind(Some(Behind { starting, highest }));
        match self.progress.told {
            Some((at, _)) if now.duration_since(at) < PROGRESS_EVERY => return,
            Some((at, from)) => {
                let seconds = now.duration_since(at).as_secs().max(1);
                let per_second = head.saturating_sub(from) / seconds;
                let left_s = highest.saturating_sub(head).checked_div(per_second);
                info!(target: "network::progress", head, of = highest, blocks_per_second = per_second, left_s, "catching up");
            }
            None => info!(target: "network::progress", head, of = highest, "catching up"),
        }
        self.progress.told = Some((now, head));
    }

    fn discover(&mut self) {
        if self.announced.is_empty()
            && let Some(kademlia) = self.swarm.behaviour_mut().kademlia.as_mut()
        {
            // Without a known node there is nobody to ask.
            let _ = kademlia.bootstrap();
        }
    }

    /// Writes the peers of now to their file.
    fn remember(&self) {
        let Some(path) = self.config.known_peers.clone() else { return };
        let welcome = self.board.peers();
        if welcome.is_empty() {
            return;
        }
        let lines: Vec<String> = welcome
            .iter()
            .flat_map(|peer| self.dialer.addresses(&peer.id).map(move |address| format!("{address}/p2p/{}\n", peer.id)))
            .collect();
        // A few lines: not worth a thread.
        if let Err(error) = std::fs::write(&path, lines.concat()) {
            warn!(path = %path.display(), %error, "the good peers cannot be remembered");
        }
    }
}
