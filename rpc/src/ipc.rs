//! JSON-RPC over a unix socket: a stream of JSON values one after the other, as geth's `geth.ipc`.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jsonrpsee::Methods;
use jsonrpsee::core::middleware::Request;
use jsonrpsee::server::{
    BoundedSubscriptions, ConnectionId, MethodCallback, MethodResponse, MethodSink, StopHandle, SubscriptionState,
};
use jsonrpsee::types::{ErrorObjectOwned, Id, Params};
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

use crate::config::RpcLimits;
use crate::dispatch::{Dispatcher, Door, Subscribing};
use crate::errors::{INVALID_REQUEST, PARSE_ERROR, RpcError};
use crate::filters::IdSource;
use crate::http::HexIds;
use crate::message::respond;
use crate::patient::Patient;
use crate::session::Session;

/// How many answers and notifications may wait for a client to read them.
const OUTGOING_CAPACITY: usize = 256;
/// How many requests of one connection may be answered at the same time.
const CONCURRENT_REQUESTS: usize = 64;
/// Connection ids begin here, apart from those of WebSocket.
const FIRST_CONNECTION: usize = 1 << 32;

/// Listens on `path`, for the user alone. A socket that a killed node left behind is replaced, one that answers is not.
pub(crate) async fn bind(path: &Path) -> io::Result<UnixListener> {
    if path.exists() {
        if UnixStream::connect(path).await.is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another node listens there"));
        }
        std::fs::remove_file(path)?;
    }
    let socket = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(socket)
}

/// Serves the unix socket.
pub(crate) struct IpcServer {
    dispatcher: Arc<Dispatcher>,
    methods: Methods,
    session: Session,
    limits: RpcLimits,
    ids: Arc<HexIds>,
    next_connection: AtomicUsize,
    connections: Arc<Semaphore>,
}

impl IpcServer {
    /// Serves what `session` offers, and subscriptions.
    pub(crate) fn new(
        dispatcher: Arc<Dispatcher>,
        methods: Methods,
        session: Session,
        limits: &RpcLimits,
        ids: Arc<IdSource>,
    ) -> Self {
        Self {
            dispatcher,
            methods,
            session,
            limits: limits.clone(),
            ids: Arc::new(HexIds(ids)),
            next_connection: AtomicUsize::new(FIRST_CONNECTION),
            connections: Arc::new(Semaphore::new(limits.lasting_connections)),
        }
    }

