//! The shadow service behind a broker that is not ours: Mosquitto, EMQX, AWS IoT Core. It is an ordinary client there, which must be
//! allowed to subscribe and publish under `$aws/things/`; who may write which section is that broker's to check. Only one
//! instance may run, since two would give out the same versions.
//!
//! An answer that is under way when the connection breaks is lost, as MQTT clients expect; what was accepted is stored.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS, SubscribeFilter, TlsConfiguration, Transport};
use rustls::ClientConfig;
use storage::{StorageError, Store};
use tokio::sync::{Mutex, mpsc, watch};
use tracing::{info, warn};

use super::{Job, Message, ShadowService, Writes, parse_request_topic};

/// Requests that wait for the service while the connection is read on; more are dropped, and their senders ask again.
const QUEUED_REQUESTS_MAX: usize = 4096;
/// Answers that wait for the connection; the service waits when there are more.
const QUEUED_ANSWERS_MAX: usize = 4096;
/// The largest packet in either direction, in bytes: documents of a shadow hold it twice, with metadata.
const PACKET_BYTES_MAX: usize = 256 * 1024;
/// Requests to the client's own loop that wait.
const CLIENT_QUEUE_MAX: usize = 256;
/// Answers that are sent and not yet acknowledged.
const IN_FLIGHT_MAX: u16 = 20;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long to wait before connecting again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Which broker, and as whom.
#[derive(Clone, Debug)]
pub struct ExternalBroker {
    /// Its host name, which its certificate must have.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The client id of the service.
    pub client_id: String,
    /// The certificate to show, whom to trust, and the protocol names to offer; none: plain TCP.
    pub tls: Option<Arc<ClientConfig>>,
}

/// Serves shadows over the broker until `stopped` changes.
///
/// # Errors
/// The store failed at the start.
pub async fn serve(
    broker: ExternalBroker,
    store: Arc<dyn Store>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), StorageError> {
    let (answers, answers_out) = mpsc::channel::<Message>(QUEUED_ANSWERS_MAX);
    // The service's thread waits here while the connection cannot take more; when the receiver is gone the service stops.
    let publish = Box::new(move |message| drop(answers.blocking_send(message)));
    let (service, shadows) = ShadowService::spawn(store, publish)?;
    let (jobs, mut jobs_out) = mpsc::channel::<Job>(QUEUED_REQUESTS_MAX);
    let feeder = tokio::spawn(async move {
        while let Some(job) = jobs_out.recv().await {
            if shadows.send(job).await.is_err() {
                return;
            }
        }
    });
    let answers_out = Arc::new(Mutex::new(answers_out));
    loop {
        let connection = run(&broker, &jobs, answers_out.clone());
        tokio::select! {
            () = connection => {}
            _ = stopped.changed() => break,
        }
        tokio::select! {
            () = tokio::time::sleep(RECONNECT_PAUSE) => {}
            _ = stopped.changed() => break,
        }
    }
    drop(jobs);
    answers_out.lock().await.close();
    // What was taken in is stored; nobody waits for the answers any more.
    let _ = feeder.await;
    let _ = tokio::task::spawn_blocking(move || service.join()).await;
    Ok(())
}

/// Keeps one connection until it breaks.
async fn run(broker: &ExternalBroker, jobs: &mpsc::Sender<Job>, answers: Arc<Mutex<mpsc::Receiver<Message>>>) {
    let mut options = MqttOptions::new(&broker.client_id, &broker.host, broker.port);
    options.set_keep_alive(KEEP_ALIVE).set_clean_session(true).set_inflight(IN_FLIGHT_MAX);
    options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    if let Some(tls) = &broker.tls {
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls.clone())));
    }
    let (client, mut events) = AsyncClient::new(options, CLIENT_QUEUE_MAX);
    // Answers go out at once.
    events.network_options.set_tcp_nodelay(true);
    let publisher = client.clone();
    let sender = tokio::spawn(async move {
        let mut answers = answers.lock().await;
        while let Some(message) = answers.recv().await {
            if publisher.publish(message.topic, QoS::AtLeastOnce, false, message.payload).await.is_err() {
                return;
            }
        }
    });
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                info!(host = %broker.host, port = broker.port, "connected to the broker");
                // The queue of a new client has room for it.
                if client.try_subscribe_many(filters()).is_err() {
                    break;
                }
            }
            Ok(Event::Incoming(Packet::SubAck(granted))) => {
                let is_refused = |code: &rumqttc::SubscribeReasonCode| *code == rumqttc::SubscribeReasonCode::Failure;
                if granted.return_codes.iter().any(is_refused) {
                    warn!("the broker does not let the shadow service subscribe to $aws/things/+/shadow/…");
                }
            }
            Ok(Event::Incoming(Packet::Publish(message))) => {
                let Some((name, operation)) = parse_request_topic(&message.topic) else { continue };
                let payload = message.payload.to_vec();
                let job = Job { name, operation, payload, writes: Writes::Both, reply: None, place: None };
                if jobs.try_send(job).is_err() {
                    warn!("the shadow service is behind; dropped a request");
                }
            }
            Ok(_) => {}
            Err(problem) => {
                warn!(host = %broker.host, port = broker.port, %problem, "no connection to the broker");
                break;
            }
        }
    }
    sender.abort();
    // The next connection's sender gets the queue once this one has let it go.
    let _ = sender.await;
}

fn filters() -> Vec<SubscribeFilter> {
    let requests = ["get", "update", "delete"];
    let topics = requests.iter().flat_map(|request| {
        [format!("$aws/things/+/shadow/{request}"), format!("$aws/things/+/shadow/name/+/{request}")]
    });
    topics.map(|topic| SubscribeFilter::new(topic, QoS::AtLeastOnce)).collect()
}
