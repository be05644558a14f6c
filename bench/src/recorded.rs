//! A recorded chain: blocks of ERC-20 transfers among many holders, built once by the ledger itself, then imported or executed
//! again and again.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B64, KECCAK256_EMPTY, U256, address, keccak256};
use chain::{BuildRequest, Ledger, LedgerConfig, LedgerHandle, PoolConfig, TransactionOrder, TransactionOrigin};
use consensus::{Genesis, GenesisAccount, RecoveredBlock, RecoveredTransaction, SealedHeader, genesis};
use evm_runtime::environment;
use evm_runtime::execute::execute_block;
use evm_runtime::receipt::{logs_bloom, receipts_root};
use evm_runtime::state;
use rayon::prelude::*;
use revm::ExecuteCommitEvm;
use revm::bytecode::Bytecode;
use revm::database::{CacheDB, EmptyDB};
use revm::state::AccountInfo;
use storage::{Durability, Reader, RocksOptions, RocksStore, Stage, Store};

use crate::Failure;
use crate::accounts::{Account, Terms};
use crate::random::Random;
use crate::token::{TokenCode, balance_slot, transfer_order};

/// Where the token stands from the genesis block on.
const TOKEN: Address = address!("00000000000000000000000000000000000e2c20");
/// Seconds between two blocks.
const BLOCK_SECONDS: u64 = 5;
/// The base fee of all blocks, in wei.
const BASE_FEE_WEI: u64 = 1_000_000_000;

/// Says how large the chain is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// How many blocks.
    pub blocks: usize,
    /// How many transfers in each.
    pub transfers: usize,
    /// How many accounts hold tokens; senders and recipients are drawn from them.
    pub holders: usize,
}

/// Holds a recorded chain.
#[derive(Debug)]
pub struct Recorded {
    /// The genesis block and the rules.
    pub genesis: Genesis,
    /// The blocks, senders recovered.
    pub blocks: Vec<RecoveredBlock>,
    /// Gas used by all of them.
    pub gas: u64,
}

/// Opens the store that is measured: as a node opens it by default.
///
/// # Errors
/// The store failed.
pub fn open_store(folder: &Path) -> Result<Arc<RocksStore>, Failure> {
    let options = RocksOptions { cache_bytes: 64 << 20, ..RocksOptions::default() };
    Ok(Arc::new(RocksStore::open(folder, options)?))
}

impl Recorded {
    /// Builds the chain in a store in `folder`.
    ///
    /// # Errors
    /// The store failed, or a transaction is refused.
    pub fn make(folder: &Path, size: Size) -> Result<Self, Failure> {
        consensus::crypto::install();
        let mut holders: Vec<_> =
            (0..size.holders).map(|index| Account::numbered(0, u64::try_from(index).unwrap_or(u64::MAX))).collect();
        let genesis = genesis_with(&holders)?;
        let pool = PoolConfig { global_slots: 1 << 20, account_slots: 1 << 20, ..PoolConfig::default() };
        let config = LedgerConfig { pool, ..LedgerConfig::default() };
        let ledger = Ledger::open(open_store(folder)?, &genesis, "{}", config)?;
        let terms = Terms { chain_id: genesis.spec.chain_id, fee_per_gas_wei: u128::from(BASE_FEE_WEI) * 4 };
        let mut random = Random::new(1);
        let mut blocks = Vec::with_capacity(size.blocks);
        for _ in 0..size.blocks {
            for transaction in transfers(&mut holders, &terms, size.transfers, &mut random)? {
                ledger.add_transaction(transaction, TransactionOrigin::Local, genesis.header.timestamp)?;
            }
            blocks.push(mine(&ledger, size.transfers)?);
        }
        ledger.shut_down()?;
        let gas = blocks.iter().map(|block| block.header.gas_used).sum();
        Ok(Self { genesis, blocks, gas })
    }

    /// Opens a ledger with the genesis block alone in a fresh store in `folder`. The store is closed in between, so that the
    /// genesis state lies in table files as it does in a node that was started again.
    ///
    /// # Errors
    /// The store failed.
    pub fn fresh_ledger(&self, folder: &Path) -> Result<LedgerHandle, Failure> {
        self.fresh_ledger_with(folder, LedgerConfig::default())
    }

