//! Tracing: what a transaction or a call did, in the shapes that geth, Parity and Otterscan made standard.
//!
//! A mined transaction is replayed on the state of its block's parent, after the transactions that stand before it; nothing is
//! ever written. Each run has a switch that ends it and a limit on what it may record.

mod bounded;
mod console;
mod flat;
mod geth;
mod internal;
mod machine;
mod parity;
mod prestate;
mod price;
mod replay;
mod words;

use std::sync::atomic::AtomicBool;

use alloy_primitives::B256;
use consensus::{ChainSpec, Header, RecoveredTransaction};

use crate::call::CallError;
use crate::state::{StateError, StateView};

pub use console::console_lines;
pub use geth::{GethTracer, trace_block, trace_call, trace_transaction};
pub use internal::{InternalStep, callers_and_callees, internal_operations};
pub use parity::{TraceCall, replay, trace_calls, transaction_traces};
pub use replay::{state_before, touched_addresses};

/// Holds the block whose transactions are replayed, and the limits of the replay.
#[derive(Clone, Copy, Debug)]
pub struct TraceContext<'a> {
    /// The chain's rules.
    pub spec: &'a ChainSpec,
    /// The block's header.
    pub header: &'a Header,
    /// The block's hash.
    pub hash: B256,
    /// The block's transactions.
    pub transactions: &'a [RecoveredTransaction],
    /// The state at the end of the parent.
    pub parent: &'a StateView,
    /// Ends the replay when set.
    pub cancelled: &'a AtomicBool,
    /// The most that the traces may take, in bytes of JSON (estimated).
    pub bytes_max: usize,
}

/// Says why there is no trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// The deadline passed.
    #[error("execution timeout")]
    Cancelled,
    /// The trace would be larger than allowed.
    #[error("the trace is larger than {0} bytes: ask for less, or use a smaller tracer")]
    TooLarge(usize),
    /// There is no such tracer, or its options make no sense.
    #[error("{0}")]
    Options(String),
    /// The transaction does not run where it stands, in the words of transactions' rules.
    #[error("tracing failed: {0}")]
    Refused(String),
    /// There is no such transaction in the block.
    #[error("transaction index {index} out of range for block {hash}")]
    NoTransaction {
        /// The index asked for.
        index: usize,
        /// The block.
        hash: B256,
    },
    /// Our own store failed.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<CallError> for TraceError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Cancelled => Self::Cancelled,
            CallError::State(error) => Self::State(error),
            refused @ (CallError::Invalid(_)
            | CallError::GasAllowance(_)
            | CallError::PrecompileToItself(_)
            | CallError::PrecompilesToOne(_)) => Self::Refused(refused.to_string()),
        }
    }
}

impl<'a> TraceContext<'a> {
    /// Returns the transaction at `index`.
    fn transaction(&self, index: usize) -> Result<&'a RecoveredTransaction, TraceError> {
        self.transactions.get(index).ok_or(TraceError::NoTransaction { index, hash: self.hash })
    }
}
