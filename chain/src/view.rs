//! A reader's view of the chain: one moment, never changed by later imports.

use std::sync::Arc;

use alloy_consensus::EMPTY_ROOT_HASH;
use alloy_primitives::{Address, B256, U256};
use consensus::{ChainSpec, Genesis, RecoveredBlock, RecoveredTransaction, SealedHeader, Witness, fork_choice};
use evm_runtime::receipt::{decode_receipt, decode_receipts};
use evm_runtime::{Receipt, StateError, StateView};
use storage::{Snapshot, StorageError, Table};

use crate::amendments;
use crate::finality::Finalized;
use crate::index::IndexReader;
use crate::records::{
    HeaderRecord, block_key, canonical_hash, meta, number_of, read_block, read_body, read_transaction, read_u64,
    transaction_count,
};

/// Says why a view cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// The state of a block that is not canonical, or unknown.
    #[error("header not found")]
    UnknownBlock,
    /// The history of this block was pruned.
    #[error("required historical state unavailable: history begins at block {first}")]
    Pruned {
        /// The first block whose state can be read.
        first: u64,
    },
    /// Our own store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Our own state failed.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Says where a canonical transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionLocation {
    /// The block's number.
    pub number: u64,
    /// The block's hash.
    pub hash: B256,
    /// The transaction's index in the block.
    pub index: usize,
}

/// Reads the chain as it was at one moment. Every method that reads fails only where our own store does, unless it says more.
#[derive(Clone)]
pub struct ChainView {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) snapshot: Snapshot,
    pub(crate) head: SealedHeader,
    /// The root of the state at the head: the head's, unless the state was changed by hand since.
    pub(crate) state_root: B256,
    pub(crate) head_td: U256,
    pub(crate) genesis_hash: B256,
    /// The highest block that ever was final.
    pub(crate) finalized: Finalized,
    /// The block whose state a snapshot gave; 0: there was none.
    pub(crate) base: u64,
}

#[allow(clippy::missing_errors_doc)]
impl ChainView {
    /// Returns the chain's rules.
    pub fn spec(&self) -> &Arc<ChainSpec> {
        &self.spec
    }

    /// Returns the head's header.
    pub fn head(&self) -> &SealedHeader {
        &self.head
    }

    /// Returns the root of the state after a canonical block where it was changed by hand on a development chain, so that it is not
    /// the one that the block's header says.
    pub fn amended_root(&self, number: u64, hash: B256) -> Result<Option<B256>, ViewError> {
        Ok(amendments::root(&*self.snapshot, number, hash)?)
    }

    /// Returns how often the state was changed by hand after the head.
    pub fn amendment_count(&self) -> Result<u32, ViewError> {
        Ok(amendments::count(&*self.snapshot, self.head.number, self.head.hash())?)
    }

    /// Returns the head's total difficulty.
    pub fn head_td(&self) -> U256 {
        self.head_td
    }

    /// Returns the hash of block 0.
    pub fn genesis_hash(&self) -> B256 {
        self.genesis_hash
    }

    /// Returns the number of the `safe` block: what is final is safe too.
    pub fn safe_number(&self) -> u64 {
        fork_choice::safe_number(&self.spec.pow, self.head.number).max(self.finalized.number)
    }

    /// Returns the number of the `finalized` block, which only an operator's rewind lowers: it stays where it is when the head moves
    /// down to a heavier but shorter branch. The block that a snapshot gave was final where it came from, and is here.
    pub fn finalized_number(&self) -> u64 {
        self.finalized.number
    }

    /// Returns the hash of the `finalized` block.
    pub fn finalized_hash(&self) -> B256 {
        self.finalized.hash
    }

    /// Returns the number of the first block that a reorganisation may leave as the last one that stays: the finalized block, or the
    /// first one whose state can be read where that is higher, since what was pruned cannot be undone.
    pub fn reorganisation_floor(&self) -> Result<u64, ViewError> {
        Ok(self.finalized.number.max(self.history_floor()?))
    }

    /// Returns the number of the block whose state a snapshot gave: of those before it only the headers are here. 0: there was none.
    pub fn base_number(&self) -> u64 {
        self.base
    }

    /// Returns the canonical hash at `number`.
    pub fn canonical_hash(&self, number: u64) -> Result<Option<B256>, ViewError> {
        Ok(canonical_hash(&*self.snapshot, number)?)
    }

    /// Returns the canonical header at `number`.
    pub fn header_by_number(&self, number: u64) -> Result<Option<SealedHeader>, ViewError> {
        if number == self.head.number {
            return Ok(Some(self.head.clone()));
        }
        match self.canonical_hash(number)? {
            Some(hash) => self.header_at(number, hash),
            None => Ok(None),
        }
    }

