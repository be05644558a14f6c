//! One block test: a ledger of its own, every block through its door.

use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::B256;
use chain::{ImportError, Ledger, LedgerConfig, LedgerHandle, verify};
use consensus::ethash::LightCaches;
use consensus::ethereum::{EthashSeal, test_network};
use consensus::{ChainSpec, Genesis, Header, RecoveredBlock, SealedHeader, block};

use super::format::{BlockCase, Test};
use crate::conformance::stores::Stores;
use crate::conformance::suite::{Checked, expect_equal};

/// Runs a test on a fresh store.
pub(crate) fn run(test: &Test, stores: &Stores, caches: &LightCaches) -> Checked {
    let seal = if test.has_seals() { EthashSeal::Verified } else { EthashSeal::Trusted };
    let spec = test_network(&test.network, seal).ok_or("no such network")?;
    let header = SealedHeader::new(test.genesis_block_header.header());
    expect_equal("genesis hash", &test.genesis_block_header.hash, &header.hash())?;
    let genesis = Genesis { spec, header, alloc: test.alloc(), bootnodes: Vec::new() };
    let store = stores.open().map_err(|error| error.to_string())?;
    let config = LedgerConfig { state_cache_bytes: 1 << 20, ethash: caches.clone(), ..LedgerConfig::default() };
    let ledger =
        Ledger::open(store.store().clone(), &genesis, "{}", config).map_err(|error| format!("genesis: {error}"))?;
    let imported = import_all(test, &genesis.spec, &ledger);
    let shut = ledger.shut_down().map_err(|error| error.to_string());
    imported.and(shut)?;
    expect_whole(&**store.store())
}

fn import_all(test: &Test, spec: &ChainSpec, ledger: &LedgerHandle) -> Checked {
    for (index, case) in test.blocks.iter().enumerate() {
        let told = import(case, spec, ledger, test.has_seals());
        match (told, case.is_good()) {
            (Ok(()), true) | (Err(Refused::Block(_)), false) => {}
            (Ok(()), false) => return Err(format!("block {index}: taken, and must be refused")),
            (Err(Refused::Block(reason)), true) => return Err(format!("block {index}: {reason}")),
            (Err(Refused::Ours(problem)), _) => return Err(format!("block {index}: {problem}")),
        }
    }
    let view = ledger.view();
    expect_equal("head", &test.last_block_hash, &view.head().hash())?;
    let expected = test.post_state_root().ok_or("the test has no state in the end")?;
    expect_equal("state root in the end", &expected, &view.head().state_root)
}

/// Says why a block was not taken.
enum Refused {
    /// The block is bad.
    Block(String),
    /// The ledger is, or takes a seal that proves nothing.
    Ours(String),
}

fn import(case: &BlockCase, spec: &ChainSpec, ledger: &LedgerHandle, has_seals: bool) -> Result<(), Refused> {
    let bytes = case.bytes().ok_or_else(|| Refused::Block("no hexadecimal text".to_owned()))?;
    let decoded = block::decode_block(&bytes).map_err(|error| Refused::Block(error.to_string()))?;
    let recovered =
        RecoveredBlock::recover_by(spec, decoded, None).map_err(|error| Refused::Block(error.to_string()))?;
    if has_seals && case.is_good() {
        expect_seal_refused(ledger, &recovered)?;
    }
    ledger.import(recovered, now()).map(drop).map_err(|error| {
        if error.is_fatal() { Refused::Ours(error.to_string()) } else { Refused::Block(error.to_string()) }
    })
}

/// A block of which one bit of the seal is another must be refused for that.
fn expect_seal_refused(ledger: &LedgerHandle, sealed: &RecoveredBlock) -> Result<(), Refused> {
    let changes: [fn(&mut Header); 2] = [|header| header.nonce.0[7] ^= 1, |header| header.mix_hash.0[31] ^= 1];
    for change in changes {
        let mut header = sealed.header.clone().into_header();
        change(&mut header);
        let forged = RecoveredBlock { header: SealedHeader::new(header), ..sealed.clone() };
        match ledger.import(forged, now()) {
            Err(ImportError::Invalid(reason)) if reason.contains("mix hash") => {}
            other => return Err(Refused::Ours(format!("a forged seal: {other:?}"))),
        }
    }
    Ok(())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Verifies the whole database.
pub(crate) fn expect_whole(store: &dyn storage::Store) -> Checked {
    let check = verify::verify(store, |_| {}).map_err(|error| error.to_string())?;
    match check.problems.first() {
        None if check.head_hash != B256::ZERO => Ok(()),
        None => Err("the database has no head".to_owned()),
        Some(problem) => Err(format!("the database: {problem}")),
    }
}
