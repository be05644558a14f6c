//! The bridge: turns what shadows desire into releases on the chain and commands to locks, and what devices report into facts on the chain.
//!
//! [`reconcile`] decides, purely; [`outbox`] remembers over restarts; [`run`](runner::run) carries commands out. The bridge talks to the chain by
//! JSON-RPC alone and to devices by MQTT alone, so that it runs inside a node, beside it, or against another broker.

pub mod outbox;
pub mod reconcile;
pub mod runner;
