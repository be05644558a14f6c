//! The trace: everything that happens, in order, as one hash. The same seed gives the same.

use alloy_primitives::{B256, keccak256};

/// Hashes what happens.
#[derive(Default)]
pub(crate) struct Trace {
    hash: B256,
    /// How many entries there were.
    pub(crate) entries: u64,
    /// Whether each entry is printed, for looking into one seed.
    pub(crate) is_printed: bool,
}

impl Trace {
    pub(crate) fn add(&mut self, at_us: u64, node: usize, what: impl FnOnce() -> String) {
        let line = format!("{at_us} {node} {}", what());
        if self.is_printed {
            println!("{:>10.3} s  node {node}: {}", at_us as f64 / 1e6, line.splitn(3, ' ').nth(2).unwrap_or_default());
        }
        let mut input = self.hash.to_vec();
        input.extend_from_slice(line.as_bytes());
        self.hash = keccak256(input);
        self.entries += 1;
    }

    pub(crate) fn hash(&self) -> B256 {
        self.hash
    }
}
