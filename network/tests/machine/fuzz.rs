//! The machine under arbitrary sequences of events: peers that come and go, say what is right, what is nearly right, and nonsense, in any
//! order and at any time. It never panics, keeps what it holds within its limits, decides about each gossip message once, answers each
//! request once, and never leaves its chain for a lighter one.
//!
//! `FUZZ` (events) and `SEED` choose the size; `make fuzz N=… SEED=…` sets them.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, U256};
use chain::LedgerHandle;
use network::machine::limits::*;
use network::machine::*;
use network::message::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::bench::*;
use crate::messages::arbitrary::corpus;
use crate::messages::mutate::{below, mutate};
use crate::sync::status_of;

/// Events where `FUZZ` says nothing.
const EVENTS_DEFAULT: u64 = 12_000;
/// Events that one machine sees.
const EVENTS_PER_MACHINE: u64 = 1_500;
const PEERS: usize = 6;
/// What a machine may hold in all.
const HELD_MAX: usize = 64 << 20;

/// A machine, the chains of its peers, and what it owes.
struct Search {
    bench: Bench,
    /// A heavier chain, and one that left ours long ago.
    theirs: [LedgerHandle; 2],
    corpus: Vec<Vec<u8>>,
    rng: StdRng,
    /// Gossip that waits for a verdict: how often each message came and was not decided.
    undecided: BTreeMap<GossipId, u64>,
    told: BTreeSet<GossipId>,
    /// Requests of the machine that have no answer.
    open: Vec<(PeerId, RequestId, Request)>,
    work: U256,
}

impl Search {
    fn new(seed: u64) -> Self {
        let theirs = [ledger(), ledger()];
        let shared = mine(&theirs[0], 6, "shared");
        for nonce in 0..4 {
            store(&theirs[0], nonce, nonce, 7);
            mine(&theirs[0], 6, "heavier");
        }
        mine(&theirs[1], 25, "elsewhere");
        let bench = Bench::new(MachineConfig {
            peers_max: 4,
            start_from_snapshot: seed.is_multiple_of(2),
            ..MachineConfig::default()
        });
        if !seed.is_multiple_of(3) {
            for block in shared {
                bench.ledger.import(block, bench.now_ms / 1000).unwrap();
            }
            mine(&bench.ledger, 5, "ours");
        }
        let work = bench.ledger.view().head_td();
        Self {
            bench,
            theirs,
            corpus: corpus(seed, 60),
            rng: StdRng::seed_from_u64(seed),
            undecided: BTreeMap::new(),
            told: BTreeSet::new(),
            open: Vec::new(),
            work,
        }
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[below(&mut self.rng, list.len())].clone()
    }

    /// Bytes as they are, nearly as they are, or of another message.
    fn disturb(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        match below(&mut self.rng, 4) {
            0 => {
                let other = self.any();
                mutate(&bytes, &other, &mut self.rng)
            }
            1 => self.any(),
            _ => bytes,
        }
    }

    fn any(&mut self) -> Vec<u8> {
        let corpus = std::mem::take(&mut self.corpus);
        let message = self.pick(&corpus);
        self.corpus = corpus;
        message
    }

    fn their_ledger(&mut self) -> LedgerHandle {
        let theirs = self.theirs.clone();
        self.pick(&theirs)
    }

    fn status(&mut self) -> Status {
        let theirs = self.their_ledger();
        let status = status_of(&self.bench, &theirs);
        match below(&mut self.rng, 4) {
            0 => Status { total_difficulty: U256::MAX, head_number: self.rng.next_u64(), ..status },
            1 => self.bench.status(B256::repeat_byte(3), 1, 1),
            _ => status,
        }
    }

    fn event(&mut self) -> Event {
        let peer = PeerId(u64::try_from(below(&mut self.rng, PEERS)).unwrap());
        match below(&mut self.rng, 16) {
            0 => Event::Connected { peer, is_reserved: below(&mut self.rng, 2) == 0 },
            1 => match below(&mut self.rng, 6) {
                0 => Event::Disconnected { peer },
                1 => Event::Pardoned { peer },
                _ => self.pass_time(),
            },
            2..=3 => {
                let status = Request::Status(Box::new(self.status())).encode();
                self.request(peer, status)
            }
            4 => {
                let any = self.any();
                self.request(peer, any)
            }
            5..=8 => self.gossip(peer),
            9..=13 if !self.open.is_empty() => self.response(),
            _ => self.pass_time(),
        }
    }

    fn pass_time(&mut self) -> Event {
        self.bench.now_ms += [1, 50, TICK_MS, 5_000, 20_000][below(&mut self.rng, 5)];
        Event::Tick
    }

    fn request(&mut self, peer: PeerId, data: Vec<u8>) -> Event {
        let inbound = InboundId(self.rng.next_u64());
        let data = if below(&mut self.rng, 5) == 0 { self.disturb(data) } else { data };
        Event::Request { peer, inbound, data: data.into() }
    }

