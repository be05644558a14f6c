//! The format of the official general state tests.

use std::collections::BTreeMap;
use std::str::FromStr;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use consensus::spec::Fork;
use consensus::{GenesisAccount, Header, RecoveredTransaction, Transaction};
use serde::Deserialize;

/// What the tests mean by a block without a base fee.
const BASE_FEE_DEFAULT: u64 = 10;

#[derive(Deserialize)]
pub(crate) struct Test {
    env: BTreeMap<String, String>,
    pre: BTreeMap<Address, Account>,
    transaction: TransactionParts,
    pub(crate) post: BTreeMap<String, Vec<Case>>,
}

#[derive(Deserialize)]
struct Account {
    balance: String,
    nonce: String,
    code: Bytes,
    storage: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TransactionParts {
    nonce: String,
    gas_price: Option<String>,
    max_fee_per_gas: Option<String>,
    max_priority_fee_per_gas: Option<String>,
    max_fee_per_blob_gas: Option<String>,
    blob_versioned_hashes: Option<Vec<B256>>,
    authorization_list: Option<Vec<AuthorizationParts>>,
    access_lists: Option<Vec<Option<Vec<AccessListPart>>>>,
    data: Vec<Bytes>,
    gas_limit: Vec<String>,
    to: String,
    value: Vec<String>,
    secret_key: B256,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessListPart {
    address: Address,
    storage_keys: Vec<B256>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizationParts {
    chain_id: String,
    address: Address,
    nonce: String,
    y_parity: String,
    r: String,
    s: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Case {
    pub(crate) hash: B256,
    pub(crate) logs: B256,
    indexes: Indexes,
    pub(crate) expect_exception: Option<String>,
}

#[derive(Deserialize)]
struct Indexes {
    data: usize,
    gas: usize,
    value: usize,
}

/// Reads a number, hex or decimal.
fn number<T: TryFrom<U256>>(text: &str) -> Option<T> {
    let value = match text {
        "0x" => U256::ZERO,
        _ => U256::from_str(text).ok()?,
    };
    T::try_from(value).ok()
}

impl Test {
    pub(crate) fn alloc(&self) -> BTreeMap<Address, GenesisAccount> {
        let word = |text: &str| B256::from(number::<U256>(text).unwrap());
        let account = |account: &Account| GenesisAccount {
            balance: number(&account.balance).unwrap(),
            nonce: number(&account.nonce).unwrap(),
            code: account.code.clone(),
            storage: account.storage.iter().map(|(slot, value)| (word(slot), word(value))).collect(),
        };
        self.pre.iter().map(|(address, parts)| (*address, account(parts))).collect()
    }

    /// Returns the block of the transaction, with the fields of all forks; [`header_at`] takes away what a fork does not know.
    pub(crate) fn header(&self) -> Header {
        let env = |name: &str| self.env.get(name).map(String::as_str);
        let small = |name: &str| env(name).and_then(number::<U256>).map(|value| value.saturating_to::<u64>());
        let difficulty = env("currentDifficulty").and_then(number).unwrap_or_default();
        Header {
            beneficiary: env("currentCoinbase").unwrap().parse().unwrap(),
            number: small("currentNumber").unwrap(),
            timestamp: small("currentTimestamp").unwrap(),
            gas_limit: small("currentGasLimit").unwrap(),
            difficulty,
            mix_hash: env("currentRandom").map_or(difficulty, |text| number(text).unwrap()).into(),
            base_fee_per_gas: Some(small("currentBaseFee").unwrap_or(BASE_FEE_DEFAULT)),
            excess_blob_gas: Some(small("currentExcessBlobGas").unwrap_or_default()),
            ..Header::default()
        }
    }

    /// Signs the transaction of `case`; `None` where its fields have no encoding at all.
    pub(crate) fn transaction(&self, case: &Case) -> Option<RecoveredTransaction> {
        let parts = &self.transaction;
        let to = if parts.to.is_empty() { TxKind::Create } else { TxKind::Call(parts.to.parse().unwrap()) };
        let wanted = Wanted {
            nonce: number(&parts.nonce)?,
            gas_limit: number(&parts.gas_limit[case.indexes.gas])?,
            to,
            value: number(&parts.value[case.indexes.value])?,
            input: parts.data[case.indexes.data].clone(),
            access_list: parts.access_list(case.indexes.data),
        };
        let transaction = parts.sign(wanted)?;
        Some(RecoveredTransaction::recover(transaction).unwrap())
    }
}

/// The fields of one case.
struct Wanted {
    nonce: u64,
    gas_limit: u64,
    to: TxKind,
    value: U256,
    input: Bytes,
    access_list: Option<AccessList>,
}

impl TransactionParts {
    fn access_list(&self, index: usize) -> Option<AccessList> {
        let items = self.access_lists.as_ref()?.get(index)?.as_ref()?;
        let item =
            |part: &AccessListPart| AccessListItem { address: part.address, storage_keys: part.storage_keys.clone() };
        Some(AccessList(items.iter().map(item).collect()))
    }

    fn sign(&self, wanted: Wanted) -> Option<Transaction> {
        let Wanted { nonce, gas_limit, to, value, input, access_list } = wanted;
        let Some(max_fee) = &self.max_fee_per_gas else {
            let gas_price = number(self.gas_price.as_ref()?)?;
            return Some(match access_list {
                Some(access_list) => {
                    self.signed(TxEip2930 { chain_id: 1, nonce, gas_price, gas_limit, to, value, access_list, input })
                }
                None => self.signed(TxLegacy { chain_id: None, nonce, gas_price, gas_limit, to, value, input }),
            });
        };
        let max_fee_per_gas = number(max_fee)?;
        let max_priority_fee_per_gas = number(self.max_priority_fee_per_gas.as_ref()?)?;
        let access_list = access_list.unwrap_or_default();
        if let Some(list) = &self.authorization_list {
            let authorization_list = list.iter().map(AuthorizationParts::signed).collect::<Option<_>>()?;
            let to = to.into_to()?;
            return Some(self.signed(TxEip7702 {
                chain_id: 1,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                authorization_list,
                input,
            }));
        }
        if let Some(hashes) = &self.blob_versioned_hashes {
            return Some(self.signed(TxEip4844 {
                chain_id: 1,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to: to.into_to()?,
                value,
                access_list,
                blob_versioned_hashes: hashes.clone(),
                max_fee_per_blob_gas: number(self.max_fee_per_blob_gas.as_ref()?)?,
                input,
            }));
        }
        Some(self.signed(TxEip1559 {
            chain_id: 1,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to,
            value,
            access_list,
            input,
        }))
    }

    fn signed<T: SignableTransaction<Signature>>(&self, transaction: T) -> Transaction
    where
        Transaction: From<alloy_consensus::Signed<T>>,
    {
        let key = consensus::crypto::secret_key(self.secret_key.0).unwrap();
        let signature = consensus::crypto::sign(&key, transaction.signature_hash());
        transaction.into_signed(signature).into()
    }
}

impl AuthorizationParts {
    fn signed(&self) -> Option<SignedAuthorization> {
        let inner =
            Authorization { chain_id: number(&self.chain_id)?, address: self.address, nonce: number(&self.nonce)? };
        Some(SignedAuthorization::new_unchecked(inner, number(&self.y_parity)?, number(&self.r)?, number(&self.s)?))
    }
}

/// Takes away what the header of `fork` does not have.
pub(crate) fn header_at(fork: Fork, mut header: Header) -> Header {
    header.base_fee_per_gas = header.base_fee_per_gas.filter(|_| fork >= Fork::London);
    header.excess_blob_gas = header.excess_blob_gas.filter(|_| fork >= Fork::Cancun);
    header
}
