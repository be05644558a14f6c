//! Blob gas: how many blobs a block may have, and how their price follows (EIP-4844, EIP-7691, EIP-7840, EIP-7892,
//! EIP-7918).

use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_eips::eip7594::MAX_BLOBS_PER_TX_FUSAKA;
use alloy_eips::eip7840::BLOB_BASE_COST;

pub use alloy_eips::eip7840::BlobParams;

use crate::block::Header;
use crate::spec::Fork;

/// Holds the blob parameters of each fork and of the forks that change nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobSchedule {
    cancun: BlobParams,
    prague: BlobParams,
    osaka: BlobParams,
    /// Timestamp (seconds) and parameters, the earliest first.
    only: Vec<(u64, BlobParams)>,
}

impl Default for BlobSchedule {
    /// Ethereum's own parameters, without forks that change nothing else.
    fn default() -> Self {
        Self {
            cancun: BlobParams::cancun(),
            prague: BlobParams::prague(),
            osaka: BlobParams::osaka(),
            only: Vec::new(),
        }
    }
}

/// Holds what a chain file says of one entry of its blob schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobLimits {
    /// Blobs per block that keep the price where it is.
    pub target: u64,
    /// The most blobs of a block, at least 1 and not below the target.
    pub max: u64,
    /// The divisor of the price's exponent, at least 1.
    pub update_fraction: u64,
}

impl BlobSchedule {
    /// Sets the parameters of Cancun, Prague or Osaka; other forks have none of their own.
    pub fn set(&mut self, fork: Fork, limits: BlobLimits) {
        match fork {
            Fork::Cancun => self.cancun = params(limits, BlobParams::cancun()),
            Fork::Prague => self.prague = params(limits, BlobParams::prague()),
            Fork::Osaka => self.osaka = params(limits, BlobParams::osaka()),
            _ => {}
        }
    }

    /// Adds a fork at `timestamp` (seconds) that changes blob parameters only (EIP-7892).
    pub fn add(&mut self, timestamp: u64, limits: BlobLimits) {
        self.only.push((timestamp, params(limits, BlobParams::osaka())));
        self.only.sort_by_key(|(timestamp, _)| *timestamp);
    }

    /// Returns the limits of Cancun, Prague and Osaka, in that order.
    pub fn by_fork(&self) -> [(Fork, BlobLimits); 3] {
        [(Fork::Cancun, self.cancun), (Fork::Prague, self.prague), (Fork::Osaka, self.osaka)]
            .map(|(fork, params)| (fork, limits(params)))
    }

    /// Returns the forks that change blob parameters only, the earliest first, by timestamp (seconds).
    pub fn by_time(&self) -> impl Iterator<Item = (u64, BlobLimits)> + '_ {
        self.only.iter().map(|(timestamp, params)| (*timestamp, limits(*params)))
    }

    /// Returns the parameters that hold under `fork` at `timestamp` (seconds); before Cancun those of Cancun.
    pub fn at(&self, fork: Fork, timestamp: u64) -> BlobParams {
        match fork {
            Fork::Osaka => {
                let active = self.only.iter().rev().find(|(since, _)| *since <= timestamp);
                active.map_or(self.osaka, |(_, params)| *params)
            }
            Fork::Prague => self.prague,
            _ => self.cancun,
        }
    }
}

/// Puts limits into the parameters of a fork. From Osaka on a transaction has at most six blobs whatever the block may have
/// (EIP-7594), before as many as a block.
fn params(limits: BlobLimits, of: BlobParams) -> BlobParams {
    let max_blobs_per_tx = if of.blob_base_cost == BLOB_BASE_COST { MAX_BLOBS_PER_TX_FUSAKA } else { limits.max };
    BlobParams {
        target_blob_count: limits.target,
        max_blob_count: limits.max,
        update_fraction: u128::from(limits.update_fraction),
        max_blobs_per_tx,
        ..of
    }
}

