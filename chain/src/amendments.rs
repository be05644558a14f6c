//! Changes of the state by hand, on a development chain: what was set after a block and is in no block.
//!
//! The state at the head is then another one than the head's header says. The rows here say what was set, in order, and to which
//! state root each change led, so that opening and checking the database expect that root, the next block is executed on it, undoing
//! its block takes the changes away with it, and connecting the block again sets them again. Other nodes know nothing of it: they
//! refuse the next block.

use alloy_primitives::{B256, Bytes, U256};
use evm_runtime::state::{self, AccountAmendment};
use storage::{Reader, Stage, StorageError, Table};

use crate::import::ImportError;
use crate::records::meta;

/// Holds one change: the accounts that were set together, and the state root after it.
struct Amendment {
    root: B256,
    accounts: Vec<AccountAmendment>,
}

/// Returns the key under which the changes after a block stand: name ‖ number ‖ hash, and then 4 bytes of index.
fn prefix(number: u64, hash: B256) -> Vec<u8> {
    [meta::AMENDMENT, &number.to_be_bytes(), hash.as_slice()].concat()
}

fn key(number: u64, hash: B256, index: u32) -> Vec<u8> {
    [&prefix(number, hash)[..], &index.to_be_bytes()].concat()
}

fn bad_row(problem: impl std::fmt::Display) -> StorageError {
    StorageError::Row { table: Table::Meta, problem: format!("a change by hand: {problem}") }
}

/// Returns the changes after a block, in order.
fn read(reader: &dyn Reader, number: u64, hash: B256) -> Result<Vec<Amendment>, StorageError> {
    // On every chain but a development chain this one look suffices.
    if reader.get(Table::Meta, meta::AMENDED)?.is_none() {
        return Ok(Vec::new());
    }
    let prefix = prefix(number, hash);
    let rows = reader.iterate_prefix(Table::Meta, &prefix);
    rows.map(|entry| Amendment::decode(&entry?.1).map_err(bad_row)).collect()
}

/// Returns the state root after a block and the changes by hand that followed it; `None` where there were none.
pub(crate) fn root(reader: &dyn Reader, number: u64, hash: B256) -> Result<Option<B256>, StorageError> {
    Ok(read(reader, number, hash)?.last().map(|amendment| amendment.root))
}

/// Returns how many changes by hand followed a block.
pub(crate) fn count(reader: &dyn Reader, number: u64, hash: B256) -> Result<u32, StorageError> {
    Ok(u32::try_from(read(reader, number, hash)?.len()).unwrap_or(u32::MAX))
}

/// Changes the state after the stage's head and notes the change; returns the state root.
pub(crate) fn add(
    stage: &mut Stage,
    number: u64,
    hash: B256,
    accounts: Vec<AccountAmendment>,
) -> Result<B256, ImportError> {
    let index = count(stage, number, hash)?;
    let root = state::amend(stage, number, &accounts)?;
    stage.put(Table::Meta, meta::AMENDED, [1]);
    stage.put(Table::Meta, key(number, hash, index), Amendment { root, accounts }.encode());
    Ok(root)
}

/// Forgets the changes after a block but the first `kept`; the state is the caller's business.
pub(crate) fn forget(stage: &mut Stage, number: u64, hash: B256, kept: u32) -> Result<(), StorageError> {
    for index in kept..count(stage, number, hash)? {
        stage.delete(Table::Meta, key(number, hash, index));
    }
    Ok(())
}

/// Changes the state after the stage's head, which was just connected, as it was changed when the block was the head before.
pub(crate) fn repeat(stage: &mut Stage, number: u64, hash: B256) -> Result<(), ImportError> {
    for Amendment { root, accounts } in read(stage, number, hash)? {
        let actual = state::amend(stage, number, &accounts)?;
        if actual != root {
            let problem = format!("changes by hand after block {number}: state root {actual}, not {root}");
            return Err(ImportError::Corrupt(problem));
        }
    }
    Ok(())
}

