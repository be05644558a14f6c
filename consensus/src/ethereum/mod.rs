//! The rules of Ethereum's own history, for blocks that other clients made: Ethash work up to a terminal total difficulty,
//! proof of stake past it. Such blocks are imported, never produced here.
//!
//! [`EthereumRules`] stands in the chain spec beside Drawbridge's own rules; each rule of `validation`, `difficulty` and
//! execution asks the spec which [`Era`] a header belongs to.

pub mod blobs;
pub mod dao;
pub mod difficulty;
pub mod ommers;
pub mod rewards;

mod networks;

use alloy_primitives::{Address, U256, address};

use crate::spec::Era;

pub use blobs::BlobSchedule;
pub use dao::DaoFork;
pub use networks::test_network;

/// The deposit contract of Ethereum's main network (EIP-6110).
pub const DEPOSIT_CONTRACT: Address = address!("0x00000000219ab540356cbb839cbe05303d7705fa");

/// Says whether Ethash seals are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EthashSeal {
    /// Nonce and mix hash prove the work.
    Verified,
    /// Nonce and mix hash are taken as they are; everything else is checked.
    Trusted,
}

/// Says where Drawbridge's own rules take over from Ethereum's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandOver {
    /// The first block under Drawbridge's seal, at least 1.
    pub first: u64,
    /// The difficulty of that block; `None`: its parent's, within floor and ceiling.
    pub start_difficulty: Option<U256>,
}

/// Holds the rules of blocks that other clients made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EthereumRules {
    /// Whether Ethash seals are verified.
    pub seal: EthashSeal,
    /// The difficulty of every block (Besu's `ethash.fixeddifficulty`); `None`: by the formula of the fork.
    pub fixed_difficulty: Option<U256>,
    /// The DAO fork, where the chain knows it.
    pub dao: Option<DaoFork>,
    /// The total difficulty from which on blocks come from proof of stake (EIP-3675); `None`: never.
    pub terminal_total_difficulty: Option<U256>,
    /// How many blobs a block may have, by fork.
    pub blobs: BlobSchedule,
    /// The contract whose logs are deposits (EIP-6110).
    pub deposit_contract: Address,
    /// Where Drawbridge's own rules begin; `None`: never, the chain is imported only.
    pub hand_over: Option<HandOver>,
}

impl EthereumRules {
    /// Makes the rules of a chain on Ethash without DAO fork, merge and hand-over.
    pub fn new(seal: EthashSeal) -> Self {
        Self {
            seal,
            fixed_difficulty: None,
            dao: None,
            terminal_total_difficulty: None,
            blobs: BlobSchedule::default(),
            deposit_contract: DEPOSIT_CONTRACT,
            hand_over: None,
        }
    }

    /// Returns the era of the block with this number and difficulty.
    pub(crate) fn era(&self, number: u64, difficulty: U256) -> Era {
        if self.hand_over.is_some_and(|hand_over| number >= hand_over.first) {
            Era::Drawbridge
        } else if self.terminal_total_difficulty.is_some() && difficulty.is_zero() {
            Era::Merged
        } else {
            Era::Ethash
        }
    }

    /// Tells whether a chain of this total difficulty has ended its work (EIP-3675).
    pub fn work_has_ended(&self, total_difficulty: U256) -> bool {
        self.terminal_total_difficulty.is_some_and(|terminal| total_difficulty >= terminal)
    }

    /// Returns the rules for people, as names and values.
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let blocks = match self.hand_over {
            Some(HandOver { first, .. }) => format!("Ethereum's own before block {first}, Drawbridge's from there on"),
            None => "Ethereum's own, imported only".to_owned(),
        };
        let seal = match self.seal {
            EthashSeal::Verified => "Ethash, verified",
            EthashSeal::Trusted => "not checked",
        };
        let mut lines = vec![("blocks", blocks), ("foreign seals", seal.to_owned())];
        lines.extend(self.fixed_difficulty.map(|fixed| ("foreign difficulty", format!("{fixed} in every block"))));
        lines.extend(self.dao.map(|dao| {
            let side = if dao.support { "balances move" } else { "no balances move" };
            ("DAO fork", format!("block {}, {side}", dao.block))
        }));
        let terminal = self.terminal_total_difficulty;
        lines.extend(terminal.map(|terminal| ("work ends", format!("at total difficulty {terminal}"))));
        let start = self.hand_over.and_then(|hand_over| hand_over.start_difficulty);
        lines.extend(start.map(|start| ("first difficulty", start.to_string())));
        lines
    }
}
