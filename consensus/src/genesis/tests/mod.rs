mod bad_files;
mod ethereum;
mod properties;

use alloy_primitives::{address, b256};
use proptest::prelude::*;

use super::*;
use crate::crypto;
use crate::spec::{Activation, DifficultyRule, EmptyBlocks, Fork, ForkSchedule};

/// Parses a file whose `config` has a chain id and `rest`.
fn config(rest: &str) -> Result<(Genesis, Vec<GenesisWarning>), GenesisError> {
    let comma = if rest.is_empty() { "" } else { "," };
    Genesis::parse(&format!("{{\"config\": {{\"chainId\": 1{comma} {rest}}}}}"))
}

/// Parses a file with a chain id and other top-level fields.
fn top(rest: &str) -> Result<(Genesis, Vec<GenesisWarning>), GenesisError> {
    Genesis::parse(&format!("{{\"config\": {{\"chainId\": 1}}, {rest}}}"))
}

fn good(result: Result<(Genesis, Vec<GenesisWarning>), GenesisError>) -> Genesis {
    let (genesis, warnings) = result.unwrap();
    assert_eq!(warnings, []);
    genesis
}

mod shipped {
    use super::*;

    #[test]
    fn hashes_are_pinned() {
        for (file, hash) in [
            (DEV, b256!("7a74b3c8e185676deb45a95d6a4c403e97b39416ded5983eaf52ca99a9d7240a")),
            (PRIVATE, b256!("c4b1af371a2ec998a1dbb75e8ef942161c33ce0d2117e49e10063e64134d7cb2")),
        ] {
            let genesis = good(Genesis::parse(file));
            assert_eq!(genesis.header.hash(), hash, "{}", genesis.describe());
            assert_eq!(genesis.spec.forks, ForkSchedule::only(Fork::NEWEST));
        }
    }

    #[test]
    fn dev_funds_the_accounts_of_the_test_mnemonic() {
        let keys = [
            b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"),
            b256!("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"),
            b256!("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"),
            b256!("7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"),
            b256!("47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a"),
            b256!("8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba"),
            b256!("92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e"),
            b256!("4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356"),
            b256!("dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97"),
            b256!("2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6"),
        ];
        let genesis = good(Genesis::parse(DEV));
        let ether = U256::from(10).pow(U256::from(18));
        for key in keys {
            let account = crypto::address_of(&crypto::secret_key(key.0).unwrap());
            assert_eq!(genesis.alloc[&account].balance, U256::from(100) * ether, "{account}");
        }
        assert_eq!(genesis.alloc.values().filter(|account| account.code.is_empty()).count(), keys.len());
    }

    #[test]
    fn system_contracts_are_ethereums() {
        for file in [DEV, PRIVATE] {
            let genesis = good(Genesis::parse(file));
            for (address, code) in [
                (alloy_eips::eip4788::BEACON_ROOTS_ADDRESS, &alloy_eips::eip4788::BEACON_ROOTS_CODE),
                (alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS, &alloy_eips::eip2935::HISTORY_STORAGE_CODE),
            ] {
                assert_eq!((&genesis.alloc[&address].code, genesis.alloc[&address].nonce), (code, 1));
            }
        }
    }
}

mod elsewhere {
    use super::*;

