//! The state as a whole: ranges of accounts and slots, and what blocks changed.
//!
//! The state is kept under hashed keys. Where the name behind a hash is asked for, it is found among what is known: accounts of
//! the genesis block, participants of recent transactions, the small slot numbers that compilers give out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use chain::ChainView;
use evm_runtime::state::{ReadError, StateSource};
use evm_runtime::{BlockState, StateView, TrieAccount, trace};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::mined::{Mined, reply_bounded};
use crate::api::{Answer, Api, reply};
use crate::block_id::BlockId;
use crate::errors::RpcError;
use crate::params::{Call, Quantity};

/// The most slots or accounts of one answer (geth: `AccountRangeMaxResults`).
const RESULTS_MAX: usize = 256;
/// The most accounts of `debug_dumpBlock`.
const DUMP_MAX: usize = 10_000;
/// The most slots that an account is shown with in a dump.
const DUMPED_SLOTS_MAX: usize = 10_000;
/// The first slot numbers, which are recognised by their hashes.
const SMALL_SLOTS: u64 = 256;
/// The most blocks whose changes are looked at in one request.
const MODIFIED_BLOCKS_MAX: u64 = 1000;
/// How many blocks before the one that is shown are searched for names of accounts.
const NAMES_FROM_BLOCKS: u64 = 256;

/// Turns the reason why a walk through the state did not end into its error.
pub(crate) fn read_error(error: &ReadError) -> RpcError {
    match error {
        ReadError::Cancelled => RpcError::timed_out(),
        ReadError::State(_) => RpcError::server(error),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StorageRange {
    storage: BTreeMap<B256, StorageEntry>,
    next_key: Option<B256>,
}

#[derive(Serialize)]
struct StorageEntry {
    /// The slot's number, where it is known.
    key: Option<B256>,
    value: B256,
}

pub(crate) fn storage_range_at(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (id, Quantity(index)) = (call.required::<BlockId>()?, call.required()?);
    let (address, first) = (call.required::<Address>()?, call.required::<StartKey>()?.0);
    let most = results(call.required()?);
    let mined = Mined::by_id(api, id)?;
    let index = usize::try_from(index).map_err(|_| RpcError::invalid_params("transaction index is too large"))?;
    let range = mined.replay(api, api.limits.trace_timeout, |context| {
        let before = trace::state_before(context, index)?;
        let cancelled = context.cancelled;
        Ok(storage_range(&mined.parent, &before, address, first, most, cancelled).map_err(|error| read_error(&error)))
    })??;
    reply(&range)
}

/// Returns up to `most` slots as they are within a block: those of its parent, with what the block has touched laid over them.
fn storage_range(
    parent: &StateView,
    within: &BlockState<'_>,
    address: Address,
    first: B256,
    most: usize,
    cancelled: &AtomicBool,
) -> Result<StorageRange, ReadError> {
    use alloy_primitives::map::HashMap;
    let slot_hash = |slot: &U256| keccak256(slot.to_be_bytes::<32>());
    let touched: HashMap<B256, U256> =
        within.known_slots(address).iter().map(|slot| (slot_hash(slot), *slot)).collect();
    let mut values: BTreeMap<B256, U256> = BTreeMap::new();
    if !within.lost_storage(address) {
        let page = parent.slots_from(keccak256(address), first, most + touched.len() + 1, cancelled)?;
        values.extend(page.entries);
    }
    for (hash, slot) in touched.iter().filter(|(hash, _)| **hash >= first) {
        match within.slot(address, *slot)? {
            U256::ZERO => values.remove(hash),
            value => values.insert(*hash, value),
        };
    }
    let small: HashMap<B256, U256> = (0..SMALL_SLOTS).map(U256::from).map(|slot| (slot_hash(&slot), slot)).collect();
    let next_key = values.keys().nth(most).copied();
    let entry = |(hash, value): (B256, U256)| {
        let key = touched.get(&hash).or_else(|| small.get(&hash)).map(|slot| B256::from(*slot));
        (hash, StorageEntry { key, value: B256::from(value) })
    };
    Ok(StorageRange { storage: values.into_iter().take(most).map(entry).collect(), next_key })
}

/// Where a walk begins: a hashed key or its first digits, with or without `0x`.
#[derive(Default)]
struct StartKey(B256);

impl<'de> Deserialize<'de> for StartKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").unwrap_or(&text);
        let shown = digits.get(..digits.len().min(64)).unwrap_or_default();
        let bytes = hex::decode(format!("{shown:0<64}")).map_err(|_| D::Error::custom("invalid hex string"))?;
        Ok(Self(B256::from_slice(&bytes)))
    }
}

fn results(Quantity(most): Quantity) -> usize {
    usize::try_from(most).unwrap_or(RESULTS_MAX).clamp(1, RESULTS_MAX)
}

