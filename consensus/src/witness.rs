//! The witness: a beneficiary's signature over the block hash. It travels and is stored beside the header and is never
//! hashed, so that on a chain with authorized miners rented hash power alone makes no valid block.

use alloy_primitives::{Address, B256, Signature};

use crate::crypto::{self, SecretKey, SignatureError};

/// Holds a beneficiary's signature over its block's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness(pub Signature);

impl Witness {
    /// Signs a block hash.
    pub fn sign(key: &SecretKey, block_hash: B256) -> Self {
        Self(crypto::sign(key, block_hash))
    }

    /// Recovers the address that signed `block_hash`.
    ///
    /// # Errors
    /// The signature gives no address.
    pub fn recover(&self, block_hash: B256) -> Result<Address, SignatureError> {
        crypto::recover_address(&self.0, block_hash)
    }

    /// Returns r ‖ s ‖ v: 65 bytes, v being 0 or 1.
    pub fn to_bytes(&self) -> [u8; 65] {
        let mut bytes = self.0.as_bytes();
        bytes[64] = u8::from(self.0.v());
        bytes
    }

    /// Reads the 65 bytes of [`Witness::to_bytes`].
    ///
    /// # Errors
    /// Another length, or v neither 0 nor 1.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SignatureError> {
        match bytes {
            [.., 0 | 1] if bytes.len() == 65 => Signature::from_raw(bytes).map(Self).map_err(|_| SignatureError),
            _ => Err(SignatureError),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_chain::key;

    #[test]
    fn only_the_signed_hash_gives_the_signer() {
        let (signer, hash) = (crypto::address_of(&key(3)), B256::repeat_byte(5));
        let witness = Witness::sign(&key(3), hash);
        assert_eq!(witness.recover(hash), Ok(signer));
        assert_ne!(witness.recover(B256::repeat_byte(6)), Ok(signer));
    }

    #[test]
    fn other_lengths_and_recovery_bits_are_refused() {
        let bytes = Witness::sign(&key(3), B256::ZERO).to_bytes();
        for length in [0, 1, 64] {
            assert_eq!(Witness::from_bytes(&bytes[..length]), Err(SignatureError));
        }
        assert_eq!(Witness::from_bytes(&[&bytes[..], &[0]].concat()), Err(SignatureError));
        for v in 2..=255 {
            assert_eq!(Witness::from_bytes(&[&bytes[..64], &[v]].concat()), Err(SignatureError));
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(number in 1u8..=254, hash: [u8; 32]) {
            let witness = Witness::sign(&key(number), B256::from(hash));
            prop_assert_eq!(Witness::from_bytes(&witness.to_bytes()), Ok(witness));
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 60..70), hash: [u8; 32]) {
            let _ = Witness::from_bytes(&bytes);
            bytes.resize(64, 0);
            bytes.push(1);
            if let Ok(witness) = Witness::from_bytes(&bytes) {
                prop_assert_eq!(&witness.to_bytes()[..], &bytes[..]);
                let _ = witness.recover(B256::from(hash));
            }
        }
    }
}
