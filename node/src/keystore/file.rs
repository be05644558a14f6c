//! One key file: Web3 Secret Storage, version 3. Reads what geth, ethers, web3, eth-account and cast write.
//!
//! The derived key's first half encrypts (AES-128-CTR), the second half authenticates:
//! `mac = keccak256(derived[16..32] ‖ ciphertext)`.

use aes::Aes128;
use alloy_primitives::{Address, B256, hex, keccak256};
use consensus::crypto::{self, SecretKey};
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::KeystoreError;
use super::kdf::{Kdf, KdfStrength};

/// The largest key file that is read, in bytes: real ones have about 500.
pub(super) const FILE_SIZE_BYTES_MAX: u64 = 64 * 1024;

/// An encrypted key, as its file holds it.
#[derive(Clone, Debug)]
pub struct EncryptedKey {
    /// The address the file claims, where it claims one.
    pub address: Option<Address>,
    ciphertext: Vec<u8>,
    iv: [u8; 16],
    mac: B256,
    kdf: Kdf,
}

impl EncryptedKey {
    /// Reads a key file. Field names may be in any case (ethers writes `Crypto`).
    ///
    /// # Errors
    /// Not JSON, not version 3, a field that is missing or malformed, or a key derivation that would cost too much.
    pub fn parse(json: &str) -> Result<Self, KeystoreError> {
        let value: Value = serde_json::from_str(json).map_err(|error| invalid(format!("not JSON: {error}")))?;
        let top = lower_case(value, "the file")?;
        match top.get("version") {
            Some(version) if version.as_u64() == Some(3) || version.as_str() == Some("3") => {}
            Some(version) => return Err(invalid(format!("version: {version} is not 3"))),
            None => return Err(invalid("version: missing".into())),
        }
        let address = match top.get("address").and_then(Value::as_str) {
            None | Some("") => None,
            Some(text) => Some(parse_address(text).ok_or_else(|| invalid(format!("address: `{text}` is not one")))?),
        };
        let crypto = lower_case(top.get("crypto").cloned().unwrap_or(Value::Null), "crypto")?;
        let cipher = text(&crypto, "cipher")?;
        if cipher != "aes-128-ctr" {
            return Err(invalid(format!("crypto.cipher: `{cipher}` is not aes-128-ctr")));
        }
        let cipher_params =
            lower_case(crypto.get("cipherparams").cloned().unwrap_or(Value::Null), "crypto.cipherparams")?;
        let iv = hex_bytes(text(&cipher_params, "iv")?, "crypto.cipherparams.iv")?;
        let iv = padded(&iv).ok_or_else(|| invalid("crypto.cipherparams.iv: more than 16 bytes".into()))?;
        let ciphertext = hex_bytes(text(&crypto, "ciphertext")?, "crypto.ciphertext")?;
        if ciphertext.is_empty() || ciphertext.len() > 32 {
            return Err(invalid(format!("crypto.ciphertext: {} bytes; 1 to 32 are a key", ciphertext.len())));
        }
        let mac = hex_bytes(text(&crypto, "mac")?, "crypto.mac")?;
        let mac = B256::try_from(mac.as_slice()).map_err(|_| invalid("crypto.mac: not 32 bytes".into()))?;
        let params = lower_case(crypto.get("kdfparams").cloned().unwrap_or(Value::Null), "crypto.kdfparams")?;
        let kdf = Kdf::parse(text(&crypto, "kdf")?, &params)?;
        Ok(Self { address, ciphertext, iv, mac, kdf })
    }

    /// Decrypts the key. A key of fewer than 32 bytes is padded with leading zeros.
    ///
    /// # Errors
    /// The password is wrong, the bytes are no key, or the key is another address's.
    pub fn decrypt(&self, password: &str) -> Result<SecretKey, KeystoreError> {
        let key = crypto::secret_key(*self.decrypt_bytes(password)?).map_err(|_| KeystoreError::InvalidKey)?;
        let actual = crypto::address_of(&key);
        match self.address {
            Some(expected) if expected != actual => Err(KeystoreError::OtherKey { expected, actual }),
            _ => Ok(key),
        }
    }

