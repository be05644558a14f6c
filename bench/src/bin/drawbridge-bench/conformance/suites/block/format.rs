//! The format of the official block tests.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U64, U256};
use consensus::{GenesisAccount, Header};
use serde::Deserialize;
use serde_json::Value;

/// Holds one test: a genesis block, blocks in the order in which they come, and what is left in the end.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Test {
    pub(crate) network: String,
    seal_engine: Option<String>,
    pub(crate) genesis_block_header: GenesisHeader,
    pre: BTreeMap<Address, Account>,
    pub(crate) blocks: Vec<BlockCase>,
    #[serde(rename = "lastblockhash")]
    pub(crate) last_block_hash: B256,
    post_state: Option<BTreeMap<Address, Account>>,
    post_state_hash: Option<B256>,
}

#[derive(Deserialize)]
struct Account {
    balance: U256,
    nonce: U64,
    code: Bytes,
    storage: BTreeMap<U256, U256>,
}

/// Holds a block as it comes, and whether it must be taken.
#[derive(Deserialize)]
pub(crate) struct BlockCase {
    rlp: String,
    #[serde(flatten)]
    fields: BTreeMap<String, Value>,
}

/// Holds the genesis header, with the hash that it must have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GenesisHeader {
    pub(crate) hash: B256,
    bloom: Bloom,
    coinbase: Address,
    difficulty: U256,
    extra_data: Bytes,
    gas_limit: U64,
    gas_used: U64,
    mix_hash: B256,
    nonce: B64,
    number: U64,
    parent_hash: B256,
    receipt_trie: B256,
    state_root: B256,
    timestamp: U64,
    transactions_trie: B256,
    uncle_hash: B256,
    base_fee_per_gas: Option<U64>,
    withdrawals_root: Option<B256>,
    blob_gas_used: Option<U64>,
    excess_blob_gas: Option<U64>,
    parent_beacon_block_root: Option<B256>,
    requests_hash: Option<B256>,
}

impl GenesisHeader {
    pub(crate) fn header(&self) -> Header {
        Header {
            parent_hash: self.parent_hash,
            ommers_hash: self.uncle_hash,
            beneficiary: self.coinbase,
            state_root: self.state_root,
            transactions_root: self.transactions_trie,
            receipts_root: self.receipt_trie,
            logs_bloom: self.bloom,
            difficulty: self.difficulty,
            number: self.number.to(),
            gas_limit: self.gas_limit.to(),
            gas_used: self.gas_used.to(),
            timestamp: self.timestamp.to(),
            extra_data: self.extra_data.clone(),
            mix_hash: self.mix_hash,
            nonce: self.nonce,
            base_fee_per_gas: self.base_fee_per_gas.map(|fee| fee.to()),
            withdrawals_root: self.withdrawals_root,
            blob_gas_used: self.blob_gas_used.map(|gas| gas.to()),
            excess_blob_gas: self.excess_blob_gas.map(|gas| gas.to()),
            parent_beacon_block_root: self.parent_beacon_block_root,
            requests_hash: self.requests_hash,
            ..Header::default()
        }
    }
}

impl BlockCase {
    /// Returns the block's bytes, or `None` where they are no hexadecimal text at all.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        alloy_primitives::hex::decode(&self.rlp).ok()
    }

    /// Tells whether the block must be taken: the test describes its header, and names no exception.
    pub(crate) fn is_good(&self) -> bool {
        self.fields.contains_key("blockHeader") && !self.fields.keys().any(|key| key.starts_with("expectException"))
    }
}

impl Test {
    /// Tells whether seals are verified: the tests that do not prove work say so.
    pub(crate) fn has_seals(&self) -> bool {
        self.seal_engine.as_deref() == Some("Ethash")
    }

    pub(crate) fn alloc(&self) -> BTreeMap<Address, GenesisAccount> {
        accounts(&self.pre)
    }

    /// Returns the state root in the end.
    pub(crate) fn post_state_root(&self) -> Option<B256> {
        self.post_state_hash
            .or_else(|| self.post_state.as_ref().map(|post| consensus::genesis::state_root(&accounts(post))))
    }
}

fn accounts(accounts: &BTreeMap<Address, Account>) -> BTreeMap<Address, GenesisAccount> {
    let account = |account: &Account| GenesisAccount {
        balance: account.balance,
        nonce: account.nonce.to(),
        code: account.code.clone(),
        storage: account
            .storage
            .iter()
            .filter(|(_, value)| !value.is_zero())
            .map(|(slot, value)| (B256::from(*slot), B256::from(*value)))
            .collect(),
    };
    accounts.iter().map(|(address, parts)| (*address, account(parts))).collect()
}
