//! HTTP and WebSocket on one socket.
//!
//! A browser's page must not reach a node by accident: the `Host` of a request must be an IP address or a listed name (which
//! stops DNS rebinding), and what pages of other origins may do is listed too.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee::Methods;
use jsonrpsee::core::middleware::RpcServiceBuilder;
use jsonrpsee::server::{
    BatchRequestConfig, HttpBody, IdProvider, PingConfig, Server, ServerConfig, StopHandle, TowerServiceBuilder,
    http as jsonrpsee_http, ws,
};
use jsonrpsee::types::{ErrorObjectOwned, Id, SubscriptionId};
use parking_lot::RwLock;
use tokio::net::{TcpListener, TcpStream};
use tower::Service as _;
use tower::layer::util::Identity;

use crate::budget::{Budgets, Held, Share};
use crate::config::RpcLimits;
use crate::desk::Desk;
use crate::dispatch::{CannotPush, Dispatcher, Door, DoorLayer};
use crate::errors::RpcError;
use crate::filters::IdSource;
use crate::flow::{Counted, Flow};
use crate::gate::{Gate, Key};
use crate::gzip::{self, Coding, Unpacked};
use crate::health;
use crate::message::respond;
use crate::names::{Names, host_is_allowed, is_same_origin, origin_is_allowed};
use crate::patient::Patient;
use crate::session::Session;
use crate::slots::{Slot, Slots};

/// How long a request's body may take (geth's read timeout).
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The most memory for a request's headers, in bytes. Whoever sends them slowly holds as much.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// How long a browser may remember what it may ask.
const PREFLIGHT_SECONDS: &str = "600";
/// A batch this many times over the limit is refused before its entries are read.
const BATCH_READ_FACTOR: usize = 10;
/// How many answers may wait for a WebSocket client to read them.
const WS_ANSWERS_WAITING: u32 = 64;

/// One listening socket.
#[derive(Clone)]
pub(crate) struct Listener {
    sides: Arc<RwLock<Sides>>,
    slots: Arc<Slots>,
    idle_timeout: Duration,
    read_timeout: Duration,
    /// What lasting connections share.
    budgets: Budgets,
}

/// What a socket serves, and to whom.
#[derive(Clone, Default)]
struct Sides {
    gate: Option<Gate>,
    http: Option<Arc<HttpSide>>,
    ws: Option<Arc<WsSide>>,
}

impl Listener {
    /// Serves, within limits, what is put in; through `gate` where there is one. Lasting connections count against `budgets`.
    pub(crate) fn new(limits: &RpcLimits, gate: Option<Gate>, budgets: Budgets) -> Self {
        Self {
            sides: Arc::new(RwLock::new(Sides { gate, ..Sides::default() })),
            slots: Slots::new(limits.connections),
            idle_timeout: limits.idle_timeout,
            read_timeout: limits.read_timeout,
            budgets,
        }
    }

    /// Serves HTTP from now on, or no more.
    pub(crate) fn set_http(&self, side: Option<Arc<HttpSide>>) {
        self.sides.write().http = side;
    }

    /// Serves WebSocket from now on, or no more; connections that stand are not touched.
    pub(crate) fn set_ws(&self, side: Option<Arc<WsSide>>) {
        self.sides.write().ws = side;
    }

