//! What becomes of a code that a device takes: a claim, which travels in the device's shadow and is what the bridge carries out.

use std::fmt;

use alloy_primitives::{Signature, hex};

use super::{Code, CodeError, Release, SAFE_PREFIX, Ticket, WALLET_PREFIX, WalletTicket, check_device_name, damaged};

/// Says who stands for a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Nobody signed: the code was a plain one, and the operator vouches for it.
    Operator,
    /// The buyer's key: r ‖ s ‖ v, which was verified.
    Key([u8; 65]),
    /// The contract wallet that is the buyer, if it says so on the chain (EIP-1271).
    Wallet(Vec<u8>),
}

impl Approval {
    /// Returns the signature, as the order's contract takes it; `None`: nobody signed.
    pub fn signature(&self) -> Option<&[u8]> {
        match self {
            Self::Operator => None,
            Self::Key(signature) => Some(signature),
            Self::Wallet(signature) => Some(signature),
        }
    }
}

/// A release that a device claims: with the buyer's signature, or, for a plain code, with a nonce and a time that the device chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is claimed.
    pub release: Release,
    /// Who stands for it.
    pub approval: Approval,
}

impl Claim {
    /// Reads a claim of a device on a chain, as [`Claim`] is written; a plain one lasts until `until`.
    ///
    /// # Errors
    /// It is none, or a safe one that is for another chain, device or time.
    pub fn read(text: &str, chain_id: u64, device: &str, until: u64) -> Result<Self, CodeError> {
        let begins = |prefix: &str| text.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
        let safe = begins(SAFE_PREFIX) || begins(WALLET_PREFIX);
        let (code, nonce) = match text.rsplit_once(',') {
            Some((code, nonce)) if !safe => (code, hex::decode_to_array(nonce).map_err(|_| CodeError::Form)?),
            _ => (text, [0; 16]),
        };
        let claim = match code.parse()? {
            Code::Safe(ticket) => Self::from(&ticket),
            Code::Wallet(ticket) => Self::from(&ticket),
            Code::Plain { contract, buyer } => {
                check_device_name(device)?;
                let device = device.to_owned();
                let release = Release { chain_id, contract, buyer, device, nonce, not_after: until };
                return Ok(Self { release, approval: Approval::Operator });
            }
        };
        let release = &claim.release;
        if (release.chain_id, release.device.as_str(), release.not_after) != (chain_id, device, until) {
            return Err(damaged("it is for another chain, device or time"));
        }
        Ok(claim)
    }
}

impl From<&Ticket> for Claim {
    fn from(ticket: &Ticket) -> Self {
        Self { release: ticket.release().clone(), approval: Approval::Key(ticket.signature()) }
    }
}

impl From<&WalletTicket> for Claim {
    fn from(ticket: &WalletTicket) -> Self {
        Self { release: ticket.release().clone(), approval: Approval::Wallet(ticket.signature().to_vec()) }
    }
}

/// Writes the code, a plain one with its nonce.
impl fmt::Display for Claim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let release = self.release.clone();
        let key = match &self.approval {
            Approval::Key(signature) => Signature::from_raw(signature).ok(),
            Approval::Operator | Approval::Wallet(_) => None,
        };
        match (&self.approval, key) {
            (Approval::Wallet(signature), _) => WalletTicket { release, signature: signature.clone() }.fmt(formatter),
            (_, Some(signature)) => Ticket { release, signature }.fmt(formatter),
            (Approval::Operator | Approval::Key(_), None) => {
                write!(formatter, "{},{},{}", release.contract, release.buyer, hex::encode_prefixed(release.nonce))
            }
        }
    }
}
