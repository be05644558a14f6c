//! What a transaction should pay.
//!
//! A private chain's miners take transactions in order of arrival, so that paying more than the pool asks for buys nothing
//! while blocks have room: the suggestion is then the pool's own limit, which may be 0. Only where blocks are full it follows what
//! others pay.

use std::sync::Arc;

use alloy_consensus::Transaction as _;
use alloy_primitives::{B256, U64, U128, U256};
use alloy_rpc_types_eth::FeeHistory;
use chain::ChainView;
use consensus::{Fork, Header, RecoveredBlock, SealedHeader, fees};

use crate::api::{Answer, Api, reply};
use crate::block_id::BlockTag;
use crate::errors::RpcError;
use crate::params::{Call, Count};

/// The most blocks of a fee history, as in geth.
const HISTORY_BLOCKS_MAX: u64 = 1024;
/// The most percentiles of a fee history, as in geth.
const HISTORY_PERCENTILES_MAX: usize = 100;
/// How many blocks a suggestion looks at.
const SAMPLE_BLOCKS: u64 = 20;
/// How many of the cheapest transactions of a block count.
const SAMPLES_PER_BLOCK: usize = 3;
/// Which of the samples is suggested, in percent.
const SAMPLE_PERCENTILE: usize = 60;
/// Blocks fuller than this, in percent of their gas limit and on average, mean that transactions compete.
const CONGESTED_PERCENT: u128 = 90;

/// The base fee and the suggested tip: the head's base fee while it falls, because calls and estimates run under it; else the
/// next block's.
pub(crate) fn gas_price(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let view = api.view();
    let base_fee = base_fee(api, &view).max(view.head().base_fee_per_gas).unwrap_or(0);
    let price = u128::from(base_fee).saturating_add(suggested_tip(api, &view)?);
    reply(&U128::from(price))
}

pub(crate) fn max_priority_fee_per_gas(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&U128::from(suggested_tip(api, &api.view())?))
}

/// The next block's; null before London.
pub(crate) fn next_base_fee(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&base_fee(api, &api.view()).map(U64::from))
}

/// Blocks hold no blobs, so that their price stays at the minimum of EIP-4844.
pub(crate) fn blob_base_fee(_: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&U64::from(1))
}

pub(crate) fn fee_history(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (Count(count), newest) = (call.required()?, call.required::<BlockTag>()?);
    let percentiles = call.optional::<Vec<f64>>()?.unwrap_or_default();
    check_percentiles(&percentiles)?;
    let view = api.view();
    let (newest, head) = (newest.number(&view), view.head().number);
    if newest > head {
        let words = format!("request beyond head block: requested {newest}, head {head}");
        return Err(RpcError::server(words));
    }
    let count = count.min(HISTORY_BLOCKS_MAX).min(newest.saturating_add(1));
    if count == 0 {
        return reply(&FeeHistory::default());
    }
    reply(&history(api, &view, newest, count, &percentiles)?)
}

/// Returns the base fee in wei of the block that would follow now; `None` before London.
pub(crate) fn base_fee(api: &Api, view: &ChainView) -> Option<u64> {
    let follows = fees::next_base_fee(view.spec(), view.head(), api.now().max(view.head().timestamp));
    let wanted = api.next_block(view.head()).and_then(|next| next.departures.base_fee);
    follows.map(|follows| wanted.unwrap_or(follows))
}

/// Returns the tip in wei that a transaction should pay.
pub(crate) fn suggested_tip(api: &Api, view: &ChainView) -> Result<u128, RpcError> {
    let floor = *api.price_limit_wei.lock();
    let head = view.head().hash();
    let known = api.suggested_tip.lock().filter(|(hash, _)| *hash == head);
    let tip = match known {
        Some((_, tip)) => tip,
        None => {
            let tip = competing_tip(api, view, head)?;
            *api.suggested_tip.lock() = Some((head, tip));
            tip
        }
    };
    Ok(tip.max(floor))
}

