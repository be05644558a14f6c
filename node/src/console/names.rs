//! Which method of JSON-RPC a name of the console is, and how arguments and results look on both sides, as web3 and geth's console have it.

use alloy_primitives::U256;
use rpc::{METHODS, Method};
use serde_json::{Map, Value as Json, json};

use super::value::{Function, Value, quantity, whole};

/// Names whose method has another one.
const RENAMED: [(&str, &str); 3] = [
    ("eth_getTransaction", "eth_getTransactionByHash"),
    ("eth_getRawTransaction", "eth_getRawTransactionByHash"),
    ("debug_traceBlockFromHash", "debug_traceBlockByHash"),
];
/// Names that are two methods: by a block's number, and by its hash.
const BY_BLOCK: [(&str, &str, &str); 7] = [
    ("eth_getBlock", "eth_getBlockByNumber", "eth_getBlockByHash"),
    ("eth_getHeader", "eth_getHeaderByNumber", "eth_getHeaderByHash"),
    ("eth_getUncle", "eth_getUncleByBlockNumberAndIndex", "eth_getUncleByBlockHashAndIndex"),
    ("eth_getBlockTransactionCount", "eth_getBlockTransactionCountByNumber", "eth_getBlockTransactionCountByHash"),
    ("eth_getBlockUncleCount", "eth_getUncleCountByBlockNumber", "eth_getUncleCountByBlockHash"),
    ("eth_getTransactionFromBlock", "eth_getTransactionByBlockNumberAndIndex", "eth_getTransactionByBlockHashAndIndex"),
    (
        "eth_getRawTransactionFromBlock",
        "eth_getRawTransactionByBlockNumberAndIndex",
        "eth_getRawTransactionByBlockHashAndIndex",
    ),
];
/// Methods that are asked where their name stands alone.
const PROPERTIES: [&str; 29] = [
    "admin_datadir",
    "admin_nodeInfo",
    "admin_peers",
    "drawbridge_finality",
    "eth_accounts",
    "eth_baseFee",
    "eth_blobBaseFee",
    "eth_blockNumber",
    "eth_coinbase",
    "eth_etherbase",
    "eth_gasPrice",
    "eth_hashrate",
    "eth_maxPriorityFeePerGas",
    "eth_mining",
    "eth_pendingTransactions",
    "eth_protocolVersion",
    "eth_syncing",
    "net_listening",
    "net_peerCount",
    "net_version",
    "perm_getAccountsAllowlist",
    "perm_getNodesAllowlist",
    "personal_listAccounts",
    "personal_listWallets",
    "rpc_modules",
    "txpool_content",
    "txpool_inspect",
    "txpool_status",
    "web3_clientVersion",
];
/// Methods whose result is a number.
const NUMBERS: [&str; 18] = [
    "debug_dbAncients",
    "eth_baseFee",
    "eth_blobBaseFee",
    "eth_blockNumber",
    "eth_estimateGas",
    "eth_gasPrice",
    "eth_getBalance",
    "eth_getBlockTransactionCountByHash",
    "eth_getBlockTransactionCountByNumber",
    "eth_getHashrate",
    "eth_getTransactionCount",
    "eth_getUncleCountByBlockHash",
    "eth_getUncleCountByBlockNumber",
    "eth_hashrate",
    "eth_maxPriorityFeePerGas",
    "ethash_getHashrate",
    "net_peerCount",
    "ots_getApiLevel",
];
/// Fields that are numbers wherever they stand.
const NUMBER_FIELDS: [&str; 26] = [
    "baseFeePerGas",
    "blobGasUsed",
    "blockNumber",
    "cumulativeGasUsed",
    "currentBlock",
    "difficulty",
    "effectiveGasPrice",
    "excessBlobGas",
    "gas",
    "gasLimit",
    "gasPrice",
    "gasUsed",
    "highestBlock",
    "logIndex",
    "maxFeePerGas",
    "maxPriorityFeePerGas",
    "nonce",
    "number",
    "pending",
    "queued",
    "size",
    "startingBlock",
    "timestamp",
    "totalDifficulty",
    "transactionIndex",
    "value",
];
/// Arguments that are quantities in hexadecimal whatever the namespace.
const QUANTITY_ARGUMENTS: [&str; 8] = ["anchor", "block", "depth", "end", "index", "number", "start", "wei"];
/// Namespaces whose numbers are quantities in hexadecimal.
const QUANTITY_NAMESPACES: [&str; 5] = ["drawbridge", "erigon", "eth", "ethash", "trace"];

/// Returns the method that a member of a namespace is.
pub(super) fn method(namespace: &str, member: &str) -> String {
    let name = format!("{namespace}_{member}");
    RENAMED.iter().find(|(known, _)| *known == name).map_or(name, |(_, method)| (*method).to_owned())
}

