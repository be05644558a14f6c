//! The answers that peers have asked for: those that wait to be made, those that are being made, and those that their peers have not read
//! yet, with room for each kind. Pure: what a response channel is, and how the transport names a request, are parameters.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use libp2p::PeerId;

use crate::machine::InboundId;
use crate::message::Request;
use crate::message::limits::RESPONSE_BYTES_SOFT;

/// How many answers are made from the store at a time.
const MAKING_MAX: usize = 2;
/// How many requests of one peer wait: a node asks four things at a time, and for the transactions of eight blocks.
const WAITING_PER_PEER: usize = 16;
/// Room for those that wait of one peer, in bytes; one of them may be longer.
const WAITING_BYTES_PER_PEER: usize = 64 * 1024;
/// Room for answers that one peer has not read yet, in bytes: of each usual length, one that it reads and one that is made meanwhile.
const UNREAD_BYTES_PER_PEER: usize = 2 * RESPONSE_BYTES_SOFT;
/// The same for all peers. The second half of it is for those alone who have read what they asked for last.
const UNREAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The same where the machine answers at once: all peers ask for a block that was just announced, and none may be longer than 16 MiB.
const GIVEN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// From how many bytes on an answer is known to have been read when it is written: it is longer than what the line holds of it.
const READ_BYTES_MIN: usize = 512 * 1024;
/// Up to how many bytes an answer needs no room and is not counted: a status, or a refusal.
const SHORT_BYTES: usize = 16 * 1024;
/// How many answers in a row a peer may ask for and not read.
const LEFT_MAX: u32 = 3;

/// What becomes of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivery<C> {
    /// It is written.
    Write(C),
    /// The peer has so much to read already that only a refusal is written.
    NoRoom(C),
    /// Nobody waits for it any more.
    Gone,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The peer has read the answer.
    Read,
    /// The peer has left the answer unread.
    Left,
    /// There was no answer, or nobody to read it.
    Lost,
}

#[derive(Debug)]
enum Stage {
    /// The machine decides about it.
    Asked,
    /// It waits to be answered from the store.
    Waiting { message: Request, bytes: usize },
    /// It is being answered.
    Making,
    /// The answer is written, of so many bytes.
    Unread { bytes: usize },
}

#[derive(Debug)]
struct Open<K, C> {
    peer: PeerId,
    key: K,
    /// The request's length.
    bytes: usize,
    channel: Option<C>,
    stage: Stage,
}

/// What one peer has of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    waiting_bytes: usize,
    making: usize,
    unread_bytes: usize,
    has_read: bool,
    left_in_a_row: u32,
}

/// Says who comes first: the lesser ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It has read a long answer, and left none since.
    Reader,
    /// It has not been seen to read yet.
    Newcomer,
    /// It has left the last one.
    Leaver,
}

impl Load {
    fn rank(self) -> Rank {
        match (self.left_in_a_row, self.has_read) {
            (0, true) => Rank::Reader,
            (0, false) => Rank::Newcomer,
            _ => Rank::Leaver,
        }
    }

    /// Notes how an answer of so many bytes ended that was written, and is no short one.
    fn note(&mut self, end: End, bytes: usize) {
        match end {
            End::Left => (self.left_in_a_row, self.has_read) = (self.left_in_a_row.saturating_add(1), false),
            End::Read if bytes >= READ_BYTES_MIN => (self.left_in_a_row, self.has_read) = (0, true),
            End::Read | End::Lost => {}
        }
    }

    /// Returns what it has to read, or will have.
    fn to_read(self) -> usize {
        self.unread_bytes.saturating_add(self.making.saturating_mul(RESPONSE_BYTES_SOFT))
    }
}

/// Knows the requests of peers that have not ended, by what the transport calls them (`K`) and where their answer goes (`C`).
#[derive(Debug)]
pub(super) struct Answers<K, C> {
    open: HashMap<InboundId, Open<K, C>>,
    names: HashMap<K, InboundId>,
    /// Of each peer those that wait, the oldest first.
    waiting: HashMap<PeerId, BTreeSet<InboundId>>,
    loads: HashMap<PeerId, Load>,
    next: u64,
    /// Answers that are being made, whether somebody still waits for them or not.
    making: usize,
    unread_bytes: usize,
}

