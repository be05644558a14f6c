//! The ERC-20 token that is transferred, from the checked-in artifact.

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex, keccak256};
use serde::Deserialize;

use crate::Failure;
use crate::accounts::Order;

const ARTIFACT: &str = include_str!("../../contracts/artifacts/Token.json");

/// The gas limit of a transfer: an empty slot of the recipient is filled for less.
pub const TRANSFER_GAS: u64 = 80_000;

/// Holds the token's code.
#[derive(Clone, Debug)]
pub struct TokenCode {
    /// What a creation runs, before the constructor's argument.
    pub creation: Bytes,
    /// What stands in the account; the total supply in it is zero.
    pub deployed: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    bytecode: String,
    deployed_bytecode: String,
}

impl TokenCode {
    /// Reads the artifact.
    ///
    /// # Errors
    /// It is not what the compiler writes.
    pub fn read() -> Result<Self, Failure> {
        let artifact: Artifact = serde_json::from_str(ARTIFACT)?;
        Ok(Self {
            creation: hex::decode(artifact.bytecode)?.into(),
            deployed: hex::decode(artifact.deployed_bytecode)?.into(),
        })
    }

    /// Orders a creation that gives `supply` tokens to the sender.
    pub fn creation_order(&self, supply: U256) -> Order {
        let input = [self.creation.as_ref(), &supply.to_be_bytes::<32>()].concat();
        Order { to: TxKind::Create, value: U256::ZERO, input: input.into(), gas_limit: 1_000_000 }
    }
}

/// Orders a transfer of `amount` tokens to `to`.
pub fn transfer_order(token: Address, to: Address, amount: u64) -> Order {
    Order {
        to: TxKind::Call(token),
        value: U256::ZERO,
        input: call_data(b"transfer(address,uint256)", to, U256::from(amount)),
        gas_limit: TRANSFER_GAS,
    }
}

/// Returns the slot that holds the tokens of `holder`: entry of the mapping in slot 0.
pub fn balance_slot(holder: Address) -> B256 {
    let mut key = [0; 64];
    key[12..32].copy_from_slice(holder.as_slice());
    keccak256(key)
}

fn call_data(signature: &[u8], address: Address, amount: U256) -> Bytes {
    let selector = &keccak256(signature)[..4];
    [selector, address.into_word().as_slice(), &amount.to_be_bytes::<32>()].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_data_is_the_standards_selector_and_two_words() {
        let order = transfer_order(Address::ZERO, Address::repeat_byte(0x11), 5);
        assert_eq!(order.input[..4], hex::decode("a9059cbb").unwrap()[..]);
        assert_eq!((order.input.len(), order.input[16], order.input[67]), (68, 0x11, 5));
    }

    #[test]
    fn the_artifact_is_read() {
        let code = TokenCode::read().unwrap();
        assert!(code.creation.len() > code.deployed.len());
    }
}
