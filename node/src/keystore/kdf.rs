//! Key derivation of key files: scrypt and PBKDF2-HMAC-SHA256, with limits on what a foreign file may cost.

use serde_json::{Map, Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::KeystoreError;

/// How many bytes of derived key a version 3 file uses: 16 for the cipher, 16 for the MAC.
pub(super) const DERIVED_KEY_SIZE: usize = 32;

/// The memory one derivation may take, in bytes. The usual strongest setting (N = 2^18, r = 8) takes 256 MiB; twice that
/// leaves room for other tools' files and stops a hostile file from taking the machine.
pub(super) const SCRYPT_MEMORY_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// The work one derivation may take, as N·r·p: sixteen times the standard strength, some ten seconds.
pub(super) const SCRYPT_WORK_MAX: u64 = 16 * (1 << 18) * 8;

/// The rounds PBKDF2 may take: some ten seconds.
pub(super) const PBKDF2_ROUNDS_MAX: u32 = 20_000_000;

/// Says how strongly new key files are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum KdfStrength {
    /// scrypt N = 262144, r = 8, p = 1: 256 MiB and about a second.
    #[default]
    Standard,
    /// scrypt N = 4096, r = 8, p = 6: 4 MiB and about 100 ms, for small boards and tests.
    Light,
}

/// The key derivation function of one key file, with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kdf {
    Scrypt { log_n: u8, r: u32, p: u32, salt: Vec<u8> },
    Pbkdf2 { rounds: u32, salt: Vec<u8> },
}

impl Kdf {
    /// Makes the function for a new key file.
    pub(super) fn new(strength: KdfStrength, salt: [u8; 32]) -> Self {
        let (log_n, p) = match strength {
            KdfStrength::Standard => (18, 1),
            KdfStrength::Light => (12, 6),
        };
        Self::Scrypt { log_n, r: 8, p, salt: salt.to_vec() }
    }

    /// Reads `kdf` and `kdfparams`; refuses what would take more memory or time than any honest file.
    pub(super) fn parse(name: &str, params: &Map<String, Value>) -> Result<Self, KeystoreError> {
        let salt = super::file::hex_bytes(text(params, "salt")?, "kdfparams.salt")?;
        let derived = number(params, "dklen")?;
        if derived < 32 {
            return Err(invalid(format!("kdfparams.dklen: {derived} is less than 32")));
        }
        match name {
            "scrypt" => parse_scrypt(params, salt),
            "pbkdf2" => {
                let prf = text(params, "prf")?;
                if prf != "hmac-sha256" {
                    return Err(invalid(format!("kdfparams.prf: `{prf}` is not hmac-sha256")));
                }
                let rounds = number(params, "c")?;
                match u32::try_from(rounds) {
                    Ok(rounds) if (1..=PBKDF2_ROUNDS_MAX).contains(&rounds) => Ok(Self::Pbkdf2 { rounds, salt }),
                    _ => Err(invalid(format!("kdfparams.c: {rounds} rounds; 1 to {PBKDF2_ROUNDS_MAX} are accepted"))),
                }
            }
            other => Err(invalid(format!("kdf: `{other}` is neither scrypt nor pbkdf2"))),
        }
    }

    /// Returns `kdf` and `kdfparams` as they are written.
    pub(super) fn to_json(&self) -> (&'static str, Value) {
        use alloy_primitives::hex;
        match self {
            Self::Scrypt { log_n, r, p, salt } => (
                "scrypt",
                json!({"dklen": DERIVED_KEY_SIZE, "n": 1_u64 << log_n, "p": p, "r": r, "salt": hex::encode(salt)}),
            ),
            Self::Pbkdf2 { rounds, salt } => (
                "pbkdf2",
                json!({"c": rounds, "dklen": DERIVED_KEY_SIZE, "prf": "hmac-sha256", "salt": hex::encode(salt)}),
            ),
        }
    }

    /// Derives the key: the first 16 bytes encrypt, the next 16 authenticate.
    pub(super) fn derive(&self, password: &str) -> Zeroizing<[u8; DERIVED_KEY_SIZE]> {
        let mut key = Zeroizing::new([0; DERIVED_KEY_SIZE]);
        match self {
            Self::Scrypt { log_n, r, p, salt } => {
                let params = scrypt::Params::new(*log_n, *r, *p).expect("the parameters were checked when read");
                scrypt::scrypt(password.as_bytes(), salt, &params, key.as_mut()).expect("32 bytes are a valid length");
            }
            Self::Pbkdf2 { rounds, salt } => {
                pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, *rounds, key.as_mut());
            }
        }
        key
    }
}

