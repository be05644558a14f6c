//! `eth_getProof` (EIP-1186).

use std::borrow::Cow;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U64, U256};
use evm_runtime::state::{AccountProof, SlotProof};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::api::{Answer, Api, reply};
use crate::block_id::BlockId;
use crate::debug::state::read_error;
use crate::errors::RpcError;
use crate::params::{Call, parse_slot};

/// The most slots of one proof (geth's limit of slots per request).
const SLOTS_MAX: usize = 1024;
/// The root of a trie without nodes.
const EMPTY_ROOT: B256 = alloy_consensus::constants::EMPTY_ROOT_HASH;

/// A slot as it was asked for: whole words are answered as words, all others as numbers.
struct Key {
    slot: U256,
    is_word: bool,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// `0x` and 64 digits.
        const WORD_LENGTH: usize = 66;
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let slot = parse_slot(&text).map_err(D::Error::custom)?;
        Ok(Self { slot, is_word: text.len() == WORD_LENGTH })
    }
}

impl Key {
    fn shown(&self) -> String {
        if self.is_word { B256::from(self.slot).to_string() } else { format!("{:#x}", self.slot) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownProof {
    address: Address,
    account_proof: Vec<Bytes>,
    balance: U256,
    code_hash: B256,
    nonce: U64,
    storage_hash: B256,
    storage_proof: Vec<ShownSlot>,
}

#[derive(Serialize)]
struct ShownSlot {
    key: String,
    value: U256,
    proof: Vec<Bytes>,
}

pub(crate) fn proof(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let address = call.required::<Address>()?;
    let keys = call.required::<Vec<Key>>()?;
    let block = call.optional()?.unwrap_or(BlockId::LATEST);
    if keys.len() > SLOTS_MAX {
        return Err(RpcError::invalid_params(format!("too many slots (max {SLOTS_MAX})")));
    }
    let view = api.view();
    let header = block.known_header(&view)?;
    let state = block.state(&view)?;
    if view.amended_root(header.number, header.hash())?.is_some() {
        return Err(RpcError::server(format!(
            "the state after block {} was changed by hand, and its header proves another one: mine a block and ask for that",
            header.number
        )));
    }
    let slots: Vec<_> = keys.iter().map(|key| key.slot).collect();
    let deadline = api.deadline(api.limits.evm_timeout);
    let proof = state
        .prove(view.head().number, header.state_root, address, &slots, deadline.flag())
        .map_err(|error| read_error(&error))?;
    reply(&shown(address, &keys, proof))
}

fn shown(address: Address, keys: &[Key], proof: AccountProof) -> ShownProof {
    let AccountProof { account, nodes, slots } = proof;
    let slot =
        |(key, SlotProof { value, nodes }): (&Key, SlotProof)| ShownSlot { key: key.shown(), value, proof: nodes };
    ShownProof {
        address,
        account_proof: nodes,
        balance: account.map_or(U256::ZERO, |account| account.balance),
        code_hash: account.map_or(KECCAK256_EMPTY, |account| account.code_hash),
        nonce: U64::from(account.map_or(0, |account| account.nonce)),
        storage_hash: account.map_or(EMPTY_ROOT, |account| account.storage_root),
        storage_proof: keys.iter().zip(slots).map(slot).collect(),
    }
}
