//! The chain of the simulation: a difficulty so low that a seal costs next to nothing, a few funded users, and the miners' keys.

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, TxKind, U256};
use chain::ChainView;
use consensus::crypto::{self, SecretKey};
use consensus::{Genesis, RecoveredTransaction, difficulty};

use crate::plan::{BLOCK_US, Plan};

/// How many users send transactions.
pub(crate) const USERS: u8 = 4;
/// The clock at the beginning of every simulation, in milliseconds since 1970.
pub(crate) const START_MS: u64 = 1_800_000_000_000;

/// The difficulty that a chain begins with where it moves: enough for a few parts of it, cheap enough to be sealed in no time.
const FIRST_DIFFICULTY: u64 = 64;

/// The key of a node's miner.
pub(crate) fn miner_key(node: usize) -> SecretKey {
    crypto::secret_key([0x40 + node as u8; 32]).unwrap()
}

fn user_key(user: u8) -> SecretKey {
    crypto::secret_key([user + 1; 32]).unwrap()
}

/// Returns the chain whose listed miners are `miners` (none: anyone may mine).
pub(crate) fn genesis(miners: &[usize], plan: &Plan) -> Genesis {
    let quote = |address: Address| format!("\"{address}\"");
    let miners: Vec<_> = miners.iter().map(|node| quote(crypto::address_of(&miner_key(*node)))).collect();
    let users: Vec<_> = (0..USERS)
        .map(|user| format!("{}: {{\"balance\": \"0x56bc75e2d63100000\"}}", quote(crypto::address_of(&user_key(user)))))
        .collect();
    let target_ms = BLOCK_US / 1000;
    let (first, rule) = match plan.half_life_blocks {
        None => (1, r#""fixed": 1"#.to_owned()),
        Some(blocks) => (
            FIRST_DIFFICULTY,
            format!(
                r#""target_ms": {target_ms}, "half_life_blocks": {blocks}, "min": 1, "max": {}"#,
                FIRST_DIFFICULTY * 16
            ),
        ),
    };
    let file = format!(
        r#"{{"config": {{"chainId": 7, "pow": {{"difficulty": {{{rule}}}, "block_reward": "5", "safe_depth": 2,
            "finality_depth": {}, "authorized_miners": [{}]}}}},
            "gasLimit": "0x1c9c380", "difficulty": "{first:#x}", "alloc": {{{}}}}}"#,
        plan.finality_depth,
        miners.join(", "),
        users.join(", ")
    );
    Genesis::parse(&file).unwrap().0
}

/// Returns how much harder the next block on the head is to find than the first one.
pub(crate) fn hardness(view: &ChainView) -> f64 {
    let (spec, head) = (view.spec(), view.head());
    let parent = view.header_by_hash(head.parent_hash).unwrap();
    let next = difficulty::next_sealed_difficulty(spec, head, parent.map(|parent| parent.timestamp));
    let first = view.header_by_number(0).unwrap().unwrap().difficulty;
    f64::from(next) / f64::from(first)
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
