//! Going back: snapshots, resets, rollbacks and reorganisations.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U64};
use chain::{AfterRewind, ChainView, RewindTarget};
use consensus::RecoveredTransaction;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::blocks::mine;
use super::terms::Wishes;
use super::{Dev, DevPace, Senders, dev};
use crate::api::Api;
use crate::errors::RpcError;
use crate::eth::send;
use crate::params::{Call, Data, Quantity};

/// How many snapshots are kept; the oldest ones go first.
const SNAPSHOTS_MAX: usize = 4096;

/// A place on the chain with all that a revert brings back.
struct Snapshot {
    number: u64,
    hash: B256,
    amendments: u32,
    pool: Vec<RecoveredTransaction>,
    terms: (Wishes, u64),
    pace: DevPace,
    etherbase: Option<Address>,
    senders: Senders,
}

/// The snapshots by id. Ids grow and are never given twice.
#[derive(Default)]
pub(crate) struct Snapshots {
    by_id: BTreeMap<u64, Snapshot>,
    last: u64,
}

impl Snapshots {
    /// Returns the number and the hash of each, by id.
    pub(super) fn places(&self) -> impl Iterator<Item = (u64, (u64, B256))> {
        self.by_id.iter().map(|(id, snapshot)| (*id, (snapshot.number, snapshot.hash)))
    }
}

pub(crate) fn snapshot(api: &Arc<Api>, _: &mut Call<'_>) -> Result<U64, RpcError> {
    let dev = dev(api)?;
    let _turn = dev.turn();
    let view = api.view();
    let taken = Snapshot {
        number: view.head().number,
        hash: view.head().hash(),
        amendments: view.amendment_count()?,
        pool: api.pool().all_transactions(),
        terms: dev.chain.terms.kept(),
        pace: dev.chain.miner.pace(),
        etherbase: api.services.miner.etherbase(),
        senders: dev.senders.lock().clone(),
    };
    let mut snapshots = dev.snapshots.lock();
    snapshots.last += 1;
    let id = snapshots.last;
    snapshots.by_id.insert(id, taken);
    if snapshots.by_id.len() > SNAPSHOTS_MAX {
        snapshots.by_id.pop_first();
    }
    Ok(U64::from(id))
}

/// Goes back to a snapshot, which is gone then, as are all later ones. Tells whether there was such a snapshot.
pub(crate) fn revert(api: &Arc<Api>, call: &mut Call<'_>) -> Result<bool, RpcError> {
    let Quantity(id) = call.required()?;
    let dev = dev(api)?;
    let _turn = dev.turn();
    let Some(snapshot) = dev.snapshots.lock().by_id.split_off(&id).remove(&id) else { return Ok(false) };
    let view = api.view();
    if view.canonical_hash(snapshot.number)? != Some(snapshot.hash) {
        return Ok(false);
    }
    dev.chain.miner.set_pace(DevPace { automine: false, interval: None });
    let target = RewindTarget { number: snapshot.number, amendments: Some(snapshot.amendments) };
    let rewound = rewind(api, target, AfterRewind::ReplacePool(snapshot.pool));
    dev.chain.terms.restore(snapshot.terms);
    *dev.senders.lock() = snapshot.senders;
    if let Some(etherbase) = snapshot.etherbase {
        api.services.miner.set_etherbase(etherbase)?;
    }
    dev.chain.miner.set_pace(snapshot.pace);
    rewound.map(|()| true)
}

fn rewind(api: &Api, target: RewindTarget, then: AfterRewind) -> Result<(), RpcError> {
    api.services.ledger.rewind(target, then, api.now()).map_err(RpcError::server)
}

/// Makes an earlier block the head, whatever is final: this is the operator's command. Its transactions go back to the pool.
pub(crate) fn set_head(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let Quantity(number) = call.required()?;
    let _turn = api.dev.as_ref().map(Dev::turn);
    rewind(api, RewindTarget::block(number), AfterRewind::ReturnTransactions)
}

