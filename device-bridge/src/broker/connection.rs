//! One client's connection: a task that reads its packets, does what they ask for, and writes what waits in its session.
//!
//! Reading stops while something is written, so that a client that does not read is not read from either; after
//! [`WRITE_TIME_MAX`] it is disconnected.

use std::sync::Arc;
use std::time::Duration;

use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait, Packet};
use mqtt_protocol_core::mqtt::result_code::{DisconnectReasonCode, MqttError};
use mqtt_protocol_core::mqtt::{self, Version, role};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info};

use super::Shared;
use super::limits::{CONNECT_TIME_MAX, IN_FLIGHT_MAX, PACKET_BYTES_MAX, SHADOW_REQUESTS_MAX, WRITE_TIME_MAX};
use super::message::Quality;
use super::packet::{Connect, Incoming, Refusal, Will, Writer, in_flight_max, keep_alive_seconds, read};
use super::router::{Attachment, Wanted};
use super::session::{Close, Queued};
use super::topic::{is_reserved, is_topic};
use crate::policy::{Action, Grants, Identity};
use crate::registry::{CertificateId, Thing};
use crate::shadow::{is_thing_name, now_seconds};

/// Bytes that are read at once.
const READ_BYTES: usize = 4096;
/// Bytes that are gathered before they are written.
const WRITE_BYTES: usize = 64 * 1024;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client said so; its last will is not sent.
    Bye,
    /// The client said so, and its last will is sent.
    ByeWithWill,
    /// The client is gone.
    Gone,
    /// The client did what it may not.
    Violation(DisconnectReasonCode),
    /// The protocol's state machine found something wrong, and has told the client.
    Protocol(MqttError),
    /// It was refused when it connected.
    Refused(Refusal),
    /// The broker closes it.
    Closed(Close),
}

/// Whose connection it is, by the certificate that was shown.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) certificate: CertificateId,
    pub(super) thing: Arc<Thing>,
    /// The revision of the registry that says so.
    pub(super) revision: u64,
}

pub(super) struct Connection<S> {
    pub(super) shared: Arc<Shared>,
    stream: S,
    mqtt: mqtt::Connection<role::Server>,
    outgoing: Vec<u8>,
    peer: Peer,
    pub(super) client: Option<Client>,
}

/// What there is once a client is accepted.
pub(super) struct Client {
    pub(super) attachment: Attachment,
    pub(super) grants: Grants,
    pub(super) keep_seconds: u32,
    keep_alive: Duration,
    will: Option<Will>,
    pub(super) shadow_places: Arc<Semaphore>,
    /// When the client may publish again.
    pub(super) next_publish: Instant,
}

