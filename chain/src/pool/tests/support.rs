//! A world of accounts without a ledger, and signed transactions.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::eip2930::AccessList;
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use consensus::crypto::{SecretKey, address_of, secret_key, sign};
use consensus::{Fork, RecoveredTransaction, Transaction};
use evm_runtime::StateError;

use crate::pool::index::Index;
use crate::pool::{Added, HeadFacts, HeadState, Pool, PoolConfig, PoolError, TransactionOrigin};

pub(super) const CHAIN_ID: u64 = 4242;
pub(super) const ETHER: u128 = 1_000_000_000_000_000_000;

/// Holds the state that a pool under test sees. Unknown accounts have nonce 0 and 1 ether.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) head: HeadFacts,
    pub(super) accounts: AddressMap<(u64, U256, bool)>,
    pub(super) fails: bool,
}

impl Default for World {
    fn default() -> Self {
        let head = HeadFacts {
            number: 1,
            timestamp: 1_000,
            base_fee: Some(0),
            gas_limit: 30_000_000,
            fork: Fork::Osaka,
            chain_id: CHAIN_ID,
            contract_size_limit: None,
        };
        Self { head, accounts: AddressMap::default(), fails: false }
    }
}

impl World {
    pub(super) fn at(fork: Fork) -> Self {
        let mut world = Self::default();
        world.head.fork = fork;
        world
    }

    pub(super) fn set(&mut self, sender: u64, nonce: u64, balance: u128) {
        self.accounts.insert(address(sender), (nonce, U256::from(balance), false));
    }

    /// Moves to the next block, in which `mined` are; nonces follow, balances stay.
    pub(super) fn mine(&mut self, mined: &[RecoveredTransaction]) {
        use alloy_consensus::Transaction as _;
        self.head.number += 1;
        for transaction in mined {
            let (_, balance, code) = self.account(transaction.sender()).unwrap();
            self.accounts.insert(transaction.sender(), (transaction.nonce() + 1, balance, code));
        }
    }
}

impl HeadState for World {
    fn account(&self, address: Address) -> Result<(u64, U256, bool), StateError> {
        if self.fails {
            return Err(StateError::Corrupt("as the test wants it".to_owned()));
        }
        Ok(self.accounts.get(&address).copied().unwrap_or((0, U256::from(ETHER), false)))
    }

    fn head(&self) -> &HeadFacts {
        &self.head
    }
}

fn key(sender: u64) -> SecretKey {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&(sender + 1).to_be_bytes());
    secret_key(bytes).unwrap()
}

pub(super) fn address(sender: u64) -> Address {
    address_of(&key(sender))
}

pub(super) fn signed<T>(sender: u64, transaction: T) -> RecoveredTransaction
where
    T: SignableTransaction<Signature>,
    Transaction: From<alloy_consensus::Signed<T>>,
{
    let signature = sign(&key(sender), transaction.signature_hash());
    RecoveredTransaction::recover(transaction.into_signed(signature).into()).unwrap()
}

pub(super) fn legacy(nonce: u64, price: u128) -> TxLegacy {
    TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce,
        gas_price: price,
        gas_limit: 21_000,
        to: TxKind::Call(Address::repeat_byte(9)),
        value: U256::ZERO,
        input: Bytes::new(),
    }
}

pub(super) fn dynamic(nonce: u64, fee_cap: u128, tip_cap: u128) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: fee_cap,
        max_priority_fee_per_gas: tip_cap,
        to: TxKind::Call(Address::repeat_byte(9)),
        ..TxEip1559::default()
    }
}

pub(super) fn with_access_list(nonce: u64, access_list: AccessList, gas_limit: u64) -> TxEip2930 {
    let to = TxKind::Call(Address::repeat_byte(9));
    TxEip2930 { chain_id: CHAIN_ID, nonce, gas_price: 1, gas_limit, to, access_list, ..TxEip2930::default() }
}

pub(super) fn blob() -> TxEip4844 {
    TxEip4844 { chain_id: CHAIN_ID, gas_limit: 21_000, max_fee_per_gas: 1, ..TxEip4844::default() }
}

