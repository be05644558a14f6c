//! The `trace` namespace: Parity's traces.

pub(crate) mod calls;
pub(crate) mod filter;
pub(crate) mod replays;
