//! The tables, on one screen.

/// Names a table. Numbers in keys are 8 bytes, big-endian, so that key order is number order.
///
/// | table | key ⇒ value |
/// |---|---|
/// | `Meta` | name (text) ⇒ the store's own facts: format version, genesis hash, head, finalized block, history floor, clean stop; on a development chain also `amendment ` ‖ number ‖ hash ‖ index (4 bytes) ⇒ what was set by hand after that block |
/// | `Headers` | number ‖ hash ⇒ header, total difficulty and witness (RLP), canonical and side branches |
/// | `Bodies` | number ‖ hash ⇒ transactions, ommers, withdrawals (RLP) and the senders |
/// | `Receipts` | number ‖ hash ⇒ receipts (RLP), of executed blocks |
/// | `Numbers` | block hash ⇒ number |
/// | `Canonical` | number ⇒ hash |
/// | `Transactions` | transaction hash ⇒ number ‖ index (4 bytes), canonical only |
/// | `Invalid` | block hash ⇒ why it was refused (text) |
/// | `Accounts` | keccak(address) ⇒ account (RLP), at the head |
/// | `Slots` | keccak(address) ‖ keccak(slot) ⇒ value without leading zeros, at the head |
/// | `Code` | code hash ⇒ code |
/// | `AccountTrie` | path (one nibble a byte) ⇒ node (RLP), at the head |
/// | `StorageTries` | keccak(address) ‖ path (one nibble a byte) ⇒ node (RLP), at the head |
/// | `Changes` | number ⇒ keys that the canonical block changed in `Accounts` and `Slots` |
/// | `AccountHistory` | keccak(address) ‖ number ⇒ account before the block (empty: none) |
/// | `SlotHistory` | keccak(address) ‖ keccak(slot) ‖ number ⇒ value before the block (empty: zero) |
/// | `AddressIndex` | address ‖ number ‖ transaction's index (4 bytes) ⇒ what the address is there (1 byte of flags), canonical only |
/// | `EventIndex` | scope (1 byte) ‖ what is indexed ‖ number ‖ log's index in the block (4 bytes) ⇒ transaction's index (4 bytes), canonical only |
///
/// The database of the devices is another one ([`TableSet::Devices`]), with these tables:
///
/// | table | key ⇒ value |
/// |---|---|
/// | `Shadows` | thing ‖ 0 ‖ shadow name (empty: the classic one) ⇒ document, metadata, version (JSON) |
/// | `ShadowChanges` | thing ‖ 0 ‖ shadow name ‖ 0 ‖ version ⇒ the shadow's state as of this version, and when (JSON); the newest ones |
/// | `Sessions` | MQTT client id ⇒ subscriptions and expiry of its session (JSON) |
/// | `Queued` | MQTT client id ‖ 0 ‖ number ⇒ message that waits for the client |
/// | `Retained` | topic ⇒ its retained message |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum Table {
    Meta,
    Headers,
    Bodies,
    Receipts,
    Numbers,
    Canonical,
    Transactions,
    Invalid,
    Accounts,
    Slots,
    Code,
    AccountTrie,
    StorageTries,
    Changes,
    AccountHistory,
    SlotHistory,
    AddressIndex,
    EventIndex,
    Shadows,
    ShadowChanges,
    Sessions,
    Queued,
    Retained,
}

/// Says which tables a database has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TableSet {
    /// Those of the chain.
    #[default]
    Chain,
    /// Those of the devices.
    Devices,
}

impl TableSet {
    /// Returns the tables of the set.
    pub const fn tables(self) -> &'static [Table] {
        match self {
            Self::Chain => &Table::ALL,
            Self::Devices => &Table::DEVICES,
        }
    }
}

impl Table {
    /// How many tables there are in all sets.
    pub(crate) const COUNT: usize = Self::ALL.len() + Self::DEVICES.len();

    /// The tables of the devices, in the order of the enum.
    pub const DEVICES: [Self; 5] = [Self::Shadows, Self::ShadowChanges, Self::Sessions, Self::Queued, Self::Retained];

    /// The tables of the chain, in the order of the enum.
    pub const ALL: [Self; 18] = [
        Self::Meta,
        Self::Headers,
        Self::Bodies,
        Self::Receipts,
        Self::Numbers,
        Self::Canonical,
        Self::Transactions,
        Self::Invalid,
        Self::Accounts,
        Self::Slots,
        Self::Code,
        Self::AccountTrie,
        Self::StorageTries,
        Self::Changes,
        Self::AccountHistory,
        Self::SlotHistory,
        Self::AddressIndex,
        Self::EventIndex,
    ];

    /// Tells whether databases of earlier programs lack the table. It is made when they are opened; where that is forbidden, it reads empty.
    pub(crate) const fn came_later(self) -> bool {
        matches!(self, Self::AddressIndex | Self::EventIndex | Self::ShadowChanges)
    }

    /// Returns the place of the table in the enum.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Returns the name of the column family.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Headers => "headers",
            Self::Bodies => "bodies",
            Self::Receipts => "receipts",
            Self::Numbers => "numbers",
            Self::Canonical => "canonical",
            Self::Transactions => "transactions",
            Self::Invalid => "invalid",
            Self::Accounts => "accounts",
            Self::Slots => "slots",
            Self::Code => "code",
            Self::AccountTrie => "account_trie",
            Self::StorageTries => "storage_tries",
            Self::Changes => "changes",
            Self::AccountHistory => "account_history",
            Self::SlotHistory => "slot_history",
            Self::AddressIndex => "address_index",
            Self::EventIndex => "event_index",
            Self::Shadows => "shadows",
            Self::ShadowChanges => "shadow_changes",
            Self::Sessions => "sessions",
            Self::Queued => "queued",
            Self::Retained => "retained",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_index_is_the_place_in_the_sets() {
        for (place, table) in Table::ALL.into_iter().chain(Table::DEVICES).enumerate() {
            assert_eq!(table.index(), place);
        }
    }

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<_> = Table::ALL.iter().chain(&Table::DEVICES).map(|table| table.name()).collect();
        assert_eq!(names.len(), Table::COUNT);
    }
}