pub(super) fn delegation(authorizations: usize, gas_limit: u64) -> TxEip7702 {
    let inner = Authorization { chain_id: U256::from(CHAIN_ID), address: Address::repeat_byte(7), nonce: 0 };
    let one = SignedAuthorization::new_unchecked(inner, 0, U256::from(1), U256::from(1));
    let (max_fee_per_gas, max_priority_fee_per_gas) = (1, 1);
    let authorization_list = vec![one; authorizations];
    TxEip7702 {
        chain_id: CHAIN_ID,
        gas_limit,
        max_fee_per_gas,
        max_priority_fee_per_gas,
        authorization_list,
        ..TxEip7702::default()
    }
}

/// Makes a transaction at the price `price` without the cost of a signature.
pub(super) fn cheap(sender: Address, nonce: u64, price: u128) -> RecoveredTransaction {
    let signature = Signature::new(U256::from_be_slice(sender.as_slice()), U256::from(1), false);
    RecoveredTransaction::with_sender(legacy(nonce, price).into_signed(signature).into(), sender)
}

/// Returns an address that no key in these tests has.
pub(super) fn stranger(number: u64) -> Address {
    Address::from_word(B256::from(U256::from(0xdead_0000_0000_0000_0000_u128 + u128::from(number))))
}

/// A pool in a world.
pub(super) struct Bench {
    pub(super) pool: Pool,
    pub(super) world: World,
    pub(super) now: u64,
}

impl Bench {
    pub(super) fn new(config: PoolConfig) -> Self {
        Self { pool: Pool::new(config), world: World::default(), now: 1_000 }
    }

    pub(super) fn remote(&self, transaction: &RecoveredTransaction) -> Result<Added, PoolError> {
        self.add(transaction, TransactionOrigin::Remote)
    }

    pub(super) fn local(&self, transaction: &RecoveredTransaction) -> Result<Added, PoolError> {
        self.add(transaction, TransactionOrigin::Local)
    }

    fn add(&self, transaction: &RecoveredTransaction, origin: TransactionOrigin) -> Result<Added, PoolError> {
        let result = self.pool.add(transaction.clone(), origin, &self.world, self.now);
        check(&self.pool);
        result
    }

    /// Mines these transactions and tells the pool.
    pub(super) fn mine(&mut self, mined: &[RecoveredTransaction]) -> Vec<(B256, crate::pool::DropReason)> {
        self.world.mine(mined);
        let dropped = self.pool.on_new_head(&self.world, &mut mined.iter(), Vec::new(), self.now);
        check(&self.pool);
        dropped
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.pending, status.queued)
    }
}

/// Checks what must be true of a pool at any time: all its books agree, and its limits hold.
pub(super) fn check(pool: &Pool) {
    let contents = pool.contents.read();
    let mut index = Index::new(contents.config.account_slots);
    let (mut count, mut bytes) = (0, 0);
    for (address, account) in &contents.accounts {
        index.add(*address, account);
        assert!(!account.is_empty(), "an empty account stayed");
        assert!(account.spent() <= account.facts().balance, "overdraft");
        assert!(account.is_local() || account.queued_count() <= contents.config.account_queue);
        let contiguous = (account.facts().nonce..account.next()).eq(account.executables().map(|entry| entry.nonce()));
        assert!(contiguous, "a gap among the executable ones");
        let mut floor = None;
        for entry in account.entries() {
            assert_eq!(contents.by_hash.get(&entry.hash()), Some(&(*address, entry.nonce())));
            count += 1;
            bytes += entry.transaction.size_bytes() + 768;
        }
        let sum = account.executables().fold(U256::ZERO, |sum, entry| sum + entry.cost);
        assert_eq!(account.spent(), sum, "the sum is wrong");
        let following = account.get(account.next()).map(|entry| entry.cost);
        assert!(following.is_none_or(|cost| sum + cost > account.facts().balance), "an executable one is queued");
        for entry in account.executables() {
            floor = Some(floor.map_or(entry.rank, |floor: crate::pool::account::Rank| floor.min(entry.rank)));
            assert_eq!(Some(entry.floor), floor, "a floor is wrong");
        }
    }
    assert_eq!(index, contents.index, "the index is wrong");
    assert_eq!((count, bytes), (contents.by_hash.len(), contents.bytes));
    assert!(index.remote_executable <= contents.config.global_slots);
    assert!(index.remote_queued <= contents.config.global_queue);
    assert!(bytes <= contents.config.bytes_max);
}
