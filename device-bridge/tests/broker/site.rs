//! A broker on free ports with its own authority, and plain clients that do exactly what a test says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use device_bridge::broker::{Broker, BrokerSettings};
use device_bridge::registry::{Authority, Issued, Registry, Role, Thing};
use device_bridge::shadow::Writes;
use device_bridge::tls;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::Event;
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait, Packet, Qos, SubEntry, SubOpts, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::{self, Version, role};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use storage::{MemoryStore, Store};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// No answer takes longer; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) registry: Registry,
    pub(crate) authority: Authority,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) broker: Option<Broker>,
    pub(crate) mqtt: SocketAddr,
    pub(crate) https: SocketAddr,
}

pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

impl Site {
    pub(crate) async fn start() -> Self {
        tls::install_provider();
        let folder = tempfile::tempdir().unwrap();
        let authority =
            Authority::init(folder.path(), "test", &["localhost".into(), "127.0.0.1".into()], now()).unwrap();
        // The tests' own hand on the registry is another one than the broker's, as in another process.
        let registry = Registry::open(folder.path()).unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut site = Self { folder, registry, authority, store, broker: None, mqtt: nowhere, https: nowhere };
        site.run().await;
        site
    }

    pub(crate) async fn run(&mut self) {
        let settings = BrokerSettings {
            mqtt: SocketAddr::from(([127, 0, 0, 1], 0)),
            https: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        };
        let registry = Arc::new(Registry::open(self.folder.path()).unwrap());
        let broker = Broker::start(settings, registry, self.store.clone()).await.unwrap();
        (self.mqtt, self.https) = (broker.mqtt_addr(), broker.https_addr().unwrap());
        self.broker = Some(broker);
    }

    pub(crate) async fn stop(&mut self) {
        self.broker.take().unwrap().stop().await;
    }

    pub(crate) fn issue(&self, name: &str) -> (Issued, Arc<ClientConfig>) {
        let issued = self.authority.issue(name, 10, now()).unwrap();
        let config = self.config(&self.authority, name, &issued, &[]);
        (issued, config)
    }

    pub(crate) fn config(
        &self,
        authority: &Authority,
        name: &str,
        issued: &Issued,
        alpn: &[&[u8]],
    ) -> Arc<ClientConfig> {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = authority.hand_out(folder.path(), name, issued).unwrap();
        // Whom the client trusts is always the broker's authority.
        tls::client_config(&self.folder.path().join("ca.pem"), &paths[0], &paths[1], alpn).unwrap()
    }

    pub(crate) fn add(&self, name: &str) -> Arc<ClientConfig> {
        self.add_as(name, Role::Device, Writes::Both)
    }

    pub(crate) fn add_as(&self, name: &str, role: Role, writes: Writes) -> Arc<ClientConfig> {
        let (issued, config) = self.issue(name);
        let certificates = vec![issued.certificate];
        self.registry.add(Thing { name: name.into(), role, writes, added_at: now(), certificates }).unwrap();
        // The broker follows by itself; a test need not wait for it.
        self.broker.as_ref().unwrap().handle().registry().refresh().unwrap();
        config
    }

    pub(crate) async fn client(&self, config: &Arc<ClientConfig>, version: Version) -> Client {
        Client::open(self.mqtt, config, version).await.unwrap()
    }

    /// Adds a device and connects it.
    pub(crate) async fn connected(&self, name: &str) -> Client {
        let config = self.add(name);
        let mut client = self.client(&config, Version::V3_1_1).await;
        assert_eq!(client.connect(name, true).await, Some(0), "{name}");
        client
    }
}

pub(crate) struct Client {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) mqtt: mqtt::Connection<role::Client>,
    inbox: VecDeque<Packet>,
    version: Version,
}

