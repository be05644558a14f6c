//! World state: the flat tables at the head, the history beside them, and reading either.
//!
//! A row of `Accounts` is the leaf of the account trie (RLP of nonce, balance, storage root, code hash), so that flat state and
//! trie cannot disagree about an account's shape. The history holds, for each changed key and block, the value before the
//! block: the first change after block n therefore holds the value at n.

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use revm::bytecode::Bytecode;
use revm::database_interface::DBErrorMarker;
use revm::state::AccountInfo;
use revm::{Database, DatabaseRef};
use storage::{Reader, Snapshot, StorageError, Table};

use crate::code_cache;

mod amend;
mod apply;
mod genesis;
mod proof;
mod range;
mod rebuild;
mod replace;

pub use amend::{AccountAmendment, amend};
pub use apply::{AccountChange, Applied, SlotChange, apply, compute, undo};
pub use genesis::put_genesis;
pub use proof::{AccountProof, SlotProof};
pub use range::{Page, ReadError};
pub use rebuild::{StateCheck, check, forget_history, stored_root};
pub use replace::{StateAccount, replace, state_root, storage_root};

/// Says why state cannot be read or changed: always our own store's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A row does not decode, or flat state, trie and history do not agree.
    #[error("the state is corrupt: {0}")]
    Corrupt(String),
}

impl DBErrorMarker for StateError {}

impl From<crate::trie::TrieError> for StateError {
    fn from(error: crate::trie::TrieError) -> Self {
        match error {
            crate::trie::TrieError::Storage(error) => Self::Storage(error),
            other => Self::Corrupt(other.to_string()),
        }
    }
}

/// Reads accounts, slots, code and block hashes of one state, by hashed keys.
pub trait StateSource: Sync {
    /// Returns the account under keccak256 of its address.
    ///
    /// # Errors
    /// The store failed, as in all methods here.
    fn account_by_hash(&self, address_hash: B256) -> Result<Option<TrieAccount>, StateError>;
    /// Returns the value of a slot, zero where it is absent.
    #[allow(clippy::missing_errors_doc)]
    fn slot_by_hash(&self, address_hash: B256, slot_hash: B256) -> Result<U256, StateError>;
    /// Returns code by its hash.
    #[allow(clippy::missing_errors_doc)]
    fn code_by_hash(&self, code_hash: B256) -> Result<Bytes, StateError>;
    /// Returns the canonical hash of block `number`.
    #[allow(clippy::missing_errors_doc)]
    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError>;
}

/// Any reader (a stage with the changes of an import among them) is the state at its own head.
impl StateSource for &dyn Reader {
    fn account_by_hash(&self, address_hash: B256) -> Result<Option<TrieAccount>, StateError> {
        self.get(Table::Accounts, address_hash.as_slice())?.map(|row| decode_account(&row)).transpose()
    }

    fn slot_by_hash(&self, address_hash: B256, slot_hash: B256) -> Result<U256, StateError> {
        match self.get(Table::Slots, &slot_key(address_hash, slot_hash))? {
            Some(row) => decode_slot(&row),
            None => Ok(U256::ZERO),
        }
    }

    fn code_by_hash(&self, code_hash: B256) -> Result<Bytes, StateError> {
        if code_hash == KECCAK256_EMPTY || code_hash.is_zero() {
            return Ok(Bytes::new());
        }
        let code = self.get(Table::Code, code_hash.as_slice())?;
        code.map(Bytes::from).ok_or_else(|| StateError::Corrupt(format!("no code under {code_hash}")))
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        let row = self.get(Table::Canonical, &number.to_be_bytes())?;
        row.map(|row| {
            B256::try_from(&row[..]).map_err(|_| StateError::Corrupt(format!("canonical hash of block {number}")))
        })
        .transpose()
    }
}

/// Reads the state at the end of one canonical block: the head's from the flat tables, an earlier one's from the history.
#[derive(Clone)]
pub struct StateView {
    snapshot: Snapshot,
    /// `None`: the snapshot's head.
    number: Option<u64>,
}

impl std::fmt::Debug for StateView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateView").field("number", &self.number).finish_non_exhaustive()
    }
}

impl StateView {
    /// Views the state at the snapshot's head.
    pub fn at_head(snapshot: Snapshot) -> Self {
        Self { snapshot, number: None }
    }

    /// Views the state at the end of canonical block `number`, below the snapshot's head.
    pub fn at(snapshot: Snapshot, number: u64) -> Self {
        Self { snapshot, number: Some(number) }
    }

    fn head(&self) -> &dyn Reader {
        &*self.snapshot
    }

    /// Returns the snapshot, which holds the state at its head.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }

    /// Returns the tables, which hold the state at their head.
    pub(crate) fn reader(&self) -> &dyn Reader {
        &*self.snapshot
    }

    /// Returns the account at `address`.
    ///
    /// # Errors
    /// The store failed, as in all methods here.
    pub fn account(&self, address: Address) -> Result<Option<TrieAccount>, StateError> {
        self.account_by_hash(keccak256(address))
    }