    /// Returns a header of any known branch.
    pub fn header_by_hash(&self, hash: B256) -> Result<Option<SealedHeader>, ViewError> {
        if hash == self.head.hash() {
            return Ok(Some(self.head.clone()));
        }
        match number_of(&*self.snapshot, hash)? {
            Some(number) => self.header_at(number, hash),
            None => Ok(None),
        }
    }

    fn header_at(&self, number: u64, hash: B256) -> Result<Option<SealedHeader>, ViewError> {
        let record = HeaderRecord::read(&*self.snapshot, number, hash)?;
        Ok(record.map(|record| SealedHeader::with_known_hash(record.header, hash)))
    }

    /// Returns the record of a known block: header, total difficulty and witness.
    pub fn record(&self, hash: B256) -> Result<Option<HeaderRecord>, ViewError> {
        match number_of(&*self.snapshot, hash)? {
            Some(number) => Ok(HeaderRecord::read(&*self.snapshot, number, hash)?),
            None => Ok(None),
        }
    }

    /// Returns the total difficulty up to and with a known block.
    pub fn total_difficulty(&self, hash: B256) -> Result<Option<U256>, ViewError> {
        if hash == self.head.hash() {
            return Ok(Some(self.head_td));
        }
        Ok(self.record(hash)?.map(|record| record.total_difficulty))
    }

    /// Returns the witness of a known block.
    pub fn witness(&self, hash: B256) -> Result<Option<Witness>, ViewError> {
        Ok(self.record(hash)?.and_then(|record| record.witness))
    }

    /// Tells whether a block is on the canonical chain.
    pub fn is_canonical(&self, number: u64, hash: B256) -> Result<bool, ViewError> {
        Ok(self.canonical_hash(number)? == Some(hash))
    }

    /// Returns a block of any known branch, with senders.
    pub fn block_by_hash(&self, hash: B256) -> Result<Option<Arc<RecoveredBlock>>, ViewError> {
        match number_of(&*self.snapshot, hash)? {
            Some(number) => Ok(read_block(&*self.snapshot, number, hash)?.map(Arc::new)),
            None => Ok(None),
        }
    }

    /// Returns the RLP of the body of a block of any known branch, as it is stored: transactions, ommers, withdrawals.
    pub fn body(&self, hash: B256) -> Result<Option<Vec<u8>>, ViewError> {
        match number_of(&*self.snapshot, hash)? {
            Some(number) => Ok(read_body(&*self.snapshot, number, hash)?),
            None => Ok(None),
        }
    }

    /// Returns the canonical block at `number`, with senders.
    pub fn block_by_number(&self, number: u64) -> Result<Option<Arc<RecoveredBlock>>, ViewError> {
        match self.canonical_hash(number)? {
            Some(hash) => Ok(read_block(&*self.snapshot, number, hash)?.map(Arc::new)),
            None => Ok(None),
        }
    }

    /// Returns up to `most` known blocks of all branches from `number` on, in the order of their numbers: hash and record.
    pub fn known_headers(&self, number: u64, most: usize) -> Result<Vec<(B256, HeaderRecord)>, ViewError> {
        let rows = self.snapshot.iterate(Table::Headers, &number.to_be_bytes()).take(most);
        Ok(rows.map(|row| HeaderRecord::of_row(row?)).collect::<Result<_, _>>()?)
    }

    /// Returns how many transactions a known block has; 0 where its body is not here.
    pub fn transaction_count(&self, header: &SealedHeader) -> Result<u64, ViewError> {
        if header.transactions_root == EMPTY_ROOT_HASH {
            return Ok(0);
        }
        Ok(transaction_count(&*self.snapshot, header.number, header.hash())?)
    }

    /// Returns the receipts of an executed block.
    pub fn receipts(&self, hash: B256) -> Result<Option<Arc<Vec<Receipt>>>, ViewError> {
        let Some(number) = number_of(&*self.snapshot, hash)? else { return Ok(None) };
        let Some(row) = self.snapshot.get(Table::Receipts, &block_key(number, hash))? else { return Ok(None) };
        let receipts =
            decode_receipts(&row).map_err(|problem| StorageError::Row { table: Table::Receipts, problem })?;
        Ok(Some(Arc::new(receipts)))
    }

    /// Returns one transaction of a known block, with its sender; no other is decoded.
    pub fn transaction_at(
        &self,
        header: &SealedHeader,
        index: usize,
    ) -> Result<Option<RecoveredTransaction>, ViewError> {
        Ok(read_transaction(&*self.snapshot, header.number, header.hash(), index)?)
    }

