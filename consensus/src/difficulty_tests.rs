//! Known values, properties, and a seeded simulation of a network of miners.

use std::collections::VecDeque;

use alloy_primitives::B256;
use proptest::prelude::*;

use super::*;

fn rules(target_ms: u64, half_life_blocks: u64, min: u64, max: U256, empty_blocks: EmptyBlocks) -> PowRules {
    PowRules {
        difficulty: DifficultyRule::Target { target_ms, half_life_blocks, min: U256::from(min), max },
        empty_blocks,
        ..crate::test_chain::spec().pow
    }
}

fn usual() -> PowRules {
    rules(5000, 40, 1, U256::MAX, EmptyBlocks::Always)
}

/// The difficulty after a parent of difficulty `difficulty` that came `interval` seconds after its own parent.
fn after(rules: &PowRules, difficulty: u64, interval: u64) -> f64 {
    let parent =
        Header { number: 9, difficulty: U256::from(difficulty), timestamp: 1000 + interval, ..Header::default() };
    f64::from(next_difficulty(rules, &parent, Some(1000)))
}

#[test]
fn the_formula_holds_to_a_millionth() {
    let difficulty = 1_000_000_000_000;
    for interval in [0, 1, 4, 5, 6, 10, 50, 100, 204, 205] {
        let exponent = (5.0 - f64::from(u32::try_from(interval).unwrap())) / 200.0;
        let expected = 1e12 * exponent.exp2();
        let actual = after(&usual(), difficulty, interval);
        assert!((actual / expected - 1.0).abs() < 1e-6, "{interval} s: {actual}, expected {expected}");
    }
}

#[test]
fn a_block_changes_difficulty_by_a_fifth_up_and_a_half_down_at_most() {
    let quick = rules(60_000, 1, 1, U256::MAX, EmptyBlocks::Always);
    assert_eq!(after(&quick, 1_000_000, 0), 1_200_001.0);
    for interval in [120, 300, 172_800, u64::MAX / 2000] {
        assert_eq!(after(&quick, 1_000_000, interval), 500_000.0, "{interval} s");
        assert_eq!(after(&usual(), 1_000_000, interval.max(300)), 500_000.0, "{interval} s");
    }
}

#[test]
fn floor_and_ceiling_hold() {
    let narrow = rules(5000, 40, 900, U256::from(1100), EmptyBlocks::Always);
    for (difficulty, interval, expected) in
        [(1000, 300, 900.0), (1100, 0, 1100.0), (1, 0, 900.0), (5, 300, 900.0), (1_000_000, 5, 1100.0)]
    {
        assert_eq!(after(&narrow, difficulty, interval), expected, "{difficulty} after {interval} s");
    }
}

#[test]
fn the_first_two_blocks_keep_the_genesis_difficulty_within_bounds() {
    for (number, grandparent) in [(0, None), (1, Some(0))] {
        for (genesis, expected) in [(5_000, 5_000), (0, 1_000), (1, 1_000), (9_999_999, 8_000)] {
            let bounded = rules(5000, 40, 1000, U256::from(8000), EmptyBlocks::Always);
            let parent =
                Header { number, difficulty: U256::from(genesis), timestamp: 1_767_225_600, ..Header::default() };
            assert_eq!(next_difficulty(&bounded, &parent, grandparent), U256::from(expected));
        }
    }
}

#[test]
fn a_fixed_difficulty_is_fixed() {
    let fixed = PowRules { difficulty: DifficultyRule::Fixed(U256::from(7)), ..usual() };
    assert_eq!(after(&fixed, 1_000_000, 1_000_000), 7.0);
}

#[test]
fn what_integers_cannot_hold_is_rounded_with_its_own_probability() {
    let (mut dice, rules) = (SplitMix(5), usual());
    for difficulty in [1u64, 2, 3, 10, 30] {
        for interval in [0, 9] {
            let parent = |mix_hash| Header {
                number: 9,
                difficulty: U256::from(difficulty),
                timestamp: interval,
                mix_hash,
                ..Header::default()
            };
            let mean =
                (0..100_000).map(|_| f64::from(next_difficulty(&rules, &parent(dice.word()), Some(0)))).sum::<f64>()
                    / 1e5;
            let exact = f64::from(u32::try_from(difficulty).unwrap())
                * if interval == 0 { 1.0_f64 / 40.0 } else { -0.02 }.exp2();
            // The floor is 1.
            assert!((mean - exact.max(1.0)).abs() < 0.01, "{difficulty} after {interval} s: {mean}, exact {exact}");
        }
    }
}

#[test]
fn the_mean_of_capped_intervals_is_known() {
    for (mean, cap, expected) in
        [(5000, 10_000, 4323), (1000, 2000, 864), (200, 2000, 199), (60_000, 60_000, 37_927), (5000, 0, 0)]
    {
        assert_eq!(capped_mean(mean, cap), expected, "{mean} ms capped at {cap} ms");
    }
}

