//! Fork choice: the branch with the most total difficulty, and how deep a block must be to be safe or final.
//!
//! A heavier branch may be shorter, since difficulty follows the time between blocks. What is final does not go back with the head.

use alloy_primitives::U256;

use crate::block::Header;
use crate::spec::{ChainSpec, Era, PowRules};

/// Tells whether a valid block takes the head from another that it does not build on; `candidate` and `head` are the total
/// difficulties up to and with each.
///
/// Work decides, as [`replaces`] says. Once the work of a foreign chain has ended, its consensus layer decided, which is not
/// here: what comes last is taken for its choice.
pub fn takes_head(spec: &ChainSpec, header: &Header, candidate: U256, head: U256) -> bool {
    let foreign = spec.era_of(header) != Era::Drawbridge;
    let work_has_ended = foreign && spec.ethereum.as_ref().is_some_and(|rules| rules.work_has_ended(candidate));
    work_has_ended || replaces(candidate, head)
}

/// Tells whether a branch with `candidate` total difficulty replaces the head with `head`.
///
/// Strictly more wins. On a tie the branch seen first stays: preferring either by its content would reward those who
/// withhold blocks.
pub fn replaces(candidate: U256, head: U256) -> bool {
    candidate > head
}

/// Returns the number of the `safe` block for a head number: the genesis block while the chain is shorter.
pub fn safe_number(rules: &PowRules, head: u64) -> u64 {
    head.saturating_sub(rules.safe_depth)
}

/// Returns the number of the `finalized` block for a head number, where block `before` was final already: the genesis block
/// while the chain is shorter than the depth, and never less than `before`.
pub fn finalized_number(rules: &PowRules, head: u64, before: u64) -> u64 {
    head.saturating_sub(rules.finality_depth).max(before)
}

/// Tells whether a reorganisation may leave `common_ancestor` as the last block that stays: nothing at or below the
/// `finalized` block is ever undone without an operator's command.
pub fn may_reorganise(finalized: u64, common_ancestor: u64) -> bool {
    common_ancestor >= finalized
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_chain;

    #[test]
    fn equal_work_keeps_the_first_seen() {
        for (candidate, head, expected) in [(2, 1, true), (1, 1, false), (0, 1, false)] {
            assert_eq!(replaces(U256::from(candidate), U256::from(head)), expected, "{candidate} over {head}");
        }
    }

    #[test]
    fn past_the_merge_the_last_block_is_the_head() {
        let spec =
            crate::ethereum::test_network("ArrowGlacierToParisAtDiffC0000", crate::ethereum::EthashSeal::Trusted);
        let (spec, terminal) = (spec.unwrap(), 0xC_0000);
        for (difficulty, candidate, head, expected) in [
            (131_072, terminal - 1, terminal - 1, false),
            (131_072, terminal - 1, terminal - 2, true),
            (131_072, terminal, terminal, true),
            (0, terminal, terminal + 5, true),
            (131_072, terminal - 1, terminal, false),
        ] {
            let header = Header { difficulty: U256::from(difficulty), ..Header::default() };
            let takes = takes_head(&spec, &header, U256::from(candidate), U256::from(head));
            assert_eq!(takes, expected, "{difficulty} {candidate} {head}");
        }
    }

    #[test]
    fn depth_counts_from_the_head_and_stops_at_genesis() {
        let mut rules = test_chain::spec().pow;
        (rules.safe_depth, rules.finality_depth) = (6, 20);
        for (head, safe, finalized) in [(0, 0, 0), (6, 0, 0), (7, 1, 0), (20, 14, 0), (100, 94, 80)] {
            assert_eq!(
                (safe_number(&rules, head), finalized_number(&rules, head, 0)),
                (safe, finalized),
                "head {head}"
            );
        }
    }

    #[test]
    fn a_head_that_moves_down_leaves_the_finalized_block_where_it_was() {
        let mut rules = test_chain::spec().pow;
        rules.finality_depth = 20;
        let mut finalized = 0;
        for (head, expected) in
            [(19, 0), (100, 80), (85, 80), (81, 80), (100, 80), (101, 81), (u64::MAX, u64::MAX - 20)]
        {
            finalized = finalized_number(&rules, head, finalized);
            assert_eq!(finalized, expected, "head {head}");
        }
    }

    #[test]
    fn the_finalized_block_is_never_undone() {
        for (finalized, ancestor, expected) in
            [(80, 99, true), (80, 80, true), (80, 79, false), (80, 0, false), (0, 0, true)]
        {
            assert_eq!(may_reorganise(finalized, ancestor), expected, "finalized {finalized}, ancestor {ancestor}");
        }
    }
}
