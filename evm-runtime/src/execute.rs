//! Executing a block: system calls, transactions one by one, the reward; receipts and changes come out.

use alloy_consensus::{Eip658Value, Receipt as PlainReceipt, ReceiptEnvelope, TxType};
use alloy_primitives::{B256, Bytes};
use consensus::{ChainSpec, Fork, Header, RecoveredTransaction};
use revm::DatabaseCommit;
use revm::ExecuteEvm;
use revm::context::result::{EVMError, ExecutionResult, InvalidTransaction};
use storage::Reader;

use crate::environment::{self, Evm};
use crate::overlay::{BlockState, StateChanges};
use crate::receipt::Receipt;
use crate::state::{StateError, StateSource, compute};
use crate::system;

/// Says why a block cannot be executed to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecutionError {
    /// A transaction of the block is not valid where it stands.
    #[error("transaction {index} ({hash}): {reason}")]
    Transaction {
        /// Its index.
        index: usize,
        /// Its hash.
        hash: B256,
        /// Why.
        reason: TransactionRefused,
    },
    /// A system contract failed.
    #[error("system call: {0}")]
    SystemCall(String),
    /// Our own store failed.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<system::SystemCallError<StateError>> for ExecutionError {
    fn from(error: system::SystemCallError<StateError>) -> Self {
        match error {
            system::SystemCallError::State(error) => Self::State(error),
            other => Self::SystemCall(other.to_string()),
        }
    }
}

/// Says why a transaction cannot be executed here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionRefused {
    /// Its gas limit is more than what is left of the block's.
    #[error("gas limit reached: {available} gas left, {wanted} wanted")]
    DoesNotFit {
        /// Gas left in the block.
        available: u64,
        /// The transaction's gas limit.
        wanted: u64,
    },
    /// Its nonce is below the account's.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// The account's nonce.
        next: u64,
        /// The transaction's nonce.
        nonce: u64,
    },
    /// Its nonce is above the account's.
    #[error("nonce too high: next nonce {next}, tx nonce {nonce}")]
    NonceTooHigh {
        /// The account's nonce.
        next: u64,
        /// The transaction's nonce.
        nonce: u64,
    },
    /// Another rule is broken.
    #[error("{0}")]
    Invalid(String),
    /// Our own store failed.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Holds what executing a block gave.
#[derive(Clone, Debug)]
pub struct ExecutedBlock {
    /// A receipt for each transaction.
    pub receipts: Vec<Receipt>,
    /// Gas used by all transactions.
    pub gas_used: u64,
    /// What changed in the state.
    pub changes: StateChanges,
    /// Requests of the system contracts (EIP-7685), those without data left out.
    pub requests: Vec<Bytes>,
}

/// Executes the transactions of one block in order.
pub struct BlockExecutor<'a> {
    spec: &'a ChainSpec,
    fork: Fork,
    header: &'a Header,
    reader: &'a dyn Reader,
    evm: Evm<BlockState<'a>>,
    receipts: Vec<Receipt>,
    gas_used: u64,
}

impl<'a> BlockExecutor<'a> {
    /// Begins a block on the state of its parent and runs the system calls that precede its transactions.
    ///
    /// Of `header` only what is known before execution is read: number, timestamp, beneficiary, difficulty, mix hash, gas
    /// limit, base fee, parent hash and the blob and beacon fields. `source` and `reader` are the same state.
    ///
    /// # Errors
    /// A system contract or the store failed.
    pub fn begin(
        spec: &'a ChainSpec,
        header: &'a Header,
        source: &'a dyn StateSource,
        reader: &'a dyn Reader,
    ) -> Result<Self, ExecutionError> {
        let fork = spec.fork_at(header.number, header.timestamp);
        let evm = environment::evm(spec, fork, header, BlockState::new(source));
        let mut executor = Self { spec, fork, header, reader, evm, receipts: Vec::new(), gas_used: 0 };
        system::before_transactions(&mut executor.evm, fork, header)?;
        Ok(executor)
    }

