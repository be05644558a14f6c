//! The chain spec: which fork's rules hold where, and the knobs of proof of work and fees. Read from the chain file once.

use std::collections::BTreeSet;

use alloy_primitives::{Address, U256};

use crate::block::Header;
use crate::ethereum::blobs::BlobParams;
use crate::ethereum::{BlobSchedule, EthereumRules};
use crate::genesis::{BLOCK_REWARD_DEFAULT, DIFFICULTY_MIN_DEFAULT, HALF_LIFE_BLOCKS_DEFAULT, TARGET_MS_DEFAULT};

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
    /// `finalized` is the head minus this many blocks, and never goes back with the head; nothing at or below it is reorganised.
    pub finality_depth: u64,
}

/// Holds the fee rules that differ from Ethereum's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeeRules {
    /// The base fee of every block since London, in wei: Besu's `fixedBaseFee`, or 0 for `zeroBaseFee`.
    pub fixed_base_fee: Option<u64>,
}

/// Says by whose rules a block was made: what its seal proves, how its difficulty, timestamp and mix hash follow, whether it
/// has ommers, what it pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Era {
    /// Ethereum's proof of work; imported only.
    Ethash,
    /// Ethereum past its terminal total difficulty, where a consensus layer gave the blocks; imported only.
    Merged,
    /// Drawbridge's own seal.
    Drawbridge,
}

/// Holds all rules of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSpec {
    /// The chain id of EIP-155.
    pub chain_id: u64,
    /// When each fork begins.
    pub forks: ForkSchedule,
    /// The rules of Drawbridge's own proof of work.
    pub pow: PowRules,
    /// The fee rules.
    pub fees: FeeRules,
    /// The largest contract code in bytes; `None`: the fork's own limit (24,576 since Spurious Dragon).
    pub contract_size_limit: Option<usize>,
    /// The rules of blocks that other clients made; `None`: all blocks are Drawbridge's own.
    pub ethereum: Option<EthereumRules>,
}

impl PowRules {
    /// Returns the rules of a chain that is imported only: no block is ever made by them, and none is final, so that the most
    /// total difficulty alone decides.
    pub(crate) fn of_imported_chain() -> Self {
        Self {
            difficulty: DifficultyRule::Target {
                target_ms: TARGET_MS_DEFAULT,
                half_life_blocks: HALF_LIFE_BLOCKS_DEFAULT,
                min: U256::from(DIFFICULTY_MIN_DEFAULT),
                max: U256::MAX,
            },
            empty_blocks: EmptyBlocks::Always,
            block_reward: U256::from(BLOCK_REWARD_DEFAULT),
            authorized_miners: BTreeSet::new(),
            safe_depth: u64::MAX,
            finality_depth: u64::MAX,
        }
    }
}

impl ChainSpec {
    /// Makes the rules of a chain that other clients made and that is imported only.
    pub fn ethereum(chain_id: u64, forks: ForkSchedule, rules: EthereumRules) -> Self {
        Self {
            chain_id,
            forks,
            pow: PowRules::of_imported_chain(),
            fees: FeeRules::default(),
            contract_size_limit: None,
            ethereum: Some(rules),
        }
    }

    /// Returns the fork that the schedule gives for a number and a timestamp (seconds); see [`ChainSpec::fork_of`] for a block's.
    pub fn fork_at(&self, number: u64, timestamp: u64) -> Fork {
        self.forks.at(number, timestamp)
    }

    /// Returns the era of a block.
    pub fn era_of(&self, header: &Header) -> Era {
        self.era_by(header.number, header.difficulty)
    }

    fn era_by(&self, number: u64, difficulty: U256) -> Era {
        self.ethereum.as_ref().map_or(Era::Drawbridge, |rules| rules.era(number, difficulty))
    }

    /// Returns the fork whose rules hold in a block.
    pub fn fork_of(&self, header: &Header) -> Fork {
        self.fork_by(header.number, header.timestamp, header.difficulty)
    }

    /// Returns the fork whose rules hold in a block of this number, timestamp (seconds) and difficulty. Blocks of Ethereum's work
    /// never have rules past the merge, and blocks past the merge always have those of Paris, whatever the schedule says
    /// (EIP-3675).
    pub fn fork_by(&self, number: u64, timestamp: u64, difficulty: U256) -> Fork {
        let scheduled = self.fork_at(number, timestamp);
        match self.era_by(number, difficulty) {
            Era::Drawbridge => scheduled,
            Era::Ethash => scheduled.min(Fork::GrayGlacier),
            Era::Merged => scheduled.max(Fork::Paris),
        }
    }

    /// Returns the blob parameters that hold under `fork` at `timestamp` (seconds).
    pub fn blob_params(&self, fork: Fork, timestamp: u64) -> BlobParams {
        match &self.ethereum {
            Some(rules) => rules.blobs.at(fork, timestamp),
            None => BlobSchedule::default().at(fork, timestamp),
        }
    }

    /// Returns the number of the last block that Drawbridge did not seal: that before the hand-over, else the genesis block.
    /// `None`: the chain is imported only.
    pub fn last_unsealed(&self) -> Option<u64> {
        match &self.ethereum {
            None => Some(0),
            Some(rules) => rules.hand_over.map(|hand_over| hand_over.first.saturating_sub(1)),
        }
    }

    /// Tells whether Drawbridge makes the block of this number.
    pub fn is_sealed_here(&self, number: u64) -> bool {
        self.last_unsealed().is_some_and(|last| number > last)
    }

    /// Takes the seals of other clients as they are, from now on.
    pub fn trust_foreign_seals(&mut self) {
        if let Some(rules) = &mut self.ethereum {
            rules.seal = crate::ethereum::EthashSeal::Trusted;
        }
    }
}
