//! Errors and warnings name the field and the remedy.

use super::*;

#[test]
fn errors_name_the_field_and_the_remedy() {
    let cases: &[(&str, &str, &str)] = &[
        ("", "not a JSON object", ""),
        ("[]", "not a JSON object", "found a list"),
        (r#"{"gasLimit": 1, "gaslimit": 1}"#, "gaslimit", "given twice"),
        ("{}", "config.chainId", "missing"),
        (r#"{"config": {}}"#, "config.chainId", "missing"),
        (r#"{"config": {"chainId": 0}}"#, "config.chainId", "such as 4242"),
        (r#"{"config": 3}"#, "config", "expected an object, found a number"),
        (r#"{"config": {"chainId": "1x"}}"#, "config.chainId", "no whole number"),
        (r#"{"config": {"chainId": 1.5}}"#, "config.chainId", "no whole number"),
        (r#"{"config": {"chainId": -1}}"#, "config.chainId", "no whole number"),
        (r#"{"config": {"chainId": "0x10000000000000000"}}"#, "config.chainId", "larger than 64 bits"),
        (r#"{"config": {"chainId": 1, "chainID": 1}}"#, "config.chainID", "given twice, also as chainId"),
        (r#"{"config": {"chainId": 1, "clique": {}}}"#, "config.clique", "authorized_miners"),
        (r#"{"config": {"chainId": 1, "qbft": {}}}"#, "config.qbft", "authorized_miners"),
        (r#"{"config": {"chainId": 1, "amsterdamTime": 5}}"#, "config.amsterdamTime", "remove it"),
        (
            r#"{"config": {"chainId": 1, "berlinBlock": 5, "londonBlock": 4}}"#,
            "config.londonBlock",
            "before berlinBlock",
        ),
        (
            r#"{"config": {"chainId": 1, "londonBlock": 5, "shanghaiTime": 0}}"#,
            "config.shanghaiTime",
            "before londonBlock",
        ),
        (
            r#"{"config": {"chainId": 1, "shanghaiTime": 5, "osakaBlock": 5}}"#,
            "config.osakaBlock",
            "before shanghaiTime",
        ),
        (r#"{"config": {"chainId": 1, "eip155Block": 5, "eip158Block": 4}}"#, "config.eip155Block", "make them equal"),
        (r#"{"config": {"chainId": 1, "ethash": {"fixeddifficulty": 0}}}"#, "config.ethash.fixeddifficulty", "least"),
        (r#"{"config": {"chainId": 1, "zeroBaseFee": true, "fixedBaseFee": 3}}"#, "config.fixedBaseFee", "contradicts"),
        (r#"{"config": {"chainId": 1, "zeroBaseFee": 1}}"#, "config.zeroBaseFee", "true or false"),
        (r#"{"config": {"chainId": 1, "contractSizeLimit": 0}}"#, "config.contractSizeLimit", "no contract"),
        (r#"{"config": {"chainId": 1, "evmStackSize": 2048}}"#, "config.evmStackSize", "1024"),
        (r#"{"config": {"chainId": 1}, "gasLimit": 4999}"#, "gasLimit", "5000"),
        (r#"{"config": {"chainId": 1}, "gasLimit": "0x8000000000000000"}"#, "gasLimit", "9223372036854775807"),
        (r#"{"config": {"chainId": 1}, "gasUsed": 36000001}"#, "gasUsed", "above gasLimit"),
        (
            r#"{"config": {"chainId": 1}, "extraData": "0x000000000000000000000000000000000000000000000000000000000000000000"}"#,
            "extraData",
            "33 bytes",
        ),
        (r#"{"config": {"chainId": 1}, "extraData": "0x0"}"#, "extraData", "not hex"),
        (r#"{"config": {"chainId": 1}, "number": 1}"#, "number", "remove it"),
        (r#"{"config": {"chainId": 1}, "blobGasUsed": 1}"#, "blobGasUsed", "no blobs"),
        (r#"{"config": {"chainId": 1, "berlinBlock": 0}, "baseFeePerGas": 1}"#, "baseFeePerGas", "Berlin"),
        (r#"{"config": {"chainId": 1}, "alloc": {"ab": {}}}"#, "alloc.ab", "40 hex digits, found 2"),
        (
            r#"{"config": {"chainId": 1}, "alloc": {"00000000000000000000000000000000000000ab": {}, "0x00000000000000000000000000000000000000aB": {}}}"#,
            "alloc.0x00000000000000000000000000000000000000aB",
            "twice",
        ),
        (
            r#"{"config": {"chainId": 1}, "alloc": {"00000000000000000000000000000000000000ab": {"balance": "abc"}}}"#,
            "alloc.00000000000000000000000000000000000000ab.balance",
            "hex with 0x",
        ),
        (
            r#"{"config": {"chainId": 1}, "alloc": {"00000000000000000000000000000000000000ab": {"storage": {"0xg": "0x1"}}}}"#,
            "alloc.00000000000000000000000000000000000000ab.storage.0xg",
            "not hex",
        ),
    ];
    for (file, field, problem) in cases {
        let error = Genesis::parse(file).unwrap_err().to_string();
        assert!(error.starts_with(field) && error.contains(problem), "{file}\n{error}");
    }
}

#[test]
fn errors_in_pow_name_the_field_and_the_remedy() {
    let cases: &[(&str, &str, &str)] = &[
        (r#""difficulty": 1"#, "difficulty", "expected {\"fixed\": n}"),
        (r#""difficulty": {"fixed": 0}"#, "difficulty.fixed", "least difficulty is 1"),
        (r#""difficulty": {"fixed": 1, "min": 1}"#, "difficulty.fixed", "remove"),
        (r#""difficulty": {"target_ms": 0}"#, "difficulty.target_ms", "1 to 86400000"),
        (r#""difficulty": {"target_ms": 86400001}"#, "difficulty.target_ms", "1 to 86400000"),
        (r#""difficulty": {"half_life_blocks": 0}"#, "difficulty.half_life_blocks", "at least 1"),
        (r#""difficulty": {"min": 0}"#, "difficulty.min", "least difficulty is 1"),
        (r#""difficulty": {"min": 5, "max": 4}"#, "difficulty.min", "above max"),
        (r#""empty_blocks": "sometimes""#, "empty_blocks", "\"always\", \"never\""),
        (r#""empty_blocks": {"heartbeat": 0}"#, "empty_blocks", "always"),
        (r#""empty_blocks": 5"#, "empty_blocks", "found a number"),
        (r#""authorized_miners": ["0x1"]"#, "authorized_miners.0", "40 hex digits"),
        (r#""safe_depth": 21, "finality_depth": 20"#, "safe_depth", "deeper than finality_depth"),
    ];
    for (text, field, problem) in cases {
        let error = config(&format!(r#""pow": {{{text}}}"#)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("config.pow.{field}: ")) && error.contains(problem), "{text}\n{error}");
    }
}

#[test]
fn two_difficulties_contradict() {
    let error = config(r#""ethash": {"fixeddifficulty": 1}, "pow": {"difficulty": {"fixed": 1}}"#).unwrap_err();
    assert!(error.to_string().starts_with("config.ethash.fixeddifficulty: contradicts"), "{error}");
}

#[test]
fn unknown_fields_warn_with_the_nearest_known_one() {
    let cases = [
        (r#"{"config": {"chainId": 1, "eip145Block": 0}}"#, "config.eip145Block", Some("eip155Block")),
        (r#"{"config": {"chainId": 1, "pow": {"blok_reward": 0}}}"#, "config.pow.blok_reward", Some("block_reward")),
        (
            r#"{"config": {"chainId": 1, "pow": {"difficulty": {"taget_ms": 1}}}}"#,
            "config.pow.difficulty.taget_ms",
            Some("target_ms"),
        ),
        (
            r#"{"config": {"chainId": 1, "ethash": {"fixedifficulty": 1}}}"#,
            "config.ethash.fixedifficulty",
            Some("fixeddifficulty"),
        ),
        (r#"{"config": {"chainId": 1}, "gaslimt": 0}"#, "gaslimt", Some("gasLimit")),
        (r#"{"config": {"chainId": 1}, "whatever": {"deep": [1]}}"#, "whatever", None),
        (
            r#"{"config": {"chainId": 1}, "alloc": {"00000000000000000000000000000000000000ab": {"balnce": 1}}}"#,
            "alloc.00000000000000000000000000000000000000ab.balnce",
            Some("balance"),
        ),
    ];
    for (file, field, nearest) in cases {
        let (_, warnings) = Genesis::parse(file).unwrap();
        let expected = GenesisWarning { field: field.to_owned(), nearest, note: None };
        assert_eq!(warnings, [expected], "{file}");
        let text = warnings[0].to_string();
        assert!(text.starts_with(field) && nearest.is_none_or(|name| text.ends_with(&format!("{name}?"))), "{text}");
    }
}

#[test]
fn fields_without_effect_say_so() {
    for (text, field) in [
        (r#""transitions": {}"#, "config.transitions"),
        (r#""daoForkBlock": 5, "daoForkSupport": true"#, "config.daoForkBlock"),
    ] {
        let (_, warnings) = config(text).unwrap();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].field == field && warnings[0].note.is_some(), "{:?}", warnings[0]);
    }
}

#[test]
fn deep_nesting_is_only_an_unknown_field() {
    let deep = format!(r#"{{"config": {{"chainId": 1}}, "x": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(Genesis::parse(&deep).map(|(_, warnings)| warnings.len()).unwrap_or(1), 1);
}
