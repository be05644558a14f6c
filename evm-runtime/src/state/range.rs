//! Walking a state in the order of its keys, at the head or at an earlier block: what a state snapshot is cut from.

use alloy_primitives::{B256, Bytes, U256};
use alloy_trie::TrieAccount;
use storage::Table;

use super::{StateError, StateSource, StateView};

impl StateView {
    /// Returns up to `rows_max` accounts from keccak256 of an address on, ascending, and whether they are the last ones.
    ///
    /// # Errors
    /// The store failed or a row does not decode.
    pub fn accounts_from(&self, from: B256, rows_max: usize) -> Result<(Vec<(B256, TrieAccount)>, bool), StateError> {
        let mut found = Vec::new();
        let mut at = Some(from.to_vec());
        while let Some(from) = at {
            let Some(key) = self.next_key(Table::Accounts, Table::AccountHistory, &from)? else {
                return Ok((found, true));
            };
            let hash = B256::from_slice(&key);
            if let Some(account) = self.account_by_hash(hash)? {
                if found.len() == rows_max {
                    return Ok((found, false));
                }
                found.push((hash, account));
            }
            at = after(key);
        }
        Ok((found, true))
    }

    /// Returns up to `rows_max` slots of an account from keccak256 of a slot's number on, ascending, and whether they are the last
    /// ones. `account` is keccak256 of its address.
    ///
    /// # Errors
    /// The store failed or a row does not decode.
    pub fn slots_from(
        &self,
        account: B256,
        from: B256,
        rows_max: usize,
    ) -> Result<(Vec<(B256, U256)>, bool), StateError> {
        let mut found = Vec::new();
        let mut at = Some([account.as_slice(), from.as_slice()].concat());
        while let Some(from) = at {
            let key = self.next_key(Table::Slots, Table::SlotHistory, &from)?;
            let Some(key) = key.filter(|key| key.starts_with(account.as_slice())) else { return Ok((found, true)) };
            let hash = B256::from_slice(&key[32..]);
            let value = self.slot_by_hash(account, hash)?;
            if !value.is_zero() {
                if found.len() == rows_max {
                    return Ok((found, false));
                }
                found.push((hash, value));
            }
            at = after(key);
        }
        Ok((found, true))
    }

    /// Returns the code under a hash, `None` where there is none.
    ///
    /// # Errors
    /// The store failed.
    pub fn code_of(&self, code_hash: B256) -> Result<Option<Bytes>, StateError> {
        Ok(self.snapshot.get(Table::Code, code_hash.as_slice())?.map(Bytes::from))
    }

    /// Returns the first key from `from` on that the head's state has or that a block has changed: whoever had a value at an earlier
    /// block is among them.
    fn next_key(&self, table: Table, history: Table, from: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let now = self.snapshot.seek(table, from)?.map(|(key, _)| key);
        if self.number.is_none() {
            return Ok(now);
        }
        let past = self.snapshot.seek(history, from)?.map(|(mut key, _)| {
            key.truncate(from.len());
            key
        });
        Ok(match (now, past) {
            (Some(now), Some(past)) => Some(now.min(past)),
            (now, past) => now.or(past),
        })
    }
}

/// Returns the key that follows `key` among those of its length; `None` after the last one.
fn after(mut key: Vec<u8>) -> Option<Vec<u8>> {
    for byte in key.iter_mut().rev() {
        let (next, overflows) = byte.overflowing_add(1);
        *byte = next;
        if !overflows {
            return Some(key);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::after;

    #[test]
    fn keys_follow_one_another() {
        for (key, next) in [(vec![0, 0], Some(vec![0, 1])), (vec![0, 255], Some(vec![1, 0])), (vec![255, 255], None)] {
            assert_eq!(after(key), next);
        }
    }
}
