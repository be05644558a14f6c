//! HTTP and WebSocket on one socket.
//!
//! A browser's page must not reach a node by accident: the `Host` of a request must be an IP address or a listed name (which
//! stops DNS rebinding), and what pages of other origins may do is listed too.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee::Methods;
use jsonrpsee::core::middleware::RpcServiceBuilder;
use jsonrpsee::server::{
    BatchRequestConfig, HttpBody, IdProvider, PingConfig, Server, ServerConfig, StopHandle, TowerServiceBuilder,
    http as jsonrpsee_http, ws,
};
use jsonrpsee::types::SubscriptionId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::Service as _;
use tower::layer::util::Identity;

use crate::config::RpcLimits;
use crate::desk::Desk;
use crate::dispatch::{CannotPush, Dispatcher, Door, DoorLayer};
use crate::filters::IdSource;
use crate::gate::{Gate, Key};
use crate::health;
use crate::message::respond;
use crate::session::Session;

/// How long a connection may wait between requests, or take to send a request's headers (geth's idle timeout).
const HEADER_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a request's body may take (geth's read timeout).
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a browser may remember what it may ask.
const PREFLIGHT_SECONDS: &str = "600";
/// A batch this many times over the limit is refused before its entries are read.
const BATCH_READ_FACTOR: usize = 10;

/// One listening socket.
pub(crate) struct Listener {
    sides: Arc<Sides>,
    connections: Arc<Semaphore>,
}

/// What a socket serves, and to whom.
struct Sides {
    gate: Option<Gate>,
    http: Option<HttpSide>,
    ws: Option<Arc<WsSide>>,
}

impl Listener {
    /// Serves HTTP, WebSocket or both, to at most `connections` at a time, and through `gate` where there is one.
    pub(crate) fn new(http: Option<HttpSide>, ws: Option<Arc<WsSide>>, connections: usize, gate: Option<Gate>) -> Self {
        Self { sides: Arc::new(Sides { gate, http, ws }), connections: Arc::new(Semaphore::new(connections)) }
    }

