//! The code that a buyer shows at a device: what it says, its text, and whether its signature is the buyer's.
//!
//! Two forms exist. The plain one is contract and buyer alone, which stand on the chain for everybody to read; a device takes it only
//! where its operator allows that. The safe one begins with `T1:` and binds the buyer's signature to chain, contract, device, time and
//! a nonce; where the buyer is a contract wallet, it begins with `T2:`, and the chain alone can say whether the signature counts.
//! Pictures of codes are in [`picture`], what becomes of a code in [`claim`]; what a device demands of it is in `device::checks`.

mod base45;
pub mod claim;
pub mod picture;

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use consensus::crypto::{self, SecretKey};

/// The first characters of a safe code.
pub const SAFE_PREFIX: &str = "T1:";
/// The first characters of a safe code of a contract wallet.
pub const WALLET_PREFIX: &str = "T2:";
/// The longest text that is looked at, in bytes: the longest code of a wallet has 990.
pub const TEXT_BYTES_MAX: usize = 1000;
/// The longest signature of a contract wallet, in bytes: eight keys of a shared wallet.
pub const WALLET_SIGNATURE_BYTES_MAX: usize = 8 * 65;
/// The longest name of a device in a code, in bytes.
pub const DEVICE_BYTES_MAX: usize = 64;
/// Chain id, contract, buyer, expiry, nonce and the length of the device's name: the bytes before that name.
const HEAD_BYTES: usize = 8 + 20 + 20 + 8 + 16 + 1;
/// r, s and v.
const SIGNATURE_BYTES: usize = 65;

/// Says why a text is no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// More text than any code has.
    #[error("a code has at most {TEXT_BYTES_MAX} characters, this text has {actual}")]
    TooLong {
        /// Its length in bytes.
        actual: usize,
    },
    /// Neither form.
    #[error("neither a safe code (T1:… or T2:…) nor two addresses of 40 hexadecimal digits")]
    Form,
    /// An address with capitals and small letters whose checksum is wrong (EIP-55).
    #[error("the checksum of the address {address} is wrong: a character was misread")]
    Checksum {
        /// The address as it was written.
        address: String,
    },
    /// A safe code that is damaged.
    #[error("the safe code is damaged: {problem}")]
    Damaged {
        /// What is wrong.
        problem: &'static str,
    },
    /// A device's name that none has.
    #[error("{name:?} is no device name: 1 to {DEVICE_BYTES_MAX} of a-z, A-Z, 0-9, `:`, `_` and `-`")]
    Device {
        /// The name.
        name: String,
    },
    /// The signature gives another address than the buyer's.
    #[error("the signature is not the buyer's: {buyer} is named, {signer} signed")]
    Signer {
        /// Who is named.
        buyer: Address,
        /// Who signed.
        signer: Address,
    },
    /// The signature gives no address, or is the second of the two that say the same.
    #[error("the signature is none")]
    Signature,
    /// A wallet's signature that no code can hold.
    #[error("a wallet's signature has 1 to {WALLET_SIGNATURE_BYTES_MAX} bytes, this one has {actual}")]
    WalletSignature {
        /// Its length in bytes.
        actual: usize,
    },
}

/// Holds what one release is: an item that one buyer collects at one device, until a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Release {
    /// The chain.
    pub chain_id: u64,
    /// The order's contract.
    pub contract: Address,
    /// Who bought the item.
    pub buyer: Address,
    /// The device's name.
    pub device: String,
    /// 16 bytes that no other code has.
    pub nonce: [u8; 16],
    /// The last second in which the code counts, in seconds since 1970.
    pub not_after: u64,
}

impl Release {
    /// Returns the EIP-712 digest, as `releaseDigest` of the contract computes it. It names the job everywhere.
    pub fn digest(&self) -> B256 {
        let word = |bytes: &[u8]| U256::from_be_slice(bytes).to_be_bytes::<32>();
        let mut nonce = [0; 32];
        nonce[..16].copy_from_slice(&self.nonce);
        let domain = hash_words(&[
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)").0,
            keccak256("Drawbridge").0,
            keccak256("1").0,
            word(&self.chain_id.to_be_bytes()),
            word(self.contract.as_slice()),
        ]);
        let content = hash_words(&[
            keccak256("Release(address buyer,string device,bytes16 nonce,uint64 notAfter)").0,
            word(self.buyer.as_slice()),
            keccak256(&self.device).0,
            nonce,
            word(&self.not_after.to_be_bytes()),
        ]);
        keccak256([&[0x19, 0x01][..], domain.as_slice(), content.as_slice()].concat())
    }

    /// Signs the release with the buyer's key.
    ///
    /// # Errors
    /// The device's name is none, or the key is not the buyer's.
    pub fn sign(self, key: &SecretKey) -> Result<Ticket, CodeError> {
        let signature = crypto::sign(key, self.digest());
        Ticket::new(self, signature)
    }
}

