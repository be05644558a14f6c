//! What a page about the whole node shows: its status at once, series for charts, and the branches of the newest blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, U64, U256};
use chain::ChainView;
use consensus::{DifficultyRule, EmptyBlocks, PowRules, SealedHeader};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::admin;
use crate::api::{Answer, Api, reply};
use crate::block_id::BlockTag;
use crate::errors::RpcError;
use crate::params::{Call, Quantity};

/// Blocks of a series where nothing is said, and at most.
const SERIES_BLOCKS: (u64, u64) = (256, 4096);
/// Points of a series where nothing is said, and at most.
const SERIES_POINTS: (u64, u64) = (128, 512);
/// How deep branches are shown where nothing is said, and at most.
const FORK_DEPTH: (u64, u64) = (64, 256);
/// The most blocks of all branches in one answer.
const FORK_BLOCKS_MAX: usize = 1024;

pub(crate) fn status(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let (view, services) = (api.view(), &api.services);
    let (head, pool, network) = (view.head(), api.pool().status(), services.operation.network.status());
    reply(&json!({
        "clientVersion": services.client_version,
        "chainId": U64::from(view.spec().chain_id),
        "networkId": U64::from(services.network_id),
        "genesis": view.genesis_hash(),
        "head": {
            "number": U64::from(head.number),
            "hash": head.hash(),
            "timestamp": U64::from(head.timestamp),
            "totalDifficulty": view.head_td(),
        },
        "safe": { "number": U64::from(view.safe_number()) },
        "finalized": { "number": U64::from(view.finalized_number()) },
        "now": U64::from(api.now()),
        "pool": { "pending": U64::from(pool.pending), "queued": U64::from(pool.queued) },
        "peers": U64::from(network.peers),
        "peersMax": U64::from(network.peers_max),
        "listening": network.is_listening,
        "syncing": admin::show_sync(api),
        "mining": services.miner.is_mining(),
        "hashRate": U64::from(services.miner.hash_rate()),
        "coinbase": services.miner.etherbase(),
        "pow": show_rules(&view.spec().pow),
        "authorizedMiners": view.spec().pow.authorized_miners,
        "indexes": match view.index()? {
            Some(index) => json!({ "on": true, "from": U64::from(index.first) }),
            None => json!({ "on": false, "from": null }),
        },
        "registries": services.operation.desk.registries,
        "operator": services.operation.desk.operator,
        "devices": services.operation.devices.are_here(),
        "dev": api.is_dev,
    }))
}

fn show_rules(pow: &PowRules) -> Value {
    json!({
        "difficulty": match &pow.difficulty {
            DifficultyRule::Fixed(difficulty) => json!({ "fixed": difficulty }),
            DifficultyRule::Target { target_ms, .. } => json!({ "targetMs": U64::from(*target_ms) }),
        },
        "emptyBlocks": match pow.empty_blocks {
            EmptyBlocks::Always => "always".to_owned(),
            EmptyBlocks::Heartbeat { seconds } => format!("heartbeat {seconds} s"),
            EmptyBlocks::Never => "never".to_owned(),
        },
        "blockReward": pow.block_reward,
        "safeDepth": U64::from(pow.safe_depth),
        "finalityDepth": U64::from(pow.finality_depth),
    })
}

/// Which blocks, and into how many points they are put together.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesOption {
    to: Option<BlockTag>,
    blocks: Option<Quantity>,
    points: Option<Quantity>,
}

/// A series, column by column as charts take it. Each point stands for the blocks after the one before it.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Columns {
    /// The last block of the point.
    number: Vec<u64>,
    /// Its timestamp, in seconds.
    timestamp: Vec<u64>,
    /// Milliseconds between blocks, on average.
    block_time_ms: Vec<u64>,
    /// The last block's difficulty.
    difficulty: Vec<U256>,
    /// Hashes per second that the network has done, by what the blocks prove; none: no second has passed.
    hash_rate: Vec<Option<U256>>,
    /// All gas used.
    gas_used: Vec<u64>,
    /// Gas per second; none: no second has passed.
    gas_per_second: Vec<Option<u64>>,
    /// The last block's gas limit.
    gas_limit: Vec<u64>,
    /// All transactions.
    transactions: Vec<u64>,
    /// The last block's base fee in wei.
    base_fee_per_gas: Vec<Option<u64>>,
}

