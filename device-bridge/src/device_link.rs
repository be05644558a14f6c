//! A connection to an MQTT broker that comes back by itself: the broker of the node, Mosquitto, EMQX or AWS IoT Core.
//!
//! rumqttc 0.25.1 forgets what it was asked to send when a session ends, can get stuck after a lost acknowledgement, and does not subscribe
//! again. So nothing here relies on it beyond one connection: after any error the client is thrown away, a new one subscribes
//! anew, and [`LinkEvent::Up`] tells the owner to ask for the state and to send again what has no answer yet.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use parking_lot::Mutex;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, QoS, SubscribeFilter};
use rumqttc::{SubscribeReasonCode, TlsConfiguration, Transport};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::chain_client::{read_pem, roots_of, tls_config};

/// The largest message in either direction, in bytes: a shadow's `documents` holds two documents of 8 KiB with their metadata.
const PACKET_BYTES_MAX: usize = 256 << 10;
/// Messages without acknowledgement: as many as AWS allows shadow requests in flight.
const IN_FLIGHT_MAX: u16 = 10;
/// Messages that wait to be sent, or to be looked at.
const QUEUE_MAX: usize = 1024;
/// How often the broker is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long connecting may take, in seconds.
const CONNECT_SECONDS_MAX: u64 = 5;
/// The first and the longest pause between two attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Says why a link cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LinkError(String);

/// Says which broker, and as whom.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    host: String,
    port: u16,
    client_id: String,
    tls: Option<Arc<ClientConfig>>,
}

/// Names the files of a device's identity.
#[derive(Clone, Debug)]
pub struct Identity<'a> {
    /// The authority of the broker's certificate (PEM).
    pub ca: &'a Path,
    /// The device's certificate (PEM).
    pub certificate: &'a Path,
    /// Its key (PEM).
    pub key: &'a Path,
    /// The protocol named in the TLS handshake; AWS wants `x-amzn-mqtt-ca` on port 443.
    pub alpn: Option<&'a str>,
}

impl LinkSettings {
    /// Connects to `mqtts://HOST[:PORT]` with an identity, or to `mqtt://HOST[:PORT]` without one. The client id must be the thing's
    /// name.
    ///
    /// # Errors
    /// The URL or the identity's files cannot be used.
    pub fn new(url: &str, client_id: &str, identity: Option<&Identity<'_>>) -> Result<Self, LinkError> {
        let wrong = |problem: &str| LinkError(format!("{url}: {problem}"));
        let uri: Uri = url.parse().map_err(|_| wrong("no URL"))?;
        let host = uri.host().ok_or_else(|| wrong("it names no host"))?.to_owned();
        let (port, tls) = match (uri.scheme_str(), identity) {
            (Some("mqtts"), Some(identity)) => (8883, Some(Arc::new(identity.load()?))),
            (Some("mqtts"), None) => return Err(wrong("TLS needs an authority, a certificate and a key")),
            (Some("mqtt"), None) => (1883, None),
            (Some("mqtt"), Some(_)) => return Err(wrong("a certificate is of use with mqtts:// only")),
            _ => return Err(wrong("neither mqtts:// nor mqtt://")),
        };
        Ok(Self { host, port: uri.port_u16().unwrap_or(port), client_id: client_id.to_owned(), tls })
    }

    fn options(&self) -> MqttOptions {
        let mut options = MqttOptions::new(&self.client_id, &self.host, self.port);
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_session(true)
            .set_inflight(IN_FLIGHT_MAX)
            .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        if let Some(tls) = &self.tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls))));
        }
        options
    }
}

impl Identity<'_> {
    fn load(&self) -> Result<ClientConfig, LinkError> {
        let wrong = |problem: &dyn std::fmt::Display| LinkError(problem.to_string());
        let in_file =
            |path: &Path, problem: &dyn std::fmt::Display| LinkError(format!("{}: {problem}", path.display()));
        let roots = read_pem(self.ca).and_then(|pem| roots_of(&pem)).map_err(|error| wrong(&error))?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(self.certificate).and_then(Iterator::collect);
        let chain = chain.map_err(|error| in_file(self.certificate, &error))?;
        let key = PrivateKeyDer::from_pem_file(self.key).map_err(|error| in_file(self.key, &error))?;
        let builder = tls_config(roots).map_err(|error| wrong(&error))?;
        let mut config = builder.with_client_auth_cert(chain, key).map_err(|error| in_file(self.key, &error))?;
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(config)
    }
}

/// Says what happened on the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// Connected and subscribed: what was sent before is lost unless its answer came.
    Up,
    /// The connection is gone; another is being made.
    Down(String),
    /// A message came.
    Message {
        /// Its topic.
        topic: String,
        /// Its content.
        payload: Vec<u8>,
    },
}

/// Sends messages over a link. What is sent while the link is down is lost.
#[derive(Clone, Debug, Default)]
pub struct Outbound(Arc<Mutex<Option<AsyncClient>>>);

