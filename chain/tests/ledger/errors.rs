//! Blocks and databases that are refused, each with its own error.

use std::sync::Arc;

use chain::{FORMAT, ImportError, Ledger, OpenError};
use consensus::{Genesis, RecoveredBlock};
use storage::{Batch, Durability, MemoryStore, Store, Table};

use crate::world::*;

#[test]
fn a_block_that_says_something_else_than_its_execution_is_refused() {
    let file = newest();
    let block = branch(&file, &[], "A", &[vec![Act::Send(1, address(7), 1), Act::Create(2)]]).remove(0);
    type Change = fn(&mut consensus::Header);
    let cases: [(&str, Change); 9] = [
        ("state root", |header| header.state_root.0[3] ^= 1),
        ("gas used", |header| header.gas_used += 1),
        ("receipts root", |header| header.receipts_root.0[3] ^= 1),
        ("logs bloom", |header| header.logs_bloom.0.0[3] ^= 1),
        ("transactions root", |header| header.transactions_root.0[3] ^= 1),
        ("difficulty", |header| header.difficulty += alloy_primitives::U256::from(1)),
        ("mix hash", |header| header.mix_hash.0[3] ^= 1),
        ("base fee", |header| header.base_fee_per_gas = Some(1)),
        ("gas limit", |header| header.gas_limit *= 2),
    ];
    for (what, change) in cases {
        let store = Arc::new(MemoryStore::new());
        let ledger = open(store.clone(), &file);
        let error = ledger.import(seal_again(block.clone(), change), NOW).unwrap_err();
        assert!(matches!(&error, ImportError::Invalid(reason) if reason.contains(what)), "{what}: {error}");
        assert_eq!(ledger.view().head().number, 0);
        ledger.import(block.clone(), NOW).unwrap();
        assert_whole(&*store);
    }
}

#[test]
fn a_block_from_the_future_is_held_and_not_marked() {
    let file = newest();
    let block = branch(&file, &[], "A", &[vec![]]).remove(0);
    let ledger = open(Arc::new(MemoryStore::new()), &file);
    assert!(matches!(ledger.import(block.clone(), NOW - 16), Err(ImportError::Future(_))));
    ledger.import(block, NOW - 15).unwrap();
    assert_eq!(ledger.view().head().number, 1);
}

#[test]
fn a_named_miner_must_sign_its_block() {
    let named = format!(r#""pow": {{"difficulty": {{"fixed": 1}}, "authorized_miners": ["{}"]}}"#, address(9));
    let file = chain_file(&named);
    let block = branch(&file, &[], "A", &[vec![]]).remove(0);
    let ledger = open(Arc::new(MemoryStore::new()), &file);
    let unsigned = RecoveredBlock { witness: None, ..block.clone() };
    assert!(matches!(ledger.import(unsigned, NOW), Err(ImportError::Invalid(_))));
    let stranger = consensus::Witness::sign(&key(1), block.hash());
    let forged = RecoveredBlock { witness: Some(stranger), ..block.clone() };
    assert!(matches!(ledger.import(forged, NOW), Err(ImportError::Invalid(_))));
    ledger.import(block.clone(), NOW).unwrap();
    assert_eq!(ledger.view().witness(block.hash()).unwrap(), block.witness);
}

fn open_error(store: &MemoryStore, file: &str) -> OpenError {
    let (genesis, _) = Genesis::parse(file).unwrap();
    Ledger::open(Arc::new(store.clone()), &genesis, file, Default::default()).err().unwrap()
}

#[test]
fn another_chain_a_newer_format_and_missing_rows_each_have_their_error() {
    let store = MemoryStore::new();
    open(Arc::new(store.clone()), &newest()).shut_down().unwrap();
    let other = chain_file(r#""pow": {"difficulty": {"fixed": 1}}"#).replace("0x1c9c380", "0x1c9c381");
    let mismatch = open_error(&store, &other);
    assert!(
        matches!(&mismatch, OpenError::GenesisMismatch { difference, .. } if difference.contains("gasLimit")),
        "{mismatch}"
    );
    let put = |key: &[u8], value: Option<&[u8]>| {
        let mut batch = Batch::default();
        match value {
            Some(value) => batch.put(Table::Meta, key, value),
            None => batch.delete(Table::Meta, key),
        }
        store.commit(batch, Durability::Process).unwrap();
    };
    put(b"format", Some(&(FORMAT + 1).to_be_bytes()));
    assert_eq!(open_error(&store, &newest()), OpenError::NewerFormat { found: FORMAT + 1 });
    put(b"format", Some(&FORMAT.to_be_bytes()));
    put(b"head", None);
    assert!(matches!(open_error(&store, &newest()), OpenError::Corrupt(_)));
}

#[test]
fn a_closed_ledger_refuses_work() {
    let file = newest();
    let block = branch(&file, &[], "A", &[vec![]]).remove(0);
    let ledger = open(Arc::new(MemoryStore::new()), &file);
    ledger.shut_down().unwrap();
    assert_eq!(ledger.import(block, NOW), Err(ImportError::ShutDown));
}

#[test]
fn a_head_whose_state_is_another_one_is_not_opened() {
    let file = newest();
    let store = Arc::new(MemoryStore::new());
    let ledger = open(store.clone(), &file);
    ledger.import(branch(&file, &[], "A", &[vec![Act::Send(1, address(7), 1)]]).remove(0), NOW).unwrap();
    ledger.shut_down().unwrap();
    let mut batch = Batch::default();
    batch.put(Table::AccountTrie, Vec::new(), *b"another root");
    store.commit(batch, Durability::Disk).unwrap();
    let (genesis, _) = Genesis::parse(&file).unwrap();
    let error = Ledger::open(store, &genesis, &file, Default::default()).err().unwrap();
    assert!(matches!(&error, OpenError::Corrupt(problem) if problem.starts_with("state root")), "{error}");
}