impl Amendment {
    /// Encodes root and accounts; a field that was not set is an empty list.
    fn encode(&self) -> Vec<u8> {
        let mut stream = rlp::RlpStream::new_list(2);
        stream.append(&self.root.as_slice()).begin_list(self.accounts.len());
        for account in &self.accounts {
            stream.begin_list(6).append(&account.address_hash.as_slice());
            append_optional(&mut stream, account.balance.map(|balance| balance.to_be_bytes_trimmed_vec()));
            append_optional(&mut stream, account.nonce.map(|nonce| nonce.to_be_bytes().to_vec()));
            append_optional(&mut stream, account.code.as_ref().map(|code| code.to_vec()));
            stream.append(&u8::from(account.clears_storage)).begin_list(account.slots.len());
            for (slot, value) in &account.slots {
                stream.begin_list(2).append(&slot.as_slice()).append(&value.to_be_bytes_trimmed_vec());
            }
        }
        stream.out().to_vec()
    }

    fn decode(row: &[u8]) -> Result<Self, String> {
        let list = rlp::Rlp::new(row);
        let text = |error: rlp::DecoderError| error.to_string();
        let accounts = list.at(1).map_err(text)?;
        let accounts = accounts.iter().map(|item| decode_account(&item)).collect::<Result<_, _>>()?;
        Ok(Self { root: decode_hash(&list.at(0).map_err(text)?)?, accounts })
    }
}

fn append_optional(stream: &mut rlp::RlpStream, value: Option<Vec<u8>>) {
    match value {
        Some(value) => stream.begin_list(1).append(&value),
        None => stream.begin_list(0),
    };
}

fn decode_account(item: &rlp::Rlp<'_>) -> Result<AccountAmendment, String> {
    let text = |error: rlp::DecoderError| error.to_string();
    let optional = |index: usize| -> Result<Option<Vec<u8>>, String> {
        let list = item.at(index).map_err(text)?;
        list.iter().next().map(|value| value.as_val::<Vec<u8>>().map_err(text)).transpose()
    };
    let nonce = optional(2)?.map(|bytes| <[u8; 8]>::try_from(&bytes[..]).map(u64::from_be_bytes));
    let slots = item.at(5).map_err(text)?;
    let slots = slots.iter().map(|pair| {
        let value = pair.val_at::<Vec<u8>>(1).map_err(text)?;
        Ok::<_, String>((decode_hash(&pair.at(0).map_err(text)?)?, decode_word(&value)?))
    });
    Ok(AccountAmendment {
        address_hash: decode_hash(&item.at(0).map_err(text)?)?,
        balance: optional(1)?.map(|bytes| decode_word(&bytes)).transpose()?,
        nonce: nonce.transpose().map_err(|_| "a nonce is not 8 bytes")?,
        code: optional(3)?.map(Bytes::from),
        clears_storage: item.val_at::<u8>(4).map_err(text)? != 0,
        slots: slots.collect::<Result<_, _>>()?,
    })
}

fn decode_hash(item: &rlp::Rlp<'_>) -> Result<B256, String> {
    let bytes = item.data().map_err(|error| error.to_string())?;
    B256::try_from(bytes).map_err(|_| "a hash is not 32 bytes".to_owned())
}

fn decode_word(bytes: &[u8]) -> Result<U256, String> {
    U256::try_from_be_slice(bytes).ok_or_else(|| "a value over 32 bytes".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn changes_come_back(
            root: [u8; 32], hash: [u8; 32], balance: Option<[u8; 32]>, nonce: Option<u64>, code: Option<Vec<u8>>,
            clears_storage: bool, slots in prop::collection::btree_map(any::<[u8; 32]>(), any::<[u8; 32]>(), 0..5),
        ) {
            let account = AccountAmendment {
                address_hash: hash.into(),
                balance: balance.map(U256::from_be_bytes),
                nonce,
                code: code.map(Bytes::from),
                clears_storage,
                slots: slots.into_iter().map(|(slot, value)| (slot.into(), U256::from_be_bytes(value))).collect(),
            };
            let amendment = Amendment { root: root.into(), accounts: vec![account; 2] };
            let decoded = Amendment::decode(&amendment.encode()).unwrap();
            prop_assert_eq!((decoded.root, decoded.accounts), (amendment.root, amendment.accounts));
        }

        #[test]
        fn any_bytes_are_a_change_or_refused(bytes: Vec<u8>) {
            let _ = Amendment::decode(&bytes);
        }
    }
}
