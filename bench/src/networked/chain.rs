//! A chain of blocks of transfers by many accounts, without a base fee, at difficulty 1.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use alloy_primitives::{Address, B64};
use chain::{BuildRequest, Ledger, LedgerConfig, LedgerHandle, PoolConfig, TransactionOrder, TransactionOrigin, files};
use consensus::{Genesis, RecoveredTransaction};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::Failure;
use crate::accounts::{Account, Terms, ether_transfer};
use crate::recorded::open_store;

/// How many accounts send.
pub const SENDERS: u64 = 500;
/// The chain's id.
pub const CHAIN_ID: u64 = 4_711;

/// Returns the accounts that send.
pub fn senders() -> Vec<Account> {
    (0..SENDERS).map(|index| Account::numbered(5, index)).collect()
}

/// Returns the terms of all transactions.
pub fn terms() -> Terms {
    Terms { chain_id: CHAIN_ID, fee_per_gas_wei: 1 }
}

/// Returns the chain file; `empty_blocks` is its rule for blocks without transactions.
///
/// # Errors
/// The development chain's file is no JSON.
pub fn chain_file(senders: &[Account], empty_blocks: &str) -> Result<String, Failure> {
    let mut file: Value = serde_json::from_str(consensus::genesis::DEV)?;
    let pow = json!({"difficulty": {"fixed": 1}, "empty_blocks": empty_blocks, "block_reward": "0", "safe_depth": 32, "finality_depth": 64});
    file["config"] = json!({"chainId": CHAIN_ID, "zeroBaseFee": true, "pow": pow});
    for sender in senders {
        file["alloc"][sender.address.to_string()] = json!({"balance": "0xd3c21bcecceda1000000"});
    }
    Ok(file.to_string())
}

/// Builds the chain in `datadir` as a node keeps it, and exports it to `file`; returns the gas that its blocks use.
///
/// # Errors
/// A block does not hold so many transfers, or the disk fails.
pub fn build(datadir: &Path, file: &Path, text: &str, blocks: u64, transfers: u64) -> Result<u64, Failure> {
    std::fs::create_dir_all(datadir)?;
    let (genesis, _) = Genesis::parse(text)?;
    let pool = PoolConfig { global_slots: 1 << 20, account_slots: 1 << 20, ..PoolConfig::default() };
    let config = LedgerConfig { pool, ..LedgerConfig::default() };
    let ledger = Ledger::open(open_store(&datadir.join("chaindata"))?, &genesis, text, config)?;
    let mut senders = senders();
    let mut gas = 0;
    for number in 1..=blocks {
        gas += mine(&ledger, &mut senders, genesis.header.timestamp + number, transfers)?;
    }
    let view = ledger.view();
    let mut out = BufWriter::new(File::create(file)?);
    files::export(&view, &mut out, 0, blocks, |_| {})?;
    out.flush()?;
    drop(view);
    ledger.shut_down()?;
    Ok(gas)
}

fn mine(ledger: &LedgerHandle, senders: &mut [Account], timestamp: u64, transfers: u64) -> Result<u64, Failure> {
    let each = transfers.div_ceil(SENDERS);
    let signed: Vec<Vec<RecoveredTransaction>> = senders
        .par_iter_mut()
        .enumerate()
        .map(|(index, sender)| {
            let index = index as u64;
            let count = each.min(transfers.saturating_sub(index * each));
            let order = ether_transfer(Address::repeat_byte(0x77), 1);
            // Who has signed it is known.
            (0..count)
                .map(|_| RecoveredTransaction::with_sender(sender.sign(&terms(), &order), sender.address))
                .collect()
        })
        .collect();
    for transaction in signed.into_iter().flatten() {
        ledger.add_transaction(transaction, TransactionOrigin::Remote, timestamp)?;
    }
    let candidate = ledger.build(&BuildRequest {
        beneficiary: Address::repeat_byte(0xbe),
        timestamp,
        extra_data: Default::default(),
        gas_limit: 36_000_000,
        order: TransactionOrder::Arrival,
        min_tip_wei: 0,
    })?;
    if candidate.transaction_count() as u64 != transfers {
        return Err(format!("a block holds {} of {transfers} transfers", candidate.transaction_count()).into());
    }
    // At difficulty 1 any nonce seals.
    ledger.import_mined(candidate, B64::ZERO, None, timestamp)?;
    Ok(ledger.view().head().gas_used)
}
