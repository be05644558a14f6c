//! Runs the official general state tests: one transaction on a given state, through this project's own state, trie, undo log
//! and executor.
//!
//! `DRAWBRIDGE_STATE_TESTS=all` runs every file; without it every eighth one. `DRAWBRIDGE_STATE_TESTS_FILTER` keeps the files whose path
//! contains its value.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod format;
#[path = "../vectors/mod.rs"]
mod vectors;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy_primitives::{B256, Log, U256, keccak256};
use consensus::spec::{Fork, ForkSchedule};
use consensus::{ChainSpec, DifficultyRule, EmptyBlocks, FeeRules, Genesis, Header, PowRules, SealedHeader};
use evm_runtime::execute::BlockExecutor;
use evm_runtime::state::{self, StateView};
use evm_runtime::{BlockState, Receipt, TransactionRefused};
use format::{Case, Test};
use rayon::prelude::*;
use storage::{Durability, MemoryStore, Snapshot, Stage, Store, Table};

/// Of how many files a sample takes one.
const SAMPLE_STEP: usize = 8;

/// The forks under their names in the files. `Constantinople` is not among them: the EVM has no net gas metering of EIP-1283, which no chain kept.
const FORKS: [(&str, Fork); 14] = [
    ("Frontier", Fork::Frontier),
    ("Homestead", Fork::Homestead),
    ("EIP150", Fork::TangerineWhistle),
    ("EIP158", Fork::SpuriousDragon),
    ("Byzantium", Fork::Byzantium),
    ("ConstantinopleFix", Fork::Petersburg),
    ("Istanbul", Fork::Istanbul),
    ("Berlin", Fork::Berlin),
    ("London", Fork::London),
    ("Paris", Fork::Paris),
    ("Shanghai", Fork::Shanghai),
    ("Cancun", Fork::Cancun),
    ("Prague", Fork::Prague),
    ("Osaka", Fork::Osaka),
];

/// What is left out, by a part of the path, and why.
const SKIPPED: [(&str, &str); 8] = [
    ("RevertInCreateInInit", "creation over storage without code or nonce (EIP-7610) cannot come about on a chain"),
    ("dynamicAccountOverwriteEmpty", "creation over storage without code or nonce (EIP-7610)"),
    ("create2collisionStorage", "creation over storage without code or nonce (EIP-7610)"),
    ("InitCollision", "creation over storage without code or nonce (EIP-7610)"),
    ("ValueOverflow", "the value is no number of 256 bits"),
    ("stEOF", "drafts of the EVM object format"),
    ("CALLBlake2f_MaxRounds", "2^32 rounds take minutes"),
    (
        "/stEIP2537/",
        "filled in April 2024 with a draft's gas prices and precompiles; the final ones have vectors of their own",
    ),
];

#[derive(Clone, Copy, Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// What running a file gave: a tally for each fork, and the failures.
#[derive(Default)]
struct Report {
    forks: BTreeMap<&'static str, Tally>,
    failures: Vec<String>,
}

impl Report {
    fn merge(mut self, other: Self) -> Self {
        for (fork, tally) in other.forks {
            let sum = self.forks.entry(fork).or_default();
            sum.passed += tally.passed;
            sum.failed += tally.failed;
            sum.skipped += tally.skipped;
        }
        self.failures.extend(other.failures);
        self
    }

    fn print(&self, files: usize) {
        println!("{files} files\n{:18} {:>7} {:>7} {:>7}", "fork", "passed", "failed", "skipped");
        for fork in FORKS.iter().map(|(name, _)| *name).chain(["Constantinople"]) {
            let Tally { passed, failed, skipped } = self.forks.get(fork).copied().unwrap_or_default();
            println!("{fork:18} {passed:>7} {failed:>7} {skipped:>7}");
        }
        for (part, reason) in SKIPPED {
            println!("skipped: *{part}*: {reason}");
        }
        for failure in self.failures.iter().take(40) {
            println!("FAILED {failure}");
        }
    }
}

#[test]
fn official_state_tests() {
    let Some(folder) = vectors::unpacked("state-tests") else { return };
    evm_runtime::install_crypto();
    let mut files = Vec::new();
    json_files(&folder, &mut files);
    files.sort();
    if std::env::var("DRAWBRIDGE_STATE_TESTS").as_deref() != Ok("all") {
        files = files.into_iter().step_by(SAMPLE_STEP).collect();
    }
    if let Ok(part) = std::env::var("DRAWBRIDGE_STATE_TESTS_FILTER") {
        files.retain(|file| file.to_string_lossy().contains(&part));
    }
    let report = files.par_iter().map(|file| run_file(file)).reduce(Report::default, Report::merge);
    report.print(files.len());
    assert!(report.failures.is_empty(), "{} of the official state tests fail", report.failures.len());
    assert!(report.forks.values().any(|tally| tally.passed > 0), "nothing was run in {}", folder.display());
}

fn json_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            json_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
}

