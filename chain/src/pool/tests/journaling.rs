//! The journal: what survives a restart.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::support::{Bench, dynamic, legacy, signed};
use crate::pool::{JournalReport, PoolConfig};

fn config(directory: &Path) -> PoolConfig {
    PoolConfig { journal: Some(directory.join("transactions.rlp")), ..PoolConfig::default() }
}

fn report(added: usize, refused: usize, unreadable: usize, torn: bool) -> JournalReport {
    JournalReport { added, refused, unreadable, torn }
}

#[test]
fn local_transactions_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::new(config(directory.path()));
    assert_eq!(bench.pool.load_journal(&bench.world, 0), Ok(JournalReport::default()));
    let transactions = [signed(1, legacy(0, 1)), signed(1, dynamic(1, 2, 1)), signed(2, legacy(7, 0))];
    for transaction in &transactions {
        assert_eq!(bench.local(transaction).unwrap().journal_error, None);
    }
    bench.remote(&signed(3, legacy(0, 1))).unwrap();

    // A crash: nothing is written at the end.
    let mut bench = Bench::new(config(directory.path()));
    bench.world.set(1, 1, super::support::ETHER);
    assert_eq!(bench.pool.load_journal(&bench.world, 0), Ok(report(2, 1, 0, false)));
    assert_eq!(bench.counts(), (1, 1));
    assert_eq!(bench.pool.rotate_journal(), Ok(2));
    bench.local(&signed(1, legacy(2, 1))).unwrap();

    let mut bench = Bench::new(config(directory.path()));
    bench.world.set(1, 1, super::support::ETHER);
    assert_eq!(bench.pool.load_journal(&bench.world, 0), Ok(report(3, 0, 0, false)));
    assert_eq!(bench.counts(), (2, 1));
}

#[test]
fn a_torn_tail_and_unreadable_entries_cost_only_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::new(config(directory.path()));
    for nonce in 0..3 {
        bench.local(&signed(1, legacy(nonce, 1))).unwrap();
    }
    let path = directory.path().join("transactions.rlp");
    let good = fs::read(&path).unwrap();
    let length = good.len() / 3;
    assert_eq!(good.len() % 3, 0);
    // Entries that are RLP but no transaction: a byte, an empty list, a string of unknown type.
    let odd = [0x01, 0xc0, 0x82, 0x7e, 0x00];
    let bytes = [&good[..length], &odd, &good[length..3 * length - 1]].concat();
    fs::write(&path, bytes).unwrap();

    let bench = Bench::new(config(directory.path()));
    assert_eq!(bench.pool.load_journal(&bench.world, 0), Ok(report(2, 0, 3, true)));
    assert_eq!(fs::read(&path).unwrap(), good[..2 * length], "the journal is clean again");
}

#[test]
fn an_entry_longer_than_any_transaction_ends_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::new(config(directory.path()));
    bench.local(&signed(1, legacy(0, 1))).unwrap();
    let path = directory.path().join("transactions.rlp");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend([0xfa, 0x10, 0x00, 0x00]);
    bytes.extend(vec![0; 0x10_0000]);
    fs::write(&path, bytes).unwrap();
    let bench = Bench::new(config(directory.path()));
    assert_eq!(bench.pool.load_journal(&bench.world, 0), Ok(report(1, 0, 0, true)));
}

#[test]
fn a_journal_that_grew_long_is_written_anew() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(config(directory.path()));
    bench.world.set(1, 0, u128::MAX);
    bench.pool.journal.as_ref().unwrap().lock().appended_bytes_max = 1_000;
    for doublings in 0..60 {
        // Each replaces the one before it.
        bench.local(&signed(1, legacy(0, 1 << doublings))).unwrap();
    }
    let length = fs::metadata(directory.path().join("transactions.rlp")).unwrap().len();
    assert!(length < 1_200, "{length}");
}

#[test]
fn a_journal_that_cannot_be_written_is_told_and_refuses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::new(config(&directory.path().join("missing")));
    let added = bench.local(&signed(1, legacy(0, 1))).unwrap();
    let words = added.journal_error.unwrap().to_string();
    assert!(words.starts_with("the transaction journal ") && words.contains("missing/transactions.rlp"), "{words}");
    assert!(bench.pool.rotate_journal().is_err());
}

#[test]
fn a_failing_store_does_not_empty_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::new(config(directory.path()));
    bench.local(&signed(1, legacy(0, 1))).unwrap();
    let mut bench = Bench::new(config(directory.path()));
    bench.world.fails = true;
    assert_eq!(bench.pool.load_journal(&bench.world, 0), Ok(report(0, 1, 0, false)));
    bench.world.fails = false;
    assert_eq!(bench.pool.load_journal(&bench.world, 0), Ok(report(1, 0, 0, false)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn arbitrary_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("transactions.rlp"), bytes).unwrap();
        let bench = Bench::new(config(directory.path()));
        let report = bench.pool.load_journal(&bench.world, 0).unwrap();
        prop_assert_eq!(report.added, bench.counts().0 + bench.counts().1);
    }
}
