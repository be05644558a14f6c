//! The time that blocks have: the system's, or on a development chain what its operator wants.

use std::sync::Arc;

use consensus::Header;
use rpc::{DevTerms, NextBlock};

/// Tells the time of blocks.
#[derive(Clone, Debug)]
pub enum Time {
    /// The clock: seconds since 1970.
    System(fn() -> u64),
    /// A development chain's own.
    Chosen(Arc<DevTerms>),
}

impl Time {
    /// Returns the time in seconds since 1970.
    pub fn now(&self) -> u64 {
        match self {
            Self::System(clock) => clock(),
            Self::Chosen(terms) => terms.now(),
        }
    }

    /// Returns the time at which a block of our own is imported: on a development chain a block that was wanted later than now is
    /// not too early.
    pub(super) fn now_at_least(&self, timestamp: u64) -> u64 {
        match self {
            Self::System(clock) => clock(),
            Self::Chosen(terms) => terms.now().max(timestamp),
        }
    }

    /// Says what the block on `parent` is to be.
    pub(super) fn next_block(&self, parent: &Header) -> NextBlock {
        match self {
            Self::System(clock) => NextBlock { timestamp: clock(), departures: Default::default() },
            Self::Chosen(terms) => terms.next_block(parent),
        }
    }

    /// Notes that a block was mined.
    pub(super) fn mined(&self, header: &Header) {
        if let Self::Chosen(terms) = self {
            terms.mined(header);
        }
    }
}
