//! Checksums of the forks that a chain has passed (EIP-2124, EIP-6122): what nodes compare, and what operators do.

use alloy_primitives::B256;

use crate::spec::{Activation, ChainSpec};

/// Holds the forks of one chain in the order in which it passes them, with a checksum before the first and after each.
#[derive(Clone, Debug)]
pub struct ForkSums {
    points: Vec<Activation>,
    sums: Vec<u32>,
}

impl ForkSums {
    /// Lists the forks of a chain: blocks before timestamps. What holds at genesis already is no fork.
    pub fn new(spec: &ChainSpec, genesis: B256, genesis_timestamp: u64) -> Self {
        let (mut blocks, mut times) = (Vec::new(), Vec::new());
        for (_, activation) in spec.forks.activations() {
            match *activation {
                Activation::Block(number) if number > 0 => blocks.push(number),
                Activation::Time(time) if time > genesis_timestamp => times.push(time),
                Activation::Block(_) | Activation::Time(_) => {}
            }
        }
        for list in [&mut blocks, &mut times] {
            list.sort_unstable();
            list.dedup();
        }
        let points: Vec<_> =
            blocks.into_iter().map(Activation::Block).chain(times.into_iter().map(Activation::Time)).collect();
        let mut crc = Crc::default();
        crc.update(genesis.as_slice());
        let mut sums = vec![crc.value()];
        for point in &points {
            let (Activation::Block(at) | Activation::Time(at)) = *point;
            crc.update(&at.to_be_bytes());
            sums.push(crc.value());
        }
        Self { points, sums }
    }

    /// Returns where each fork after genesis begins.
    pub fn points(&self) -> &[Activation] {
        &self.points
    }

    /// Returns the checksums: one more than there are points.
    pub fn sums(&self) -> &[u32] {
        &self.sums
    }

    /// Returns how many forks a chain with this head has passed.
    pub fn passed(&self, number: u64, timestamp: u64) -> usize {
        let is_passed = |point: &&Activation| match **point {
            Activation::Block(first) => number >= first,
            Activation::Time(first) => timestamp >= first,
        };
        self.points.iter().take_while(is_passed).count()
    }
}

/// CRC-32 as in IEEE 802.3, which EIP-2124 names.
struct Crc(u32);

impl Default for Crc {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

impl Crc {
    fn update(&mut self, bytes: &[u8]) {
        /// The polynomial, bits reversed.
        const POLYNOMIAL: u32 = 0xedb8_8320;
        for byte in bytes {
            self.0 ^= u32::from(*byte);
            for _ in 0..8 {
                self.0 = if self.0 & 1 == 1 { (self.0 >> 1) ^ POLYNOMIAL } else { self.0 >> 1 };
            }
        }
    }

    fn value(&self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        let mut crc = Crc::default();
        crc.update(b"123456789");
        assert_eq!(crc.value(), 0xcbf4_3926);
    }
}
