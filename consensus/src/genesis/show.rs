//! A chain file written back in full, and its effective rules in words.

use std::fmt::Write;

use alloy_primitives::{U256, hex};
use serde_json::{Map, Value, json};

use crate::spec::{Activation, ChainSpec, DifficultyRule, EmptyBlocks, PowRules};

use super::{Genesis, ethereum, forks};

impl Genesis {
    /// Returns a chain file that says everything explicitly and is read as this very genesis.
    pub fn to_json(&self) -> Value {
        let header = &self.header;
        let mut file = Map::new();
        let mut put = |name: &str, value: Value| file.insert(name.to_owned(), value);
        put("config", config_json(&self.spec, &self.bootnodes));
        put("nonce", format!("{}", header.nonce).into());
        put("timestamp", header.timestamp.into());
        put("extraData", format!("{}", header.extra_data).into());
        put("gasLimit", header.gas_limit.into());
        put("gasUsed", header.gas_used.into());
        put("difficulty", decimal(header.difficulty));
        put("mixHash", format!("{}", header.mix_hash).into());
        put("coinbase", format!("{}", header.beneficiary).into());
        put("parentHash", format!("{}", header.parent_hash).into());
        if let Some(base_fee) = header.base_fee_per_gas {
            put("baseFeePerGas", base_fee.into());
        }
        for (name, gas) in [("excessBlobGas", header.excess_blob_gas), ("blobGasUsed", header.blob_gas_used)] {
            if let Some(gas) = gas.filter(|gas| *gas > 0) {
                put(name, gas.into());
            }
        }
        put("alloc", alloc_json(self));
        Value::Object(file)
    }

    /// Returns the effective rules, one per line, for people.
    pub fn describe(&self) -> String {
        let mut lines = Lines::default();
        let (header, spec) = (&self.header, &self.spec);
        lines.add("genesis hash", header.hash());
        lines.add("state root", header.state_root);
        lines.add("chain id", spec.chain_id);
        let supply = self.alloc.values().fold(U256::ZERO, |sum, account| sum.saturating_add(account.balance));
        lines.add("accounts", format!("{}, holding {}", self.alloc.len(), ether(supply)));
        lines.add("timestamp", format!("{} s", header.timestamp));
        lines.add("gas limit", header.gas_limit);
        lines.add("base fee", describe_base_fee(self));
        let code_limit = spec.contract_size_limit.map_or("the fork's".to_owned(), |bytes| format!("{bytes} bytes"));
        lines.add("contract size limit", code_limit);
        if let Some(rules) = &spec.ethereum {
            rules.describe().into_iter().for_each(|(name, value)| lines.add(name, value));
        }
        if spec.last_unsealed().is_some() {
            describe_pow(&mut lines, &spec.pow);
        }
        for (fork, activation) in spec.forks.activations() {
            lines.add(&format!("fork {fork:?}"), describe_activation(*activation));
        }
        lines.0
    }
}

fn config_json(spec: &ChainSpec, bootnodes: &[String]) -> Value {
    let mut config = Map::new();
    config.insert("chainId".to_owned(), spec.chain_id.into());
    for (fork, activation) in spec.forks.activations() {
        let (Activation::Block(at) | Activation::Time(at)) = *activation;
        if let Some(name) = forks::field(*fork, *activation) {
            config.insert(name.to_owned(), at.into());
        }
    }
    match spec.fees.fixed_base_fee {
        Some(0) => config.insert("zeroBaseFee".to_owned(), true.into()),
        Some(fee) => config.insert("fixedBaseFee".to_owned(), fee.into()),
        None => None,
    };
    if let Some(limit) = spec.contract_size_limit {
        config.insert("contractSizeLimit".to_owned(), limit.into());
    }
    if !bootnodes.is_empty() {
        config.insert("discovery".to_owned(), json!({ "bootnodes": bootnodes }));
    }
    let mut pow = pow_json(&spec.pow);
    if let Some(rules) = &spec.ethereum {
        ethereum::write(rules, &mut config);
        if let Some(hand_over) = rules.hand_over {
            pow["fromBlock"] = hand_over.first.into();
            if let Some(start) = hand_over.start_difficulty {
                pow["difficulty"]["start"] = decimal(start);
            }
        }
    }
    if spec.last_unsealed().is_some() {
        config.insert("pow".to_owned(), pow);
    }
    Value::Object(config)
}