    /// The same, as `config` says.
    ///
    /// # Errors
    /// The store failed.
    pub fn fresh_ledger_with(&self, folder: &Path, config: LedgerConfig) -> Result<LedgerHandle, Failure> {
        self.write_genesis(folder)?;
        Ok(Ledger::open(open_store(folder)?, &self.genesis, "{}", config)?)
    }

    fn write_genesis(&self, folder: &Path) -> Result<(), Failure> {
        chain::initialise(&*open_store(folder)?, &self.genesis, "{}")?;
        Ok(())
    }

    /// Imports all blocks through the ledger's door and returns the time that took.
    ///
    /// # Errors
    /// A block is refused.
    pub fn import(&self, ledger: &LedgerHandle) -> Result<Duration, Failure> {
        let blocks = self.blocks.clone();
        let begun = Instant::now();
        for block in blocks {
            let now = block.header.timestamp;
            ledger.import(block, now)?;
        }
        Ok(begun.elapsed())
    }

    /// Executes all blocks with revm alone on a database in memory, and returns the time that took.
    ///
    /// # Errors
    /// A transaction fails, or uses other gas than in its block.
    pub fn execute_in_memory(&self) -> Result<Duration, Failure> {
        let mut database = memory_database(&self.genesis);
        let begun = Instant::now();
        for block in &self.blocks {
            let header = &block.header;
            let fork = self.genesis.spec.fork_of(header);
            let mut evm = environment::evm(&self.genesis.spec, fork, header, &mut database);
            let mut gas_used = 0u64;
            for transaction in &block.transactions {
                let result = evm.transact_commit(environment::tx_env(transaction, transaction.sender()))?;
                gas_used += result.tx_gas_used();
            }
            if gas_used != header.gas_used {
                return Err(format!("block {}: {gas_used} gas, not {}", header.number, header.gas_used).into());
            }
        }
        Ok(begun.elapsed())
    }

    /// Does the steps of an import one by one, each timed, on a fresh store in `folder`.
    ///
    /// # Errors
    /// The store failed, or a root differs from the header's.
    pub fn import_in_steps(&self, folder: &Path) -> Result<Steps, Failure> {
        self.write_genesis(folder)?;
        let store = open_store(folder)?;
        let mut steps = Steps::default();
        for block in &self.blocks {
            self.step(&store, block, &mut steps)?;
        }
        Ok(steps)
    }

    fn step(&self, store: &RocksStore, block: &RecoveredBlock, steps: &mut Steps) -> Result<(), Failure> {
        let mut stage = Stage::new(store.snapshot());
        let begun = Instant::now();
        let reader: &dyn Reader = &stage;
        let executed = execute_block(&self.genesis.spec, block, &reader, reader)?;
        let begun = steps.execute.add(begun);
        let root = receipts_root(&executed.receipts);
        let bloom = logs_bloom(&executed.receipts);
        let begun = steps.receipts_root.add(begun);
        let transactions: Vec<_> = block.transactions.iter().map(RecoveredTransaction::transaction).collect();
        let transactions_root = alloy_consensus::proofs::calculate_transaction_root(&transactions);
        let begun = steps.transactions_root.add(begun);
        let applied = state::compute(&stage, &executed.changes)?;
        let begun = steps.state_root.add(begun);
        let state_root = applied.root;
        applied.write(&mut stage, Some(block.number()))?;
        let begun = steps.stage.add(begun);
        store.commit(stage.into_batch(), Durability::Process)?;
        steps.commit.add(begun);
        let header = &block.header;
        let roots = [state_root, root, transactions_root]
            == [header.state_root, header.receipts_root, header.transactions_root];
        if roots && bloom == header.logs_bloom {
            Ok(())
        } else {
            Err(format!("block {}: a root differs", block.number()).into())
        }
    }
}

/// Sums the time of one step over all blocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step(pub Duration);

impl Step {
    /// Adds the time since `begun`, and returns the moment at which the next step begins.
    fn add(&mut self, begun: Instant) -> Instant {
        self.0 += begun.elapsed();
        Instant::now()
    }
}

/// Holds where the time of an import goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps {
    /// Running the transactions over the store.
    pub execute: Step,
    /// Receipts root and logs bloom.
    pub receipts_root: Step,
    /// Transactions root.
    pub transactions_root: Step,
    /// Storage tries and account trie.
    pub state_root: Step,
    /// Collecting the rows of state, tries and history.
    pub stage: Step,
    /// Writing these rows as one batch; header, body, receipts and indexes are not among them.
    pub commit: Step,
}