    fn gossip(&mut self, peer: PeerId) -> Event {
        let theirs = self.their_ledger().view();
        let number = self.rng.next_u64() % (theirs.head().number + 1);
        let block = theirs.block_by_number(number).unwrap().unwrap();
        let (topic, data) = match below(&mut self.rng, 4) {
            0 => {
                let notices = block.transactions.iter().map(|tx| Notice {
                    hash: tx.hash(),
                    kind: 2,
                    size_bytes: u64::try_from(tx.size_bytes()).unwrap(),
                });
                let salt = self.rng.next_u64();
                let notices =
                    notices.chain([Notice { hash: B256::from(U256::from(salt)), kind: 2, size_bytes: salt % 300 }]);
                (Topic::Transactions, Gossip::Transactions(Announcement { salt, notices: notices.collect() }).encode())
            }
            _ => (Topic::Blocks, Gossip::Block(Box::new(CompactBlock::of(&block))).encode()),
        };
        let data = if below(&mut self.rng, 6) == 0 { self.disturb(data) } else { data };
        let id = GossipId::of(topic, &data);
        Event::Gossip { peer, id, topic, data }
    }

    fn response(&mut self) -> Event {
        let index = below(&mut self.rng, self.open.len());
        // Now and then it is answered twice.
        let (peer, request, message) =
            if below(&mut self.rng, 8) == 0 { self.open[index].clone() } else { self.open.swap_remove(index) };
        let theirs = self.their_ledger();
        let honest = match &message {
            Request::Status(_) => Response::Status(Box::new(self.status())),
            other => serve::answer(&theirs, other).unwrap(),
        };
        let result = match below(&mut self.rng, 10) {
            0 => Err(RequestFailure::Timeout),
            1 => Err(RequestFailure::Disconnected),
            2 => Ok(self.disturb(honest.encode())),
            3 => Ok(Response::Refused("no".to_owned()).encode()),
            _ => Ok(honest.encode()),
        };
        Event::Response { peer, request, result: result.map(Buffer::from) }
    }

    /// Gives the machine an event and checks what it does.
    fn tell(&mut self, event: Event) {
        let mut answers = None;
        match &event {
            Event::Gossip { id, .. } => {
                // A message comes once, whoever sends it: so gossip works.
                if !self.told.insert(*id) {
                    return;
                }
                self.undecided.insert(*id, 1);
            }
            Event::Request { inbound, .. } => answers = Some(*inbound),
            _ => {}
        }
        let wants = self.bench.tell(event);
        let mut answered = 0;
        for want in wants {
            match want {
                Action::Verdict { id, .. } => {
                    assert_eq!(self.undecided.remove(&id), Some(1), "a second verdict on {id:?}");
                }
                Action::Respond { inbound, .. } | Action::Serve { inbound, .. } => {
                    assert_eq!(Some(inbound), answers);
                    answered += 1;
                }
                Action::Send { peer, request, message } => self.open.push((peer, request, *message)),
                _ => {}
            }
        }
        assert_eq!(answered, i32::from(answers.is_some()), "each request is answered once");
        assert!(self.bench.machine.held_bytes() <= HELD_MAX);
        let work = self.bench.ledger.view().head_td();
        assert!(work >= self.work, "the chain has become lighter");
        self.work = work;
    }

    /// Lets all peers go and all time pass: nothing may be left.
    fn finish(&mut self) {
        for peer in 0..u64::try_from(PEERS).unwrap() {
            self.tell(Event::Disconnected { peer: PeerId(peer) });
        }
        self.bench.now_ms += 2 * ORPHAN_MS;
        self.tell(Event::Tick);
        assert_eq!(self.undecided.len(), 0, "gossip without a verdict");
        assert_eq!(self.bench.machine.progress(&self.bench.ledger, self.bench.now_ms), None);
        self.bench.ledger.shut_down().unwrap();
        self.theirs.iter().for_each(|ledger| ledger.shut_down().unwrap());
    }
}

#[test]
fn any_sequence_of_events_is_borne() {
    let variable = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let first = variable("SEED").unwrap_or(1);
    let events = variable("FUZZ").unwrap_or(EVENTS_DEFAULT).max(1);
    let machines = events.div_ceil(EVENTS_PER_MACHINE);
    println!("{events} events for {machines} machines, seeds from {first}");
    let mut synced = 0;
    for seed in first..first + machines {
        let ran = std::panic::catch_unwind(|| {
            let mut search = Search::new(seed);
            let before = search.work;
            for _ in 0..EVENTS_PER_MACHINE {
                let event = search.event();
                search.tell(event);
            }
            search.finish();
            search.work > before
        });
        assert!(ran.is_ok(), "seed {seed}");
        synced += u64::from(ran.unwrap());
    }
    // Else the search would not have come far.
    assert!(synced * 2 > machines, "{synced} of {machines} machines have caught up");
}
