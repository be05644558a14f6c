//! Sends the operator's transactions: signed here with a key from the keystore, or by the node for an account that it holds.
//!
//! One sender is used by one task, so that its transactions have consecutive nonces.

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex};
use serde_json::{Value, json};

use super::{ChainClient, ChainError, quantity};

/// The gas of a release or of recording an opening: the first writes at most seven words.
const GAS_LIMIT: u64 = 400_000;
/// What miners are offered beyond the base fee at most, in wei.
const TIP_WEI: u128 = 1_000_000_000;

/// Says who signs.
#[derive(Clone)]
pub enum Account {
    /// An account that the node holds unlocked (`eth_sendTransaction`).
    OfNode(Address),
    /// An account whose key is here.
    Local(Address, Signing),
}

/// Signs a digest.
pub type Signing = Arc<dyn Fn(B256) -> Result<Signature, String> + Send + Sync>;

impl std::fmt::Debug for Account {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Account").field(&self.address()).finish()
    }
}

impl Account {
    /// Returns the address.
    pub fn address(&self) -> Address {
        match self {
            Self::OfNode(address) | Self::Local(address, _) => *address,
        }
    }
}

/// Sends transactions of one account.
#[derive(Clone, Debug)]
pub struct Sender {
    client: ChainClient,
    chain_id: u64,
    account: Account,
}

impl Sender {
    /// Sends through `client` on the chain with this id.
    pub fn new(client: ChainClient, chain_id: u64, account: Account) -> Self {
        Self { client, chain_id, account }
    }

    /// Returns the account's address.
    pub fn address(&self) -> Address {
        self.account.address()
    }

    /// Sends a call of a contract and returns the transaction's hash. It is not on the chain yet.
    ///
    /// # Errors
    /// The node refuses it, or there is no answer; it may have been sent all the same.
    pub async fn send(&self, to: Address, data: Vec<u8>) -> Result<B256, ChainError> {
        let (method, params) = match &self.account {
            Account::OfNode(from) => {
                let call = json!({"from": from, "to": to, "data": hex::encode_prefixed(&data)});
                ("eth_sendTransaction", json!([call]))
            }
            Account::Local(from, sign) => ("eth_sendRawTransaction", json!([self.sign(*from, sign, to, data).await?])),
        };
        let hash = self.client.call(method, params).await?;
        serde_json::from_value(hash).map_err(|error| ChainError::malformed(method, error))
    }

    /// Tries a call of a contract at the pending block, so that nothing is sent that must fail.
    ///
    /// # Errors
    /// The call fails, or there is no answer.
    pub async fn try_call(&self, to: Address, data: &[u8]) -> Result<(), ChainError> {
        let call = json!({"from": self.address(), "to": to, "data": hex::encode_prefixed(data)});
        self.client.call("eth_call", json!([call, "pending"])).await.map(drop)
    }

    /// Returns whether a transaction succeeded; `None`: it is in no block.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn succeeded(&self, hash: B256) -> Result<Option<bool>, ChainError> {
        let receipt = self.client.call("eth_getTransactionReceipt", json!([hash])).await?;
        Ok(receipt.get("status").map(|status| status == "0x1"))
    }

    async fn sign(&self, from: Address, sign: &Signing, to: Address, data: Vec<u8>) -> Result<String, ChainError> {
        let calls =
            [("eth_getTransactionCount", json!([from, "pending"])), ("eth_getBlockByNumber", json!(["latest", false]))];
        let mut answers = self.client.batch(&calls).await?.into_iter();
        let mut next = || answers.next().unwrap_or_else(|| Err(ChainError::malformed("batch", "too few answers")));
        let nonce = quantity("eth_getTransactionCount", &next()?)?;
        let base_fee = base_fee_of(&next()?)?;
        // On a network without fees the account needs no ether.
        let tip = TIP_WEI.min(base_fee);
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce,
            gas_limit: GAS_LIMIT,
            // Blocks may become much fuller before this one is mined.
            max_fee_per_gas: base_fee.saturating_mul(2).saturating_add(tip),
            max_priority_fee_per_gas: tip,
            to: TxKind::Call(to),
            value: U256::ZERO,
            access_list: Default::default(),
            input: Bytes::from(data),
        };
        let signature = sign(transaction.signature_hash()).map_err(ChainError::Settings)?;
        Ok(hex::encode_prefixed(transaction.into_signed(signature).encoded_2718()))
    }
}

fn base_fee_of(block: &Value) -> Result<u128, ChainError> {
    match block.get("baseFeePerGas") {
        Some(fee) => quantity("eth_getBlockByNumber", fee).map(u128::from),
        None if block.is_object() => Ok(0),
        None => Err(ChainError::malformed("eth_getBlockByNumber", "no block")),
    }
}
