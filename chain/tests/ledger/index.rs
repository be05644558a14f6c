//! The index of addresses and events: what it holds, and that it is the chain's own whatever happened on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use chain::index::{self, EventScope, Roles, TRANSFER};
use chain::{ChainView, LedgerConfig, LedgerHandle};
use consensus::RecoveredBlock;
use proptest::prelude::*;
use storage::{Batch, Durability, MemoryStore, Reader, Store, Table};

use crate::world::*;

/// Init code of a token: whoever calls it with an address and an amount emits `Transfer(caller, address, amount)`.
const TOKEN: &[u8] = &hex!(
    "602f8060095f395ff3"
    "602060205f375f35337fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef60205fa300"
);

fn indexed() -> LedgerConfig {
    LedgerConfig { index: Some(true), ..LedgerConfig::default() }
}

fn transfer(from: u8, token: Address, to: Address) -> Act {
    Act::Call(from, token, [to.into_word().0, U256::from(7).to_be_bytes::<32>()].concat().into())
}

/// Blocks with transfers of ether and of tokens, creations, and what fails.
fn busy_chain(file: &str, trunk: &[RecoveredBlock], seed: u64, blocks: u64) -> Vec<RecoveredBlock> {
    let ledger = open(Arc::new(MemoryStore::new()), file);
    import_all(&ledger, trunk).unwrap();
    let mut dice = Dice(seed);
    let mut tokens: Vec<Address> = trunk.iter().flat_map(created).collect();
    let mut mined = Vec::new();
    for _ in 0..blocks {
        let senders = 1 + u8::try_from(dice.roll(6)).unwrap();
        let mut act = |from: u8| match (dice.roll(6), tokens.is_empty()) {
            (0, _) | (_, true) => Act::Deploy(from, TOKEN.into()),
            // An invalid opcode: the creation fails.
            (1, _) => Act::Deploy(from, Bytes::from_static(&[0xfe])),
            (2, _) => Act::Send(from, address(1 + u8::try_from(dice.roll(8)).unwrap()), dice.roll(1000)),
            _ => {
                let token = tokens[usize::try_from(dice.roll(tokens.len() as u64)).unwrap()];
                transfer(from, token, address(1 + u8::try_from(dice.roll(8)).unwrap()))
            }
        };
        let acts: Vec<_> = (1..=senders).map(&mut act).collect();
        let block = mine(&ledger, &format!("{seed:x}"), &acts);
        tokens.extend(created(&block));
        mined.push(block);
    }
    ledger.shut_down().unwrap();
    mined
}

/// What the chain itself says of addresses and events, block after block.
#[derive(Default)]
struct Scan {
    addresses: BTreeMap<Address, BTreeSet<(u64, u32)>>,
    emitted: BTreeMap<Address, BTreeSet<(u64, u32)>>,
    held: BTreeMap<Address, BTreeSet<(u64, u32)>>,
    transfers: BTreeSet<(u64, u32)>,
}

fn scan(view: &ChainView) -> Scan {
    let mut scan = Scan::default();
    for number in 1..=view.head().number {
        let block = view.block_by_number(number).unwrap().unwrap();
        let receipts = view.receipts(block.hash()).unwrap().unwrap();
        let mut log_index = 0;
        for (index, (tx, receipt)) in (0_u32..).zip(block.transactions.iter().zip(&*receipts)) {
            let mut named = vec![tx.sender()];
            named.extend(tx.to());
            if tx.to().is_none() && receipt.status() {
                named.push(tx.sender().create(tx.nonce()));
            }
            for log in receipt.logs() {
                named.push(log.address);
                scan.emitted.entry(log.address).or_default().insert((number, log_index));
                assert_eq!(log.topics()[0], TRANSFER);
                scan.transfers.insert((number, log_index));
                for holder in &log.topics()[1..3] {
                    named.push(Address::from_word(*holder));
                    scan.held.entry(Address::from_word(*holder)).or_default().insert((number, log_index));
                }
                log_index += 1;
            }
            named.into_iter().for_each(|address| {
                scan.addresses.entry(address).or_default().insert((number, index));
            });
        }
    }
    scan
}

/// Walks the index in pages of three, and returns what it has, newest first.
fn pages<T: Copy>(
    head: u64,
    mut page: impl FnMut((u64, u32)) -> Vec<T>,
    place: impl Fn(&T) -> (u64, u32),
) -> Vec<(u64, u32)> {
    let mut all = Vec::new();
    let mut before = (head + 1, 0);
    loop {
        let rows: Vec<_> = page(before).into_iter().take(3).collect();
        let Some(last) = rows.last() else { return all };
        before = place(last);
        all.extend(rows.iter().map(&place));
    }
}

