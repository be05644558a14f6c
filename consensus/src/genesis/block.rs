//! The genesis block: header fields, accounts, and the state root that belongs to them.

use std::collections::BTreeMap;

use alloy_consensus::constants::{EMPTY_WITHDRAWALS, MAXIMUM_EXTRA_DATA_SIZE};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B64, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::TrieAccount;
use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};
use serde_json::value::RawValue;

use crate::block::Header;
use crate::fees::{BASE_FEE_INITIAL, GAS_LIMIT_MAX, GAS_LIMIT_MIN};
use crate::spec::{ChainSpec, Fork};

use super::json::{Object, Read, address, address_of_text, bytes, entries, number, number_u64, word, word_of_text};
use super::{GenesisAccount, GenesisError, GenesisWarning};

/// The gas limit where the file names none: Ethereum's of 2025.
pub const GAS_LIMIT_DEFAULT: u64 = 36_000_000;

/// Holds the header fields as the file has them.
pub(super) struct BlockFields {
    pub(super) timestamp: u64,
    nonce: u64,
    extra_data: Bytes,
    gas_limit: u64,
    gas_used: u64,
    difficulty: U256,
    mix_hash: B256,
    coinbase: Address,
    parent_hash: B256,
    pub(super) base_fee: Option<u64>,
    excess_blob_gas: u64,
    blob_gas_used: u64,
}

impl BlockFields {
    /// Takes the header fields out of the file.
    pub(super) fn read(file: &mut Object<'_>) -> Read<Self> {
        let fields = Self {
            timestamp: file.take("timestamp", number_u64)?.unwrap_or(0),
            nonce: file.take("nonce", number_u64)?.unwrap_or(0),
            extra_data: file.take("extraData", bytes)?.unwrap_or_default(),
            gas_limit: file.take("gasLimit", number_u64)?.unwrap_or(GAS_LIMIT_DEFAULT),
            gas_used: file.take("gasUsed", number_u64)?.unwrap_or(0),
            difficulty: file.take("difficulty", number)?.unwrap_or(U256::ONE),
            mix_hash: file.take("mixHash", word)?.unwrap_or_default(),
            coinbase: file.take("coinbase", address)?.unwrap_or_default(),
            parent_hash: file.take("parentHash", word)?.unwrap_or_default(),
            base_fee: file.take("baseFeePerGas", number_u64)?,
            excess_blob_gas: file.take("excessBlobGas", number_u64)?.unwrap_or(0),
            blob_gas_used: file.take("blobGasUsed", number_u64)?.unwrap_or(0),
        };
        if file.take("number", number_u64)?.unwrap_or(0) != 0 {
            return Err(GenesisError::at("number", "the genesis block has number 0; remove it"));
        }
        file.ignore(&["parentBeaconBlockRoot", "slotNumber", "comment", "_comment"]);
        fields.check()?;
        Ok(fields)
    }

    fn check(&self) -> Read<()> {
        if self.extra_data.len() > MAXIMUM_EXTRA_DATA_SIZE {
            let problem = format!("{} bytes, at most {MAXIMUM_EXTRA_DATA_SIZE}; shorten it", self.extra_data.len());
            return Err(GenesisError::at("extraData", problem));
        }
        if !(GAS_LIMIT_MIN..=GAS_LIMIT_MAX).contains(&self.gas_limit) {
            let problem = format!("{}, expected {GAS_LIMIT_MIN} to {GAS_LIMIT_MAX}, such as 36000000", self.gas_limit);
            return Err(GenesisError::at("gasLimit", problem));
        }
        if self.gas_used > self.gas_limit {
            return Err(GenesisError::at(
                "gasUsed",
                format!("{} is above gasLimit, {}", self.gas_used, self.gas_limit),
            ));
        }
        Ok(())
    }

    /// Only blocks of Ethereum's own history have blobs.
    fn check_blobs(&self, spec: &ChainSpec) -> Read<()> {
        let own = spec.ethereum.is_none();
        for (field, gas) in [("excessBlobGas", self.excess_blob_gas), ("blobGasUsed", self.blob_gas_used)] {
            if own && gas != 0 {
                return Err(GenesisError::at(field, "this chain has no blobs; remove it"));
            }
        }
        Ok(())
    }

