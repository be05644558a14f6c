//! Ethash: sizes, cache, and the work of a header.

use std::collections::BTreeMap;
use std::path::Path;

use alloy_primitives::{B64, B256, hex, keccak256};
use alloy_rlp::Decodable;
use bench::Failure;
use consensus::Header;
use consensus::ethash::{EPOCH_BLOCKS, LightCache, LightCaches, Work, cache_bytes, dataset_bytes, seed_hash, work};
use consensus::seal::{SealError, seal_hash};
use serde::Deserialize;

use crate::conformance::suite::{Cases, Checked, Context, Job, NO_FORK, Suite, expect_equal};
use crate::conformance::vectors::read_json;

pub(crate) const SUITE: Suite = Suite {
    name: "proof-of-work",
    about: "Ethash: sizes, seed, light cache and the work of a header; too little work and another mix hash are refused",
    archive: "unit-vectors",
    skips: &[],
    jobs,
};

fn jobs(context: &Context) -> Result<Vec<Job>, Failure> {
    let path = context.folder.join("PoWTests/ethash_tests.json");
    Ok(vec![Job::new(context.name_of(&path), move |cases| run_file(&path, cases))])
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Test {
    nonce: String,
    mix_hash: B256,
    header: String,
    seed: B256,
    result: B256,
    #[serde(rename = "cache_size")]
    cache_size: u64,
    #[serde(rename = "full_size")]
    full_size: u64,
    #[serde(rename = "header_hash")]
    header_hash: B256,
    #[serde(rename = "cache_hash")]
    cache_hash: B256,
}

fn run_file(path: &Path, cases: &mut Cases<'_>) -> Result<(), Failure> {
    for (name, test) in read_json::<BTreeMap<String, Test>>(path)? {
        cases.run(NO_FORK, &name, || check(&test));
    }
    Ok(())
}

fn check(test: &Test) -> Checked {
    let bytes = hex::decode(&test.header).map_err(|error| error.to_string())?;
    let header = Header::decode(&mut &bytes[..]).map_err(|error| error.to_string())?;
    let nonce: B64 = test.nonce.parse::<B64>().map_err(|error| error.to_string())?;
    let epoch = header.number / EPOCH_BLOCKS;
    expect_equal("seed", &test.seed, &seed_hash(epoch))?;
    expect_equal("cache size", &test.cache_size, &cache_bytes(epoch))?;
    expect_equal("data set size", &test.full_size, &dataset_bytes(epoch))?;
    expect_equal("header hash", &test.header_hash, &seal_hash(&header))?;
    let cache = LightCache::new(epoch).ok_or("no such epoch")?;
    expect_equal("cache hash", &test.cache_hash, &keccak256(cache.bytes()))?;
    let Work { mix_hash, result } = work(&cache, test.header_hash, nonce);
    expect_equal("mix hash", &test.mix_hash, &mix_hash)?;
    expect_equal("result", &test.result, &result)?;
    check_verification(&Header { nonce, mix_hash, ..header })
}

/// Checks that verifying the header finds what is wrong with it: its work is not enough for its difficulty, and with a bit changed its mix
/// hash is another.
fn check_verification(header: &Header) -> Checked {
    let caches = LightCaches::default();
    if !matches!(caches.verify(header), Err(SealError::Work { .. })) {
        return Err("too little work is not refused as such".to_owned());
    }
    let mut other = header.clone();
    other.mix_hash.0[31] ^= 1;
    if !matches!(caches.verify(&other), Err(SealError::MixHash { .. })) {
        return Err("another mix hash is not refused as such".to_owned());
    }
    Ok(())
}
