//! Node processes that meet over loopback, and the chain that they have: what `meeting` and `hostile_peers` share.

pub mod chain;
mod node;

pub use node::{Node, between, time_of};
