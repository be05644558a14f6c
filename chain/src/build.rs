//! Block building: transactions from the pool, executed on the head; the seal is found elsewhere.

use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Transaction as _, proofs};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B64, B256, Bytes};
use consensus::validation::Departures;
use consensus::{
    ChainSpec, Fork, Header, RecoveredBlock, RecoveredTransaction, SealedHeader, Witness, difficulty, fees, seal,
};
use evm_runtime::receipt::{logs_bloom, receipts_root};
use evm_runtime::{BlockExecutor, Receipt, TransactionRefused, state};
use storage::{Reader, Stage};

use crate::import::{ImportError, both, grandparent_timestamp};
use crate::pool::{BestTransactions, Pool, TransactionOrder};
use crate::view::ChainView;

/// How many bytes of a block are left to transactions: the limit of EIP-7934 less room for header and withdrawals.
const TRANSACTION_BYTES_MAX: usize = 8 * 1024 * 1024 - 4096;

/// Says what block to build.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// Who is credited.
    pub beneficiary: Address,
    /// The clock in seconds; the block's timestamp is this or its parent's, whichever is later.
    pub timestamp: u64,
    /// Free bytes, at most 32.
    pub extra_data: Bytes,
    /// The gas limit to move towards.
    pub gas_limit: u64,
    /// In which order transactions are taken.
    pub order: TransactionOrder,
    /// The least tip in wei that is taken from others' transactions.
    pub min_tip_wei: u128,
}

/// Holds a built block: executed, roots computed, without a seal.
pub struct Candidate {
    header: Header,
    transactions: Vec<RecoveredTransaction>,
    receipts: Vec<Receipt>,
    stage: Stage,
    seal: Option<(SealedHeader, Option<Witness>)>,
    /// The root of the state on which the block was executed.
    pub(crate) parent_state_root: B256,
    /// What the block was asked to have against the rules.
    pub(crate) departures: Departures,
}

impl Candidate {
    /// Returns the header, whose nonce is still to be found.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns how many transactions the block holds.
    pub fn transaction_count(&self) -> usize {
        self.transactions.len()
    }

    /// Returns the block hash that a nonce leads to: what a witness signs.
    pub fn hash_with(&self, nonce: B64) -> B256 {
        let mut header = self.header.clone();
        seal::apply(&mut header, nonce);
        header.hash_slow()
    }

    /// Puts the seal that was found.
    pub(crate) fn with_seal(mut self, nonce: B64, witness: Option<Witness>) -> Self {
        seal::apply(&mut self.header, nonce);
        self.seal = Some((SealedHeader::new(self.header.clone()), witness));
        self
    }

    /// Returns the block, its receipts and the rows of its state.
    pub(crate) fn into_parts(self) -> (RecoveredBlock, Vec<Receipt>, Stage) {
        let (header, witness) = self.seal.unwrap_or_else(|| (SealedHeader::new(self.header), None));
        let withdrawals = header.withdrawals_root.map(|_| Default::default());
        let block =
            RecoveredBlock { header, transactions: self.transactions, ommers: Vec::new(), withdrawals, witness };
        (block, self.receipts, self.stage)
    }
}

/// Builds a block on the head of `view`. Returns it with the senders whose transactions could not be executed.
pub(crate) fn build(
    view: &ChainView,
    pool: &Pool,
    request: &BuildRequest,
    departures: Departures,
) -> Result<(Candidate, Vec<Address>), ImportError> {
    is_made_here(view)?;
    let mut header = unexecuted_header(view, request)?;
    header.base_fee_per_gas = header.base_fee_per_gas.map(|follows| departures.base_fee.unwrap_or(follows));
    header.mix_hash = departures.mix_hash.unwrap_or(header.mix_hash);
    header.gas_limit = departures.gas_limit.unwrap_or(header.gas_limit);
    let mut stage = Stage::new(view.snapshot.clone());
    let best = pool.best(request.order, header.base_fee_per_gas, request.min_tip_wei);
    let (executed, transactions, failed) = {
        let reader: &dyn Reader = &stage;
        let executor = BlockExecutor::begin(&view.spec, &header, &reader, reader)?;
        fill(executor, best)?
    };
    if !executed.requests.is_empty() {
        return Err(ImportError::Corrupt("the state makes requests to a consensus layer".to_owned()));
    }
    let (applied, (transactions_root, receipts_root)) = both(
        transactions.len(),
        || state::compute(&stage, &executed.changes),
        || (transactions_root(&transactions), receipts_root(&executed.receipts)),
    );
    let applied = applied?;
    header.state_root = applied.root;
    applied.write(&mut stage, Some(header.number))?;
    header.gas_used = executed.gas_used;
    header.transactions_root = transactions_root;
    header.receipts_root = receipts_root;
    header.logs_bloom = logs_bloom(&executed.receipts);
    let (receipts, parent_state_root) = (executed.receipts, view.state_root);
    Ok((Candidate { header, transactions, receipts, stage, seal: None, parent_state_root, departures }, failed))
}

