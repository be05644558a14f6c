//! Starting from a state snapshot: the headers up to a finalized block, the whole state at its end, and the block itself.
//!
//! A [`SnapshotBuilder`] takes the pieces as they come, holds them in memory, and verifies each as early as it can: the accounts by the
//! header's state root, an account's slots by its storage root, code by its hash. Only what is whole becomes a [`StateSnapshot`],
//! and that is committed as one batch.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use alloy_primitives::{B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_rlp::Decodable;
use consensus::{RecoveredBlock, SealedHeader, Witness};
use evm_runtime::TrieAccount;
use evm_runtime::state::{self, StateAccount};
use evm_runtime::trie::EMPTY_ROOT_HASH;
use storage::{Stage, Table};

use crate::finality::Finalized;
use crate::import::{ImportError, ImportOutcome, Imported, Writer};
use crate::index;
use crate::records::{meta, put_bare_canonical, put_block, put_canonical};
use crate::view::ChainView;

/// A verified state with the chain of headers that leads to it.
pub struct StateSnapshot {
    headers: Vec<(SealedHeader, Option<Witness>)>,
    block: RecoveredBlock,
    accounts: Vec<StateAccount>,
    codes: Vec<(B256, Bytes)>,
}

/// Says that a piece is not what the header's state root says; whoever sent it is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum SnapshotFault {
    #[error("rows out of order, or an empty piece that is not the last")]
    Order,
    #[error("row {key}: {problem}")]
    Row { key: B256, problem: String },
    #[error("state root: header says {expected}, the accounts give {actual}")]
    StateRoot { expected: B256, actual: B256 },
    #[error("storage root of account {account}: the account says {expected}, the slots give {actual}")]
    StorageRoot { account: B256, expected: B256, actual: B256 },
    #[error("code: expected {expected}, got {actual}")]
    Code { expected: B256, actual: B256 },
    #[error("the block is not {0}")]
    Block(B256),
}

/// Says what a snapshot needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// Accounts from this key on.
    Accounts(B256),
    /// Slots of an account, from this key on.
    Slots(B256, B256),
    /// Codes.
    Codes(Vec<B256>),
    /// The block itself.
    Block,
    /// Nothing.
    Nothing,
}

/// A piece of a state: rows in ascending order, and whether they are the last.
pub type Rows = (Vec<(B256, Vec<u8>)>, bool);

/// Puts a snapshot together.
pub struct SnapshotBuilder {
    headers: Vec<(SealedHeader, Option<Witness>)>,
    target: SealedHeader,
    accounts: Vec<StateAccount>,
    accounts_whole: bool,
    /// The indexes of accounts whose slots are not here yet.
    without_slots: VecDeque<usize>,
    missing_codes: BTreeSet<B256>,
    codes: Vec<(B256, Bytes)>,
    block: Option<RecoveredBlock>,
    bytes: usize,
}

/// How many codes are needed at once.
const CODES_AT_ONCE: usize = 64;
/// What a row takes beside its bytes.
const ROW_BYTES: usize = 160;

impl SnapshotBuilder {
    /// Begins with the headers from block 1 on, verified, in order; the last one is the block whose state is to come. `None` without
    /// a header.
    pub fn new(headers: Vec<(SealedHeader, Option<Witness>)>) -> Option<Self> {
        let target = headers.last()?.0.clone();
        Some(Self {
            bytes: headers.len() * 1024,
            headers,
            target,
            accounts: Vec::new(),
            accounts_whole: false,
            without_slots: VecDeque::new(),
            missing_codes: BTreeSet::new(),
            codes: Vec::new(),
            block: None,
        })
    }

    /// Returns the header whose state this is, with its witness.
    pub fn target_entry(&self) -> (SealedHeader, Option<Witness>) {
        (self.target.clone(), self.headers.last().and_then(|(_, witness)| *witness))
    }

