//! The network: how nodes find each other, agree and catch up, over libp2p.
//!
//! [`message`] is what peers tell each other, [`machine`] what a node does about it: both are pure, without a clock, a socket or a
//! thread. The shell around them carries messages, runs jobs and imports, and keeps the time.

// A test that unwraps or prints does so on purpose.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout))]

pub mod machine;
pub mod message;
pub mod p2p;