    /// Files that other clients run, with the state root or hash that they compute.
    #[test]
    fn other_clients_files_give_their_genesis_blocks() {
        let besu = r#"{"config": {"londonBlock": 3, "ethash": {"fixeddifficulty": 15}, "chainID": 1982, "networkID": 1982},
            "nonce": "0x0000000000000042", "gasLimit": "0x100000000", "difficulty": "0xf",
            "mixHash": "0x0000000000000000000000000000000000000000000000000000000000000000",
            "coinbase": "0x0000000000000000000000000000000000000000",
            "alloc": {"fe3b557e8fb62b89f4916b721be55ceb828dbd73": {"balance": "90000000000000000000000"},
                      "a94f5374fce5edbc8e2a8697c15331677e6ebf0b": {"balance": "90000000000000000000000"}}}"#;
        let geth = r#"{"config": {"chainId": 19763, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0,
                                  "byzantiumBlock": 0, "ethash": {}},
            "nonce": "0xdeadbeefdeadbeef", "timestamp": "0x0",
            "extraData": "0x0000000000000000000000000000000000000000000000000000000000000000",
            "gasLimit": "0x80000000", "difficulty": "0x20000",
            "mixHash": "0x0000000000000000000000000000000000000000000000000000000000000000",
            "coinbase": "0x0000000000000000000000000000000000000000",
            "alloc": {"71562b71999873db5b286df957af199ec94617f7": {"balance": "0xffffffffffffffffffffffffff"}},
            "number": "0x0", "gasUsed": "0x0",
            "parentHash": "0x0000000000000000000000000000000000000000000000000000000000000000"}"#;
        for (file, hash) in [
            (besu, b256!("4cb3a9fa7816a019ffa01ad5eba1cee1fde4f3550ba7538fc057a298259a00e2")),
            (geth, b256!("d6f7972e854d4d7812fca9f911e9a1c1db3b89e2650a25b7782a1d8972ced000")),
        ] {
            assert_eq!(good(Genesis::parse(file)).header.hash(), hash);
        }
    }

    #[test]
    fn code_and_storage_enter_the_state_root() {
        let genesis = good(Genesis::parse(
            r#"{"config": {"chainId": 1, "frontierBlock": 0}, "nonce": "0x123123123123123f", "timestamp": "0x539",
                "extraData": "0x686f727365", "gasLimit": "0x1388", "difficulty": "0x400000",
                "coinbase": "0x3333333333333333333333333333333333333333",
                "alloc": {"9ca0e998df92c5351cecbbb6dba82ac2266f7e0c": {"code": "0x606060606060606060", "storage": {"0x03": "0x07"}},
                          "cd2a3d9f938e13cd947ec05abc7fe734df8dd826": {"balance": "1234567000000000000000"}}}"#,
        ));
        assert_eq!(
            genesis.header.state_root,
            b256!("dd406a973a0a5a9826d00da276e996d28426d24f12b8fa683723e9db532b8c59")
        );
    }
}

mod forks_and_fields {
    use super::*;

