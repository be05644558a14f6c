//! What is done to the network.

use std::fmt;

use bench::Failure;
use bench::random::Random;

use crate::partitions::lab::Lab;
use crate::partitions::nodes::{NODES, Nodes};

/// One fault.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// These nodes, and the others, hear only each other.
    Partition(Vec<usize>),
    /// These nodes hear nobody, but all hear them.
    OneWay(Vec<usize>),
    /// Every node loses so many of a hundred packets.
    Loss(u64),
    /// These nodes send so many kilobits a second.
    Slow(Vec<usize>, u64),
    /// These nodes are killed and started again at the end.
    Kill(Vec<usize>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            |nodes: &[usize]| nodes.iter().map(|node| format!("node{}", node + 1)).collect::<Vec<_>>().join("+");
        match self {
            Self::Partition(side) => write!(f, "partition {}/{}: {}", side.len(), NODES - side.len(), names(side)),
            Self::OneWay(deaf) => write!(f, "one-way loss: {} hear nothing", names(deaf)),
            Self::Loss(percent) => write!(f, "loss {percent} %"),
            Self::Slow(slow, kbit) => write!(f, "{} at {kbit} kbit/s", names(slow)),
            Self::Kill(killed) => write!(f, "kill {}", names(killed)),
        }
    }
}

impl Fault {
    /// Draws faults without end: each kind once in every round, in the order drawn.
    pub(crate) fn plan(random: &mut Random) -> impl Iterator<Item = Self> + use<> {
        let mut random = Random::new(random.number());
        let mut round: Vec<u64> = Vec::new();
        std::iter::from_fn(move || {
            if round.is_empty() {
                round = (0..6).collect();
            }
            let kind = round.swap_remove(random.index(round.len()));
            Some(Self::draw(kind, &mut random))
        })
    }

    fn draw(kind: u64, random: &mut Random) -> Self {
        match kind {
            0 => Self::Partition(some(random, 2)),
            1 => Self::Partition(some(random, 1)),
            2 => Self::OneWay(some(random, 1)),
            3 => Self::Loss(10),
            4 => Self::Slow(some(random, 2), random.between(100, 500)),
            _ => {
                let count = 1 + random.index(2);
                Self::Kill(some(random, count))
            }
        }
    }

    /// Does it.
    pub(crate) fn begin(&self, lab: &Lab, nodes: &mut Nodes) -> Result<(), Failure> {
        match self {
            Self::Partition(side) => {
                for (one, other) in pairs().filter(|(one, other)| side.contains(one) != side.contains(other)) {
                    lab.cut(one, other)?;
                }
            }
            Self::OneWay(deaf) => {
                for (from, at) in pairs().filter(|(_, at)| deaf.contains(at)) {
                    lab.cut(from, at)?;
                }
            }
            Self::Loss(percent) => (0..NODES).try_for_each(|node| lab.lose(node, *percent))?,
            Self::Slow(slow, kbit) => slow.iter().try_for_each(|node| lab.slow(*node, *kbit))?,
            Self::Kill(killed) => killed.iter().try_for_each(|node| nodes.kill(*node))?,
        }
        Ok(())
    }

    /// Undoes it.
    pub(crate) fn end(&self, lab: &Lab, nodes: &mut Nodes) -> Result<(), Failure> {
        if let Self::Kill(killed) = self {
            return killed.iter().try_for_each(|node| nodes.start(lab, *node));
        }
        lab.heal()
    }
}

/// Draws `count` different nodes.
fn some(random: &mut Random, count: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..NODES).collect();
    let mut drawn: Vec<usize> = (0..count).map(|_| all.swap_remove(random.index(all.len()))).collect();
    drawn.sort_unstable();
    drawn
}

fn pairs() -> impl Iterator<Item = (usize, usize)> {
    (0..NODES).flat_map(|one| (0..NODES).map(move |other| (one, other))).filter(|(one, other)| one != other)
}
