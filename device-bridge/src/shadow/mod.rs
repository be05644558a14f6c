//! Device shadows with AWS IoT's semantics: `desired` and `reported` states, versions, deltas, over whatever carries the
//! messages.
//!
//! [`Shadow::apply`] is the pure core, [`ShadowService`] keeps the documents on disk and answers in groups, and
//! [`external`] connects it to a broker that is not ours.

mod change;
mod document;
mod error;
pub mod external;
mod merge;
mod name;
mod request;
mod service;

pub use change::{CHANGES_KEPT, ShadowChange};
pub(crate) use document::refuse;
pub use document::{Applied, Message, Request, SHADOW_BYTES_MAX, Shadow, TOMBSTONE_SECONDS, Writes};
pub use error::ShadowError;
pub use name::{
    Operation, SHADOW_NAME_BYTES_MAX, ShadowName, THING_NAME_BYTES_MAX, is_thing_name, parse_request_topic,
};
pub use request::{CLIENT_TOKEN_BYTES_MAX, REQUEST_BYTES_MAX};
pub(crate) use service::now_seconds;
pub use service::{Answer, Job, NamedShadows, Observe, Publish, SHADOWS_PER_THING_MAX, ShadowHandle, ShadowService};

#[cfg(test)]
mod tests;
