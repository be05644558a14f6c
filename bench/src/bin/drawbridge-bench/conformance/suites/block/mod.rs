//! Official block tests: blocks come through the ledger's door one by one, good ones and bad ones, side branches among them.

mod case;
mod format;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bench::Failure;
use consensus::ethash::LightCaches;

use crate::conformance::stores::Stores;
use crate::conformance::suite::{Cases, Context, Job, Skip, Suite};
use crate::conformance::vectors::{json_files, read_json};
pub(super) use case::expect_whole;
use format::Test;

pub(crate) const BLOCKS: Suite = Suite {
    name: "block",
    about: "blocks imported through the ledger's door: forks of every kind, ommers, reorganisations, refusals, Ethash seals; head and \
            state compared, and the whole database verified",
    archive: "blockchain-tests",
    skips: &SKIPS,
    jobs,
};

pub(crate) const ONE_BLOCK_CHAINS: Suite = Suite {
    name: "one-block",
    about: "state tests as chains of one block, imported through the ledger's door; adds receipts, blooms and rewards to them",
    archive: "blockchain-gst-sample",
    skips: &SKIPS,
    jobs,
};

/// Why creation over leftover storage is left out.
const COLLISION: &str =
    "an account with storage but neither code nor nonce (EIP-7610), which cannot come about on a chain";

const fn everywhere(part: &'static str, reason: &'static str) -> Skip {
    Skip { fork: None, part, reason }
}

const SKIPS: [Skip; 6] = [
    Skip {
        fork: Some("Constantinople"),
        part: "",
        reason: "net gas metering of EIP-1283, which no chain kept and the EVM does not have; ConstantinopleFix is run",
    },
    everywhere("RevertInCreateInInit", COLLISION),
    everywhere("dynamicAccountOverwriteEmpty", COLLISION),
    everywhere("create2collisionStorage", COLLISION),
    everywhere("InitCollision_", COLLISION),
    everywhere("InitCollisionParis", COLLISION),
];

fn jobs(context: &Context) -> Result<Vec<Job>, Failure> {
    // Epoch 0 is all that the tests have: computed once for all of them.
    let caches = LightCaches::default();
    let job = |path: PathBuf| {
        let (stores, caches) = (context.stores.clone(), caches.clone());
        Job::new(context.name_of(&path), move |cases| run_file(&path, &stores, &caches, cases))
    };
    Ok(json_files(&context.folder)?.into_iter().map(job).collect())
}

fn run_file(path: &Path, stores: &Stores, caches: &LightCaches, cases: &mut Cases<'_>) -> Result<(), Failure> {
    for (name, test) in &read_json::<BTreeMap<String, Test>>(path)? {
        cases.run(&test.network, name, || case::run(test, stores, caches));
    }
    Ok(())
}
