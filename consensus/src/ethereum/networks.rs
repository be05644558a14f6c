//! The networks of the official test suites, by the names that these give them.

use alloy_primitives::U256;

use crate::spec::{Activation, ChainSpec, Fork, ForkSchedule};

use super::{DaoFork, EthashSeal, EthereumRules};

/// Names of forks in the suites, where they are not [`Fork`]'s own.
const NAMES: [(&str, Fork); 20] = [
    ("Frontier", Fork::Frontier),
    ("Homestead", Fork::Homestead),
    ("EIP150", Fork::TangerineWhistle),
    ("EIP158", Fork::SpuriousDragon),
    ("Byzantium", Fork::Byzantium),
    ("Constantinople", Fork::Constantinople),
    ("ConstantinopleFix", Fork::Petersburg),
    ("Petersburg", Fork::Petersburg),
    ("Istanbul", Fork::Istanbul),
    ("MuirGlacier", Fork::MuirGlacier),
    ("Berlin", Fork::Berlin),
    ("London", Fork::London),
    ("ArrowGlacier", Fork::ArrowGlacier),
    ("GrayGlacier", Fork::GrayGlacier),
    ("Paris", Fork::Paris),
    ("Merge", Fork::Paris),
    ("Shanghai", Fork::Shanghai),
    ("Cancun", Fork::Cancun),
    ("Prague", Fork::Prague),
    ("Osaka", Fork::Osaka),
];

/// Returns the rules of a network that the official suites name: a fork (`Byzantium`), or a change of forks at a block
/// (`BerlinToLondonAt5`, `HomesteadToDaoAt5`), at a time (`ParisToShanghaiAtTime15k`) or at a total difficulty
/// (`ArrowGlacierToParisAtDiffC0000`). Chain id 1, no hand-over. `None`: no such name.
pub fn test_network(name: &str, seal: EthashSeal) -> Option<ChainSpec> {
    let mut rules = EthereumRules::new(seal);
    let Some((before, change)) = name.split_once("To") else {
        let fork = fork_named(name)?;
        rules.terminal_total_difficulty = (fork >= Fork::Paris).then_some(U256::ZERO);
        return Some(ChainSpec::ethereum(1, ForkSchedule::only(fork), rules));
    };
    let before = fork_named(before)?;
    rules.terminal_total_difficulty = (before >= Fork::Paris).then_some(U256::ZERO);
    let (after, point) = change.split_once("At")?;
    let mut activations = vec![(before, Activation::Block(0))];
    if after == "Dao" {
        rules.dao = Some(DaoFork { block: point.parse().ok()?, support: true });
    } else if let Some(total) = point.strip_prefix("Diff") {
        rules.terminal_total_difficulty = Some(U256::from_str_radix(total, 16).ok()?);
        fork_named(after).filter(|after| *after == Fork::Paris)?;
    } else if let Some(time) = point.strip_prefix("Time") {
        activations.push((fork_named(after)?, Activation::Time(seconds(time)?)));
    } else {
        activations.push((fork_named(after)?, Activation::Block(point.parse().ok()?)));
    }
    Some(ChainSpec::ethereum(1, ForkSchedule::new(activations), rules))
}

fn fork_named(name: &str) -> Option<Fork> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, fork)| *fork)
}

/// Reads seconds, with `k` for thousands.
fn seconds(text: &str) -> Option<u64> {
    match text.strip_suffix('k') {
        Some(thousands) => thousands.parse::<u64>().ok()?.checked_mul(1000),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Header;

    #[test]
    fn names_give_the_fork_of_each_block() {
        for (name, number, timestamp, difficulty, expected) in [
            ("Frontier", 9, 0, 1, Fork::Frontier),
            ("ConstantinopleFix", 0, 0, 1, Fork::Petersburg),
            ("FrontierToHomesteadAt5", 4, 0, 1, Fork::Frontier),
            ("FrontierToHomesteadAt5", 5, 0, 1, Fork::Homestead),
            ("HomesteadToDaoAt5", 5, 0, 1, Fork::Homestead),
            ("ParisToShanghaiAtTime15k", 5, 14_999, 0, Fork::Paris),
            ("ParisToShanghaiAtTime15k", 5, 15_000, 0, Fork::Shanghai),
            ("ArrowGlacierToParisAtDiffC0000", 5, 0, 1, Fork::ArrowGlacier),
            ("ArrowGlacierToParisAtDiffC0000", 5, 0, 0, Fork::Paris),
        ] {
            let spec = test_network(name, EthashSeal::Trusted).unwrap();
            let header = Header { number, timestamp, difficulty: U256::from(difficulty), ..Header::default() };
            assert_eq!(spec.fork_of(&header), expected, "{name} {number}");
        }
        assert_eq!(test_network("Atlantis", EthashSeal::Trusted), None);
        assert_eq!(test_network("FrontierToAtlantisAt5", EthashSeal::Trusted), None);
    }
}