fn parse_scrypt(params: &Map<String, Value>, salt: Vec<u8>) -> Result<Kdf, KeystoreError> {
    let (n, r, p) = (number(params, "n")?, number(params, "r")?, number(params, "p")?);
    if n < 2 || !n.is_power_of_two() {
        return Err(invalid(format!("kdfparams.n: {n} is not a power of two above 1")));
    }
    if r == 0 || p == 0 {
        return Err(invalid(format!("kdfparams: r is {r} and p is {p}; neither may be 0")));
    }
    let memory = r.saturating_mul(128).saturating_mul(n.saturating_add(p));
    if memory > SCRYPT_MEMORY_BYTES_MAX {
        let (asked, limit) = (memory >> 20, SCRYPT_MEMORY_BYTES_MAX >> 20);
        return Err(invalid(format!(
            "kdfparams: scrypt with n={n} r={r} p={p} takes {asked} MiB; the limit is {limit}"
        )));
    }
    let work = n.saturating_mul(r).saturating_mul(p);
    if work > SCRYPT_WORK_MAX {
        return Err(invalid(format!(
            "kdfparams: n·r·p is {work} with n={n} r={r} p={p}; the limit is {SCRYPT_WORK_MAX}"
        )));
    }
    let log_n = u8::try_from(n.trailing_zeros()).expect("a u64 has at most 64 zeros");
    let narrow = |value: u64| u32::try_from(value).map_err(|_| invalid(format!("kdfparams: {value} is too large")));
    let (r, p) = (narrow(r)?, narrow(p)?);
    scrypt::Params::new(log_n, r, p).map_err(|_| invalid(format!("kdfparams: n={n} r={r} p={p} is not scrypt")))?;
    Ok(Kdf::Scrypt { log_n, r, p, salt })
}

fn number(params: &Map<String, Value>, field: &str) -> Result<u64, KeystoreError> {
    params
        .get(field)
        .and_then(Value::as_u64)
        .ok_or_else(|| invalid(format!("kdfparams.{field}: a whole number is missing")))
}

fn text<'a>(params: &'a Map<String, Value>, field: &str) -> Result<&'a str, KeystoreError> {
    params.get(field).and_then(Value::as_str).ok_or_else(|| invalid(format!("kdfparams.{field}: a text is missing")))
}

fn invalid(problem: String) -> KeystoreError {
    KeystoreError::InvalidFile { problem }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(name: &str, params: Value) -> Result<Kdf, String> {
        Kdf::parse(name, params.as_object().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn absurd_parameters_are_refused_before_any_memory_is_taken() {
        let scrypt = |n: u64, r: u64, p: u64| {
            parse("scrypt", json!({"dklen": 32, "n": n, "r": r, "p": p, "salt": "00"})).unwrap_err()
        };
        for (n, r, p, expected) in [
            (1_u64 << 40, 8, 1, "MiB"),
            (1 << 20, 8, 1, "the limit is 512"),
            (u64::MAX, 8, 1, "power of two"),
            (1 << 63, u64::MAX, u64::MAX, "MiB"),
            (0, 8, 1, "power of two"),
            (1, 8, 1, "power of two"),
            (3, 8, 1, "power of two"),
            (2, 0, 1, "neither may be 0"),
            (2, 1, 0, "neither may be 0"),
            (2, 1, u64::MAX, "MiB"),
            (1 << 18, 8, 17, "n·r·p"),
        ] {
            let actual = scrypt(n, r, p);
            assert!(actual.contains(expected), "n={n} r={r} p={p}: {actual}");
        }
        for (c, prf, expected) in
            [(0_u64, "hmac-sha256", "rounds"), (1 << 40, "hmac-sha256", "rounds"), (1, "md5", "prf")]
        {
            let actual = parse("pbkdf2", json!({"dklen": 32, "c": c, "prf": prf, "salt": "00"})).unwrap_err();
            assert!(actual.contains(expected), "c={c} prf={prf}: {actual}");
        }
        assert!(
            parse("scrypt", json!({"dklen": 16, "n": 2, "r": 8, "p": 1, "salt": "00"})).unwrap_err().contains("dklen")
        );
        assert!(parse("bcrypt", json!({"dklen": 32, "salt": "00"})).unwrap_err().contains("bcrypt"));
    }

    #[test]
    fn written_parameters_are_read_back() {
        for kdf in [
            Kdf::new(KdfStrength::Standard, [1; 32]),
            Kdf::new(KdfStrength::Light, [2; 32]),
            Kdf::Pbkdf2 { rounds: 7, salt: vec![3; 32] },
        ] {
            let (name, params) = kdf.to_json();
            assert_eq!(parse(name, params), Ok(kdf));
        }
    }
}
