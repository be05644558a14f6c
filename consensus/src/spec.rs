//! The chain spec: which fork's rules hold where, and the knobs of proof of work and fees. Read from the chain file once.

use std::collections::BTreeSet;

use alloy_primitives::{Address, U256};

/// Names a set of Ethereum rules. Ordered: a later fork includes the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Fork {
    Frontier,
    Homestead,
    TangerineWhistle,
    SpuriousDragon,
    Byzantium,
    Constantinople,
    Petersburg,
    Istanbul,
    MuirGlacier,
    Berlin,
    London,
    ArrowGlacier,
    GrayGlacier,
    Paris,
    Shanghai,
    Cancun,
    Prague,
    Osaka,
}

impl Fork {
    /// All forks, oldest first.
    pub const ALL: [Self; 18] = [
        Self::Frontier,
        Self::Homestead,
        Self::TangerineWhistle,
        Self::SpuriousDragon,
        Self::Byzantium,
        Self::Constantinople,
        Self::Petersburg,
        Self::Istanbul,
        Self::MuirGlacier,
        Self::Berlin,
        Self::London,
        Self::ArrowGlacier,
        Self::GrayGlacier,
        Self::Paris,
        Self::Shanghai,
        Self::Cancun,
        Self::Prague,
        Self::Osaka,
    ];
    /// The newest fork, which runs from genesis where the chain file schedules none.
    pub const NEWEST: Self = Self::Osaka;
}

/// Says when a fork begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// From this block number on.
    Block(u64),
    /// From this block timestamp (seconds) on.
    Time(u64),
}

/// Holds when each fork begins; a fork that is not listed begins with the next later one that is listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForkSchedule(Vec<(Fork, Activation)>);

impl ForkSchedule {
    /// Makes a schedule; the order of `activations` does not matter.
    pub fn new(mut activations: Vec<(Fork, Activation)>) -> Self {
        activations.sort_by_key(|(fork, _)| *fork);
        Self(activations)
    }

    /// Runs one fork from genesis on.
    pub fn only(fork: Fork) -> Self {
        Self(vec![(fork, Activation::Block(0))])
    }

    /// Returns the listed activations, oldest fork first.
    pub fn activations(&self) -> &[(Fork, Activation)] {
        &self.0
    }

    /// Returns the fork whose rules hold in the block with this number and timestamp (seconds).
    pub fn at(&self, number: u64, timestamp: u64) -> Fork {
        let active = |activation: &Activation| match *activation {
            Activation::Block(first) => number >= first,
            Activation::Time(first) => timestamp >= first,
        };
        self.0.iter().rev().find(|(_, activation)| active(activation)).map_or(Fork::Frontier, |(fork, _)| *fork)
    }
}

/// Says how difficulty follows the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DifficultyRule {
    /// Every block has this difficulty.
    Fixed(U256),
    /// Relative ASERT towards a block time.
    Target {
        /// The block time aimed at, in milliseconds.
        target_ms: u64,
        /// A deviation of this many block times halves or doubles the difficulty.
        half_life_blocks: u64,
        /// The floor.
        min: U256,
        /// The ceiling.
        max: U256,
    },
}

/// Says whether blocks without transactions are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyBlocks {
    /// Always valid.
    Always,
    /// Valid only when at least this many seconds have passed since the parent.
    Heartbeat {
        /// Seconds since the parent's timestamp.
        seconds: u64,
    },
    /// Never valid.
    Never,
}

/// Holds the proof-of-work rules of a Drawbridge chain (`config.pow` of the chain file).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowRules {
    /// How difficulty moves.
    pub difficulty: DifficultyRule,
    /// Whether empty blocks are valid.
    pub empty_blocks: EmptyBlocks,
    /// What the beneficiary is credited for a block, in wei.
    pub block_reward: U256,
    /// Who may mine; empty: anyone. Where named, each block carries its beneficiary's witness.
    pub authorized_miners: BTreeSet<Address>,
    /// `safe` is the head minus this many blocks.
    pub safe_depth: u64,
    /// `finalized` is the head minus this many blocks; nothing at or below it is reorganised.
    pub finality_depth: u64,
}

/// Holds the fee rules that differ from Ethereum's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeeRules {
    /// The base fee of every block since London, in wei: Besu's `fixedBaseFee`, or 0 for `zeroBaseFee`.
    pub fixed_base_fee: Option<u64>,
}

/// Holds all rules of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSpec {
    /// The chain id of EIP-155.
    pub chain_id: u64,
    /// When each fork begins.
    pub forks: ForkSchedule,
    /// The proof-of-work rules.
    pub pow: PowRules,
    /// The fee rules.
    pub fees: FeeRules,
    /// The largest contract code in bytes; `None`: the fork's own limit (24,576 since Spurious Dragon).
    pub contract_size_limit: Option<usize>,
}

impl ChainSpec {
    /// Returns the fork whose rules hold in the block with this number and timestamp (seconds).
    pub fn fork_at(&self, number: u64, timestamp: u64) -> Fork {
        self.forks.at(number, timestamp)
    }
}