fn hash_words(words: &[[u8; 32]]) -> B256 {
    keccak256(words.concat())
}

/// Tells whether a device can have this name.
///
/// # Errors
/// It cannot.
pub fn check_device_name(name: &str) -> Result<(), CodeError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b":_-".contains(&byte);
    if name.is_empty() || name.len() > DEVICE_BYTES_MAX || !name.bytes().all(fits) {
        return Err(CodeError::Device { name: name.chars().take(DEVICE_BYTES_MAX).collect() });
    }
    Ok(())
}

/// A release with its buyer's signature, which was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    release: Release,
    signature: Signature,
}

impl Ticket {
    /// Puts a release and its buyer's signature together.
    ///
    /// # Errors
    /// The device's name is none, or the signature is not the buyer's, or not the lower one of its two forms.
    pub fn new(release: Release, signature: Signature) -> Result<Self, CodeError> {
        check_device_name(&release.device)?;
        if signature.normalize_s().is_some() {
            return Err(CodeError::Signature);
        }
        let signer = crypto::recover_address(&signature, release.digest()).map_err(|_| CodeError::Signature)?;
        if signer != release.buyer {
            return Err(CodeError::Signer { buyer: release.buyer, signer });
        }
        Ok(Self { release, signature })
    }

    /// Returns what the buyer signed.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// Returns r ‖ s ‖ v, v being 27 or 28, as the contract takes it.
    pub fn signature(&self) -> [u8; 65] {
        self.signature.as_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, CodeError> {
        let (release, signature) = split(bytes)?;
        if signature.len() != SIGNATURE_BYTES {
            return Err(damaged("its length is not what its content says"));
        }
        if !matches!(signature.last(), Some(27 | 28)) {
            return Err(damaged("its signature has another form"));
        }
        Self::new(release, Signature::from_raw(signature).map_err(|_| CodeError::Signature)?)
    }
}

/// A release with the signature of the contract wallet that bought the item (EIP-1271). Nothing here can tell whether it counts: the wallet says so,
/// on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletTicket {
    release: Release,
    signature: Vec<u8>,
}

impl WalletTicket {
    /// Puts a release and its wallet's signature together.
    ///
    /// # Errors
    /// The device's name is none, or the signature is empty or too long.
    pub fn new(release: Release, signature: Vec<u8>) -> Result<Self, CodeError> {
        check_device_name(&release.device)?;
        if signature.is_empty() || signature.len() > WALLET_SIGNATURE_BYTES_MAX {
            return Err(CodeError::WalletSignature { actual: signature.len() });
        }
        Ok(Self { release, signature })
    }

    /// Returns what the wallet signed.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// Returns what the wallet takes as its signature.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// Writes a release and what follows it.
fn join(release: &Release, signature: &[u8]) -> Vec<u8> {
    let length = u8::try_from(release.device.len()).expect("a device's name is at most 64 bytes");
    let mut bytes = Vec::with_capacity(HEAD_BYTES + release.device.len() + signature.len());
    bytes.extend_from_slice(&release.chain_id.to_be_bytes());
    bytes.extend_from_slice(release.contract.as_slice());
    bytes.extend_from_slice(release.buyer.as_slice());
    bytes.extend_from_slice(&release.not_after.to_be_bytes());
    bytes.extend_from_slice(&release.nonce);
    bytes.push(length);
    bytes.extend_from_slice(release.device.as_bytes());
    bytes.extend_from_slice(signature);
    bytes
}

/// Reads a release, and returns what follows it.
fn split(bytes: &[u8]) -> Result<(Release, &[u8]), CodeError> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(damaged("it is too short"))?;
    let device_bytes = usize::from(head[HEAD_BYTES - 1]);
    let length = damaged("its length is not what its content says");
    let (device, signature) = rest.split_at_checked(device_bytes).ok_or(length)?;
    let device = String::from_utf8(device.to_vec()).map_err(|_| damaged("the device's name is no text"))?;
    let release = Release {
        chain_id: u64::from_be_bytes(part(head, 0)),
        contract: Address::from(part::<20>(head, 8)),
        buyer: Address::from(part::<20>(head, 28)),
        not_after: u64::from_be_bytes(part(head, 48)),
        nonce: part(head, 56),
        device,
    };
    Ok((release, signature))
}

