//! What one client, and all clients together, may take. Numbers are AWS IoT's where AWS has one.

use std::time::Duration;

/// Connections at a time.
pub const CONNECTIONS_MAX: usize = 10_000;
/// TLS handshakes at a time; further sockets are closed at once.
pub const HANDSHAKES_MAX: usize = 1024;
/// How long a TLS handshake may take.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the first packet may take after the handshake.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a client may take to read what is written to it.
pub const WRITE_TIME_MAX: Duration = Duration::from_secs(10);
/// The payload of a message, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 128 * 1024;
/// A packet, in bytes: a payload with its topic and properties.
pub const PACKET_BYTES_MAX: u32 = 160 * 1024;
/// A topic or a topic filter, in bytes.
pub const TOPIC_BYTES_MAX: usize = 256;
/// Slashes in a topic or a topic filter.
pub const TOPIC_SLASHES_MAX: usize = 7;
/// Topic filters in one SUBSCRIBE or UNSUBSCRIBE packet.
pub const FILTERS_PER_PACKET_MAX: usize = 8;
/// Subscriptions of one session.
pub const SUBSCRIPTIONS_MAX: usize = 50;
/// Messages that were sent to a client and not acknowledged, and the other way round.
pub const IN_FLIGHT_MAX: u16 = 100;
/// Shadow requests of one connection that have no answer yet.
pub const SHADOW_REQUESTS_MAX: usize = 10;
/// Messages that a client may publish in a second; a faster one is read more slowly.
pub const PUBLISH_PER_SECOND_MAX: u32 = 100;
/// The same for a service, such as a bridge, which answers for many devices.
pub const SERVICE_PUBLISH_PER_SECOND_MAX: u32 = 1000;
/// Messages that wait for one client.
pub const QUEUE_MESSAGES_MAX: usize = 1000;
/// Payloads and topics that wait for one client, in bytes.
pub const QUEUE_BYTES_MAX: usize = 1 << 20;
/// Retained messages.
pub const RETAINED_MESSAGES_MAX: usize = 10_000;
/// Payloads and topics of retained messages, in bytes.
pub const RETAINED_BYTES_MAX: usize = 64 << 20;
/// Sessions that are kept, connected or not.
pub const SESSIONS_MAX: usize = 20_000;
/// The longest keep-alive, in seconds; it holds for clients that ask for none, too.
pub const KEEP_ALIVE_SECONDS_MAX: u16 = 1200;
/// How long a session of MQTT 3.1.1 is kept without its client, in seconds.
pub const SESSION_SECONDS: u32 = 3600;
/// The longest that an MQTT 5 client may ask for, in seconds: a week.
pub const SESSION_SECONDS_MAX: u32 = 7 * 24 * 3600;
/// The longest that a last will may be held back, in seconds.
pub const WILL_DELAY_SECONDS_MAX: u32 = 3600;
