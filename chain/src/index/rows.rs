//! The rows that one block has in the index, as a function of the block and its receipts alone.

use std::collections::BTreeMap;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, Log, TxKind, b256};
use consensus::RecoveredBlock;
use evm_runtime::Receipt;
use storage::{Reader, Stage, StorageError, Table};

/// The first topic of `Transfer(address,address,uint256)`, of ERC-20 and ERC-721 tokens.
pub const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// Of a topic so many bytes stand in a key. Whoever makes two topics equal in them is found out when the log is read.
const TOPIC_BYTES: usize = 16;

/// What an address is in a transaction: flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(pub(crate) u8);

impl Roles {
    /// It sent it.
    pub const SENDER: Self = Self(1);
    /// It got it.
    pub const RECIPIENT: Self = Self(2);
    /// It was created by it.
    pub const CREATED: Self = Self(4);
    /// A token transfer went out from it.
    pub const TOKEN_FROM: Self = Self(8);
    /// A token transfer came in to it.
    pub const TOKEN_TO: Self = Self(16);
    /// It emitted a log in it.
    pub const EMITTER: Self = Self(32);

    /// Tells whether all of `others` are among the roles.
    pub fn contain(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Returns the roles by name.
    pub fn names(self) -> Vec<&'static str> {
        let all = [
            (Self::SENDER, "sender"),
            (Self::RECIPIENT, "recipient"),
            (Self::CREATED, "created"),
            (Self::TOKEN_FROM, "tokenFrom"),
            (Self::TOKEN_TO, "tokenTo"),
            (Self::EMITTER, "emitter"),
        ];
        all.into_iter().filter(|(role, _)| self.contain(*role)).map(|(_, name)| name).collect()
    }
}

/// The rows of one block.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Rows of `AddressIndex`: address and transaction ⇒ roles.
    addresses: BTreeMap<[u8; 32], Roles>,
    /// Rows of `EventIndex`: scope and log ⇒ transaction and place in it.
    events: Vec<(Vec<u8>, [u8; 8])>,
}

impl Rows {
    pub(crate) fn put(self, stage: &mut Stage) {
        for (key, roles) in self.addresses {
            stage.put(Table::AddressIndex, key, [roles.0]);
        }
        for (key, value) in self.events {
            stage.put(Table::EventIndex, key, value);
        }
    }

    pub(crate) fn delete(self, stage: &mut Stage) {
        for (key, _) in self.addresses {
            stage.delete(Table::AddressIndex, key);
        }
        for (key, _) in self.events {
            stage.delete(Table::EventIndex, key);
        }
    }

    /// Returns how many rows there are in both tables.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let count = |length| u64::try_from(length).unwrap_or(u64::MAX);
        (count(self.addresses.len()), count(self.events.len()))
    }

    /// Returns how many of the rows are not as they should be in `reader`.
    pub(crate) fn missing(&self, reader: &dyn Reader) -> Result<u64, StorageError> {
        let mut missing = 0;
        for (key, roles) in &self.addresses {
            missing += u64::from(reader.get(Table::AddressIndex, key)?.as_deref() != Some(&[roles.0][..]));
        }
        for (key, value) in &self.events {
            missing += u64::from(reader.get(Table::EventIndex, key)?.as_deref() != Some(&value[..]));
        }
        Ok(missing)
    }
}

/// Returns the rows of a block.
pub(crate) fn rows_of(block: &RecoveredBlock, receipts: &[Receipt]) -> Rows {
    let mut rows = Rows::default();
    let number = block.number();
    let mut log_index = 0_u32;
    for (index, (tx, receipt)) in (0_u32..).zip(block.transactions.iter().zip(receipts)) {
        let mut note = |address: Address, role: Roles| {
            let roles = rows.addresses.entry(address_key(address, number, index)).or_default();
            roles.0 |= role.0;
        };
        note(tx.sender(), Roles::SENDER);
        match tx.kind() {
            TxKind::Call(to) => note(to, Roles::RECIPIENT),
            TxKind::Create if receipt.status() => note(tx.sender().create(tx.nonce()), Roles::CREATED),
            TxKind::Create => {}
        }
        for (place, log) in (0_u32..).zip(receipt.logs()) {
            note(log.address, Roles::EMITTER);
            let (from, to) = holders(log);
            from.into_iter().for_each(|from| note(from, Roles::TOKEN_FROM));
            to.into_iter().for_each(|to| note(to, Roles::TOKEN_TO));
            let mut value = [0; 8];
            value[..4].copy_from_slice(&index.to_be_bytes());
            value[4..].copy_from_slice(&place.to_be_bytes());
            for scope in scopes(log, from, to) {
                rows.events.push((event_key(&scope, number, log_index), value));
            }
            log_index = log_index.saturating_add(1);
        }
    }
    rows
}

