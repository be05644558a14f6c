//! The attacks, each of which comes in turns that go on until they are told to end.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bench::Failure;
use bench::random::Random;
use clap::ValueEnum;
use network::p2p::{PeerId, RawError};
use tokio::sync::watch;

use super::stranger::Stage;
use super::{Flags, bombs, crowd, frames, half_open, headers, orphans, requests, silent, unread};

/// How many identities attack at a time.
pub(crate) const AT_ONCE: u32 = 8;
/// What an attacker does when the node lets nobody in for now.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// An attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// Malformed bytes on bare sockets.
    Frames,
    /// Malformed requests, responses and gossip, and RLP that promises more than it holds.
    Bombs,
    /// Questions beyond a peer's share.
    Requests,
    /// Gossiped headers with bad seals.
    Seals,
    /// Branches of headers with bad seals, claimed to be the heaviest.
    Branches,
    /// Gossiped headers without seals of blocks that are final long since.
    Old,
    /// Blocks whose parent nobody has.
    Orphans,
    /// Many identities from one address.
    Sybils,
    /// Many identities from many addresses.
    Crowd,
    /// Connections that are begun and not finished, from one address.
    HalfOpen,
    /// Visitors from many addresses that say nothing.
    Silent,
    /// Peers that ask for long answers and do not read them.
    Unread,
}

/// How large the attacks are, and what the honest side lends them.
#[derive(Clone)]
pub(crate) struct Sizes {
    /// How long a turn of an attack lasts at least.
    pub(crate) time: Duration,
    /// Headers with bad seals in a second.
    pub(crate) headers: u32,
    /// Orphans in a turn.
    pub(crate) orphan_bytes: u64,
    pub(crate) sybils: u16,
    /// Places in all, and for one address.
    pub(crate) places: usize,
    pub(crate) per_address: usize,
    pub(crate) trust: Trust,
    pub(crate) heard: Heard,
    pub(crate) shown: Shown,
}

/// Makes the node trust a peer.
pub(crate) type Trust = Arc<dyn Fn(PeerId) -> Result<(), Failure> + Send + Sync>;
/// Tells how many gossip messages have come to the node.
pub(crate) type Heard = Arc<dyn Fn() -> Result<u64, Failure> + Send + Sync>;

/// Tells how many peers the node says it has.
pub(crate) type Shown = Arc<dyn Fn() -> Result<usize, Failure> + Send + Sync>;

/// Tells an attack when it is to end.
#[derive(Clone)]
pub(crate) struct Term(pub(crate) watch::Receiver<bool>);

/// What an attack did, and what came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deed {
    /// What was sent and came of that, for people.
    pub(crate) figures: Vec<Figure>,
    /// Who did something for which a peer is cut off.
    pub(crate) offenders: usize,
    /// How long each of those kept its place that lost it.
    pub(crate) cut_off: Vec<Duration>,
    /// What should not have been possible.
    pub(crate) problems: Vec<String>,
    /// Where the attack was smaller than it should have been; a machine that is busy with other things is a reason.
    pub(crate) shortfalls: Vec<String>,
}

/// A number, with what it counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Figure {
    /// Adds up over the turns of an attack.
    Sum(u64, &'static str),
    /// The greatest over the turns is told.
    Most(u64, &'static str),
}

impl Figure {
    /// Counts things.
    pub(crate) fn count(number: usize, what: &'static str) -> Self {
        Self::Sum(u64::try_from(number).unwrap_or(u64::MAX), what)
    }

    /// Counts things of which all turns have the same.
    pub(crate) fn most(number: usize, what: &'static str) -> Self {
        Self::Most(u64::try_from(number).unwrap_or(u64::MAX), what)
    }

    fn join(&mut self, other: Self) {
        match (self, other) {
            (Self::Sum(number, _), Self::Sum(more, _)) => *number = number.saturating_add(more),
            (Self::Most(number, _) | Self::Sum(number, _), Self::Most(more, _) | Self::Sum(more, _)) => {
                *number = (*number).max(more);
            }
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Sum(number, what) | Self::Most(number, what)) = self;
        write!(f, "{number} {what}")
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Frames => "malformed frames",
            Self::Bombs => "RLP bombs",
            Self::Requests => "too many requests",
            Self::Seals => "headers with bad seals",
            Self::Branches => "branches with bad seals",
            Self::Old => "old blocks",
            Self::Orphans => "orphans",
            Self::Sybils => "sybils, one address",
            Self::Crowd => "sybils, many addresses",
            Self::HalfOpen => "half-open connections",
            Self::Silent => "silent visitors",
            Self::Unread => "answers not read",
        })
    }
}

