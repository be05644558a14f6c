//! Fee rules: the base fee of the next block (EIP-1559) and how far the gas limit may move.

use crate::block::Header;
use crate::spec::{ChainSpec, Fork};

/// The base fee of the first block under London, in wei (EIP-1559, `INITIAL_BASE_FEE`).
pub const BASE_FEE_INITIAL: u64 = 1_000_000_000;
/// The base fee moves by at most one part in this many per block (EIP-1559, `BASE_FEE_MAX_CHANGE_DENOMINATOR`).
pub const BASE_FEE_CHANGE_DIVISOR: u64 = 8;
/// Gas limit over gas target since London (EIP-1559, `ELASTICITY_MULTIPLIER`).
pub const ELASTICITY: u64 = 2;
/// A gas limit moves by less than the parent's divided by this (Yellow Paper 4.4.4, equation 47).
pub const GAS_LIMIT_BOUND_DIVISOR: u64 = 1024;
/// The least gas limit (Yellow Paper 4.4.4).
pub const GAS_LIMIT_MIN: u64 = 5000;
/// The greatest gas limit: 2^63 − 1, as all clients have it.
pub const GAS_LIMIT_MAX: u64 = i64::MAX as u64;

/// Returns the base fee in wei of the block that follows `parent` at `timestamp` (seconds), or `None` before London.
///
/// A chain with a fixed base fee has it in every block after genesis. The first block under London has
/// [`BASE_FEE_INITIAL`].
pub fn next_base_fee(spec: &ChainSpec, parent: &Header, timestamp: u64) -> Option<u64> {
    if spec.fork_at(parent.number.saturating_add(1), timestamp) < Fork::London {
        return None;
    }
    if let Some(fixed) = spec.fees.fixed_base_fee {
        return Some(fixed);
    }
    Some(parent.base_fee_per_gas.map_or(BASE_FEE_INITIAL, |base_fee| follow_demand(base_fee, parent)))
}

/// Moves a base fee by how far the parent's gas is from its target (EIP-1559).
fn follow_demand(base_fee: u64, parent: &Header) -> u64 {
    let target = parent.gas_limit / ELASTICITY;
    if target == 0 || parent.gas_used == target {
        return base_fee;
    }
    let change = |distance: u64| {
        let wei =
            u128::from(base_fee) * u128::from(distance) / u128::from(target) / u128::from(BASE_FEE_CHANGE_DIVISOR);
        u64::try_from(wei).unwrap_or(u64::MAX)
    };
    if parent.gas_used > target {
        base_fee.saturating_add(change(parent.gas_used - target).max(1))
    } else {
        base_fee.saturating_sub(change(target - parent.gas_used))
    }
}

/// Returns the gas limit of the block after `parent` that moves as far towards `desired` as the rules allow.
pub fn next_gas_limit(spec: &ChainSpec, parent: &Header, desired: u64, timestamp: u64) -> u64 {
    let base = gas_limit_base(spec, parent, timestamp);
    // One less than the bound, which itself is already out of reach.
    let step = (base / GAS_LIMIT_BOUND_DIVISOR).saturating_sub(1);
    let least = base.saturating_sub(step).max(GAS_LIMIT_MIN);
    let most = base.saturating_add(step).clamp(least, GAS_LIMIT_MAX.max(least));
    desired.clamp(least, most)
}

/// Returns the gas limit that the next block's is measured against: the parent's, doubled where London begins, so that
/// the gas target carries on from the limit before (EIP-1559).
pub fn gas_limit_base(spec: &ChainSpec, parent: &Header, timestamp: u64) -> u64 {
    let london_begins =
        parent.base_fee_per_gas.is_none() && spec.fork_at(parent.number.saturating_add(1), timestamp) >= Fork::London;
    if london_begins { parent.gas_limit.saturating_mul(ELASTICITY) } else { parent.gas_limit }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Activation, ForkSchedule};
    use crate::test_chain;

    fn parent(gas_limit: u64, gas_used: u64, base_fee: Option<u64>) -> Header {
        Header { number: 4, gas_limit, gas_used, base_fee_per_gas: base_fee, ..Header::default() }
    }

    #[test]
    fn base_fee_follows_gas_used() {
        let cases = [
            // The examples that all clients share: at, below and above the target.
            (20_000_000, 10_000_000, 1_000_000_000, 1_000_000_000),
            (20_000_000, 9_000_000, 1_000_000_000, 987_500_000),
            (20_000_000, 11_000_000, 1_000_000_000, 1_012_500_000),
            (20_000_000, 0, 1_000_000_000, 875_000_000),
            (20_000_000, 20_000_000, 1_000_000_000, 1_125_000_000),
            (20_000_000, 20_000_000, 0, 1),
            (20_000_000, 0, 7, 7),
            (20_000_000, 20_000_000, u64::MAX, u64::MAX),
            (1, 1, 5, 5),
        ];
        let spec = test_chain::spec();
        for (limit, used, base_fee, expected) in cases {
            assert_eq!(
                next_base_fee(&spec, &parent(limit, used, Some(base_fee)), 10),
                Some(expected),
                "{limit} {used}"
            );
        }
    }

    #[test]
    fn london_starts_at_one_gwei_with_twice_the_gas_limit() {
        let mut spec = test_chain::spec();
        spec.forks = ForkSchedule::new(vec![(Fork::London, Activation::Block(5))]);
        assert_eq!(next_base_fee(&spec, &parent(10_000_000, 0, None), 10), Some(BASE_FEE_INITIAL));
        assert_eq!(gas_limit_base(&spec, &parent(10_000_000, 0, None), 10), 20_000_000);
        spec.forks = ForkSchedule::new(vec![(Fork::London, Activation::Block(6))]);
        assert_eq!(next_base_fee(&spec, &parent(10_000_000, 0, None), 10), None);
        assert_eq!(gas_limit_base(&spec, &parent(10_000_000, 0, None), 10), 10_000_000);
    }

    #[test]
    fn a_fixed_base_fee_never_moves() {
        let mut spec = test_chain::spec();
        for fee in [0, 7] {
            spec.fees.fixed_base_fee = Some(fee);
            assert_eq!(next_base_fee(&spec, &parent(20_000_000, 20_000_000, Some(1_000_000_000)), 10), Some(fee));
        }
    }

    #[test]
    fn gas_limit_moves_towards_what_is_desired() {
        let cases = [
            (20_000_000, 20_000_000, 20_000_000),
            (20_000_000, 40_000_000, 20_019_530),
            (20_000_000, 0, 19_980_470),
            (20_000_000, 20_000_001, 20_000_001),
            (5000, 0, 5000),
            (5000, u64::MAX, 5003),
            (5001, 0, 5000),
            (GAS_LIMIT_MAX, u64::MAX, GAS_LIMIT_MAX),
        ];
        let spec = test_chain::spec();
        for (limit, desired, expected) in cases {
            assert_eq!(
                next_gas_limit(&spec, &parent(limit, 0, Some(7)), desired, 10),
                expected,
                "{limit} to {desired}"
            );
        }
    }
}
