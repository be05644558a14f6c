//! JSON web tokens as Ethereum's nodes use them between each other: HS256 over a secret that both sides hold in a file.
//!
//! A token says when it was issued (`iat`), and counts for a minute around that time. Whoever holds the secret may ask everything that is
//! offered; lists of methods and budgets belong to API keys.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;

/// How far a token's time of issue may be from now, in seconds (the engine API's authentication).
pub const WINDOW_SECONDS: u64 = 60;
/// The length of a secret.
const SECRET_BYTES: usize = 32;
/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 4096;

/// A secret that tokens are signed with; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct JwtSecret([u8; SECRET_BYTES]);

impl fmt::Debug for JwtSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JwtSecret")
    }
}

/// The first part of a token.
#[derive(Deserialize)]
struct Header {
    alg: String,
}

/// What a token says; other claims say nothing here.
#[derive(Deserialize)]
struct Claims {
    iat: Option<u64>,
    exp: Option<u64>,
}

impl JwtSecret {
    /// Makes a secret of random bytes.
    pub fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads a secret: 64 hexadecimal digits, with or without `0x`.
    ///
    /// # Errors
    /// The text is something else.
    pub fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let bytes = alloy_primitives::hex::decode_to_array(digits);
        bytes.map(Self).map_err(|_| format!("a secret is {} hexadecimal digits", SECRET_BYTES * 2))
    }

    /// Returns the secret as it is written in a file.
    pub fn to_hex(&self) -> String {
        alloy_primitives::hex::encode(self.0)
    }

    /// Makes a token that is issued at `now`, in seconds since 1970.
    pub fn token(&self, now: u64) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let signed = format!(
            "{}.{}",
            encode(r#"{"alg":"HS256","typ":"JWT"}"#),
            encode(&serde_json::json!({ "iat": now }).to_string())
        );
        let mac = self.mac(&signed).finalize().into_bytes();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// Verifies a token at `now`, in seconds since 1970, or says in geth's words why it does not count.
    pub(crate) fn verify(&self, token: &str, now: u64) -> Result<(), &'static str> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err("token is too long");
        }
        let malformed = "token is malformed";
        let (signed, signature) = token.rsplit_once('.').ok_or(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| malformed)?;
        if header.alg != "HS256" {
            return Err("signing method must be HS256");
        }
        // The comparison takes the same time wherever the signatures differ.
        self.mac(signed).verify_slice(&decode(signature)?).map_err(|_| "signature is invalid")?;
        let claims: Claims = serde_json::from_slice(&decode(claims)?).map_err(|_| malformed)?;
        let issued = claims.iat.ok_or("missing issued-at")?;
        if claims.exp.is_some_and(|expires| expires <= now) {
            return Err("token is expired");
        }
        if now.saturating_sub(issued) > WINDOW_SECONDS {
            return Err("stale token");
        }
        if issued.saturating_sub(now) > WINDOW_SECONDS {
            return Err("future token");
        }
        Ok(())
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key may have any length");
        mac.update(signed.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_700_000_000;

    fn secret() -> JwtSecret {
        JwtSecret::new([7; 32])
    }

    fn signed(secret: &JwtSecret, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let mac = secret.mac(&signed).finalize().into_bytes();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// RFC 7515, appendix A.1: the key is longer than 32 bytes there, so the primitive is checked by RFC 4231, test case 2.
    #[test]
    fn the_signature_is_that_of_the_rfc() {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(alloy_primitives::hex::encode(mac.finalize().into_bytes()), expected);
    }

    #[test]
    fn secrets_are_64_digits() {
        let digits = "07".repeat(32);
        for text in [digits.clone(), format!("0x{digits}\n"), format!(" {digits} ")] {
            assert_eq!(JwtSecret::read(&text), Ok(secret()), "{text:?}");
        }
        for text in ["", "07", &"0".repeat(63), &"g".repeat(64), &"0".repeat(66)] {
            assert!(JwtSecret::read(text).unwrap_err().contains("64 hexadecimal digits"), "{text:?}");
        }
        assert_eq!(JwtSecret::read(&secret().to_hex()), Ok(secret()));
        assert!(!format!("{:?}", secret()).contains("07"));
    }

    #[test]
    fn a_token_counts_for_a_minute_around_its_time() {
        let token = secret().token(NOW);
        for (now, expected) in [
            (NOW, Ok(())),
            (NOW + 60, Ok(())),
            (NOW + 61, Err("stale token")),
            (NOW - 60, Ok(())),
            (NOW - 61, Err("future token")),
        ] {
            assert_eq!(secret().verify(&token, now), expected, "{now}");
        }
        assert_eq!(JwtSecret::new([8; 32]).verify(&token, NOW), Err("signature is invalid"));
    }

    #[test]
    fn other_tokens_do_not_count() {
        let (header, claims) = (r#"{"alg":"HS256"}"#, format!("{{\"iat\":{NOW}}}"));
        for (header, claims, expected) in [
            (header, claims.as_str(), Ok(())),
            (r#"{"alg":"none"}"#, &claims, Err("signing method must be HS256")),
            (r#"{"alg":"HS512"}"#, &claims, Err("signing method must be HS256")),
            (header, "{}", Err("missing issued-at")),
            (header, &format!("{{\"iat\":{NOW},\"exp\":{NOW}}}"), Err("token is expired")),
            (header, "{\"iat\":\"now\"}", Err("token is malformed")),
            ("{}", &claims, Err("token is malformed")),
        ] {
            assert_eq!(secret().verify(&signed(&secret(), header, claims), NOW), expected, "{header} {claims}");
        }
        for token in ["", ".", "..", "a.b", "a.b.c", &"a".repeat(5000)] {
            assert!(secret().verify(token, NOW).is_err(), "{token:?}");
        }
        let token = secret().token(NOW);
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        assert_eq!(secret().verify(&format!("{unsigned}."), NOW), Err("signature is invalid"));
    }

    proptest! {
        #[test]
        fn arbitrary_tokens_do_not_panic(token in "[A-Za-z0-9_.-]{0,200}") {
            prop_assert!(secret().verify(&token, NOW).is_err());
        }
    }
}
