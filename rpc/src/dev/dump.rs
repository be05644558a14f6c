//! The whole state in one text, to be set again on another development chain.
//!
//! The text is hexadecimal, of compressed JSON as Anvil writes it. Accounts and slots stand under the hashes of their keys, which is
//! how they are stored; a dump of Anvil's, where they stand under the keys themselves, can be loaded too.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use evm_runtime::StateView;
use evm_runtime::state::AccountAmendment;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use super::dev;
use super::state::amend;
use crate::api::Api;
use crate::deadline::Deadline;
use crate::debug::state::read_error;
use crate::errors::RpcError;
use crate::params::{Call, Data, Quantity, parse_slot};

/// The most accounts of a dump.
const ACCOUNTS_MAX: usize = 1_000_000;
/// The most bytes of a dump that is loaded, unpacked.
const BYTES_MAX: u64 = 512 << 20;

#[derive(Serialize, Deserialize)]
struct Dump {
    /// Only in our own.
    #[serde(default)]
    hashed: bool,
    accounts: BTreeMap<String, DumpedAccount>,
}

#[derive(Serialize, Deserialize)]
struct DumpedAccount {
    nonce: DumpedNonce,
    balance: U256,
    code: Bytes,
    #[serde(default)]
    storage: BTreeMap<String, String>,
}

/// A number, in Anvil's dumps a JSON number.
struct DumpedNonce(u64);

impl Serialize for DumpedNonce {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for DumpedNonce {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Quantity::deserialize(deserializer).map(|Quantity(nonce)| Self(nonce))
    }
}

pub(crate) fn dump_state(api: &Arc<Api>, _: &mut Call<'_>) -> Result<Bytes, RpcError> {
    let _ = dev(api)?;
    let deadline = api.deadline(api.limits.trace_timeout);
    let state = api.view().head_state();
    let page = state.accounts_from(B256::ZERO, ACCOUNTS_MAX, deadline.flag()).map_err(|error| read_error(&error))?;
    if page.next.is_some() {
        return Err(RpcError::server(format!(
            "the state has more than {ACCOUNTS_MAX} accounts: make a backup instead"
        )));
    }
    let mut accounts = BTreeMap::new();
    for (key, account) in page.entries {
        let code = state.code_of(account.code_hash)?.unwrap_or_default();
        let storage = dump_storage(&state, key, &deadline)?;
        let (nonce, balance) = (DumpedNonce(account.nonce), account.balance);
        accounts.insert(key.to_string(), DumpedAccount { nonce, balance, code, storage });
    }
    pack(&Dump { hashed: true, accounts })
}

fn dump_storage(state: &StateView, key: B256, deadline: &Deadline) -> Result<BTreeMap<String, String>, RpcError> {
    let all = state.slots_from(key, B256::ZERO, usize::MAX, deadline.flag()).map_err(|error| read_error(&error))?;
    Ok(all.entries.into_iter().map(|(slot, value)| (slot.to_string(), B256::from(value).to_string())).collect())
}

fn pack(dump: &Dump) -> Result<Bytes, RpcError> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = serde_json::to_writer(&mut packer, dump).map_err(std::io::Error::other);
    let packed = packed.and_then(|()| packer.flush()).and_then(|()| packer.finish());
    packed.map(Bytes::from).map_err(|error| {
        tracing::error!(%error, "a dump cannot be packed");
        RpcError::internal()
    })
}

/// Sets all accounts of a dump; others stay as they are.
pub(crate) fn load_state(api: &Arc<Api>, call: &mut Call<'_>) -> Result<bool, RpcError> {
    let dump = unpack(&call.required::<Data>()?).map_err(|problem| RpcError::invalid_argument(0, problem))?;
    let hashed = dump.hashed;
    let accounts = dump.accounts.into_iter().map(|(key, account)| account_of(hashed, &key, account));
    amend(api, accounts.collect::<Result<_, _>>().map_err(|problem| RpcError::invalid_argument(0, problem))?)?;
    Ok(true)
}

fn unpack(bytes: &[u8]) -> Result<Dump, String> {
    let mut plain = Vec::new();
    let mut unpacker = GzDecoder::new(bytes).take(BYTES_MAX + 1);
    unpacker.read_to_end(&mut plain).map_err(|error| format!("not a dump: {error}"))?;
    if u64::try_from(plain.len()).unwrap_or(u64::MAX) > BYTES_MAX {
        return Err(format!("the dump has more than {BYTES_MAX} bytes"));
    }
    serde_json::from_slice(&plain).map_err(|error| format!("not a dump: {error}"))
}

fn account_of(hashed: bool, key: &str, account: DumpedAccount) -> Result<AccountAmendment, String> {
    let unreadable = |text: &str| format!("not a dump: unreadable key {text}");
    let address_hash = match hashed {
        true => key.parse::<B256>().map_err(|_| unreadable(key))?,
        false => keccak256(key.parse::<Address>().map_err(|_| unreadable(key))?),
    };
    let slots = account.storage.iter().map(|(slot, value)| {
        let word = B256::from(parse_slot(slot).map_err(|_| unreadable(slot))?);
        let value = parse_slot(value).map_err(|_| unreadable(value))?;
        Ok::<_, String>((if hashed { word } else { keccak256(word) }, value))
    });
    Ok(AccountAmendment {
        address_hash,
        balance: Some(account.balance),
        nonce: Some(account.nonce.0),
        code: Some(account.code),
        clears_storage: true,
        slots: slots.collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::hex;

    use super::*;

    #[test]
    fn both_kinds_of_dumps_name_the_same_account() {
        let account = r#"{"nonce": 5, "balance": "0x7", "code": "0x00", "storage": {"0x1": "0x02"}}"#;
        let read =
            |hashed: bool, key: String| account_of(hashed, &key, serde_json::from_str(account).unwrap()).unwrap();
        let address = Address::repeat_byte(0xb0);
        let (plain, hashed) = (read(false, address.to_string()), read(true, keccak256(address).to_string()));
        assert_eq!(plain.address_hash, hashed.address_hash);
        assert_eq!((plain.nonce, plain.balance), (Some(5), Some(U256::from(7))));
        let slot = B256::with_last_byte(1);
        assert_eq!(plain.slots, BTreeMap::from([(keccak256(slot), U256::from(2))]));
        assert_eq!(hashed.slots, BTreeMap::from([(slot, U256::from(2))]));
    }

    #[test]
    fn what_is_no_dump_is_refused() {
        let mut half = pack(&Dump { hashed: true, accounts: BTreeMap::new() }).unwrap().to_vec();
        assert!(unpack(&half).unwrap().hashed);
        half.truncate(half.len() / 2);
        for bytes in [&b""[..], b"{}", &half, &hex!("1f8b08")] {
            assert!(unpack(bytes).is_err(), "{bytes:?}");
        }
    }
}
