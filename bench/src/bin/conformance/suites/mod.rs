//! The suites, in the order of the table. A new one: a module with a `SUITE`, and its line in [`ALL`].

mod account;
mod genesis;
mod keystore;
mod precompile;
mod rlp;
mod state;
mod transaction;
mod trie;
mod typed_data;

use crate::suite::Suite;

/// All suites.
pub(crate) const ALL: &[Suite] = &[
    state::SUITE,
    transaction::SUITE,
    rlp::SUITE,
    trie::SUITE,
    genesis::SUITE,
    precompile::SUITE,
    account::SUITE,
    keystore::SUITE,
    typed_data::SUITE,
];
