//! The chain of the simulation: difficulty 1, so that a seal costs nothing, a few funded users, and the miners' keys.

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, TxKind, U256};
use consensus::crypto::{self, SecretKey};
use consensus::{Genesis, RecoveredTransaction};

/// How many users send transactions.
pub(crate) const USERS: u8 = 4;
/// The clock at the beginning of every simulation, in milliseconds since 1970.
pub(crate) const START_MS: u64 = 1_800_000_000_000;

/// The key of a node's miner.
pub(crate) fn miner_key(node: usize) -> SecretKey {
    crypto::secret_key([0x40 + node as u8; 32]).unwrap()
}

fn user_key(user: u8) -> SecretKey {
    crypto::secret_key([user + 1; 32]).unwrap()
}

/// Returns the chain whose listed miners are `miners` (none: anyone may mine).
pub(crate) fn genesis(miners: &[usize], finality_depth: u64) -> Genesis {
    let quote = |address: Address| format!("\"{address}\"");
    let miners: Vec<_> = miners.iter().map(|node| quote(crypto::address_of(&miner_key(*node)))).collect();
    let users: Vec<_> = (0..USERS)
        .map(|user| format!("{}: {{\"balance\": \"0x56bc75e2d63100000\"}}", quote(crypto::address_of(&user_key(user)))))
        .collect();
    let file = format!(
        r#"{{"config": {{"chainId": 7, "pow": {{"difficulty": {{"fixed": 1}}, "block_reward": "5", "safe_depth": 2,
            "finality_depth": {finality_depth}, "authorized_miners": [{}]}}}},
            "gasLimit": "0x1c9c380", "difficulty": "0x1", "alloc": {{{}}}}}"#,
        miners.join(", "),
        users.join(", ")
    );
    Genesis::parse(&file).unwrap().0
}

/// Signs a user's next transaction.
pub(crate) fn transaction(user: u8, nonce: u64) -> RecoveredTransaction {
    let tx = TxEip1559 {
        chain_id: 7,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::repeat_byte(0x77)),
        value: U256::from(1),
        access_list: Default::default(),
        input: Default::default(),
    };
    let signature = crypto::sign(&user_key(user), tx.signature_hash());
    RecoveredTransaction::recover(tx.into_signed(signature).into()).unwrap()
}