fn genesis_with(holders: &[Account]) -> Result<Genesis, Failure> {
    let (mut genesis, _) = Genesis::parse(genesis::DEV)?;
    genesis.spec.fees.fixed_base_fee = Some(BASE_FEE_WEI);
    let tokens = U256::from(1_000_000_000_000u64);
    let storage = holders.iter().map(|holder| (balance_slot(holder.address), tokens.into())).collect();
    let code = TokenCode::read()?.deployed;
    genesis.alloc.insert(TOKEN, GenesisAccount { nonce: 1, code, storage, ..GenesisAccount::default() });
    let ether = U256::from(1_000_000_000_000_000_000_000u128);
    for holder in holders {
        genesis.alloc.insert(holder.address, GenesisAccount { balance: ether, ..GenesisAccount::default() });
    }
    let mut header = genesis.header.clone().into_header();
    header.state_root = genesis::state_root(&genesis.alloc);
    genesis.header = SealedHeader::new(header);
    Ok(genesis)
}

fn transfers(
    holders: &mut [Account],
    terms: &Terms,
    count: usize,
    random: &mut Random,
) -> Result<Vec<RecoveredTransaction>, Failure> {
    let mut signed = Vec::with_capacity(count);
    for _ in 0..count {
        let to = holders[random.index(holders.len())].address;
        let order = transfer_order(TOKEN, to, random.between(1, 1000));
        let sender = &mut holders[random.index(holders.len())];
        signed.push((sender.sign(terms, &order), sender.address));
    }
    Ok(signed
        .into_par_iter()
        .map(|(transaction, sender)| RecoveredTransaction::with_sender(transaction, sender))
        .collect())
}

/// Builds a block of all that is in the pool, and imports it.
fn mine(ledger: &LedgerHandle, transactions: usize) -> Result<RecoveredBlock, Failure> {
    let parent = ledger.view().head().clone();
    let timestamp = parent.timestamp + BLOCK_SECONDS;
    let candidate = ledger.build(&BuildRequest {
        beneficiary: Address::repeat_byte(0xbe),
        timestamp,
        extra_data: Default::default(),
        gas_limit: parent.gas_limit,
        order: TransactionOrder::Arrival,
        min_tip_wei: 0,
    })?;
    if candidate.transaction_count() != transactions {
        return Err(format!("a block holds {} of {transactions} transfers", candidate.transaction_count()).into());
    }
    // At difficulty 1 any nonce seals.
    ledger.import_mined(candidate, B64::ZERO, None, timestamp)?;
    let block = ledger.view().block_by_number(parent.number + 1)?.ok_or("the block that was imported is not there")?;
    Ok((*block).clone())
}

fn memory_database(genesis: &Genesis) -> CacheDB<EmptyDB> {
    let mut database = CacheDB::new(EmptyDB::default());
    for (address, account) in &genesis.alloc {
        let code_hash = if account.code.is_empty() { KECCAK256_EMPTY } else { keccak256(&account.code) };
        let code = (!account.code.is_empty()).then(|| Bytecode::new_raw(account.code.clone()));
        let info = AccountInfo { balance: account.balance, nonce: account.nonce, code_hash, code, account_id: None };
        database.insert_account_info(*address, info);
        for (slot, value) in &account.storage {
            let inserted = database.insert_account_storage(*address, (*slot).into(), (*value).into());
            inserted.expect("a database in memory does not fail");
        }
    }
    database
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_chain_is_recorded_imported_executed_and_stepped_through() {
        let folder = tempfile::tempdir().unwrap();
        let size = Size { blocks: 2, transfers: 5, holders: 20 };
        let recorded = Recorded::make(&folder.path().join("recording"), size).unwrap();
        assert_eq!(recorded.blocks.iter().map(|block| block.transactions.len()).collect::<Vec<_>>(), [5, 5]);
        let ledger = recorded.fresh_ledger(&folder.path().join("import")).unwrap();
        recorded.import(&ledger).unwrap();
        assert_eq!(ledger.view().head().hash(), recorded.blocks[1].hash());
        ledger.shut_down().unwrap();
        recorded.execute_in_memory().unwrap();
        recorded.import_in_steps(&folder.path().join("steps")).unwrap();
    }
}
