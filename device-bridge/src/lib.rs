//! The device path: shadows, certificates, broker, bridge and devices, over MQTT.

pub mod policy;
pub mod registry;
pub mod shadow;
pub mod tls;