proptest! {
    #[test]
    fn any_header_and_rules_give_a_difficulty_within_bounds(
        difficulty: [u8; 32], mix: [u8; 32], number: u64, timestamp: u64, grandparent: Option<u64>,
        target_ms: u64, half_life: u64, min: [u8; 32], max: [u8; 32], kind in 0u8..3,
    ) {
        let (min, max) = (U256::from_be_bytes(min), U256::from_be_bytes(max));
        let empty_blocks = [EmptyBlocks::Always, EmptyBlocks::Never, EmptyBlocks::Heartbeat { seconds: 3 }][usize::from(kind)];
        let (min, max) = (min.min(max).max(U256::ONE), max.max(min).max(U256::ONE));
        let difficulty_rule = DifficultyRule::Target { target_ms, half_life_blocks: half_life, min, max };
        let rules = PowRules { difficulty: difficulty_rule, empty_blocks, ..usual() };
        let parent = Header {
            number, timestamp, difficulty: U256::from_be_bytes(difficulty), mix_hash: B256::from(mix), ..Header::default()
        };
        let next = next_difficulty(&rules, &parent, grandparent);
        prop_assert!(next >= min && next <= max);
    }

    #[test]
    fn longer_intervals_never_raise_difficulty(difficulty in 1u64.., short in 0u64..1000, more in 0u64..1000, target_ms in 1u64..100_000) {
        let rules = rules(target_ms, 40, 1, U256::MAX, EmptyBlocks::Always);
        prop_assert!(after(&rules, difficulty, short) >= after(&rules, difficulty, short + more));
    }
}

/// A small generator of pseudo-random numbers (splitmix64), so that a seed gives the same run everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform between 0 (excluded) and 1.
    fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap()).mul_add(2f64.powi(-32), 2f64.powi(-33))
    }

    fn word(&mut self) -> B256 {
        let mut word = B256::ZERO;
        word.0.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&self.next().to_be_bytes()));
        word
    }
}

/// Mines a chain of headers: block times are exponentially distributed with mean difficulty / hash rate, timestamps are
/// whole seconds of the finder's clock and never decrease.
struct Network {
    rules: PowRules,
    dice: SplitMix,
    /// Hashes per second of all miners.
    hash_rate: f64,
    /// How many of a hundred miners have a clock that is 15 s ahead.
    percent_ahead: u64,
    /// True time in seconds.
    clock: f64,
    parent: Header,
    grandparent_timestamp: u64,
}

impl Network {
    /// A network at rest in `rules` with its difficulty already right.
    fn new(rules: PowRules, seed: u64, hash_rate: f64) -> Self {
        let DifficultyRule::Target { target_ms, .. } = rules.difficulty else { panic!("a target") };
        let seconds = f64::from(u32::try_from(target_ms).unwrap()) / 1000.0;
        let parent = Header {
            number: 2,
            difficulty: U256::from(hash_rate * seconds),
            timestamp: 1_000_000,
            ..Header::default()
        };
        let grandparent_timestamp = parent.timestamp.saturating_sub(target_ms / 1000);
        Self {
            rules,
            dice: SplitMix(seed),
            hash_rate,
            percent_ahead: 0,
            clock: 1_000_000.0,
            parent,
            grandparent_timestamp,
        }
    }

    /// Mines a block; returns the seconds it took.
    fn mine(&mut self) -> f64 {
        let difficulty = next_difficulty(&self.rules, &self.parent, Some(self.grandparent_timestamp));
        let seconds = -self.dice.unit().ln() * f64::from(difficulty) / self.hash_rate;
        self.clock += seconds;
        let ahead = if self.dice.next() % 100 < self.percent_ahead { 15 } else { 0 };
        let timestamp = (U256::from(self.clock).to::<u64>() + ahead).max(self.parent.timestamp);
        self.grandparent_timestamp = self.parent.timestamp;
        let number = self.parent.number + 1;
        self.parent = Header { number, difficulty, timestamp, mix_hash: self.dice.word(), ..Header::default() };
        seconds
    }

    /// Mines `blocks` blocks; returns the mean seconds.
    fn mean(&mut self, blocks: u32) -> f64 {
        (0..blocks).map(|_| self.mine()).sum::<f64>() / f64::from(blocks)
    }

    /// Mines until the mean of the last 20 blocks is within 0.8 to 1.25 of `target` seconds; returns blocks and seconds.
    fn recover(&mut self, target: f64) -> (u32, f64) {
        let start = self.clock;
        let mut window = VecDeque::new();
        for blocks in 1..100_000 {
            window.push_back(self.mine());
            if window.len() > 20 {
                window.pop_front();
                let mean = window.iter().sum::<f64>() / 20.0;
                if (0.8..=1.25).contains(&(mean / target)) {
                    return (blocks, self.clock - start);
                }
            }
        }
        panic!("never recovered");
    }
}