impl Sizes {
    pub(crate) fn of(flags: &Flags, trust: Trust, heard: Heard, shown: Shown) -> Self {
        Self {
            time: Duration::from_secs(flags.seconds),
            headers: flags.headers,
            orphan_bytes: (flags.orphans_mb << 20) / u64::from(flags.turns),
            sybils: flags.sybils,
            // Visitors who only look for others come on top of the places.
            places: 50 + 8,
            per_address: 16,
            trust,
            heard,
            shown,
        }
    }
}

impl Term {
    /// Tells whether it is over.
    pub(crate) fn is_over(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is over.
    pub(crate) async fn over(&mut self) {
        // Who would have told is gone: that is an end too.
        let _ = self.0.wait_for(|over| *over).await;
    }
}

impl Deed {
    /// Adds what was done in a further turn.
    pub(crate) fn join(&mut self, other: Self) {
        if self.figures.is_empty() {
            self.figures = other.figures;
        } else {
            self.figures.iter_mut().zip(other.figures).for_each(|(figure, more)| figure.join(more));
        }
        self.offenders += other.offenders;
        self.cut_off.extend(other.cut_off);
        self.problems.extend(other.problems);
        self.shortfalls.extend(other.shortfalls);
    }

    /// Says what was sent.
    pub(crate) fn sent(&self) -> String {
        self.figures.iter().map(Figure::to_string).collect::<Vec<_>>().join(", ")
    }

    /// Adds offenders, each with how long it kept its place.
    pub(crate) fn add(&mut self, kept: Vec<Option<Duration>>) {
        self.offenders += kept.len();
        self.cut_off.extend(kept.into_iter().flatten());
    }
}

impl Attack {
    /// Returns the attacks that are wanted.
    pub(crate) fn all(only: &[Self]) -> Vec<Self> {
        if only.is_empty() { Self::value_variants().to_vec() } else { only.to_vec() }
    }

    /// Attacks until it is over.
    pub(crate) async fn run(self, stage: Stage, sizes: Sizes, term: Term) -> Result<Deed, Failure> {
        match self {
            Self::Frames => send_frames(stage, term).await,
            Self::Bombs => {
                let deed = one_after_the_other(stage, term, |stage, turn| Box::pin(bombs::throw(stage, turn))).await?;
                Ok(Deed { figures: vec![Figure::count(deed.offenders, "bombs")], ..deed })
            }
            Self::Requests => {
                let deed = one_after_the_other(stage, term, |stage, _| Box::pin(requests::ask(stage))).await?;
                Ok(Deed { figures: vec![Figure::count(deed.offenders, "peers asked")], ..deed })
            }
            Self::Seals => headers::flood(stage, sizes, term, headers::Bad::Seal).await,
            Self::Branches => headers::branches(stage, sizes, term).await,
            Self::Old => headers::flood(stage, sizes, term, headers::Bad::Old).await,
            Self::Orphans => orphans::send(stage, sizes, term).await,
            Self::Sybils => crowd::attack(stage, sizes, term, false).await,
            Self::Crowd => crowd::attack(stage, sizes, term, true).await,
            Self::HalfOpen => half_open::hold(stage, term).await,
            Self::Silent => silent::visit(stage, sizes, term).await,
            Self::Unread => unread::ask(stage, term).await,
        }
    }
}

async fn send_frames(stage: Stage, term: Term) -> Result<Deed, Failure> {
    let (target, mut random, mut deed) = (stage.socket()?, Random::new(1), Deed::default());
    while !term.is_over() {
        let sent: Vec<Vec<u8>> = (0..AT_ONCE).map(|_| frames::draw(&mut random)).collect();
        let tasks: Vec<_> =
            sent.into_iter().map(|bytes| tokio::spawn(async move { frames::send(target, &bytes).await })).collect();
        for task in tasks {
            deed.add(vec![task.await??]);
        }
    }
    deed.figures = vec![Figure::count(deed.offenders, "connections")];
    Ok(deed)
}

/// What one offender does; how long it kept its place, or `None` where it was not let in.
type Offence = Pin<Box<dyn Future<Output = Result<Option<Duration>, RawError>> + Send>>;

/// Lets offenders come, several at a time, each as a new identity.
pub(crate) async fn one_after_the_other(
    stage: Stage,
    term: Term,
    offend: fn(Stage, u32) -> Offence,
) -> Result<Deed, Failure> {
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|first| {
            let (stage, term) = (stage.clone(), term.clone());
            tokio::spawn(async move {
                let (mut turn, mut kept) = (first, Vec::new());
                while !term.is_over() {
                    match offend(stage.clone(), turn).await {
                        Ok(time) => kept.push(time),
                        // There is no room while those before are parted from.
                        Err(_) => tokio::time::sleep(PAUSE).await,
                    }
                    turn += 1;
                }
                kept
            })
        })
        .collect();
    let mut deed = Deed::default();
    for task in tasks {
        deed.add(task.await?);
    }
    Ok(deed)
}