impl<K, C> Default for Answers<K, C> {
    fn default() -> Self {
        Self {
            open: HashMap::new(),
            names: HashMap::new(),
            waiting: HashMap::new(),
            loads: HashMap::new(),
            next: 0,
            making: 0,
            unread_bytes: 0,
        }
    }
}

impl<K: Copy + Eq + Hash, C> Answers<K, C> {
    /// Notes a request of so many bytes and names it.
    pub(super) fn asked(&mut self, peer: PeerId, key: K, bytes: usize, channel: C) -> InboundId {
        let inbound = InboundId(self.next);
        self.next += 1;
        self.names.insert(key, inbound);
        self.open.insert(inbound, Open { peer, key, bytes, channel: Some(channel), stage: Stage::Asked });
        inbound
    }

    /// Lets a request wait to be answered from the store; false: too many of its peer wait.
    pub(super) fn wait(&mut self, inbound: InboundId, message: Request) -> bool {
        let Some(open) = self.open.get_mut(&inbound) else { return true };
        let load = self.loads.entry(open.peer).or_default();
        let bytes = open.bytes;
        let waiting = self.waiting.get(&open.peer).map_or(0, BTreeSet::len);
        let has_room = waiting < WAITING_PER_PEER && load.waiting_bytes + bytes <= WAITING_BYTES_PER_PEER;
        if waiting > 0 && !has_room {
            return false;
        }
        load.waiting_bytes += bytes;
        self.waiting.entry(open.peer).or_default().insert(inbound);
        open.stage = Stage::Waiting { message, bytes };
        true
    }

    /// Takes a request that is to be answered from the store now. Readers come before newcomers, and those before leavers; of these the one
    /// that has least to read, and of its requests the oldest.
    pub(super) fn start(&mut self) -> Option<(InboundId, Request)> {
        if self.making >= MAKING_MAX {
            return None;
        }
        let total = self.unread_bytes.saturating_add((self.making + 1).saturating_mul(RESPONSE_BYTES_SOFT));
        let place_of = |(peer, waiting): (&PeerId, &BTreeSet<InboundId>)| {
            let load = self.loads.get(peer).copied().unwrap_or_default();
            let (rank, to_read) = (load.rank(), load.to_read());
            let room = if rank == Rank::Reader { UNREAD_BYTES_MAX } else { UNREAD_BYTES_MAX / 2 };
            let has_room = total <= room && to_read.saturating_add(RESPONSE_BYTES_SOFT) <= UNREAD_BYTES_PER_PEER;
            has_room.then_some((rank, to_read, *waiting.first()?))
        };
        let (_, _, inbound) = self.waiting.iter().filter_map(place_of).min()?;
        let open = self.open.get_mut(&inbound)?;
        let Stage::Waiting { message, bytes } = std::mem::replace(&mut open.stage, Stage::Making) else { return None };
        no_longer_waits(&mut self.waiting, open.peer, inbound);
        let load = self.loads.entry(open.peer).or_default();
        load.waiting_bytes = load.waiting_bytes.saturating_sub(bytes);
        load.making += 1;
        self.making += 1;
        Some((inbound, message))
    }

    /// Notes that an answer which was being made is there, of `bytes`, and says what becomes of it. There was room for it.
    pub(super) fn made(&mut self, inbound: InboundId, bytes: usize) -> Delivery<C> {
        self.making = self.making.saturating_sub(1);
        match self.deliver(inbound, bytes) {
            Some(channel) => Delivery::Write(channel),
            None => Delivery::Gone,
        }
    }

    /// Says what becomes of an answer of `bytes` that the machine gives by itself.
    pub(super) fn given(&mut self, inbound: InboundId, bytes: usize) -> Delivery<C> {
        let Some(open) = self.open.get(&inbound) else { return Delivery::Gone };
        let load = self.loads.get(&open.peer).copied().unwrap_or_default();
        let is_too_much = load.to_read() > 0 && load.to_read().saturating_add(bytes) > UNREAD_BYTES_PER_PEER;
        let is_full = self.unread_bytes.saturating_add(bytes) > GIVEN_BYTES_MAX;
        let has_room = bytes <= SHORT_BYTES || !(is_too_much || is_full);
        match self.deliver(inbound, if has_room { bytes } else { 0 }) {
            Some(channel) if has_room => Delivery::Write(channel),
            Some(channel) => Delivery::NoRoom(channel),
            None => Delivery::Gone,
        }
    }

