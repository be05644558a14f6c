//! Transactions: Ethereum's typed envelopes, and the same with a recovered sender.

use std::sync::Arc;

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{EthereumTxEnvelope, TxEip4844};
use alloy_eips::Decodable2718;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, U256};
use rayon::prelude::*;

/// Names a signed transaction of any type (0, 1, 2, 4; 3 only inside imported foreign blocks), without blob sidecars.
pub type Transaction = EthereumTxEnvelope<TxEip4844>;

/// Says why bytes are no transaction that this node takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// The bytes are not the encoding of a transaction.
    #[error("malformed transaction: {0}")]
    Malformed(String),
    /// Blob transactions need a data-availability layer, which a private chain does not have.
    #[error("blob transactions are not supported: a private chain has no data-availability layer")]
    BlobsUnsupported,
    /// The signature gives no sender.
    #[error("invalid sender")]
    InvalidSignature,
}

/// Holds a transaction with its recovered sender; cloning shares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredTransaction(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    transaction: Transaction,
    sender: Address,
    hash: B256,
    size_bytes: usize,
}

impl RecoveredTransaction {
    /// Recovers the sender of `transaction`.
    ///
    /// # Errors
    /// The signature gives no sender (for Homestead and later also: its `s` is in the upper half).
    pub fn recover(transaction: Transaction) -> Result<Self, TransactionError> {
        let sender = transaction.recover_signer().map_err(|_| TransactionError::InvalidSignature)?;
        Ok(Self::with_sender(transaction, sender))
    }

    /// Recovers the sender as Frontier did, where `s` may be in the upper half.
    ///
    /// # Errors
    /// The signature gives no sender.
    pub fn recover_frontier(transaction: Transaction) -> Result<Self, TransactionError> {
        let sender = transaction.recover_signer_unchecked().map_err(|_| TransactionError::InvalidSignature)?;
        Ok(Self::with_sender(transaction, sender))
    }

    /// Recovers the sender as a development chain does: of a transaction that nobody has signed it is the one that
    /// [`impersonated_sender`] names.
    ///
    /// # Errors
    /// Neither a signature that gives a sender nor a named one.
    pub fn recover_or_impersonate(transaction: Transaction) -> Result<Self, TransactionError> {
        match impersonated_sender(&transaction) {
            Some(sender) => Ok(Self::with_sender(transaction, sender)),
            None => Self::recover(transaction),
        }
    }

    /// Pairs a transaction with a sender that the caller has read from its own store or impersonates.
    pub fn with_sender(transaction: Transaction, sender: Address) -> Self {
        let (hash, size_bytes) = (*transaction.tx_hash(), transaction.encode_2718_len());
        Self(Arc::new(Inner { transaction, sender, hash, size_bytes }))
    }

    /// Returns the signed transaction.
    pub fn transaction(&self) -> &Transaction {
        &self.0.transaction
    }

    /// Tells whether nobody has signed the transaction: its sender is impersonated.
    pub fn is_impersonated(&self) -> bool {
        impersonated_sender(&self.0.transaction) == Some(self.0.sender)
    }

    /// Returns the recovered sender.
    pub fn sender(&self) -> Address {
        self.0.sender
    }

    /// Returns the transaction hash.
    pub fn hash(&self) -> B256 {
        self.0.hash
    }

    /// Returns the length in bytes of the EIP-2718 encoding.
    pub fn size_bytes(&self) -> usize {
        self.0.size_bytes
    }
}

impl std::ops::Deref for RecoveredTransaction {
    type Target = Transaction;
    fn deref(&self) -> &Transaction {
        &self.0.transaction
    }
}

/// Returns what stands in the place of the signature where a development chain lets `sender` send without its key: `r` is the
/// address and `s` is zero. No key gives such a signature (`s` must be at least 1, SEC 1, 4.1.4), so that it is never taken for a
/// real one, every other node refuses it, and the transaction itself says whose it is: equal transactions of two senders differ in
/// their hashes.
pub fn impersonation(sender: Address) -> Signature {
    Signature::new(U256::from_be_slice(sender.as_slice()), U256::ZERO, false)
}

/// Returns the sender that a transaction names in the place of its signature, as [`impersonation`] writes it.
pub fn impersonated_sender(transaction: &Transaction) -> Option<Address> {
    let signature = transaction.signature();
    let word = signature.r().to_be_bytes::<32>();
    let is_named = signature.s().is_zero() && word[..12].iter().all(|byte| *byte == 0);
    is_named.then(|| Address::from_slice(&word[12..]))
}

/// Decodes the EIP-2718 encoding that `eth_sendRawTransaction` takes.
///
/// # Errors
/// Malformed bytes, bytes after the transaction, or a blob transaction.
pub fn decode_transaction(bytes: &[u8]) -> Result<Transaction, TransactionError> {
    if bytes.first() == Some(&3) {
        return Err(TransactionError::BlobsUnsupported);
    }
    let mut rest = bytes;
    let transaction =
        Transaction::decode_2718(&mut rest).map_err(|error| TransactionError::Malformed(error.to_string()))?;
    if rest.is_empty() {
        Ok(transaction)
    } else {
        Err(TransactionError::Malformed(format!("{} bytes after the transaction", rest.len())))
    }
}

