//! Going back, and changing the state by hand.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use chain::{AfterRewind, Fact, ImportError, LedgerConfig, LedgerHandle, RewindTarget};
use consensus::RecoveredBlock;
use evm_runtime::state::AccountAmendment;
use parking_lot::Mutex;
use proptest::prelude::*;
use storage::{MemoryStore, Table};

use crate::world::*;

fn back_to(ledger: &LedgerHandle, number: u64) -> Result<(), ImportError> {
    ledger.rewind(RewindTarget::block(number), AfterRewind::ReturnTransactions, NOW)
}

fn refusal(ledger: &LedgerHandle, number: u64) -> String {
    match back_to(ledger, number) {
        Err(ImportError::Refused(words)) => words,
        other => panic!("{other:?}"),
    }
}

fn amendment(address: Address) -> AccountAmendment {
    AccountAmendment { address_hash: keccak256(address), ..AccountAmendment::default() }
}

fn slot(number: u64) -> B256 {
    keccak256(U256::from(number).to_be_bytes::<32>())
}

/// All that the canonical chain decides, but the mark that the state was ever changed by hand.
fn rows(store: &MemoryStore) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    canonical_rows(store).into_iter().filter(|(_, key, _)| key != b"amended").collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Going back gives the same tables, byte for byte, as never having gone on; coming again gives those of the straight way.
    #[test]
    fn going_back_gives_back_the_same_tables(seed: u64, to in 0u64..6) {
        let file = shanghai();
        let blocks = random_chain(&file, &[], seed, 6);
        let (went, stayed) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
        let (ledger, other) = (open(went.clone(), &file), open(stayed.clone(), &file));
        import_all(&ledger, &blocks).unwrap();
        let whole = canonical_rows(&*went);
        import_all(&other, &blocks[..to as usize]).unwrap();
        back_to(&ledger, to).unwrap();
        prop_assert_eq!(canonical_rows(&*went), canonical_rows(&*stayed));
        assert_whole(&*went);
        // The blocks are still in the store; they are taken again all the same.
        import_all(&ledger, &blocks).unwrap();
        prop_assert_eq!(canonical_rows(&*went), whole);
    }

    /// Whatever is set by hand between blocks, the database is whole, opens again, and taking it back leaves no trace.
    #[test]
    fn changes_by_hand_are_undone_without_a_trace(seed: u64, kept in 0u32..3) {
        let file = shanghai();
        let blocks = random_chain(&file, &[], seed, 4);
        let store = Arc::new(MemoryStore::new());
        let ledger = open(store.clone(), &file);
        import_all(&ledger, &blocks).unwrap();
        let mut dice = Dice(seed);
        let mut before = vec![rows(&store)];
        for _ in 0..3 {
            ledger.amend(random_amendments(&mut dice, &blocks), NOW).unwrap();
            before.push(rows(&store));
        }
        assert_whole(&*store);
        mine(&ledger, "over", &[Act::Send(8, address(7), 1)]);
        assert_whole(&*store);
        ledger.shut_down().unwrap();
        let ledger = open(store.clone(), &file);
        let target = RewindTarget { number: 4, amendments: Some(kept) };
        ledger.rewind(target, AfterRewind::ReplacePool(Vec::new()), NOW).unwrap();
        prop_assert_eq!(&rows(&store), &before[kept as usize]);
        assert_whole(&*store);
        back_to(&ledger, 0).unwrap();
        let fresh = Arc::new(MemoryStore::new());
        open(fresh.clone(), &file);
        prop_assert_eq!(rows(&store), rows(&fresh));
    }
}

/// Rolls changes of a few accounts: of cells that exist, of senders (never their nonces), of nobody.
fn random_amendments(dice: &mut Dice, blocks: &[RecoveredBlock]) -> Vec<AccountAmendment> {
    let mut addresses: Vec<Address> = blocks.iter().flat_map(created).collect();
    addresses.extend([address(1), address(2), Address::repeat_byte(0x40), Address::repeat_byte(0x99)]);
    let count = 1 + dice.roll(3) as usize;
    let start = dice.roll(addresses.len() as u64) as usize;
    let chosen = addresses.iter().cycle().skip(start).take(count.min(addresses.len()));
    let mut chosen: Vec<_> = chosen.copied().collect();
    chosen.sort_unstable();
    chosen.dedup();
    let change = |address: Address| AccountAmendment {
        balance: (dice.roll(2) == 0).then(|| U256::from(dice.roll(3)) << 64),
        code: (dice.roll(4) == 0 && address == Address::repeat_byte(0x99)).then(|| Bytes::from(vec![0; 3])),
        clears_storage: dice.roll(4) == 0,
        slots: (0..dice.roll(4)).map(|_| (slot(dice.roll(5)), U256::from(dice.roll(3)))).collect(),
        ..amendment(address)
    };
    chosen.into_iter().map(change).collect()
}

