//! The device path: shadows, certificates, broker, bridge and devices, over MQTT.

pub mod shadow;
