//! The state while a block runs: what revm reads is cached, what it changes is kept beside the value at the block's start.
//!
//! This is the block's only collector of changes; it keeps no reverts of its own, since the undo log is written from the
//! old values that stand here.

use std::collections::hash_map::Entry;

use alloy_primitives::map::{AddressMap, B256Map, HashMap};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::TrieAccount;
use revm::bytecode::Bytecode;
use revm::state::{Account, AccountInfo};
use revm::{Database, DatabaseCommit, DatabaseRef};

use crate::code_cache;
use crate::state::{AccountChange, SlotChange, StateError, StateSource, account_info, has_storage};

/// Caches and changes the state of one block over a [`StateSource`].
pub struct BlockState<'a> {
    source: &'a dyn StateSource,
    accounts: AddressMap<CachedAccount>,
    codes: B256Map<Bytecode>,
    created_codes: B256Map<Bytes>,
    block_hashes: HashMap<u64, B256>,
}

struct CachedAccount {
    hash: B256,
    original: Option<TrieAccount>,
    current: Option<AccountInfo>,
    /// The storage at the block's start is gone: destroyed, or overwritten by a creation.
    wiped: bool,
    changed: bool,
    slots: HashMap<U256, CachedSlot>,
}

#[derive(Clone, Copy)]
struct CachedSlot {
    original: U256,
    current: U256,
}

/// Holds what a block changed, sorted by hashed address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateChanges {
    /// Accounts that changed, or whose storage did.
    pub accounts: Vec<AccountChange>,
    /// Code of contracts created in the block, by hash.
    pub codes: Vec<(B256, Bytes)>,
}

impl<'a> BlockState<'a> {
    /// Begins without changes.
    pub fn new(source: &'a dyn StateSource) -> Self {
        Self {
            source,
            accounts: AddressMap::default(),
            codes: B256Map::default(),
            created_codes: B256Map::default(),
            block_hashes: HashMap::default(),
        }
    }

    /// Adds `wei` to the balance of `address`, creating the account where there is none.
    ///
    /// # Errors
    /// The store failed.
    pub fn credit(&mut self, address: Address, wei: U256) -> Result<(), StateError> {
        let account = self.load(address)?;
        let info = account.current.get_or_insert_with(empty_account);
        info.balance = info.balance.saturating_add(wei);
        account.changed = true;
        Ok(())
    }

    /// Takes the whole balance of `address`, creating the account where there is none.
    ///
    /// # Errors
    /// The store failed.
    pub fn take_balance(&mut self, address: Address) -> Result<U256, StateError> {
        let account = self.load(address)?;
        let info = account.current.get_or_insert_with(empty_account);
        account.changed = true;
        Ok(std::mem::take(&mut info.balance))
    }

    /// Removes the account at `address` where it has nothing, as touching it does since Spurious Dragon (EIP-161).
    ///
    /// # Errors
    /// The store failed.
    pub fn clear_if_empty(&mut self, address: Address) -> Result<(), StateError> {
        let account = self.load(address)?;
        if account.current.as_ref().is_some_and(AccountInfo::is_empty) {
            account.current = None;
            account.wipe();
            account.changed = true;
        }
        Ok(())
    }

