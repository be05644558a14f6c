//! Serves metrics and the node's health over HTTP, apart from JSON-RPC: to be reached by the monitoring alone.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rpc::{Health, health};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tracing::debug;

use super::Metrics;

/// How many may ask at a time.
const CONNECTIONS_MAX: usize = 32;
/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The format that `prometheus-client` writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A running server; dropping it ends it.
pub struct MetricsServer {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins to serve.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(
    address: SocketAddr,
    metrics: Arc<Metrics>,
    health: Arc<dyn Health>,
) -> std::io::Result<MetricsServer> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(accept(listener, metrics, health));
    Ok(MetricsServer { address, task })
}

async fn accept(listener: TcpListener, metrics: Arc<Metrics>, health: Arc<dyn Health>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: trying again at once would spin.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (metrics, health) = (Arc::clone(&metrics), Arc::clone(&health));
        tokio::spawn(async move {
            serve_connection(socket, metrics, health).await;
            drop(place);
        });
    }
}

async fn serve_connection(socket: TcpStream, metrics: Arc<Metrics>, health: Arc<dyn Health>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (metrics, health) = (Arc::clone(&metrics), Arc::clone(&health));
        async move { Ok::<_, Infallible>(answer(&request, metrics, &*health).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    if let Err(error) = builder.serve_connection(TokioIo::new(socket), service).await {
        debug!(%error, "a scrape ended early");
    }
}

async fn answer(request: &Request<Incoming>, metrics: Arc<Metrics>, health: &dyn Health) -> Response<Full<Bytes>> {
    if request.method() != Method::GET {
        return page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned());
    }
    let path = request.uri().path();
    if path == "/metrics" {
        // Sizes of the database are read.
        return match tokio::task::spawn_blocking(move || metrics.text()).await {
            Ok(text) => page(StatusCode::OK, OPEN_METRICS, text),
            Err(error) => page(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", format!("{error}\n")),
        };
    }
    match health::page(health, path, request.uri().query()) {
        Some(shown) => {
            let status = StatusCode::from_u16(shown.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            page(status, "text/plain", shown.text)
        }
        None => {
            page(StatusCode::NOT_FOUND, "text/plain", "/metrics, /livez, /readyz and /health are here\n".to_owned())
        }
    }
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
