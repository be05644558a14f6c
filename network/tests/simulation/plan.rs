//! What a seed decides: how many nodes, who mines, how bad the network is, and which faults happen when.

use std::collections::BTreeSet;

use rand::Rng;
use rand::rngs::StdRng;

/// The mean time between the honest miners' blocks at the difficulty that a chain begins with, in microseconds.
pub(crate) const BLOCK_US: u64 = 5_000_000;
const SECOND: u64 = 1_000_000;

/// When the last fault ends and the network is whole again.
pub(crate) const HEAL_US: u64 = 165 * SECOND;
/// When a node joins that was not there before.
pub(crate) const JOIN_US: u64 = 130 * SECOND;
/// Within so long after that all honest nodes must have had one head, and all transactions be settled: fifteen block times.
pub(crate) const SETTLE_US: u64 = 15 * BLOCK_US;
/// The same where an attacker sprints after the last fault, and its fast blocks make the next ones hard to find.
pub(crate) const SETTLE_AFTER_SPRINTS_US: u64 = 4 * SETTLE_US;

/// An attack that one more node tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    None,
    /// Ten times the honest hash rate without a listed key.
    WithoutKey,
    /// A listed key and a branch that is withheld until it is deeper than `finality_depth`.
    Withheld,
    /// A listed key and much hash power for moments: a branch from above the finalized block that has more work and fewer blocks, then
    /// one from below it.
    Sprints,
}

impl Attack {
    /// Tells whether the attacker may mine. Such an attack comes without partitions, so that no other cause moves a head far.
    pub(crate) fn has_key(self) -> bool {
        matches!(self, Self::Withheld | Self::Sprints)
    }
}

/// Something that goes wrong for a while.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The nodes of the set hear nobody outside of it.
    Partition(BTreeSet<usize>),
    /// Nothing gets from the first to the second.
    OneWay(usize, usize),
    /// The node stops at once, and starts again at the end.
    Crash(usize),
    /// More is lost than usual.
    Lossy(f64),
    /// The node's clock is off by so many milliseconds.
    Clock(usize, i64),
}

/// A fault and when it begins and ends, in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) fault: Fault,
    pub(crate) from_us: u64,
    pub(crate) to_us: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The honest nodes; an attacker comes after them.
    pub(crate) honest: usize,
    pub(crate) attack: Attack,
    /// Whether the chain names its miners.
    pub(crate) is_listed: bool,
    pub(crate) finality_depth: u64,
    /// In how many block times a deviation halves or doubles the difficulty; `None`: it is fixed.
    pub(crate) half_life_blocks: Option<u64>,
    /// The node that comes late, and starts from a state snapshot.
    pub(crate) late_joiner: Option<usize>,
    /// Who may be connected with whom.
    pub(crate) edges: Vec<(usize, usize)>,
    pub(crate) hash_rates: Vec<f64>,
    pub(crate) skews_ms: Vec<i64>,
    /// The part of messages that is lost, and that comes twice.
    pub(crate) loss: f64,
    pub(crate) duplicates: f64,
    /// The mean of what is added to the least delay, in microseconds.
    pub(crate) delay_us: f64,
    pub(crate) troubles: Vec<Trouble>,
}