/// Serves a connection until it ends.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(shared: Arc<Shared>, stream: S, peer: Peer) {
    let options = ConnectionOptions::new().maximum_packet_size_recv(PACKET_BYTES_MAX).receive_maximum(IN_FLIGHT_MAX);
    let mqtt = mqtt::Connection::with_options(Version::Undetermined, options);
    let mut connection = Connection { shared, stream, mqtt, outgoing: Vec::new(), peer, client: None };
    let end = match connection.run().await {
        Ok(never) => match never {},
        Err(end) => end,
    };
    connection.finish(end).await;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn run(&mut self) -> Result<std::convert::Infallible, End> {
        let mut buffer = vec![0; READ_BYTES];
        let patience = Instant::now() + CONNECT_TIME_MAX;
        while self.client.is_none() {
            let read = tokio::time::timeout_at(patience, self.stream.read(&mut buffer)).await;
            let size = read.map_err(|_| End::Gone)?.map_err(|_| End::Gone)?;
            self.received(&buffer[..size]).await?;
        }
        let mut changes = self.shared.changes.subscribe();
        let mut heard = Instant::now();
        loop {
            self.pump().await?;
            let Some(client) = self.client.as_mut() else { return Err(End::Gone) };
            let deadline = heard + client.keep_alive;
            tokio::select! {
                size = self.stream.read(&mut buffer) => {
                    heard = Instant::now();
                    self.received(&buffer[..size.map_err(|_| End::Gone)?]).await?;
                }
                () = client.attachment.session.wake.notified() => {}
                why = &mut client.attachment.close => return Err(End::Closed(why.unwrap_or(Close::TakenOver))),
                changed = changes.changed() => {
                    changed.map_err(|_| End::Closed(Close::Stopping))?;
                    self.check_certificate()?;
                }
                () = sleep_until(deadline) => return Err(End::Violation(DisconnectReasonCode::KeepAliveTimeout)),
            }
        }
    }

    /// Takes in what was read; nothing is the end of the stream.
    async fn received(&mut self, bytes: &[u8]) -> Result<(), End> {
        if bytes.is_empty() {
            return Err(End::Gone);
        }
        let mut cursor = Cursor::new(bytes);
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        while cursor.position() < size {
            for event in self.mqtt.recv(&mut cursor) {
                self.event(event).await?;
            }
        }
        // What this led to is written together with what waits in the session.
        Ok(())
    }

    async fn event(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::NotifyPacketReceived(packet) => match read(packet) {
                Some(incoming) => self.incoming(incoming).await,
                None => Err(End::Violation(DisconnectReasonCode::ProtocolError)),
            },
            Event::RequestSendPacket { packet, .. } => {
                self.outgoing.extend(packet.to_continuous_buffer());
                Ok(())
            }
            Event::NotifyError(error) => Err(End::Protocol(error)),
            Event::RequestClose => Err(End::Protocol(MqttError::ProtocolError)),
            Event::NotifyPacketIdReleased(_) | Event::RequestTimerReset { .. } | Event::RequestTimerCancel(_) => Ok(()),
        }
    }

    async fn incoming(&mut self, incoming: Incoming) -> Result<(), End> {
        match incoming {
            Incoming::Connect(connect) => self.connect(connect),
            Incoming::Publish(publish) => self.published(publish).await,
            Incoming::Acknowledged(packet_id) => {
                let client = self.client.as_ref().ok_or(End::Gone)?;
                self.shared.router.acknowledged(&client.attachment.session, packet_id);
                Ok(())
            }
            Incoming::Subscribe { packet_id, filters } => self.subscribe(packet_id, filters),
            Incoming::Unsubscribe { packet_id, filters } => self.unsubscribe(packet_id, &filters),
            Incoming::Ping => {
                let pong = self.writer().pong();
                self.send(pong)
            }
            Incoming::Disconnect { with_will, keep_seconds } => {
                if let (Some(client), Some(seconds)) = (&mut self.client, keep_seconds) {
                    // A session that was to end with the connection cannot be kept after all (MQTT 5, section 3.14.2.2.2).
                    client.keep_seconds = if client.keep_seconds == 0 { 0 } else { seconds };
                }
                Err(if with_will { End::ByeWithWill } else { End::Bye })
            }
            Incoming::Unsupported => Err(End::Violation(DisconnectReasonCode::QosNotSupported)),
        }
    }

    fn connect(&mut self, connect: Connect) -> Result<(), End> {
        let grants = match self.admit(&connect) {
            Ok(grants) => grants,
            Err(refusal) => return self.refuse(refusal),
        };
        let client_id: Arc<str> = connect.client_id.as_str().into();
        let wanted = Wanted { clean: connect.clean, keep_seconds: connect.keep_seconds };
        let Some(attachment) = self.shared.router.attach(&client_id, wanted) else { return self.refuse(Refusal::Full) };
        let accepted = self.writer().accepted(attachment.is_present, &connect).map_err(End::Protocol)?;
        let keep_alive = u64::from(keep_alive_seconds(connect.keep_alive_seconds));
        self.client = Some(Client {
            attachment,
            grants,
            keep_seconds: connect.keep_seconds,
            // Half as much again (MQTT 3.1.1, section 3.1.2.10).
            keep_alive: Duration::from_millis(keep_alive * 1500),
            will: connect.will,
            shadow_places: Arc::new(Semaphore::new(SHADOW_REQUESTS_MAX)),
            next_publish: Instant::now().checked_sub(Duration::from_secs(1)).unwrap_or_else(Instant::now),
        });
        debug!(client = %client_id, "connected");
        self.send(accepted)
    }

    /// Says whether the client may connect so.
    fn admit(&mut self, connect: &Connect) -> Result<Grants, Refusal> {
        // The name is checked before it stands for a variable in a policy.
        if !is_thing_name(&connect.client_id) || connect.client_id != self.peer.thing.name {
            return Err(Refusal::ClientId);
        }
        let grants = self.bind().map_err(|_| Refusal::NotAuthorized)?;
        if !grants.allows(Action::Connect, &connect.client_id) {
            return Err(Refusal::NotAuthorized);
        }
        let Some(will) = &connect.will else { return Ok(grants) };
        let is_well_formed =
            is_topic(&will.topic) && will.quality.is_some() && !(will.retain && is_reserved(&will.topic));
        let is_allowed = grants.allows(Action::Publish, &will.topic)
            && (!will.retain || grants.allows(Action::RetainPublish, &will.topic));
        if is_well_formed && is_allowed { Ok(grants) } else { Err(Refusal::Will) }
    }

    fn refuse(&mut self, refusal: Refusal) -> Result<(), End> {
        let packet = self.writer().refused(refusal).map_err(End::Protocol)?;
        // The state machine asks to close once the packet is out.
        let _ = self.send(packet);
        Err(End::Refused(refusal))
    }

    /// Looks the certificate up, and fills the policy's variables in.
    fn bind(&mut self) -> Result<Grants, End> {
        let revision = self.shared.registry.revision();
        let (thing, _) = self
            .shared
            .registry
            .accept(&self.peer.certificate, now_seconds())
            .map_err(|_| End::Closed(Close::Revoked))?;
        self.peer.thing = thing;
        self.peer.revision = revision;
        let policy = self.peer.thing.role.policy().map_err(|_| End::Closed(Close::Revoked))?;
        let certificate_id = self.peer.certificate.to_string();
        let name = self.peer.thing.name.as_str();
        Ok(policy.bind(Identity { thing: name, client_id: Some(name), certificate_id: &certificate_id }))
    }

    /// Looks the certificate up again after a change of the registry.
    fn check_certificate(&mut self) -> Result<(), End> {
        let grants = self.bind()?;
        if let Some(client) = &mut self.client {
            client.grants = grants;
        }
        Ok(())
    }

    pub(super) fn thing(&self) -> &Thing {
        &self.peer.thing
    }

    pub(super) fn writer(&self) -> Writer {
        Writer(self.mqtt.get_protocol_version())
    }

    /// Hands a packet to the state machine, and gathers what it sends.
    pub(super) fn send(&mut self, packet: Packet) -> Result<(), End> {
        for event in self.mqtt.send(packet) {
            match event {
                Event::RequestSendPacket { packet, .. } => self.outgoing.extend(packet.to_continuous_buffer()),
                Event::NotifyError(error) => return Err(End::Protocol(error)),
                Event::RequestClose => return Err(End::Gone),
                Event::NotifyPacketReceived(_)
                | Event::NotifyPacketIdReleased(_)
                | Event::RequestTimerReset { .. }
                | Event::RequestTimerCancel(_) => {}
            }
        }
        Ok(())
    }

    /// Sends what waits in the session, as much as may be in flight.
    async fn pump(&mut self) -> Result<(), End> {
        loop {
            while self.outgoing.len() < WRITE_BYTES
                && let Some(queued) = self.next()?
            {
                self.deliver(queued)?;
            }
            if self.outgoing.is_empty() {
                return Ok(());
            }
            self.flush().await?;
        }
    }

    fn next(&self) -> Result<Option<Queued>, End> {
        let client = self.client.as_ref().ok_or(End::Gone)?;
        let is_open = self.mqtt.get_receive_maximum_vacancy_for_send().is_none_or(|vacancy| vacancy > 0);
        let mut state = client.attachment.session.state.lock();
        // Another connection has the session now, and will send what is in it.
        if state.connection.as_ref().is_none_or(|(number, _)| *number != client.attachment.number) {
            return Err(End::Closed(Close::TakenOver));
        }
        let room = is_open && state.in_flight() < in_flight_max();
        Ok(state.pop(room))
    }

    fn deliver(&mut self, queued: Queued) -> Result<(), End> {
        let now = now_seconds();
        let client = self.client.as_ref().ok_or(End::Gone)?;
        let session = client.attachment.session.clone();
        let message = &queued.message;
        if message.is_expired(now) || !client.grants.allows(Action::Receive, &message.topic) {
            self.forget(&queued);
            return Ok(());
        }
        let packet_id = match (queued.quality, queued.sent_as) {
            (Quality::AtMostOnce, _) => None,
            (Quality::AtLeastOnce, Some(known)) if self.mqtt.register_packet_id(known).is_ok() => Some(known),
            (Quality::AtLeastOnce, _) => Some(self.mqtt.acquire_packet_id().map_err(End::Protocol)?),
        };
        let packet = self.writer().publish(&queued, packet_id, now).map_err(End::Protocol)?;
        match (self.send(packet), packet_id) {
            (Ok(()), Some(packet_id)) => session.state.lock().sent(packet_id, queued),
            (Ok(()), None) => {}
            // The client said that it takes no packet as large as this one.
            (Err(End::Protocol(MqttError::PacketTooLarge)), packet_id) => {
                if let Some(packet_id) = packet_id {
                    self.mqtt.release_packet_id(packet_id);
                }
                self.forget(&queued);
            }
            (Err(end), _) => return Err(end),
        }
        Ok(())
    }

    fn forget(&self, queued: &Queued) {
        if let Some(client) = self.client.as_ref().filter(|client| client.keep_seconds > 0) {
            self.shared.router.forget(&client.attachment.session, queued);
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        if self.outgoing.is_empty() {
            return Ok(());
        }
        let write = async {
            self.stream.write_all(&self.outgoing).await?;
            self.stream.flush().await
        };
        let written = timeout(WRITE_TIME_MAX, write).await;
        self.outgoing.clear();
        // The usual connection is idle; what a burst needed is given back.
        self.outgoing.shrink_to(READ_BYTES);
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    /// Tells the client why, gives the session back, and sends the last will where it is due.
    async fn finish(mut self, end: End) {
        let code = match end {
            End::Violation(code) => Some(code),
            End::Closed(Close::TakenOver) => Some(DisconnectReasonCode::SessionTakenOver),
            End::Closed(Close::Revoked) => Some(DisconnectReasonCode::NotAuthorized),
            End::Closed(Close::Stopping) => Some(DisconnectReasonCode::ServerShuttingDown),
            End::Bye | End::ByeWithWill | End::Gone | End::Protocol(_) | End::Refused(_) => None,
        };
        if let Some(packet) = code.filter(|_| self.client.is_some()).and_then(|code| self.writer().disconnect(code)) {
            let _ = self.send(packet);
        }
        // Whoever goes away need not read this.
        let _ = self.flush().await;
        let _ = timeout(WRITE_TIME_MAX, self.stream.shutdown()).await;
        let thing = &self.peer.thing.name;
        match end {
            End::Bye | End::ByeWithWill | End::Gone => debug!(client = %thing, ?end, "disconnected"),
            _ => info!(client = %thing, ?end, "disconnected"),
        }
        let Some(client) = self.client else { return };
        let now = now_seconds();
        self.shared.router.detach(&client.attachment, client.keep_seconds, now);
        if let Some(will) = client.will.filter(|_| end != End::Bye) {
            self.shared.send_will(&client.attachment.session.client, will, client.keep_seconds);
        }
    }
}
