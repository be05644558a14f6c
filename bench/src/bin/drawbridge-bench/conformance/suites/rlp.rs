//! RLP vectors, through both codecs that the product uses: `alloy-rlp` for Ethereum's objects, `rlp` for its own records.

use std::collections::BTreeMap;
use std::path::Path;

use alloy_primitives::{U512, hex};
use bench::Failure;
use serde::Deserialize;
use serde_json::Value;

use crate::conformance::suite::{Cases, Checked, Context, Job, NO_FORK, RunFile, Suite, expect_equal};
use crate::conformance::vectors::read_json;

pub(crate) const SUITE: Suite = Suite {
    name: "rlp",
    about: "encodings both ways and malformed ones refused, through `alloy-rlp` and `rlp`",
    archive: "unit-vectors",
    skips: &[],
    jobs,
};

/// What RLP can say: a string of bytes, or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Bytes(Vec<u8>),
    List(Vec<Item>),
}

fn jobs(context: &Context) -> Result<Vec<Job>, Failure> {
    let files: [(&str, RunFile); 3] = [
        ("RLPTests/rlptest.json", run_official),
        ("RLPTests/invalidRLPTest.json", run_official),
        ("ethers-testcases/rlp-coder.json", run_ethers),
    ];
    let job = |(file, run): (&str, RunFile)| {
        let path = context.folder.join(file);
        Job::new(context.name_of(&path), move |cases| run(&path, cases))
    };
    Ok(files.into_iter().map(job).collect())
}

#[derive(Deserialize)]
struct Official {
    r#in: Value,
    out: String,
}

fn run_official(path: &Path, cases: &mut Cases<'_>) -> Result<(), Failure> {
    for (name, Official { r#in, out }) in read_json::<BTreeMap<String, Official>>(path)? {
        cases.run(NO_FORK, &name, || {
            let bytes = hex::decode(&out).map_err(|error| format!("{out}: {error}"))?;
            if r#in == "INVALID" { expect_refused(&bytes) } else { expect_both_ways(&official_item(&r#in)?, &bytes) }
        });
    }
    Ok(())
}

/// Reads text as its bytes, numbers (those beyond 64 bits as text after `#`) as big-endian bytes without leading zeros.
fn official_item(value: &Value) -> Result<Item, String> {
    let number = |text: &str| {
        let number = text.parse::<U512>().map_err(|error| format!("{text}: {error}"))?;
        Ok(Item::Bytes(number.to_be_bytes_trimmed_vec()))
    };
    match value {
        Value::Array(items) => items.iter().map(official_item).collect::<Result<_, _>>().map(Item::List),
        Value::Number(value) => number(&value.to_string()),
        Value::String(text) => match text.strip_prefix('#') {
            Some(digits) => number(digits),
            None => Ok(Item::Bytes(text.as_bytes().to_vec())),
        },
        other => Err(format!("neither text, number nor list: {other}")),
    }
}

#[derive(Deserialize)]
struct Ethers {
    name: String,
    decoded: Value,
    encoded: String,
}

fn run_ethers(path: &Path, cases: &mut Cases<'_>) -> Result<(), Failure> {
    for Ethers { name, decoded, encoded } in read_json::<Vec<Ethers>>(path)? {
        cases.run(NO_FORK, &name, || {
            let bytes = hex::decode(&encoded).map_err(|error| format!("{encoded}: {error}"))?;
            expect_both_ways(&ethers_item(&decoded)?, &bytes)
        });
    }
    Ok(())
}

fn ethers_item(value: &Value) -> Result<Item, String> {
    match value {
        Value::Array(items) => items.iter().map(ethers_item).collect::<Result<_, _>>().map(Item::List),
        Value::String(text) => hex::decode(text).map(Item::Bytes).map_err(|error| format!("{text}: {error}")),
        other => Err(format!("neither text nor list: {other}")),
    }
}

fn expect_both_ways(item: &Item, bytes: &[u8]) -> Checked {
    let expected = hex::encode(bytes);
    expect_equal("alloy-rlp encodes", &expected, &hex::encode(alloy_encode(item)))?;
    expect_equal("rlp encodes", &expected, &hex::encode(rlp_encode(item)))?;
    for (codec, decoded) in [("alloy-rlp", alloy_decode(bytes)), ("rlp", rlp_decode(bytes))] {
        match decoded {
            Ok(decoded) if decoded == *item => {}
            other => return Err(format!("{codec} decodes: expected {item:?}, got {other:?}")),
        }
    }
    Ok(())
}

fn expect_refused(bytes: &[u8]) -> Checked {
    for (codec, decoded) in [("alloy-rlp", alloy_decode(bytes)), ("rlp", rlp_decode(bytes))] {
        if let Ok(item) = decoded {
            return Err(format!("{codec} took it for {item:?}"));
        }
    }
    Ok(())
}

fn alloy_encode(item: &Item) -> Vec<u8> {
    let mut out = Vec::new();
    match item {
        Item::Bytes(bytes) => alloy_rlp::Encodable::encode(&bytes[..], &mut out),
        Item::List(items) => {
            let payload: Vec<u8> = items.iter().flat_map(alloy_encode).collect();
            alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut out);
            out.extend(payload);
        }
    }
    out
}

fn alloy_decode(bytes: &[u8]) -> Result<Item, String> {
    let mut rest = bytes;
    let item = alloy_decode_first(&mut rest)?;
    if rest.is_empty() { Ok(item) } else { Err(format!("{} bytes after the item", rest.len())) }
}

fn alloy_decode_first(rest: &mut &[u8]) -> Result<Item, String> {
    let header = alloy_rlp::Header::decode(rest).map_err(|error| error.to_string())?;
    let (mut payload, after) = rest.split_at_checked(header.payload_length).ok_or("cut off")?;
    *rest = after;
    if !header.list {
        return Ok(Item::Bytes(payload.to_vec()));
    }
    let mut items = Vec::new();
    while !payload.is_empty() {
        items.push(alloy_decode_first(&mut payload)?);
    }
    Ok(Item::List(items))
}

fn rlp_encode(item: &Item) -> Vec<u8> {
    let mut stream = rlp::RlpStream::new();
    append(&mut stream, item);
    stream.out().to_vec()
}

fn append(stream: &mut rlp::RlpStream, item: &Item) {
    match item {
        Item::Bytes(bytes) => {
            stream.append(bytes);
        }
        Item::List(items) => {
            stream.begin_list(items.len());
            items.iter().for_each(|item| append(stream, item));
        }
    }
}

fn rlp_decode(bytes: &[u8]) -> Result<Item, String> {
    let text = |error: rlp::DecoderError| error.to_string();
    let list = rlp::Rlp::new(bytes);
    if list.payload_info().map_err(text)?.total() != bytes.len() {
        return Err("bytes after the item".to_owned());
    }
    if list.is_data() {
        return list.as_val().map(Item::Bytes).map_err(text);
    }
    let items = (0..list.item_count().map_err(text)?).map(|index| rlp_decode(list.at(index).map_err(text)?.as_raw()));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    // The codec counts what decodes and stops at what does not.
    let decoded: usize = items.iter().map(|item| rlp_encode(item).len()).sum();
    if decoded == list.payload_info().map_err(text)?.value_len {
        Ok(Item::List(items))
    } else {
        Err("a malformed item".to_owned())
    }
}
