//! The suites, in the order of the table. A new one: a module with a `SUITE`, and its line in [`ALL`].

mod account;
mod block;
mod chain;
mod difficulty;
mod genesis;
mod keystore;
mod precompile;
mod proof_of_work;
mod rlp;
mod rpc;
mod state;
mod tracers;
mod transaction;
mod trie;
mod typed_data;

use crate::conformance::suite::Suite;

/// All suites.
pub(crate) const ALL: &[Suite] = &[
    state::SUITE,
    block::BLOCKS,
    block::ONE_BLOCK_CHAINS,
    chain::SEALED,
    chain::SERVED,
    transaction::SUITE,
    rlp::SUITE,
    trie::SUITE,
    difficulty::SUITE,
    proof_of_work::SUITE,
    genesis::SUITE,
    precompile::SUITE,
    account::SUITE,
    keystore::SUITE,
    typed_data::SUITE,
    tracers::SUITE,
    rpc::SUITE,
];
