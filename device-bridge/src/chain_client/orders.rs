//! What a device asks about an order, and what the answers mean.
//!
//! Anybody can deploy a contract that answers `verifyOwnership` with true. So an order counts only where a registry that the device
//! was configured with created it, or where its code has a pinned hash.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use serde_json::{Value, json};

use super::{ChainClient, ChainError, Settled, bytes, call_params, quantity};
use crate::code::Release;
use crate::code::claim::{Approval, Claim};

/// What a contract wallet answers where a signature is its own: the selector of the question (EIP-1271).
const WALLET_ASSENT: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];

/// Says which contracts are orders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// The chain on which they stand.
    pub chain_id: u64,
    /// Registries whose orders count.
    pub registries: Vec<Address>,
    /// keccak256 of codes that count wherever they stand.
    pub code_hashes: Vec<B256>,
}

impl Trust {
    /// Tells whether nothing is trusted.
    pub fn is_empty(&self) -> bool {
        self.registries.is_empty() && self.code_hashes.is_empty()
    }
}

/// Holds what the chain says about an order and one who claims it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderState {
    /// Whether the contract is an order that counts.
    pub known: bool,
    /// Whether the claimant bought it.
    pub verified: bool,
    /// Whether the claimant's wallet takes the signature for its own; true where the claimant is no wallet.
    pub approved: bool,
    /// The release, where one is recorded.
    pub release: Option<Recorded>,
}

/// A release as the contract records it. The job names the device too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The digest of what the buyer signs.
    pub job: B256,
    /// Who collects the item.
    pub collected_by: Address,
    /// When the release was recorded, in seconds since 1970.
    pub released_at: u64,
    /// When the opening was recorded; 0: not yet.
    pub opened_at: u64,
}

/// Returns the first four bytes of a function's hash.
pub fn selector(signature: &str) -> [u8; 4] {
    *keccak256(signature).first_chunk().expect("a hash has four bytes")
}

fn call_data(signature: &str, words: &[B256]) -> Vec<u8> {
    let mut data = selector(signature).to_vec();
    words.iter().for_each(|word| data.extend_from_slice(word.as_slice()));
    data
}

/// Returns the input of `verifyOwnership`.
pub fn verify_ownership_data(claimant: Address) -> Vec<u8> {
    call_data("verifyOwnership(address)", &[claimant.into_word()])
}

/// Returns the input of `isOrder`.
pub fn is_order_data(order: Address) -> Vec<u8> {
    call_data("isOrder(address)", &[order.into_word()])
}

/// Returns the input of `getRelease`.
pub fn get_release_data() -> Vec<u8> {
    call_data("getRelease()", &[])
}

/// Returns the input of `recordOpening`.
pub fn record_opening_data(job: B256) -> Vec<u8> {
    call_data("recordOpening(bytes32)", &[job])
}

/// Returns the input of `release`, or of `releasePlain` where nobody signed.
pub fn release_data(release: &Release, signature: Option<&[u8]>) -> Vec<u8> {
    let mut nonce = B256::ZERO;
    nonce[..16].copy_from_slice(&release.nonce);
    let not_after = B256::from(U256::from(release.not_after));
    let offset = |bytes: usize| B256::from(U256::from(bytes));
    let device = dynamic(release.device.as_bytes());
    match signature {
        Some(signature) => {
            let heads = [offset(128), nonce, not_after, offset(128 + device.len())];
            let mut data = call_data("release(string,bytes16,uint64,bytes)", &heads);
            data.extend(device);
            data.extend(dynamic(signature));
            data
        }
        None => {
            let mut data = call_data("releasePlain(string,bytes16,uint64)", &[offset(96), nonce, not_after]);
            data.extend(device);
            data
        }
    }
}

/// Returns the input of a wallet's `isValidSignature` (EIP-1271).
pub fn is_valid_signature_data(digest: B256, signature: &[u8]) -> Vec<u8> {
    let mut data = call_data("isValidSignature(bytes32,bytes)", &[digest, B256::from(U256::from(64))]);
    data.extend(dynamic(signature));
    data
}

/// Writes bytes of any length as the ABI does: the length, and whole words.
fn dynamic(content: &[u8]) -> Vec<u8> {
    let mut encoded = U256::from(content.len()).to_be_bytes::<32>().to_vec();
    encoded.extend_from_slice(content);
    encoded.resize(32 + content.len().next_multiple_of(32), 0);
    encoded
}