fn scopes(log: &Log, from: Option<Address>, to: Option<Address>) -> Vec<Vec<u8>> {
    let mut scopes = vec![emitter(log.address)];
    if let Some(first) = log.topics().first() {
        scopes.extend([topic(*first), emitter_and_topic(log.address, *first)]);
    }
    scopes.extend(from.map(holder));
    scopes.extend(to.filter(|to| Some(*to) != from).map(holder));
    scopes
}

/// Returns between whom a token was transferred. The zero address stands for tokens that come into being or cease to be.
fn holders(log: &Log) -> (Option<Address>, Option<Address>) {
    let topics = log.topics();
    // ERC-20 has the amount in the data, ERC-721 the token in a fourth topic.
    let is_transfer =
        topics.first() == Some(&TRANSFER) && matches!((topics.len(), log.data.data.len()), (3, 32) | (4, 0));
    let address = |topic: &B256| {
        let (padding, address) = topic.split_at(12);
        (padding.iter().all(|byte| *byte == 0) && address.iter().any(|byte| *byte != 0))
            .then(|| Address::from_slice(address))
    };
    if is_transfer { (address(&topics[1]), address(&topics[2])) } else { (None, None) }
}

/// Returns the key of an address in a transaction.
pub(super) fn address_key(address: Address, number: u64, index: u32) -> [u8; 32] {
    let mut key = [0; 32];
    key[..20].copy_from_slice(address.as_slice());
    key[20..28].copy_from_slice(&number.to_be_bytes());
    key[28..].copy_from_slice(&index.to_be_bytes());
    key
}

/// Returns the key of a log in a scope.
pub(super) fn event_key(scope: &[u8], number: u64, log_index: u32) -> Vec<u8> {
    [scope, &number.to_be_bytes(), &log_index.to_be_bytes()].concat()
}

/// All logs of a contract.
pub(super) fn emitter(address: Address) -> Vec<u8> {
    [&[1], &address[..]].concat()
}

/// All logs with this first topic.
pub(super) fn topic(first: B256) -> Vec<u8> {
    [&[2], &first[..TOPIC_BYTES]].concat()
}

/// All logs of a contract with this first topic.
pub(super) fn emitter_and_topic(address: Address, first: B256) -> Vec<u8> {
    [&[3], &address[..], &first[..TOPIC_BYTES]].concat()
}

/// All token transfers from and to an address.
pub(super) fn holder(address: Address) -> Vec<u8> {
    [&[4], &address[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Bytes, keccak256};

    #[test]
    fn the_topic_is_that_of_the_standards() {
        assert_eq!(TRANSFER, keccak256("Transfer(address,address,uint256)"));
    }

    #[test]
    fn only_transfers_as_the_standards_have_them_name_holders() {
        let word = |byte: u8| Address::repeat_byte(byte).into_word();
        let log =
            |topics: Vec<B256>, bytes: usize| Log::new_unchecked(Address::ZERO, topics, Bytes::from(vec![1; bytes]));
        let some = |byte: u8| Some(Address::repeat_byte(byte));
        for (log, expected) in [
            (log(vec![TRANSFER, word(1), word(2)], 32), (some(1), some(2))),
            (log(vec![TRANSFER, word(1), word(2), word(3)], 0), (some(1), some(2))),
            (log(vec![TRANSFER, B256::ZERO, word(2)], 32), (None, some(2))),
            (log(vec![TRANSFER, word(1), B256::ZERO], 32), (some(1), None)),
            (log(vec![TRANSFER, B256::repeat_byte(1), word(2)], 32), (None, some(2))),
            (log(vec![TRANSFER, word(1), word(2)], 31), (None, None)),
            (log(vec![TRANSFER, word(1)], 64), (None, None)),
            (log(vec![B256::ZERO, word(1), word(2)], 32), (None, None)),
            (log(vec![], 32), (None, None)),
        ] {
            assert_eq!(holders(&log), expected, "{log:?}");
        }
    }

    #[test]
    fn roles_have_names() {
        let roles = Roles(Roles::SENDER.0 | Roles::EMITTER.0);
        assert_eq!(roles.names(), ["sender", "emitter"]);
        assert!(roles.contain(Roles::SENDER) && !roles.contain(Roles::CREATED));
    }
}
