//! The methods of development chains: `evm`, `hardhat` and `anvil`.
//!
//! They work on the chain that is on the disk: a snapshot is a place on it, a revert is a rewind of it, and what is set by hand is
//! kept beside the block after which it was set. Names, arguments and results are those of Ganache, Hardhat and Anvil, whose clients
//! expect them. They are there only where the node runs a development chain.

mod about;
mod accounts;
mod blocks;
mod console;
mod dump;
mod places;
mod settle;
mod state;
mod terms;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use alloy_primitives::{Address, B256, keccak256};
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use serde_json::Value;

use crate::api::{Answer, Api, reply};
use crate::errors::RpcError;
use crate::services::MinerError;

pub(crate) use about::{anvil_metadata, hardhat_metadata, node_info};
pub(crate) use accounts::*;
pub(crate) use blocks::*;
pub(crate) use console::{follow as follow_console, tell_call};
pub(crate) use dump::{dump_state, load_state};
pub(crate) use places::*;
pub(crate) use settle::{SENDING, settle};
pub(crate) use state::*;
pub use terms::{DevPace, DevTerms, NextBlock};

/// The namespaces that only a development chain has.
pub(crate) const NAMESPACES: [&str; 3] = ["evm", "hardhat", "anvil"];

/// Makes the blocks of a development chain.
pub trait DevMiner: Send + Sync {
    /// Mines one block of what is in the pool, an empty one where nothing is, and waits until it is the head.
    ///
    /// # Errors
    /// No etherbase, or a block that the chain does not take.
    fn mine(&self) -> Result<(), MinerError>;

    /// Returns what makes it mine by itself.
    fn pace(&self) -> DevPace;

    /// Sets what makes it mine by itself.
    fn set_pace(&self, pace: DevPace);
}

/// Holds what makes a chain a development chain.
#[derive(Clone)]
pub struct DevChain {
    /// Its time, and what is wanted of its next block.
    pub terms: Arc<DevTerms>,
    /// Who makes its blocks.
    pub miner: Arc<dyn DevMiner>,
}

/// What the methods of development chains share.
pub(crate) struct Dev {
    pub(crate) chain: DevChain,
    /// Names this run of the node.
    instance: B256,
    /// Held while one of them changes the chain.
    turn: Mutex<()>,
    snapshots: Mutex<places::Snapshots>,
    senders: Mutex<Senders>,
}

/// Who may send without a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Senders {
    impersonated: BTreeSet<Address>,
    /// Everybody may.
    everybody: bool,
    /// Accounts that wait for `personal_unlockAccount` with this password.
    added: BTreeMap<Address, String>,
}

/// How many accounts may be impersonated or added.
const SENDERS_MAX: usize = 100_000;

impl Dev {
    pub(crate) fn new(chain: DevChain) -> Self {
        let turn = Mutex::new(());
        let (snapshots, senders) = (Mutex::default(), Mutex::default());
        Self { chain, instance: instance(), turn, snapshots, senders }
    }

    /// Waits until no other request changes the chain; from now on it is steered by hand.
    fn turn(&self) -> MutexGuard<'_, ()> {
        let turn = self.turn.lock();
        self.chain.terms.wish(|wishes| wishes.is_steered = true);
        turn
    }

    /// Tells whether `address` may send without its key.
    pub(crate) fn impersonates(&self, address: Address) -> bool {
        let senders = self.senders.lock();
        senders.everybody || senders.impersonated.contains(&address)
    }
}

/// Returns an id that no other run of a node has.
fn instance() -> B256 {
    keccak256(RandomState::new().build_hasher().finish().to_be_bytes())
}

/// Returns what the methods share; the table offers them only where it is.
fn dev(api: &Api) -> Result<&Dev, RpcError> {
    api.dev.as_ref().ok_or_else(|| RpcError::server("this is not a development chain: start the node with --dev"))
}

/// Answers `true`, as Hardhat and Ganache do where nothing else is to be said.
pub(crate) fn yes(done: Result<(), RpcError>) -> Answer {
    done?;
    reply(&true)
}

/// Answers `null`, as Anvil does there: its clients expect exactly that.
pub(crate) fn nothing(done: Result<(), RpcError>) -> Answer {
    done?;
    reply(&Value::Null)
}

/// Answers what a method found.
pub(crate) fn found<T: Serialize>(result: Result<T, RpcError>) -> Answer {
    reply(&result?)
}
