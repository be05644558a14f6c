//! The order of simulated blocks, and their headers as far as they are known before execution.

use alloy_consensus::EMPTY_OMMER_ROOT_HASH;
use alloy_consensus::proofs::calculate_withdrawals_root;
use alloy_primitives::{B256, U256};
use consensus::ethereum::blobs::next_excess_blob_gas;
use consensus::{ChainSpec, Era, Fork, Header, SealedHeader, fees};

use super::{BLOCKS_MAX, BlockPlan, SimulationContext, SimulationError, Validation};

/// How long after its parent a block comes that says nothing else, in seconds (geth's).
const INTERVAL_SECONDS: u64 = 12;

/// Gives every block a number and a time, and fills gaps between numbers with empty blocks.
///
/// # Errors
/// Numbers or times do not increase, or there are too many blocks.
pub(super) fn fill_gaps(base: &Header, plans: Vec<BlockPlan>) -> Result<Vec<BlockPlan>, SimulationError> {
    let mut filled = Vec::with_capacity(plans.len());
    let (mut number, mut timestamp) = (base.number, base.timestamp);
    for mut plan in plans {
        let wanted = plan.block.number.unwrap_or(number.saturating_add(1));
        if wanted <= number {
            return Err(SimulationError::NumberOrder { number: wanted, previous: number });
        }
        if wanted.saturating_sub(base.number) > BLOCKS_MAX {
            return Err(SimulationError::TooManyBlocks);
        }
        for between in number.saturating_add(1)..wanted {
            timestamp = timestamp.saturating_add(INTERVAL_SECONDS);
            filled.push(placed(BlockPlan::default(), between, timestamp));
        }
        let time = plan.block.timestamp.unwrap_or(timestamp.saturating_add(INTERVAL_SECONDS));
        if time <= timestamp {
            return Err(SimulationError::TimestampOrder { timestamp: time, previous: timestamp });
        }
        (number, timestamp) = (wanted, time);
        plan = placed(plan, number, timestamp);
        filled.push(plan);
    }
    Ok(filled)
}

fn placed(mut plan: BlockPlan, number: u64, timestamp: u64) -> BlockPlan {
    plan.block.number = Some(number);
    plan.block.timestamp = Some(timestamp);
    plan
}

/// Returns all of a block's header that is known before execution.
pub(super) fn header(context: &SimulationContext<'_>, parent: &SealedHeader, plan: &BlockPlan) -> Header {
    let (spec, block) = (context.spec, &plan.block);
    let (number, timestamp) = (block.number.unwrap_or_default(), block.timestamp.unwrap_or_default());
    let mut header = Header {
        parent_hash: parent.hash(),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: block.beneficiary.unwrap_or(parent.beneficiary),
        difficulty: block.difficulty.unwrap_or_else(|| difficulty(spec, parent, number, timestamp)),
        number,
        timestamp,
        gas_limit: block.gas_limit.unwrap_or(parent.gas_limit),
        mix_hash: block.mix_hash.unwrap_or_default(),
        ..Header::default()
    };
    let fork = spec.fork_of(&header);
    if fork >= Fork::London {
        let unless_given = || match context.validation {
            Validation::Full => fees::next_base_fee(spec, parent, timestamp).unwrap_or_default(),
            // A price below the base fee would break what contracts may rely on.
            Validation::Relaxed => 0,
        };
        header.base_fee_per_gas = Some(block.base_fee.unwrap_or_else(unless_given));
    }
    if fork >= Fork::Shanghai {
        header.withdrawals_root = Some(calculate_withdrawals_root(&plan.withdrawals));
    }
    if fork >= Fork::Cancun {
        header.parent_beacon_block_root = Some(plan.beacon_root.unwrap_or(B256::ZERO));
        header.blob_gas_used = Some(0);
        header.excess_blob_gas = Some(match spec.era_of(&header) {
            Era::Merged => next_excess_blob_gas(&spec.blob_params(fork, timestamp), parent),
            Era::Ethash | Era::Drawbridge => 0,
        });
    }
    header
}

/// Returns the parent's difficulty, or that of no work where the schedule says that work has ended by then.
fn difficulty(spec: &ChainSpec, parent: &Header, number: u64, timestamp: u64) -> U256 {
    let has_end = spec.ethereum.as_ref().is_some_and(|rules| rules.terminal_total_difficulty.is_some());
    let is_past_it = has_end && spec.fork_at(number, timestamp) >= Fork::Paris;
    if is_past_it && spec.era_of(parent) == Era::Ethash { U256::ZERO } else { parent.difficulty }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(number: Option<u64>, timestamp: Option<u64>) -> BlockPlan {
        let mut plan = BlockPlan::default();
        (plan.block.number, plan.block.timestamp) = (number, timestamp);
        plan
    }

    #[test]
    fn blocks_are_put_in_order() {
        let base = Header { number: 10, timestamp: 100, ..Header::default() };
        let order = |plans: &[(Option<u64>, Option<u64>)]| {
            let plans = plans.iter().map(|(number, time)| plan(*number, *time)).collect();
            let filled = fill_gaps(&base, plans).map_err(|error| error.to_string())?;
            let place = |plan: &BlockPlan| Some((plan.block.number?, plan.block.timestamp?));
            Ok::<_, String>(filled.iter().filter_map(place).collect::<Vec<_>>())
        };
        assert_eq!(order(&[]), Ok(vec![]));
        assert_eq!(order(&[(None, None), (None, Some(113))]), Ok(vec![(11, 112), (12, 113)]));
        assert_eq!(order(&[(Some(13), None)]), Ok(vec![(11, 112), (12, 124), (13, 136)]));
        assert_eq!(order(&[(Some(10), None)]), Err("block numbers must be in order: 10 <= 10".to_owned()));
        assert_eq!(order(&[(None, Some(100))]), Err("block timestamps must be in order: 100 <= 100".to_owned()));
        assert_eq!(
            order(&[(Some(12), Some(112))]),
            Err("block timestamps must be in order: 112 <= 112".to_owned()),
            "the block that fills the gap has a time too"
        );
        assert_eq!(order(&[(Some(10 + BLOCKS_MAX), None)]).map(|blocks| blocks.len()), Ok(256));
        assert_eq!(order(&[(Some(11 + BLOCKS_MAX), None)]), Err("too many blocks".to_owned()));
        assert_eq!(order(&[(Some(u64::MAX), None), (None, None)]), Err("too many blocks".to_owned()));
    }
}
