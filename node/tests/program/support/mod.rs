//! What the tests share: a folder for each, running nodes, and a small JSON-RPC client.

mod client;
mod home;
mod node;

pub(crate) use client::{Client, HttpAnswer, http, number, random_bytes};
pub(crate) use home::{ADDRESS, Home, RECEIVER, Ran, chain_file};
pub(crate) use node::{Node, Signal, Stopped};
