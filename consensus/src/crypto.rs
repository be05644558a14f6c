//! Signatures through the C library behind `secp256k1`: sign, recover, and the address of a key.

use std::sync::Arc;

use alloy_consensus::crypto::{
    RecoveryError,
    backend::{CryptoProvider, install_default_provider},
};
use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use secp256k1::{
    Message, PublicKey,
    ecdsa::{self, RecoverableSignature, RecoveryId},
};

pub use secp256k1::SecretKey;

/// Says that a signature or a key is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid signature or key")]
pub struct SignatureError;

/// Returns the address of a public key: the last 20 bytes of keccak256 of its 64 bytes (Yellow Paper, appendix F).
pub fn address_of_public_key(key: &PublicKey) -> Address {
    Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..])
}

/// Returns the address that `key` signs for.
pub fn address_of(key: &SecretKey) -> Address {
    address_of_public_key(&PublicKey::from_secret_key(key))
}

/// Reads a secret key from its 32 big-endian bytes.
///
/// # Errors
/// Zero, or not below the order of the curve.
pub fn secret_key(bytes: [u8; 32]) -> Result<SecretKey, SignatureError> {
    SecretKey::from_secret_bytes(bytes).map_err(|_| SignatureError)
}

/// Signs a 32-byte digest; `s` is in the lower half (EIP-2).
pub fn sign(key: &SecretKey, digest: B256) -> Signature {
    let (id, bytes) =
        RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest.0), key).serialize_compact();
    Signature::new(U256::from_be_slice(&bytes[..32]), U256::from_be_slice(&bytes[32..]), id.to_u8() == 1)
}

/// Recovers the public key from r ‖ s (64 bytes), the recovery id (0 to 3) and the digest.
///
/// # Errors
/// No key matches.
pub fn recover_public_key(rs: &[u8; 64], recovery_id: u8, digest: &[u8; 32]) -> Result<PublicKey, SignatureError> {
    let id = RecoveryId::try_from(i32::from(recovery_id)).map_err(|_| SignatureError)?;
    RecoverableSignature::from_compact(rs, id)
        .and_then(|signature| signature.recover_ecdsa(Message::from_digest(*digest)))
        .map_err(|_| SignatureError)
}

/// Recovers the address that signed `digest`.
///
/// # Errors
/// No key matches.
pub fn recover_address(signature: &Signature, digest: B256) -> Result<Address, SignatureError> {
    let mut rs = [0; 64];
    rs[..32].copy_from_slice(&signature.r().to_be_bytes::<32>());
    rs[32..].copy_from_slice(&signature.s().to_be_bytes::<32>());
    recover_public_key(&rs, u8::from(signature.v()), &digest.0).map(|key| address_of_public_key(&key))
}

/// Gives alloy the C library for sender recovery.
#[derive(Debug)]
struct Secp256k1;

impl CryptoProvider for Secp256k1 {
    fn recover_signer_unchecked(&self, signature: &[u8; 65], digest: &[u8; 32]) -> Result<Address, RecoveryError> {
        let rs = signature.first_chunk::<64>().expect("65 bytes hold 64");
        let key = recover_public_key(rs, signature[64], digest).map_err(|_| RecoveryError::new())?;
        Ok(address_of_public_key(&key))
    }

    fn verify_and_compute_signer_unchecked(
        &self,
        public_key: &[u8; 65],
        signature: &[u8; 64],
        digest: &[u8; 32],
    ) -> Result<Address, RecoveryError> {
        let key = PublicKey::from_slice(public_key).map_err(|_| RecoveryError::new())?;
        let signature = ecdsa::Signature::from_compact(signature).map_err(|_| RecoveryError::new())?;
        ecdsa::verify(&signature, Message::from_digest(*digest), &key).map_err(|_| RecoveryError::new())?;
        Ok(address_of_public_key(&key))
    }
}

/// Makes every sender recovery of this process use the C library (four times faster than the pure Rust one).
/// Further calls do nothing.
pub fn install() {
    // A second call finds the provider of the first one in place, which is the same.
    let _ = install_default_provider(Arc::new(Secp256k1));
}