fn pow_json(pow: &PowRules) -> Value {
    let difficulty = match pow.difficulty {
        DifficultyRule::Fixed(fixed) => json!({ "fixed": decimal(fixed) }),
        DifficultyRule::Target { target_ms, half_life_blocks, min, max } => json!({
            "target_ms": target_ms,
            "half_life_blocks": half_life_blocks,
            "min": decimal(min),
            "max": decimal(max),
        }),
    };
    let empty_blocks = match pow.empty_blocks {
        EmptyBlocks::Always => json!("always"),
        EmptyBlocks::Never => json!("never"),
        EmptyBlocks::Heartbeat { seconds } => json!({ "heartbeat": seconds }),
    };
    let miners: Vec<String> = pow.authorized_miners.iter().map(|miner| format!("{miner}")).collect();
    json!({
        "difficulty": difficulty,
        "empty_blocks": empty_blocks,
        "block_reward": decimal(pow.block_reward),
        "authorized_miners": miners,
        "safe_depth": pow.safe_depth,
        "finality_depth": pow.finality_depth,
    })
}

fn alloc_json(genesis: &Genesis) -> Value {
    let accounts = genesis.alloc.iter().map(|(address, account)| {
        let mut fields = Map::new();
        fields.insert("balance".to_owned(), decimal(account.balance));
        if account.nonce > 0 {
            fields.insert("nonce".to_owned(), account.nonce.into());
        }
        if !account.code.is_empty() {
            fields.insert("code".to_owned(), hex::encode_prefixed(&account.code).into());
        }
        if !account.storage.is_empty() {
            let slots = account.storage.iter().map(|(slot, value)| (format!("{slot}"), format!("{value}").into()));
            fields.insert("storage".to_owned(), Value::Object(slots.collect()));
        }
        (format!("{address}"), Value::Object(fields))
    });
    Value::Object(accounts.collect())
}

/// Writes a number that may not fit 64 bits as decimal text.
fn decimal(number: U256) -> Value {
    number.to_string().into()
}

fn describe_base_fee(genesis: &Genesis) -> String {
    match (genesis.spec.fees.fixed_base_fee, genesis.header.base_fee_per_gas) {
        (Some(fixed), _) => format!("{fixed} wei in every block"),
        (None, Some(base_fee)) => format!("{base_fee} wei at genesis, then by demand"),
        (None, None) => "none before London".to_owned(),
    }
}

fn describe_pow(lines: &mut Lines, pow: &PowRules) {
    let difficulty = match &pow.difficulty {
        DifficultyRule::Fixed(fixed) => format!("{fixed} in every block"),
        DifficultyRule::Target { target_ms, half_life_blocks, min, max } => {
            let ceiling = if *max == U256::MAX { String::new() } else { format!(", at most {max}") };
            format!(
                "towards a block every {target_ms} ms, half-life {half_life_blocks} blocks, at least {min}{ceiling}"
            )
        }
    };
    lines.add("difficulty", difficulty);
    let empty_blocks = match pow.empty_blocks {
        EmptyBlocks::Always => "always valid".to_owned(),
        EmptyBlocks::Never => "never valid".to_owned(),
        EmptyBlocks::Heartbeat { seconds } => format!("valid {seconds} s after the parent"),
    };
    lines.add("empty blocks", empty_blocks);
    lines.add("block reward", ether(pow.block_reward));
    let miners: Vec<String> = pow.authorized_miners.iter().map(|miner| format!("{miner}")).collect();
    lines.add("miners", if miners.is_empty() { "anyone".to_owned() } else { miners.join(", ") });
    lines.add("safe", format!("{} blocks deep", pow.safe_depth));
    lines.add("finalized", format!("{} blocks deep", pow.finality_depth));
}

fn describe_activation(activation: Activation) -> String {
    match activation {
        Activation::Block(0) => "from genesis".to_owned(),
        Activation::Block(number) => format!("from block {number}"),
        Activation::Time(timestamp) => format!("from timestamp {timestamp} s"),
    }
}

/// Writes wei as ETH without losing a digit.
fn ether(wei: U256) -> String {
    let one = U256::from(10).pow(U256::from(18));
    let (whole, rest) = (wei / one, wei % one);
    if rest.is_zero() {
        return format!("{whole} ETH");
    }
    let digits = format!("{:0>18}", rest.to_string());
    format!("{whole}.{} ETH", digits.trim_end_matches('0'))
}

/// Collects lines of a name and a value, the values in one column.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        writeln!(self.0, "{name:<22}{value}").expect("a String takes everything");
    }
}