    fn decrypt_bytes(&self, password: &str) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        let derived = self.kdf.derive(password);
        // The MAC is of the ciphertext, so the comparison tells nothing about the key.
        if mac(&derived[16..], &self.ciphertext) != self.mac {
            return Err(KeystoreError::WrongPassword);
        }
        let mut plain = Zeroizing::new(self.ciphertext.clone());
        apply_cipher(&derived[..16], &self.iv, &mut plain);
        Ok(Zeroizing::new(padded::<32>(&plain).expect("the length was checked when read")))
    }
}

/// Encrypts `key` into the text of a key file; the randomness comes from the operating system's generator.
pub(super) fn encrypt(key: &SecretKey, password: &str, strength: KdfStrength) -> String {
    let bytes = Zeroizing::new(key.to_secret_bytes());
    json!({
        "address": hex::encode(crypto::address_of(key)),
        "crypto": wrap_secret(&bytes, password, strength),
        "id": uuid::Uuid::new_v4().to_string(),
        "version": 3,
    })
    .to_string()
}

/// Encrypts 32 bytes by a password: the `crypto` part of a key file.
pub(crate) fn wrap_secret(secret: &[u8; 32], password: &str, strength: KdfStrength) -> Value {
    let (mut salt, mut iv) = ([0; 32], [0; 16]);
    rand::fill(&mut salt);
    rand::fill(&mut iv);
    let kdf = Kdf::new(strength, salt);
    let derived = kdf.derive(password);
    let mut bytes = Zeroizing::new(*secret);
    apply_cipher(&derived[..16], &iv, bytes.as_mut());
    let (kdf_name, kdf_params) = kdf.to_json();
    json!({
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": hex::encode(iv)},
        "ciphertext": hex::encode(*bytes),
        "kdf": kdf_name,
        "kdfparams": kdf_params,
        "mac": hex::encode(mac(&derived[16..], &*bytes)),
    })
}

/// Decrypts what [`wrap_secret`] has made.
///
/// # Errors
/// The password is wrong, or the value is something else.
pub(crate) fn unwrap_secret(wrapped: &Value, password: &str) -> Result<[u8; 32], KeystoreError> {
    let file = json!({"version": 3, "crypto": wrapped}).to_string();
    Ok(*EncryptedKey::parse(&file)?.decrypt_bytes(password)?)
}

/// Reads hexadecimal text, with or without `0x`.
pub(super) fn hex_bytes(text: &str, field: &str) -> Result<Vec<u8>, KeystoreError> {
    hex::decode(text).map_err(|_| invalid(format!("{field}: not hexadecimal")))
}

/// Reads an address of 40 hexadecimal digits, with or without `0x`, in any case.
pub(super) fn parse_address(text: &str) -> Option<Address> {
    let bytes = hex::decode(text).ok()?;
    Address::try_from(bytes.as_slice()).ok()
}

fn mac(authentication_key: &[u8], ciphertext: &[u8]) -> B256 {
    keccak256([authentication_key, ciphertext].concat())
}

fn apply_cipher(key: &[u8], iv: &[u8; 16], data: &mut [u8]) {
    let key: [u8; 16] = key.try_into().expect("half of 32 derived bytes");
    Ctr128BE::<Aes128>::new(&key.into(), &(*iv).into()).apply_keystream(data);
}

/// Returns `bytes` behind leading zeros, or nothing where they are more than `N`.
fn padded<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    out[N.checked_sub(bytes.len())?..].copy_from_slice(bytes);
    Some(out)
}

fn lower_case(value: Value, what: &str) -> Result<Map<String, Value>, KeystoreError> {
    match value {
        Value::Object(map) => Ok(map.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()),
        _ => Err(invalid(format!("{what}: not a JSON object"))),
    }
}

fn text<'a>(object: &'a Map<String, Value>, field: &str) -> Result<&'a str, KeystoreError> {
    object.get(field).and_then(Value::as_str).ok_or_else(|| invalid(format!("crypto.{field}: a text is missing")))
}