fn run_file(file: &Path) -> Report {
    let text = std::fs::read_to_string(file).unwrap();
    let tests: BTreeMap<String, Test> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let skipped = SKIPPED.iter().any(|(part, _)| file.to_string_lossy().contains(part));
    let mut report = Report::default();
    for (name, test) in &tests {
        let state = (!skipped).then(|| PreState::of(test));
        for (fork_name, cases) in &test.post {
            let fork = FORKS.iter().find(|(name, _)| name == fork_name);
            let tally = report.forks.entry(fork.map_or("Constantinople", |(name, _)| name)).or_default();
            let (Some(state), Some((_, fork))) = (&state, fork) else {
                tally.skipped += cases.len();
                continue;
            };
            for (index, case) in cases.iter().enumerate() {
                match state.run(test, *fork, case) {
                    Ok(()) => tally.passed += 1,
                    Err(reason) => {
                        tally.failed += 1;
                        let file = file.file_name().unwrap().to_string_lossy();
                        report.failures.push(format!("{file} {name} {fork_name} case {index}: {reason}"));
                    }
                }
            }
        }
    }
    report
}

/// The state before the transaction, in a store of its own.
struct PreState {
    snapshot: Snapshot,
    root: B256,
    header: Header,
}

impl PreState {
    fn of(test: &Test) -> Self {
        let store = MemoryStore::new();
        let mut stage = Stage::new(store.snapshot());
        let genesis = Genesis {
            spec: spec(Fork::NEWEST),
            header: SealedHeader::new(Header::default()),
            alloc: test.alloc(),
            bootnodes: Vec::new(),
        };
        let root = state::put_genesis(&mut stage, &genesis).unwrap();
        let header = test.header();
        for number in header.number.saturating_sub(256)..header.number {
            stage.put(Table::Canonical, number.to_be_bytes(), keccak256(number.to_string()).0);
        }
        store.commit(stage.into_batch(), Durability::Process).unwrap();
        Self { snapshot: store.snapshot(), root, header }
    }

    /// Executes the case's transaction as a block of its own, and compares root and logs; then the state must check out against
    /// itself, and undoing the block must give the root before.
    fn run(&self, test: &Test, fork: Fork, case: &Case) -> Result<(), String> {
        let header = format::header_at(fork, self.header.clone());
        let view = StateView::at_head(Arc::clone(&self.snapshot));
        let refused = case.expect_exception.is_some();
        let Some(transaction) = test.transaction(case) else {
            return if refused { self.expect_untouched(fork, &view, case) } else { Err("no transaction".to_owned()) };
        };
        let spec = spec(fork);
        let mut executor = BlockExecutor::begin(&spec, &header, &view, &*self.snapshot).map_err(|e| e.to_string())?;
        match (executor.transact(&transaction), &case.expect_exception) {
            (Ok(()), None) => {}
            (Ok(()), Some(expected)) => return Err(format!("accepted, but expected {expected}")),
            (Err(TransactionRefused::State(error)), _) => return Err(error.to_string()),
            (Err(_), Some(_)) => return self.expect_untouched(fork, &view, case),
            (Err(error), None) => return Err(format!("refused: {error}")),
        }
        let block = executor.finish().map_err(|error| error.to_string())?;
        let mut stage = Stage::new(Arc::clone(&self.snapshot));
        let root = state::apply(&mut stage, header.number, &block.changes).map_err(|error| error.to_string())?;
        self.expect_root(case.hash, root)?;
        let logs = logs_hash(&block.receipts);
        if logs != case.logs {
            return Err(format!("logs: expected {}, got {logs}", case.logs));
        }
        let check = state::check(&stage).map_err(|error| error.to_string())?;
        if check.root != root || !check.problems.is_empty() {
            return Err(format!("the state does not check out: {:?}", check.problems));
        }
        let undone = state::undo(&mut stage, header.number).map_err(|error| error.to_string())?;
        self.expect_root(self.root, undone).map_err(|error| format!("after undoing: {error}"))
    }

    /// A refused transaction leaves the state as it was, save that the tests credit the beneficiary with nothing, which before state
    /// clearing (EIP-161) makes an empty account.
    fn expect_untouched(&self, fork: Fork, view: &StateView, case: &Case) -> Result<(), String> {
        if fork >= Fork::SpuriousDragon {
            return self.expect_root(case.hash, self.root);
        }
        let mut state = BlockState::new(view);
        state.credit(self.header.beneficiary, U256::ZERO).map_err(|error| error.to_string())?;
        let applied = state::compute(&*self.snapshot, &state.changes()).map_err(|error| error.to_string())?;
        self.expect_root(case.hash, applied.root)
    }

    fn expect_root(&self, expected: B256, actual: B256) -> Result<(), String> {
        if expected == actual { Ok(()) } else { Err(format!("root: expected {expected}, got {actual}")) }
    }
}

/// keccak256 of the RLP list of all logs.
fn logs_hash(receipts: &[Receipt]) -> B256 {
    let logs: Vec<&Log> = receipts.iter().flat_map(|receipt| receipt.logs()).collect();
    let mut out = Vec::new();
    alloy_rlp::encode_list::<_, Log>(&logs, &mut out);
    keccak256(out)
}

fn spec(fork: Fork) -> ChainSpec {
    ChainSpec {
        chain_id: 1,
        forks: ForkSchedule::only(fork),
        pow: PowRules {
            difficulty: DifficultyRule::Fixed(U256::from(1)),
            empty_blocks: EmptyBlocks::Always,
            block_reward: U256::ZERO,
            authorized_miners: Default::default(),
            safe_depth: 0,
            finality_depth: 0,
        },
        fees: FeeRules::default(),
        contract_size_limit: None,
        ethereum: None,
    }
}