fn limits(params: BlobParams) -> BlobLimits {
    BlobLimits {
        target: params.target_blob_count,
        max: params.max_blob_count,
        update_fraction: u64::try_from(params.update_fraction).unwrap_or(u64::MAX),
    }
}

/// Returns the excess blob gas of the block after `parent` under `params` (EIP-4844; with the reserve price of EIP-7918 where
/// the parameters have one). The first block with blobs starts at 0.
pub fn next_excess_blob_gas(params: &BlobParams, parent: &Header) -> u64 {
    let (Some(excess), Some(used)) = (parent.excess_blob_gas, parent.blob_gas_used) else { return 0 };
    let base_fee = parent.base_fee_per_gas.unwrap_or_default();
    let sum = excess.saturating_add(used);
    let target = params.target_blob_count.saturating_mul(DATA_GAS_PER_BLOB);
    if sum < target {
        return 0;
    }
    let reserve = u128::from(params.blob_base_cost) * u128::from(base_fee);
    // Both factors below 2^111 in all that a header can hold; a saturated price is above any reserve.
    let price = params.calc_blob_fee(excess).saturating_mul(u128::from(DATA_GAS_PER_BLOB));
    if reserve > price {
        let scaled = u128::from(used) * u128::from(params.max_blob_count.saturating_sub(params.target_blob_count))
            / u128::from(params.max_blob_count.max(1));
        excess.saturating_add(u64::try_from(scaled).unwrap_or(u64::MAX))
    } else {
        sum - target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(excess: u64, blobs: u64, base_fee: u64) -> Header {
        Header {
            excess_blob_gas: Some(excess),
            blob_gas_used: Some(blobs * DATA_GAS_PER_BLOB),
            base_fee_per_gas: Some(base_fee),
            ..Header::default()
        }
    }

    #[test]
    fn the_excess_follows_what_is_above_the_target() {
        const GAS: u64 = DATA_GAS_PER_BLOB;
        let (cancun, prague, osaka) = (BlobParams::cancun(), BlobParams::prague(), BlobParams::osaka());
        for (params, excess, blobs, base_fee, expected) in [
            (&cancun, 0, 3, 7, 0),
            (&cancun, 0, 6, 7, 3 * GAS),
            (&cancun, GAS, 1, 7, 0),
            (&cancun, 5 * GAS, 0, 1_000_000_000, 2 * GAS),
            (&prague, 0, 9, 7, 3 * GAS),
            // The price of 1 wei is not below the reserve at a base fee of 7, and is at one of 17.
            (&osaka, 0, 9, 7, 3 * GAS),
            (&osaka, 0, 9, 17, 3 * GAS),
            (&osaka, 10 * GAS, 0, 17, 10 * GAS),
            (&osaka, 10 * GAS, 0, 16, 4 * GAS),
        ] {
            let next = next_excess_blob_gas(params, &parent(excess, blobs, base_fee));
            assert_eq!(next, expected, "{excess} {blobs} {base_fee}");
        }
        assert_eq!(next_excess_blob_gas(&cancun, &Header::default()), 0);
    }

    #[test]
    fn forks_that_change_blobs_only_begin_at_their_time() {
        let mut schedule = BlobSchedule::default();
        schedule.add(200, BlobLimits { target: 14, max: 21, update_fraction: 11_684_671 });
        schedule.add(100, BlobLimits { target: 10, max: 15, update_fraction: 8_346_193 });
        for (fork, timestamp, max) in [
            (Fork::Cancun, 300, 6),
            (Fork::Prague, 300, 9),
            (Fork::Osaka, 99, 9),
            (Fork::Osaka, 100, 15),
            (Fork::Osaka, 200, 21),
        ] {
            assert_eq!(schedule.at(fork, timestamp).max_blob_count, max, "{fork:?} {timestamp}");
        }
        assert_eq!(schedule.at(Fork::Osaka, 200).max_blobs_per_tx, 6);
    }
}