impl Client {
    pub(crate) async fn open(addr: SocketAddr, config: &Arc<ClientConfig>, version: Version) -> std::io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(config.clone()).connect(name, stream).await?;
        let mut mqtt = mqtt::Connection::new(version);
        mqtt.set_auto_pub_response(true);
        Ok(Self { stream, mqtt, inbox: VecDeque::new(), version })
    }

    pub(crate) async fn send(&mut self, packet: impl Into<Packet>) {
        for event in self.mqtt.send(packet.into()) {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    // The broker may have closed already.
                    let _ = self.stream.write_all(&packet.to_continuous_buffer()).await;
                }
                Event::NotifyError(error) => panic!("the client may not send this: {error}"),
                _ => {}
            }
        }
    }

    /// Returns the next packet; none: the broker closed.
    pub(crate) async fn next(&mut self) -> Option<Packet> {
        let mut buffer = [0; 4096];
        while self.inbox.is_empty() {
            let size = match timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("the broker answers") {
                Ok(0) | Err(_) => return None,
                Ok(size) => size,
            };
            let mut cursor = Cursor::new(&buffer[..size]);
            while cursor.position() < size as u64 {
                for event in self.mqtt.recv(&mut cursor) {
                    match event {
                        Event::NotifyPacketReceived(packet) => self.inbox.push_back(packet),
                        Event::RequestSendPacket { packet, .. } => {
                            let _ = self.stream.write_all(&packet.to_continuous_buffer()).await;
                        }
                        _ => {}
                    }
                }
            }
        }
        self.inbox.pop_front()
    }

    /// Waits until the broker closes; returns the reason that it gave, if it gave one.
    pub(crate) async fn closed(&mut self) -> Option<u8> {
        let mut reason = None;
        while let Some(packet) = self.next().await {
            if let Packet::V5_0Disconnect(packet) = packet {
                reason = packet.reason_code().map(|code| code as u8);
            }
        }
        reason
    }

    /// Connects; returns the code of the answer, none: closed without one.
    pub(crate) async fn connect(&mut self, client_id: &str, clean: bool) -> Option<u8> {
        self.connect_present(client_id, clean).await.map(|(code, _)| code)
    }

    pub(crate) async fn connect_present(&mut self, client_id: &str, clean: bool) -> Option<(u8, bool)> {
        let packet: Packet = match self.version {
            Version::V5_0 => {
                let expiry = mqtt::packet::SessionExpiryInterval::new(if clean { 0 } else { 600 }).unwrap();
                let packet = v5_0::Connect::builder().client_id(client_id).unwrap().clean_start(clean).keep_alive(60);
                packet.props(vec![expiry.into()]).build().unwrap().into()
            }
            _ => {
                let packet = v3_1_1::Connect::builder().client_id(client_id).unwrap().clean_session(clean);
                packet.keep_alive(60).build().unwrap().into()
            }
        };
        self.send(packet).await;
        self.accepted().await
    }

    pub(crate) async fn accepted(&mut self) -> Option<(u8, bool)> {
        match self.next().await? {
            Packet::V3_1_1Connack(packet) => Some((packet.return_code() as u8, packet.session_present())),
            Packet::V5_0Connack(packet) => Some((packet.reason_code() as u8, packet.session_present())),
            other => panic!("{other:?}"),
        }
    }

    /// Subscribes; returns the codes, none: closed.
    pub(crate) async fn subscribe(&mut self, filters: &[&str], qos: Qos) -> Option<Vec<u8>> {
        let packet_id = self.mqtt.acquire_packet_id().unwrap();
        let entry = |filter: &&str| SubEntry::new(*filter, SubOpts::new().set_qos(qos)).unwrap();
        let entries: Vec<SubEntry> = filters.iter().map(entry).collect();
        let packet: Packet = match self.version {
            Version::V5_0 => v5_0::Subscribe::builder().packet_id(packet_id).entries(entries).build().unwrap().into(),
            _ => v3_1_1::Subscribe::builder().packet_id(packet_id).entries(entries).build().unwrap().into(),
        };
        self.send(packet).await;
        match self.next().await? {
            Packet::V3_1_1Suback(packet) => Some(packet.return_codes().iter().map(|code| *code as u8).collect()),
            Packet::V5_0Suback(packet) => Some(packet.reason_codes().iter().map(|code| *code as u8).collect()),
            Packet::V5_0Disconnect(_) => None,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn publish_as(&mut self, topic: &str, payload: &[u8], qos: Qos, retain: bool) {
        let packet_id = (qos != Qos::AtMostOnce).then(|| self.mqtt.acquire_packet_id().unwrap());
        let packet: Packet = match self.version {
            Version::V5_0 => {
                let mut packet = v5_0::Publish::builder().topic_name(topic).unwrap().qos(qos).retain(retain);
                if let Some(packet_id) = packet_id {
                    packet = packet.packet_id(packet_id);
                }
                packet.payload(payload).build().unwrap().into()
            }
            _ => {
                let mut packet = v3_1_1::Publish::builder().topic_name(topic).unwrap().qos(qos).retain(retain);
                if let Some(packet_id) = packet_id {
                    packet = packet.packet_id(packet_id);
                }
                packet.payload(payload).build().unwrap().into()
            }
        };
        self.send(packet).await;
    }

    /// Publishes and waits for the acknowledgement; false: the broker closed. Messages that come before it stay in the inbox.
    pub(crate) async fn publish(&mut self, topic: &str, payload: &[u8]) -> bool {
        self.publish_as(topic, payload, Qos::AtLeastOnce, false).await;
        let mut kept = VecDeque::new();
        let acknowledged = loop {
            match self.next().await {
                Some(Packet::V3_1_1Puback(_) | Packet::V5_0Puback(_)) => break true,
                None => break false,
                Some(other) => kept.push_back(other),
            }
        };
        kept.append(&mut self.inbox);
        self.inbox = kept;
        acknowledged
    }

    /// Returns topic, payload and retain flag of the next message.
    pub(crate) async fn message(&mut self) -> (String, Vec<u8>, bool) {
        loop {
            match self.next().await.expect("the broker sends a message") {
                Packet::V3_1_1Publish(packet) => {
                    return (packet.topic_name().into(), packet.payload().as_slice().to_vec(), packet.retain());
                }
                Packet::V5_0Publish(packet) => {
                    return (packet.topic_name().into(), packet.payload().as_slice().to_vec(), packet.retain());
                }
                _ => {}
            }
        }
    }

    /// Returns the next message whose topic ends so, as JSON.
    pub(crate) async fn answer(&mut self, end: &str) -> Value {
        loop {
            let (topic, payload, _) = self.message().await;
            if topic.ends_with(end) {
                return serde_json::from_slice(&payload).unwrap();
            }
        }
    }

    /// Leaves as a client should.
    pub(crate) async fn leave(mut self) {
        match self.version {
            Version::V5_0 => self.send(v5_0::Disconnect::builder().build().unwrap()).await,
            _ => self.send(v3_1_1::Disconnect::new()).await,
        }
        while self.next().await.is_some() {}
    }

    /// Breaks the connection.
    pub(crate) fn vanish(self) {}
}
