//! The chain spec of a test: Ethereum's rules of one fork on chain 1, without reward.

use alloy_primitives::U256;
use consensus::spec::{Fork, ForkSchedule};
use consensus::{ChainSpec, DifficultyRule, EmptyBlocks, FeeRules, PowRules};

/// Returns the rules of `fork` from the first block on.
pub(crate) fn of_fork(fork: Fork) -> ChainSpec {
    ChainSpec {
        chain_id: 1,
        forks: ForkSchedule::only(fork),
        pow: PowRules {
            difficulty: DifficultyRule::Fixed(U256::from(1)),
            empty_blocks: EmptyBlocks::Always,
            block_reward: U256::ZERO,
            authorized_miners: Default::default(),
            safe_depth: 0,
            finality_depth: 0,
        },
        fees: FeeRules::default(),
        contract_size_limit: None,
        ethereum: None,
    }
}

/// The forks under their names in the vectors. `Constantinople` is not among them: it stands for the net gas metering (EIP-1283) that
/// no chain kept and the EVM does not have.
pub(crate) const FORKS: [(&str, Fork); 14] = [
    ("Frontier", Fork::Frontier),
    ("Homestead", Fork::Homestead),
    ("EIP150", Fork::TangerineWhistle),
    ("EIP158", Fork::SpuriousDragon),
    ("Byzantium", Fork::Byzantium),
    ("ConstantinopleFix", Fork::Petersburg),
    ("Istanbul", Fork::Istanbul),
    ("Berlin", Fork::Berlin),
    ("London", Fork::London),
    ("Paris", Fork::Paris),
    ("Shanghai", Fork::Shanghai),
    ("Cancun", Fork::Cancun),
    ("Prague", Fork::Prague),
    ("Osaka", Fork::Osaka),
];

/// Returns the fork of that name.
pub(crate) fn fork_named(name: &str) -> Option<Fork> {
    FORKS.iter().find(|(known, _)| *known == name).map(|(_, fork)| *fork)
}