/// Draws from 0 to 1.
pub(crate) fn unit(rng: &mut StdRng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Draws from `low` to `high`.
pub(crate) fn between(rng: &mut StdRng, low: u64, high: u64) -> u64 {
    low + rng.next_u64() % (high - low + 1)
}

/// Draws an exponentially distributed time of this mean.
pub(crate) fn exponential(rng: &mut StdRng, mean: f64) -> u64 {
    (-mean * (1.0 - unit(rng)).ln()) as u64
}

impl Plan {
    pub(crate) fn draw(seed: u64, rng: &mut StdRng) -> Self {
        let attack = match seed % 10 {
            3 => Attack::WithoutKey,
            5 => Attack::Sprints,
            7 => Attack::Withheld,
            _ => Attack::None,
        };
        let honest = between(rng, 3, 5) as usize;
        let is_listed = attack != Attack::None || unit(rng) < 0.5;
        let miners = between(rng, 2, honest as u64) as usize;
        let hash_rates = (0..honest).map(|node| if node < miners { 0.3 + unit(rng) } else { 0.0 }).collect();
        let skews_ms = (0..honest).map(|_| between(rng, 0, 8_000) as i64 - 4_000).collect();
        // The shorter it is, the more often a branch with more work has fewer blocks.
        let half_life = [None, Some(4), Some(10), Some(20), Some(40)][between(rng, 0, 4) as usize];
        let mut plan = Self {
            honest,
            attack,
            is_listed,
            finality_depth: if attack == Attack::Withheld { 10 } else { 24 },
            half_life_blocks: if attack == Attack::Sprints { Some(4) } else { half_life },
            // A node that does not mine, where the chain is long enough by then to have final blocks.
            late_joiner: (attack == Attack::Withheld && miners < honest).then(|| honest - 1),
            edges: Vec::new(),
            hash_rates,
            skews_ms,
            loss: unit(rng) * 0.1,
            duplicates: unit(rng) * 0.1,
            delay_us: 1e3 * (5.0 + 150.0 * unit(rng)),
            troubles: Vec::new(),
        };
        plan.draw_edges(rng);
        plan.draw_troubles(rng);
        plan
    }

    /// Everyone with everyone, or a ring with chords.
    fn draw_edges(&mut self, rng: &mut StdRng) {
        let full = unit(rng) < 0.5;
        for a in 0..self.honest {
            for b in a + 1..self.honest {
                let is_ring = b == a + 1 || (a == 0 && b == self.honest - 1);
                if full || is_ring || unit(rng) < 0.3 {
                    self.edges.push((a, b));
                }
            }
        }
        if self.attack != Attack::None {
            self.edges.extend((0..self.honest).map(|node| (node, self.honest)));
        }
    }

    /// Partitions are shorter than `finality_depth` blocks and come one after the other: a longer one splits a network for good,
    /// which is what the alarm is for. Everything else may overlap.
    fn draw_troubles(&mut self, rng: &mut StdRng) {
        if !self.attack.has_key() {
            let mut from = 10 * SECOND;
            while from < HEAL_US - 40 * SECOND {
                let long = between(rng, 4 * SECOND, 15 * SECOND);
                let side: BTreeSet<_> = (0..self.honest).filter(|_| unit(rng) < 0.5).collect();
                if !side.is_empty() && side.len() < self.honest {
                    self.trouble(Fault::Partition(side), from, from + long);
                }
                from += long + between(rng, 25 * SECOND, 60 * SECOND);
            }
        }
        for _ in 0..between(rng, 1, 4) {
            let from = between(rng, 5 * SECOND, HEAL_US - 35 * SECOND);
            let to = from + between(rng, 2 * SECOND, 30 * SECOND);
            let node = between(rng, 0, self.honest as u64 - 1) as usize;
            let other = (node + 1) % self.honest;
            let fault = match between(rng, 0, 9) {
                0..=4 => Fault::Crash(node),
                5..=6 => Fault::OneWay(node, other),
                7..=8 => Fault::Lossy(0.1 + unit(rng) * 0.3),
                _ => Fault::Clock(node, if unit(rng) < 0.5 { 40_000 } else { -40_000 }),
            };
            self.trouble(fault, from, to);
        }
    }

    /// Returns when the honest nodes must have one head.
    pub(crate) fn deadline_us(&self) -> u64 {
        HEAL_US + if self.attack == Attack::Sprints { SETTLE_AFTER_SPRINTS_US } else { SETTLE_US }
    }

    fn trouble(&mut self, fault: Fault, from_us: u64, to_us: u64) {
        self.troubles.push(Trouble { fault, from_us, to_us: to_us.min(HEAL_US) });
    }
}
