//! The `debug` namespace: traces, raw objects, and the state as a whole.

pub(crate) mod database;
pub(crate) mod mined;
pub(crate) mod raw;
pub(crate) mod state;
pub(crate) mod tracing;