    /// Returns the timestamp of the parent of the block whose state this is; 0 where the parent is the genesis block.
    pub fn parent_timestamp(&self) -> u64 {
        let parent = self.headers.len().checked_sub(2).and_then(|index| self.headers.get(index));
        parent.map_or(0, |(header, _)| header.timestamp)
    }

    /// Returns about how many bytes are held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns what is needed next.
    pub fn need(&self) -> Need {
        if !self.accounts_whole {
            return Need::Accounts(next_key(self.accounts.last().map(|account| account.address_hash)));
        }
        if let Some(account) = self.without_slots.front().map(|index| &self.accounts[*index]) {
            return Need::Slots(account.address_hash, next_key(account.slots.last().map(|(slot, _)| *slot)));
        }
        if !self.missing_codes.is_empty() {
            return Need::Codes(self.missing_codes.iter().take(CODES_AT_ONCE).copied().collect());
        }
        if self.block.is_none() { Need::Block } else { Need::Nothing }
    }

    /// Takes accounts; the last piece shows whether they have the header's state root.
    ///
    /// # Errors
    /// What is wrong with the piece, or with all of them.
    pub fn add_accounts(&mut self, (rows, is_last): Rows) -> Result<(), SnapshotFault> {
        check_order(&rows, self.accounts.last().map(|account| account.address_hash), is_last)?;
        for (key, row) in rows {
            let account = TrieAccount::decode(&mut &row[..]).ok().filter(|account| alloy_rlp::encode(account) == row);
            let account = account.ok_or_else(|| SnapshotFault::Row { key, problem: "no account".to_owned() })?;
            self.bytes += ROW_BYTES + row.len();
            if account.storage_root != EMPTY_ROOT_HASH {
                self.without_slots.push_back(self.accounts.len());
            }
            if account.code_hash != KECCAK256_EMPTY {
                self.missing_codes.insert(account.code_hash);
            }
            self.accounts.push(StateAccount { address_hash: key, account, slots: Vec::new() });
        }
        if is_last {
            let leaves = self.accounts.iter().map(|account| (account.address_hash, &account.account));
            let (expected, actual) = (self.target.state_root, state::state_root(leaves));
            if expected != actual {
                return Err(SnapshotFault::StateRoot { expected, actual });
            }
            self.accounts_whole = true;
        }
        Ok(())
    }

    /// Takes slots of the account that [`SnapshotBuilder::need`] names.
    ///
    /// # Errors
    /// What is wrong with the piece, or with all of the account's.
    pub fn add_slots(&mut self, (rows, is_last): Rows) -> Result<(), SnapshotFault> {
        let Some(index) = self.without_slots.front().copied() else { return Err(SnapshotFault::Order) };
        let account = &mut self.accounts[index];
        check_order(&rows, account.slots.last().map(|(slot, _)| *slot), is_last)?;
        for (key, row) in rows {
            let value = U256::try_from_be_slice(&row).filter(|value| !value.is_zero() && row[0] != 0);
            let value = value.ok_or_else(|| SnapshotFault::Row { key, problem: "no slot's value".to_owned() })?;
            self.bytes += ROW_BYTES;
            account.slots.push((key, value));
        }
        if is_last {
            let (expected, actual) = (account.account.storage_root, state::storage_root(&account.slots));
            if expected != actual {
                account.slots.clear();
                let account = account.address_hash;
                return Err(SnapshotFault::StorageRoot { account, expected, actual });
            }
            self.without_slots.pop_front();
        }
        Ok(())
    }

    /// Takes the first ones of the codes that [`SnapshotBuilder::need`] names.
    ///
    /// # Errors
    /// One that does not have its hash.
    pub fn add_codes(&mut self, codes: Vec<Vec<u8>>) -> Result<(), SnapshotFault> {
        let needed: Vec<B256> = self.missing_codes.iter().take(CODES_AT_ONCE).copied().collect();
        if codes.is_empty() || codes.len() > needed.len() {
            return Err(SnapshotFault::Order);
        }
        for (expected, code) in needed.into_iter().zip(codes) {
            let actual = keccak256(&code);
            if expected != actual {
                return Err(SnapshotFault::Code { expected, actual });
            }
            self.bytes += code.len();
            self.missing_codes.remove(&expected);
            self.codes.push((expected, code.into()));
        }
        Ok(())
    }