fn transactions_root(transactions: &[RecoveredTransaction]) -> B256 {
    let transactions: Vec<_> = transactions.iter().map(RecoveredTransaction::transaction).collect();
    proofs::calculate_transaction_root(&transactions)
}

/// Executes transactions until the block is full or none is left.
fn fill(
    mut executor: BlockExecutor<'_>,
    mut best: BestTransactions,
) -> Result<(evm_runtime::ExecutedBlock, Vec<RecoveredTransaction>, Vec<Address>), ImportError> {
    /// No transaction takes less.
    const GAS_MIN: u64 = 21_000;
    let (mut taken, mut failed, mut bytes) = (Vec::new(), Vec::new(), 0usize);
    while executor.gas_left() >= GAS_MIN {
        let Some(tx) = best.next() else { break };
        if tx.gas_limit() > executor.gas_left() || bytes + tx.size_bytes() > TRANSACTION_BYTES_MAX {
            best.skip_account(tx.sender());
            continue;
        }
        match executor.transact(&tx) {
            Ok(()) => {
                bytes += tx.size_bytes();
                taken.push(tx);
            }
            Err(TransactionRefused::State(error)) => return Err(error.into()),
            Err(_) => {
                failed.push(tx.sender());
                best.skip_account(tx.sender());
            }
        }
    }
    Ok((executor.finish()?, taken, failed))
}

/// Tells whether the chain file gives the next block to Drawbridge.
fn is_made_here(view: &ChainView) -> Result<(), ImportError> {
    let number = view.head.number.saturating_add(1);
    if view.spec.is_sealed_here(number) {
        return Ok(());
    }
    let why = match view.spec.last_unsealed() {
        Some(last) => {
            format!("Drawbridge seals from block {} on (config.pow.fromBlock); import those before", last + 1)
        }
        None => "this chain is imported only; name the first block to seal here in config.pow.fromBlock".to_owned(),
    };
    Err(ImportError::MadeElsewhere { number, why })
}

/// Makes all of a header that is known before execution.
fn unexecuted_header(view: &ChainView, request: &BuildRequest) -> Result<Header, ImportError> {
    let (parent, spec): (&SealedHeader, &ChainSpec) = (&view.head, &view.spec);
    let number = parent.number.saturating_add(1);
    let timestamp = request.timestamp.max(parent.timestamp);
    let fork = spec.fork_at(number, timestamp);
    let grandparent = grandparent_timestamp(&*view.snapshot, parent)?;
    let cancun = fork >= Fork::Cancun;
    Ok(Header {
        parent_hash: parent.hash(),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: request.beneficiary,
        difficulty: difficulty::next_sealed_difficulty(spec, parent, grandparent),
        number,
        gas_limit: fees::next_gas_limit(spec, parent, request.gas_limit, timestamp),
        timestamp,
        extra_data: request.extra_data.clone(),
        mix_hash: seal::next_mix_hash(parent),
        base_fee_per_gas: fees::next_base_fee(spec, parent, timestamp),
        withdrawals_root: (fork >= Fork::Shanghai).then_some(EMPTY_WITHDRAWALS),
        blob_gas_used: cancun.then_some(0),
        excess_blob_gas: cancun.then_some(0),
        parent_beacon_block_root: cancun.then_some(B256::ZERO),
        requests_hash: (fork >= Fork::Prague).then_some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    })
}
