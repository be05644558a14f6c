//! The embedded MQTT broker with the shadow service behind it.
//!
//! It speaks MQTT 3.1.1 and 5 with qualities 0 and 1 over TLS alone, and wants a client certificate that the registry knows. Who
//! connects is who the certificate says; what it may do is its policy. Where AWS IoT and the standard differ, a client of
//! either gets what it expects: reserved topics, limits and refusals are AWS's, wildcards and retained messages are the standard's.
//!
//! Protocol state is that of the sans-I/O crate `mqtt-protocol-core`; sessions, routing, policy and the store are here.

mod connection;
mod events;
pub mod limits;
mod listener;
mod message;
mod packet;
mod requests;
mod router;
mod session;
mod topic;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use storage::{StorageError, Store};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::registry::{EXPIRY_WARNING_SECONDS, Registry, RegistryError, WATCH_EVERY};
use crate::shadow::{Message as ShadowMessage, ShadowHandle, ShadowService, now_seconds};
use crate::tls::ServerTls;

pub(crate) use connection::Peer;
pub use events::BrokerEvent;
use events::KnownThings;
use limits::WILL_DELAY_SECONDS_MAX;
use message::Message;
pub use message::Quality;
use packet::Will;
use router::Router;
pub use session::Close;
pub(crate) use topic::is_topic;

/// How often sessions are looked through and what was written is brought to the disk.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How often live connections look their certificates up again, though nothing changed: some end by time.
const RECHECK_EVERY: Duration = Duration::from_secs(60);
/// How often certificates that end soon are warned of.
const WARN_EVERY: Duration = Duration::from_secs(24 * 3600);
/// How long connections have to end when the broker stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(1);

/// Where the broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerSettings {
    /// For MQTT over TLS; port 0 takes a free one. HTTPS is served there too, to clients that negotiate it.
    pub mqtt: SocketAddr,
    /// For the shadows' data API over HTTPS.
    pub https: Option<SocketAddr>,
}

/// Says why the broker does not start.
#[derive(Debug, Error)]
pub enum BrokerError {
    /// The address cannot be listened on.
    #[error("{addr}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The authority or the registry cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A running broker with its shadow service. [`Broker::stop`] ends it in order.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    service: ShadowService,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    mqtt_addr: SocketAddr,
    https_addr: Option<SocketAddr>,
}

/// A handle for services in the same process. Clones share it.
#[derive(Clone, Debug)]
pub struct BrokerHandle {
    shared: Arc<Shared>,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    router: Arc<Router>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) shadows: ShadowHandle,
    tls: ServerTls,
    /// Told when certificates are to be looked up again.
    changes: watch::Sender<()>,
}

impl Broker {
    /// Starts listening. The store has the tables of the devices; nobody else may write to it.
    ///
    /// # Errors
    /// An address is taken, there is no certificate authority, or the store failed.
    pub async fn start(
        settings: BrokerSettings,
        registry: Arc<Registry>,
        store: Arc<dyn Store>,
    ) -> Result<Self, BrokerError> {
        let tls = ServerTls::open(&registry)?;
        // Whatever can fail comes before the first thread.
        let (mqtt, mqtt_addr) = bind(settings.mqtt).await?;
        let https = match settings.https {
            Some(addr) => Some(bind(addr).await?),
            None => None,
        };
        let router = Arc::new(Router::open(store.clone(), now_seconds())?);
        let publisher = router.clone();
        let publish = Box::new(move |message: ShadowMessage| send(&publisher, message));
        let teller = router.clone();
        let observe = Box::new(move |change| teller.events.tell(BrokerEvent::Shadow(Arc::new(change))));
        let (service, shadows) = ShadowService::spawn_observed(store, publish, observe)?;
        let shared = Arc::new(Shared { router, registry, shadows, tls, changes: watch::channel(()).0 });
        let (stop, stopped) = watch::channel(false);
        let mut tasks = vec![
            tokio::spawn(watch_registry(shared.clone(), stopped.clone())),
            tokio::spawn(sweep(shared.clone(), stopped.clone())),
            tokio::spawn(listener::listen(shared.clone(), mqtt, listener::Protocol::Mqtt, stopped.clone())),
        ];
        info!(addr = %mqtt_addr, "MQTT over TLS");
        let mut https_addr = None;
        if let Some((https, addr)) = https {
            https_addr = Some(addr);
            tasks.push(tokio::spawn(listener::listen(shared.clone(), https, listener::Protocol::Https, stopped)));
            info!(%addr, "shadows over HTTPS");
        }
        Ok(Self { shared, service, stop, tasks, mqtt_addr, https_addr })
    }

