//! The difficulty of Ethereum's forks, bombs included.

use std::collections::BTreeMap;
use std::path::Path;

use alloy_consensus::EMPTY_OMMER_ROOT_HASH;
use alloy_primitives::{B256, U256};
use bench::Failure;
use consensus::Header;
use consensus::ethereum::difficulty::ethash_difficulty;
use consensus::spec::{Activation, Fork, ForkSchedule};
use serde::Deserialize;
use serde_json::Value;

use crate::conformance::suite::{Cases, Checked, Context, Job, NO_FORK, Skip, Suite, expect_equal};
use crate::conformance::vectors::{json_files, read_json};

pub(crate) const SUITE: Suite = Suite {
    name: "difficulty",
    about: "the difficulty formulas of Ethereum's forks, ommers and bombs included",
    archive: "unit-vectors",
    skips: &[Skip {
        fork: None,
        part: BELOW_THE_FLOOR,
        reason: "a parent whose difficulty is below the floor of 131,072, which no chain with that floor has",
    }],
    jobs,
};

/// What the names of such cases end with.
const BELOW_THE_FLOOR: &str = "(parent below the floor)";
const FLOOR: u64 = 131_072;

/// Fork names of the files, and the bomb's delay that they mean.
const FORKS: [(&str, Fork); 7] = [
    ("Frontier", Fork::Frontier),
    ("Homestead", Fork::Homestead),
    ("Byzantium", Fork::Byzantium),
    ("Constantinople", Fork::Constantinople),
    ("Berlin", Fork::Berlin),
    ("ArrowGlacier", Fork::ArrowGlacier),
    ("GrayGlacier", Fork::GrayGlacier),
];

fn jobs(context: &Context) -> Result<Vec<Job>, Failure> {
    let mut jobs: Vec<Job> = json_files(&context.folder.join("DifficultyTests"))?
        .into_iter()
        .map(|path| Job::new(context.name_of(&path), move |cases| run_by_fork(&path, cases)))
        .collect();
    let mainnet = || {
        let starts = [(Fork::Frontier, 0), (Fork::Homestead, 1_150_000), (Fork::Byzantium, 4_370_000)];
        ForkSchedule::new(starts.map(|(fork, first)| (fork, Activation::Block(first))).to_vec())
    };
    for (file, schedule) in [
        ("difficultyMainNetwork.json", mainnet()),
        ("difficultyCustomMainNetwork.json", mainnet()),
        ("difficultyCustomHomestead.json", ForkSchedule::only(Fork::Homestead)),
    ] {
        let path = context.folder.join("BasicTests").join(file);
        jobs.push(Job::new(context.name_of(&path), move |cases| {
            for (name, test) in read_json::<BTreeMap<String, Test>>(&path)? {
                run(cases, NO_FORK, &name, &test, |number| schedule.at(number, 0));
            }
            Ok(())
        }));
    }
    Ok(jobs)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Test {
    parent_timestamp: U256,
    parent_difficulty: U256,
    /// 0 or 1, or the hash of the parent's ommers.
    parent_uncles: Option<B256OrCount>,
    current_timestamp: U256,
    current_block_number: U256,
    current_difficulty: U256,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum B256OrCount {
    Hash(B256),
    Count(U256),
}

/// Runs a file of the form test ⇒ fork ⇒ case.
fn run_by_fork(path: &Path, cases: &mut Cases<'_>) -> Result<(), Failure> {
    for (_, mut forks) in read_json::<BTreeMap<String, BTreeMap<String, Value>>>(path)? {
        forks.remove("_info");
        for (fork_name, tests) in forks {
            let (_, fork) =
                FORKS.iter().find(|(name, _)| *name == fork_name).ok_or_else(|| format!("unknown fork {fork_name}"))?;
            for (name, test) in serde_json::from_value::<BTreeMap<String, Test>>(tests)? {
                run(cases, &fork_name, &name, &test, |_| *fork);
            }
        }
    }
    Ok(())
}

fn run(cases: &mut Cases<'_>, fork_name: &str, name: &str, test: &Test, fork: impl Fn(u64) -> Fork) {
    let below = test.parent_difficulty < U256::from(FLOOR);
    let name = if below { format!("{name} {BELOW_THE_FLOOR}") } else { name.to_owned() };
    cases.run(fork_name, &name, || check(test, fork));
}

fn check(test: &Test, fork: impl Fn(u64) -> Fork) -> Checked {
    let number = u64::try_from(test.current_block_number).map_err(|error| error.to_string())?;
    let seconds = |time: U256| u64::try_from(time).map_err(|error| error.to_string());
    let ommers_hash = match test.parent_uncles {
        None => EMPTY_OMMER_ROOT_HASH,
        Some(B256OrCount::Hash(hash)) => hash,
        Some(B256OrCount::Count(count)) if count.is_zero() => EMPTY_OMMER_ROOT_HASH,
        Some(B256OrCount::Count(_)) => B256::ZERO,
    };
    let parent = Header {
        number: number.saturating_sub(1),
        timestamp: seconds(test.parent_timestamp)?,
        difficulty: test.parent_difficulty,
        ommers_hash,
        ..Header::default()
    };
    let actual = ethash_difficulty(fork(number), seconds(test.current_timestamp)?, &parent);
    expect_equal("difficulty", &test.current_difficulty, &actual)
}
