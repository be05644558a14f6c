//! Chains in files.

use std::sync::Arc;

use chain::files::{self, FileError};
use storage::MemoryStore;

use crate::world::*;

fn exported(ledger: &chain::LedgerHandle, first: u64, last: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    files::export(&ledger.view(), &mut bytes, first, last, |_| {}).unwrap();
    bytes
}

#[test]
fn an_exported_chain_imports_to_the_same_head() {
    let authorized = format!(
        r#""pow": {{"difficulty": {{"fixed": 1}}, "authorized_miners": ["{}"], "safe_depth": 2, "finality_depth": 40}}"#,
        address(9)
    );
    for file in [newest(), chain_file(&authorized)] {
        let ledger = open(Arc::new(MemoryStore::new()), &file);
        for n in 0..5 {
            mine(&ledger, "", &[Act::Send(1, address(7), n), Act::Create(2)]);
        }
        let bytes = exported(&ledger, 0, 5);
        let other = open(Arc::new(MemoryStore::new()), &file);
        let report = files::import(&other, &bytes[..], || NOW, |_| {}).unwrap();
        assert_eq!((report.blocks, report.known, report.transactions), (6, 1, 10));
        assert_eq!(other.view().head().hash(), ledger.view().head().hash());
        let again = files::import(&other, &bytes[..], || NOW, |_| {}).unwrap();
        assert_eq!((again.blocks, again.known), (6, 6));
        // A range joins what is there; a gap is told.
        let third = open(Arc::new(MemoryStore::new()), &file);
        files::import(&third, &exported(&ledger, 1, 3)[..], || NOW, |_| {}).unwrap();
        let gap = files::import(&third, &exported(&ledger, 5, 5)[..], || NOW, |_| {}).unwrap_err();
        assert!(matches!(gap, FileError::Import { number: 5, .. }), "{gap}");
        files::import(&third, &exported(&ledger, 4, 5)[..], || NOW, |_| {}).unwrap();
        assert_eq!(third.view().head().hash(), ledger.view().head().hash());
    }
}

#[test]
fn a_damaged_file_keeps_the_blocks_before_the_damage() {
    let file = newest();
    let ledger = open(Arc::new(MemoryStore::new()), &file);
    for n in 0..4 {
        mine(&ledger, "", &[Act::Send(1, address(7), n)]);
    }
    let bytes = exported(&ledger, 1, 4);
    for cut in [1, 100, bytes.len() / 2 + 7, bytes.len() - 1] {
        let other = open(Arc::new(MemoryStore::new()), &file);
        let error = files::import(&other, &bytes[..cut], || NOW, |_| {}).unwrap_err();
        assert!(matches!(error, FileError::Malformed { .. }), "{cut}: {error}");
        assert!(other.view().head().number < 4);
    }
    let mut dice = Dice(5);
    for _ in 0..200 {
        let mut damaged = bytes.clone();
        let at = usize::try_from(dice.roll(bytes.len() as u64)).unwrap();
        damaged[at] ^= 1 << dice.roll(8);
        let store = Arc::new(MemoryStore::new());
        let other = open(store.clone(), &file);
        if files::import(&other, &damaged[..], || NOW, |_| {}).is_ok() {
            panic!("a flipped bit at {at} was not noticed");
        }
        assert_whole(&*store);
    }
    let empty = files::import(&ledger, &[][..], || NOW, |_| {}).unwrap();
    assert_eq!(empty.blocks, 0);
}
