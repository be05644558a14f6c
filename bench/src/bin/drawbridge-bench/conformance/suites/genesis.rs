//! Genesis blocks of chain files.

use std::collections::BTreeMap;
use std::path::Path;

use alloy_primitives::hex;
use bench::Failure;
use consensus::block::{Block, BlockBody};
use consensus::{Genesis, GenesisError};
use serde_json::{Map, Value, json};

use crate::conformance::suite::{Cases, Checked, Context, Job, Suite, expect_equal};
use crate::conformance::vectors::read_json;

pub(crate) const SUITE: Suite = Suite {
    name: "genesis",
    about: "the RLP of the genesis block that a chain file gives, state root included",
    archive: "unit-vectors",
    skips: &[],
    jobs,
};

fn jobs(context: &Context) -> Result<Vec<Job>, Failure> {
    let path = context.folder.join("GenesisTests/basic_genesis_tests.json");
    Ok(vec![Job::new(context.name_of(&path), move |cases| run_file(&path, cases))])
}

fn run_file(path: &Path, cases: &mut Cases<'_>) -> Result<(), Failure> {
    for (name, file) in read_json::<BTreeMap<String, Map<String, Value>>>(path)? {
        cases.run("Frontier", &name, || check(file));
    }
    Ok(())
}

fn check(mut file: Map<String, Value>) -> Checked {
    let result = file.remove("result").ok_or("no result")?;
    // These files are from before the sections that choose rules.
    file.insert("config".to_owned(), json!({ "chainId": 1, "frontierBlock": 0 }));
    let parsed = Genesis::parse(&Value::Object(file).to_string());
    let (genesis, _) = parsed.map_err(|error: GenesisError| error.to_string())?;
    let block = Block { header: genesis.header.into_header(), body: BlockBody::default() };
    let expected = result.as_str().ok_or("the result is no text")?.trim_start_matches("0x");
    expect_equal("genesis block", &expected, &hex::encode(alloy_rlp::encode(&block)).as_str())
}
