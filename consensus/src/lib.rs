//! Values and rules of a Drawbridge chain: headers, blocks, transactions, signatures, the chain spec, proof of work,
//! difficulty, validation and fork choice.
//!
//! Everything here is synchronous and pure: the time is an argument, and there is no clock, no randomness, no
//! environment, no disk and no network. Ethereum's own objects come from the alloy crates; what Drawbridge alone defines
//! (the seal, the witness, the `pow` section of the chain file) is defined here.

// A test that unwraps or prints does so on purpose.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout))]

pub mod block;
pub mod crypto;
pub mod difficulty;
pub mod ethash;
pub mod ethereum;
pub mod fees;
pub mod fork_choice;
mod fork_sums;
pub mod genesis;
pub mod seal;
pub mod search;
pub mod spec;
#[cfg(test)]
mod test_chain;
pub mod transaction;
pub mod typed_data;
pub mod validation;
pub mod witness;

pub use block::{Block, BlockBody, Header, RecoveredBlock, SealedHeader};
pub use ethereum::EthereumRules;
pub use fork_sums::ForkSums;
pub use genesis::{Genesis, GenesisAccount, GenesisError, GenesisWarning};
pub use spec::{ChainSpec, DifficultyRule, EmptyBlocks, Era, FeeRules, Fork, PowRules};
pub use transaction::{RecoveredTransaction, Transaction, TransactionError};
pub use typed_data::{TypedData, TypedDataError};
pub use validation::ValidationError;
pub use witness::Witness;
