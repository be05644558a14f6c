//! The prestate tracer's answer as geth gives it: with the hash of each account's code, empty code where it went away, and without
//! accounts that had nothing.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY};
use alloy_rpc_types_trace::geth::{AccountState, DiffMode, GethTrace, PreStateFrame, PreStateMode};
use revm::DatabaseRef;
use revm::context_interface::result::ResultAndState;
use serde::Serialize;
use serde_json::{Value, json};

/// An account as geth shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(flatten)]
    account: AccountState,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_hash: Option<B256>,
}

type Accounts = BTreeMap<Address, AccountState>;

/// What a transaction did, and the state before it.
pub(super) struct Change<'a, DB> {
    pub(super) result: &'a ResultAndState,
    pub(super) before: &'a DB,
}

impl<DB: DatabaseRef> Change<'_, DB> {
    /// Completes the answer to a request with these options.
    ///
    /// # Errors
    /// The store failed.
    pub(super) fn complete(&self, frame: PreStateFrame, options: &Value) -> Result<GethTrace, DB::Error> {
        let (with_code, with_storage) = (options["disableCode"] != true, options["disableStorage"] != true);
        let completed = match frame {
            PreStateFrame::Default(PreStateMode(accounts)) => self.shown_before(accounts)?,
            PreStateFrame::Diff(DiffMode { mut pre, post }) => {
                for (address, account) in &mut pre {
                    if with_storage {
                        self.add_destroyed_storage(*address, account);
                    }
                }
                json!({ "pre": self.shown_before(pre)?, "post": self.shown_after(post, with_code)? })
            }
        };
        Ok(GethTrace::JS(completed))
    }

    fn shown_before(&self, accounts: Accounts) -> Result<Value, DB::Error> {
        let mut shown = serde_json::Map::new();
        for (address, account) in accounts {
            let info = self.before.basic_ref(address)?.unwrap_or_default();
            if !info.is_empty() {
                let code_hash = Some(info.code_hash).filter(|_| !info.is_empty_code_hash());
                shown.insert(key(address), value(&Shown { account, code_hash }));
            }
        }
        Ok(Value::Object(shown))
    }

    fn shown_after(&self, accounts: Accounts, with_code: bool) -> Result<Value, DB::Error> {
        let mut shown = serde_json::Map::new();
        for (address, mut account) in accounts {
            let old = self.before.basic_ref(address)?.map_or(KECCAK256_EMPTY, |account| account.code_hash);
            let new = self.result.state.get(&address).map(|account| account.info.code_hash);
            let code_hash = new.filter(|new| *new != old);
            if with_code && code_hash.is_some() {
                account.code.get_or_insert_with(Bytes::new);
            }
            shown.insert(key(address), value(&Shown { account, code_hash }));
        }
        Ok(Value::Object(shown))
    }

    /// Of an account that is gone all slots count that were looked at, since none of them is left.
    fn add_destroyed_storage(&self, address: Address, account: &mut AccountState) {
        let Some(after) = self.result.state.get(&address).filter(|account| account.is_selfdestructed()) else { return };
        let slot =
            |(slot, value): (&_, &revm::state::EvmStorageSlot)| (B256::from(*slot), B256::from(value.original_value));
        account.storage.extend(after.storage.iter().map(slot));
    }
}

fn key(address: Address) -> String {
    // Lower case, as all of geth's.
    format!("{address:?}")
}

fn value(shown: &Shown) -> Value {
    serde_json::to_value(shown).expect("numbers, bytes and maps with text keys are JSON")
}
