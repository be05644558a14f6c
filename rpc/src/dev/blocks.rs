//! Time, and blocks on demand.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use serde::Deserialize;

use super::{DevPace, dev};
use crate::api::Api;
use crate::errors::RpcError;
use crate::params::{Call, Quantity};

/// The most blocks that one request mines.
const BLOCKS_MAX: u64 = 250_000;
/// Above this a time is in milliseconds, as Ganache's clients give it: it would be the year 5138.
const SECONDS_MAX: u64 = 100_000_000_000;
/// From this on an interval of `evm_setIntervalMining` is in milliseconds (Hardhat), below it in seconds (Anvil).
const INTERVAL_MS_MIN: u64 = 100;

/// What `evm_mine` takes: a timestamp, or an object.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a timestamp or an object with blocks and timestamp")]
enum MineOptions {
    Timestamp(Quantity),
    Object { timestamp: Option<Quantity>, blocks: Option<Quantity> },
}

/// Mines, by default one block. The first one has the timestamp that is given.
pub(crate) fn evm_mine(api: &Arc<Api>, call: &mut Call<'_>) -> Result<&'static str, RpcError> {
    let (timestamp, count) = match call.optional::<MineOptions>()? {
        None => (None, 1),
        Some(MineOptions::Timestamp(Quantity(time))) => (Some(time), 1),
        Some(MineOptions::Object { timestamp, blocks }) => (timestamp.map(|time| time.0), blocks.map_or(1, |n| n.0)),
    };
    let _turn = dev(api)?.turn();
    if let Some(timestamp) = timestamp {
        choose_timestamp(api, timestamp)?;
    }
    mine(api, count, 0)?;
    Ok("0x0")
}

/// Mines so many blocks; from the second one on they are `interval` seconds apart.
pub(crate) fn mine_many(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let count = call.optional::<Quantity>()?.map_or(1, |count| count.0);
    let interval_s = call.optional::<Quantity>()?.map_or(1, |interval| interval.0);
    let _turn = dev(api)?.turn();
    mine(api, count, interval_s)
}

/// Mines `count` blocks; with an interval of 0 seconds their timestamps follow the clock.
pub(super) fn mine(api: &Arc<Api>, count: u64, interval_s: u64) -> Result<(), RpcError> {
    let chain = &dev(api)?.chain;
    if count > BLOCKS_MAX {
        return Err(RpcError::invalid_params(format!("{count} blocks: at most {BLOCKS_MAX} are mined at once")));
    }
    for index in 0..count {
        if index > 0 && interval_s > 0 {
            let timestamp = api.view().head().timestamp.saturating_add(interval_s);
            chain.terms.wish(|wishes| wishes.timestamp = Some(timestamp));
        }
        chain.miner.mine()?;
    }
    Ok(())
}

/// Wants a timestamp of the next block; it must be above the head's.
fn choose_timestamp(api: &Api, timestamp: u64) -> Result<(), RpcError> {
    let head = api.view().head().timestamp;
    if timestamp <= head {
        let words = format!("Timestamp {timestamp} is lower than or equal to previous block's timestamp {head}");
        return Err(RpcError::server(words));
    }
    dev(api)?.chain.terms.wish(|wishes| wishes.timestamp = Some(timestamp));
    Ok(())
}

pub(crate) fn set_next_timestamp(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let Quantity(timestamp) = call.required()?;
    let _turn = dev(api)?.turn();
    choose_timestamp(api, timestamp)
}

/// Moves the time forward, and returns how far it is from the system's.
pub(crate) fn increase_time(api: &Arc<Api>, call: &mut Call<'_>) -> Result<i64, RpcError> {
    let Quantity(seconds) = call.required()?;
    Ok(dev(api)?.chain.terms.increase_time(seconds))
}

/// Sets the time, in seconds or, as Ganache has it, in milliseconds; returns how far it moved.
pub(crate) fn set_time(api: &Arc<Api>, call: &mut Call<'_>) -> Result<i64, RpcError> {
    let Quantity(given) = call.required()?;
    let time_s = if given > SECONDS_MAX { given / 1000 } else { given };
    let terms = &dev(api)?.chain.terms;
    let before = i64::try_from(terms.now()).unwrap_or(i64::MAX);
    terms.set_time(time_s);
    Ok(i64::try_from(time_s).unwrap_or(i64::MAX).saturating_sub(before))
}

pub(crate) fn set_timestamp_interval(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let Quantity(seconds) = call.required()?;
    dev(api)?.chain.terms.wish(|wishes| wishes.interval_s = Some(seconds));
    Ok(())
}

/// Tells whether there was an interval.
pub(crate) fn remove_timestamp_interval(api: &Arc<Api>, _: &mut Call<'_>) -> Result<bool, RpcError> {
    let mut was_set = false;
    dev(api)?.chain.terms.wish(|wishes| was_set = wishes.interval_s.take().is_some());
    Ok(was_set)
}

pub(crate) fn set_automine(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let automine = call.required::<bool>()?;
    let miner = &dev(api)?.chain.miner;
    miner.set_pace(DevPace { automine, ..miner.pace() });
    Ok(())
}

pub(crate) fn get_automine(api: &Arc<Api>, _: &mut Call<'_>) -> Result<bool, RpcError> {
    Ok(dev(api)?.chain.miner.pace().automine)
}

/// An interval, or a range of which the middle is taken.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected an interval or a pair of them")]
enum Interval {
    One(Quantity),
    Range([Quantity; 2]),
}

/// Mines every so often; 0 ends it. Hardhat counts in milliseconds and Anvil in seconds: less than 100 are seconds.
pub(crate) fn evm_set_interval(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let given = match call.required()? {
        Interval::One(Quantity(given)) => given,
        Interval::Range([Quantity(first), Quantity(last)]) => first.saturating_add(last) / 2,
    };
    let ms = if given < INTERVAL_MS_MIN { given.saturating_mul(1000) } else { given };
    set_interval(api, Duration::from_millis(ms))
}

/// Mines every so many seconds; 0 ends it.
pub(crate) fn anvil_set_interval(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let Quantity(seconds) = call.required()?;
    set_interval(api, Duration::from_secs(seconds))
}

/// In both tools an interval ends the mining of each transaction as it comes, in Hardhat only where it was off.
fn set_interval(api: &Api, interval: Duration) -> Result<(), RpcError> {
    let miner = &dev(api)?.chain.miner;
    miner.set_pace(DevPace { interval: (!interval.is_zero()).then_some(interval), ..miner.pace() });
    Ok(())
}

pub(crate) fn get_interval(api: &Arc<Api>, _: &mut Call<'_>) -> Result<Option<u64>, RpcError> {
    Ok(dev(api)?.chain.miner.pace().interval.map(|interval| interval.as_secs()))
}

/// All blocks to come have this gas limit, the next one too.
pub(crate) fn set_block_gas_limit(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    use consensus::fees::{GAS_LIMIT_MAX, GAS_LIMIT_MIN};
    let Quantity(gas) = call.required()?;
    if !(GAS_LIMIT_MIN..=GAS_LIMIT_MAX).contains(&gas) {
        return Err(RpcError::invalid_argument(0, format!("a gas limit is at least {GAS_LIMIT_MIN}")));
    }
    dev(api)?.chain.terms.wish(|wishes| wishes.gas_limit = Some(gas));
    api.services.miner.set_gas_limit(gas);
    Ok(())
}

pub(crate) fn set_next_base_fee(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let base_fee = u64::try_from(call.required::<U256>()?);
    let base_fee = base_fee.map_err(|_| RpcError::invalid_argument(0, "more than 64 bits"))?;
    dev(api)?.chain.terms.wish(|wishes| wishes.base_fee = Some(base_fee));
    Ok(())
}

pub(crate) fn set_prev_randao(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let mix_hash = call.required::<B256>()?;
    dev(api)?.chain.terms.wish(|wishes| wishes.mix_hash = Some(mix_hash));
    Ok(())
}

pub(crate) fn set_coinbase(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    api.services.miner.set_etherbase(call.required::<Address>()?)?;
    Ok(())
}

/// Sets what pool and miner ask for at least.
pub(crate) fn set_min_gas_price(api: &Arc<Api>, call: &mut Call<'_>) -> Result<(), RpcError> {
    let wei = u128::try_from(call.required::<U256>()?);
    let wei = wei.map_err(|_| RpcError::invalid_argument(0, "more than 128 bits"))?;
    api.services.miner.set_gas_price(wei);
    api.services.ledger.set_price_limit(wei);
    *api.price_limit_wei.lock() = wei;
    Ok(())
}
