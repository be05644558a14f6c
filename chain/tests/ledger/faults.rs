//! A store that fails at any write leaves the old or the new head, and a whole database.

use std::sync::Arc;

use consensus::RecoveredBlock;
use storage::{Fault, FaultyStore, MemoryStore};

use crate::world::*;

/// Imports all blocks in order until one fails; returns the hash of the last head that was acknowledged.
fn run(store: &Arc<FaultyStore<MemoryStore>>, file: &str, blocks: &[RecoveredBlock]) -> Option<alloy_primitives::B256> {
    let (genesis, _) = consensus::Genesis::parse(file).unwrap();
    // With the index, whose rows are part of the same batches.
    let config = chain::LedgerConfig { index: Some(true), ..Default::default() };
    let ledger = chain::Ledger::open(store.clone(), &genesis, file, config).ok()?;
    let mut head = ledger.view().head().hash();
    for block in blocks {
        if ledger.import(block.clone(), NOW).is_err() {
            break;
        }
        head = ledger.view().head().hash();
    }
    Some(head)
}

#[test]
fn a_fault_at_any_write_leaves_the_old_or_the_new_head() {
    let file = shanghai();
    let trunk = random_chain(&file, &[], 11, 2);
    let a = random_chain(&file, &trunk, 12, 2);
    let b = random_chain(&file, &trunk, 13, 3);
    let blocks: Vec<_> = [trunk, a, b].concat();
    let smooth = Arc::new(FaultyStore::new(MemoryStore::new()));
    let last = run(&smooth, &file, &blocks).unwrap();
    assert_eq!(last, blocks.last().unwrap().hash());
    let writes = smooth.writes();
    assert!(writes >= 8, "{writes} writes");
    for nth in 1..=writes {
        for fault in [Fault::Before, Fault::After, Fault::Full] {
            let memory = MemoryStore::new();
            let store = Arc::new(FaultyStore::new(memory.clone()));
            store.fail_at(nth, fault);
            let acknowledged = run(&store, &file, &blocks);
            assert!(store.has_failed(), "write {nth}");
            // What the disk holds is opened again, as after a crash.
            let ledger = open(Arc::new(memory.clone()), &file);
            let head = ledger.view().head().hash();
            let genesis = ledger.view().genesis_hash();
            assert_whole(&memory);
            let position = |hash| blocks.iter().position(|block| block.hash() == hash);
            let before = acknowledged.and_then(position);
            let reached = position(head);
            assert!(reached.is_some() || head == genesis, "write {nth}, {fault:?}: an unknown head");
            assert!(reached >= before, "write {nth}, {fault:?}: {before:?} was acknowledged, {reached:?} is there");
            import_all(&ledger, &blocks).unwrap();
            assert_eq!(ledger.view().head().hash(), last, "write {nth}, {fault:?}: the import goes on");
            assert_whole(&memory);
        }
    }
}

#[test]
fn a_full_disk_stops_imports_alone_and_they_go_on_when_there_is_space() {
    let file = shanghai();
    let trunk = random_chain(&file, &[], 21, 2);
    let a = random_chain(&file, &trunk, 22, 2);
    let b = random_chain(&file, &trunk, 23, 3);
    let blocks: Vec<_> = [trunk, a, b].concat();
    let (genesis, _) = consensus::Genesis::parse(&file).unwrap();
    // The first write is that of the genesis block.
    for nth in 2..=blocks.len() + 1 {
        let memory = MemoryStore::new();
        let store = Arc::new(FaultyStore::new(memory.clone()));
        let ledger = chain::Ledger::open(store.clone(), &genesis, &file, Default::default()).unwrap();
        store.fail_at(u64::try_from(nth - 1).unwrap(), Fault::Full);
        let mut refused = 0;
        for block in &blocks {
            let before = ledger.view().head().hash();
            if let Err(error) = ledger.import(block.clone(), NOW) {
                assert!(error.is_out_of_space() && !error.is_fatal(), "write {nth}: {error}");
                assert!(ledger.is_out_of_space());
                refused += 1;
                assert_eq!(ledger.view().head().hash(), before, "write {nth}");
                // Reads go on, from the head that stands.
                let number = ledger.view().head().number;
                assert!(ledger.view().block_by_number(number).unwrap().is_some(), "write {nth}");
                ledger.import(block.clone(), NOW).unwrap_err();
                store.heal();
                ledger.import(block.clone(), NOW).unwrap();
                assert!(!ledger.is_out_of_space());
            }
        }
        assert_eq!(refused, 1, "write {nth}");
        assert_eq!(ledger.view().head().hash(), blocks.last().unwrap().hash(), "write {nth}");
        assert_whole(&memory);
    }
}