    /// Takes the block whose state this is, its body compared with its header.
    ///
    /// # Errors
    /// It is another block.
    pub fn add_block(&mut self, block: RecoveredBlock) -> Result<(), SnapshotFault> {
        if block.hash() != self.target.hash() {
            return Err(SnapshotFault::Block(self.target.hash()));
        }
        self.block = Some(block);
        Ok(())
    }

    /// Returns the snapshot where nothing more is needed.
    pub fn finish(self) -> Option<StateSnapshot> {
        if self.need() != Need::Nothing {
            return None;
        }
        Some(StateSnapshot { headers: self.headers, block: self.block?, accounts: self.accounts, codes: self.codes })
    }
}

/// Returns the first key after `last`.
fn next_key(last: Option<B256>) -> B256 {
    last.map_or(B256::ZERO, |last| U256::from_be_bytes(last.0).saturating_add(U256::ONE).into())
}

fn check_order(rows: &[(B256, Vec<u8>)], last: Option<B256>, is_last: bool) -> Result<(), SnapshotFault> {
    let keys = last.into_iter().chain(rows.iter().map(|(key, _)| *key));
    if keys.is_sorted_by(|a, b| a < b) && (is_last || !rows.is_empty()) { Ok(()) } else { Err(SnapshotFault::Order) }
}

impl StateSnapshot {
    /// Returns the block whose state this is.
    pub fn block(&self) -> &RecoveredBlock {
        &self.block
    }
}

impl Writer {
    /// Puts a snapshot in the place of the genesis state.
    pub(crate) fn adopt(&mut self, snapshot: &StateSnapshot) -> Result<Imported, ImportError> {
        let view = self.view.clone();
        if view.head.number != 0 {
            return Err(ImportError::Invalid(format!("a snapshot, and the chain is at block {}", view.head.number)));
        }
        let mut stage = Stage::new(view.snapshot.clone());
        let (mut parent, mut work) = (view.head.hash(), view.head_td);
        for (index, (header, witness)) in snapshot.headers.iter().enumerate() {
            let number = u64::try_from(index).unwrap_or(u64::MAX).saturating_add(1);
            if header.parent_hash != parent || header.number != number {
                return Err(ImportError::Invalid(format!("header {number} does not follow the one before it")));
            }
            parent = header.hash();
            work = work.saturating_add(header.difficulty);
            put_bare_canonical(&mut stage, header, *witness, work);
        }
        let block = &snapshot.block;
        let root = state::replace(&mut stage, &snapshot.accounts, &snapshot.codes)?;
        if root != block.header.state_root || block.hash() != parent {
            let (expected, hash) = (block.header.state_root, block.hash());
            return Err(ImportError::Invalid(format!(
                "block {hash} says state root {expected}, the snapshot gives {root}"
            )));
        }
        put_block(&mut stage, block, work);
        put_canonical(&mut stage, block);
        let number = block.number();
        index::restart(&mut stage, number, block.hash())?;
        stage.put(Table::Meta, meta::BASE, number.to_be_bytes());
        stage.put(Table::Meta, meta::HISTORY_FLOOR, number.to_be_bytes());
        let finalized = Finalized { number, hash: block.hash() };
        finalized.put(&mut stage);
        let stored = self.commit(stage)?;
        self.view = Arc::new(ChainView {
            snapshot: stored,
            head: block.header.clone(),
            state_root: root,
            head_td: work,
            finalized,
            base: number,
            ..(*view).clone()
        });
        let added = vec![Arc::new(block.clone())];
        Ok(Imported { outcome: ImportOutcome::Canonical { reverted: 0 }, added, reorganisation: None })
    }
}