/// The state of a block, or a part of it.
#[derive(Serialize)]
struct Dump {
    root: B256,
    accounts: BTreeMap<String, DumpedAccount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<B256>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DumpedAccount {
    /// In wei, decimal as geth writes it.
    balance: String,
    nonce: u64,
    root: B256,
    code_hash: B256,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Bytes>,
    /// By hashed slot numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<BTreeMap<B256, B256>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Address>,
    /// The hashed address.
    key: B256,
}

/// Says what a dump leaves out.
#[derive(Clone, Copy)]
struct Without {
    code: bool,
    storage: bool,
}

pub(crate) fn account_range(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let block = call.required::<BlockId>()?;
    let first = call.optional::<StartKey>()?.unwrap_or_default().0;
    let most = results(call.optional()?.unwrap_or(Quantity(u64::MAX)));
    let without = Without { code: call.optional()?.unwrap_or_default(), storage: call.optional()?.unwrap_or_default() };
    // Accounts without a known address are always shown, under their hash.
    call.optional::<bool>()?;
    dump(api, block, first, most, without)
}

pub(crate) fn dump_block(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    dump(api, call.required()?, B256::ZERO, DUMP_MAX, Without { code: false, storage: false })
}

fn dump(api: &Api, block: BlockId, first: B256, most: usize, without: Without) -> Answer {
    let view = api.view();
    let header = block.known_header(&view)?;
    let state = block.state(&view)?;
    let deadline = api.deadline(api.limits.trace_timeout);
    let page = state.accounts_from(first, most, deadline.flag()).map_err(|error| read_error(&error))?;
    let names = names(api, &view, header.number)?;
    let mut accounts = BTreeMap::new();
    for (key, account) in page.entries {
        let address = names.get(&key).copied();
        let shown = dumped(&state, key, account, address, without, deadline.flag())?;
        accounts.insert(address.map_or_else(|| format!("pre({key})"), |address| address.to_string()), shown);
    }
    reply_bounded(api, &Dump { root: header.state_root, accounts, next: page.next })
}

fn dumped(
    state: &StateView,
    key: B256,
    account: TrieAccount,
    address: Option<Address>,
    without: Without,
    cancelled: &AtomicBool,
) -> Result<DumpedAccount, RpcError> {
    let code = if without.code { None } else { Some(state.code_by_hash(account.code_hash)?) };
    let storage = match without.storage {
        true => None,
        false => {
            let page = state.slots_from(key, B256::ZERO, DUMPED_SLOTS_MAX, cancelled).map_err(|e| read_error(&e))?;
            Some(page.entries.into_iter().map(|(slot, value)| (slot, B256::from(value))).collect())
        }
    };
    Ok(DumpedAccount {
        balance: account.balance.to_string(),
        nonce: account.nonce,
        root: account.storage_root,
        code_hash: account.code_hash,
        code: code.filter(|code| !code.is_empty()),
        storage: storage.filter(|slots: &BTreeMap<_, _>| !slots.is_empty()),
        address,
        key,
    })
}

/// Returns the addresses that are known, by their hashes.
fn names(api: &Api, view: &ChainView, number: u64) -> Result<HashMap<B256, Address>, RpcError> {
    let mut known: Vec<Address> = view.genesis_accounts()?;
    known.extend(api.services.signer.accounts());
    known.extend((1..=17u8).map(Address::with_last_byte));
    for number in number.saturating_sub(NAMES_FROM_BLOCKS)..=number {
        let Some(block) = view.block_by_number(number)? else { continue };
        known.push(block.header.beneficiary);
        known.extend(block.transactions.iter().flat_map(participants));
    }
    Ok(known.into_iter().map(|address| (keccak256(address), address)).collect())
}

/// Returns who sends a transaction and who gets it, the contract that it creates among them.
fn participants(tx: &consensus::RecoveredTransaction) -> [Address; 2] {
    use alloy_consensus::Transaction as _;
    [tx.sender(), tx.to().unwrap_or_else(|| tx.sender().create(tx.nonce()))]
}

pub(crate) fn modified_accounts_by_number(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (Quantity(first), last) = (call.required()?, call.optional()?.map(|Quantity(last)| last));
    modified_accounts(api, first, last)
}

pub(crate) fn modified_accounts_by_hash(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let view = api.view();
    let number = |hash: B256| {
        let id = BlockId::Hash { hash, require_canonical: true };
        let header = id.header(&view)?.ok_or_else(|| RpcError::server(format!("start block {hash} not found")))?;
        Ok::<_, RpcError>(header.number)
    };
    let first = number(call.required()?)?;
    let last = call.optional()?.map(number).transpose()?;
    modified_accounts(api, first, last)
}

/// Lists the accounts that changed between the end of block `first` and the end of block `last`; without `last`, in block
/// `first` alone, as geth has it.
fn modified_accounts(api: &Api, first: u64, last: Option<u64>) -> Answer {
    let (start, end) = match last {
        None => (first.checked_sub(1).ok_or_else(|| RpcError::server("block #0 has no parent"))?, first),
        Some(last) if first >= last => {
            return Err(RpcError::server(format!(
                "start block height ({first}) must be less than end block height ({last})"
            )));
        }
        Some(last) => (first, last),
    };
    let view = api.view();
    if end > view.head().number {
        return Err(RpcError::server(format!("end block {end} not found")));
    }
    if end - start > MODIFIED_BLOCKS_MAX {
        return Err(RpcError::block_range_too_wide(MODIFIED_BLOCKS_MAX));
    }
    let deadline = api.deadline(api.limits.trace_timeout);
    let mut modified = std::collections::BTreeSet::new();
    for number in start + 1..=end {
        let changed = view.head_state().changed_accounts(number)?;
        let changed = changed.ok_or_else(|| RpcError::server("required historical state unavailable"))?;
        let block = view.block_by_number(number)?.ok_or_else(RpcError::header_not_found)?;
        let mined = Mined::new(Arc::clone(&view), block)?;
        // Replaying the block gives the addresses behind the hashes.
        let touched = mined.replay_until(api, &deadline, trace::touched_addresses)?;
        let touched: HashMap<B256, Address> =
            touched.into_iter().map(|address| (keccak256(address), address)).collect();
        modified.extend(changed.iter().filter_map(|hash| touched.get(hash).copied()));
    }
    reply(&modified)
}
