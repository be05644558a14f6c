//! Any input is read or refused, and what is written is read back.

use super::*;

/// JSON of any shape with the names that chain files have.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "0x[0-9a-f]{0,70}".prop_map(Value::from),
        "[0-9]{0,90}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let name = prop::sample::select(vec![
        "config",
        "chainId",
        "alloc",
        "pow",
        "difficulty",
        "fixed",
        "target_ms",
        "min",
        "max",
        "empty_blocks",
        "heartbeat",
        "ethash",
        "fixeddifficulty",
        "gasLimit",
        "extraData",
        "nonce",
        "storage",
        "balance",
        "code",
        "londonBlock",
        "shanghaiTime",
        "discovery",
        "bootnodes",
        "authorized_miners",
        "zeroBaseFee",
        "0x00000000000000000000000000000000000000ab",
    ]);
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..8).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

prop_compose! {
    fn any_account()(
        balance: [u8; 32], nonce: u64, code: Vec<u8>,
        storage in prop::collection::btree_map(any::<[u8; 32]>(), any::<u64>(), 0..4),
    ) -> GenesisAccount {
        let storage = storage.into_iter().map(|(slot, value)| (B256::from(slot), B256::from(U256::from(value) + U256::ONE)));
        GenesisAccount { balance: U256::from_be_bytes(balance), nonce, code: code.into(), storage: storage.collect() }
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text: String, bytes: Vec<u8>) {
        let _ = Genesis::parse(&text);
        let _ = Genesis::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_json_is_read_or_refused(config in any_json(), alloc in any_json(), other in any_json()) {
        let _ = Genesis::parse(&other.to_string());
        let _ = Genesis::parse(&serde_json::json!({ "config": config, "alloc": alloc, "difficulty": other }).to_string());
    }

    #[test]
    fn a_cut_or_changed_file_is_read_or_refused(at in 0..DEV.len(), with: u8) {
        let _ = Genesis::parse(&DEV[..at]);
        let mut bytes = DEV.as_bytes().to_vec();
        bytes[at] = with;
        let _ = Genesis::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn what_is_written_is_read_back(
        chain_id in 1u64.., timestamp: u64, london: u64, shanghai in 1u64.., osaka in 1u64.., fixed: Option<u64>, size in 1usize..,
        heartbeat in 1u64.., reward: [u8; 32], miners: Vec<[u8; 20]>, safe: u64, deeper: u64,
        alloc in prop::collection::btree_map(any::<[u8; 20]>(), any_account(), 0..4),
    ) {
        let (mut genesis, _) = Genesis::parse(DEV).unwrap();
        let text = genesis.to_json().to_string();
        prop_assert_eq!(&good(Genesis::parse(&text)), &genesis);

        let (early, late) = (shanghai.min(osaka), shanghai.max(osaka));
        // What begins at or before genesis would be read back as beginning at block 0.
        let timestamp = timestamp % early;
        genesis.spec.chain_id = chain_id;
        let listed = [(Fork::London, Activation::Block(london)), (Fork::Shanghai, Activation::Time(early)), (Fork::Osaka, Activation::Time(late))];
        genesis.spec.forks = ForkSchedule::new(listed.to_vec());
        genesis.spec.fees.fixed_base_fee = fixed;
        genesis.spec.contract_size_limit = Some(size);
        genesis.spec.pow.empty_blocks = EmptyBlocks::Heartbeat { seconds: heartbeat };
        genesis.spec.pow.block_reward = U256::from_be_bytes(reward);
        genesis.spec.pow.authorized_miners = miners.into_iter().map(Address::from).collect();
        genesis.spec.pow.safe_depth = safe;
        genesis.spec.pow.finality_depth = safe.saturating_add(deeper);
        genesis.alloc = alloc.into_iter().map(|(address, account)| (Address::from(address), account)).collect();
        // The header is whatever the file gives; what matters is that writing and reading again changes nothing.
        let mut json = genesis.to_json();
        json["timestamp"] = timestamp.into();
        json.as_object_mut().unwrap().remove("baseFeePerGas");
        let read = good(Genesis::parse(&json.to_string()));
        prop_assert_eq!(&read.spec, &genesis.spec);
        prop_assert_eq!(&read.alloc, &genesis.alloc);
        prop_assert_eq!(&good(Genesis::parse(&read.to_json().to_string())), &read);
    }
}