impl ChainClient {
    /// Asks what the settled block says about an order and one who claims it, in one request; a contract wallet is asked whether it signed.
    ///
    /// # Errors
    /// There is no answer, or one that such contracts do not give.
    pub async fn order(&self, trust: &Trust, claim: &Claim, settled: Settled) -> Result<OrderState, ChainError> {
        let (contract, claimant) = (claim.release.contract, claim.release.buyer);
        let at = self.settled(settled).await?;
        let question = |to: Address, data: Vec<u8>| ("eth_call", call_params(to, &data, &at));
        let mut calls = vec![
            ("eth_chainId", json!([])),
            question(contract, verify_ownership_data(claimant)),
            question(contract, get_release_data()),
        ];
        calls.extend(trust.registries.iter().map(|registry| question(*registry, is_order_data(contract))));
        if !trust.code_hashes.is_empty() {
            calls.push(("eth_getCode", json!([contract, at])));
        }
        if let Approval::Wallet(signature) = &claim.approval {
            calls.push(question(claimant, is_valid_signature_data(claim.release.digest(), signature)));
        }
        let mut answers = self.batch(&calls).await?.into_iter();
        let mut next = || answers.next().unwrap_or_else(|| Err(ChainError::malformed("batch", "too few answers")));
        let chain_id = quantity("eth_chainId", &next()?)?;
        if chain_id != trust.chain_id {
            return Err(ChainError::OtherChain { expected: trust.chain_id, actual: chain_id });
        }
        let (verified, release) = (next(), next());
        let mut known = false;
        for _ in &trust.registries {
            known |= read_bool("isOrder", &next()?)?;
        }
        if !trust.code_hashes.is_empty() {
            known |= trust.code_hashes.contains(&keccak256(bytes("eth_getCode", &next()?)?));
        }
        if !known {
            // What a stranger's contract answers does not matter, not even whether it answers.
            return Ok(OrderState::default());
        }
        let approved = match claim.approval {
            Approval::Wallet(_) => is_assent(next())?,
            Approval::Operator | Approval::Key(_) => true,
        };
        Ok(OrderState {
            known,
            approved,
            verified: read_bool("verifyOwnership", &verified?)?,
            release: read_release(&bytes("getRelease", &release?)?)?,
        })
    }
}

/// Reads a word that is exactly 0 or 1. No data, which an account without code answers, is false.
fn read_bool(method: &str, value: &Value) -> Result<bool, ChainError> {
    let data = bytes(method, value)?;
    match data.len() {
        0 => Ok(false),
        32 if data[..31].iter().all(|byte| *byte == 0) && data[31] <= 1 => Ok(data[31] == 1),
        _ => Err(ChainError::malformed(method, "neither true nor false")),
    }
}

/// Tells whether a wallet takes a signature for its own. One that reverts, or answers anything else, does not.
fn is_assent(answer: Result<Value, ChainError>) -> Result<bool, ChainError> {
    match answer {
        Ok(value) => Ok(bytes("isValidSignature", &value).is_ok_and(|data| {
            data.len() == 32 && data[..4] == WALLET_ASSENT && data[4..].iter().all(|byte| *byte == 0)
        })),
        Err(error) if error.is_passing() => Err(error),
        Err(_) => Ok(false),
    }
}

