//! Official general state tests: one transaction on a given state, through the ledger's own state, trie, undo log and executor.

mod format;
mod pre_state;

use std::collections::BTreeMap;
use std::path::Path;

use bench::Failure;

use crate::conformance::spec::fork_named;
use crate::conformance::stores::Stores;
use crate::conformance::suite::{Cases, Context, Job, Skip, Suite};
use crate::conformance::vectors::{json_files, read_json};
use format::Test;
use pre_state::PreState;

pub(crate) const SUITE: Suite = Suite {
    name: "state",
    about: "one transaction on a given state: state root, logs and refusals by the block executor, committed to the store, the whole \
            state checked against its tries, and undone",
    archive: "state-tests",
    skips: &SKIPS,
    jobs,
};

const SKIPS: [Skip; 26] = [
    at(
        "Constantinople",
        "",
        "net gas metering of EIP-1283, which no chain kept and the EVM does not have; ConstantinopleFix is run",
    ),
    all("stEOF/", "drafts of the EVM object format, which no fork has"),
    at("Istanbul", "stCreate2/create2collisionStorage ", COLLISION),
    at("Berlin", "stCreate2/create2collisionStorage ", COLLISION),
    at("London", "stCreate2/create2collisionStorage ", COLLISION),
    at("Istanbul", "stCreate2/RevertInCreateInInitCreate2Paris ", COLLISION),
    at("Berlin", "stCreate2/RevertInCreateInInitCreate2Paris ", COLLISION),
    at("London", "stCreate2/RevertInCreateInInitCreate2Paris ", COLLISION),
    at("Paris", "stCreate2/RevertInCreateInInitCreate2Paris ", COLLISION),
    at("Shanghai", "stCreate2/RevertInCreateInInitCreate2Paris ", COLLISION),
    at("Cancun", "stCreate2/RevertInCreateInInitCreate2Paris ", COLLISION),
    at("Prague", "stCreate2/RevertInCreateInInitCreate2Paris ", COLLISION),
    all("stSStoreTest/InitCollision ", COLLISION),
    all("stSStoreTest/InitCollisionParis ", COLLISION),
    all("stEIP2537/g1_add_", "a draft of EIP-2537: the addition in G1 costs 500, finally 375"),
    all("stEIP2537/g1_multiexp_", "a draft of EIP-2537: 0x0d is now the addition in G2"),
    all("stEIP2537/g2_add_", "a draft of EIP-2537: 0x0e is now the multiplication in G2"),
    all("stEIP2537/g2_mul_", "a draft of EIP-2537: 0x0f is now the pairing"),
    all("stEIP2537/g2_multiexp_", "a draft of EIP-2537: 0x10 is now the map to G1"),
    all("stEIP2537/pairing_", "a draft of EIP-2537: 0x11 is now the map to G2"),
    all("stEIP2537/fp_to_g1_", "a draft of EIP-2537: there is nothing at 0x12 now"),
    all("stEIP2537/extras_fp_to_g1_", "a draft of EIP-2537: there is nothing at 0x12 now"),
    all("stEIP2537/invalid_fp_encoding_", "a draft of EIP-2537: there is nothing at 0x12 now"),
    all("stEIP2537/fp2_to_g2_", "a draft of EIP-2537: there is nothing at 0x13 now"),
    all("stEIP2537/invalid_fp2_encoding_", "a draft of EIP-2537: there is nothing at 0x13 now"),
    all("stEIP2537/extras_fp2_to_g2_", "a draft of EIP-2537: there is nothing at 0x13 now"),
];

/// Why creation over leftover storage is left out, as geth and the EVM's own runner do.
const COLLISION: &str =
    "an account with storage but neither code nor nonce (EIP-7610), which cannot come about on a chain";

const fn all(part: &'static str, reason: &'static str) -> Skip {
    Skip { fork: None, part, reason }
}

const fn at(fork: &'static str, part: &'static str, reason: &'static str) -> Skip {
    Skip { fork: Some(fork), part, reason }
}

fn jobs(context: &Context) -> Result<Vec<Job>, Failure> {
    let job = |path: std::path::PathBuf| {
        let stores = context.stores.clone();
        Job::new(context.name_of(&path), move |cases| run_file(&path, &stores, cases))
    };
    Ok(json_files(&context.folder)?.into_iter().map(job).collect())
}

fn run_file(path: &Path, stores: &Stores, cases: &mut Cases<'_>) -> Result<(), Failure> {
    for (name, test) in &read_json::<BTreeMap<String, Test>>(path)? {
        // Made when the first case needs it, and again after a failure, which may leave anything behind.
        let mut state = None;
        for (fork_name, posts) in &test.post {
            for (index, case) in posts.iter().enumerate() {
                cases.run(fork_name, &format!("{name} {index}"), || {
                    let fork = fork_named(fork_name).ok_or("the EVM does not have this fork")?;
                    let before = match state.take() {
                        Some(before) => before,
                        None => PreState::new(test, stores)?,
                    };
                    before.run(test, fork, case)?;
                    state = Some(before);
                    Ok(())
                });
            }
        }
    }
    Ok(())
}
