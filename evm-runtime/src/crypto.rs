//! Gives the EVM and alloy the C library behind `secp256k1`.

use alloy_primitives::keccak256;
use revm::precompile::{Crypto, PrecompileHalt};

/// Runs the `ecrecover` precompile through the C library; all other precompiles keep the EVM's own code.
#[derive(Debug)]
struct Secp256k1;

impl Crypto for Secp256k1 {
    fn secp256k1_ecrecover(&self, rs: &[u8; 64], recid: u8, digest: &[u8; 32]) -> Result<[u8; 32], PrecompileHalt> {
        let key = consensus::crypto::recover_public_key(rs, recid, digest)
            .map_err(|_| PrecompileHalt::Secp256k1RecoverFailed)?;
        let mut word = keccak256(&key.serialize_uncompressed()[1..]);
        word[..12].fill(0);
        Ok(word.0)
    }
}

/// Makes sender recovery and the `ecrecover` precompile of this process use the C library (four times faster than pure Rust).
/// Further calls do nothing. Without it all results are the same.
pub fn install() {
    consensus::crypto::install();
    // A second call finds the provider of the first one in place, which is the same.
    let _ = revm::install_crypto(Secp256k1);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::{B256, hex};
    use revm::precompile::Crypto as _;

    use super::*;

    #[test]
    fn ecrecover_gives_the_signers_address_in_a_word() {
        install();
        install();
        let key = consensus::crypto::secret_key([7; 32]).unwrap();
        let digest = B256::repeat_byte(3);
        let signature = consensus::crypto::sign(&key, digest);
        let mut rs = [0; 64];
        rs[..32].copy_from_slice(&signature.r().to_be_bytes::<32>());
        rs[32..].copy_from_slice(&signature.s().to_be_bytes::<32>());
        let word = revm::precompile::crypto().secp256k1_ecrecover(&rs, u8::from(signature.v()), &digest.0).unwrap();
        assert_eq!(word[..12], [0; 12]);
        assert_eq!(word[12..], consensus::crypto::address_of(&key).0[..], "{}", hex::encode(word));
        assert!(Secp256k1.secp256k1_ecrecover(&[0; 64], 0, &digest.0).is_err());
    }
}