    #[test]
    fn forks_are_as_scheduled() {
        let cases: &[(&str, u64, u64, Fork)] = &[
            ("", 0, 0, Fork::Osaka),
            (r#""ethash": {}"#, 0, 0, Fork::Osaka),
            (r#""homesteadBlock": null"#, 0, 0, Fork::Osaka),
            (r#""frontierBlock": 0"#, 9, 9, Fork::Frontier),
            (r#""homesteadBlock": 1"#, 0, 0, Fork::Frontier),
            (r#""homesteadBlock": "0x1""#, 1, 0, Fork::Homestead),
            (
                r#""homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0"#,
                0,
                0,
                Fork::SpuriousDragon,
            ),
            (r#""eip155Block": 3"#, 3, 0, Fork::SpuriousDragon),
            (r#""constantinopleBlock": 2"#, 2, 0, Fork::Petersburg),
            (r#""constantinopleBlock": 2, "petersburgBlock": 4"#, 3, 0, Fork::Constantinople),
            (r#""constantinopleFixBlock": 2"#, 2, 0, Fork::Petersburg),
            (r#""LONDONBLOCK": 5"#, 5, 0, Fork::London),
            (r#""londonBlock": 0, "terminalTotalDifficulty": 0"#, 0, 0, Fork::Paris),
            (r#""londonBlock": 0, "terminalTotalDifficulty": 58750000000000000000000"#, 9, 9, Fork::London),
            (r#""mergeNetsplitBlock": 7"#, 7, 0, Fork::Paris),
            (r#""terminalTotalDifficulty": 0"#, 0, 0, Fork::Osaka),
            (r#""shanghaiTime": 100"#, 0, 99, Fork::Frontier),
            (r#""shanghaiTime": 100, "londonBlock": 0"#, 0, 99, Fork::London),
            (r#""shanghaiTime": "100", "osakaTime": 200"#, 0, 150, Fork::Shanghai),
            (r#""osakaTime": 0, "blobSchedule": {}, "bpo1Time": 0"#, 0, 0, Fork::Osaka),
            (r#""cancunBlock": 4"#, 4, 0, Fork::Cancun),
        ];
        for (text, number, timestamp, fork) in cases {
            assert_eq!(good(config(text)).spec.fork_at(*number, *timestamp), *fork, "{text}");
        }
    }

    #[test]
    fn a_time_before_genesis_is_genesis() {
        let file = r#"{"timestamp": 500, "config": {"chainId": 1, "shanghaiTime": 500, "cancunTime": 501}}"#;
        let expected = vec![(Fork::Shanghai, Activation::Block(0)), (Fork::Cancun, Activation::Time(501))];
        assert_eq!(good(Genesis::parse(file)).spec.forks.activations(), expected);
    }

    #[test]
    fn the_header_has_the_fields_of_its_fork() {
        let cases = [
            ("grayGlacierBlock", [true, false, false, false]),
            ("berlinBlock", [false; 4]),
            ("shanghaiTime", [true, true, false, false]),
            ("cancunTime", [true, true, true, false]),
            ("pragueTime", [true; 4]),
            ("osakaTime", [true; 4]),
        ];
        for (name, expected) in cases {
            let header = good(config(&format!("\"{name}\": 0"))).header;
            let present = [
                header.base_fee_per_gas.is_some(),
                header.withdrawals_root.is_some(),
                header.excess_blob_gas.is_some() && header.parent_beacon_block_root.is_some(),
                header.requests_hash.is_some(),
            ];
            assert_eq!(present, expected, "{name}");
        }
    }

    #[test]
    fn base_fee_is_the_files_or_the_fixed_one_or_a_gwei() {
        let cases = [
            (r#"{"config": {"chainId": 1}}"#, None, Some(1_000_000_000)),
            (r#"{"config": {"chainId": 1}, "baseFeePerGas": "0x7"}"#, None, Some(7)),
            (r#"{"config": {"chainId": 1, "zeroBaseFee": true}}"#, Some(0), Some(0)),
            (r#"{"config": {"chainId": 1, "zeroBaseFee": true}, "baseFeePerGas": "7"}"#, Some(0), Some(7)),
            (r#"{"config": {"chainId": 1, "fixedBaseFee": 9}}"#, Some(9), Some(9)),
            (r#"{"config": {"chainId": 1, "fixedBaseFee": true}, "baseFeePerGas": 8}"#, Some(8), Some(8)),
            (r#"{"config": {"chainId": 1, "berlinBlock": 0}}"#, None, None),
        ];
        for (file, fixed, at_genesis) in cases {
            let genesis = good(Genesis::parse(file));
            assert_eq!(
                (genesis.spec.fees.fixed_base_fee, genesis.header.base_fee_per_gas),
                (fixed, at_genesis),
                "{file}"
            );
        }
    }

    #[test]
    fn numbers_and_addresses_come_in_every_spelling() {
        let wei = "340282366920938463463374607431768211456000";
        let account = address!("00000000000000000000000000000000000000aB");
        for balance in [wei.to_owned(), format!("\"{wei}\""), format!("\"{:#x}\"", wei.parse::<U256>().unwrap())] {
            for name in ["0x00000000000000000000000000000000000000ab", "00000000000000000000000000000000000000AB"] {
                let genesis = good(top(&format!(r#""alloc": {{"{name}": {{"balance": {balance}, "nonce": "0x2"}}}}"#)));
                assert_eq!(genesis.alloc[&account].balance.to_string(), wei);
                assert_eq!(genesis.alloc[&account].nonce, 2);
            }
        }
    }

    #[test]
    fn storage_comes_short_or_long_and_without_zeros() {
        let genesis =
            good(top(r#""alloc": {"00000000000000000000000000000000000000ab": {"storage": {"0x1": "0x02", "3": "0x0",
               "0x0000000000000000000000000000000000000000000000000000000000000004": "f"}}}"#));
        let storage = &genesis.alloc.values().next().unwrap().storage;
        let expected = [(1, 2), (4, 15)].map(|(slot, value)| (B256::with_last_byte(slot), B256::with_last_byte(value)));
        assert_eq!(*storage, BTreeMap::from(expected));
    }

    #[test]
    fn comments_may_come_twice() {
        let file = r#""alloc": {"0x0000000000000000000000000000000000000001": {"comment": "a", "comment": "b", "balance": 1}}"#;
        assert_eq!(good(top(file)).alloc.len(), 1);
    }

    #[test]
    fn besus_additions_are_read() {
        let genesis = good(config(
            r#""ethash": {"fixedDifficulty": 15}, "contractSizeLimit": 2147483647, "evmStackSize": 1024,
               "discovery": {"bootnodes": ["enode://a@1.2.3.4:30303"]}"#,
        ));
        assert_eq!(genesis.spec.pow.difficulty, DifficultyRule::Fixed(U256::from(15)));
        assert_eq!(genesis.spec.contract_size_limit, Some(2_147_483_647));
        assert_eq!(genesis.bootnodes, ["enode://a@1.2.3.4:30303"]);
        let account = r#"{"balance": "1", "comment": "for tests", "privateKey": "00"}"#;
        good(top(&format!(r#""alloc": {{"00000000000000000000000000000000000000ab": {account}}}"#)));
    }
}

mod pow_section {
    use super::*;

    #[test]
    fn defaults_are_documented_values() {
        let pow = good(config("")).spec.pow;
        assert_eq!(
            pow.difficulty,
            DifficultyRule::Target { target_ms: 5000, half_life_blocks: 40, min: U256::from(131_072), max: U256::MAX }
        );
        assert_eq!(pow.empty_blocks, EmptyBlocks::Always);
        assert_eq!(pow.block_reward.to_string(), "2000000000000000000");
        assert!(pow.authorized_miners.is_empty());
        assert_eq!((pow.safe_depth, pow.finality_depth), (6, 20));
    }

    #[test]
    fn difficulty_is_fixed_or_aims_at_a_time() {
        let target = |target_ms, half_life_blocks, min, max: U256| DifficultyRule::Target {
            target_ms,
            half_life_blocks,
            min: U256::from(min),
            max,
        };
        for (text, expected) in [
            (r#"{"fixed": "0x10"}"#, DifficultyRule::Fixed(U256::from(16))),
            (r#"{"target_ms": 200}"#, target(200, 40, 131_072, U256::MAX)),
            (r#"{"target_ms": 200, "max": 9}"#, target(200, 40, 9, U256::from(9))),
            (r#"{"half_life_blocks": 20, "min": 1}"#, target(5000, 20, 1, U256::MAX)),
            ("{}", target(5000, 40, 131_072, U256::MAX)),
        ] {
            assert_eq!(
                good(config(&format!(r#""pow": {{"difficulty": {text}}}"#))).spec.pow.difficulty,
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn empty_blocks_come_in_every_spelling() {
        for (text, expected) in [
            (r#""always""#, EmptyBlocks::Always),
            (r#""never""#, EmptyBlocks::Never),
            (r#"{"heartbeat": 30}"#, EmptyBlocks::Heartbeat { seconds: 30 }),
            (r#""heartbeat(30)""#, EmptyBlocks::Heartbeat { seconds: 30 }),
        ] {
            assert_eq!(good(config(&format!(r#""pow": {{"empty_blocks": {text}}}"#))).spec.pow.empty_blocks, expected);
        }
    }

    #[test]
    fn one_named_depth_moves_the_default_of_the_other() {
        for (text, safe, finality) in [
            (r#""safe_depth": 30"#, 30, 30),
            (r#""finality_depth": 2"#, 2, 2),
            (r#""safe_depth": 0, "finality_depth": 0"#, 0, 0),
        ] {
            let pow = good(config(&format!(r#""pow": {{{text}}}"#))).spec.pow;
            assert_eq!((pow.safe_depth, pow.finality_depth), (safe, finality), "{text}");
        }
    }

    #[test]
    fn authorized_miners_are_a_set() {
        let text = r#""pow": {"authorized_miners": ["0x00000000000000000000000000000000000000aB", "00000000000000000000000000000000000000ab"]}"#;
        let miners = good(config(text)).spec.pow.authorized_miners;
        assert_eq!(miners.into_iter().collect::<Vec<_>>(), [address!("00000000000000000000000000000000000000ab")]);
    }
}
