//! Accepts connections: the TLS handshake of each in a task of its own with a limit of time, then MQTT or HTTPS.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use super::connection::{Peer, serve};
use super::limits::{CONNECTIONS_MAX, HANDSHAKE_TIME_MAX, HANDSHAKES_MAX};
use super::{STOP_TIME_MAX, Shared};
use crate::registry::CertificateId;
use crate::shadow::now_seconds;
use crate::tls::ALPN_HTTP;

/// How long to wait after the system refused to accept: it has no descriptors left, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a port is for, where the client negotiates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Mqtt,
    Https,
}

/// Accepts connections until the broker stops, and then waits for them.
pub(super) async fn listen(
    shared: Arc<Shared>,
    listener: TcpListener,
    protocol: Protocol,
    mut stopped: watch::Receiver<bool>,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stopped.changed() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // At the limit new sockets are closed at once; nothing waits for those that stall.
        let (Ok(handshake), Ok(place)) = (handshakes.clone().try_acquire_owned(), places.clone().try_acquire_owned())
        else {
            warn!("too many connections; closed one");
            continue;
        };
        let (shared, mut stopped) = (shared.clone(), stopped.clone());
        connections.spawn(async move {
            let _place = place;
            let greeted = tokio::select! {
                greeted = greet(&shared, stream) => greeted,
                _ = stopped.changed() => return,
            };
            drop(handshake);
            let Some((stream, peer)) = greeted else { return };
            let asks_for_http = stream.get_ref().1.alpn_protocol().map(|name| ALPN_HTTP.contains(&name));
            match (asks_for_http, protocol) {
                (Some(true), _) | (None, Protocol::Https) => crate::rest::serve(shared, stream, peer, stopped).await,
                (Some(false), _) | (None, Protocol::Mqtt) => serve(shared, stream, peer).await,
            }
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP_TIME_MAX, all).await.is_err() {
        connections.abort_all();
    }
}

/// Shakes hands, and looks up who it is.
async fn greet(shared: &Shared, stream: TcpStream) -> Option<(TlsStream<TcpStream>, Peer)> {
    // Small messages go out at once.
    stream.set_nodelay(true).ok()?;
    let acceptor = TlsAcceptor::from(shared.tls.config.clone());
    let stream = match timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            debug!(%error, "refused a handshake");
            return None;
        }
        Err(_) => {
            debug!("a handshake took too long");
            return None;
        }
    };
    let certificate = CertificateId::of(stream.get_ref().1.peer_certificates()?.first()?);
    let revision = shared.registry.revision();
    let (thing, _) = shared.registry.accept(&certificate, now_seconds()).ok()?;
    Some((stream, Peer { certificate, thing, revision }))
}