pub(crate) fn series(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let option: SeriesOption = call.optional()?.unwrap_or_default();
    let view = api.view();
    let to = option.to.unwrap_or(BlockTag::Latest).number(&view).min(view.head().number);
    let blocks = option.blocks.map_or(SERIES_BLOCKS.0, |Quantity(blocks)| blocks.clamp(1, SERIES_BLOCKS.1)).min(to);
    let points = option.points.map_or(SERIES_POINTS.0, |Quantity(points)| points.clamp(1, SERIES_POINTS.1));
    let first = to.saturating_sub(blocks).saturating_add(1);
    let mut columns = Columns::default();
    let mut miners: BTreeMap<Address, (u64, U256)> = BTreeMap::new();
    let mut before = header(&view, first.saturating_sub(1))?;
    let step = blocks.div_ceil(points).max(1);
    let mut from = first;
    while from <= to && blocks > 0 {
        let last = from.saturating_add(step - 1).min(to);
        before = columns.add(&view, &before, from..=last, &mut miners)?;
        from = last.saturating_add(1);
    }
    let work = miners.values().map(|(_, work)| *work).fold(U256::ZERO, U256::saturating_add);
    let miners: Vec<_> = miners
        .into_iter()
        .map(|(address, (blocks, done))| {
            let share = done.saturating_mul(U256::from(10_000)).checked_div(work).unwrap_or_default();
            json!({ "address": address, "blocks": blocks, "share": f64::from(u16::try_from(share).unwrap_or(0)) / 10_000.0 })
        })
        .collect();
    reply(&json!({ "from": U64::from(first.min(to)), "to": U64::from(to), "columns": columns, "miners": miners }))
}

fn header(view: &ChainView, number: u64) -> Result<SealedHeader, RpcError> {
    view.header_by_number(number)?.ok_or_else(RpcError::header_not_found)
}

impl Columns {
    /// Adds a point for a range of blocks that is not empty, and returns the header of its last one.
    fn add(
        &mut self,
        view: &ChainView,
        before: &SealedHeader,
        numbers: std::ops::RangeInclusive<u64>,
        miners: &mut BTreeMap<Address, (u64, U256)>,
    ) -> Result<SealedHeader, RpcError> {
        let (mut gas, mut transactions, mut work, mut blocks) = (0_u64, 0_u64, U256::ZERO, 0_u64);
        let mut last = before.clone();
        for number in numbers {
            last = header(view, number)?;
            gas = gas.saturating_add(last.gas_used);
            transactions = transactions.saturating_add(view.transaction_count(&last)?);
            work = work.saturating_add(last.difficulty);
            blocks += 1;
            let miner = miners.entry(last.beneficiary).or_default();
            *miner = (miner.0 + 1, miner.1.saturating_add(last.difficulty));
        }
        let seconds = last.timestamp.saturating_sub(before.timestamp);
        self.number.push(last.number);
        self.timestamp.push(last.timestamp);
        self.block_time_ms.push(seconds.saturating_mul(1000) / blocks.max(1));
        self.difficulty.push(last.difficulty);
        self.hash_rate.push(work.checked_div(U256::from(seconds)));
        self.gas_used.push(gas);
        self.gas_per_second.push(gas.checked_div(seconds));
        self.gas_limit.push(last.gas_limit);
        self.transactions.push(transactions);
        self.base_fee_per_gas.push(last.base_fee_per_gas);
        Ok(last)
    }
}

pub(crate) fn forks(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let depth = call.optional()?.map_or(FORK_DEPTH.0, |Quantity(depth)| depth.clamp(1, FORK_DEPTH.1));
    let view = api.view();
    let first = view.head().number.saturating_sub(depth - 1);
    let known = view.known_headers(first, FORK_BLOCKS_MAX)?;
    let show = |(hash, record): &(_, chain::HeaderRecord)| -> Result<Value, RpcError> {
        let header = SealedHeader::with_known_hash(record.header.clone(), *hash);
        Ok(json!({
            "number": U64::from(header.number),
            "hash": hash,
            "parentHash": header.parent_hash,
            "timestamp": U64::from(header.timestamp),
            "miner": header.beneficiary,
            "difficulty": header.difficulty,
            "totalDifficulty": record.total_difficulty,
            "transactions": U64::from(view.transaction_count(&header)?),
            "canonical": view.is_canonical(header.number, *hash)?,
        }))
    };
    let blocks = known.iter().rev().map(show).collect::<Result<Vec<_>, _>>()?;
    reply(&json!({ "head": U64::from(view.head().number), "first": U64::from(first), "blocks": blocks }))
}
