//! The wire messages: what peers tell and ask each other, their one encoding, and the limits that hold before anything is
//! allocated. Nothing here knows a connection or a clock.

mod buffer;
mod codec;
mod gossip;
pub mod limits;
mod request;
mod response;
mod status;

pub use buffer::Buffer;
pub use codec::DecodeError;
pub use gossip::{Announcement, CompactBlock, Gossip, GossipId, Notice, Topic};
pub use request::Request;
pub use response::{Response, StateChunk, WitnessedHeader};
pub use status::{ForkId, Roles, Rule, Status, rules_digest};
