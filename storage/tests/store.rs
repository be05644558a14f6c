//! One suite for every store: what the seam promises.
#![allow(clippy::unwrap_used, missing_docs)]

use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};
use storage::{Batch, Durability, Entry, MemoryStore, Reader, RocksOptions, RocksStore, Store, Table, Write};
use tempfile::TempDir;

/// Runs `test` over each kind of store.
fn each_store(test: impl Fn(&dyn Store)) {
    let directory = TempDir::new().unwrap();
    test(&RocksStore::open(directory.path(), RocksOptions::default()).unwrap());
    test(&MemoryStore::new());
}

fn commit(store: &dyn Store, puts: &[(&str, &str)], deletes: &[&str]) {
    let mut batch = Batch::default();
    for (key, value) in puts {
        batch.put(Table::Accounts, *key, *value);
    }
    for key in deletes {
        batch.delete(Table::Accounts, *key);
    }
    store.commit(batch, Durability::Process).unwrap();
}

fn text(entry: Entry) -> String {
    format!("{}={}", String::from_utf8(entry.0).unwrap(), String::from_utf8(entry.1).unwrap())
}

fn forward(reader: &dyn Reader, key: &str) -> String {
    texts(reader.iterate(Table::Accounts, key.as_bytes()))
}

fn texts(entries: storage::EntryIterator<'_>) -> String {
    entries.map(|entry| text(entry.unwrap())).collect::<Vec<_>>().join(" ")
}

#[test]
fn get_returns_what_was_put_last() {
    each_store(|store| {
        commit(store, &[("a", "1"), ("b", "")], &[]);
        commit(store, &[("a", "2")], &["absent"]);
        for (key, expected) in [("a", Some("2")), ("b", Some("")), ("absent", None), ("", None)] {
            let value = store.get(Table::Accounts, key.as_bytes()).unwrap();
            assert_eq!(value.as_deref(), expected.map(str::as_bytes), "{key}");
        }
        assert_eq!(store.get(Table::Slots, b"a").unwrap(), None, "tables are apart");
    });
}

#[test]
fn seek_and_walks_start_at_the_key_or_its_neighbour() {
    each_store(|store| {
        commit(store, &[("b", "2"), ("d", "4"), ("f", "6")], &[]);
        for (key, seek, up, down) in [
            ("a", Some("b=2"), "b=2 d=4 f=6", ""),
            ("b", Some("b=2"), "b=2 d=4 f=6", "b=2"),
            ("c", Some("d=4"), "d=4 f=6", "b=2"),
            ("f", Some("f=6"), "f=6", "f=6 d=4 b=2"),
            ("g", None, "", "f=6 d=4 b=2"),
            ("", Some("b=2"), "b=2 d=4 f=6", ""),
        ] {
            assert_eq!(store.seek(Table::Accounts, key.as_bytes()).unwrap().map(text).as_deref(), seek, "seek {key}");
            assert_eq!(forward(store, key), up, "up from {key}");
            assert_eq!(texts(store.iterate_back(Table::Accounts, key.as_bytes())), down, "down from {key}");
            let snapshot = store.snapshot();
            assert_eq!(snapshot.seek(Table::Accounts, key.as_bytes()).unwrap().map(text).as_deref(), seek);
            assert_eq!(forward(&*snapshot, key), up);
            assert_eq!(texts(snapshot.iterate_back(Table::Accounts, key.as_bytes())), down);
        }
    });
}

#[test]
fn a_prefix_walk_stays_within_the_prefix() {
    each_store(|store| {
        let mut batch = Batch::default();
        for key in [&[1, 255][..], &[1, 255, 0], &[1, 255, 255], &[2], &[255], &[255, 255], &[255, 255, 7]] {
            batch.put(Table::Slots, key, *b"v");
        }
        store.commit(batch, Durability::Process).unwrap();
        for (prefix, expected) in
            [(&[1, 255][..], 3), (&[255], 3), (&[255, 255], 2), (&[], 7), (&[3], 0), (&[1, 255, 0], 1)]
        {
            assert_eq!(store.iterate_prefix(Table::Slots, prefix).count(), expected, "{prefix:?}");
            assert_eq!(store.snapshot().iterate_prefix(Table::Slots, prefix).count(), expected, "{prefix:?}");
        }
    });
}

#[test]
fn a_snapshot_keeps_its_moment() {
    each_store(|store| {
        commit(store, &[("a", "1"), ("b", "1")], &[]);
        let before = store.snapshot();
        let walk = before.iterate(Table::Accounts, b"");
        commit(store, &[("a", "2"), ("c", "2")], &["b"]);
        let after = store.snapshot();
        assert_eq!(texts(walk), "a=1 b=1");
        assert_eq!(forward(&*before, ""), "a=1 b=1");
        assert_eq!(forward(&*after, ""), "a=2 c=2");
        assert_eq!(before.get(Table::Accounts, b"c").unwrap(), None);
    });
}

#[test]
fn a_walk_over_the_store_does_not_stop_commits() {
    each_store(|store| {
        commit(store, &[("a", "1"), ("b", "1"), ("c", "1")], &[]);
        let mut seen = Vec::new();
        for entry in store.iterate(Table::Accounts, b"") {
            let (key, _) = entry.unwrap();
            commit(store, &[], &[std::str::from_utf8(&key).unwrap()]);
            seen.push(key);
        }
        assert_eq!(seen, [b"a", b"b", b"c"]);
        assert_eq!(forward(store, ""), "");
    });
}