/// Returns what competing transactions pay, or 0 where none compete.
fn competing_tip(api: &Api, view: &ChainView, head: B256) -> Result<u128, RpcError> {
    let (mut used, mut limit) = (0_u128, 0_u128);
    let mut blocks = Vec::new();
    let mut next = view.header_by_hash(head)?;
    // Of blocks before a snapshot only the headers are here.
    let is_sampled = |header: &SealedHeader| header.number >= view.base_number();
    while let Some(header) = next.filter(|header| (blocks.len() as u64) < SAMPLE_BLOCKS && is_sampled(header)) {
        used += u128::from(header.gas_used);
        limit += u128::from(header.gas_limit);
        blocks.push(header.hash());
        next = if header.number == 0 { None } else { view.header_by_hash(header.parent_hash)? };
    }
    if limit == 0 || used * 100 < limit * CONGESTED_PERCENT {
        return Ok(0);
    }
    let mut samples = Vec::new();
    for hash in blocks {
        if let Some(found) = api.block(view, hash)? {
            samples.extend(lowest_tips(found.block()));
        }
    }
    samples.sort_unstable();
    Ok(samples.get(samples.len().saturating_sub(1) * SAMPLE_PERCENTILE / 100).copied().unwrap_or(0))
}

/// Returns the lowest tips in wei of a block, its miner's own transactions left out.
fn lowest_tips(block: &RecoveredBlock) -> Vec<u128> {
    let base_fee = block.header.base_fee_per_gas.unwrap_or(0);
    let others = block.transactions.iter().filter(|tx| tx.sender() != block.header.beneficiary);
    let mut tips: Vec<u128> = others.filter_map(|tx| tx.effective_tip_per_gas(base_fee)).collect();
    tips.sort_unstable();
    tips.truncate(SAMPLES_PER_BLOCK);
    tips
}

fn check_percentiles(percentiles: &[f64]) -> Result<(), RpcError> {
    if percentiles.len() > HISTORY_PERCENTILES_MAX {
        return Err(RpcError::server(format!(
            "invalid reward percentile: over the query limit {HISTORY_PERCENTILES_MAX}"
        )));
    }
    for (index, percentile) in percentiles.iter().enumerate() {
        if !(0.0..=100.0).contains(percentile) {
            return Err(RpcError::server(format!("invalid reward percentile: {percentile:.6}")));
        }
        if index > 0 && *percentile <= percentiles[index - 1] {
            let words = format!(
                "invalid reward percentile: #{}:{:.6} >= #{index}:{percentile:.6}",
                index - 1,
                percentiles[index - 1]
            );
            return Err(RpcError::server(words));
        }
    }
    Ok(())
}

/// Collects the history of `count` blocks that end with `newest`.
fn history(api: &Api, view: &ChainView, newest: u64, count: u64, percentiles: &[f64]) -> Result<FeeHistory, RpcError> {
    let oldest = newest + 1 - count;
    let mut history = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    let mut last = None;
    for number in oldest..=newest {
        let Some(header) = view.header_by_number(number)? else { break };
        history.base_fee_per_gas.push(header.base_fee_per_gas.unwrap_or(0).into());
        history.gas_used_ratio.push(ratio(header.gas_used, header.gas_limit));
        history.base_fee_per_blob_gas.push(header.excess_blob_gas.map_or(0, |_| 1));
        history.blob_gas_used_ratio.push(0.0);
        if !percentiles.is_empty() {
            rewards.push(rewards_of(api, view, header.hash(), percentiles)?);
        }
        last = Some(header);
    }
    if let Some(last) = last {
        let (base_fee, blob_base_fee) = following_fees(view, &last);
        history.base_fee_per_gas.push(base_fee.into());
        history.base_fee_per_blob_gas.push(blob_base_fee);
    }
    history.reward = (!percentiles.is_empty()).then_some(rewards);
    Ok(history)
}

/// Returns base fee and blob base fee of the block after `header`.
fn following_fees(view: &ChainView, header: &Header) -> (u64, u128) {
    let base_fee = fees::next_base_fee(view.spec(), header, header.timestamp).unwrap_or(0);
    let cancun = view.spec().fork_at(header.number.saturating_add(1), header.timestamp) >= Fork::Cancun;
    (base_fee, u128::from(cancun))
}

#[allow(clippy::cast_precision_loss, reason = "a ratio for display")]
fn ratio(used: u64, limit: u64) -> f64 {
    if limit == 0 { 0.0 } else { used as f64 / limit as f64 }
}

