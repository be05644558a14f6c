//! A chain in a file, of blocks full of transfers, that a development node can import.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, Bytes, TxKind, U256};
use bench::Failure;
use bench::accounts::{Account, DEV_MNEMONIC, Order, Terms};
use chain::pool::TransactionOrder;
use chain::{BuildRequest, Ledger, LedgerConfig, PoolConfig, TransactionOrigin, files};
use consensus::search::{SearchJob, search};
use consensus::{Genesis, RecoveredTransaction, genesis};
use storage::MemoryStore;

/// Transfers in each block.
const TRANSFERS: u64 = 200;
/// How many accounts send them.
const SENDERS: u32 = 10;
/// Seconds between two blocks.
const BLOCK_SECONDS: u64 = 5;
/// What is paid for a unit of gas at most, in wei.
const FEE_WEI: u128 = 10_000_000_000;

/// Writes a chain of so many blocks.
pub(crate) fn write(path: &Path, blocks: u64) -> Result<(), Failure> {
    let (genesis, _) = Genesis::parse(genesis::DEV)?;
    let pool = PoolConfig { global_slots: 1 << 16, account_slots: 1 << 16, ..PoolConfig::default() };
    let config = LedgerConfig { pool, ..LedgerConfig::default() };
    let ledger = Ledger::open(Arc::new(MemoryStore::new()), &genesis, genesis::DEV, config)?;
    let mut senders = Account::of_mnemonic(DEV_MNEMONIC, SENDERS)?;
    let terms = Terms { chain_id: genesis.spec.chain_id, fee_per_gas_wei: FEE_WEI };
    for number in 1..=blocks {
        let now = genesis.header.timestamp + number * BLOCK_SECONDS;
        for index in 0..TRANSFERS {
            let sender = &mut senders[usize::try_from(index % u64::from(SENDERS))?];
            let order = Order {
                to: TxKind::Call(Address::left_padding_from(&(number * TRANSFERS + index + 0x1_0000).to_be_bytes())),
                value: U256::from(1),
                input: Bytes::new(),
                gas_limit: 21_000,
            };
            let transaction = RecoveredTransaction::recover(sender.sign(&terms, &order))?;
            ledger.add_transaction(transaction, TransactionOrigin::Local, now)?;
        }
        let request = BuildRequest {
            beneficiary: Address::repeat_byte(0xee),
            timestamp: now,
            extra_data: Bytes::new(),
            gas_limit: 36_000_000,
            order: TransactionOrder::Arrival,
            min_tip_wei: 0,
        };
        let candidate = ledger.build(&request)?;
        let nonce = search(&SearchJob::new(candidate.header()), 0, 1).ok_or("no seal was found")?;
        ledger.import_mined(candidate, nonce, None, now)?;
    }
    let mut out = BufWriter::new(File::create(path)?);
    files::export(&ledger.view(), &mut out, 1, blocks, |_| {})?;
    out.flush()?;
    ledger.shut_down()?;
    Ok(())
}