fn invalid(problem: String) -> KeystoreError {
    KeystoreError::InvalidFile { problem }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_encrypted_is_decrypted_by_its_password_alone() {
        let key = crypto::secret_key([7; 32]).unwrap();
        for password in ["", "foobar", "密码123", " spaces and\ttabs "] {
            let encrypted = EncryptedKey::parse(&encrypt(&key, password, KdfStrength::Light)).unwrap();
            assert_eq!(encrypted.address, Some(crypto::address_of(&key)));
            assert_eq!(encrypted.decrypt(password).unwrap(), key);
            assert_eq!(
                encrypted.decrypt("another").unwrap_err().to_string(),
                "could not decrypt key with given password"
            );
        }
    }

    #[test]
    fn a_file_that_names_another_address_is_refused() {
        let key = crypto::secret_key([7; 32]).unwrap();
        let file = encrypt(&key, "", KdfStrength::Light)
            .replace(&hex::encode(crypto::address_of(&key)), "00000000000000000000000000000000000000ff");
        let error = EncryptedKey::parse(&file).unwrap().decrypt("").unwrap_err();
        assert!(matches!(error, KeystoreError::OtherKey { .. }), "{error}");
    }

    #[test]
    fn malformed_files_say_which_field() {
        let good: Value =
            serde_json::from_str(&encrypt(&crypto::secret_key([7; 32]).unwrap(), "", KdfStrength::Light)).unwrap();
        for (path, value, expected) in [
            ("/version", json!(1), "version"),
            ("/version", json!("1"), "version"),
            ("/address", json!("0x12"), "address"),
            ("/crypto", json!(null), "crypto"),
            ("/crypto/cipher", json!("aes-256-gcm"), "cipher"),
            ("/crypto/cipherparams", json!([]), "cipherparams"),
            ("/crypto/cipherparams/iv", json!("00112233445566778899aabbccddeeff00"), "iv"),
            ("/crypto/ciphertext", json!(""), "ciphertext"),
            ("/crypto/ciphertext", json!("zz"), "ciphertext"),
            ("/crypto/mac", json!("00"), "mac"),
            ("/crypto/kdf", json!("argon2"), "argon2"),
            ("/crypto/kdfparams/n", json!("4096"), "kdfparams.n"),
            ("/crypto/kdfparams/salt", json!(5), "kdfparams.salt"),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(path).unwrap() = value;
            let error = EncryptedKey::parse(&bad.to_string()).unwrap_err().to_string();
            assert!(error.contains(expected), "{path}: {error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,200}") {
            let _ = EncryptedKey::parse(&text);
        }

        #[test]
        fn a_damaged_file_never_panics_and_never_gives_another_key(position in 0_usize..480, byte in 32_u8..127) {
            let key = crypto::secret_key([9; 32]).unwrap();
            // The weakest scrypt, so that many cases run quickly.
            let kdf = Kdf::Scrypt { log_n: 1, r: 1, p: 1, salt: vec![1; 32] };
            let derived = kdf.derive("x");
            let mut bytes = key.to_secret_bytes();
            apply_cipher(&derived[..16], &[5; 16], &mut bytes);
            let (_, params) = kdf.to_json();
            let file = json!({"version": 3, "address": hex::encode(crypto::address_of(&key)), "crypto": {
                "cipher": "aes-128-ctr", "cipherparams": {"iv": hex::encode([5; 16])}, "ciphertext": hex::encode(bytes),
                "kdf": "scrypt", "kdfparams": params, "mac": hex::encode(mac(&derived[16..], &bytes))}}).to_string();
            let mut damaged = file.into_bytes();
            let position = position % damaged.len();
            damaged[position] = byte;
            if let Ok(encrypted) = EncryptedKey::parse(std::str::from_utf8(&damaged).unwrap())
                && let Ok(decrypted) = encrypted.decrypt("x")
            {
                prop_assert_eq!(decrypted, key);
            }
        }
    }
}
