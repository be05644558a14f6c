//! What was final once stays so: below a heavier but shorter branch, after a restart, in a directory of an older program.

use std::sync::Arc;

use alloy_primitives::B256;
use chain::{AfterRewind, ImportError, ImportOutcome, LedgerConfig, LedgerHandle, OpenError, RewindTarget, ViewError};
use consensus::search::{SearchJob, search};
use consensus::{Genesis, RecoveredBlock};
use storage::{Batch, Durability, MemoryStore, Reader, Store, Table};

use crate::world::*;

/// A difficulty that follows the time between blocks: five seconds are aimed at, four block times of delay halve it. Four blocks to
/// finality.
fn adjusting() -> String {
    let pow = r#""pow": {"difficulty": {"target_ms": 5000, "half_life_blocks": 4, "min": 1}, "safe_depth": 2, "finality_depth": 4}"#;
    chain_file(pow).replace(r#""difficulty": "0x1""#, r#""difficulty": "0x400""#)
}

/// Mines a branch on top of `trunk`, a block for each of these intervals (seconds).
fn timed(trunk: &[RecoveredBlock], salt: &str, intervals: &[u64]) -> Vec<RecoveredBlock> {
    let ledger = open(Arc::new(MemoryStore::new()), &adjusting());
    import_all(&ledger, trunk).unwrap();
    let mine = |seconds: &u64| {
        let timestamp = ledger.view().head().timestamp + seconds;
        let candidate = ledger.build(&chain::BuildRequest { timestamp, ..request(salt) }).unwrap();
        let nonce = search(&SearchJob::new(candidate.header()), 0, 1).unwrap();
        ledger.import_mined(candidate, nonce, None, NOW).unwrap();
        let view = ledger.view();
        RecoveredBlock::clone(&view.block_by_hash(view.head().hash()).unwrap().unwrap())
    };
    let mined = intervals.iter().map(mine).collect();
    ledger.shut_down().unwrap();
    mined
}

/// Ten blocks, and three branches: four slow blocks on the tenth, three fast ones on the tenth, six fast ones on the ninth. Each has
/// more work than the one before it.
struct Branches {
    trunk: Vec<RecoveredBlock>,
    slow: Vec<RecoveredBlock>,
    fast: Vec<RecoveredBlock>,
    below: Vec<RecoveredBlock>,
}

fn branches() -> Branches {
    let trunk = timed(&[], "trunk", &[5; 10]);
    Branches {
        slow: timed(&trunk, "slow", &[20; 4]),
        fast: timed(&trunk, "fast", &[1; 3]),
        below: timed(&trunk[..9], "below", &[1; 6]),
        trunk,
    }
}

fn finalized(ledger: &LedgerHandle) -> (u64, B256) {
    let view = ledger.view();
    assert_eq!(view.canonical_hash(view.finalized_number()).unwrap(), Some(view.finalized_hash()));
    (view.finalized_number(), view.finalized_hash())
}

/// Imports blocks until one is refused; returns it with the reason.
fn refused<'a>(ledger: &LedgerHandle, blocks: &'a [RecoveredBlock]) -> (&'a RecoveredBlock, ImportError) {
    let found = blocks.iter().find_map(|block| Some((block, ledger.import(block.clone(), NOW).err()?)));
    found.expect("a block that is refused")
}

fn put(store: &MemoryStore, key: &[u8], value: Option<&[u8]>) {
    let mut batch = Batch::default();
    match value {
        Some(value) => batch.put(Table::Meta, key, value),
        None => batch.delete(Table::Meta, key),
    }
    store.commit(batch, Durability::Process).unwrap();
}

#[test]
fn a_heavier_but_shorter_branch_leaves_the_finalized_block_where_it_was() {
    let (file, store) = (adjusting(), Arc::new(MemoryStore::new()));
    let Branches { trunk, slow, fast, below } = branches();
    let ledger = open(store.clone(), &file);
    import_all(&ledger, &trunk).unwrap();
    assert_eq!(finalized(&ledger), (6, trunk[5].hash()));
    import_all(&ledger, &slow).unwrap();
    let tenth = (10, trunk[9].hash());
    assert_eq!(finalized(&ledger), tenth);

    // The head moves down from 14 to 13, what is final does not.
    import_all(&ledger, &fast[..2]).unwrap();
    assert_eq!(ledger.import(fast[2].clone(), NOW), Ok(ImportOutcome::Canonical { reverted: 4 }));
    assert_eq!((ledger.view().head().hash(), ledger.view().safe_number()), (fast[2].hash(), 11));
    assert_eq!(finalized(&ledger), tenth);

    // A branch that would undo the tenth block is refused, however heavy, now and after a restart.
    let below_finalized = ImportError::BelowFinalized { ancestor: 9, finalized: 10 };
    let (block, reason) = refused(&ledger, &below);
    assert_eq!(reason, below_finalized);
    assert!(!reason.is_fatal());
    ledger.shut_down().unwrap();
    let ledger = open(store.clone(), &file);
    assert_eq!(finalized(&ledger), tenth);
    assert_eq!(ledger.import(block.clone(), NOW), Err(below_finalized));
    assert_eq!(ledger.view().head().hash(), fast[2].hash());
    assert_whole(&*store);

    // The operator's word alone undoes it: as many blocks are not final any more as the head goes back.
    ledger.rewind(RewindTarget::block(9), AfterRewind::ReturnTransactions, NOW).unwrap();
    assert_eq!(finalized(&ledger), (6, trunk[5].hash()));
    import_all(&ledger, &below).unwrap();
    assert_eq!((ledger.view().head().hash(), finalized(&ledger)), (below[5].hash(), (11, below[1].hash())));
    ledger.shut_down().unwrap();
    assert_eq!(finalized(&open(store.clone(), &file)), (11, below[1].hash()));
    assert_whole(&*store);
}