    /// Changes what is given of the account at `address`, creating it where there is none.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) fn set_account(
        &mut self,
        address: Address,
        nonce: Option<u64>,
        balance: Option<U256>,
        code: Option<Bytecode>,
    ) -> Result<(), StateError> {
        let account = self.load(address)?;
        let info = account.current.get_or_insert_with(empty_account);
        account.changed = true;
        info.nonce = nonce.unwrap_or(info.nonce);
        info.balance = balance.unwrap_or(info.balance);
        let Some(code) = code else { return Ok(()) };
        let hash = code.hash_slow();
        info.code_hash = hash;
        if hash != KECCAK256_EMPTY {
            self.created_codes.insert(hash, code.original_bytes());
            self.codes.insert(hash, code);
        }
        Ok(())
    }

    /// Forgets all storage of `address`, creating the account where there is none.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) fn clear_storage(&mut self, address: Address) -> Result<(), StateError> {
        self.set_account(address, None, None, None)?;
        self.load(address)?.wipe();
        Ok(())
    }

    /// Writes one slot of `address`, creating the account where there is none.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) fn set_slot(&mut self, address: Address, slot: U256, value: U256) -> Result<(), StateError> {
        self.set_account(address, None, None, None)?;
        let original = Database::storage(self, address, slot)?;
        self.load(address)?.slots.entry(slot).or_insert(CachedSlot { original, current: original }).current = value;
        Ok(())
    }

    /// Gives a block's hash to those that ask for it (BLOCKHASH).
    pub(crate) fn set_block_hash(&mut self, number: u64, hash: B256) {
        self.block_hashes.insert(number, hash);
    }

    /// Returns the addresses that were looked at or changed so far.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        self.accounts.keys().copied()
    }

    /// Returns the slots of `address` that were looked at or changed so far.
    pub fn known_slots(&self, address: Address) -> Vec<U256> {
        self.accounts.get(&address).map(|account| account.slots.keys().copied().collect()).unwrap_or_default()
    }

    /// Returns the value of a slot as it is now.
    ///
    /// # Errors
    /// The store failed.
    pub fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.storage_ref(address, slot)
    }

    /// Tells whether the storage that `address` had at the block's start is gone.
    pub fn lost_storage(&self, address: Address) -> bool {
        self.accounts.get(&address).is_some_and(|account| account.wiped)
    }

    /// Returns what changed so far.
    pub fn changes(&self) -> StateChanges {
        let mut accounts: Vec<_> = self.accounts.values().filter_map(CachedAccount::change).collect();
        accounts.sort_unstable_by_key(|change| change.address_hash);
        let mut codes: Vec<_> = self.created_codes.iter().map(|(hash, code)| (*hash, code.clone())).collect();
        codes.sort_unstable_by_key(|(hash, _)| *hash);
        StateChanges { accounts, codes }
    }

    fn load(&mut self, address: Address) -> Result<&mut CachedAccount, StateError> {
        match self.accounts.entry(address) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => Ok(entry.insert(CachedAccount::load(self.source, address)?)),
        }
    }
}

/// An account that exists and has nothing.
fn empty_account() -> AccountInfo {
    AccountInfo { code: None, ..AccountInfo::default() }
}

impl CachedAccount {
    fn load(source: &dyn StateSource, address: Address) -> Result<Self, StateError> {
        let hash = keccak256(address);
        let original = source.account_by_hash(hash)?;
        let current = original.as_ref().map(account_info);
        Ok(Self { hash, original, current, wiped: false, changed: false, slots: HashMap::default() })
    }

    /// Takes what a transaction left of this account; `account` is touched.
    fn commit(&mut self, account: Account) {
        self.changed = true;
        if account.is_selfdestructed() {
            self.current = None;
            self.wipe();
            return;
        }
        if account.is_created() {
            self.wipe();
        } else if account.is_empty() {
            // State clearing (EIP-161). Before Spurious Dragon revm never hands an empty account here untouched.
            self.current = None;
            self.wipe();
            return;
        }
        for (slot, value) in account.storage {
            let current = value.present_value;
            let original = if self.wiped { U256::ZERO } else { value.original_value };
            self.slots.entry(slot).or_insert(CachedSlot { original, current }).current = current;
        }
        self.current = Some(AccountInfo { code: None, ..account.info });
    }

    fn wipe(&mut self) {
        self.wiped |= has_storage(self.original.as_ref());
        self.slots.clear();
    }

