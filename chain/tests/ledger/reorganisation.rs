//! Which branch wins, and what a reorganisation moves.

use std::sync::Arc;

use chain::{Fact, ImportError, LedgerHandle};
use consensus::RecoveredBlock;
use parking_lot::Mutex;
use proptest::prelude::*;
use storage::MemoryStore;

use crate::world::*;

/// Imports blocks in the order of a drawing such as `"A1 A2 B1 B2 B3"` and tells head and reverted blocks as
/// `"head B3, reverted A2 A1"`. All branches begin at the genesis block.
fn play(drawing: &str) -> String {
    let file = newest();
    let branch_of = |name: &str| branch(&file, &[], name, &vec![vec![]; 8]);
    let branches: Vec<(char, Vec<RecoveredBlock>)> =
        ["A", "B", "C"].iter().map(|name| (name.chars().next().unwrap(), branch_of(name))).collect();
    let name_of = |hash| {
        let found = branches.iter().find_map(|(name, blocks)| {
            blocks.iter().position(|block| block.hash() == hash).map(|index| format!("{name}{}", index + 1))
        });
        found.unwrap_or_else(|| "genesis".to_owned())
    };
    let ledger = open(Arc::new(MemoryStore::new()), &file);
    let reverted = Arc::new(Mutex::new(Vec::new()));
    let sink = reverted.clone();
    ledger.subscribe(Box::new(move |fact| {
        if let Fact::NewHead { reorganisation: Some(moved), .. } = fact {
            sink.lock().extend(moved.dropped.iter().map(|(block, _)| block.hash()));
        }
    }));
    let mut problem = String::new();
    for step in drawing.split_whitespace() {
        let (name, number) = (step.chars().next().unwrap(), step[1..].parse::<usize>().unwrap());
        let blocks = &branches.iter().find(|(branch, _)| *branch == name).unwrap().1;
        if let Err(error) = ledger.import(blocks[number - 1].clone(), NOW) {
            problem = match error {
                ImportError::UnknownParent(_) => ", unknown parent".to_owned(),
                ImportError::BelowFinalized { .. } => ", below finalized".to_owned(),
                other => panic!("{other}"),
            };
        }
    }
    let reverted: Vec<_> = reverted.lock().iter().map(|hash| name_of(*hash)).collect();
    let reverted = if reverted.is_empty() { String::new() } else { format!(", reverted {}", reverted.join(" ")) };
    format!("head {}{reverted}{problem}", name_of(ledger.view().head().hash()))
}

#[test]
fn the_heavier_branch_wins_and_a_tie_keeps_the_first_seen() {
    for (drawing, outcome) in [
        ("A1 A2", "head A2"),
        ("A1 A2 B1 B2", "head A2"),
        ("A1 A2 B1 B2 B3", "head B3, reverted A2 A1"),
        ("B1 A1 A2 B2 B3", "head B3, reverted B1 A2 A1"),
        ("A1 B1 B2 C1 C2 C3", "head C3, reverted A1 B2 B1"),
        ("A1 A1 A1", "head A1"),
        ("A1 B2", "head A1, unknown parent"),
        ("A1 A2 A3 A4 B1 B2 B3 B4 B5", "head B5, reverted A4 A3 A2 A1"),
        ("A1 A2 A3 A4 A5 B1 B2 B3 B4 B5 B6", "head A5, below finalized"),
    ] {
        assert_eq!(play(drawing), outcome, "{drawing}");
    }
}

#[test]
fn transactions_of_dropped_blocks_return_to_the_pool_unless_the_new_branch_has_them() {
    let file = newest();
    let shared = Act::Send(1, address(7), 11);
    let lone = Act::Send(2, address(7), 22);
    let a = branch(&file, &[], "A", &[vec![shared.clone()], vec![lone]]);
    let b = branch(&file, &[], "B", &[vec![shared], vec![], vec![]]);
    let ledger = open(Arc::new(MemoryStore::new()), &file);
    import_all(&ledger, &a).unwrap();
    assert_eq!(ledger.pool().status().pending, 0);
    import_all(&ledger, &b).unwrap();
    let waiting: Vec<_> = ledger.pool().pending_transactions().iter().map(|tx| tx.hash()).collect();
    assert_eq!(waiting, [a[1].transactions[0].hash()]);
    let view = ledger.view();
    assert_eq!(view.transaction(a[1].transactions[0].hash()).unwrap(), None);
    assert_eq!(view.transaction(b[0].transactions[0].hash()).unwrap().unwrap().hash, b[0].hash());
}

fn is_invalid(ledger: &LedgerHandle, block: &RecoveredBlock) -> bool {
    matches!(ledger.import(block.clone(), NOW), Err(ImportError::Invalid(_)))
}

#[test]
fn an_invalid_branch_is_marked_and_the_old_head_stands() {
    let file = newest();
    let a = branch(&file, &[], "A", &[vec![Act::Send(1, address(7), 1)]]);
    let b = branch(&file, &[], "B", &[vec![Act::Send(2, address(7), 1)], vec![], vec![]]);
    // The first block of B lies about its state; it is stored as a side block, and found out when B becomes heavier.
    let bad = seal_again(b[0].clone(), |header| header.state_root.0[0] ^= 1);
    let child = seal_again(b[1].clone(), |header| {
        header.parent_hash = bad.hash();
        header.mix_hash = consensus::seal::next_mix_hash(&bad.header);
    });
    let store = Arc::new(MemoryStore::new());
    let ledger = open(store.clone(), &file);
    import_all(&ledger, &a).unwrap();
    let rows = canonical_rows(&*store);
    ledger.import(bad.clone(), NOW).unwrap();
    assert!(is_invalid(&ledger, &child));
    assert_eq!(ledger.view().head().hash(), a[0].hash());
    assert_eq!(canonical_rows(&*store), rows);
    // Neither is tried again, and nothing can be built on them.
    assert!(is_invalid(&ledger, &bad));
    assert!(is_invalid(&ledger, &child));
    import_all(&ledger, &b).unwrap();
    assert_eq!(ledger.view().head().hash(), b[2].hash());
    assert_whole(&*store);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Connecting a branch, leaving it for another and coming back gives the same tables, byte for byte, as never having left.
    #[test]
    fn undoing_blocks_gives_back_the_same_tables(seed: u64, dropped in 1u64..4) {
        let file = shanghai();
        let trunk = random_chain(&file, &[], seed, 4);
        let a = random_chain(&file, &trunk, seed ^ 1, dropped);
        let b = random_chain(&file, &trunk, seed ^ 2, dropped + 1);
        let (moved, straight) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
        let ledger = open(moved.clone(), &file);
        for blocks in [&trunk, &a, &b] {
            import_all(&ledger, blocks).unwrap();
        }
        let other = open(straight.clone(), &file);
        for blocks in [&trunk, &b] {
            import_all(&other, blocks).unwrap();
        }
        prop_assert_eq!(ledger.view().head().hash(), b.last().unwrap().hash());
        prop_assert_eq!(canonical_rows(&*moved), canonical_rows(&*straight));
        assert_whole(&*moved);
    }
}
