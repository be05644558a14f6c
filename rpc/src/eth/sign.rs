//! Signing messages (EIP-191) and typed data (EIP-712), never bare digests: a signed message must not be mistaken for a transaction.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, Signature, eip191_hash_message};
use consensus::TypedData;
use serde_json::Value;

use crate::api::{Answer, Api, reply};
use crate::errors::RpcError;
use crate::eth::send::Authority;
use crate::params::{Call, Data};

pub(crate) fn sign(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (address, message) = (call.required::<Address>()?, call.required::<Data>()?);
    reply(&sign_message(api, address, &message, &Authority::Unlocked)?)
}

/// Signs typed data (EIP-712). Libraries send it as an object or as JSON in text.
pub(crate) fn sign_typed_data(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (address, data) = (call.required::<Address>()?, call.required::<Value>()?);
    let unreadable = |error: &dyn std::fmt::Display| RpcError::invalid_argument(1, error);
    let data = match data {
        Value::String(text) => serde_json::from_str(&text).map_err(|error| unreadable(&error))?,
        object => object,
    };
    let digest = TypedData::parse(data).and_then(|data| data.digest()).map_err(|error| unreadable(&error))?;
    let signature = Authority::Unlocked.sign(api, address, digest)?;
    reply(&Bytes::copy_from_slice(&signature.as_bytes()))
}

/// Signs a message; the last byte is 27 or 28.
pub(crate) fn sign_message(
    api: &Api,
    address: Address,
    message: &[u8],
    authority: &Authority<'_>,
) -> Result<Bytes, RpcError> {
    let signature = authority.sign(api, address, eip191_hash_message(message))?;
    Ok(Bytes::copy_from_slice(&signature.as_bytes()))
}

/// Returns who signed a message.
pub(crate) fn recover(message: &[u8], signature: &[u8]) -> Result<Address, RpcError> {
    let Ok(bytes) = <&[u8; 65]>::try_from(signature) else {
        return Err(RpcError::server("signature must be 65 bytes long"));
    };
    if !matches!(bytes[64], 27 | 28) {
        return Err(RpcError::server("invalid Ethereum signature (V is not 27 or 28)"));
    }
    let digest: B256 = eip191_hash_message(message);
    let signature = Signature::from_raw_array(bytes).map_err(RpcError::server)?;
    consensus::crypto::recover_address(&signature, digest).map_err(RpcError::server)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_signature_gives_its_signer() {
        let key = consensus::crypto::secret_key([7; 32]).unwrap();
        let message = b"open the door";
        let mut bytes = consensus::crypto::sign(&key, eip191_hash_message(message)).as_bytes();
        assert_eq!(recover(message, &bytes), Ok(consensus::crypto::address_of(&key)));
        let words = |bytes: &[u8]| recover(message, bytes).unwrap_err().message.into_owned();
        assert_eq!(words(&bytes[1..]), "signature must be 65 bytes long");
        bytes[64] = 0;
        assert_eq!(words(&bytes), "invalid Ethereum signature (V is not 27 or 28)");
        assert_eq!(words(&[&[0; 64][..], &[27]].concat()), "invalid signature or key");
    }
}