    /// Returns the address for MQTT.
    pub fn mqtt_addr(&self) -> SocketAddr {
        self.mqtt_addr
    }

    /// Returns the address for HTTPS, where it is served.
    pub fn https_addr(&self) -> Option<SocketAddr> {
        self.https_addr
    }

    /// Returns a handle for services in the same process.
    pub fn handle(&self) -> BrokerHandle {
        BrokerHandle { shared: self.shared.clone() }
    }

    /// Closes all connections, and waits until everything that was accepted is answered. Handles must be dropped by then.
    pub async fn stop(self) {
        // The tasks may have ended.
        let _ = self.stop.send(true);
        self.shared.router.close(|_| true, Close::Stopping);
        for mut task in self.tasks {
            if tokio::time::timeout(STOP_TIME_MAX, &mut task).await.is_err() {
                task.abort();
            }
        }
        self.shared.router.sweep(0);
        drop(self.shared);
        // The thread ends with the last handle of the service.
        let waited = tokio::time::timeout(STOP_TIME_MAX, tokio::task::spawn_blocking(|| self.service.join())).await;
        if waited.is_err() {
            warn!("the shadow service is still in use");
        }
    }
}

impl BrokerHandle {
    /// Publishes a message as the broker itself; returns how many clients get it.
    pub fn publish(&self, topic: String, payload: Vec<u8>, quality: Quality) -> usize {
        self.shared.router.publish(Message::plain(topic, payload, quality))
    }

    /// Returns the shadow service.
    pub fn shadows(&self) -> &ShadowHandle {
        &self.shared.shadows
    }

    /// Returns the registry.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.shared.registry
    }

    /// Tells whether a client is connected.
    pub fn is_connected(&self, client: &str) -> bool {
        self.shared.router.is_connected(client)
    }

    /// Listens to what happens at the broker from now on.
    pub fn events(&self) -> broadcast::Receiver<BrokerEvent> {
        self.shared.router.events.listen()
    }

    /// Gives a connected device a code to read, as if it had scanned it; false: it is not connected, or does not take codes so.
    pub fn scan(&self, thing: &str, code: &str) -> bool {
        let topic = events::scan_topic(thing);
        self.is_connected(thing) && self.publish(topic, code.as_bytes().to_vec(), Quality::AtLeastOnce) > 0
    }

    /// Revokes the certificates of a thing for ever, or the one whose id begins with `id`, and cuts off at once who shows them. Returns
    /// their ids.
    ///
    /// # Errors
    /// There is no such thing or certificate, or the registry or the list of revoked certificates cannot be written.
    pub fn revoke(&self, name: &str, id: Option<&str>) -> Result<Vec<String>, RegistryError> {
        let shared = &self.shared;
        let revoked = shared.registry.revoke(name, id, now_seconds())?;
        // The registry holds from here on.
        shared.changes.send_replace(());
        shared.registry.write_revocation_list(now_seconds())?;
        Ok(revoked)
    }
}

impl Shared {
    pub(crate) fn send_messages(&self, messages: Vec<ShadowMessage>) {
        messages.into_iter().for_each(|message| send(&self.router, message));
    }

