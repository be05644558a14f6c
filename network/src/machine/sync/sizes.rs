//! How long bodies are expected to be, by the gas that their headers say, so that a request asks for what fits.

/// What a transfer takes: gas, bytes of its encoding, bytes in memory. The first expectation of all blocks.
const TRANSFER: (u64, u64, u64) = (21_000, 112, 640);
/// A block without its transactions, in bytes.
const FIXED: usize = 1024;
/// At so much observed gas older observations count half: about thirty full blocks.
const HALVED_AT: u64 = 1 << 30;

/// Sums what bodies took of late.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    gas: u64,
    encoded: u64,
    held: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        let (gas, encoded, held) = TRANSFER;
        Self { gas: 64 * gas, encoded: 64 * encoded, held: 64 * held }
    }
}

impl Sizes {
    /// Takes note of a block that used `gas`: the bytes of its transactions, and the bytes that it takes in memory.
    pub(crate) fn observe(&mut self, gas: u64, encoded: usize, held: usize) {
        if gas == 0 {
            return;
        }
        if self.gas >= HALVED_AT {
            *self = Self { gas: self.gas / 2, encoded: self.encoded / 2, held: self.held / 2 };
        }
        let bytes = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.gas = self.gas.saturating_add(gas);
        self.encoded = self.encoded.saturating_add(bytes(encoded));
        self.held = self.held.saturating_add(bytes(held.saturating_sub(FIXED)));
    }

    /// Returns how many bytes the body of a block that uses `gas` is expected to take on the wire.
    pub(crate) fn encoded(&self, gas: u64) -> usize {
        self.share(self.encoded, gas)
    }

    /// Returns how many bytes the block is expected to take in memory.
    pub(crate) fn held(&self, gas: u64) -> usize {
        self.share(self.held, gas)
    }

    fn share(&self, bytes: u64, gas: u64) -> usize {
        let expected = u128::from(bytes) * u128::from(gas) / u128::from(self.gas.max(1));
        usize::try_from(expected).unwrap_or(usize::MAX).saturating_add(FIXED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_expected_to_be_like_those_before() {
        let mut sizes = Sizes::default();
        assert_eq!((sizes.encoded(0), sizes.encoded(2_100_000)), (FIXED, FIXED + 100 * 112));
        for _ in 0..200 {
            // Ten times as many bytes for the same gas.
            sizes.observe(36_000_000, 2_000_000, 10_000_000);
        }
        let (encoded, held) = (sizes.encoded(36_000_000), sizes.held(36_000_000));
        assert!((1_900_000..2_100_000).contains(&encoded) && (9_500_000..10_500_000).contains(&held), "{sizes:?}");
        // Empty blocks say nothing of full ones.
        (0..10_000).for_each(|_| sizes.observe(0, 0, FIXED));
        assert_eq!(sizes.held(36_000_000), held);
        sizes.observe(u64::MAX, usize::MAX, usize::MAX);
        assert!(sizes.encoded(u64::MAX) > 0);
    }
}