/// Reads what `getRelease` returns; `None`: no release.
fn read_release(data: &Bytes) -> Result<Option<Recorded>, ChainError> {
    let malformed = |problem: &str| ChainError::malformed("getRelease", problem);
    let word = |index: usize| data.get(index * 32..index * 32 + 32).ok_or_else(|| malformed("too short"));
    let number = |index: usize| -> Result<u64, ChainError> {
        u64::try_from(U256::from_be_slice(word(index)?)).map_err(|_| malformed("a number is too large"))
    };
    let job = B256::from_slice(word(0)?);
    if job.is_zero() {
        return Ok(None);
    }
    Ok(Some(Recorded {
        job,
        collected_by: Address::from_slice(&word(1)?[12..]),
        released_at: number(2)?,
        opened_at: number(3)?,
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use alloy_primitives::hex;
    use proptest::prelude::*;

    use super::*;

    /// The functions of the checked-in artifacts, as `name(type,…)`.
    fn functions() -> BTreeSet<String> {
        let texts = [
            include_str!("../../../contracts/artifacts/SaleOrder.json"),
            include_str!("../../../contracts/artifacts/OrderRegistry.json"),
        ];
        let mut found = BTreeSet::new();
        for text in texts {
            let artifact: Value = serde_json::from_str(text).unwrap();
            for entry in artifact["abi"].as_array().unwrap().iter().filter(|entry| entry["type"] == "function") {
                let types = entry["inputs"].as_array().unwrap().iter().map(|input| input["type"].as_str().unwrap());
                found.insert(format!("{}({})", entry["name"].as_str().unwrap(), types.collect::<Vec<_>>().join(",")));
            }
        }
        found
    }

    #[test]
    fn the_functions_are_those_of_the_contracts() {
        let functions = functions();
        for name in [
            "verifyOwnership(address)",
            "isOrder(address)",
            "getRelease()",
            "recordOpening(bytes32)",
            "release(string,bytes16,uint64,bytes)",
            "releasePlain(string,bytes16,uint64)",
        ] {
            assert!(functions.contains(name), "{name} is none of {functions:?}");
        }
        assert_eq!(selector("verifyOwnership(address)"), hex!("2cc9c151"));
    }

    #[test]
    fn only_one_and_zero_are_truth_values() {
        let read = |text: &str| read_bool("isSold", &json!(text));
        assert_eq!(read("0x"), Ok(false));
        assert_eq!(read(&format!("0x{}", "0".repeat(64))), Ok(false));
        assert_eq!(read(&format!("0x{}1", "0".repeat(63))), Ok(true));
        for wrong in
            ["0x01".to_owned(), format!("0x{}2", "0".repeat(63)), format!("0x1{}1", "0".repeat(62)), "1".to_owned()]
        {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
        assert!(read_bool("isSold", &json!(true)).is_err());
    }

    fn recorded(device: &[u8]) -> Vec<u8> {
        let number = |value: u64| U256::from(value).to_be_bytes::<32>();
        let mut data = [7; 32].to_vec();
        for word in [number(1), number(100), number(0), [9; 32], number(2), number(1), number(256)] {
            data.extend_from_slice(&word);
        }
        data.extend(dynamic(device));
        data
    }

    /// By ethers 6: `encodeFunctionData("isValidSignature", …)` of the same values.
    #[test]
    fn a_wallet_is_asked_in_the_abi_s_words() {
        let data = is_valid_signature_data(B256::repeat_byte(7), &[1, 2, 3, 4, 5]);
        let words = ["07".repeat(32), format!("{:064x}", 64), format!("{:064x}", 5), format!("{:0<64}", "0102030405")];
        assert_eq!(hex::encode(data), format!("1626ba7e{}", words.concat()));
        assert_eq!(selector("isValidSignature(bytes32,bytes)"), WALLET_ASSENT);
    }

    #[test]
    fn a_wallet_assents_with_one_word_alone() {
        let word = |end: &str| Ok(json!(format!("0x1626ba7e{end}")));
        let zeros = "0".repeat(56);
        let cases: [(Result<Value, ChainError>, bool); 8] = [
            (word(&zeros), true),
            (word(""), false),
            (word(&format!("{}1", "0".repeat(55))), false),
            (word(&"0".repeat(120)), false),
            (Ok(json!(format!("0xffffffff{zeros}"))), false),
            (Ok(json!("0x")), false),
            (Ok(json!(true)), false),
            (Err(ChainError::Node { code: 3, message: "execution reverted".to_owned() }), false),
        ];
        for (answer, expected) in cases {
            assert_eq!(is_assent(answer.clone()), Ok(expected), "{answer:?}");
        }
        let nobody = ChainError::Unreachable("nothing".to_owned());
        assert_eq!(is_assent(Err(nobody.clone())), Err(nobody), "whether it signed is not known");
    }

    #[test]
    fn a_release_is_read_as_the_contract_writes_it() {
        let expected = Recorded {
            job: B256::repeat_byte(7),
            collected_by: Address::with_last_byte(1),
            released_at: 100,
            opened_at: 0,
        };
        assert_eq!(read_release(&recorded(b"dock-1").into()), Ok(Some(expected)));
        assert_eq!(read_release(&vec![0; 288].into()), Ok(None));
        assert!(read_release(&Bytes::new()).is_err());
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(data: Vec<u8>, cut in 0_usize..330, at in 0_usize..288, with: u8) {
            let _ = read_release(&data.into());
            let mut whole = recorded(b"dock-1");
            whole[at] = with;
            whole.truncate(cut);
            let _ = read_release(&whole.into());
        }
    }
}