    /// Returns the balance of `address` in wei.
    #[allow(clippy::missing_errors_doc)]
    pub fn balance(&self, address: Address) -> Result<U256, StateError> {
        Ok(self.account(address)?.map_or(U256::ZERO, |account| account.balance))
    }

    /// Returns the nonce of `address`.
    #[allow(clippy::missing_errors_doc)]
    pub fn nonce(&self, address: Address) -> Result<u64, StateError> {
        Ok(self.account(address)?.map_or(0, |account| account.nonce))
    }

    /// Returns the code at `address`, empty where there is none.
    #[allow(clippy::missing_errors_doc)]
    pub fn code(&self, address: Address) -> Result<Bytes, StateError> {
        match self.account(address)? {
            Some(account) => self.code_by_hash(account.code_hash),
            None => Ok(Bytes::new()),
        }
    }

    /// Returns the value of a storage slot of `address`.
    #[allow(clippy::missing_errors_doc)]
    pub fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.slot_by_hash(keccak256(address), keccak256(slot.to_be_bytes::<32>()))
    }

    /// Returns the value that `key` had at the end of block `number`, where a later block changed it.
    fn value_before_change(&self, table: Table, key: &[u8], number: u64) -> Result<Option<Vec<u8>>, StateError> {
        let mut from = key.to_vec();
        from.extend_from_slice(&number.saturating_add(1).to_be_bytes());
        let entry = self.snapshot.seek(table, &from)?;
        Ok(entry.filter(|(found, _)| found.len() == from.len() && found.starts_with(key)).map(|(_, value)| value))
    }
}

impl StateSource for StateView {
    fn account_by_hash(&self, address_hash: B256) -> Result<Option<TrieAccount>, StateError> {
        if let Some(number) = self.number
            && let Some(row) = self.value_before_change(Table::AccountHistory, address_hash.as_slice(), number)?
        {
            return if row.is_empty() { Ok(None) } else { decode_account(&row).map(Some) };
        }
        self.head().account_by_hash(address_hash)
    }

    fn slot_by_hash(&self, address_hash: B256, slot_hash: B256) -> Result<U256, StateError> {
        if let Some(number) = self.number
            && let Some(row) =
                self.value_before_change(Table::SlotHistory, &slot_key(address_hash, slot_hash), number)?
        {
            return decode_slot(&row);
        }
        self.head().slot_by_hash(address_hash, slot_hash)
    }

    fn code_by_hash(&self, code_hash: B256) -> Result<Bytes, StateError> {
        self.head().code_by_hash(code_hash)
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        self.head().block_hash(number)
    }
}

impl DatabaseRef for StateView {
    type Error = StateError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        Ok(self.account(address)?.map(|account| account_info(&account)))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, StateError> {
        code_cache::bytecode(code_hash, || self.code_by_hash(code_hash))
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.storage(address, slot)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StateError> {
        Ok(self.block_hash(number)?.unwrap_or_default())
    }
}

impl Database for StateView {
    type Error = StateError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        self.basic_ref(address)
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, StateError> {
        self.code_by_hash_ref(code_hash)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.storage_ref(address, slot)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StateError> {
        self.block_hash_ref(number)
    }
}

/// Returns the account as revm holds it, its code left to be read by hash.
pub(crate) fn account_info(account: &TrieAccount) -> AccountInfo {
    AccountInfo {
        balance: account.balance,
        nonce: account.nonce,
        code_hash: account.code_hash,
        code: None,
        account_id: None,
    }
}

/// Returns keccak(address) ‖ keccak(slot): the key of the `Slots` table.
pub(crate) fn slot_key(address_hash: B256, slot_hash: B256) -> [u8; 64] {
    let mut key = [0; 64];
    key[..32].copy_from_slice(address_hash.as_slice());
    key[32..].copy_from_slice(slot_hash.as_slice());
    key
}

/// Decodes a row of `Accounts`.
pub(crate) fn decode_account(row: &[u8]) -> Result<TrieAccount, StateError> {
    TrieAccount::decode(&mut &row[..]).map_err(|error| StateError::Corrupt(format!("account row: {error}")))
}

/// Encodes a slot's value: big-endian without leading zeros; zero is empty.
pub(crate) fn encode_slot(value: U256) -> Vec<u8> {
    value.to_be_bytes_trimmed_vec()
}

/// Decodes a row of `Slots` or `SlotHistory`.
pub(crate) fn decode_slot(row: &[u8]) -> Result<U256, StateError> {
    U256::try_from_be_slice(row).ok_or_else(|| StateError::Corrupt(format!("slot row of {} bytes", row.len())))
}

/// Tells whether an account has any storage.
pub(crate) fn has_storage(account: Option<&TrieAccount>) -> bool {
    account.is_some_and(|account| account.storage_root != EMPTY_ROOT_HASH)
}