/// Returns a block's tips in wei at the percentiles of gas used.
fn rewards_of(api: &Api, view: &ChainView, hash: B256, percentiles: &[f64]) -> Result<Vec<u128>, RpcError> {
    let Some(found) = api.block(view, hash)? else { return Ok(vec![0; percentiles.len()]) };
    let (block, receipts) = (found.block(), found.receipts(view)?.unwrap_or_default());
    let base_fee = block.header.base_fee_per_gas.unwrap_or(0);
    let mut before = 0;
    let mut paid = Vec::with_capacity(receipts.len());
    for (tx, receipt) in block.transactions.iter().zip(receipts.iter()) {
        let gas = receipt.cumulative_gas_used().saturating_sub(before);
        before = receipt.cumulative_gas_used();
        paid.push((tx.effective_tip_per_gas(base_fee).unwrap_or(0), gas));
    }
    Ok(percentile_tips(paid, block.header.gas_used, percentiles))
}

/// Returns, for each percentile, the tip at which so much of the gas is reached when transactions are sorted by tip.
fn percentile_tips(mut paid: Vec<(u128, u64)>, gas_used: u64, percentiles: &[f64]) -> Vec<u128> {
    paid.sort_unstable();
    let mut transactions = paid.iter();
    let Some(mut current) = transactions.next() else { return vec![0; percentiles.len()] };
    let mut reached = current.1;
    let mut tips = Vec::with_capacity(percentiles.len());
    for percentile in percentiles {
        while below(reached, gas_used, *percentile) {
            let Some(next) = transactions.next() else { break };
            current = next;
            reached = reached.saturating_add(next.1);
        }
        tips.push(current.0);
    }
    tips
}

/// Tells whether `reached` is less than `percentile` percent of `gas_used`, rounded down.
#[allow(clippy::cast_precision_loss, reason = "gas limits are far below 2^53")]
fn below(reached: u64, gas_used: u64, percentile: f64) -> bool {
    (reached as f64) < (gas_used as f64 * percentile / 100.0).floor()
}

/// Returns the default fee cap: room for the base fee to double.
pub(crate) fn fee_cap(base_fee: u64, tip: u128) -> u128 {
    u128::from(base_fee).saturating_mul(2).saturating_add(tip)
}

/// Returns what `gas` units at `price` wei cost at most.
pub(crate) fn cost(gas: u64, price: u128) -> U256 {
    U256::from(gas).saturating_mul(U256::from(price))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rewards_are_weighed_by_gas() {
        let paid = || vec![(30, 50), (10, 25), (20, 25)];
        let cases = [
            (vec![], vec![]),
            (vec![0.0], vec![10]),
            (vec![25.0], vec![10]),
            (vec![26.0], vec![20]),
            (vec![50.0], vec![20]),
            (vec![51.0, 100.0], vec![30, 30]),
            (vec![0.0, 25.0, 50.0, 75.0, 100.0], vec![10, 10, 20, 30, 30]),
        ];
        for (percentiles, expected) in cases {
            assert_eq!(percentile_tips(paid(), 100, &percentiles), expected, "{percentiles:?}");
        }
        assert_eq!(percentile_tips(vec![], 0, &[1.0, 2.0]), [0, 0]);
    }

    #[test]
    fn percentiles_must_rise() {
        let words = |percentiles: &[f64]| check_percentiles(percentiles).err().map(|error| error.message.into_owned());
        assert_eq!(words(&[0.0, 50.0, 100.0]), None);
        assert_eq!(words(&[101.0]).unwrap(), "invalid reward percentile: 101.000000");
        assert_eq!(words(&[-1.0]).unwrap(), "invalid reward percentile: -1.000000");
        assert_eq!(words(&[5.0, 4.0]).unwrap(), "invalid reward percentile: #0:5.000000 >= #1:4.000000");
        assert_eq!(words(&[f64::NAN]).unwrap(), "invalid reward percentile: NaN");
        assert!(words(&vec![1.0; 101]).unwrap().contains("over the query limit 100"));
    }

    #[test]
    fn an_empty_history_has_the_fields_that_clients_read() {
        let json = serde_json::to_value(FeeHistory::default()).unwrap();
        assert_eq!((&json["oldestBlock"], &json["gasUsedRatio"]), (&"0x0".into(), &serde_json::json!([])));
    }
}
