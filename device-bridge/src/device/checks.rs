//! What a device demands of a code before it asks the chain.

use crate::code::claim::{Approval, Claim};
use crate::code::{Code, Release};

/// How far the clocks of a buyer's phone, the device and the chain may differ, in seconds.
pub const CLOCK_SKEW_SECONDS: u64 = 30;

/// Says why nothing opens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no code.
    #[error("{0}")]
    Code(#[from] crate::code::CodeError),
    /// A plain code where plain codes do not count.
    #[error("a code without the buyer's signature: this device does not take them")]
    Plain,
    /// A contract wallet's code where proofs are demanded.
    #[error("a contract wallet's code: this device demands proofs, and what a wallet says cannot be proven")]
    Wallet,
    /// It is for another chain.
    #[error("the code is for chain {actual}, this device works on chain {expected}")]
    Chain {
        /// The device's chain.
        expected: u64,
        /// The code's.
        actual: u64,
    },
    /// It is for another device.
    #[error("the code is for the device {actual}")]
    Device {
        /// The code's device.
        actual: String,
    },
    /// Its time is over.
    #[error("the code expired {seconds} s ago")]
    Expired {
        /// For how long.
        seconds: u64,
    },
    /// It counts for longer than this device allows.
    #[error("the code counts for {seconds} s, this device allows {most} s")]
    TooLong {
        /// How long it counts from now.
        seconds: u64,
        /// The most.
        most: u64,
    },
    /// It was shown before.
    #[error("the code was used before")]
    Used,
    /// More codes than are remembered are in use.
    #[error("too many codes are in use")]
    TooMany,
    /// Another job is under way.
    #[error("another code is being carried out")]
    Busy,
    /// The contract is no order that counts.
    #[error("the contract is no order of a registry that this device knows")]
    UnknownContract,
    /// The buyer did not buy, or the sale is not settled yet.
    #[error("the chain does not say that this buyer owns the item")]
    NotOwner,
    /// The buyer's contract wallet did not sign.
    #[error("the buyer's wallet does not take the signature for its own")]
    WalletSignature,
    /// The item was collected before.
    #[error("the item was released before")]
    Released,
    /// There is no answer from the chain.
    #[error("the chain does not answer: {0}")]
    Chainless(String),
    /// The proof of the answer is wrong.
    #[error("the node's answer is not proven: {0}")]
    Unproven(String),
    /// The shadow service or the bridge did not do their part in time.
    #[error("not carried out in time: {0}")]
    Late(&'static str),
    /// The journal or the actuator failed.
    #[error("{0}")]
    Failed(String),
}

/// Says what a device takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodePolicy {
    /// The chain.
    pub chain_id: u64,
    /// The device's name.
    pub device: String,
    /// Whether plain codes count.
    pub static_codes: bool,
    /// Whether codes of contract wallets count: those who demand proofs take none.
    pub wallets: bool,
    /// How long a code may still count when it is shown, in seconds; as long as a plain one counts.
    pub lifetime_max: u64,
}

/// Returns what a code claims, where it is for this device now. `nonce` is for a plain code, `now` in seconds since 1970.
///
/// # Errors
/// It is not for this device now.
pub fn check(code: &Code, policy: &CodePolicy, now: u64, nonce: [u8; 16]) -> Result<Claim, Refusal> {
    let claim = match code {
        Code::Plain { .. } if !policy.static_codes => return Err(Refusal::Plain),
        Code::Plain { contract, buyer } => {
            let release = Release {
                chain_id: policy.chain_id,
                contract: *contract,
                buyer: *buyer,
                device: policy.device.clone(),
                nonce,
                not_after: now.saturating_add(policy.lifetime_max),
            };
            return Ok(Claim { release, approval: Approval::Operator });
        }
        Code::Wallet(_) if !policy.wallets => return Err(Refusal::Wallet),
        Code::Wallet(ticket) => Claim::from(ticket),
        Code::Safe(ticket) => Claim::from(ticket),
    };
    check_release(&claim.release, policy, now)?;
    Ok(claim)
}