    /// Accepts connections until the server stops, and removes the socket then.
    pub(crate) async fn accept(self, socket: UnixListener, path: PathBuf, stop: StopHandle) {
        let stopped = stop.clone().shutdown();
        tokio::pin!(stopped);
        loop {
            let accepted = tokio::select! {
                () = &mut stopped => break,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else { continue };
                    let (connection, stop) = (self.connect(stream), stop.clone());
                    tokio::spawn(async move {
                        tokio::select! {
                            () = connection => {}
                            () = stop.shutdown() => {}
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(socket);
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::debug!(%error, path = %path.display(), "the unix socket cannot be removed");
        }
    }

    fn connect(&self, stream: UnixStream) -> impl Future<Output = ()> + Send + use<> {
        let (reader, writer) = stream.into_split();
        let (outgoing, to_write) = mpsc::channel(OUTGOING_CAPACITY);
        let subscribing = IpcSubscriptions {
            methods: self.methods.clone(),
            sink: MethodSink::new(outgoing.clone()),
            bounded: BoundedSubscriptions::new(self.limits.subscriptions),
            ids: Arc::clone(&self.ids),
            connection: ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed)),
        };
        let (dispatcher, session) = (Arc::clone(&self.dispatcher), self.session.clone());
        let door = Door { dispatcher, session, subscribing, places: None, flow: None };
        let limits = self.limits.clone();
        async move {
            tokio::select! {
                () = read(reader, door, outgoing, &limits) => {}
                () = write(writer, to_write, limits.read_timeout) => {}
            }
        }
    }
}

/// Writes answers and notifications, one a line, until the client or the server is gone, or the client does not read for too long.
async fn write(writer: OwnedWriteHalf, mut to_write: mpsc::Receiver<Box<RawValue>>, patience: Duration) {
    let mut writer = Patient::new(writer, patience);
    while let Some(message) = to_write.recv().await {
        let line = [message.get().as_bytes(), b"\n"].concat();
        if writer.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// Reads requests until the client is gone or sends what is no JSON.
async fn read(
    mut reader: OwnedReadHalf,
    door: Door<IpcSubscriptions>,
    outgoing: mpsc::Sender<Box<RawValue>>,
    limits: &RpcLimits,
) {
    let most = usize::try_from(limits.ws_message_bytes).unwrap_or(usize::MAX);
    let mut framer = Framer::new(most);
    let requests = Arc::new(Semaphore::new(CONCURRENT_REQUESTS));
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let message = loop {
            match framer.next() {
                Ok(Some(message)) => break message,
                Ok(None) => match reader.read(&mut chunk).await {
                    Ok(0) | Err(_) => return finish(&requests).await,
                    Ok(count) => framer.feed(&chunk[..count]),
                },
                Err(error) => {
                    let refusal = MethodResponse::error(Id::Null, ErrorObjectOwned::from(error));
                    let _ = outgoing.send(refusal.into_json()).await;
                    // What follows cannot be told apart from garbage; the answer is still written.
                    return finish_writing(&outgoing).await;
                }
            }
        };
        let Ok(permit) = Arc::clone(&requests).acquire_owned().await else { return };
        let (door, outgoing, batch_items) = (door.clone(), outgoing.clone(), limits.batch_items);
        tokio::spawn(async move {
            let response = tokio::select! {
                () = outgoing.closed() => return,
                response = respond(&door, &message, batch_items) => response,
            };
            // A subscription has sent its own response, before its first notification.
            if response.is_method_call() || response.is_batch() {
                let _ = outgoing.send(response.into_json()).await;
            }
            drop(permit);
        });
    }
}

/// Waits until all running requests are answered: a client may send its last request and close its side.
async fn finish(requests: &Semaphore) {
    let all = u32::try_from(CONCURRENT_REQUESTS).expect("a small constant");
    let _ = tokio::time::timeout(Duration::from_secs(5), requests.acquire_many(all)).await;
}

/// Gives the writer the time to write what is in the channel.
async fn finish_writing(outgoing: &mpsc::Sender<Box<RawValue>>) {
    let all = outgoing.reserve_many(OUTGOING_CAPACITY);
    let _ = tokio::time::timeout(Duration::from_secs(1), all).await;
}

/// Subscriptions of one connection.
#[derive(Clone)]
struct IpcSubscriptions {
    methods: Methods,
    sink: MethodSink,
    bounded: BoundedSubscriptions,
    ids: Arc<HexIds>,
    connection: ConnectionId,
}

impl Subscribing for IpcSubscriptions {
    async fn subscribe<'a>(self, request: Request<'a>) -> MethodResponse {
        let Request { id, method, params, extensions, .. } = request;
        let params = Params::new(params.as_deref().map(RawValue::get));
        match self.methods.method_with_name(&method) {
            Some((_, MethodCallback::Subscription(callback))) => {
                let Some(permit) = self.bounded.acquire() else {
                    let words = format!("too many subscriptions: at most {} per connection", self.bounded.max());
                    return MethodResponse::error(id, ErrorObjectOwned::from(RpcError::server(words)));
                };
                let state = SubscriptionState {
                    conn_id: self.connection,
                    id_provider: self.ids.as_ref(),
                    subscription_permit: permit,
                };
                callback(id.into_owned(), params.into_owned(), self.sink, state, extensions).await
            }
            Some((_, MethodCallback::Unsubscription(callback))) => {
                callback(id, params, self.connection, usize::MAX, extensions)
            }
            _ => MethodResponse::error(id, ErrorObjectOwned::from(RpcError::method_not_found(&method))),
        }
    }
}

/// Cuts a stream of bytes into JSON objects and arrays.
struct Framer {
    buffer: Vec<u8>,
    /// Where the value begins that is being scanned; what is before it has been taken.
    start: usize,
    /// How far the buffer has been looked at.
    scanned: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    bytes_max: usize,
}

impl Framer {
    fn new(bytes_max: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, scanned: 0, depth: 0, in_string: false, escaped: false, bytes_max }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next whole value; `None` until more bytes come.
    fn next(&mut self) -> Result<Option<Vec<u8>>, RpcError> {
        while let Some(&byte) = self.buffer.get(self.scanned) {
            self.scanned += 1;
            if self.in_string {
                self.scan_string(byte);
                continue;
            }
            match byte {
                b'{' | b'[' => self.depth += 1,
                b'"' if self.depth > 0 => self.in_string = true,
                b'}' | b']' if self.depth == 1 => {
                    let value = self.buffer[self.start..self.scanned].to_vec();
                    (self.start, self.depth) = (self.scanned, 0);
                    return Ok(Some(value));
                }
                b'}' | b']' if self.depth > 1 => self.depth -= 1,
                _ if self.depth > 0 => {}
                byte if byte.is_ascii_whitespace() => self.start = self.scanned,
                _ => return Err(RpcError::new(PARSE_ERROR, "parse error")),
            }
        }
        if self.buffer.len() - self.start > self.bytes_max {
            return Err(RpcError::new(INVALID_REQUEST, "message too large"));
        }
        Ok(None)
    }

    fn scan_string(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_cut_wherever_the_bytes_are() {
        let stream = br#" {"a":"}\"]{"} [1,[2,{}]]
{"b":{}}"#;
        let expected = [r#"{"a":"}\"]{"}"#, "[1,[2,{}]]", r#"{"b":{}}"#];
        for size in 1..stream.len() {
            let mut framer = Framer::new(100);
            let mut values = Vec::new();
            for chunk in stream.chunks(size) {
                framer.feed(chunk);
                while let Some(value) = framer.next().unwrap() {
                    values.push(String::from_utf8(value).unwrap());
                }
            }
            assert_eq!(values, expected, "chunks of {size}");
        }
    }

    #[test]
    fn garbage_and_endless_values_are_refused() {
        let feed = |text: &str| {
            let mut framer = Framer::new(10);
            framer.feed(text.as_bytes());
            framer.next().map_err(|error| error.code)
        };
        assert_eq!(feed("hello"), Err(PARSE_ERROR));
        assert_eq!(feed("}"), Err(PARSE_ERROR));
        assert_eq!(feed("[1,2,3,4,5,6,7"), Err(INVALID_REQUEST));
        assert_eq!(feed("[1,2"), Ok(None));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20)) {
            let mut framer = Framer::new(200);
            for chunk in chunks {
                framer.feed(&chunk);
                while let Ok(Some(value)) = framer.next() {
                    let _ = crate::message::read_entry(&value);
                }
            }
        }
    }
}