    /// Returns the state as it is now, of whose block no transaction is executed any more.
    pub(crate) fn into_state(self) -> BlockState<'a> {
        self.evm.ctx.journaled_state.database
    }

    /// Returns the gas that is left for transactions.
    pub fn gas_left(&self) -> u64 {
        self.header.gas_limit.saturating_sub(self.gas_used)
    }

    /// Returns the receipts so far.
    pub fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }

    /// Executes one transaction; where it is refused, nothing has changed.
    ///
    /// # Errors
    /// The transaction does not fit, breaks a rule, or the store failed.
    pub fn transact(&mut self, transaction: &RecoveredTransaction) -> Result<(), TransactionRefused> {
        use alloy_consensus::Transaction as _;
        let wanted = transaction.gas_limit();
        if wanted > self.gas_left() {
            return Err(TransactionRefused::DoesNotFit { available: self.gas_left(), wanted });
        }
        let tx_env = environment::tx_env(transaction, transaction.sender());
        let outcome = self.evm.transact(tx_env).map_err(refused)?;
        self.state_mut().commit(outcome.state);
        self.gas_used = self.gas_used.saturating_add(outcome.result.tx_gas_used());
        let receipt = self.receipt(transaction.tx_type(), outcome.result)?;
        self.receipts.push(receipt);
        Ok(())
    }

    /// Runs the system calls that follow the transactions, credits the reward and returns what came of the block.
    ///
    /// # Errors
    /// A system contract or the store failed.
    pub fn finish(mut self) -> Result<ExecutedBlock, ExecutionError> {
        let requests = system::after_transactions(&mut self.evm, self.fork)?;
        let reward = self.spec.pow.block_reward;
        if !reward.is_zero() {
            let beneficiary = self.header.beneficiary;
            self.state_mut().credit(beneficiary, reward)?;
        }
        let changes = self.state().changes();
        Ok(ExecutedBlock { receipts: self.receipts, gas_used: self.gas_used, changes, requests })
    }

    fn state(&self) -> &BlockState<'a> {
        &self.evm.ctx.journaled_state.database
    }

    fn state_mut(&mut self) -> &mut BlockState<'a> {
        &mut self.evm.ctx.journaled_state.database
    }

    fn receipt(&self, tx_type: TxType, result: ExecutionResult) -> Result<Receipt, StateError> {
        // Before Byzantium a receipt holds the state root after its transaction, since then its status (EIP-658).
        let status = if self.fork >= Fork::Byzantium {
            Eip658Value::Eip658(result.is_success())
        } else {
            Eip658Value::PostState(compute(self.reader, &self.state().changes())?.root)
        };
        let logs = match result {
            ExecutionResult::Success { logs, .. } => logs,
            ExecutionResult::Revert { .. } | ExecutionResult::Halt { .. } => Vec::new(),
        };
        let receipt = PlainReceipt { status, cumulative_gas_used: self.gas_used, logs }.with_bloom();
        Ok(match tx_type {
            TxType::Legacy => ReceiptEnvelope::Legacy(receipt),
            TxType::Eip2930 => ReceiptEnvelope::Eip2930(receipt),
            TxType::Eip1559 => ReceiptEnvelope::Eip1559(receipt),
            TxType::Eip4844 => ReceiptEnvelope::Eip4844(receipt),
            TxType::Eip7702 => ReceiptEnvelope::Eip7702(receipt),
        })
    }
}

/// Executes all transactions of a block.
///
/// # Errors
/// A transaction is not valid where it stands, or the store failed.
pub fn execute_block(
    spec: &ChainSpec,
    header: &Header,
    transactions: &[RecoveredTransaction],
    source: &dyn StateSource,
    reader: &dyn Reader,
) -> Result<ExecutedBlock, ExecutionError> {
    let mut executor = BlockExecutor::begin(spec, header, source, reader)?;
    for (index, transaction) in transactions.iter().enumerate() {
        executor.transact(transaction).map_err(|reason| match reason {
            TransactionRefused::State(error) => ExecutionError::State(error),
            reason => ExecutionError::Transaction { index, hash: transaction.hash(), reason },
        })?;
    }
    executor.finish()
}

fn refused(error: EVMError<StateError>) -> TransactionRefused {
    match error {
        EVMError::Database(error) => TransactionRefused::State(error),
        EVMError::Transaction(InvalidTransaction::NonceTooLow { tx, state }) => {
            TransactionRefused::NonceTooLow { next: state, nonce: tx }
        }
        EVMError::Transaction(InvalidTransaction::NonceTooHigh { tx, state }) => {
            TransactionRefused::NonceTooHigh { next: state, nonce: tx }
        }
        other => TransactionRefused::Invalid(other.to_string()),
    }
}
