//! The format of the official general state tests.

use std::collections::BTreeMap;
use std::str::FromStr;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use consensus::crypto::SecretKey;
use consensus::spec::Fork;
use consensus::{GenesisAccount, Header, RecoveredTransaction, Transaction};
use serde::Deserialize;

/// What the tests mean where they name no base fee.
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
    txbytes: Option<Bytes>,
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

fn required<T: TryFrom<U256>>(text: &str) -> Result<T, String> {
    number(text).ok_or_else(|| format!("{text} is no number of that width"))
}

impl Test {
    /// Returns the accounts before the transaction.
    ///
    /// # Errors
    /// A field is no number of its width.
    pub(crate) fn alloc(&self) -> Result<BTreeMap<Address, GenesisAccount>, String> {
        self.pre.iter().map(|(address, parts)| Ok((*address, parts.account()?))).collect()
    }

    /// Returns the block of the transaction, with the fields of all forks; [`header_at`] takes away what a fork does not know.
    ///
    /// # Errors
    /// A field is missing or no number.
    pub(crate) fn header(&self) -> Result<Header, String> {
        let env = |name: &str| self.env.get(name).map(String::as_str);
        let optional = |name: &str| env(name).map(required::<U256>).transpose();
        let needed = |name: &str| {
            optional(name)?.map(|value| value.saturating_to::<u64>()).ok_or_else(|| format!("no {name} in env"))
        };
        let or =
            |name: &str, default: u64| Ok::<_, String>(optional(name)?.map_or(default, |value| value.saturating_to()));
        let difficulty = optional("currentDifficulty")?.unwrap_or_default();
        let coinbase = env("currentCoinbase").and_then(|text| text.parse().ok());
        Ok(Header {
            beneficiary: coinbase.ok_or("no currentCoinbase in env")?,
            number: needed("currentNumber")?,
            timestamp: needed("currentTimestamp")?,
            gas_limit: needed("currentGasLimit")?,
            difficulty,
            mix_hash: optional("currentRandom")?.unwrap_or(difficulty).into(),
            base_fee_per_gas: Some(or("currentBaseFee", BASE_FEE_DEFAULT)?),
            excess_blob_gas: Some(or("currentExcessBlobGas", 0)?),
            ..Header::default()
        })
    }

    /// Returns the transaction of `case`: its bytes where the vectors have them, else its fields, signed. `None` where they have no
    /// encoding at all.
    ///
    /// # Errors
    /// The vectors' address or key is none, or their bytes are not the transaction of the fields.
    pub(crate) fn transaction(&self, case: &Case) -> Result<Option<RecoveredTransaction>, String> {
        let Some(signed) = self.signed(case)? else { return Ok(None) };
        let transaction = match &case.txbytes {
            None => signed,
            Some(bytes) => match Transaction::decode_2718_exact(bytes) {
                Ok(decoded) if decoded.encoded_2718() == **bytes => decoded,
                Ok(_) => return Err("the bytes of the transaction are encoded again to others".to_owned()),
                Err(error) => return Err(format!("the bytes of the transaction: {error}")),
            },
        };
        RecoveredTransaction::recover(transaction).map(Some).map_err(|error| error.to_string())
    }

    fn signed(&self, case: &Case) -> Result<Option<Transaction>, String> {
        let parts = &self.transaction;
        let to = match parts.to.as_str() {
            "" => TxKind::Create,
            address => TxKind::Call(address.parse::<Address>().map_err(|error| format!("to: {error}"))?),
        };
        let key = consensus::crypto::secret_key(parts.secret_key.0).map_err(|error| error.to_string())?;
        let Indexes { data, gas, value } = case.indexes;
        let numbers =
            || Some((number(&parts.nonce)?, number(parts.gas_limit.get(gas)?)?, number(parts.value.get(value)?)?));
        let Some((nonce, gas_limit, value)) = numbers() else { return Ok(None) };
        let input = parts.data.get(data).ok_or("no data at that index")?.clone();
        let wanted = Wanted { nonce, gas_limit, to, value, input, access_list: parts.access_list(data) };
        Ok(parts.sign(&key, wanted))
    }
}

impl Account {
    fn account(&self) -> Result<GenesisAccount, String> {
        let word = |text: &str| required::<U256>(text).map(B256::from);
        let storage = self.storage.iter().map(|(slot, value)| Ok((word(slot)?, word(value)?)));
        Ok(GenesisAccount {
            balance: required(&self.balance)?,
            nonce: required(&self.nonce)?,
            code: self.code.clone(),
            storage: storage.collect::<Result<_, String>>()?,
        })
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

    fn sign(&self, key: &SecretKey, wanted: Wanted) -> Option<Transaction> {
        let Wanted { nonce, gas_limit, to, value, input, access_list } = wanted;
        let Some(max_fee) = &self.max_fee_per_gas else {
            let gas_price = number(self.gas_price.as_ref()?)?;
            return Some(match access_list {
                Some(access_list) => {
                    signed(key, TxEip2930 { chain_id: 1, nonce, gas_price, gas_limit, to, value, access_list, input })
                }
                None => signed(key, TxLegacy { chain_id: None, nonce, gas_price, gas_limit, to, value, input }),
            });
        };
        let max_fee_per_gas = number(max_fee)?;
        let max_priority_fee_per_gas = number(self.max_priority_fee_per_gas.as_ref()?)?;
        let access_list = access_list.unwrap_or_default();
        if let Some(list) = &self.authorization_list {
            let authorization_list = list.iter().map(AuthorizationParts::signed).collect::<Option<_>>()?;
            let to = to.into_to()?;
            return Some(signed(
                key,
                TxEip7702 {
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
                },
            ));
        }
        if let Some(hashes) = &self.blob_versioned_hashes {
            return Some(signed(
                key,
                TxEip4844 {
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
                },
            ));
        }
        Some(signed(
            key,
            TxEip1559 {
                chain_id: 1,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                input,
            },
        ))
    }
}

fn signed<T: SignableTransaction<Signature>>(key: &SecretKey, transaction: T) -> Transaction
where
    Transaction: From<alloy_consensus::Signed<T>>,
{
    let signature = consensus::crypto::sign(key, transaction.signature_hash());
    transaction.into_signed(signature).into()
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
