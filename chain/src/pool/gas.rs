//! What a transaction is charged before its first instruction (Yellow Paper 6.2, g_0), and the floor of EIP-7623.

use alloy_consensus::Transaction as _;
use consensus::{Fork, Transaction};

const TRANSACTION: u64 = 21_000;
const CREATION: u64 = 32_000;
const ZERO_BYTE: u64 = 4;
const NONZERO_BYTE: u64 = 16;
/// Before EIP-2028.
const NONZERO_BYTE_FRONTIER: u64 = 68;
/// EIP-2930.
const ACCESS_LIST_ADDRESS: u64 = 2_400;
const ACCESS_LIST_KEY: u64 = 1_900;
/// EIP-3860, for 32 bytes.
const INIT_CODE_WORD: u64 = 2;
/// EIP-7702, `PER_EMPTY_ACCOUNT_COST`.
const AUTHORIZATION: u64 = 25_000;
/// EIP-7623.
const FLOOR_TOKEN: u64 = 10;
const TOKENS_OF_NONZERO_BYTE: u64 = 4;

/// The most gas that one transaction may ask for since Osaka (EIP-7825): 2^24.
pub const TRANSACTION_GAS_MAX: u64 = 1 << 24;

/// Returns the gas that `transaction` is charged before its first instruction.
pub fn intrinsic_gas(transaction: &Transaction, fork: Fork) -> u64 {
    let (zeros, nonzeros) = count_bytes(transaction.input());
    let nonzero_byte = if fork >= Fork::Istanbul { NONZERO_BYTE } else { NONZERO_BYTE_FRONTIER };
    let mut gas = TRANSACTION + zeros * ZERO_BYTE + nonzeros * nonzero_byte;
    if transaction.is_create() && fork >= Fork::Homestead {
        gas += CREATION;
    }
    if transaction.is_create() && fork >= Fork::Shanghai {
        gas += (zeros + nonzeros).div_ceil(32) * INIT_CODE_WORD;
    }
    if let Some(list) = transaction.access_list() {
        let keys: usize = list.iter().map(|item| item.storage_keys.len()).sum();
        gas += count(list.len()) * ACCESS_LIST_ADDRESS + count(keys) * ACCESS_LIST_KEY;
    }
    gas + transaction.authorization_list().map_or(0, |list| count(list.len()) * AUTHORIZATION)
}

/// Returns the least gas that `transaction` uses for the size of its call data, whatever it does; 0 before Prague.
pub fn floor_gas(transaction: &Transaction, fork: Fork) -> u64 {
    if fork < Fork::Prague {
        return 0;
    }
    let (zeros, nonzeros) = count_bytes(transaction.input());
    TRANSACTION + (zeros + nonzeros * TOKENS_OF_NONZERO_BYTE) * FLOOR_TOKEN
}

fn count_bytes(input: &[u8]) -> (u64, u64) {
    let zeros = input.iter().filter(|byte| **byte == 0).count();
    (count(zeros), count(input.len() - zeros))
}

/// Widens a count of things in memory, of which there are less than 2^64.
fn count(things: usize) -> u64 {
    things as u64
}