const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];

/// Runs a check for each seed and prints what it measured.
fn for_each_seed(check: impl Fn(u64) -> String) {
    for seed in SEEDS {
        println!("seed {seed}: {}", check(seed));
    }
}

#[test]
fn mean_block_time_is_the_target_within_two_percent() {
    // 1 kH/s at 200 ms is a difficulty of 200, 20 H/s at 5 s one of 100: whole numbers must not spoil the mean.
    for (target_ms, seconds, half_life, hash_rate) in [
        (5000, 5.0, 40, 1e6),
        (5000, 5.0, 20, 1e6),
        (13_000, 13.0, 40, 1e9),
        (1000, 1.0, 40, 1e6),
        (200, 0.2, 40, 1e3),
        (5000, 5.0, 40, 20.0),
    ] {
        for_each_seed(|seed| {
            let mut network =
                Network::new(rules(target_ms, half_life, 1, U256::MAX, EmptyBlocks::Always), seed, hash_rate);
            let ratio = network.mean(10_000) / seconds;
            assert!((0.98..=1.02).contains(&ratio), "target {target_ms} ms, seed {seed}: {ratio}");
            format!("target {target_ms} ms, half-life {half_life}: mean {ratio:.4}")
        });
    }
}

#[test]
fn a_busy_chain_with_restricted_empty_blocks_keeps_the_target() {
    for empty_blocks in [EmptyBlocks::Never, EmptyBlocks::Heartbeat { seconds: 60 }] {
        for (target_ms, seconds) in [(5000, 5.0), (2000, 2.0), (200, 0.2)] {
            for_each_seed(|seed| {
                let mut network = Network::new(rules(target_ms, 40, 1, U256::MAX, empty_blocks), seed, 1e6);
                let ratio = network.mean(10_000) / seconds;
                assert!((0.98..=1.03).contains(&ratio), "target {target_ms} ms, seed {seed}: {ratio}");
                format!("target {target_ms} ms, {empty_blocks:?}: mean {ratio:.4}")
            });
        }
    }
}

#[test]
fn hash_rate_changes_are_followed() {
    // Factor of the hash rate, most blocks and most block times until recovery, at a half-life of 40 and of 20.
    for (half_life, cases) in [
        (40, [(10.0, 300, 150.0), (0.1, 160, 320.0), (0.01, 320, 560.0)]),
        (20, [(10.0, 160, 80.0), (0.1, 90, 190.0), (0.01, 170, 500.0)]),
    ] {
        for (factor, blocks_max, times_max) in cases {
            for_each_seed(|seed| {
                let mut network = Network::new(rules(5000, half_life, 1, U256::MAX, EmptyBlocks::Always), seed, 1e8);
                network.mean(500);
                network.hash_rate *= factor;
                let (blocks, seconds) = network.recover(5.0);
                let times = seconds / 5.0;
                assert!(
                    blocks <= blocks_max && times <= times_max,
                    "×{factor}, seed {seed}: {blocks} blocks, {times} T"
                );
                format!("half-life {half_life}, hash rate ×{factor}: {blocks} blocks, {times:.0} block times")
            });
        }
    }
}

#[test]
fn the_first_hour_after_a_pause_has_no_burst() {
    for_each_seed(|seed| {
        let mut network = Network::new(usual(), seed, 1e6);
        network.mean(500);
        network.clock += 48.0 * 3600.0;
        let end = network.clock + 3600.0;
        let mut blocks = 0;
        while network.clock < end {
            network.mine();
            blocks += 1;
        }
        let ratio = f64::from(blocks) / 720.0;
        assert!((0.8..=1.25).contains(&ratio), "seed {seed}: {ratio}");
        format!("{blocks} blocks in the hour after 48 h, {ratio:.3} of the normal rate")
    });
}

#[test]
fn clocks_that_are_ahead_change_nothing() {
    for_each_seed(|seed| {
        let mut network = Network::new(usual(), seed, 1e6);
        network.percent_ahead = 30;
        let ratio = network.mean(10_000) / 5.0;
        assert!((0.97..=1.03).contains(&ratio), "seed {seed}: {ratio}");
        format!("30 % of miners 15 s ahead: mean {ratio:.4}")
    });
}

#[test]
fn a_chain_at_the_floor_rises_again() {
    for_each_seed(|seed| {
        let mut network = Network::new(usual(), seed, 1e6);
        network.parent.difficulty = U256::ONE;
        let (blocks, _) = network.recover(5.0);
        assert!(blocks < 1200, "seed {seed}: {blocks}");
        format!("from difficulty 1 to 5,000,000 in {blocks} blocks")
    });
}
