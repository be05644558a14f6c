//! The device path: shadows, certificates, broker, bridge and devices, over MQTT.

pub mod broker;
pub mod policy;
pub mod registry;
mod rest;
pub mod shadow;
pub mod tls;