fn check_release(release: &Release, policy: &CodePolicy, now: u64) -> Result<(), Refusal> {
    if release.chain_id != policy.chain_id {
        return Err(Refusal::Chain { expected: policy.chain_id, actual: release.chain_id });
    }
    if release.device != policy.device {
        return Err(Refusal::Device { actual: release.device.clone() });
    }
    let remaining = release.not_after.checked_sub(now);
    let seconds = remaining.ok_or(Refusal::Expired { seconds: now.saturating_sub(release.not_after) })?;
    let most = policy.lifetime_max.saturating_add(CLOCK_SKEW_SECONDS);
    if seconds > most {
        return Err(Refusal::TooLong { seconds, most });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use consensus::crypto::{address_of, secret_key};

    use super::*;
    use crate::code::WalletTicket;

    const NOW: u64 = 1_000_000;

    fn policy() -> CodePolicy {
        CodePolicy { chain_id: 7, device: "dock-1".to_owned(), static_codes: false, wallets: true, lifetime_max: 600 }
    }

    fn signed(change: impl FnOnce(&mut Release)) -> Code {
        let key = secret_key([9; 32]).unwrap();
        let mut release = Release {
            chain_id: 7,
            contract: Address::repeat_byte(1),
            buyer: address_of(&key),
            device: "dock-1".to_owned(),
            nonce: [3; 16],
            not_after: NOW + 300,
        };
        change(&mut release);
        Code::Safe(release.sign(&key).unwrap())
    }

    #[test]
    fn a_code_must_be_for_this_chain_device_and_time() {
        let cases: [(Code, Result<(), Refusal>); 8] = [
            (signed(|_| {}), Ok(())),
            (signed(|release| release.not_after = NOW), Ok(())),
            (signed(|release| release.not_after = NOW + 630), Ok(())),
            (signed(|release| release.not_after = NOW + 631), Err(Refusal::TooLong { seconds: 631, most: 630 })),
            (
                signed(|release| release.not_after = u64::MAX),
                Err(Refusal::TooLong { seconds: u64::MAX - NOW, most: 630 }),
            ),
            (signed(|release| release.not_after = NOW - 1), Err(Refusal::Expired { seconds: 1 })),
            (signed(|release| release.chain_id = 8), Err(Refusal::Chain { expected: 7, actual: 8 })),
            (signed(|release| release.device = "dock-2".into()), Err(Refusal::Device { actual: "dock-2".into() })),
        ];
        for (code, expected) in cases {
            assert_eq!(check(&code, &policy(), NOW, [0; 16]).map(drop), expected, "{code:?}");
        }
    }

    #[test]
    fn a_plain_code_counts_where_the_operator_says_so() {
        let code = Code::Plain { contract: Address::repeat_byte(1), buyer: Address::repeat_byte(2) };
        assert_eq!(check(&code, &policy(), NOW, [5; 16]), Err(Refusal::Plain));
        let allowing = CodePolicy { static_codes: true, ..policy() };
        let claim = check(&code, &allowing, NOW, [5; 16]).unwrap();
        let expected = ([5; 16], NOW + 600, Approval::Operator);
        assert_eq!((claim.release.nonce, claim.release.not_after, claim.approval), expected);
    }

    #[test]
    fn a_wallet_s_code_is_checked_like_any_other_and_counts_where_no_proof_is_demanded() {
        let of = |change: fn(&mut Release)| match signed(change) {
            Code::Safe(ticket) => Code::Wallet(WalletTicket::new(ticket.release().clone(), vec![1]).unwrap()),
            other => other,
        };
        let claim = check(&of(|_| {}), &policy(), NOW, [0; 16]).unwrap();
        assert_eq!(claim.approval, Approval::Wallet(vec![1]));
        let late = check(&of(|release| release.not_after = NOW - 1), &policy(), NOW, [0; 16]);
        assert_eq!(late, Err(Refusal::Expired { seconds: 1 }));
        let proving = CodePolicy { wallets: false, ..policy() };
        assert_eq!(check(&of(|_| {}), &proving, NOW, [0; 16]), Err(Refusal::Wallet));
    }
}