    /// Accepts connections until the server stops. Where all places are taken the longest idle connection makes room; where none is idle,
    /// the new one is closed at once.
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
                    let Some(slot) = self.slots.enter() else { continue };
                    let (listener, stop) = (self.clone(), stop.clone());
                    tokio::spawn(async move { listener.serve_connection(connection, Arc::new(slot), stop).await });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: trying again at once would spin.
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn serve_connection(self, connection: TcpStream, slot: Arc<Slot>, stop: StopHandle) {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection is gone");
            return;
        }
        let (place, flow) = (Arc::clone(&slot), Flow::new(&self.budgets));
        let connection = Counted::new(connection, Arc::clone(&flow));
        let service = hyper::service::service_fn(move |request| {
            let (sides, slot, flow) = (self.sides.read().clone(), Arc::clone(&slot), Arc::clone(&flow));
            async move {
                let _running = slot.run();
                Ok::<_, Infallible>(sides.answer(request, flow).await)
            }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.idle_timeout).max_buf_size(HEADER_BYTES_MAX);
        let connection = TokioIo::new(Patient::new(connection, self.read_timeout));
        let serving = builder.serve_connection(connection, service).with_upgrades();
        tokio::pin!(serving);
        let ended = tokio::select! {
            ended = &mut serving => ended,
            () = place.is_wanted() => return,
            () = stop.shutdown() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

impl Sides {
    async fn answer(self, request: Request<Incoming>, flow: Arc<Flow>) -> Response<HttpBody> {
        let upgrades = ws::is_upgrade_request(&request);
        // Health checks and the questions of browsers before a request ask nothing that a key would be for.
        let asks = upgrades || request.method() == Method::POST;
        let opened = self.gate.as_ref().filter(|_| asks).map(|gate| gate.open(&request, now_seconds()));
        let key = match opened.transpose() {
            Ok(shown) => shown.flatten(),
            Err(why) => return plain(StatusCode::UNAUTHORIZED, &format!("{why}\n")),
        };
        match (upgrades, &self.ws, &self.http) {
            (true, Some(ws), _) => ws.answer(request, key, flow).await,
            (true, None, _) => plain(StatusCode::NOT_FOUND, "WebSocket is off here"),
            (false, _, Some(http)) => http.answer(request, key).await,
            (false, _, None) => plain(StatusCode::NOT_FOUND, "HTTP is off here"),
        }
    }
}

/// The machine's clock, which tokens go by: that of a development chain may be set.
fn now_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Answers with a line of text.
fn plain(status: StatusCode, text: &str) -> Response<HttpBody> {
    let mut response = Response::new(HttpBody::from(text.to_owned()));
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
    budgets: Budgets,
    desk: Option<Desk>,
}

impl HttpSide {
    /// Serves what `session` offers, and the desk where there is one.
    pub(crate) fn new(
        dispatcher: Arc<Dispatcher>,
        session: Session,
        cors: Vec<String>,
        vhosts: Vec<String>,
        limits: &RpcLimits,
        budgets: Budgets,
        desk: Option<Desk>,
    ) -> Self {
        Self {
            door: Door { dispatcher, session, subscribing: CannotPush, places: None, flow: None },
            origins: Names::new(cors),
            vhosts: Names::new(vhosts),
            body_bytes: limits.body_bytes,
            batch_items: limits.batch_items,
            budgets,
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
        let mut response = plain(StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "");
        *response.body_mut() = HttpBody::from(page.text);
        response
    }

    async fn answer_post(&self, request: Request<Incoming>, key: Option<Arc<Key>>) -> Response<HttpBody> {
        if !jsonrpsee_http::content_type_is_json(&request) {
            return jsonrpsee_http::response::unsupported_content_type();
        }
        let Some(coding) = gzip::of_request(request.headers()) else {
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a body may be compressed by gzip alone\n");
        };
        let is_packed = gzip::is_accepted(request.headers());
        let (body, _share) = match self.read_body(request.into_body(), coding).await {
            Ok(read) => read,
            Err(refusal) => return refusal,
        };
        let door = Door { session: self.door.session.with_key(key), ..self.door.clone() };
        let response = respond(&door, &body, self.batch_items).await;
        drop(body);
        if response.is_notification() {
            return Response::new(HttpBody::empty());
        }
        self.write_answer(String::from(Box::<str>::from(response.into_json())), is_packed).await
    }

    /// Reads a request's body, which counts as long as its share is held; or says why not.
    async fn read_body(&self, body: Incoming, coding: Coding) -> Result<(Vec<u8>, Share), Response<HttpBody>> {
        let most = usize::try_from(self.body_bytes).unwrap_or(usize::MAX);
        let too_large = || jsonrpsee_http::response::too_large(self.body_bytes);
        if body.size_hint().lower() > u64::from(self.body_bytes) {
            return Err(too_large());
        }
        let mut share = self.budgets.requests.share();
        let reading = tokio::time::timeout(BODY_TIMEOUT, collect(body, most, &mut share)).await;
        let bytes = reading.map_err(|_| plain(StatusCode::REQUEST_TIMEOUT, "the body took too long\n"))?;
        let bytes = bytes.map_err(|unread| match unread {
            Unread::TooLong => too_large(),
            Unread::Damaged => plain(StatusCode::BAD_REQUEST, "the body cannot be read\n"),
            Unread::NoRoom => plain(StatusCode::SERVICE_UNAVAILABLE, "too many requests wait\n"),
        })?;
        if coding == Coding::Plain {
            return Ok((bytes, share));
        }
        let unpacked = tokio::task::spawn_blocking(move || gzip::decompress(&bytes, most)).await;
        match unpacked {
            Ok(Ok(plain_bytes)) if share.grow(plain_bytes.len()) => Ok((plain_bytes, share)),
            Ok(Ok(_)) => Err(plain(StatusCode::SERVICE_UNAVAILABLE, "too many requests wait\n")),
            Ok(Err(Unpacked::TooLong)) => Err(too_large()),
            Ok(Err(Unpacked::Damaged)) | Err(_) => {
                Err(plain(StatusCode::BAD_REQUEST, "the body is not compressed by gzip\n"))
            }
        }
    }

    /// Writes an answer, compressed where the client takes it so and it is worth it.
    async fn write_answer(&self, text: String, is_packed: bool) -> Response<HttpBody> {
        let bytes = text.into_bytes();
        let packed = match bytes.len() {
            length if !is_packed || length < gzip::BYTES_MIN => None,
            length if length <= gzip::INLINE_BYTES_MAX => gzip::compress(&bytes).ok(),
            _ => {
                let copy = Bytes::from(bytes);
                let to_pack = copy.clone();
                let packed = tokio::task::spawn_blocking(move || gzip::compress(&to_pack).ok()).await;
                return self.finish_answer(packed.ok().flatten().ok_or_else(|| copy.to_vec()));
            }
        };
        self.finish_answer(packed.ok_or(bytes))
    }

    /// Puts headers before an answer: `Ok` is a compressed one.
    fn finish_answer(&self, answer: Result<Vec<u8>, Vec<u8>>) -> Response<HttpBody> {
        let (bytes, is_packed) = answer.map_or_else(|bytes| (bytes, false), |bytes| (bytes, true));
        let Some(share) = self.budgets.answers.take(bytes.len()) else {
            let refusal = jsonrpsee::server::MethodResponse::error(Id::Null, ErrorObjectOwned::from(RpcError::busy()));
            return jsonrpsee_http::response::from_method_response(refusal);
        };
        let body = http_body_util::Full::new(Bytes::from_owner(Held { bytes, _share: share }));
        let mut response = Response::new(HttpBody::new(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        if is_packed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
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
            response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
}

/// Says why a body is not read.
enum Unread {
    TooLong,
    Damaged,
    /// All requests together take all the memory that they may.
    NoRoom,
}

/// Collects a body of at most `most` bytes, each of which is taken from the share's budget before it is kept.
async fn collect(mut body: Incoming, most: usize, share: &mut Share) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame.map_err(|_| Unread::Damaged)?.into_data() else { continue };
        if bytes.len() + part.len() > most {
            return Err(Unread::TooLong);
        }
        if !share.grow(part.len()) {
            return Err(Unread::NoRoom);
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// The WebSocket side of a socket.
pub(crate) struct WsSide {
    stop: StopHandle,
    service: TowerServiceBuilder<Identity, Identity>,
    layer: DoorLayer,
    methods: Methods,
    origins: Names,
    vhosts: Names,
    /// Whether this node serves pages itself, which may connect to where they come from.
    has_pages: bool,
}

impl WsSide {
    /// Serves what `session` offers, and subscriptions, until it stops.
    #[allow(clippy::too_many_arguments, reason = "each is another part of the set-up, used here alone")]
    pub(crate) fn new(
        dispatcher: Arc<Dispatcher>,
        methods: Methods,
        session: Session,
        origins: Vec<String>,
        vhosts: Vec<String>,
        limits: &RpcLimits,
        ids: Arc<IdSource>,
        stop: StopHandle,
    ) -> Self {
        let config = ServerConfig::builder()
            .ws_only()
            .max_connections(u32::try_from(limits.lasting_connections).unwrap_or(u32::MAX))
            .max_request_body_size(limits.ws_message_bytes)
            .max_response_body_size(u32::MAX)
            .max_subscriptions_per_connection(limits.subscriptions)
            .set_batch_request_config(batch_config(limits))
            .set_message_buffer_capacity(WS_ANSWERS_WAITING)
            .enable_ws_ping(PingConfig::new())
            .set_id_provider(HexIds(ids))
            .build();
        let service = Server::builder().set_config(config).to_service_builder();
        let layer = DoorLayer { dispatcher, session, flow: None };
        let (origins, vhosts) = (Names::new(origins), Names::new(vhosts));
        Self { stop, service, layer, methods, origins, vhosts, has_pages: false }
    }

    /// Lets the pages that this node serves itself connect.
    pub(crate) fn for_own_pages(self, has_pages: bool) -> Self {
        Self { has_pages, ..self }
    }

    /// The host was checked before, so that a page that comes from it is ours.
    fn allows_origin(&self, headers: &HeaderMap) -> bool {
        (self.has_pages && is_same_origin(headers)) || origin_is_allowed(headers, &self.origins)
    }

    async fn answer(&self, request: Request<Incoming>, key: Option<Arc<Key>>, flow: Arc<Flow>) -> Response<HttpBody> {
        if !host_is_allowed(&request, &self.vhosts) {
            return plain(StatusCode::FORBIDDEN, "invalid host specified\n");
        }
        if !self.allows_origin(request.headers()) {
            return plain(StatusCode::FORBIDDEN, "origin not allowed\n");
        }
        flow.last();
        let layer = DoorLayer { session: self.layer.session.with_key(key), flow: Some(flow), ..self.layer.clone() };
        let middleware = RpcServiceBuilder::new().layer(layer);
        let service = self.service.clone().set_rpc_middleware(middleware);
        let mut service = service.build(self.methods.clone(), self.stop.clone());
        match service.call(request).await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(%error, "a WebSocket handshake failed");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "the handshake failed\n")
            }
        }
    }
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
