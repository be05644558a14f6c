//! A small world for the tests: a chain file, keys, transactions, and blocks built on any branch.

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, B64, Bytes, TxKind, U256, hex};
use chain::{
    BuildRequest, ImportError, ImportOutcome, Ledger, LedgerConfig, LedgerHandle, TransactionOrder, TransactionOrigin,
};
use consensus::crypto::{self, SecretKey};
use consensus::search::{SearchJob, search};
use consensus::{Genesis, RecoveredBlock, RecoveredTransaction, Witness};
use storage::{Reader, Store, Table};

/// The clock of all tests, in seconds.
pub(crate) const NOW: u64 = 1_800_000_000;

/// Init code of a contract that stores word 1 of its call data under word 0, and destroys itself when called without data.
pub(crate) const CELL: &[u8] = &hex!("6f3615600d5760203560003555005b33ff60005260106010f3");

/// Returns a chain file: difficulty 1, no reward, the funded keys 1 to 8, and `config` beside.
pub(crate) fn chain_file(config: &str) -> String {
    let accounts: Vec<_> = (1..=8)
        .map(|n| format!("\"{}\": {{\"balance\": \"0x56bc75e2d63100000\"}}", crypto::address_of(&key(n))))
        .collect();
    format!(
        r#"{{"config": {{"chainId": 7, {config}}}, "gasLimit": "0x1c9c380", "difficulty": "0x1", "alloc": {{{}}}}}"#,
        accounts.join(", ")
    )
}

/// The newest fork, blocks with and without transactions, four blocks to finality.
pub(crate) fn newest() -> String {
    chain_file(r#""pow": {"difficulty": {"fixed": 1}, "block_reward": "5", "safe_depth": 2, "finality_depth": 4}"#)
}

/// Shanghai, where a contract can still destroy itself with all its storage.
pub(crate) fn shanghai() -> String {
    chain_file(r#""shanghaiTime": 0, "pow": {"difficulty": {"fixed": 1}, "safe_depth": 2, "finality_depth": 40}"#)
}

pub(crate) fn key(n: u8) -> SecretKey {
    crypto::secret_key([n; 32]).unwrap()
}

pub(crate) fn address(n: u8) -> Address {
    crypto::address_of(&key(n))
}

/// Opens a ledger on `store` with a chain file.
pub(crate) fn open(store: Arc<dyn Store>, file: &str) -> LedgerHandle {
    open_with(store, file, LedgerConfig::default())
}

pub(crate) fn open_with(store: Arc<dyn Store>, file: &str, config: LedgerConfig) -> LedgerHandle {
    let (genesis, warnings) = Genesis::parse(file).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    Ledger::open(store, &genesis, file, config).unwrap()
}

/// What a test's transaction does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Send(u8, Address, u64),
    Create(u8),
    Deploy(u8, Bytes),
    Call(u8, Address, Bytes),
}

/// The call data with which a cell stores `value` under `slot`.
pub(crate) fn store_call(slot: u64, value: u64) -> Bytes {
    [U256::from(slot).to_be_bytes::<32>(), U256::from(value).to_be_bytes::<32>()].concat().into()
}

pub(crate) fn sign(ledger: &LedgerHandle, act: &Act) -> RecoveredTransaction {
    let (from, to, value, input) = match act {
        Act::Send(from, to, value) => (*from, TxKind::Call(*to), U256::from(*value), Bytes::new()),
        Act::Create(from) => (*from, TxKind::Create, U256::ZERO, CELL.into()),
        Act::Deploy(from, code) => (*from, TxKind::Create, U256::ZERO, code.clone()),
        Act::Call(from, to, input) => (*from, TxKind::Call(*to), U256::ZERO, input.clone()),
    };
    let mined = ledger.view().head_state().nonce(address(from)).unwrap();
    let nonce = ledger.pool().pending_nonce(address(from)).unwrap_or(mined);
    let tx = TxEip1559 {
        chain_id: 7,
        nonce,
        gas_limit: if matches!(act, Act::Send(..)) { 21_000 } else { 200_000 },
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1,
        to,
        value,
        access_list: Default::default(),
        input,
    };
    let signature = crypto::sign(&key(from), tx.signature_hash());
    RecoveredTransaction::recover(tx.into_signed(signature).into()).unwrap()
}

pub(crate) fn request(salt: &str) -> BuildRequest {
    BuildRequest {
        beneficiary: address(9),
        timestamp: NOW,
        extra_data: Bytes::copy_from_slice(salt.as_bytes()),
        gas_limit: 30_000_000,
        order: TransactionOrder::Arrival,
        min_tip_wei: 0,
    }
}

/// Mines a block on the head of `ledger` with these transactions, and returns it.
pub(crate) fn mine(ledger: &LedgerHandle, salt: &str, acts: &[Act]) -> RecoveredBlock {
    for act in acts {
        let tx = sign(ledger, act);
        ledger.add_transaction(tx, TransactionOrigin::Local, NOW).unwrap();
    }
    let candidate = ledger.build(&request(salt)).unwrap();
    assert_eq!(candidate.transaction_count(), acts.len(), "every transaction is taken");
    let nonce = search(&SearchJob::new(candidate.header()), 0, 1).unwrap();
    let witness = Witness::sign(&key(9), candidate.hash_with(nonce));
    let named = !ledger.view().spec().pow.authorized_miners.is_empty();
    let outcome = ledger.import_mined(candidate, nonce, named.then_some(witness), NOW).unwrap();
    assert_eq!(outcome, ImportOutcome::Canonical { reverted: 0 });
    let view = ledger.view();
    RecoveredBlock::clone(&view.block_by_hash(view.head().hash()).unwrap().unwrap())
}

/// Mines a branch on top of `trunk`, one block per list of acts.
pub(crate) fn branch(file: &str, trunk: &[RecoveredBlock], salt: &str, blocks: &[Vec<Act>]) -> Vec<RecoveredBlock> {
    let ledger = open(Arc::new(storage::MemoryStore::new()), file);
    import_all(&ledger, trunk).unwrap();
    let mined = blocks.iter().map(|acts| mine(&ledger, salt, acts)).collect();
    ledger.shut_down().unwrap();
    mined
}

pub(crate) fn import_all(ledger: &LedgerHandle, blocks: &[RecoveredBlock]) -> Result<(), ImportError> {
    blocks.iter().try_for_each(|block| ledger.import(block.clone(), NOW).map(drop))
}

/// Gives a changed block a seal that fits, so that only what was changed is wrong with it.
pub(crate) fn seal_again(mut block: RecoveredBlock, change: impl FnOnce(&mut consensus::Header)) -> RecoveredBlock {
    let mut header = block.header.clone().into_header();
    change(&mut header);
    header.nonce = B64::ZERO;
    let nonce = search(&SearchJob::new(&header), 0, 1).unwrap();
    consensus::seal::apply(&mut header, nonce);
    block.header = consensus::SealedHeader::new(header);
    block
}

/// Everything that the canonical chain decides: state, tries, history, canonical indexes, head.
pub(crate) fn canonical_rows(reader: &dyn Reader) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    const TABLES: [Table; 12] = [
        Table::Meta,
        Table::Canonical,
        Table::Transactions,
        Table::Accounts,
        Table::Slots,
        Table::AccountTrie,
        Table::StorageTries,
        Table::Changes,
        Table::AccountHistory,
        Table::SlotHistory,
        Table::AddressIndex,
        Table::EventIndex,
    ];
    let rows = |table| {
        reader.iterate(table, &[]).map(move |entry| {
            let (key, value) = entry.unwrap();
            (table, key, value)
        })
    };
    let mut all: Vec<_> = TABLES.into_iter().flat_map(rows).collect();
    all.extend(rows(Table::Code));
    all
}

