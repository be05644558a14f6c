//! World state and execution: flat tables, trie and history on a store; revm runs blocks, calls and estimates on them.
//!
//! Nothing here decides which block is canonical: the ledger does, and calls [`state::apply`] and [`state::undo`].

pub mod call;
mod code_cache;
pub mod console;
pub mod environment;
pub mod execute;
pub mod overlay;
pub mod receipt;
pub mod requests;
pub mod simulate;
pub mod state;
pub mod system;
pub mod trace;
pub mod trie;

mod crypto;

pub use alloy_trie::TrieAccount;
pub use call::{AccountOverride, BlockOverrides, CallContext, CallError, CallOutcome, CallRequest, StateOverrides};
pub use crypto::install as install_crypto;
pub use execute::{BlockExecutor, ExecutedBlock, ExecutionError, TransactionRefused};
pub use overlay::{BlockState, StateChanges};
pub use receipt::Receipt;
pub use state::{StateError, StateView};
pub use trace::{GethTracer, TraceContext, TraceError};
