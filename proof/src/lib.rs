//! Verifies what a node says about an order, from a block that the verifier has pinned: nobody between the two needs to be believed.
//!
//! A proof is a chain of headers with their seals (and witnesses, where miners are authorized), from the pinned block to the head, and the nodes of
//! the state tries on the way to the order's and the registry's slots, at a block that is deep enough below that head.
//! There is no allocation beyond what the proof's size gives, no clock, no signature code of its own, and no std.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod headers;
mod order;
mod state;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use headers::{Anchor, Checked, Rules, Segment, verify_segment};
pub use order::{OrderProof, Ownership, registry_slot, slots, verify_order};
pub use state::{Account, AccountProof, SlotProof, verify_account, verify_slot};

use alloy_primitives::{Address, B256, U256};

/// Says why a proof is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofError {
    /// There is no header.
    Empty,
    /// A header cannot be read.
    Header {
        /// Its place in the segment.
        index: usize,
    },
    /// The first header is not the pinned one.
    Anchor {
        /// The pinned hash.
        expected: B256,
        /// The first header's.
        actual: B256,
    },
    /// A header does not follow the one before.
    Link {
        /// Its number.
        number: u64,
    },
    /// A header's difficulty is below what the chain's rules allow.
    Difficulty {
        /// Its number.
        number: u64,
        /// Its difficulty.
        actual: U256,
    },
    /// A header is not sealed.
    Seal {
        /// Its number.
        number: u64,
    },
    /// A header lacks the signature of an authorized beneficiary.
    Witness {
        /// Its number.
        number: u64,
    },
    /// The state's block is not in the segment, or not deep enough below its head.
    Depth {
        /// The block whose state is proven.
        number: u64,
        /// The head of the segment.
        head: u64,
    },
    /// The nodes do not prove the account.
    Account(Address),
    /// The nodes do not prove the slot.
    Slot(U256),
}

impl core::fmt::Display for ProofError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Empty => formatter.write_str("there is no header"),
            Self::Header { index } => write!(formatter, "header {index} of the segment cannot be read"),
            Self::Anchor { expected, actual } => {
                write!(formatter, "the segment begins with {actual}, not with the pinned {expected}")
            }
            Self::Link { number } => write!(formatter, "header {number} does not follow the one before"),
            Self::Difficulty { number, actual } => {
                write!(formatter, "header {number}: the difficulty {actual} is below what the rules allow")
            }
            Self::Seal { number } => write!(formatter, "header {number} is not sealed"),
            Self::Witness { number } => write!(formatter, "header {number} lacks the signature of an authorized miner"),
            Self::Depth { number, head } => {
                write!(formatter, "block {number} is not deep enough below the segment's head {head}")
            }
            Self::Account(address) => write!(formatter, "the account {address} is not proven"),
            Self::Slot(slot) => write!(formatter, "the slot {slot} is not proven"),
        }
    }
}

impl core::error::Error for ProofError {}