/// Encodes a transaction as `decode_transaction` reads it.
pub fn encode_transaction(transaction: &Transaction) -> Bytes {
    transaction.encoded_2718().into()
}

/// Recovers the senders of many transactions, on all cores where there are enough to pay for it.
///
/// # Errors
/// The first transaction whose signature gives no sender.
pub fn recover_all(transactions: Vec<Transaction>) -> Result<Vec<RecoveredTransaction>, TransactionError> {
    /// Below this many, handing work to other threads costs more than the recovery itself (about 50 µs each).
    const PARALLEL_FROM: usize = 4;
    if transactions.len() < PARALLEL_FROM {
        return transactions.into_iter().map(RecoveredTransaction::recover).collect();
    }
    transactions.into_par_iter().map(RecoveredTransaction::recover).collect()
}

#[cfg(test)]
mod tests {
    use alloy_consensus::SignableTransaction as _;
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::address_of;
    use crate::test_chain::{key, transfer};

    #[test]
    fn transactions_of_every_type_come_back_with_their_sender() {
        for kind in [0, 1, 2, 4] {
            let transaction = transfer(kind, Some(1337));
            let encoded = encode_transaction(&transaction);
            assert_eq!(decode_transaction(&encoded), Ok(transaction.clone()));
            let recovered = RecoveredTransaction::recover(transaction).unwrap();
            assert_eq!((recovered.sender(), recovered.size_bytes()), (address_of(&key(1)), encoded.len()));
            assert_eq!(recovered.hash(), alloy_primitives::keccak256(&encoded));
        }
    }

    #[test]
    fn blobs_and_bytes_after_the_end_are_refused() {
        let blob = encode_transaction(&transfer(3, Some(1337)));
        assert_eq!(decode_transaction(&blob), Err(TransactionError::BlobsUnsupported));
        for kind in [0, 1, 2, 4] {
            let longer = [encode_transaction(&transfer(kind, Some(1337))).as_ref(), &[0]].concat();
            assert!(matches!(decode_transaction(&longer), Err(TransactionError::Malformed(_))), "type {kind}");
        }
    }

    #[test]
    fn an_impersonated_sender_survives_the_encoding_and_nobody_else_takes_it() {
        for (kind, sender) in [0, 1, 2, 4].into_iter().flat_map(|kind| [0x11, 0x22].map(|byte| (kind, byte))) {
            let sender = Address::repeat_byte(sender);
            let transaction = match transfer(kind, Some(1337)) {
                Transaction::Legacy(tx) => tx.into_parts().0.into_signed(impersonation(sender)).into(),
                Transaction::Eip2930(tx) => tx.into_parts().0.into_signed(impersonation(sender)).into(),
                Transaction::Eip1559(tx) => tx.into_parts().0.into_signed(impersonation(sender)).into(),
                Transaction::Eip7702(tx) => tx.into_parts().0.into_signed(impersonation(sender)).into(),
                Transaction::Eip4844(_) => unreachable!(),
            };
            let decoded = decode_transaction(&encode_transaction(&transaction)).unwrap();
            assert_eq!(decoded, transaction);
            assert_eq!(RecoveredTransaction::recover(decoded.clone()), Err(TransactionError::InvalidSignature));
            let taken = RecoveredTransaction::recover_or_impersonate(decoded).unwrap();
            assert_eq!((taken.sender(), taken.is_impersonated()), (sender, true));
        }
        let signed = RecoveredTransaction::recover_or_impersonate(transfer(2, Some(1337))).unwrap();
        assert_eq!((signed.sender(), signed.is_impersonated()), (address_of(&key(1)), false));
    }

    #[test]
    fn many_senders_are_recovered_in_order() {
        let transactions: Vec<_> = (0..40).map(|id| transfer(2, Some(id))).collect();
        let recovered = recover_all(transactions.clone()).unwrap();
        assert!(
            recovered.iter().zip(&transactions).all(|(recovered, transaction)| recovered.transaction() == transaction)
        );
        assert!(recovered.iter().all(|transaction| transaction.sender() == address_of(&key(1))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_transaction_or_refused(
            bytes: Vec<u8>, kind in prop::sample::select(vec![0u8, 1, 2, 4]), at: prop::sample::Index, with: u8,
        ) {
            let _ = decode_transaction(&bytes);
            let _ = decode_transaction(&[&[kind], &bytes[..]].concat());
            let mut encoded = encode_transaction(&transfer(kind, Some(1337))).to_vec();
            let _ = decode_transaction(&encoded[..at.index(encoded.len())]);
            let index = at.index(encoded.len());
            encoded[index] = with;
            if let Ok(transaction) = decode_transaction(&encoded) {
                prop_assert_eq!(encode_transaction(&transaction).to_vec(), encoded);
                let _ = RecoveredTransaction::recover(transaction);
            }
        }
    }
}
