//! Chain files of chains that other clients made.

use alloy_primitives::U256;

use super::*;
use crate::ethereum::{DaoFork, EthashSeal, EthereumRules, HandOver};
use crate::spec::{Activation, Fork};

fn rules(rest: &str) -> EthereumRules {
    good(config(rest)).spec.ethereum.unwrap()
}

#[test]
fn only_the_seal_or_a_first_block_asks_for_other_clients_blocks() {
    let hand_over = |first| Some(HandOver { first, start_difficulty: None });
    for (rest, expected) in [
        (r#""ethash": {}"#, None),
        (r#""seal": "drawbridge""#, None),
        (r#""pow": {"fromBlock": 0}"#, None),
        (r#""seal": "ethash""#, Some((EthashSeal::Verified, None))),
        (r#""seal": "none""#, Some((EthashSeal::Trusted, None))),
        (r#""pow": {"fromBlock": 1}"#, Some((EthashSeal::Verified, hand_over(1)))),
        (r#""pow": {"fromBlock": "0x10"}, "seal": "none""#, Some((EthashSeal::Trusted, hand_over(16)))),
    ] {
        let found = good(config(rest)).spec.ethereum.map(|rules| (rules.seal, rules.hand_over));
        assert_eq!(found, expected, "{rest}");
    }
}

#[test]
fn contradictions_are_named() {
    for (rest, part) in [
        (r#""seal": "clique""#, "config.seal: expected"),
        (r#""seal": "drawbridge", "pow": {"fromBlock": 5}"#, "config.seal: contradicts pow.fromBlock"),
        (r#""seal": "ethash", "pow": {}"#, "config.pow has no fromBlock"),
        (r#""pow": {"difficulty": {"start": 5}}"#, "config.pow.difficulty.start: belongs to pow.fromBlock"),
        (r#""londonBlock": 9, "pow": {"fromBlock": 5}"#, "begins here before londonBlock does"),
        (r#""seal": "none", "blobSchedule": {"cancun": {"target": 3}}"#, "blobSchedule.cancun.max: missing"),
        (r#""seal": "none", "bpo1Time": 7"#, "config.bpo1Time: blobSchedule.bpo1 is missing"),
        (
            r#""seal": "none", "blobSchedule": {"osaka": {"target": 3, "max": 2, "baseFeeUpdateFraction": 1}}"#,
            "not below the target",
        ),
    ] {
        let error = config(rest).unwrap_err().to_string();
        assert!(error.contains(part), "{rest}: {error}");
    }
}

#[test]
fn the_newest_fork_begins_at_the_hand_over_unless_the_file_schedules_others() {
    for (rest, number, expected) in [
        (r#""seal": "ethash""#, 9, Fork::Frontier),
        (r#""londonBlock": 0, "pow": {"fromBlock": 5}"#, 4, Fork::London),
        (r#""londonBlock": 0, "pow": {"fromBlock": 5}"#, 5, Fork::Osaka),
        (r#""pow": {"fromBlock": 5}"#, 4, Fork::Frontier),
        (r#""londonBlock": 0, "shanghaiBlock": 5, "pow": {"fromBlock": 5}"#, 5, Fork::Shanghai),
        (r#""londonBlock": 0, "shanghaiBlock": 5, "osakaBlock": 8, "pow": {"fromBlock": 5}"#, 8, Fork::Osaka),
    ] {
        assert_eq!(good(config(rest)).spec.fork_at(number, 0), expected, "{rest}");
    }
    let listed = good(config(r#""londonBlock": 0, "pow": {"fromBlock": 5}"#)).spec.forks;
    assert_eq!(listed.activations()[1], (Fork::Osaka, Activation::Block(5)));
}

#[test]
fn the_rules_of_geth_and_besu_are_read() {
    let found = rules(
        r#""seal": "ethash", "ethash": {"fixeddifficulty": 15}, "daoForkBlock": 7, "terminalTotalDifficulty": "0x20",
           "depositContractAddress": "0x0000000000000000000000000000000000000009", "bpo1Time": 9,
           "blobSchedule": {"cancun": {"target": 1, "max": 2, "baseFeeUpdateFraction": 3},
                            "bpo1": {"target": 4, "max": 5, "baseFeeUpdateFraction": 6}}"#,
    );
    assert_eq!(found.fixed_difficulty, Some(U256::from(15)));
    assert_eq!(found.dao, Some(DaoFork { block: 7, support: true }));
    assert_eq!(found.terminal_total_difficulty, Some(U256::from(32)));
    assert_eq!(found.blobs.at(Fork::Cancun, 0).max_blob_count, 2);
    assert_eq!(found.blobs.at(Fork::Prague, 0).max_blob_count, 9);
    assert_eq!(found.blobs.at(Fork::Osaka, 9).target_blob_count, 4);
    assert!(!rules(r#""seal": "none", "daoForkBlock": 7, "daoForkSupport": false"#).dao.unwrap().support);
}

#[test]
fn what_is_written_is_read_as_the_same() {
    for rest in [
        r#""seal": "ethash""#,
        r#""seal": "none", "londonBlock": 3, "daoForkBlock": 7, "terminalTotalDifficulty": 5"#,
        r#""londonBlock": 0, "pow": {"fromBlock": 5}"#,
        r#""londonBlock": 0, "ethash": {"fixeddifficulty": 9}, "pow": {"fromBlock": 5, "difficulty": {"start": 77, "min": 7}}"#,
        r#""londonBlock": 0, "shanghaiTime": 1, "cancunTime": 2, "seal": "none", "bpo1Time": 9, "bpo2Time": 11,
           "blobSchedule": {"bpo1": {"target": 4, "max": 5, "baseFeeUpdateFraction": 6},
                            "bpo2": {"target": 5, "max": 6, "baseFeeUpdateFraction": 6}}"#,
    ] {
        let genesis = good(config(rest));
        assert_eq!(good(Genesis::parse(&genesis.to_json().to_string())), genesis, "{rest}");
        assert!(genesis.describe().contains("Ethereum's own"), "{rest}");
    }
}
