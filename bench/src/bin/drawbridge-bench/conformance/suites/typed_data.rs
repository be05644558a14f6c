//! Typed data (EIP-712): digests of random structures.

use std::path::Path;

use alloy_primitives::{B256, Bytes, keccak256};
use bench::Failure;
use consensus::{TypedData, TypedDataError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::conformance::suite::{Cases, Checked, Context, Job, NO_FORK, Suite, expect_equal};
use crate::conformance::vectors::read_json;

pub(crate) const SUITE: Suite = Suite {
    name: "typed-data",
    about: "message hashes and digests of `eth_signTypedData_v4` (EIP-712)",
    archive: "unit-vectors",
    skips: &[],
    jobs,
};

fn jobs(context: &Context) -> Result<Vec<Job>, Failure> {
    let path = context.folder.join("ethers-testcases/eip712.json");
    Ok(vec![Job::new(context.name_of(&path), move |cases| run_file(&path, cases))])
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Test {
    name: String,
    domain: Value,
    types: Value,
    primary_type: String,
    data: Value,
    encoded: Bytes,
    digest: B256,
}

fn run_file(path: &Path, cases: &mut Cases<'_>) -> Result<(), Failure> {
    for test in read_json::<Vec<Test>>(path)? {
        cases.run(NO_FORK, &test.name, || check(&test));
    }
    Ok(())
}

fn check(test: &Test) -> Checked {
    let text = |error: TypedDataError| error.to_string();
    let Test { domain, types, primary_type, data, .. } = test;
    let request = json!({ "domain": domain, "types": types, "primaryType": primary_type, "message": data });
    let typed = TypedData::parse(request).map_err(text)?;
    expect_equal("message hash", &keccak256(&test.encoded), &typed.hash_message().map_err(text)?)?;
    expect_equal("digest", &test.digest, &typed.digest().map_err(text)?)
}
