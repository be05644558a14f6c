//! The difficulty filter: relative ASERT on the parents' timestamps.
//!
//! A block's difficulty is its parent's, multiplied by 2^((T − interval) / (half-life × T)), where the interval is that
//! between grandparent and parent and T the block time aimed at. A block's own timestamp has no say, so that no miner
//! gains by shifting it. Nothing accumulates: a chain that rested comes back at its normal pace.
//!
//! The arithmetic is fixed-point; what integers cannot hold is rounded up with the probability that it has, drawn from
//! the parent's mix hash. So difficulties as small as 1 still move, and from about 100 on the mean block time is exact.

use alloy_primitives::{U256, U512};

use crate::block::Header;
use crate::ethereum::difficulty::ethash_difficulty;
use crate::spec::{ChainSpec, DifficultyRule, EmptyBlocks, Era, PowRules};

/// An interval counts for at most this many block times.
pub const INTERVAL_CAP_BLOCKS: u64 = 60;
/// The same where empty blocks are restricted: a pause then tells that nobody sent a transaction, not that hash power left.
pub const INTERVAL_CAP_BLOCKS_RESTRICTED: u64 = 2;
/// The least restricted cap in milliseconds: timestamps are whole seconds, and a smaller cap would cut most intervals off.
const INTERVAL_CAP_RESTRICTED_MS_MIN: u64 = 2000;

/// A factor of 1 in fixed point: 62 fractional bits, so that the product of two factors below 2 fits 128 bits.
const ONE: u128 = 1 << FRACTION_BITS;
const FRACTION_BITS: u32 = 62;
/// log2(e) in the same fixed point.
const LOG2_E: u128 = 6_653_256_548_922_161_245;

/// Returns the difficulty that `header` must have after `parent`, by the rule of its era; of `header` only number, timestamp
/// and difficulty (for the era) are read.
pub fn expected(spec: &ChainSpec, header: &Header, parent: &Header, grandparent_timestamp: Option<u64>) -> U256 {
    match (spec.era_of(header), &spec.ethereum) {
        (Era::Merged, _) => U256::ZERO,
        (Era::Ethash, Some(rules)) => {
            rules.fixed_difficulty.unwrap_or_else(|| ethash_difficulty(spec.fork_of(header), header.timestamp, parent))
        }
        (Era::Ethash | Era::Drawbridge, _) => next_sealed_difficulty(spec, parent, grandparent_timestamp),
    }
}

/// Returns the difficulty of the block after `parent` under Drawbridge's seal.
///
/// At a hand-over from Ethereum's rules it is what the chain file says, else the parent's within floor and ceiling; the block
/// after that one keeps it, since the interval before the hand-over says nothing about the hash power after it.
pub fn next_sealed_difficulty(spec: &ChainSpec, parent: &Header, grandparent_timestamp: Option<u64>) -> U256 {
    let hand_over = spec.ethereum.as_ref().and_then(|rules| rules.hand_over);
    let Some(hand_over) = hand_over.filter(|hand_over| parent.number <= hand_over.first) else {
        return next_difficulty(&spec.pow, parent, grandparent_timestamp);
    };
    match (&spec.pow.difficulty, hand_over.start_difficulty) {
        (DifficultyRule::Target { min, max, .. }, Some(start)) if parent.number < hand_over.first => {
            start.min(*max).max(*min).max(U256::ONE)
        }
        _ => next_difficulty(&spec.pow, parent, None),
    }
}

/// Returns the difficulty of the block after `parent`, whose own parent (absent for the genesis block) has
/// `grandparent_timestamp` (seconds).
///
/// The two blocks after the genesis block keep its difficulty (within floor and ceiling): how long ago a genesis file was
/// written says nothing about hash power.
pub fn next_difficulty(rules: &PowRules, parent: &Header, grandparent_timestamp: Option<u64>) -> U256 {
    let (target_ms, half_life_blocks, min, max) = match rules.difficulty {
        DifficultyRule::Fixed(difficulty) => return difficulty,
        DifficultyRule::Target { target_ms, half_life_blocks, min, max } => (target_ms, half_life_blocks, min, max),
    };
    // A ceiling below the floor is refused in the chain file; the floor would win.
    let within_bounds = |difficulty: U256| difficulty.min(max).max(min).max(U256::ONE);
    let Some(grandparent_timestamp) = grandparent_timestamp.filter(|_| parent.number > 1) else {
        return within_bounds(parent.difficulty);
    };
    let interval_ms = parent.timestamp.saturating_sub(grandparent_timestamp).saturating_mul(1000);
    let aim = Aim::new(target_ms, rules.empty_blocks);
    let half_life_ms = u128::from(half_life_blocks.max(1)) * u128::from(target_ms.max(1));
    let factor = Factor::exp2(aim.deviation_ms(interval_ms), half_life_ms);
    let limited = factor.apply(parent.difficulty, parent.mix_hash.0).clamp(
        parent.difficulty >> 1,
        // At most 6/5 of the parent's, rounded up so that the least difficulties can rise.
        parent.difficulty.saturating_add(parent.difficulty / U256::from(5)).saturating_add(U256::ONE),
    );
    within_bounds(limited)
}

