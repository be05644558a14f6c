//! What Ethash blocks paid: the static reward, the part for including ommers, and the ommers' own (Yellow Paper 11.3).

use alloy_primitives::{Address, U256};

use crate::block::Header;
use crate::spec::Fork;

/// One ether in wei.
const ETHER: u64 = 1_000_000_000_000_000_000;
/// An ommer's miner is paid an eighth of the reward less for each block of depth.
const OMMER_PARTS: u64 = 8;
/// A block's miner is paid this part of the reward for each ommer.
const NEPHEW_DIVISOR: u64 = 32;

/// Returns the reward of a block in wei: 5 ether, 3 since Byzantium (EIP-649), 2 since Constantinople (EIP-1234).
pub fn block_reward(fork: Fork) -> U256 {
    let ether = match fork {
        fork if fork >= Fork::Constantinople => 2,
        Fork::Byzantium => 3,
        _ => 5,
    };
    U256::from(ether * ETHER)
}

/// Returns who is paid how many wei for a block under Ethash: its own miner last, after each ommer's.
pub fn payments(fork: Fork, header: &Header, ommers: &[Header]) -> Vec<(Address, U256)> {
    let reward = block_reward(fork);
    let mut own = reward;
    let mut payments = Vec::with_capacity(ommers.len() + 1);
    for ommer in ommers {
        let depth = header.number.saturating_sub(ommer.number);
        let parts = OMMER_PARTS.saturating_sub(depth);
        payments.push((ommer.beneficiary, reward * U256::from(parts) / U256::from(OMMER_PARTS)));
        own += reward / U256::from(NEPHEW_DIVISOR);
    }
    payments.push((header.beneficiary, own));
    payments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewards_fall_with_the_forks() {
        for (fork, ether) in [
            (Fork::Frontier, 5),
            (Fork::SpuriousDragon, 5),
            (Fork::Byzantium, 3),
            (Fork::Constantinople, 2),
            (Fork::Petersburg, 2),
            (Fork::GrayGlacier, 2),
        ] {
            assert_eq!(block_reward(fork), U256::from(ether * ETHER), "{fork:?}");
        }
    }

    #[test]
    fn ommers_are_paid_by_depth_and_their_nephew_a_32nd() {
        let header = Header { number: 10, beneficiary: Address::repeat_byte(1), ..Header::default() };
        let ommer = |number, byte| Header { number, beneficiary: Address::repeat_byte(byte), ..Header::default() };
        let paid = payments(Fork::Frontier, &header, &[ommer(9, 2), ommer(4, 3)]);
        let expected = [
            (Address::repeat_byte(2), U256::from(5 * ETHER / 8 * 7)),
            (Address::repeat_byte(3), U256::from(5 * ETHER / 8 * 2)),
            (Address::repeat_byte(1), U256::from(5 * ETHER + 2 * (5 * ETHER / 32))),
        ];
        assert_eq!(paid, expected);
    }
}