impl Outbound {
    /// Sends a message with at-least-once delivery; one too many while the link is busy is lost like one sent while it is down.
    pub fn publish(&self, topic: impl Into<String>, payload: impl Into<Vec<u8>>) {
        let client = self.0.lock().clone();
        let sent = client.map(|client| client.try_publish(topic, QoS::AtLeastOnce, false, payload));
        if !matches!(sent, Some(Ok(()))) {
            tracing::debug!("a message is not sent: the link is down or busy");
        }
    }
}

/// A link that is kept up until it is dropped.
#[derive(Debug)]
pub struct Link {
    /// What happens.
    pub events: mpsc::Receiver<LinkEvent>,
    /// The way out.
    pub outbound: Outbound,
    task: JoinHandle<()>,
}

impl Link {
    /// Starts connecting, with these topic filters to subscribe.
    pub fn start(settings: LinkSettings, filters: Vec<String>) -> Self {
        let (event_sender, events) = mpsc::channel(QUEUE_MAX);
        let outbound = Outbound::default();
        let task = tokio::spawn(keep_up(settings, filters, event_sender, outbound.clone()));
        Self { events, outbound, task }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_up(settings: LinkSettings, filters: Vec<String>, events: mpsc::Sender<LinkEvent>, outbound: Outbound) {
    let mut pause = PAUSES.0;
    loop {
        let (client, mut event_loop) = AsyncClient::new(settings.options(), QUEUE_MAX);
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(CONNECT_SECONDS_MAX);
        network.set_tcp_nodelay(true);
        event_loop.set_network_options(network);
        let mut connection = Connection { client, filters: &filters, events: &events, outbound: &outbound };
        let problem = connection.run(&mut event_loop).await;
        let was_up = outbound.0.lock().take().is_some();
        pause = if was_up { PAUSES.0 } else { (pause * 2).min(PAUSES.1) };
        if events.send(LinkEvent::Down(problem)).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

/// One connection, from connecting to its first error.
struct Connection<'a> {
    client: AsyncClient,
    filters: &'a [String],
    events: &'a mpsc::Sender<LinkEvent>,
    outbound: &'a Outbound,
}

impl Connection<'_> {
    /// Runs until something fails, and says what.
    async fn run(&mut self, event_loop: &mut EventLoop) -> String {
        loop {
            match event_loop.poll().await {
                Ok(Event::Incoming(packet)) => {
                    if let Err(problem) = self.receive(packet) {
                        return problem;
                    }
                }
                Ok(Event::Outgoing(_)) => {}
                Err(error) => return error.to_string(),
            }
        }
    }

    fn receive(&mut self, packet: Packet) -> Result<(), String> {
        match packet {
            Packet::ConnAck(_) => {
                let filters = self.filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
                self.client.try_subscribe_many(filters).map_err(|error| error.to_string())
            }
            Packet::SubAck(answer) => {
                if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                    return Err("the broker refuses a subscription: look at the device's policy".to_owned());
                }
                *self.outbound.0.lock() = Some(self.client.clone());
                self.tell(LinkEvent::Up)
            }
            Packet::Publish(message) => {
                self.tell(LinkEvent::Message { topic: message.topic, payload: message.payload.to_vec() })
            }
            _ => Ok(()),
        }
    }

    /// An owner that does not keep up asks for the whole state after a new connection, so that nothing is lost silently.
    fn tell(&self, event: LinkEvent) -> Result<(), String> {
        self.events.try_send(event).map_err(|_| "more messages than are looked at".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_what_they_lack() {
        let of = |url: &str| LinkSettings::new(url, "dock-1", None).map_err(|error| error.to_string());
        let plain = of("mqtt://127.0.0.1").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.tls.is_none()), ("127.0.0.1", 1883, true));
        assert_eq!(of("mqtt://[::1]:7").unwrap().port, 7);
        for (url, expected) in [
            ("mqtts://broker", "TLS needs an authority"),
            ("broker", "neither mqtts:// nor mqtt://"),
            ("http://broker", "neither mqtts:// nor mqtt://"),
            ("mqtt://", "no URL"),
        ] {
            assert!(of(url).unwrap_err().contains(expected), "{url}: {}", of(url).unwrap_err());
        }
    }

    #[test]
    fn an_identity_names_the_file_that_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let identity = Identity { ca: &path, certificate: &path, key: &path, alpn: None };
        let problem = LinkSettings::new("mqtts://broker", "dock-1", Some(&identity)).unwrap_err().to_string();
        assert!(problem.contains("ca.pem"), "{problem}");
        std::fs::write(&path, "nothing").unwrap();
        let problem = LinkSettings::new("mqtts://broker", "dock-1", Some(&identity)).unwrap_err().to_string();
        assert!(problem.contains("no certificate"), "{problem}");
    }

    #[tokio::test]
    async fn a_broker_that_is_not_there_is_tried_again() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("mqtt://{}", socket.local_addr().unwrap());
        drop(socket);
        let mut link = Link::start(LinkSettings::new(&url, "dock-1", None).unwrap(), vec!["a".to_owned()]);
        for _ in 0..3 {
            assert!(matches!(link.events.recv().await, Some(LinkEvent::Down(_))));
        }
    }
}