    fn deliver(&mut self, inbound: InboundId, bytes: usize) -> Option<C> {
        let open = self.open.get_mut(&inbound)?;
        let channel = open.channel.take()?;
        let load = self.loads.entry(open.peer).or_default();
        if matches!(open.stage, Stage::Making) {
            load.making = load.making.saturating_sub(1);
        }
        let bytes = if bytes > SHORT_BYTES { bytes } else { 0 };
        open.stage = Stage::Unread { bytes };
        load.unread_bytes += bytes;
        self.unread_bytes += bytes;
        Some(channel)
    }

    /// Forgets a request that has ended; tells the peer where it leaves one answer after the other unread.
    pub(super) fn ended(&mut self, key: &K, end: End) -> Option<PeerId> {
        let inbound = self.names.get(key).copied()?;
        let (peer, bytes) = self.close(inbound)?;
        let load = self.loads.entry(peer).or_default();
        if bytes > SHORT_BYTES {
            load.note(end, bytes);
        }
        let leaves_all = load.left_in_a_row >= LEFT_MAX;
        if *load == Load::default() {
            self.loads.remove(&peer);
        }
        leaves_all.then_some(peer)
    }

    /// Forgets a peer that is gone.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        let theirs: Vec<InboundId> =
            self.open.iter().filter(|(_, open)| open.peer == *peer).map(|(inbound, _)| *inbound).collect();
        for inbound in theirs {
            self.close(inbound);
        }
        self.loads.remove(peer);
    }

    /// Takes a request out; tells whose it was, and the bytes of the answer that was written.
    fn close(&mut self, inbound: InboundId) -> Option<(PeerId, usize)> {
        let open = self.open.remove(&inbound)?;
        self.names.remove(&open.key);
        let load = self.loads.entry(open.peer).or_default();
        match open.stage {
            Stage::Asked => Some((open.peer, 0)),
            Stage::Waiting { bytes, .. } => {
                no_longer_waits(&mut self.waiting, open.peer, inbound);
                load.waiting_bytes = load.waiting_bytes.saturating_sub(bytes);
                Some((open.peer, 0))
            }
            // The work goes on, and nobody takes its result.
            Stage::Making => {
                load.making = load.making.saturating_sub(1);
                Some((open.peer, 0))
            }
            Stage::Unread { bytes } => {
                load.unread_bytes = load.unread_bytes.saturating_sub(bytes);
                self.unread_bytes = self.unread_bytes.saturating_sub(bytes);
                Some((open.peer, bytes))
            }
        }
    }
}