#[test]
fn the_later_change_of_a_batch_wins() {
    each_store(|store| {
        let mut batch = Batch::default();
        batch.put(Table::Accounts, *b"a", *b"1");
        batch.delete(Table::Accounts, *b"a");
        batch.delete(Table::Accounts, *b"b");
        batch.put(Table::Accounts, *b"b", *b"1");
        batch.put(Table::Accounts, *b"b", *b"2");
        store.commit(batch, Durability::Disk).unwrap();
        assert_eq!(forward(store, ""), "b=2");
    });
}

#[test]
fn a_batch_appears_whole_to_concurrent_readers() {
    each_store(|store| {
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || {
                for round in 0..200_u32 {
                    let mut batch = Batch::default();
                    for key in 0..8_u8 {
                        batch.put(
                            if key % 2 == 0 { Table::Accounts } else { Table::Slots },
                            [key],
                            round.to_be_bytes(),
                        );
                    }
                    store.commit(batch, Durability::Process).unwrap();
                }
            });
            while !writer.is_finished() {
                let snapshot = store.snapshot();
                let tables = [Table::Accounts, Table::Slots];
                let rounds: std::collections::BTreeSet<_> = tables
                    .iter()
                    .flat_map(|table| snapshot.iterate(*table, &[]))
                    .map(|entry| entry.unwrap().1)
                    .collect();
                assert!(rounds.len() <= 1, "{rounds:?}");
            }
        });
    });
}

#[test]
fn compaction_and_sizes_keep_the_rows() {
    each_store(|store| {
        let mut batch = Batch::default();
        for key in 0..1000_u32 {
            batch.put(Table::Bodies, key.to_be_bytes(), vec![7; 100]);
        }
        store.commit(batch, Durability::Process).unwrap();
        store.sync().unwrap();
        store.compact().unwrap();
        let size = store.size(Table::Bodies).unwrap();
        assert_eq!(size.rows, 1000);
        assert!(size.bytes > 0);
        assert_eq!(store.size(Table::Code).unwrap().rows, 0);
        assert_eq!(store.iterate(Table::Bodies, &[]).count(), 1000);
    });
}

/// What a random history does.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Write>),
    Snapshot,
    Reopen,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(255)], 0..4)
}

fn write() -> impl Strategy<Value = Write> {
    let table = prop_oneof![Just(Table::Accounts), Just(Table::SlotHistory)];
    prop_oneof![
        3 => (table.clone(), key(), prop::collection::vec(any::<u8>(), 0..5)).prop_map(|(table, key, value)| Write::Put(table, key, value)),
        1 => (table, key()).prop_map(|(table, key)| Write::Delete(table, key)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(write(), 0..12).prop_map(Step::Commit),
        2 => Just(Step::Snapshot),
        1 => Just(Step::Reopen),
    ]
}

type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

fn apply(model: &mut Model, writes: &[Write]) {
    for write in writes {
        match write.clone() {
            Write::Put(table, key, value) => model.insert((table, key), value),
            Write::Delete(table, key) => model.remove(&(table, key)),
        };
    }
}

fn check_equal(reader: &dyn Reader, model: &Model, probe: &[u8]) {
    for table in [Table::Accounts, Table::SlotHistory] {
        let rows: BTreeMap<_, _> = model
            .iter()
            .filter(|((of, _), _)| *of == table)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        let collect = |entries: storage::EntryIterator<'_>| entries.map(Result::unwrap).collect::<Vec<_>>();
        let expected = |range: std::collections::btree_map::Range<'_, Vec<u8>, Vec<u8>>| {
            range.map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>()
        };
        let probe = probe.to_vec();
        assert_eq!(reader.get(table, &probe).unwrap(), rows.get(&probe).cloned());
        let from = expected(rows.range(probe.clone()..));
        assert_eq!(reader.seek(table, &probe).unwrap(), from.first().cloned());
        assert_eq!(collect(reader.iterate(table, &probe)), from);
        let mut to = expected(rows.range(..=probe.clone()));
        to.reverse();
        assert_eq!(collect(reader.iterate_back(table, &probe)), to);
        let within: Vec<_> = from.into_iter().filter(|(key, _)| key.starts_with(&probe)).collect();
        assert_eq!(collect(reader.iterate_prefix(table, &probe)), within);
    }
}

fn check_history(steps: &[Step], probe: &[u8], reopen: &dyn Fn() -> Arc<dyn Store>) {
    let mut store = reopen();
    let mut model = Model::new();
    let mut snapshots = Vec::new();
    for step in steps {
        match step {
            Step::Commit(writes) => {
                let mut batch = Batch::default();
                for write in writes {
                    match write.clone() {
                        Write::Put(table, key, value) => batch.put(table, key, value),
                        Write::Delete(table, key) => batch.delete(table, key),
                    }
                }
                store.commit(batch, Durability::Process).unwrap();
                apply(&mut model, writes);
            }
            Step::Snapshot => snapshots.push((store.snapshot(), model.clone())),
            Step::Reopen => {
                for (snapshot, model) in snapshots.drain(..) {
                    check_equal(&*snapshot, &model, probe);
                }
                drop(store);
                store = reopen();
            }
        }
        check_equal(&*store, &model, probe);
    }
    for (snapshot, model) in snapshots {
        check_equal(&*snapshot, &model, probe);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn memory_equals_the_model(steps in prop::collection::vec(step(), 1..20), probe in key()) {
        let store = MemoryStore::new();
        check_history(&steps, &probe, &|| Arc::new(store.clone()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn rocks_equals_the_model(steps in prop::collection::vec(step(), 1..20), probe in key()) {
        let directory = TempDir::new().unwrap();
        check_history(&steps, &probe, &|| Arc::new(RocksStore::open(directory.path(), RocksOptions::default()).unwrap()));
    }
}