    /// Returns the receipt of one transaction of an executed block, and the gas that those before it used; no other is decoded.
    pub fn receipt_at(&self, header: &SealedHeader, index: usize) -> Result<Option<(Receipt, u64)>, ViewError> {
        let Some(row) = self.snapshot.get(Table::Receipts, &block_key(header.number, header.hash()))? else {
            return Ok(None);
        };
        let bad_row = |problem| StorageError::Row { table: Table::Receipts, problem };
        let Some(receipt) = decode_receipt(&row, index).map_err(bad_row)? else { return Ok(None) };
        let before = match index.checked_sub(1) {
            Some(before) => {
                decode_receipt(&row, before).map_err(bad_row)?.map_or(0, |before| before.cumulative_gas_used())
            }
            None => 0,
        };
        Ok(Some((receipt, before)))
    }

    /// Returns the index of addresses and events; none: there is none, or it does not cover the whole chain.
    pub fn index(&self) -> Result<Option<IndexReader>, ViewError> {
        Ok(IndexReader::of(&self.snapshot, self.head.hash())?)
    }

    /// Returns where a canonical transaction is.
    pub fn transaction(&self, hash: B256) -> Result<Option<TransactionLocation>, ViewError> {
        let Some(row) = self.snapshot.get(Table::Transactions, hash.as_slice())? else { return Ok(None) };
        let bad_row = || StorageError::Row { table: Table::Transactions, problem: "not 12 bytes".to_owned() };
        let (number, index) = row.split_at_checked(8).ok_or_else(bad_row)?;
        let number = read_u64(number).ok_or_else(bad_row)?;
        let index = u32::from_be_bytes(index.try_into().map_err(|_| bad_row())?);
        let index = usize::try_from(index).map_err(|_| bad_row())?;
        Ok(self.canonical_hash(number)?.map(|hash| TransactionLocation { number, hash, index }))
    }

    /// Returns the accounts that the chain file makes.
    pub fn genesis_accounts(&self) -> Result<Vec<Address>, ViewError> {
        let row = self.snapshot.get(Table::Meta, meta::CHAIN_FILE)?.unwrap_or_default();
        let bad_row = |problem: String| StorageError::Row { table: Table::Meta, problem };
        let file = String::from_utf8(row).map_err(|error| bad_row(error.to_string()))?;
        let (genesis, _) = Genesis::parse(&file).map_err(|error| bad_row(error.to_string()))?;
        Ok(genesis.alloc.into_keys().collect())
    }

    /// Returns up to `most` blocks that were refused for their content: hash and reason.
    pub fn refused_blocks(&self, most: usize) -> Result<Vec<(B256, String)>, ViewError> {
        let bad_row = || StorageError::Row { table: Table::Invalid, problem: "not 32 bytes".to_owned() };
        let refused = self.snapshot.iterate(Table::Invalid, &[]).take(most).map(|row| {
            let (hash, reason) = row?;
            let hash = B256::try_from(&hash[..]).map_err(|_| bad_row())?;
            Ok((hash, String::from_utf8_lossy(&reason).into_owned()))
        });
        refused.collect()
    }

    /// Returns the state at the head.
    pub fn head_state(&self) -> StateView {
        StateView::at_head(self.snapshot.clone())
    }

    /// Returns the number of the first block whose state can be read.
    pub fn history_floor(&self) -> Result<u64, ViewError> {
        let row = self.snapshot.get(Table::Meta, meta::HISTORY_FLOOR)?;
        Ok(row.and_then(|row| read_u64(&row)).unwrap_or(0))
    }

    /// Returns the state at the end of a canonical block. Fails also where the block is unknown or its history pruned.
    pub fn state_at(&self, number: u64) -> Result<StateView, ViewError> {
        if number == self.head.number {
            return Ok(self.head_state());
        }
        if number > self.head.number {
            return Err(ViewError::UnknownBlock);
        }
        let first = self.history_floor()?;
        if number < first {
            return Err(ViewError::Pruned { first });
        }
        Ok(StateView::at(self.snapshot.clone(), number))
    }

    /// Returns the value under a key of a table that is given by its name; without a name, of the first table that has the key. For looking
    /// into a database; nothing where there is no such table.
    pub fn row(&self, table: Option<&str>, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        for candidate in Table::ALL.into_iter().filter(|candidate| table.is_none_or(|name| name == candidate.name())) {
            if let Some(value) = self.snapshot.get(candidate, key)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Returns the snapshot that this view reads, for tools that inspect tables.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}
