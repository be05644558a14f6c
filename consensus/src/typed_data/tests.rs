use serde_json::json;

use super::*;

/// The example of EIP-712.
fn mail() -> Value {
    json!({
        "types": {
            "EIP712Domain": [
                { "name": "name", "type": "string" },
                { "name": "version", "type": "string" },
                { "name": "chainId", "type": "uint256" },
                { "name": "verifyingContract", "type": "address" },
            ],
            "Person": [{ "name": "name", "type": "string" }, { "name": "wallet", "type": "address" }],
            "Mail": [
                { "name": "from", "type": "Person" },
                { "name": "to", "type": "Person" },
                { "name": "contents", "type": "string" },
            ],
        },
        "primaryType": "Mail",
        "domain": {
            "name": "Ether Mail",
            "version": "1",
            "chainId": 1,
            "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
        },
        "message": {
            "from": { "name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826" },
            "to": { "name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB" },
            "contents": "Hello, Bob!",
        },
    })
}

fn digest(json: Value) -> Result<B256, String> {
    TypedData::parse(json).and_then(|data| data.digest()).map_err(|error| error.to_string())
}

/// One member `x` of type `kind`.
fn one(kind: &str, value: Value) -> Value {
    json!({ "types": { "T": [{ "name": "x", "type": kind }] }, "primaryType": "T", "message": { "x": value } })
}

#[test]
fn the_example_of_the_standard_gives_its_hashes() {
    let data = TypedData::parse(mail()).unwrap();
    assert_eq!(
        data.encode_type("Mail").unwrap(),
        "Mail(Person from,Person to,string contents)Person(string name,address wallet)"
    );
    assert_eq!(
        data.digest().unwrap().to_string(),
        "0xbe609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
    );
    assert_eq!(
        data.domain_separator().unwrap().to_string(),
        "0xf2cee375fa42b42143804025fc449deafd50cc031ca257e0b194a650a912090f"
    );
    assert_eq!(
        data.hash_message().unwrap().to_string(),
        "0xc52c0ee5d84264471806290a3f2c4cecfc5490626bf912d01f240d7a274b371e"
    );
}

#[test]
fn the_domains_type_may_be_left_out() {
    let mut short = mail();
    short["types"].as_object_mut().unwrap().remove("EIP712Domain");
    assert_eq!(digest(short.clone()), digest(mail()));
    short["domain"]["color"] = json!("red");
    assert_eq!(digest(short).unwrap_err(), "domain: \"color\" is no member of a domain; give the type EIP712Domain");
}

#[test]
fn numbers_come_as_numbers_and_as_text() {
    for (kind, first, second) in [
        ("uint8", json!(255), json!("0xff")),
        (
            "uint256",
            json!("115792089237316195423570985008687907853269984665640564039457584007913129639935"),
            json!(format!("0x{}", "f".repeat(64))),
        ),
        ("int8", json!(-128), json!("-0x80")),
        ("int256", json!("-1"), json!(-1)),
        ("uint", json!(7), json!("7")),
    ] {
        let hash = digest(one(kind, first));
        assert!(hash.is_ok(), "{kind}: {hash:?}");
        assert_eq!(hash, digest(one(kind, second)), "{kind}");
    }
}

#[test]
fn a_value_that_does_not_fit_is_named_with_its_path() {
    for (kind, value, words) in [
        ("uint8", json!(256), "message.x: 256 is no uint8"),
        ("uint8", json!(1.5), "message.x: 1.5 is no uint8"),
        ("uint8", json!("0x"), "message.x: \"0x\" is no uint8"),
        ("int8", json!(128), "message.x: 128 is no int8"),
        ("int8", json!(-129), "message.x: -129 is no int8"),
        ("bool", json!("true"), "message.x: expected true or false, got \"true\""),
        ("address", json!("0x12"), "message.x: \"0x12\" is no address"),
        ("bytes4", json!("0x1234"), "message.x: expected 4 bytes, got 2"),
        ("bytes", json!("1234"), "message.x: \"1234\" does not begin with 0x"),
        ("string", json!(null), "message.x: expected text for string, got nothing"),
        ("string[2]", json!(["a"]), "message.x: expected 2 values, got 1"),
        ("string[]", json!(["a", 7]), "message.x[1]: expected text for string, got 7"),
        ("T[]", json!("a"), "message.x: expected a list of type T"),
        ("bytes33", json!("0x"), "types: bytes33 is not given"),
        ("uint7", json!(1), "types: uint7 is not given"),
        ("Other", json!({}), "types: Other is not given"),
        ("a b", json!(1), "types: \"a b\" is no name of a type or member"),
    ] {
        assert_eq!(digest(one(kind, value.clone())), Err(words.to_owned()), "{kind} {value}");
    }
    let mut more = mail();
    more["message"]["to"]["color"] = json!("red");
    assert_eq!(digest(more).unwrap_err(), "message.to: Person has no member \"color\"");
    assert!(digest(json!({ "types": {} })).unwrap_err().starts_with("not typed data: missing field `primaryType`"));
    assert_eq!(digest(json!({ "types": {}, "primaryType": "Mail" })).unwrap_err(), "types: Mail is not given");
}

#[test]
fn types_may_refer_to_themselves_and_to_each_other() {
    let list = json!({
        "types": { "Node": [{ "name": "value", "type": "uint8" }, { "name": "next", "type": "Node" }] },
        "primaryType": "Node",
        "message": { "value": 1, "next": { "value": 2, "next": null } },
    });
    assert!(digest(list).is_ok());
    // Each type twice in the one before: expanded, the first one would have 2^200 members.
    let name = |depth: usize| format!("T{depth}");
    let members =
        |depth: usize| json!([{ "name": "a", "type": name(depth + 1) }, { "name": "b", "type": name(depth + 1) }]);
    let mut types: Map<String, Value> = (0..200).map(|depth| (name(depth), members(depth))).collect();
    types.insert(name(200), json!([]));
    let message = json!({ "a": { "a": null, "b": {} }, "b": null });
    assert!(digest(json!({ "types": types, "primaryType": "T0", "message": message })).is_ok());
}

#[test]
fn the_size_of_types_is_limited() {
    let many: Map<String, Value> = (0..=TYPES_MAX).map(|number| (format!("T{number}"), json!([]))).collect();
    let long = json!({ "T": [{ "name": "x", "type": format!("bool{}", "[]".repeat(TYPES_SIZE_BYTES_MAX)) }] });
    for types in [Value::Object(many), long] {
        let refused = digest(json!({ "types": types, "primaryType": "T", "message": {} })).unwrap_err();
        assert_eq!(refused, "the types are too large: at most 256 of them and 65536 bytes");
    }
}

proptest::proptest! {
    #[test]
    fn any_types_and_values_are_hashed_or_refused(kind in "[a-z0-9\\[\\]]{0,12}", text in ".{0,12}", number: i64) {
        for value in [json!(text), json!(number), json!([text]), json!([[number]]), json!({ "x": text })] {
            let _ = digest(one(&kind, value));
        }
    }
}