/// Goes back to the genesis block, without any change by hand, with an empty pool.
pub(crate) fn reset(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let forks =
        |forking: &Value| forking.as_object().is_some_and(|fields| fields.values().any(|value| !value.is_null()));
    if call.optional::<Map<String, Value>>()?.is_some_and(|options| options.get("forking").is_some_and(forks)) {
        return Err(RpcError::invalid_argument(0, "forking another chain is not supported: import its blocks instead"));
    }
    let dev = dev(api)?;
    let _turn = dev.turn();
    let target = RewindTarget { number: 0, amendments: Some(0) };
    rewind(api, target, AfterRewind::ReplacePool(Vec::new()))?;
    let wishes = Wishes { is_steered: true, ..Wishes::default() };
    dev.chain.terms.restore((wishes, dev.chain.terms.system_now()));
    dev.snapshots.lock().by_id.clear();
    *dev.senders.lock() = Senders::default();
    Ok(())
}

/// Goes back `depth` blocks, by default one; their transactions are forgotten.
pub(crate) fn rollback(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let depth = call.optional::<Quantity>()?.map_or(1, |depth| depth.0);
    let dev = dev(api)?;
    let _turn = dev.turn();
    back(api, &api.view(), depth)
}

fn back(api: &Api, view: &ChainView, depth: u64) -> Result<(), RpcError> {
    let head = view.head().number;
    let number = head.checked_sub(depth).ok_or_else(|| {
        RpcError::invalid_params(format!("depth {depth} is more than the {head} blocks of the chain"))
    })?;
    let pool = api.pool().all_transactions();
    rewind(api, RewindTarget::block(number), AfterRewind::ReplacePool(pool))
}

/// A transaction of a forced reorganisation: signed and encoded, or to be sent by one of the node's accounts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wanted {
    Raw(Data),
    Request(Box<alloy_rpc_types_eth::TransactionRequest>),
}

/// Replaces the newest `depth` blocks by as many others, which hold the transactions that are given, each with the index of its
/// block. Those of the blocks that leave are forgotten, as on Anvil.
pub(crate) fn reorganise(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let Options { depth: Quantity(depth), tx_block_pairs } = Options::read(call)?;
    if let Some((_, Quantity(index))) = tx_block_pairs.iter().find(|(_, Quantity(index))| *index >= depth) {
        return Err(RpcError::invalid_params(format!("block {index} is not one of the {depth} blocks to make")));
    }
    let dev = dev(api)?;
    let _turn = dev.turn();
    let pace = dev.chain.miner.pace();
    dev.chain.miner.set_pace(DevPace { automine: false, interval: None });
    let done = reorganise_still(api, depth, tx_block_pairs);
    dev.chain.miner.set_pace(pace);
    done
}

/// The same while the miner makes no block by itself.
fn reorganise_still(api: &Arc<Api>, depth: u64, mut pairs: Vec<(Wanted, Quantity)>) -> Result<(), RpcError> {
    back(api, &api.view(), depth)?;
    for index in 0..depth {
        let (now, later) = pairs.into_iter().partition(|(_, Quantity(block))| *block == index);
        pairs = later;
        for (wanted, _) in now {
            match wanted {
                Wanted::Raw(raw) => send::submit(api, send::read_raw(api, &raw)?).map(drop)?,
                Wanted::Request(request) => send::send_as(api, *request, &send::Authority::Unlocked).map(drop)?,
            }
        }
        mine(api, 1, 0)?;
    }
    Ok(())
}

/// What `anvil_reorg` takes: an object, or its two fields as arguments.
#[derive(Deserialize)]
struct Options {
    depth: Quantity,
    #[serde(default)]
    tx_block_pairs: Vec<(Wanted, Quantity)>,
}

impl Options {
    fn read(call: &mut Call<'_>) -> Result<Self, RpcError> {
        let first = call.required::<Value>()?;
        let unreadable = |error: serde_json::Error| RpcError::invalid_argument(0, error);
        if first.is_object() {
            return serde_json::from_value(first).map_err(unreadable);
        }
        let depth = serde_json::from_value(first).map_err(unreadable)?;
        Ok(Self { depth, tx_block_pairs: call.optional()?.unwrap_or_default() })
    }
}
