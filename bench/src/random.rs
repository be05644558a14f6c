//! Seeded pseudo-random numbers (SplitMix64), so that a run can be repeated by its seed.

use alloy_primitives::B256;

/// Generates numbers; the same seed gives the same ones.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins with `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next 64 bits.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`, or 0 where `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number().checked_rem(end).unwrap_or(0)
    }

    /// Returns a number from `first` to `last`, both included.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last.saturating_sub(first).saturating_add(1))
    }

    /// Returns an index into a list of `length` items.
    pub fn index(&mut self, length: usize) -> usize {
        let length = u64::try_from(length).expect("an index fits in 64 bits");
        usize::try_from(self.below(length)).expect("it is below a usize")
    }

    /// Returns 32 random bytes.
    pub fn word(&mut self) -> B256 {
        let mut word = B256::ZERO;
        word.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&self.number().to_be_bytes()));
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_bounds_hold() {
        let (mut one, mut two) = (Random::new(7), Random::new(7));
        for _ in 0..1000 {
            assert_eq!(one.between(50, 1500), two.between(50, 1500));
            assert!((3..=5).contains(&one.between(3, 5)));
            two.between(3, 5);
            assert!(one.index(9) < 9);
            two.index(9);
        }
        assert_eq!(one.word(), two.word());
        assert_eq!(one.below(0), 0);
    }
}
