//! Traces of what was mined: `trace_block`, `trace_transaction`, `trace_get` and the replays.

use std::sync::Arc;

use alloy_primitives::B256;
use alloy_primitives::map::HashSet;
use alloy_rpc_types_trace::parity::{
    Action, LocalizedTransactionTrace, RewardAction, RewardType, TraceType, TransactionTrace,
};
use consensus::ethereum::rewards;
use consensus::{ChainSpec, Era, RecoveredBlock};
use evm_runtime::trace;
use serde_json::Value;

use crate::api::{Answer, Api, reply};
use crate::block_id::BlockId;
use crate::deadline::Deadline;
use crate::debug::mined::{Mined, reply_bounded};
use crate::errors::RpcError;
use crate::params::{Call, Quantity};

pub(crate) fn block(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let mined = Mined::by_id(api, call.required()?)?;
    reply_bounded(api, &of_block(api, &mined, &api.deadline(api.limits.trace_timeout))?)
}

/// Returns the traces of all transactions of a block, and its reward.
pub(super) fn of_block(
    api: &Api,
    mined: &Mined,
    deadline: &Deadline,
) -> Result<Vec<LocalizedTransactionTrace>, RpcError> {
    let count = mined.block.transactions.len();
    let mut traces = match count {
        0 => Vec::new(),
        _ => mined.replay_until(api, deadline, |context| trace::transaction_traces(context, 0..count))?,
    };
    traces.extend(rewards(mined.view.spec(), &mined.block));
    Ok(traces)
}

/// Shows who is credited for a block, where anybody is.
fn rewards(spec: &ChainSpec, block: &RecoveredBlock) -> Vec<LocalizedTransactionTrace> {
    let miner = block.header.beneficiary;
    let payments = match spec.era_of(&block.header) {
        Era::Drawbridge => vec![(miner, spec.pow.block_reward)],
        Era::Ethash => rewards::payments(spec.fork_of(&block.header), &block.header, &block.ommers),
        Era::Merged => Vec::new(),
    };
    // The miner's own comes last there, and first here.
    let paid = payments.into_iter().rev().enumerate().filter(|(_, (_, wei))| !wei.is_zero());
    let shown = paid.map(|(place, (author, value))| {
        let reward_type = if place == 0 { RewardType::Block } else { RewardType::Uncle };
        let action = Action::Reward(RewardAction { author, reward_type, value });
        LocalizedTransactionTrace {
            trace: TransactionTrace { action, ..TransactionTrace::default() },
            block_hash: Some(block.hash()),
            block_number: Some(block.number()),
            transaction_hash: None,
            transaction_position: None,
        }
    });
    shown.collect()
}

/// Tells whether a block without transactions has nothing to show.
pub(super) fn has_nothing(spec: &ChainSpec, block: &RecoveredBlock) -> bool {
    block.transactions.is_empty() && rewards(spec, block).is_empty()
}

pub(crate) fn transaction(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    match of_transaction(api, call.required()?)? {
        Some(traces) => reply_bounded(api, &traces),
        None => reply(&Value::Null),
    }
}

pub(crate) fn get(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (hash, place) = (call.required()?, call.required::<Vec<Quantity>>()?);
    let is_there = |trace: &LocalizedTransactionTrace| {
        let found = trace.trace.trace_address.iter().map(|index| u64::try_from(*index).unwrap_or(u64::MAX));
        found.eq(place.iter().map(|Quantity(index)| *index))
    };
    let found = of_transaction(api, hash)?.and_then(|traces| traces.into_iter().find(is_there));
    reply(&found)
}

fn of_transaction(api: &Api, hash: B256) -> Result<Option<Vec<LocalizedTransactionTrace>>, RpcError> {
    if api.view().transaction(hash)?.is_none() {
        return Ok(None);
    }
    let (mined, index) = Mined::by_transaction(api, hash)?;
    let limit = api.limits.trace_timeout;
    mined.replay(api, limit, |context| trace::transaction_traces(context, index..index + 1)).map(Some)
}

pub(crate) fn replay_transaction(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (hash, types) = (call.required()?, call.required::<HashSet<TraceType>>()?);
    let (mined, index) = Mined::by_transaction(api, hash)?;
    let traced =
        mined.replay(api, api.limits.trace_timeout, |context| trace::replay(context, index..index + 1, &types))?;
    match traced.into_iter().next() {
        Some(traced) => reply_bounded(api, &traced.full_trace),
        None => Err(RpcError::internal()),
    }
}

pub(crate) fn replay_block_transactions(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (id, types) = (call.required::<BlockId>()?, call.required::<HashSet<TraceType>>()?);
    if id.header(&api.view())?.is_some_and(|header| header.number == 0) {
        // The genesis block has no transactions, and no parent either.
        return reply(&[(); 0]);
    }
    let mined = Mined::by_id(api, id)?;
    let count = mined.block.transactions.len();
    let traced = mined.replay(api, api.limits.trace_timeout, |context| trace::replay(context, 0..count, &types))?;
    reply_bounded(api, &traced)
}
