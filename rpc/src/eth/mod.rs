//! The `eth` namespace.

pub(crate) mod blocks;
pub(crate) mod calls;
pub(crate) mod chain_info;
pub(crate) mod fees;
pub(crate) mod fill;
pub(crate) mod fork_config;
pub(crate) mod logs;
pub(crate) mod polling;
pub(crate) mod proof;
pub(crate) mod send;
pub(crate) mod sign;
pub(crate) mod simulate;
pub(crate) mod state;
pub(crate) mod transactions;
pub(crate) mod work;
