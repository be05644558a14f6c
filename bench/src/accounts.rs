//! Accounts with their keys, and transactions signed by them.

use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex, keccak256};
use bip32::{ChildNumber, XPrv};
use consensus::Transaction;
use consensus::crypto::{self, SecretKey};
use sha2::Sha512;

use crate::Failure;

/// The mnemonic whose accounts development chains fund.
pub const DEV_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// Holds a key, its address, and the nonce of its next transaction.
#[derive(Clone, Debug)]
pub struct Account {
    /// The address.
    pub address: Address,
    /// The nonce of the next transaction.
    pub nonce: u64,
    key: SecretKey,
}

/// Holds what a transaction does; who sends it and its nonce come from the [`Account`].
#[derive(Clone, Debug)]
pub struct Order {
    /// To whom; a creation where it is [`TxKind::Create`].
    pub to: TxKind,
    /// Wei that are sent along.
    pub value: U256,
    /// Input.
    pub input: Bytes,
    /// Gas limit.
    pub gas_limit: u64,
}

/// Holds what all transactions of a run have in common.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The chain's id.
    pub chain_id: u64,
    /// The most that is paid for a unit of gas, in wei; the tip is at most 1 gwei of it.
    pub fee_per_gas_wei: u128,
}

/// The tip of all transactions, in wei.
const TIP_WEI: u128 = 1_000_000_000;

impl Account {
    fn new(key: [u8; 32]) -> Result<Self, Failure> {
        let key = crypto::secret_key(key)?;
        Ok(Self { address: crypto::address_of(&key), nonce: 0, key })
    }

    /// Returns account `index` of a family that `seed` names.
    pub fn numbered(seed: u64, index: u64) -> Self {
        let key = keccak256([b"drawbridge bench".as_slice(), &seed.to_be_bytes(), &index.to_be_bytes()].concat());
        Self::new(key.0).expect("no hash above the curve's order is known")
    }

    /// Returns the first `count` accounts of a mnemonic (BIP-39 without a passphrase, m/44'/60'/0'/0/index).
    ///
    /// # Errors
    /// An index has no key.
    pub fn of_mnemonic(mnemonic: &str, count: u32) -> Result<Vec<Self>, Failure> {
        let mut seed = [0; 64];
        pbkdf2::pbkdf2_hmac::<Sha512>(mnemonic.as_bytes(), b"mnemonic", 2048, &mut seed);
        (0..count)
            .map(|index| {
                let mut node = XPrv::new(seed.as_slice())?;
                for (number, hardened) in [(44, true), (60, true), (0, true), (0, false), (index, false)] {
                    node = node.derive_child(ChildNumber::new(number, hardened)?)?;
                }
                Self::new(node.private_key().to_bytes().into())
            })
            .collect()
    }

    /// Signs `order` with the next nonce, which moves on.
    pub fn sign(&mut self, terms: &Terms, order: &Order) -> Transaction {
        let transaction = TxEip1559 {
            chain_id: terms.chain_id,
            nonce: self.nonce,
            gas_limit: order.gas_limit,
            max_fee_per_gas: terms.fee_per_gas_wei,
            max_priority_fee_per_gas: TIP_WEI.min(terms.fee_per_gas_wei),
            to: order.to,
            value: order.value,
            access_list: Default::default(),
            input: order.input.clone(),
        };
        self.nonce += 1;
        let signature = crypto::sign(&self.key, transaction.signature_hash());
        EthereumTxEnvelope::Eip1559(transaction.into_signed(signature))
    }

    /// Signs a digest.
    pub fn sign_hash(&self, digest: B256) -> Signature {
        crypto::sign(&self.key, digest)
    }

    /// Signs as [`Account::sign`], for `eth_sendRawTransaction`.
    pub fn sign_raw(&mut self, terms: &Terms, order: &Order) -> Raw {
        let transaction = self.sign(terms, order);
        Raw { hash: *transaction.tx_hash(), hex: hex::encode_prefixed(transaction.encoded_2718()) }
    }
}

/// Holds a signed transaction as `eth_sendRawTransaction` takes it.
#[derive(Clone, Debug)]
pub struct Raw {
    /// The transaction hash.
    pub hash: B256,
    /// The encoding in hexadecimal.
    pub hex: String,
}

/// Orders a transfer of `wei` to `to`.
pub fn ether_transfer(to: Address, wei: u128) -> Order {
    Order { to: TxKind::Call(to), value: U256::from(wei), input: Bytes::new(), gas_limit: 21_000 }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::address;
    use consensus::RecoveredTransaction;

    use super::*;

    #[test]
    fn the_development_mnemonic_gives_the_accounts_that_everybody_knows() {
        let accounts = Account::of_mnemonic(DEV_MNEMONIC, 2).unwrap();
        assert_eq!(accounts[0].address, address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
        assert_eq!(accounts[1].address, address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"));
    }

    #[test]
    fn signed_transactions_recover_to_their_account_and_count_up() {
        let mut account = Account::numbered(1, 2);
        let terms = Terms { chain_id: 1337, fee_per_gas_wei: 5 };
        for nonce in 0..3 {
            let transaction = account.sign(&terms, &ether_transfer(Address::ZERO, 1));
            assert_eq!(alloy_consensus::Transaction::nonce(&transaction), nonce);
            assert_eq!(RecoveredTransaction::recover(transaction).unwrap().sender(), account.address);
        }
    }
}
