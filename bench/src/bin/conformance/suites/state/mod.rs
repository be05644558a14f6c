//! Official general state tests: one transaction on a given state, through the ledger's own state, trie, undo log and executor.

mod format;
mod pre_state;

use std::collections::BTreeMap;
use std::path::Path;

use bench::Failure;

use crate::spec::fork_named;
use crate::stores::Stores;
use crate::suite::{Cases, Context, Job, Skip, Suite};
use crate::vectors::{json_files, read_json};
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

/// Why creation over leftover storage is left out.
const COLLISION: &str =
    "an account with storage but neither code nor nonce (EIP-7610), which cannot come about on a chain";

const fn everywhere(part: &'static str, reason: &'static str) -> Skip {
    Skip { fork: None, part, reason }
}

const SKIPS: [Skip; 9] = [
    Skip {
        fork: Some("Constantinople"),
        part: "",
        reason: "net gas metering of EIP-1283, which no chain kept and the EVM does not have; ConstantinopleFix is run",
    },
    everywhere("RevertInCreateInInit", COLLISION),
    everywhere("dynamicAccountOverwriteEmpty", COLLISION),
    everywhere("create2collisionStorage", COLLISION),
    everywhere("InitCollision", COLLISION),
    everywhere("ValueOverflow", "the value is no number of 256 bits"),
    everywhere("stEOF", "drafts of the EVM object format, which no fork has"),
    everywhere("CALLBlake2f_MaxRounds", "2^32 rounds take minutes"),
    everywhere(
        "/stEIP2537/",
        "filled with a draft's gas prices and precompiles; the final ones have vectors of their own",
    ),
];

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
