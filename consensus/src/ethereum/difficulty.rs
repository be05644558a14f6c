//! The difficulty of Ethash blocks by every fork's formula, bombs included.

use alloy_consensus::EMPTY_OMMER_ROOT_HASH;
use alloy_primitives::U256;

use crate::block::Header;
use crate::spec::Fork;

/// The floor, below which only the bomb's parts are not counted (Yellow Paper 4.4.4, D_0).
pub const DIFFICULTY_MIN: u64 = 131_072;

/// Difficulty moves by multiples of this part of the parent's.
const STEP_DIVISOR: u64 = 2048;
/// A block that comes late lowers difficulty by at most this many steps (EIP-2).
const STEPS_DOWN_MAX: u64 = 99;
/// The bomb doubles after this many blocks.
const BOMB_PERIOD_BLOCKS: u64 = 100_000;

/// Returns the difficulty of the block after `parent` at `timestamp` (seconds) under `fork`.
pub fn ethash_difficulty(fork: Fork, timestamp: u64, parent: &Header) -> U256 {
    let step = parent.difficulty / U256::from(STEP_DIVISOR);
    let interval = timestamp.saturating_sub(parent.timestamp);
    let (up, down) = steps(fork, interval, parent.ommers_hash != EMPTY_OMMER_ROOT_HASH);
    let moved = parent.difficulty.saturating_add(step * U256::from(up)).saturating_sub(step * U256::from(down));
    let number = parent.number.saturating_add(1).saturating_sub(bomb_delay_blocks(fork));
    moved.max(U256::from(DIFFICULTY_MIN)).saturating_add(bomb(number))
}

/// Returns by how many steps difficulty rises and falls; one of them is 0.
///
/// Frontier: one up below 13 seconds, else one down. Homestead (EIP-2): one down more for each 10 seconds. Byzantium (EIP-100): for
/// each 9 seconds, and one up more where the parent has ommers.
fn steps(fork: Fork, interval: u64, parent_has_ommers: bool) -> (u64, u64) {
    if fork < Fork::Homestead {
        return if interval < 13 { (1, 0) } else { (0, 1) };
    }
    let (up, late): (u64, u64) =
        if fork < Fork::Byzantium { (1, interval / 10) } else { (if parent_has_ommers { 2 } else { 1 }, interval / 9) };
    (up.saturating_sub(late), late.saturating_sub(up).min(STEPS_DOWN_MAX))
}

/// Returns by how many blocks the bomb is put off (EIP-649, EIP-1234, EIP-2384, EIP-3554, EIP-4345, EIP-5133).
fn bomb_delay_blocks(fork: Fork) -> u64 {
    match fork {
        Fork::Frontier | Fork::Homestead | Fork::TangerineWhistle | Fork::SpuriousDragon => 0,
        Fork::Byzantium => 3_000_000,
        Fork::Constantinople | Fork::Petersburg | Fork::Istanbul => 5_000_000,
        Fork::MuirGlacier | Fork::Berlin => 9_000_000,
        Fork::London => 9_700_000,
        Fork::ArrowGlacier => 10_700_000,
        Fork::GrayGlacier | Fork::Paris | Fork::Shanghai | Fork::Cancun | Fork::Prague | Fork::Osaka => 11_400_000,
    }
}

/// Returns what the bomb adds to the block of this (delayed) number: 2^(number / 100,000 − 2), nothing in the first two periods.
fn bomb(number: u64) -> U256 {
    let period = number / BOMB_PERIOD_BLOCKS;
    match period.checked_sub(2) {
        None => U256::ZERO,
        Some(exponent) => U256::ONE.checked_shl(usize::try_from(exponent).unwrap_or(usize::MAX)).unwrap_or(U256::MAX),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;

    fn after(fork: Fork, number: u64, difficulty: u64, interval: u64, ommers: bool) -> u64 {
        let ommers_hash = if ommers { B256::ZERO } else { EMPTY_OMMER_ROOT_HASH };
        let parent = Header {
            number: number - 1,
            timestamp: 1000,
            difficulty: U256::from(difficulty),
            ommers_hash,
            ..Header::default()
        };
        ethash_difficulty(fork, 1000 + interval, &parent).to()
    }

    #[test]
    fn each_formula_moves_by_its_steps() {
        // A step of 1,000.
        let parent = 2_048_000;
        for (fork, interval, ommers, expected) in [
            (Fork::Frontier, 12, false, 2_049_000),
            (Fork::Frontier, 13, false, 2_047_000),
            (Fork::Frontier, 5000, false, 2_047_000),
            (Fork::Homestead, 9, false, 2_049_000),
            (Fork::Homestead, 10, false, 2_048_000),
            (Fork::Homestead, 29, true, 2_047_000),
            (Fork::Homestead, 1009, false, 1_949_000),
            (Fork::Homestead, 9000, false, 1_949_000),
            (Fork::Byzantium, 8, false, 2_049_000),
            (Fork::Byzantium, 8, true, 2_050_000),
            (Fork::Byzantium, 9, true, 2_049_000),
            (Fork::Byzantium, 9000, true, 1_949_000),
        ] {
            assert_eq!(after(fork, 5, parent, interval, ommers), expected, "{fork:?} {interval} s {ommers}");
        }
    }

    #[test]
    fn the_bomb_waits_as_long_as_each_glacier_says() {
        for (fork, delay) in [
            (Fork::Homestead, 0),
            (Fork::Byzantium, 3_000_000),
            (Fork::Petersburg, 5_000_000),
            (Fork::Berlin, 9_000_000),
            (Fork::London, 9_700_000),
            (Fork::ArrowGlacier, 10_700_000),
            (Fork::GrayGlacier, 11_400_000),
        ] {
            for (number, bomb) in [(199_999, 0), (200_000, 1), (300_000, 2), (1_000_000, 256)] {
                assert_eq!(after(fork, delay + number, 131_072, 11, false), 131_072 + bomb, "{fork:?} {number}");
            }
        }
        assert_eq!(bomb(u64::MAX), U256::MAX);
    }

    #[test]
    fn the_floor_holds() {
        assert_eq!(after(Fork::Frontier, 5, 131_072, 20, false), 131_072);
        assert_eq!(after(Fork::Homestead, 5, 131_072, 9000, false), 131_072);
    }
}