#[test]
fn going_back_takes_finality_back_as_far() {
    let file = newest();
    let blocks = branch(&file, &[], "A", &vec![vec![]; 9]);
    let store = Arc::new(MemoryStore::new());
    let ledger = open(store.clone(), &file);
    import_all(&ledger, &blocks).unwrap();
    for (to, expected) in [(9, 5), (8, 4), (5, 1), (4, 0), (0, 0)] {
        ledger.rewind(RewindTarget::block(to), AfterRewind::ReturnTransactions, NOW).unwrap();
        assert_eq!(finalized(&ledger).0, expected, "back to block {to}");
        let straight = Arc::new(MemoryStore::new());
        import_all(&open(straight.clone(), &file), &blocks[..to as usize]).unwrap();
        assert_eq!(canonical_rows(&*store), canonical_rows(&*straight), "back to block {to}");
    }
}

#[test]
fn a_directory_of_an_older_program_is_taken_as_it_is_and_keeps_what_is_final_from_then_on() {
    let (file, store) = (adjusting(), Arc::new(MemoryStore::new()));
    let Branches { trunk, slow, fast, .. } = branches();
    let ledger = open(store.clone(), &file);
    import_all(&ledger, &trunk).unwrap();
    import_all(&ledger, &slow).unwrap();
    ledger.shut_down().unwrap();
    put(&store, b"finalized", None);
    put(&store, b"format", Some(&1u64.to_be_bytes()));
    assert_whole(&*store);
    let ledger = open(store.clone(), &file);
    assert_eq!(finalized(&ledger), (10, trunk[9].hash()));
    assert_eq!(store.get(Table::Meta, b"format").unwrap(), Some(chain::FORMAT.to_be_bytes().to_vec()));
    import_all(&ledger, &fast).unwrap();
    ledger.shut_down().unwrap();
    assert_eq!(finalized(&open(store.clone(), &file)), (10, trunk[9].hash()));

    // Nor do other rules take anything back: a greater depth counts for what comes, a smaller one at once and for good.
    for (depth, expected) in [(8, 10), (2, 11), (8, 11)] {
        let other = file.replace(r#""finality_depth": 4"#, &format!(r#""finality_depth": {depth}"#));
        let ledger = open(store.clone(), &other);
        assert_eq!(finalized(&ledger).0, expected, "depth {depth}");
        ledger.shut_down().unwrap();
    }
    assert_whole(&*store);
}

#[test]
fn a_finalized_block_that_is_not_canonical_is_found_out() {
    let file = newest();
    let store = Arc::new(MemoryStore::new());
    let ledger = open(store.clone(), &file);
    import_all(&ledger, &branch(&file, &[], "A", &vec![vec![]; 9])).unwrap();
    ledger.shut_down().unwrap();
    let row = store.get(Table::Meta, b"finalized").unwrap().unwrap();
    let mut other = row.clone();
    other[39] ^= 1;
    let above = [&10u64.to_be_bytes()[..], &row[8..]].concat();
    for bad in [other, above] {
        put(&store, b"finalized", Some(&bad));
        let (genesis, _) = Genesis::parse(&file).unwrap();
        let error = chain::Ledger::open(store.clone(), &genesis, &file, LedgerConfig::default()).err().unwrap();
        assert!(matches!(&error, OpenError::Corrupt(problem) if problem.ends_with("is not canonical")), "{error}");
        let problems = chain::verify::verify(&*store, |_| {}).unwrap().problems;
        assert!(problems.len() == 1 && problems[0].starts_with("the finalized block"), "{problems:?}");
    }
}

#[test]
fn what_was_pruned_is_not_reorganised_and_stays_pruned_when_the_head_moves_down() {
    let file = adjusting().replace(r#""finality_depth": 4"#, r#""finality_depth": 40"#);
    let store = Arc::new(MemoryStore::new());
    let Branches { trunk, slow, fast, below } = branches();
    let ledger = open_with(store.clone(), &file, LedgerConfig { history: Some(4), ..LedgerConfig::default() });
    import_all(&ledger, &trunk).unwrap();
    let first_change = || store.seek(Table::Changes, &[]).unwrap().map(|(key, _)| key);
    let first_is = |number: u64| {
        assert_eq!(ledger.view().history_floor().unwrap(), number);
        assert_eq!(first_change().unwrap(), (number + 1).to_be_bytes());
        assert_eq!(ledger.view().state_at(number - 1).err(), Some(ViewError::Pruned { first: number }));
        ledger.view().state_at(number).unwrap();
    };
    import_all(&ledger, &slow).unwrap();
    first_is(10);
    import_all(&ledger, &fast).unwrap();
    assert_eq!(ledger.view().head().number, 13);
    first_is(10);
    let (_, reason) = refused(&ledger, &below);
    assert_eq!(reason, ImportError::BelowFinalized { ancestor: 9, finalized: 10 });
    assert_whole(&*store);
    // A slower and longer branch takes the head up by several blocks in one batch: the history of each of them goes.
    let longer = timed(&trunk, "longer", &[9; 12]);
    let before = ledger.view().head().number;
    let taken = longer
        .iter()
        .position(|block| matches!(ledger.import(block.clone(), NOW).unwrap(), ImportOutcome::Canonical { .. }));
    let head = ledger.view().head().number;
    assert_eq!(head, longer[taken.unwrap()].header.number);
    assert!(head > before + 1, "from block {before} to {head}");
    first_is(head - 4);
    assert_whole(&*store);
}