fn damaged(problem: &'static str) -> CodeError {
    CodeError::Damaged { problem }
}

/// Returns `N` bytes of the head.
fn part<const N: usize>(head: &[u8; HEAD_BYTES], from: usize) -> [u8; N] {
    *head[from..].first_chunk().expect("the fields of the head lie inside it")
}

/// Writes the safe form: `T1:` and Base45, all of which QR codes take in their compact alphanumeric mode.
impl fmt::Display for Ticket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SAFE_PREFIX}{}", base45::encode(&join(&self.release, &self.signature())))
    }
}

/// Writes the safe form of a contract wallet: `T2:` and Base45.
impl fmt::Display for WalletTicket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{WALLET_PREFIX}{}", base45::encode(&join(&self.release, &self.signature)))
    }
}

/// What a code says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// Contract and buyer alone.
    Plain {
        /// The order's contract.
        contract: Address,
        /// Who claims to have bought the item.
        buyer: Address,
    },
    /// A release with its buyer's signature.
    Safe(Ticket),
    /// A release with the signature of the contract wallet that is its buyer.
    Wallet(WalletTicket),
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain { contract, buyer } => write!(formatter, "{contract},{buyer}"),
            Self::Safe(ticket) => ticket.fmt(formatter),
            Self::Wallet(ticket) => ticket.fmt(formatter),
        }
    }
}

/// Reads a code as a scanner types it: one line, in capitals or small letters; what surrounds it is not part of it.
impl FromStr for Code {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(CodeError::TooLong { actual: text.len() });
        }
        let text = text.trim_start().trim_end_matches(['\r', '\n', '\t', ' ']);
        let bytes_after = |prefix: &str| {
            let (begin, rest) = text.split_at_checked(prefix.len())?;
            let decoded = || base45::decode(rest).ok_or(damaged("it is not Base45"));
            begin.eq_ignore_ascii_case(prefix).then(decoded)
        };
        if let Some(bytes) = bytes_after(SAFE_PREFIX) {
            return Ticket::from_bytes(&bytes?).map(Self::Safe);
        }
        if let Some(bytes) = bytes_after(WALLET_PREFIX) {
            let bytes = bytes?;
            let (release, signature) = split(&bytes)?;
            return WalletTicket::new(release, signature.to_vec()).map(Self::Wallet);
        }
        plain(text)
    }
}

/// Reads two addresses, both with or both without `0x`, with at most one of `,`, `;`, `/` and a space between them.
fn plain(text: &str) -> Result<Code, CodeError> {
    let (first, rest) = take_address(text).ok_or(CodeError::Form)?;
    let rest = rest.strip_prefix([',', ';', '/', ' ']).unwrap_or(rest);
    let (second, rest) = take_address(rest).ok_or(CodeError::Form)?;
    if !rest.is_empty() || first.prefixed != second.prefixed {
        return Err(CodeError::Form);
    }
    Ok(Code::Plain { contract: first.read()?, buyer: second.read()? })
}

/// An address as it is written.
struct Written<'a> {
    digits: &'a str,
    prefixed: bool,
}

fn take_address(text: &str) -> Option<(Written<'_>, &str)> {
    let prefix = text.split_at_checked(2).filter(|(prefix, _)| prefix.eq_ignore_ascii_case("0x"));
    let (digits, rest) = prefix.map_or(text, |(_, rest)| rest).split_at_checked(40)?;
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal.then_some((Written { digits, prefixed: prefix.is_some() }, rest))
}

impl Written<'_> {
    /// Reads the address; one with capitals and small letters must have a right checksum (EIP-55).
    fn read(&self) -> Result<Address, CodeError> {
        let address = Address::from_str(self.digits).map_err(|_| CodeError::Form)?;
        let has = |kind: fn(&u8) -> bool| self.digits.as_bytes().iter().any(kind);
        let mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
        if mixed && address.to_checksum(None)[2..] != *self.digits {
            return Err(CodeError::Checksum { address: format!("0x{}", self.digits) });
        }
        Ok(address)
    }
}

#[cfg(test)]
mod tests;
