//! `eth_config` (EIP-7910) and `eth_capabilities`: which rules hold and will hold, and what this node can be asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_eips::{eip2935, eip4788, eip7002, eip7251};
use alloy_primitives::{Address, U64};
use chain::ChainView;
use consensus::spec::Activation;
use consensus::{Fork, ForkSums};
use serde::Serialize;
use serde_json::json;

use crate::api::{Answer, Api, reply};
use crate::errors::RpcError;
use crate::params::Call;

/// The precompiles under the names of EIP-7910: the fork that brought each, and the last two bytes of its address.
const PRECOMPILES: [(Fork, &str, u16); 18] = [
    (Fork::Frontier, "ECREC", 0x01),
    (Fork::Frontier, "SHA256", 0x02),
    (Fork::Frontier, "RIPEMD160", 0x03),
    (Fork::Frontier, "ID", 0x04),
    (Fork::Byzantium, "MODEXP", 0x05),
    (Fork::Byzantium, "BN254_ADD", 0x06),
    (Fork::Byzantium, "BN254_MUL", 0x07),
    (Fork::Byzantium, "BN254_PAIRING", 0x08),
    (Fork::Istanbul, "BLAKE2F", 0x09),
    (Fork::Cancun, "KZG_POINT_EVALUATION", 0x0a),
    (Fork::Prague, "BLS12_G1ADD", 0x0b),
    (Fork::Prague, "BLS12_G1MSM", 0x0c),
    (Fork::Prague, "BLS12_G2ADD", 0x0d),
    (Fork::Prague, "BLS12_G2MSM", 0x0e),
    (Fork::Prague, "BLS12_PAIRING_CHECK", 0x0f),
    (Fork::Prague, "BLS12_MAP_FP_TO_G1", 0x10),
    (Fork::Prague, "BLS12_MAP_FP2_TO_G2", 0x11),
    (Fork::Osaka, "P256VERIFY", 0x100),
];

/// The rules that hold from a time on.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ForkConfig {
    activation_time: u64,
    blob_schedule: Option<BlobSchedule>,
    chain_id: U64,
    fork_id: String,
    precompiles: BTreeMap<&'static str, Address>,
    system_contracts: BTreeMap<&'static str, Address>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BlobSchedule {
    base_fee_update_fraction: u64,
    max: u64,
    target: u64,
}

#[derive(Serialize)]
struct Configs {
    current: ForkConfig,
    next: Option<ForkConfig>,
    last: Option<ForkConfig>,
}

/// The configuration now, the next one, and the last that is known. Forks by number that have passed belong to the current one.
pub(crate) fn config(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let view = api.view();
    let genesis = view.header_by_number(0)?.ok_or_else(RpcError::header_not_found)?;
    let sums = ForkSums::new(view.spec(), genesis.hash(), genesis.timestamp);
    let times = change_times(&view, genesis.timestamp);
    let now = view.head().timestamp;
    let current = times.iter().rev().find(|time| **time <= now).copied();
    let next = times.iter().find(|time| **time > now).copied();
    let last = times.last().filter(|time| **time > now).copied();
    let at = |time: u64| config_at(&view, &sums, time, time);
    reply(&Configs {
        current: config_at(&view, &sums, current.unwrap_or(0), now),
        next: next.map(at),
        last: last.map(at),
    })
}

/// Lists the times at which rules change after genesis, sorted.
fn change_times(view: &ChainView, genesis: u64) -> Vec<u64> {
    let spec = view.spec();
    let forks = spec.forks.activations().iter().filter_map(|(_, activation)| match *activation {
        Activation::Time(time) => Some(time),
        Activation::Block(_) => None,
    });
    let blobs = spec.ethereum.iter().flat_map(|rules| rules.blobs.by_time().map(|(time, _)| time));
    let mut times: Vec<_> = forks.chain(blobs).filter(|time| *time > genesis).collect();
    times.sort_unstable();
    times.dedup();
    times
}

/// Returns the rules at a time; `activation` says since when they hold.
fn config_at(view: &ChainView, sums: &ForkSums, activation: u64, time: u64) -> ForkConfig {
    let (spec, head) = (view.spec(), view.head());
    let fork = match time == head.timestamp {
        true => spec.fork_of(head),
        false => spec.fork_at(head.number, time),
    };
    let blobs = spec.blob_params(fork, time);
    let sum = sums.sums().get(sums.passed(head.number, time)).copied().unwrap_or_default();
    let address = |last: u16| Address::left_padding_from(&last.to_be_bytes());
    ForkConfig {
        activation_time: activation,
        blob_schedule: (fork >= Fork::Cancun).then(|| BlobSchedule {
            base_fee_update_fraction: u64::try_from(blobs.update_fraction).unwrap_or(u64::MAX),
            max: blobs.max_blob_count,
            target: blobs.target_blob_count,
        }),
        chain_id: U64::from(spec.chain_id),
        fork_id: format!("{sum:#010x}"),
        precompiles: PRECOMPILES
            .into_iter()
            .filter(|(since, ..)| fork >= *since)
            .map(|(_, name, last)| (name, address(last)))
            .collect(),
        system_contracts: system_contracts(view, fork),
    }
}

fn system_contracts(view: &ChainView, fork: Fork) -> BTreeMap<&'static str, Address> {
    let mut contracts = BTreeMap::new();
    if fork >= Fork::Cancun {
        contracts.insert("BEACON_ROOTS_ADDRESS", eip4788::BEACON_ROOTS_ADDRESS);
    }
    if fork >= Fork::Prague {
        contracts.insert("HISTORY_STORAGE_ADDRESS", eip2935::HISTORY_STORAGE_ADDRESS);
        contracts.insert("WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS", eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS);
        contracts.insert("CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS", eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS);
        if let Some(rules) = &view.spec().ethereum {
            contracts.insert("DEPOSIT_CONTRACT_ADDRESS", rules.deposit_contract);
        }
    }
    contracts
}

/// From which block on the node has what: routers of requests ask for it.
pub(crate) fn capabilities(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let view = api.view();
    let since = |block: u64| json!({ "disabled": false, "oldestBlock": U64::from(block) });
    let (blocks, states) = (since(view.base_number()), since(view.history_floor()?));
    let head = view.head();
    reply(&json!({
        "head": { "number": U64::from(head.number), "hash": head.hash() },
        "state": states,
        "tx": blocks,
        "logs": blocks,
        "receipts": blocks,
        "blocks": blocks,
        "stateproofs": states,
    }))
}