/// Holds what intervals are compared with.
struct Aim {
    /// Longer intervals count as this.
    cap_ms: u64,
    /// What a capped interval is on average when blocks come every target, being exponentially distributed.
    expected_ms: u64,
}

impl Aim {
    fn new(target_ms: u64, empty_blocks: EmptyBlocks) -> Self {
        match empty_blocks {
            // 60 block times: the cap takes e^-60 off the mean, nothing that milliseconds could tell.
            EmptyBlocks::Always => {
                Self { cap_ms: target_ms.saturating_mul(INTERVAL_CAP_BLOCKS), expected_ms: target_ms }
            }
            EmptyBlocks::Heartbeat { .. } | EmptyBlocks::Never => {
                let cap_ms =
                    target_ms.saturating_mul(INTERVAL_CAP_BLOCKS_RESTRICTED).max(INTERVAL_CAP_RESTRICTED_MS_MIN);
                Self { cap_ms, expected_ms: capped_mean(target_ms, cap_ms) }
            }
        }
    }

    /// Returns how much earlier (positive) or later (negative) than expected a block came.
    fn deviation_ms(&self, interval_ms: u64) -> i128 {
        i128::from(self.expected_ms) - i128::from(interval_ms.min(self.cap_ms))
    }
}

/// Returns the mean of min(x, cap) for exponentially distributed x of the given mean: mean × (1 − e^(−cap/mean)).
fn capped_mean(mean_ms: u64, cap_ms: u64) -> u64 {
    let mean = u128::from(mean_ms.max(1));
    // cap/mean × log2(e), in fixed point; e^-44 is below one part of the fraction.
    let ratio = (u128::from(cap_ms).min(mean * 44) << 32) / mean;
    let exponent = (ratio * (LOG2_E >> 30)) >> 32;
    let (whole, fraction) = (exponent >> 32, (exponent & 0xffff_ffff) << 30);
    let tail = (ONE * ONE / exp2_fraction(fraction)) >> whole;
    u64::try_from((mean * (ONE - tail)) >> FRACTION_BITS).unwrap_or(u64::MAX)
}

/// Holds a factor between 1/2 and 2 as `mantissa` / 2^`shift`.
struct Factor {
    mantissa: u128,
    shift: u32,
}

impl Factor {
    /// Returns 2^(numerator / denominator), the exponent limited to ±1.
    fn exp2(numerator: i128, denominator: u128) -> Self {
        let magnitude = numerator.unsigned_abs().min(denominator);
        // Both fit 66 bits or so; should they not, low bits of both go.
        let excess = (128 - denominator.leading_zeros()).saturating_sub(128 - FRACTION_BITS);
        let exponent = ((magnitude >> excess) << FRACTION_BITS) / (denominator >> excess);
        if numerator >= 0 {
            Self { mantissa: exp2_fraction(exponent), shift: FRACTION_BITS }
        } else {
            // 2^-x = 2^(1-x) / 2
            Self { mantissa: exp2_fraction(ONE - exponent), shift: FRACTION_BITS + 1 }
        }
    }

    /// Multiplies a difficulty; the remainder is rounded up when it is greater than a number drawn from `dice`.
    fn apply(&self, difficulty: U256, dice: [u8; 32]) -> U256 {
        let product = U512::from(difficulty) * U512::from(self.mantissa);
        let draw = U512::from(U256::from_be_bytes(dice) & ((U256::ONE << self.shift) - U256::ONE));
        U256::saturating_from((product + draw) >> self.shift)
    }
}

/// Returns 2^x for x between 0 and 1, both in fixed point: the product of 2^(1/2), 2^(1/4), … for the bits that are set.
fn exp2_fraction(x: u128) -> u128 {
    if x >= ONE {
        return 2 * ONE;
    }
    let set = |(index, _): &(u32, u128)| x >> (FRACTION_BITS - 1 - index) & 1 == 1;
    (0..).zip(ROOTS).filter(set).fold(ONE, |product, (_, root)| (product * root) >> FRACTION_BITS)
}

/// The roots 2^(1/2), 2^(1/4), …, 2^(1/2^40), rounded down.
const ROOTS: [u128; 40] = {
    let mut roots = [0; 40];
    let mut root = 2 * ONE;
    let mut index = 0;
    while index < roots.len() {
        root = (root << FRACTION_BITS).isqrt();
        roots[index] = root;
        index += 1;
    }
    roots
};

#[cfg(test)]
#[path = "difficulty_tests.rs"]
mod tests;
