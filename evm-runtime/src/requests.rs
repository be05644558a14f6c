//! Requests to a consensus layer (EIP-7685): deposits, read from the logs of their contract (EIP-6110), and the hash of them all.
//! Drawbridge's own blocks have none.

use alloy_eips::eip6110::DEPOSIT_REQUEST_TYPE;
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B256, Bytes, Log, b256};

use crate::receipt::Receipt;

/// keccak256 of `DepositEvent(bytes,bytes,bytes,bytes,bytes)` (EIP-6110).
const DEPOSIT_EVENT: B256 = b256!("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");
/// The bytes of the event's data.
const DEPOSIT_DATA_BYTES: usize = 576;
/// Where each field of the event begins (its length word), and how many bytes it has: public key, withdrawal credentials,
/// amount, signature, index.
const DEPOSIT_FIELDS: [(usize, usize); 5] = [(160, 48), (256, 32), (320, 8), (384, 96), (512, 8)];

/// Says that a log of the deposit contract is no deposit, which makes the block invalid (EIP-6110).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("deposit: the log's data is not laid out as the contract does it")]
pub struct DepositError;

/// Returns the deposits of a block as one request, or none: its type, then for each deposit in order the bytes of its fields.
///
/// # Errors
/// An event of the contract that is not laid out as the contract does it.
pub fn deposits(receipts: &[Receipt], contract: Address) -> Result<Option<Bytes>, DepositError> {
    let mut request = vec![DEPOSIT_REQUEST_TYPE];
    let is_deposit = |log: &&Log| log.address == contract && log.topics().first() == Some(&DEPOSIT_EVENT);
    for log in receipts.iter().flat_map(|receipt| receipt.logs()).filter(is_deposit) {
        append_deposit(&log.data.data, &mut request)?;
    }
    Ok((request.len() > 1).then(|| request.into()))
}

fn append_deposit(data: &[u8], request: &mut Vec<u8>) -> Result<(), DepositError> {
    if data.len() != DEPOSIT_DATA_BYTES {
        return Err(DepositError);
    }
    for (index, (start, length)) in DEPOSIT_FIELDS.into_iter().enumerate() {
        let laid_out = word_is(data, index * 32, start) && word_is(data, start, length);
        if !laid_out {
            return Err(DepositError);
        }
        request.extend_from_slice(&data[start + 32..start + 32 + length]);
    }
    Ok(())
}

/// Tells whether the 32-byte word at `at` is this number.
fn word_is(data: &[u8], at: usize, number: usize) -> bool {
    let (zeros, last) = data[at..at + 32].split_at(24);
    zeros.iter().all(|byte| *byte == 0) && last == u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes()
}

/// Returns the hash that a header commits to: SHA-256 of the SHA-256 of each request (EIP-7685).
pub fn requests_hash(requests: &[Bytes]) -> B256 {
    if requests.is_empty() {
        return EMPTY_REQUESTS_HASH;
    }
    let sha256 = |bytes: &[u8]| revm::precompile::crypto().sha256(bytes);
    let hashes: Vec<u8> = requests.iter().flat_map(|request| sha256(request)).collect();
    B256::from(sha256(&hashes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_consensus::{Eip658Value, Receipt as PlainReceipt, ReceiptEnvelope};
    use alloy_primitives::{LogData, hex};

    use super::*;

    const CONTRACT: Address = Address::repeat_byte(7);

    /// The event's data, each field filled with the number of its place.
    fn data() -> Vec<u8> {
        let mut data = vec![0; DEPOSIT_DATA_BYTES];
        for (index, (start, length)) in DEPOSIT_FIELDS.into_iter().enumerate() {
            data[index * 32 + 24..index * 32 + 32].copy_from_slice(&(start as u64).to_be_bytes());
            data[start + 24..start + 32].copy_from_slice(&(length as u64).to_be_bytes());
            data[start + 32..start + 32 + length].fill(u8::try_from(index + 1).unwrap());
        }
        data
    }

    fn receipt(address: Address, topic: B256, data: Vec<u8>) -> Receipt {
        let log = Log { address, data: LogData::new_unchecked(vec![topic], data.into()) };
        let status = Eip658Value::Eip658(true);
        ReceiptEnvelope::Legacy(PlainReceipt { status, cumulative_gas_used: 0, logs: vec![log] }.with_bloom())
    }

    #[test]
    fn deposits_are_read_in_order_from_their_contract_only() {
        let deposit = receipt(CONTRACT, DEPOSIT_EVENT, data());
        let others = [receipt(Address::ZERO, DEPOSIT_EVENT, vec![]), receipt(CONTRACT, B256::ZERO, vec![])];
        assert_eq!(deposits(&others, CONTRACT), Ok(None));
        let found = deposits(&[deposit.clone(), others[0].clone(), deposit], CONTRACT).unwrap().unwrap();
        let one = [vec![1; 48], vec![2; 32], vec![3; 8], vec![4; 96], vec![5; 8]].concat();
        assert_eq!(found, [&[0][..], &one, &one].concat());
    }

    #[test]
    fn other_layouts_are_refused() {
        for at in [31, 191, 159, 543] {
            let mut other = data();
            other[at] ^= 1;
            assert_eq!(deposits(&[receipt(CONTRACT, DEPOSIT_EVENT, other)], CONTRACT), Err(DepositError), "byte {at}");
        }
        let short = data()[..575].to_vec();
        assert_eq!(deposits(&[receipt(CONTRACT, DEPOSIT_EVENT, short)], CONTRACT), Err(DepositError));
    }

    #[test]
    fn the_hash_is_of_the_hashes() {
        assert_eq!(requests_hash(&[]), EMPTY_REQUESTS_HASH);
        // sha256(sha256("abc")), computed by another program.
        let expected = B256::from(hex!("4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358"));
        assert_eq!(requests_hash(&[Bytes::from_static(b"abc")]), expected);
    }
}