#[test]
fn where_the_chain_cannot_go_back_to_is_said() {
    let file = newest();
    let blocks = branch(&file, &[], "A", &vec![vec![]; 9]);
    let config = LedgerConfig { history: Some(5), ..LedgerConfig::default() };
    let store = Arc::new(MemoryStore::new());
    let ledger = open_with(store.clone(), &file, config);
    import_all(&ledger, &blocks).unwrap();
    assert!(refusal(&ledger, 10).contains("above the head, block 9"));
    assert!(refusal(&ledger, 3).contains("can go back to block 4"));
    // What is final is the operator's to undo.
    assert_eq!(ledger.view().finalized_number(), 5);
    back_to(&ledger, 4).unwrap();
    assert_eq!(ledger.view().head().hash(), blocks[3].hash());
    assert_whole(&*store);
}

#[test]
fn transactions_come_back_or_the_pool_is_what_was_asked_for() {
    let file = newest();
    let ledger = open(Arc::new(MemoryStore::new()), &file);
    let first = mine(&ledger, "A", &[Act::Send(1, address(7), 1)]);
    let second = mine(&ledger, "A", &[Act::Send(1, address(7), 2), Act::Send(2, address(7), 3)]);
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    ledger.subscribe(Box::new(move |fact| {
        if let Fact::NewHead { view, added, reorganisation } = fact {
            let dropped = reorganisation.as_ref().map_or(0, |moved| moved.dropped.len());
            sink.lock().push((view.head().number, added.len(), dropped));
        }
    }));
    back_to(&ledger, 1).unwrap();
    let waiting = |ledger: &LedgerHandle| -> Vec<B256> {
        let mut hashes: Vec<_> = ledger.pool().pending_transactions().iter().map(|tx| tx.hash()).collect();
        hashes.sort_unstable();
        hashes
    };
    let mut expected: Vec<_> = second.transactions.iter().map(|tx| tx.hash()).collect();
    expected.sort_unstable();
    assert_eq!(waiting(&ledger), expected);
    let wanted = first.transactions.clone();
    ledger.rewind(RewindTarget::block(0), AfterRewind::ReplacePool(wanted), NOW).unwrap();
    assert_eq!(waiting(&ledger), [first.transactions[0].hash()]);
    assert_eq!(*told.lock(), [(1, 0, 1), (0, 0, 1)]);
}

#[test]
fn a_block_that_comes_back_brings_what_was_set_after_it() {
    let file = newest();
    let (a, b) = (branch(&file, &[], "A", &vec![vec![]; 4]), branch(&file, &[], "B", &vec![vec![]; 3]));
    let store = Arc::new(MemoryStore::new());
    let ledger = open(store.clone(), &file);
    import_all(&ledger, &a[..2]).unwrap();
    let rich = Address::repeat_byte(0x55);
    let set = AccountAmendment { balance: Some(U256::from(9)), ..amendment(rich) };
    ledger.amend(vec![set], NOW).unwrap();
    let balance = |ledger: &LedgerHandle| ledger.view().head_state().balance(rich).unwrap();
    assert_eq!(balance(&ledger), U256::from(9));
    let amended = rows(&store);
    import_all(&ledger, &b).unwrap();
    assert_eq!((ledger.view().head().hash(), balance(&ledger)), (b[2].hash(), U256::ZERO));
    assert_whole(&*store);
    // A's next blocks know nothing of the change: they do not stand on it.
    assert!(matches!(import_all(&ledger, &a[2..]), Err(ImportError::Invalid(_))));
    back_to(&ledger, 0).unwrap();
    import_all(&ledger, &a[..2]).unwrap();
    assert_eq!((rows(&store), balance(&ledger)), (amended, U256::from(9)));
    assert_whole(&*store);
}

#[test]
fn an_account_that_is_emptied_by_hand_is_none() {
    let store = Arc::new(MemoryStore::new());
    let ledger = open(store.clone(), &newest());
    let target = Address::repeat_byte(0x56);
    for (balance, exists) in [(3u64, true), (0, false)] {
        ledger.amend(vec![AccountAmendment { balance: Some(U256::from(balance)), ..amendment(target) }], NOW).unwrap();
        assert_eq!(ledger.view().head_state().account(target).unwrap().is_some(), exists);
        assert_whole(&*store);
    }
    let view = ledger.view();
    assert_eq!(view.amendment_count().unwrap(), 2);
    assert_eq!(view.amended_root(0, view.head().hash()).unwrap(), Some(view.head().state_root));
}