/// Returns the method for these arguments, where a name is two.
pub(super) fn resolved(name: &str, arguments: &[Value]) -> String {
    let is_hash = matches!(arguments.first(), Some(Value::Text(text)) if text.len() == 66 && text.starts_with("0x"));
    let found = BY_BLOCK.iter().find(|(known, ..)| *known == name);
    found.map_or(name, |(_, by_number, by_hash)| if is_hash { by_hash } else { by_number }).to_owned()
}

/// Tells whether a method is asked where its name stands alone.
pub(super) fn is_property(method: &str) -> bool {
    PROPERTIES.contains(&method)
}

/// Returns the argument from which on nothing need be said, and what is said then: geth demands what others leave out.
fn defaults(method: &str) -> Option<(usize, Json)> {
    match method {
        "eth_getBalance" | "eth_getCode" | "eth_getTransactionCount" | "eth_call" => Some((1, json!("latest"))),
        "eth_getStorageAt" | "eth_getProof" => Some((2, json!("latest"))),
        "eth_getBlockByNumber" | "eth_getBlockByHash" => Some((1, json!(false))),
        _ => None,
    }
}

/// Writes the arguments of a call as JSON-RPC wants them.
pub(super) fn to_params(method: &str, arguments: &[Value]) -> Result<Json, String> {
    let known = METHODS.iter().find(|known| known.name == method);
    let namespace = method.split('_').next().unwrap_or_default();
    let mut params = Vec::with_capacity(arguments.len() + 1);
    for (index, argument) in arguments.iter().enumerate() {
        let name = known.and_then(|known| known.arguments.get(index)).map_or("", |name| name.trim_end_matches('?'));
        let is_quantity = QUANTITY_NAMESPACES.contains(&namespace) || QUANTITY_ARGUMENTS.contains(&name);
        // Percentiles are plain numbers, as everything in a list outside of objects.
        params.push(to_json(argument, is_quantity)?);
    }
    if let Some((index, default)) = defaults(method).filter(|(index, _)| *index == params.len()) {
        params.insert(index, default);
    }
    Ok(Json::Array(params))
}

fn to_json(value: &Value, is_quantity: bool) -> Result<Json, String> {
    Ok(match value {
        Value::Undefined | Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Integer(value) if is_quantity => json!(quantity(*value).ok_or("a quantity is not negative")?),
        Value::Integer(value) => match u64::try_from(*value) {
            Ok(small) => json!(small),
            Err(_) => json!(quantity(*value).ok_or("a number is not negative")?),
        },
        Value::Decimal(value) => json!(value),
        Value::Text(text) => json!(text),
        Value::List(values) => Json::Array(values.iter().map(|value| to_json(value, false)).collect::<Result<_, _>>()?),
        Value::Object(fields) => {
            let written = fields.iter().map(|(name, value)| Ok((name.clone(), to_json(value, true)?)));
            Json::Object(written.collect::<Result<Map<_, _>, String>>()?)
        }
        Value::Place(name) => return Err(format!("{name} is no argument")),
        Value::Function(_) => return Err("a function is no argument".to_owned()),
    })
}

/// Reads a result: what is a number becomes one.
pub(super) fn from_result(method: &str, result: Json) -> Value {
    let value = Value::from(result);
    if NUMBERS.contains(&method) { number(value) } else { with_numbers(value) }
}

fn with_numbers(value: Value) -> Value {
    match value {
        Value::List(values) => Value::List(values.into_iter().map(with_numbers).collect()),
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| {
                    let value =
                        if NUMBER_FIELDS.contains(&name.as_str()) { number(value) } else { with_numbers(value) };
                    (name, value)
                })
                .collect(),
        ),
        other => other,
    }
}

/// Reads a quantity; anything else stays, such as a block's nonce of eight bytes.
fn number(value: Value) -> Value {
    const BLOCK_NONCE_DIGITS: usize = 16;
    match &value {
        Value::Text(text) => {
            let digits =
                text.strip_prefix("0x").filter(|digits| !digits.is_empty() && digits.len() != BLOCK_NONCE_DIGITS);
            digits.and_then(|digits| U256::from_str_radix(digits, 16).ok()).and_then(whole).unwrap_or(value)
        }
        Value::List(_) | Value::Object(_) => with_numbers(value),
        _ => value,
    }
}