    /// Accepts connections until the server stops. One too many is closed at once.
    pub(crate) async fn accept(self, socket: TcpListener, stop: StopHandle) {
        let stopped = stop.clone().shutdown();
        tokio::pin!(stopped);
        loop {
            let accepted = tokio::select! {
                () = &mut stopped => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((connection, _)) => {
                    let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else { continue };
                    let (sides, stop) = (Arc::clone(&self.sides), stop.clone());
                    tokio::spawn(async move {
                        serve_connection(sides, connection, stop).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: trying again at once would spin.
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

async fn serve_connection(sides: Arc<Sides>, connection: TcpStream, stop: StopHandle) {
    if let Err(error) = connection.set_nodelay(true) {
        tracing::debug!(%error, "a connection is gone");
        return;
    }
    let stopping = stop.clone();
    let service = hyper::service::service_fn(move |request| {
        let (sides, stop) = (Arc::clone(&sides), stopping.clone());
        async move { Ok::<_, Infallible>(sides.answer(request, stop).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let serving = builder.serve_connection(TokioIo::new(connection), service).with_upgrades();
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = stop.shutdown() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

impl Sides {
    async fn answer(&self, request: Request<Incoming>, stop: StopHandle) -> Response<HttpBody> {
        let upgrades = ws::is_upgrade_request(&request);
        // Health checks and the questions of browsers before a request ask nothing that a key would be for.
        let asks = upgrades || request.method() == Method::POST;
        let key = match self.gate.as_ref().filter(|_| asks).map(|gate| gate.key_of(&request)) {
            Some(None) => return plain(StatusCode::UNAUTHORIZED, "an API key is needed here\n"),
            Some(shown) => shown,
            None => None,
        };
        match (upgrades, &self.ws, &self.http) {
            (true, Some(ws), _) => ws.answer(request, stop, key).await,
            (true, None, _) => plain(StatusCode::NOT_FOUND, "WebSocket is off here"),
            (false, _, Some(http)) => http.answer(request, key).await,
            (false, _, None) => plain(StatusCode::NOT_FOUND, "HTTP is off here"),
        }
    }
}

/// Answers with a line of text.
fn plain(status: StatusCode, text: &'static str) -> Response<HttpBody> {
    let mut response = Response::new(HttpBody::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The HTTP side of a socket.
pub(crate) struct HttpSide {
    door: Door<CannotPush>,
    origins: Names,
    vhosts: Names,
    body_bytes: u32,
    batch_items: usize,
    desk: Option<Desk>,
}

impl HttpSide {
    /// Serves what `session` offers.
    pub(crate) fn new(
        dispatcher: Arc<Dispatcher>,
        session: Session,
        cors: Vec<String>,
        vhosts: Vec<String>,
        limits: &RpcLimits,
        desk: Option<Desk>,
    ) -> Self {
        Self {
            door: Door { dispatcher, session, subscribing: CannotPush },
            origins: Names::new(cors),
            vhosts: Names::new(vhosts),
            body_bytes: limits.body_bytes,
            batch_items: limits.batch_items,
            desk,
        }
    }

    async fn answer(&self, request: Request<Incoming>, key: Option<Arc<Key>>) -> Response<HttpBody> {
        if !host_is_allowed(&request, &self.vhosts) {
            return plain(StatusCode::FORBIDDEN, "invalid host specified\n");
        }
        if let Some(response) = self.desk.as_ref().and_then(|desk| desk.answer(&request)) {
            return response;
        }
        let origin = request.headers().get(header::ORIGIN).cloned();
        let mut response = match *request.method() {
            Method::POST => self.answer_post(request, key).await,
            Method::OPTIONS => self.answer_preflight(&request),
            Method::GET if request.uri().path() != "/" => self.answer_health(&request),
            // Health checks of load balancers ask nothing.
            Method::GET if request.uri().query().is_none() && request.body().is_end_stream() => {
                let welcome = self.desk.as_ref().and_then(|_| Desk::welcome(request.headers()));
                welcome.unwrap_or_else(|| Response::new(HttpBody::empty()))
            }
            _ => plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
        };
        self.add_cors(&mut response, origin);
        response
    }

    fn answer_health(&self, request: &Request<Incoming>) -> Response<HttpBody> {
        let health = &self.door.dispatcher.services().operation.health;
        let Some(page) = health::page(&**health, request.uri().path(), request.uri().query()) else {
            return plain(StatusCode::NOT_FOUND, "there is no such page\n");
        };
        let mut response = plain(if page.is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, "");
        *response.body_mut() = HttpBody::from(page.text);
        response
    }

    async fn answer_post(&self, request: Request<Incoming>, key: Option<Arc<Key>>) -> Response<HttpBody> {
        if !jsonrpsee_http::content_type_is_json(&request) {
            return jsonrpsee_http::response::unsupported_content_type();
        }
        let body = request.into_body();
        let most = usize::try_from(self.body_bytes).unwrap_or(usize::MAX);
        if body.size_hint().lower() > u64::from(self.body_bytes) {
            return jsonrpsee_http::response::too_large(self.body_bytes);
        }
        let body = match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, most).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return jsonrpsee_http::response::too_large(self.body_bytes);
            }
            Ok(Err(_)) => return plain(StatusCode::BAD_REQUEST, "the body cannot be read\n"),
            Err(_) => return plain(StatusCode::REQUEST_TIMEOUT, "the body took too long\n"),
        };
        let door = Door { session: self.door.session.with_key(key), ..self.door.clone() };
        let response = respond(&door, &body, self.batch_items).await;
        if response.is_notification() {
            return Response::new(HttpBody::empty());
        }
        jsonrpsee_http::response::from_method_response(response)
    }

    /// Tells a browser what it may ask.
    fn answer_preflight(&self, request: &Request<Incoming>) -> Response<HttpBody> {
        let mut response = Response::new(HttpBody::empty());
        let allowed = request.headers().get(header::ORIGIN).is_some_and(|origin| self.origins.allow(origin));
        if allowed && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET"));
            let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS);
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                asked.cloned().unwrap_or(HeaderValue::from_static("content-type")),
            );
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
        }
        response
    }

    /// Lets the page that asked read the answer, where its origin is allowed.
    fn add_cors(&self, response: &mut Response<HttpBody>, origin: Option<HeaderValue>) {
        if let Some(origin) = origin.filter(|origin| self.origins.allow(origin)) {
            let shown = if self.origins.any { HeaderValue::from_static("*") } else { origin };
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, shown);
            response.headers_mut().insert(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
}

/// The WebSocket side of a socket.
pub(crate) struct WsSide {
    service: TowerServiceBuilder<Identity, Identity>,
    layer: DoorLayer,
    methods: Methods,
    origins: Names,
    vhosts: Names,
    /// Whether this node serves pages itself, which may connect to where they come from.
    has_pages: bool,
}

impl WsSide {
    /// Serves what `session` offers, and subscriptions.
    pub(crate) fn new(
        dispatcher: Arc<Dispatcher>,
        methods: Methods,
        session: Session,
        origins: Vec<String>,
        vhosts: Vec<String>,
        limits: &RpcLimits,
        ids: Arc<IdSource>,
    ) -> Self {
        let config = ServerConfig::builder()
            .ws_only()
            .max_connections(u32::try_from(limits.connections).unwrap_or(u32::MAX))
            .max_request_body_size(limits.ws_message_bytes)
            .max_response_body_size(u32::MAX)
            .max_subscriptions_per_connection(limits.subscriptions)
            .set_batch_request_config(batch_config(limits))
            .enable_ws_ping(PingConfig::new())
            .set_id_provider(HexIds(ids))
            .build();
        let service = Server::builder().set_config(config).to_service_builder();
        let layer = DoorLayer { dispatcher, session };
        Self { service, layer, methods, origins: Names::new(origins), vhosts: Names::new(vhosts), has_pages: false }
    }

    /// Lets the pages that this node serves itself connect.
    pub(crate) fn for_own_pages(self, has_pages: bool) -> Self {
        Self { has_pages, ..self }
    }

    /// The host was checked before, so that a page that comes from it is ours.
    fn allows_origin(&self, headers: &HeaderMap) -> bool {
        (self.has_pages && is_same_origin(headers)) || origin_is_allowed(headers, &self.origins)
    }

    async fn answer(&self, request: Request<Incoming>, stop: StopHandle, key: Option<Arc<Key>>) -> Response<HttpBody> {
        if !host_is_allowed(&request, &self.vhosts) {
            return plain(StatusCode::FORBIDDEN, "invalid host specified\n");
        }
        if !self.allows_origin(request.headers()) {
            return plain(StatusCode::FORBIDDEN, "origin not allowed\n");
        }
        let layer = DoorLayer { session: self.layer.session.with_key(key), ..self.layer.clone() };
        let middleware = RpcServiceBuilder::new().layer(layer);
        let mut service = self.service.clone().set_rpc_middleware(middleware).build(self.methods.clone(), stop);
        match service.call(request).await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(%error, "a WebSocket handshake failed");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "the handshake failed\n")
            }
        }
    }
}

/// Tells whether a page asks the very host and port that it came from. Behind a proxy that rewrites the host it does not look so.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    origin.is_some_and(|origin| text(header::HOST).is_some_and(|host| host.eq_ignore_ascii_case(origin)))
}

/// Programs send no origin; pages must come from a listed one, or, where none is listed, from this machine.
fn origin_is_allowed(headers: &HeaderMap, origins: &Names) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    if origins.is_empty() {
        let host = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host_of(host));
        return host.is_some_and(|host| host == "localhost" || is_loopback(host));
    }
    origins.allow(origin)
}

/// jsonrpsee reads batches up to this length; the door refuses those above the configured limit in its own words.
fn batch_config(limits: &RpcLimits) -> BatchRequestConfig {
    BatchRequestConfig::Limit(u32::try_from(limits.batch_items.saturating_mul(BATCH_READ_FACTOR)).unwrap_or(u32::MAX))
}

/// Subscription ids as Ethereum's clients want them: hexadecimal strings.
#[derive(Debug)]
pub(crate) struct HexIds(pub(crate) Arc<IdSource>);

impl IdProvider for HexIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        format!("{:#x}", self.0.next()).into()
    }
}

/// A list of names; `*` is every name.
struct Names {
    any: bool,
    names: Vec<String>,
}

impl Names {
    fn new(names: Vec<String>) -> Self {
        let names: Vec<String> = names.into_iter().map(|name| name.trim().to_ascii_lowercase()).collect();
        Self { any: names.iter().any(|name| name == "*"), names }
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn contain(&self, name: &str) -> bool {
        self.any || self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    fn allow(&self, value: &HeaderValue) -> bool {
        value.to_str().is_ok_and(|name| self.contain(name))
    }
}

/// Tells whether a request is addressed to an IP address or a listed name. HTTP/1.0 names no host.
fn host_is_allowed<B>(request: &Request<B>, vhosts: &Names) -> bool {
    let Some(value) = request.headers().get(header::HOST) else { return true };
    let Ok(value) = value.to_str() else { return false };
    let host = host_of(value);
    value.is_empty() || host.parse::<IpAddr>().is_ok() || vhosts.contain(host)
}

/// Cuts the port off, and the brackets of IPv6 addresses.
fn host_of(value: &str) -> &str {
    match value.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => value.rsplit_once(':').map_or(value, |(host, _)| host),
    }
}

fn is_loopback(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hosts_are_allowed_as_in_geth() {
        let allowed = |host: &str, vhosts: &[&str]| {
            let request = Request::builder().header("host", host).body(()).unwrap();
            host_is_allowed(&request, &Names::new(vhosts.iter().map(|name| (*name).to_owned()).collect()))
        };
        let cases = [
            ("localhost", &["localhost"][..], true),
            ("localhost:8545", &["localhost"], true),
            ("LOCALHOST:8545", &["localhost"], true),
            ("127.0.0.1:8545", &["localhost"], true),
            ("10.1.2.3", &[], true),
            ("[::1]:8545", &[], true),
            ("evil.example:8545", &["localhost"], false),
            ("evil.example", &["*"], true),
            ("node.example", &["localhost", "node.example"], true),
            ("localhost.evil.example", &["localhost"], false),
        ];
        for (host, vhosts, expected) in cases {
            assert_eq!(allowed(host, vhosts), expected, "{host} {vhosts:?}");
        }
        let none = Request::builder().body(()).unwrap();
        assert!(host_is_allowed(&none, &Names::new(vec![])));
    }

    #[test]
    fn pages_connect_from_listed_origins_or_from_this_machine() {
        let allowed = |origin: &str, origins: &[&str]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            origin_is_allowed(&headers, &Names::new(origins.iter().map(|name| (*name).to_owned()).collect()))
        };
        let cases = [
            ("http://localhost:3000", &[][..], true),
            ("http://127.0.0.1", &[], true),
            ("https://evil.example", &[], false),
            ("null", &[], false),
            ("https://evil.example", &["*"], true),
            ("https://desk.example", &["https://desk.example"], true),
            ("https://evil.example", &["https://desk.example"], false),
        ];
        for (origin, origins, expected) in cases {
            assert_eq!(allowed(origin, origins), expected, "{origin} {origins:?}");
        }
        assert!(origin_is_allowed(&HeaderMap::new(), &Names::new(vec![])));
    }

    #[test]
    fn a_page_of_this_node_is_known_by_host_and_port() {
        let same = |origin: &str, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            headers.insert(header::HOST, host.parse().unwrap());
            is_same_origin(&headers)
        };
        assert!(same("http://10.0.0.7:8545", "10.0.0.7:8545") && same("https://Node.example", "node.example"));
        assert!(!same("http://10.0.0.7:8546", "10.0.0.7:8545") && !same("https://evil.example", "10.0.0.7:8545"));
        assert!(!same("null", "null") && !is_same_origin(&HeaderMap::new()));
    }
}
