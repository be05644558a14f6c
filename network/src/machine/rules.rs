//! The rules of a chain file as a list of names and values, by which two nodes that differ tell in what.

use alloy_primitives::keccak256;
use consensus::Genesis;
use consensus::spec::{Activation, ChainSpec};
use serde_json::Value;

use crate::message::Rule;
use crate::message::limits::{RULE_NAME_BYTES_MAX, RULE_VALUE_BYTES_MAX, RULES_MAX};

/// What a chain file says under `config` beside its rules: where a fork begins is compared as a schedule, since two files may say
/// the same one differently; boot nodes are no rule.
const NO_RULES: [&str; 23] = [
    "frontierBlock",
    "homesteadBlock",
    "eip150Block",
    "eip155Block",
    "eip158Block",
    "byzantiumBlock",
    "constantinopleBlock",
    "petersburgBlock",
    "istanbulBlock",
    "muirGlacierBlock",
    "berlinBlock",
    "londonBlock",
    "arrowGlacierBlock",
    "grayGlacierBlock",
    "mergeNetsplitBlock",
    "shanghaiBlock",
    "shanghaiTime",
    "cancunBlock",
    "cancunTime",
    "pragueBlock",
    "pragueTime",
    "osakaBlock",
    "osakaTime",
];

/// Returns the rules of a chain file, sorted by name: all of `config`, the fields of the genesis header, and the root of its state.
pub fn rules_of(genesis: &Genesis) -> Vec<Rule> {
    let mut rules = vec![
        rule("forks", &schedule(&genesis.spec)),
        rule("alloc (state root)", &genesis.header.state_root.to_string()),
    ];
    if let Value::Object(file) = genesis.to_json() {
        for (name, value) in file {
            match (name.as_str(), value) {
                ("alloc", _) => {}
                ("config", Value::Object(config)) => {
                    let config = config
                        .into_iter()
                        .filter(|(name, _)| name != "discovery" && !NO_RULES.contains(&name.as_str()));
                    config.for_each(|(name, value)| flatten(&format!("config.{name}"), &value, &mut rules));
                }
                (name, value) => flatten(name, &value, &mut rules),
            }
        }
    }
    rules.sort();
    rules.truncate(RULES_MAX);
    rules
}

fn flatten(name: &str, value: &Value, rules: &mut Vec<Rule>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(field, value)| flatten(&format!("{name}.{field}"), value, rules));
        }
        Value::String(text) => rules.push(rule(name, text)),
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().map(plain).collect();
            items.sort();
            let text = items.join(", ");
            let long = text.len() > RULE_VALUE_BYTES_MAX;
            let digest = || format!("{} entries, keccak256 {}", items.len(), keccak256(&text));
            rules.push(rule(name, &if long { digest() } else { text.clone() }));
        }
        other => rules.push(rule(name, &other.to_string())),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn rule(name: &str, value: &str) -> Rule {
    let value = if value.len() > RULE_VALUE_BYTES_MAX {
        format!("{} bytes, keccak256 {}", value.len(), keccak256(value))
    } else {
        value.to_owned()
    };
    let mut name = name.to_owned();
    while name.len() > RULE_NAME_BYTES_MAX {
        name.pop();
    }
    Rule { name, value }
}

/// Tells which fork's rules hold from where on; forks that begin together count as the newest of them.
fn schedule(spec: &ChainSpec) -> String {
    let mut points: Vec<(Activation, String)> = Vec::new();
    for (fork, activation) in spec.forks.activations() {
        points.retain(|(at, _)| at != activation);
        points.push((*activation, format!("{fork:?}")));
    }
    let text = |(activation, fork): &(Activation, String)| match activation {
        Activation::Block(number) => format!("{fork} from block {number}"),
        Activation::Time(time) => format!("{fork} from timestamp {time}"),
    };
    points.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(config: &str) -> Vec<Rule> {
        let file = format!(r#"{{"config": {{"chainId": 7, {config}}}, "gasLimit": "0x1c9c380", "alloc": {{}}}}"#);
        rules_of(&Genesis::parse(&file).unwrap().0)
    }

    #[test]
    fn files_that_say_the_same_give_the_same_rules() {
        assert_eq!(rules(r#""pow": {}"#), rules(r#""osakaTime": 0, "pragueTime": 0, "pow": {"safe_depth": 6}"#));
        assert_eq!(rules(r#""discovery": {"bootnodes": ["a"]}"#), rules(r#""discovery": {"bootnodes": ["b"]}"#));
    }

    #[test]
    fn each_rule_of_the_chain_file_is_told() {
        let base = rules(r#""pow": {}"#);
        for (config, name) in [
            (r#""pow": {"block_reward": "7"}"#, "config.pow.block_reward"),
            (r#""pow": {"finality_depth": 30}"#, "config.pow.finality_depth"),
            (r#""pow": {"empty_blocks": "never"}"#, "config.pow.empty_blocks"),
            (r#""pow": {"difficulty": {"target_ms": 9}}"#, "config.pow.difficulty.target_ms"),
            (
                r#""pow": {"authorized_miners": ["0x0000000000000000000000000000000000000001"]}"#,
                "config.pow.authorized_miners",
            ),
            (r#""zeroBaseFee": true"#, "config.zeroBaseFee"),
            (r#""contractSizeLimit": 9"#, "config.contractSizeLimit"),
            (r#""cancunTime": 0, "osakaTime": 1900000000"#, "forks"),
        ] {
            let other = rules(config);
            let differing: Vec<_> =
                other.iter().filter(|rule| !base.contains(rule)).map(|rule| &rule.name[..]).collect();
            assert!(differing.contains(&name), "{config}: {differing:?}");
        }
    }
}