/// Checks the whole database.
pub(crate) fn assert_whole(store: &dyn Store) {
    let check = chain::verify::verify(store, |_| {}).unwrap();
    assert_eq!(check.problems, Vec::<String>::new());
}

/// A small generator of numbers, so that a seed tells the whole history.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// Rolls the acts of one block: transfers, creations, stores and destructions. Each sender acts at most once a block.
pub(crate) fn random_acts(dice: &mut Dice, cells: &[Address]) -> Vec<Act> {
    let senders = 1 + dice.roll(4) as u8;
    (1..=senders)
        .map(|from| match dice.roll(5) {
            0 | 1 => Act::Send(from, Address::repeat_byte(dice.roll(6) as u8 + 0x40), dice.roll(1000)),
            2 => Act::Create(from),
            _ if cells.is_empty() => Act::Create(from),
            3 => Act::Call(from, cells[dice.roll(cells.len() as u64) as usize], Bytes::new()),
            _ => {
                let cell = cells[dice.roll(cells.len() as u64) as usize];
                Act::Call(from, cell, store_call(dice.roll(5), dice.roll(3)))
            }
        })
        .collect()
}

/// Mines `blocks` random blocks and returns them; the cells that exist are those that were created.
pub(crate) fn random_chain(file: &str, trunk: &[RecoveredBlock], seed: u64, blocks: u64) -> Vec<RecoveredBlock> {
    let ledger = open(Arc::new(storage::MemoryStore::new()), file);
    import_all(&ledger, trunk).unwrap();
    let mut dice = Dice(seed);
    let mut cells: Vec<Address> = trunk.iter().flat_map(created).collect();
    let mut mined = Vec::new();
    for _ in 0..blocks {
        let block = mine(&ledger, &format!("{seed:x}"), &random_acts(&mut dice, &cells));
        cells.extend(created(&block));
        mined.push(block);
    }
    ledger.shut_down().unwrap();
    mined
}

/// The addresses of the contracts that a block creates.
pub(crate) fn created(block: &RecoveredBlock) -> Vec<Address> {
    use alloy_consensus::Transaction as _;
    let creations = block.transactions.iter().filter(|tx| tx.kind() == TxKind::Create);
    creations.map(|tx| tx.sender().create(tx.nonce())).collect()
}