    fn change(&self) -> Option<AccountChange> {
        if !self.changed {
            return None;
        }
        let mut slots: Vec<_> = self
            .slots
            .iter()
            .filter(|(_, value)| self.wiped || value.original != value.current)
            .map(|(slot, value)| SlotChange {
                slot_hash: keccak256(slot.to_be_bytes::<32>()),
                old: value.original,
                new: value.current,
            })
            .collect();
        slots.sort_unstable_by_key(|change| change.slot_hash);
        let unchanged = match (&self.original, &self.current) {
            (None, None) => true,
            (Some(old), Some(new)) => {
                old.nonce == new.nonce && old.balance == new.balance && old.code_hash == new.code_hash
            }
            _ => false,
        };
        if unchanged && slots.is_empty() && !self.wiped {
            return None;
        }
        Some(AccountChange {
            address_hash: self.hash,
            old: self.original,
            new: self
                .current
                .as_ref()
                .map(|info| TrieAccount::new(info.nonce, info.balance, B256::ZERO, info.code_hash)),
            wiped: self.wiped,
            slots,
        })
    }
}

impl Database for BlockState<'_> {
    type Error = StateError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        Ok(self.load(address)?.current.clone())
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, StateError> {
        match self.codes.entry(code_hash) {
            Entry::Occupied(entry) => Ok(entry.get().clone()),
            Entry::Vacant(entry) => {
                let code = code_cache::bytecode(code_hash, || self.source.code_by_hash(code_hash))?;
                Ok(entry.insert(code).clone())
            }
        }
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        let source = self.source;
        let account = self.load(address)?;
        if let Some(value) = account.slots.get(&slot) {
            return Ok(value.current);
        }
        let original = if account.wiped || !has_storage(account.original.as_ref()) {
            U256::ZERO
        } else {
            source.slot_by_hash(account.hash, keccak256(slot.to_be_bytes::<32>()))?
        };
        account.slots.insert(slot, CachedSlot { original, current: original });
        Ok(original)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StateError> {
        match self.block_hashes.entry(number) {
            Entry::Occupied(entry) => Ok(*entry.get()),
            Entry::Vacant(entry) => Ok(*entry.insert(self.source.block_hash(number)?.unwrap_or_default())),
        }
    }
}

/// Reads without caching: what tracers compare with, and what runs on a block half executed.
impl DatabaseRef for BlockState<'_> {
    type Error = StateError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        match self.accounts.get(&address) {
            Some(account) => Ok(account.current.clone()),
            None => Ok(self.source.account_by_hash(keccak256(address))?.as_ref().map(account_info)),
        }
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, StateError> {
        match self.codes.get(&code_hash) {
            Some(code) => Ok(code.clone()),
            None => code_cache::bytecode(code_hash, || self.source.code_by_hash(code_hash)),
        }
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let slot_hash = || keccak256(slot.to_be_bytes::<32>());
        let Some(account) = self.accounts.get(&address) else {
            return self.source.slot_by_hash(keccak256(address), slot_hash());
        };
        match account.slots.get(&slot) {
            Some(value) => Ok(value.current),
            None if account.wiped || !has_storage(account.original.as_ref()) => Ok(U256::ZERO),
            None => self.source.slot_by_hash(account.hash, slot_hash()),
        }
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StateError> {
        match self.block_hashes.get(&number) {
            Some(hash) => Ok(*hash),
            None => Ok(self.source.block_hash(number)?.unwrap_or_default()),
        }
    }
}

impl DatabaseCommit for BlockState<'_> {
    fn commit(&mut self, changes: AddressMap<Account>) {
        for (address, mut account) in changes {
            if !account.is_touched() {
                continue;
            }
            let code = account.info.code.take().filter(|_| account.info.code_hash != KECCAK256_EMPTY);
            let hash = account.info.code_hash;
            let removed = account.is_selfdestructed();
            let cached = self.accounts.get_mut(&address).expect("revm commits only accounts that it has loaded here");
            let is_new = cached.current.as_ref().is_none_or(|info| info.code_hash != hash);
            cached.commit(account);
            if let Some(code) = code.filter(|_| is_new && !removed) {
                self.created_codes.insert(hash, code.original_bytes());
                self.codes.insert(hash, code);
            }
        }
    }
}