    /// Makes the genesis header, with exactly the fields that its fork has.
    ///
    /// Since London the base fee is the file's, else the chain's fixed one, else 1 gwei.
    pub(super) fn into_header(self, spec: &ChainSpec, alloc: &BTreeMap<Address, GenesisAccount>) -> Read<Header> {
        self.check_blobs(spec)?;
        let fork = spec.fork_at(0, self.timestamp);
        if self.base_fee.is_some() && fork < Fork::London {
            let problem =
                format!("{fork:?} runs at genesis and has no base fee; remove it, or begin London at block 0");
            return Err(GenesisError::at("baseFeePerGas", problem));
        }
        let base_fee = self.base_fee.or(spec.fees.fixed_base_fee).unwrap_or(BASE_FEE_INITIAL);
        Ok(Header {
            parent_hash: self.parent_hash,
            beneficiary: self.coinbase,
            state_root: state_root(alloc),
            difficulty: self.difficulty,
            gas_limit: self.gas_limit,
            gas_used: self.gas_used,
            timestamp: self.timestamp,
            extra_data: self.extra_data,
            mix_hash: self.mix_hash,
            nonce: B64::from(self.nonce),
            base_fee_per_gas: (fork >= Fork::London).then_some(base_fee),
            withdrawals_root: (fork >= Fork::Shanghai).then_some(EMPTY_WITHDRAWALS),
            blob_gas_used: (fork >= Fork::Cancun).then_some(self.blob_gas_used),
            excess_blob_gas: (fork >= Fork::Cancun).then_some(self.excess_blob_gas),
            parent_beacon_block_root: (fork >= Fork::Cancun).then_some(B256::ZERO),
            requests_hash: (fork >= Fork::Prague).then_some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        })
    }
}

/// Computes the root of the state trie that holds `alloc`.
pub fn state_root(alloc: &BTreeMap<Address, GenesisAccount>) -> B256 {
    state_root_unhashed(alloc.iter().map(|(address, account)| {
        let storage = account.storage.iter().map(|(slot, value)| (*slot, U256::from_be_bytes(value.0)));
        let code_hash = if account.code.is_empty() { KECCAK256_EMPTY } else { keccak256(&account.code) };
        (*address, TrieAccount::new(account.nonce, account.balance, storage_root_unhashed(storage), code_hash))
    }))
}

/// Reads the `alloc` section.
pub(super) fn read_alloc(
    raw: &RawValue,
    warnings: &mut Vec<GenesisWarning>,
) -> Read<BTreeMap<Address, GenesisAccount>> {
    let mut alloc = BTreeMap::new();
    for (name, raw) in entries(raw)? {
        let read = || -> Read<(Address, GenesisAccount, Vec<GenesisWarning>)> {
            let address = address_of_text(&name)?;
            let (account, unknown) = read_account(raw)?;
            Ok((address, account, unknown))
        };
        let (address, account, unknown) = read().map_err(|error| error.within(&name))?;
        warnings.extend(unknown.into_iter().map(|warning| warning.within(&name).within("alloc")));
        if alloc.insert(address, account).is_some() {
            return Err(GenesisError::at(&name, "given twice"));
        }
    }
    Ok(alloc)
}

fn read_account(raw: &RawValue) -> Read<(GenesisAccount, Vec<GenesisWarning>)> {
    let mut warnings = Vec::new();
    let mut fields = Object::read(raw)?;
    let account = GenesisAccount {
        balance: fields.take("balance", number)?.or(fields.take("wei", number)?).unwrap_or_default(),
        nonce: fields.take("nonce", number_u64)?.unwrap_or(0),
        code: fields.take("code", bytes)?.unwrap_or_default(),
        storage: fields.take("storage", read_storage)?.unwrap_or_default(),
    };
    // What Besu's files say about their accounts.
    fields.ignore(&["comment", "_comment", "privateKey", "version"]);
    fields.finish("", &mut warnings);
    Ok((account, warnings))
}

fn read_storage(raw: &RawValue) -> Read<BTreeMap<B256, B256>> {
    let mut storage = BTreeMap::new();
    for (name, raw) in entries(raw)? {
        let read = || -> Read<(B256, B256)> { Ok((word_of_text(&name)?, word(raw)?)) };
        let (slot, value) = read().map_err(|error| error.within(&name))?;
        if storage.insert(slot, value).is_some() {
            return Err(GenesisError::at(&name, "given twice"));
        }
    }
    storage.retain(|_, value| !value.is_zero());
    Ok(storage)
}
