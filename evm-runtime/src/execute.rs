//! Executing a block: system calls, transactions one by one, what the block pays by the rules of its era; receipts and changes
//! come out.

use alloy_consensus::{Eip658Value, Receipt as PlainReceipt, ReceiptEnvelope, TxType};
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bytes, U256};
use consensus::ethereum::{dao, rewards};
use consensus::{ChainSpec, Era, Fork, Header, RecoveredBlock, RecoveredTransaction};
use revm::DatabaseCommit;
use revm::ExecuteEvm;
use revm::context::result::{EVMError, ExecutionResult, InvalidTransaction};
use storage::Reader;

use crate::environment::{self, Evm};
use crate::overlay::{BlockState, StateChanges};
use crate::receipt::Receipt;
use crate::requests::{self, DepositError};
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
    /// A log of the deposit contract is no deposit.
    #[error(transparent)]
    Deposit(#[from] DepositError),
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
    /// Requests to a consensus layer (EIP-7685), those without data left out.
    pub requests: Vec<Bytes>,
}

/// Executes the transactions of one block in order.
pub struct BlockExecutor<'a> {
    spec: &'a ChainSpec,
    era: Era,
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
        let (era, fork) = (spec.era_of(header), spec.fork_of(header));
        let evm = environment::evm(spec, fork, header, BlockState::new(source));
        let mut executor = Self { spec, era, fork, header, reader, evm, receipts: Vec::new(), gas_used: 0 };
        executor.move_dao_balances()?;
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
        // On a development chain also a contract's account may be impersonated; everywhere else no such transaction comes this far.
        self.evm.ctx.cfg.disable_eip3607 = transaction.is_impersonated();
        let outcome = self.evm.transact(tx_env).map_err(refused)?;
        self.state_mut().commit(outcome.state);
        self.gas_used = self.gas_used.saturating_add(outcome.result.tx_gas_used());
        let receipt = self.receipt(transaction.tx_type(), outcome.result)?;
        self.receipts.push(receipt);
        Ok(())
    }

    /// Ends a block without ommers and withdrawals, as [`BlockExecutor::finish_with`].
    ///
    /// # Errors
    /// As there.
    pub fn finish(self) -> Result<ExecutedBlock, ExecutionError> {
        self.finish_with(&[], &[])
    }

    /// Runs the system calls that follow the transactions, pays what the era pays (rewards, ommers, withdrawals), and returns what
    /// came of the block.
    ///
    /// # Errors
    /// A system contract or the store failed, or a log of the deposit contract is no deposit.
    pub fn finish_with(
        mut self,
        ommers: &[Header],
        withdrawals: &[Withdrawal],
    ) -> Result<ExecutedBlock, ExecutionError> {
        let requests = self.requests()?;
        match self.era {
            Era::Drawbridge => self.pay(self.header.beneficiary, self.spec.pow.block_reward)?,
            Era::Ethash => {
                for (beneficiary, wei) in rewards::payments(self.fork, self.header, ommers) {
                    self.pay(beneficiary, wei)?;
                }
            }
            Era::Merged => self.credit_withdrawals(withdrawals)?,
        }
        let changes = self.state().changes();
        Ok(ExecutedBlock { receipts: self.receipts, gas_used: self.gas_used, changes, requests })
    }

    fn pay(&mut self, beneficiary: Address, wei: U256) -> Result<(), StateError> {
        if wei.is_zero() { Ok(()) } else { self.state_mut().credit(beneficiary, wei) }
    }

    /// Credits what the consensus layer gives back, in gwei (EIP-4895).
    fn credit_withdrawals(&mut self, withdrawals: &[Withdrawal]) -> Result<(), StateError> {
        for withdrawal in withdrawals {
            self.state_mut().credit(withdrawal.address, withdrawal.amount_wei())?;
            self.state_mut().clear_if_empty(withdrawal.address)?;
        }
        Ok(())
    }

    /// Moves the balances of the DAO's accounts in the block of that fork (EIP-779).
    fn move_dao_balances(&mut self) -> Result<(), StateError> {
        let fork = self.spec.ethereum.as_ref().and_then(|rules| rules.dao);
        if self.era != Era::Ethash || !fork.is_some_and(|fork| fork.moves_balances(self.header.number)) {
            return Ok(());
        }
        let clears_empty = self.fork >= Fork::SpuriousDragon;
        for account in dao::ACCOUNTS {
            let wei = self.state_mut().take_balance(account)?;
            self.state_mut().credit(dao::REFUND_CONTRACT, wei)?;
            if clears_empty {
                self.state_mut().clear_if_empty(account)?;
                self.state_mut().clear_if_empty(dao::REFUND_CONTRACT)?;
            }
        }
        Ok(())
    }

    /// Collects the requests to a consensus layer: deposits from the logs (past the merge only), then those of the contracts.
    fn requests(&mut self) -> Result<Vec<Bytes>, ExecutionError> {
        let mut all = Vec::new();
        if self.era == Era::Merged
            && self.fork >= Fork::Prague
            && let Some(rules) = &self.spec.ethereum
        {
            all.extend(requests::deposits(&self.receipts, rules.deposit_contract)?);
        }
        all.extend(system::after_transactions(&mut self.evm, self.era, self.fork)?);
        Ok(all)
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

/// Executes a whole block.
///
/// # Errors
/// A transaction is not valid where it stands, a system contract failed, or the store.
pub fn execute_block(
    spec: &ChainSpec,
    block: &RecoveredBlock,
    source: &dyn StateSource,
    reader: &dyn Reader,
) -> Result<ExecutedBlock, ExecutionError> {
    let mut executor = BlockExecutor::begin(spec, &block.header, source, reader)?;
    for (index, transaction) in block.transactions.iter().enumerate() {
        executor.transact(transaction).map_err(|reason| match reason {
            TransactionRefused::State(error) => ExecutionError::State(error),
            reason => ExecutionError::Transaction { index, hash: transaction.hash(), reason },
        })?;
    }
    executor.finish_with(&block.ommers, block.withdrawals.as_ref().map_or(&[], |withdrawals| withdrawals.as_slice()))
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
