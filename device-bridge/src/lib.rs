//! The device path: shadows, certificates, broker, bridge and devices, over MQTT.

// A test that unwraps or prints does so on purpose.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout))]

pub mod actuator;
pub mod bridge;
pub mod bridge_chain;
pub mod broker;
pub mod chain_client;
pub mod code;
pub mod device;
mod device_clock;
pub mod device_link;
pub mod device_lock;
pub mod policy;
pub mod proxy;
pub mod registry;
mod rest;
pub mod shadow;
pub mod tls;