fn no_longer_waits(waiting: &mut HashMap<PeerId, BTreeSet<InboundId>>, peer: PeerId, inbound: InboundId) {
    let Some(theirs) = waiting.get_mut(&peer) else { return };
    theirs.remove(&inbound);
    if theirs.is_empty() {
        waiting.remove(&peer);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    const LONG: usize = RESPONSE_BYTES_SOFT;
    type Desk = Answers<u64, u64>;

    /// Asks for something that is answered from the store; tells whether it may wait.
    fn ask(desk: &mut Desk, peer: PeerId, key: u64, bytes: usize) -> bool {
        let inbound = desk.asked(peer, key, bytes, key);
        let may_wait = desk.wait(inbound, Request::Pool);
        if !may_wait {
            assert_eq!(desk.given(inbound, 10), Delivery::Write(key), "a refusal is always written");
        }
        may_wait
    }

    /// Makes all answers that can be made, each of so many bytes, and returns how many those are.
    fn make_all(desk: &mut Desk, bytes: usize) -> usize {
        let mut made = 0;
        while let Some((inbound, _)) = desk.start() {
            assert!(matches!(desk.made(inbound, bytes), Delivery::Write(_)));
            made += 1;
        }
        made
    }

    #[test]
    fn a_peer_that_does_not_read_is_answered_so_much_and_others_go_on() {
        let (mut desk, deaf, reader) = (Desk::default(), PeerId::random(), PeerId::random());
        for key in 0..16 {
            assert!(ask(&mut desk, deaf, key, 100));
        }
        assert!(!ask(&mut desk, deaf, 16, 100), "no more than sixteen wait");
        assert_eq!(make_all(&mut desk, LONG), UNREAD_BYTES_PER_PEER / LONG);
        for key in 100..200 {
            assert!(ask(&mut desk, reader, key, 100));
            assert_eq!(make_all(&mut desk, LONG), 1);
            assert_eq!(desk.ended(&key, End::Read), None);
        }
        // What was given up makes room for the next.
        assert_eq!(desk.ended(&0, End::Left), None);
        assert_eq!(make_all(&mut desk, LONG), 1);
    }

    /// Lets each of the peers ask for so many things.
    fn ask_all(desk: &mut Desk, peers: &[PeerId], first_key: u64, each: usize) {
        let asked = peers.iter().flat_map(|peer| std::iter::repeat_n(peer, each));
        for (key, peer) in (first_key..).zip(asked) {
            assert!(ask(desk, *peer, key, 100));
        }
    }

    #[test]
    fn all_peers_together_have_so_much_and_half_of_it_is_for_those_who_read() {
        let (mut desk, reader) = (Desk::default(), PeerId::random());
        let peers: Vec<PeerId> = (0..20).map(|_| PeerId::random()).collect();
        ask_all(&mut desk, &[reader], 0, 1);
        assert_eq!((make_all(&mut desk, LONG), desk.ended(&0, End::Read)), (1, None));
        ask_all(&mut desk, &peers, 100, 4);
        assert_eq!(make_all(&mut desk, LONG), UNREAD_BYTES_MAX / 2 / LONG);
        let greedy = desk.loads.values().filter(|load| load.unread_bytes > LONG).count();
        assert_eq!(greedy, 0, "one each");
        ask_all(&mut desk, &[reader], 1, 3);
        assert_eq!(make_all(&mut desk, LONG), UNREAD_BYTES_PER_PEER / LONG, "the reader is served at once");
        // What is free again goes to those who have not left anything.
        for key in 100..180 {
            assert_eq!(desk.ended(&key, End::Left), None);
        }
        ask_all(&mut desk, &peers[..4], 200, 1);
        let fresh = PeerId::random();
        ask_all(&mut desk, &[fresh], 300, 1);
        let (next, _) = desk.start().unwrap();
        assert_eq!(desk.open[&next].peer, fresh);
    }

    #[test]
    fn there_is_never_more_to_read_than_there_is_room_for() {
        let mut desk = Desk::default();
        let peers: Vec<PeerId> = (0..20).map(|_| PeerId::random()).collect();
        for (round, peer) in (0..).zip(&peers) {
            ask_all(&mut desk, &[*peer], round, 1);
            assert_eq!((make_all(&mut desk, LONG), desk.ended(&round, End::Read)), (1, None));
        }
        ask_all(&mut desk, &peers, 100, 8);
        assert_eq!(make_all(&mut desk, LONG), UNREAD_BYTES_MAX / LONG);
        assert_eq!(desk.unread_bytes, UNREAD_BYTES_MAX);
    }

    #[test]
    fn long_requests_wait_one_at_a_time() {
        let (mut desk, peer, long) = (Desk::default(), PeerId::random(), 270_000);
        assert!(ask(&mut desk, peer, 0, long));
        assert!(!ask(&mut desk, peer, 1, long) && !ask(&mut desk, peer, 2, 1));
        assert!(ask(&mut desk, PeerId::random(), 3, long));
        assert_eq!(desk.start().map(|(inbound, _)| inbound), Some(InboundId(0)));
        assert!(ask(&mut desk, peer, 4, long));
    }

    #[test]
    fn answers_that_are_given_at_once_need_room_too_unless_they_are_short() {
        let (mut desk, peer) = (Desk::default(), PeerId::random());
        let mut give = |key: u64, bytes: usize| {
            let inbound = desk.asked(peer, key, 100, key);
            desk.given(inbound, bytes)
        };
        assert_eq!(give(0, 4 * LONG), Delivery::Write(0), "one may be of any length");
        assert_eq!(give(1, LONG), Delivery::NoRoom(1));
        assert_eq!(give(2, SHORT_BYTES), Delivery::Write(2));
        assert_eq!(desk.ended(&0, End::Lost), None);
        let inbound = desk.asked(peer, 3, 100, 3);
        assert_eq!(desk.given(inbound, LONG), Delivery::Write(3));
        assert_eq!(desk.given(inbound, LONG), Delivery::Gone, "a request is answered once");
    }

    #[test]
    fn who_leaves_several_answers_in_a_row_is_told() {
        let (mut desk, peer) = (Desk::default(), PeerId::random());
        let mut leave = |key: u64, bytes: usize, end: End| {
            assert!(ask(&mut desk, peer, key, 100));
            assert_eq!(make_all(&mut desk, bytes), 1);
            desk.ended(&key, end)
        };
        for key in 0..2 {
            assert_eq!(leave(key, LONG, End::Left), None);
        }
        assert_eq!(leave(2, LONG, End::Read), None);
        for key in 3..5 {
            assert_eq!(leave(key, LONG, End::Left), None);
        }
        // One that the line holds says nothing, nor does a line that broke.
        assert_eq!(leave(5, READ_BYTES_MIN - 1, End::Read), None);
        assert_eq!(leave(6, LONG, End::Lost), None);
        assert_eq!(leave(7, LONG, End::Left), Some(peer));
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_dropped_and_its_place_is_free() {
        let (mut desk, peer) = (Desk::default(), PeerId::random());
        for key in 0..6 {
            assert!(ask(&mut desk, peer, key, 100));
        }
        let (first, _) = desk.start().unwrap();
        // One that is being made, and one that waits.
        assert_eq!((desk.ended(&0, End::Lost), desk.ended(&1, End::Lost)), (None, None));
        assert_eq!(desk.made(first, LONG), Delivery::Gone);
        assert_eq!((desk.making, desk.unread_bytes, desk.waiting.values().flatten().count()), (0, 0, 4));
        desk.start().unwrap();
        desk.forget(&peer);
        assert_eq!((desk.open.len(), desk.names.len(), desk.waiting.len(), desk.loads.len()), (0, 0, 0, 0));
        assert_eq!(desk.made(InboundId(2), LONG), Delivery::Gone);
        assert_eq!(desk.making, 0);
    }

    #[test]
    fn whatever_happens_in_whatever_order_the_sums_are_those_of_the_parts() {
        for seed in 0..20 {
            let (mut desk, mut rng) = (Desk::default(), StdRng::seed_from_u64(seed));
            let peers: Vec<PeerId> = (0..5).map(|_| PeerId::random()).collect();
            let mut making = Vec::new();
            for key in 0..400u64 {
                let peer = peers[usize::try_from(rng.next_u64() % 5).unwrap()];
                let other = rng.next_u64() % (key + 1);
                match rng.next_u64() % 12 {
                    0..=4 => drop(ask(&mut desk, peer, key, 40_000)),
                    5..=6 => making.extend(desk.start().map(|(inbound, _)| inbound)),
                    7..=8 if !making.is_empty() => drop(desk.made(making.swap_remove(0), LONG)),
                    9 => drop(desk.ended(&other, End::Left)),
                    10 if key % 10 == 0 => desk.forget(&peer),
                    _ => drop(desk.ended(&other, End::Read)),
                }
                assert_eq!(desk.making, making.len(), "seed {seed}");
                assert_eq!(desk.names.len(), desk.open.len(), "seed {seed}");
                let sum = |of: fn(&Load) -> usize| desk.loads.values().map(of).sum::<usize>();
                assert_eq!(sum(|load| load.unread_bytes), desk.unread_bytes, "seed {seed}");
                assert!(desk.waiting.values().all(|waiting| !waiting.is_empty()), "seed {seed}");
                let waiting = desk.waiting.values().flatten().map(|inbound| desk.open[inbound].bytes).sum::<usize>();
                assert_eq!(sum(|load| load.waiting_bytes), waiting, "seed {seed}");
                assert!(sum(|load| load.making) <= desk.making, "seed {seed}");
                assert!(desk.unread_bytes <= UNREAD_BYTES_MAX, "seed {seed}");
            }
        }
    }
}