/// Returns the members of a namespace, sorted: those of the table, and web3's names.
pub(super) fn members(namespace: &str) -> Vec<String> {
    let prefix = format!("{namespace}_");
    let table = METHODS.iter().map(|method: &Method| method.name);
    let others = RENAMED.iter().map(|(name, _)| *name).chain(BY_BLOCK.iter().map(|(name, ..)| *name));
    let mut names: Vec<String> =
        table.chain(others).filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// Shows a function as the console does.
pub(super) fn signature(function: &Function) -> String {
    match function {
        Function::Helper(name) => format!("function {name}(…)"),
        Function::Of(_, name) => format!("function {name}()"),
        Function::Method(method) => {
            let known = METHODS.iter().find(|known| known.name == *method);
            let arguments = known.map_or_else(|| "…".to_owned(), |known| known.arguments.join(", "));
            format!("function {}({arguments})", method.replacen('_', ".", 1))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_become_methods() {
        let hash = Value::Text(format!("0x{}", "ab".repeat(32)));
        for (namespace, member, argument, expected) in [
            ("eth", "blockNumber", None, "eth_blockNumber"),
            ("eth", "getBlock", Some(Value::integer(1)), "eth_getBlockByNumber"),
            ("eth", "getBlock", Some(hash.clone()), "eth_getBlockByHash"),
            ("eth", "getBlock", Some(Value::Text("latest".into())), "eth_getBlockByNumber"),
            ("eth", "getTransaction", Some(hash), "eth_getTransactionByHash"),
            ("txpool", "status", None, "txpool_status"),
            ("mine", "own", None, "mine_own"),
        ] {
            let arguments: Vec<_> = argument.into_iter().collect();
            assert_eq!(resolved(&method(namespace, member), &arguments), expected);
        }
    }

    #[test]
    fn every_name_is_of_a_method_of_the_table() {
        let names =
            RENAMED.iter().map(|(_, name)| name).chain(BY_BLOCK.iter().flat_map(|(_, number, hash)| [number, hash]));
        for name in names.chain(&PROPERTIES) {
            assert!(METHODS.iter().any(|method| method.name == *name), "{name}");
        }
        for name in PROPERTIES {
            let method = METHODS.iter().find(|method| method.name == name).unwrap();
            assert!(method.arguments.is_empty(), "{name} has arguments");
        }
    }

    #[test]
    fn numbers_are_written_as_the_method_takes_them() {
        let value = |number: u64| Value::integer(number);
        let object = Value::Object(vec![("value".into(), value(255)), ("to".into(), Value::Text("0x1".into()))]);
        for (method, arguments, expected) in [
            ("eth_getBlockByNumber", vec![value(16)], json!(["0x10", false])),
            ("eth_getBalance", vec![Value::Text("0xab".into())], json!(["0xab", "latest"])),
            ("eth_getBalance", vec![Value::Text("0xab".into()), value(1)], json!(["0xab", "0x1"])),
            ("eth_sendTransaction", vec![object], json!([{"value": "0xff", "to": "0x1"}])),
            ("debug_verbosity", vec![value(3)], json!([3])),
            ("debug_traceBlockByNumber", vec![value(3)], json!(["0x3"])),
            (
                "personal_unlockAccount",
                vec![Value::Text("0xab".into()), Value::Null, value(0)],
                json!(["0xab", null, 0]),
            ),
            (
                "eth_feeHistory",
                vec![value(2), Value::Text("latest".into()), Value::List(vec![value(50)])],
                json!(["0x2", "latest", [50]]),
            ),
        ] {
            assert_eq!(to_params(method, &arguments), Ok(expected), "{method}");
        }
        assert!(to_params("eth_getBalance", &[Value::Place("eth".into())]).is_err());
    }

    #[test]
    fn results_have_numbers_where_they_are_some() {
        let block = json!({"number": "0x10", "nonce": "0x0000000000000001", "hash": "0x10", "transactions": [{"nonce": "0x1", "value": "0xde0b6b3a7640000"}]});
        let Value::Object(fields) = from_result("eth_getBlockByNumber", block) else { panic!("no object") };
        let field = |name: &str| fields.iter().find(|(known, _)| known == name).unwrap().1.clone();
        assert_eq!(field("number"), Value::integer(16));
        assert_eq!(field("nonce"), Value::Text("0x0000000000000001".into()));
        assert_eq!(field("hash"), Value::Text("0x10".into()));
        let Value::List(transactions) = field("transactions") else { panic!("no list") };
        let Value::Object(transaction) = &transactions[0] else { panic!("no object") };
        assert!(transaction.contains(&("nonce".into(), Value::integer(1))));
        assert!(transaction.contains(&("value".into(), Value::integer(1_000_000_000_000_000_000))));
        assert_eq!(from_result("eth_getBalance", json!("0xff")), Value::integer(255));
        assert_eq!(from_result("eth_chainId", json!("0xff")), Value::Text("0xff".into()));
    }

    #[test]
    fn completion_knows_both_kinds_of_names() {
        let eth = members("eth");
        for name in ["blockNumber", "getBlock", "getBlockByNumber", "sendTransaction"] {
            assert!(eth.iter().any(|known| known == name), "{name}");
        }
        assert!(members("nothing").is_empty());
    }
}