    /// Publishes for a client of the data API, retained or not.
    pub(crate) fn publish_as(&self, thing: &str, topic: String, payload: Vec<u8>, quality: Quality, retain: bool) {
        let publisher = Some(thing.into());
        self.router.publish(Message { retain, publisher, ..Message::plain(topic, payload, quality) });
    }

    /// Returns the payload and quality of the retained message of a topic.
    pub(crate) fn retained(&self, topic: &str) -> Option<(Vec<u8>, Quality)> {
        self.router.retained(topic).map(|message| (message.payload.to_vec(), message.quality))
    }

    /// Publishes a last will, at once or after its delay unless its client is back by then. A will on a shadow's topic is sent to
    /// those who are subscribed, but asks nothing of the shadow, as with AWS IoT.
    fn send_will(self: &Arc<Self>, client: &Arc<str>, will: Will, keep_seconds: u32) {
        let message = Message {
            topic: will.topic,
            payload: will.payload.into(),
            quality: will.quality.unwrap_or(Quality::AtMostOnce),
            retain: will.retain,
            expires_at: will.expiry_seconds.map(|seconds| now_seconds().saturating_add(seconds.into())),
            properties: will.properties,
            publisher: None,
        };
        // The will is due at the latest when the session ends (MQTT 5, section 3.1.3.2.2).
        let delay = will.delay_seconds.min(keep_seconds).min(WILL_DELAY_SECONDS_MAX);
        if delay == 0 {
            if !self.router.is_connected(client) || keep_seconds == 0 {
                self.router.publish(message);
            }
            return;
        }
        // A will that waits does not keep a broker alive that stops.
        let (shared, client) = (Arc::downgrade(self), client.clone());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(delay.into())).await;
            if let Some(shared) = shared.upgrade().filter(|shared| !shared.router.is_connected(&client)) {
                shared.router.publish(message);
            }
        });
    }
}

fn send(router: &Router, message: ShadowMessage) {
    router.publish(Message::plain(message.topic, message.payload, Quality::AtLeastOnce));
}

async fn bind(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), BrokerError> {
    let failed = |source| BrokerError::Listen { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Follows the registry, so that whoever is not accepted any more is disconnected at once.
async fn watch_registry(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut look = tokio::time::interval(WATCH_EVERY);
    let mut recheck = tokio::time::interval(RECHECK_EVERY);
    let mut warn_again = tokio::time::interval(WARN_EVERY);
    let mut known = KnownThings::of(&shared.registry);
    loop {
        let is_due = tokio::select! {
            _ = look.tick() => {
                if let Err(problem) = shared.registry.refresh() {
                    error!(%problem, "the registry cannot be read: revocations do not reach the broker");
                }
                // Somebody else in this process may have read it first.
                let changed = known.look_again(&shared.registry);
                let is_due = changed.is_some();
                for name in changed.unwrap_or_default() {
                    shared.router.events.tell(BrokerEvent::Changed(name));
                }
                is_due
            }
            _ = recheck.tick() => true,
            _ = warn_again.tick() => {
                warn_of_expiry(&shared.registry);
                false
            }
            _ = stopped.changed() => return,
        };
        if is_due {
            if let Err(problem) = shared.tls.reload() {
                error!(%problem, "the list of revoked certificates cannot be read; the registry still holds");
            }
            shared.changes.send_replace(());
        }
    }
}

fn warn_of_expiry(registry: &Registry) {
    let now = now_seconds();
    for thing in registry.things() {
        let Some(newest) = thing.certificates.iter().rfind(|known| known.refusal(now).is_none()) else { continue };
        let left = newest.expires_at.saturating_sub(now);
        if left < EXPIRY_WARNING_SECONDS {
            let days = left / (24 * 3600);
            warn!(device = %thing.name, days, "the device's certificate ends soon; `drawbridge device rotate` makes another");
        }
    }
}

async fn sweep(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            _ = stopped.changed() => return,
        }
        let shared = shared.clone();
        // It waits for the disk.
        if tokio::task::spawn_blocking(move || shared.router.sweep(now_seconds())).await.is_err() {
            return;
        }
    }
}
