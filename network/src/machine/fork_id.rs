//! The fork id of EIP-2124 and EIP-6122: a checksum of the forks that a chain has passed, by which nodes find out whether their
//! rules agree, now and at the next fork.

use alloy_primitives::B256;
use consensus::spec::Activation;
use consensus::{ChainSpec, ForkSums};

use crate::message::ForkId;

/// Numbers above this are timestamps, those below are block numbers (EIP-6122).
const TIMESTAMP_MIN: u64 = 1_438_269_973;

/// Holds the forks of one chain.
#[derive(Clone, Debug)]
pub(crate) struct Forks(ForkSums);

impl Forks {
    /// Lists the forks of a chain. What holds at genesis already is no fork.
    pub(crate) fn new(spec: &ChainSpec, genesis: B256, genesis_timestamp: u64) -> Self {
        Self(ForkSums::new(spec, genesis, genesis_timestamp))
    }

    /// Returns the fork id at a head.
    pub(crate) fn id(&self, number: u64, timestamp: u64) -> ForkId {
        let passed = self.0.passed(number, timestamp);
        ForkId { hash: self.0.sums()[passed], next: self.0.points().get(passed).map_or(0, |point| at(*point)) }
    }

    /// Tells whether a peer with fork id `theirs` can be on our chain, when our head is this one.
    ///
    /// # Errors
    /// What does not fit.
    pub(crate) fn check(&self, theirs: ForkId, number: u64, timestamp: u64) -> Result<(), String> {
        let passed = self.0.passed(number, timestamp);
        let ours = self.id(number, timestamp);
        let both = || {
            format!("ours {:#010x} next {}, theirs {:#010x} next {}", ours.hash, ours.next, theirs.hash, theirs.next)
        };
        if self.0.sums()[passed] == theirs.hash {
            let we_passed_it = number >= theirs.next || theirs.next > TIMESTAMP_MIN && timestamp >= theirs.next;
            return if theirs.next > 0 && we_passed_it {
                Err(format!("forks: the peer forks at {}, which we have passed without ({})", theirs.next, both()))
            } else {
                Ok(())
            };
        }
        if let Some(behind) = self.0.sums()[..passed].iter().position(|sum| *sum == theirs.hash) {
            return if at(self.0.points()[behind]) == theirs.next {
                Ok(())
            } else {
                Err(format!("forks: the peer does not know the fork at {} ({})", at(self.0.points()[behind]), both()))
            };
        }
        if self.0.sums()[passed + 1..].contains(&theirs.hash) {
            return Ok(());
        }
        Err(format!("forks: the schedules differ ({})", both()))
    }
}

fn at(point: Activation) -> u64 {
    let (Activation::Block(at) | Activation::Time(at)) = point;
    at
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use consensus::Fork;
    use consensus::spec::ForkSchedule;

    use super::*;

    /// Ethereum's main network up to Cancun, whose ids stand in EIP-2124 and EIP-6122.
    fn mainnet() -> Forks {
        let blocks = [1_150_000, 1_920_000, 2_463_000, 2_675_000, 4_370_000, 7_280_000, 9_069_000, 9_200_000];
        let forks = [
            Fork::Homestead,
            Fork::TangerineWhistle,
            Fork::SpuriousDragon,
            Fork::Byzantium,
            Fork::Constantinople,
            Fork::Petersburg,
            Fork::Istanbul,
            Fork::MuirGlacier,
        ];
        let activations = forks.into_iter().zip(blocks.map(Activation::Block)).collect();
        let mut spec = consensus::Genesis::parse(consensus::genesis::DEV).unwrap().0.spec;
        spec.forks = ForkSchedule::new(activations);
        Forks::new(&spec, b256!("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"), 0)
    }

    #[test]
    fn the_ids_are_those_of_the_proposal() {
        for (head, hash, next) in [
            (0, 0xfc64_ec04, 1_150_000),
            (1_149_999, 0xfc64_ec04, 1_150_000),
            (1_150_000, 0x97c2_c34c, 1_920_000),
            (1_920_000, 0x91d1_f948, 2_463_000),
            (2_463_000, 0x7a64_da13, 2_675_000),
            (2_675_000, 0x3edd_5b10, 4_370_000),
            (4_370_000, 0xa00b_c324, 7_280_000),
            (7_280_000, 0x668d_b0af, 9_069_000),
            (9_069_000, 0x879d_6e30, 9_200_000),
            (9_200_000, 0xe029_e991, 0),
        ] {
            assert_eq!(mainnet().id(head, 0), ForkId { hash, next }, "head {head}");
        }
    }

    #[test]
    fn peers_are_taken_as_the_proposal_has_it() {
        let petersburg = 7_987_396;
        for (head, hash, next, fits) in [
            (petersburg, 0x668d_b0af, 9_069_000, true),
            // The peer is of the same fork, and knows the next one, or does not yet.
            (petersburg, 0x668d_b0af, 0, true),
            (petersburg, 0x668d_b0af, u64::MAX, true),
            // The peer is behind and knows what comes, or does not.
            (petersburg, 0xa00b_c324, 7_280_000, true),
            (petersburg, 0xa00b_c324, 0, false),
            (petersburg, 0x3edd_5b10, 4_370_000, true),
            // We are behind.
            (4_369_999, 0xa00b_c324, 7_280_000, true),
            (7_279_999, 0x668d_b0af, 0, true),
            // Another chain, and one that forks where we did not.
            (petersburg, 0xafec_6b27, 0, false),
            (petersburg, 0x668d_b0af, 7_500_000, false),
        ] {
            let checked = mainnet().check(ForkId { hash, next }, head, 0);
            assert_eq!(checked.is_ok(), fits, "head {head}, {hash:#x} next {next}: {checked:?}");
        }
    }
}
