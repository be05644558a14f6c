//! Tests of the pool as its callers see it.
#![allow(clippy::unwrap_used)]

mod explained;
mod following;
mod journaling;
mod limits;
mod model;
mod order;
mod rules;
mod speed;
mod support;
mod threads;