fn assert_as_scanned(ledger: &LedgerHandle) {
    let view = ledger.view();
    let (scan, head) = (scan(&view), view.head().number);
    let index = view.index().unwrap().expect("the index covers the chain");
    let newest_first = |places: &BTreeSet<(u64, u32)>| places.iter().rev().copied().collect::<Vec<_>>();
    for (address, places) in &scan.addresses {
        let rows = |before| index.address(*address, before).map(Result::unwrap).collect();
        let found = pages(head, rows, |row: &index::AddressRow| (row.number, row.index));
        assert_eq!(found, newest_first(places), "{address}");
        let (first, last) = (places.first().unwrap().0, places.last().unwrap().0);
        assert_eq!(index.block_after(*address, 0).unwrap(), Some(first));
        assert_eq!(index.block_before(*address, u64::MAX - 1).unwrap(), Some(last));
        assert_eq!(index.block_before(*address, first - 1).unwrap(), None);
        assert_eq!(index.block_after(*address, last + 1).unwrap(), None);
    }
    let events = |scope: EventScope| {
        let rows = |before| index.events(&scope, before).map(Result::unwrap).collect();
        pages(head, rows, |row: &index::EventRow| (row.number, row.log_index))
    };
    for (token, places) in &scan.emitted {
        assert_eq!(events(EventScope::Emitter(*token)), newest_first(places), "{token}");
        assert_eq!(events(EventScope::EmitterAndTopic(*token, TRANSFER)), newest_first(places), "{token}");
        assert!(events(EventScope::EmitterAndTopic(*token, B256::ZERO)).is_empty());
    }
    for (holder, places) in &scan.held {
        assert_eq!(events(EventScope::Holder(*holder)), newest_first(places), "{holder}");
    }
    assert_eq!(events(EventScope::Topic(TRANSFER)), newest_first(&scan.transfers));
    assert!(events(EventScope::Topic(keccak256("another"))).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// However the chain came to be, the index is the one that is built from it at the end, and holds what a scan finds.
    #[test]
    fn reorganisations_and_rebuilding_give_the_same_rows(seed: u64, dropped in 1u64..4) {
        let file = shanghai();
        let trunk = busy_chain(&file, &[], seed, 4);
        let a = busy_chain(&file, &trunk, seed ^ 1, dropped);
        let b = busy_chain(&file, &trunk, seed ^ 2, dropped + 1);
        let stores: Vec<_> = (0..3).map(|_| Arc::new(MemoryStore::new())).collect();
        let moved = open_with(stores[0].clone(), &file, indexed());
        for blocks in [&trunk, &a, &b] {
            import_all(&moved, blocks).unwrap();
        }
        let straight = open_with(stores[1].clone(), &file, indexed());
        let plain = open(stores[2].clone(), &file);
        for blocks in [&trunk, &b] {
            import_all(&straight, blocks).unwrap();
            import_all(&plain, blocks).unwrap();
        }
        prop_assert!(plain.view().index().unwrap().is_none());
        plain.shut_down().unwrap();
        let built = index::build(&*stores[2], |_, _| {}).unwrap();
        prop_assert_eq!((built.blocks, built.first, built.last), (5 + dropped, 0, 5 + dropped));
        let expected = canonical_rows(&*stores[1]);
        prop_assert_eq!(&canonical_rows(&*stores[0]), &expected);
        prop_assert_eq!(&canonical_rows(&*stores[2]), &expected);
        stores.iter().for_each(|store| assert_whole(&**store));
        assert_as_scanned(&moved);
    }
}

#[test]
fn the_index_is_as_the_operator_wants_it_over_restarts() {
    let file = newest();
    let blocks = busy_chain(&file, &[], 5, 8);
    let store = Arc::new(MemoryStore::new());
    let run = |wanted: Option<bool>, blocks: &[RecoveredBlock]| {
        let ledger = open_with(store.clone(), &file, LedgerConfig { index: wanted, ..LedgerConfig::default() });
        import_all(&ledger, blocks).unwrap();
        ledger.shut_down().unwrap();
        ledger.view().index().unwrap().is_some()
    };
    let rows = |table| store.iterate(table, &[]).count();
    assert!(!run(None, &blocks[..1]), "nobody asked for it");
    assert_eq!(rows(Table::AddressIndex), 0);
    assert!(run(Some(true), &blocks[1..2]), "it is built for what is there");
    assert!(run(None, &blocks[2..3]), "and stays");
    let before = rows(Table::AddressIndex);
    assert!(!run(Some(false), &blocks[3..5]), "it is not extended any more");
    assert_eq!(rows(Table::AddressIndex), before);
    assert!(!run(None, &blocks[5..6]));
    assert_whole(&*store);
    assert!(run(Some(true), &blocks[6..]), "it is completed");
    assert_whole(&*store);
    assert_as_scanned(&open(store.clone(), &file));
    assert!(index::drop_all(&*store).unwrap() > 0);
    assert_eq!((rows(Table::AddressIndex), rows(Table::EventIndex)), (0, 0));
    assert!(!run(None, &[]));
    assert_whole(&*store);
}

#[test]
fn an_index_that_ends_off_the_chain_is_made_anew() {
    let file = newest();
    let a = busy_chain(&file, &[], 1, 2);
    let b = busy_chain(&file, &[], 2, 3);
    let store = Arc::new(MemoryStore::new());
    let ledger = open_with(store.clone(), &file, indexed());
    import_all(&ledger, &a).unwrap();
    ledger.shut_down().unwrap();
    // A program that knows no index reorganises: its rows stay as they were.
    let kept: Vec<_> = store.iterate(Table::Meta, b"index").take(1).map(Result::unwrap).collect();
    index::drop_all(&*store).unwrap();
    let ledger = open(store.clone(), &file);
    import_all(&ledger, &b).unwrap();
    ledger.shut_down().unwrap();
    let mut batch = Batch::default();
    batch.put(Table::Meta, kept[0].0.clone(), kept[0].1.clone());
    batch.put(Table::AddressIndex, [1; 32], [1]);
    store.commit(batch, Durability::Process).unwrap();
    assert_whole(&*store);
    let ledger = open(store.clone(), &file);
    assert_as_scanned(&ledger);
    assert_whole(&*store);
}

#[test]
fn a_check_of_the_database_finds_rows_that_are_missing_or_too_many() {
    let file = newest();
    let blocks = busy_chain(&file, &[], 3, 4);
    for table in [Table::AddressIndex, Table::EventIndex] {
        for is_missing in [true, false] {
            let store = Arc::new(MemoryStore::new());
            let ledger = open_with(store.clone(), &file, indexed());
            import_all(&ledger, &blocks).unwrap();
            ledger.shut_down().unwrap();
            assert_whole(&*store);
            let mut batch = Batch::default();
            if is_missing {
                batch.delete(table, store.seek(table, &[]).unwrap().unwrap().0);
            } else {
                batch.put(table, [0xee; 32], [1; 8]);
            }
            store.commit(batch, Durability::Process).unwrap();
            let problems = chain::verify::verify(&*store, |_| {}).unwrap().problems;
            assert!(problems.iter().any(|problem| problem.contains("index")), "{table:?} {is_missing}: {problems:?}");
        }
    }
}

#[test]
fn roles_say_what_an_address_is_in_a_transaction() {
    let file = newest();
    let store = Arc::new(MemoryStore::new());
    let ledger = open_with(store, &file, indexed());
    let token = address(1).create(0);
    mine(&ledger, "", &[Act::Deploy(1, TOKEN.into())]);
    mine(&ledger, "", &[transfer(2, token, address(3)), Act::Send(3, address(3), 1)]);
    let view = ledger.view();
    let index = view.index().unwrap().unwrap();
    let roles = |address: Address| {
        let rows = index.address(address, (u64::MAX, 0)).map(Result::unwrap);
        rows.map(|row| (row.number, row.index, row.roles.names().join(" "))).collect::<Vec<_>>()
    };
    let row = |number, index, names: &str| (number, index, names.to_owned());
    assert_eq!(roles(address(1)), [row(1, 0, "sender")]);
    assert_eq!(roles(token), [row(2, 0, "recipient emitter"), row(1, 0, "created")]);
    assert_eq!(roles(address(2)), [row(2, 0, "sender tokenFrom")]);
    assert_eq!(roles(address(3)), [row(2, 1, "sender recipient"), row(2, 0, "tokenTo")]);
    assert!(index.address(token, (2, 0)).next().unwrap().unwrap().roles.contain(Roles::CREATED));
}
