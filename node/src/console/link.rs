//! A connection to a node: over its local socket, HTTP or WebSocket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jsonrpsee_core::client::{ClientT, Error as WsError};
use jsonrpsee_core::params::ArrayParams;
use jsonrpsee_ws_client::{WsClient, WsClientBuilder};
use rpc::JwtSecret;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// How long an answer may take: a trace or an import takes a while.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u32 = 64 << 20;

/// Says why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LinkError {
    /// The node cannot be reached, or no longer.
    #[error("Error: no answer from {0}")]
    Unreachable(String),
    /// The node answered with an error.
    #[error("Error: {0}")]
    Node(String),
}

/// Says where a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Socket(PathBuf),
    Http(String),
    WebSocket(String),
}

impl Place {
    /// Reads what was typed: a URL, or the path of a socket.
    ///
    /// # Errors
    /// Another kind of URL.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            None => Ok(Self::Socket(PathBuf::from(text.strip_prefix("ipc:").unwrap_or(text)))),
            Some(("http", _)) => Ok(Self::Http(text.to_owned())),
            Some(("ws", _)) => Ok(Self::WebSocket(text.to_owned())),
            Some(("ipc", path)) => Ok(Self::Socket(PathBuf::from(path))),
            Some((scheme, _)) => Err(format!(
                "{scheme}:// is not understood; a node is reached by http://, ws:// or the path of its socket"
            )),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Http(url) | Self::WebSocket(url) => f.write_str(url),
        }
    }
}

/// A connection.
pub(super) enum Link {
    Socket {
        path: PathBuf,
        stream: BufReader<UnixStream>,
    },
    Http {
        url: String,
        client: Box<Client<HttpConnector, Full<Bytes>>>,
        secret: Option<JwtSecret>,
        runtime: Runtime,
    },
    WebSocket {
        url: String,
        client: Box<WsClient>,
        runtime: Runtime,
    },
    #[cfg(test)]
    Scripted(Script),
}

/// Answers for a node in a test.
#[cfg(test)]
pub(super) type Script = fn(&str, Value) -> Result<Value, String>;

impl Link {
    /// Connects; over HTTP and WebSocket with tokens of a secret, where there is one.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(super) fn open(place: &Place, secret: Option<JwtSecret>) -> Result<Self, LinkError> {
        match place {
            Place::Socket(path) => open_socket(path),
            Place::Http(url) => {
                let client = Box::new(Client::builder(TokioExecutor::new()).build_http());
                Ok(Self::Http { url: url.clone(), client, secret, runtime: runtime()? })
            }
            Place::WebSocket(url) => {
                let runtime = runtime()?;
                let mut headers = HeaderMap::new();
                if let Some(bearer) = secret.as_ref().and_then(bearer) {
                    headers.insert(AUTHORIZATION, bearer);
                }
                let builder = WsClientBuilder::default()
                    .set_headers(headers)
                    .request_timeout(ANSWER_TIMEOUT)
                    .max_response_size(ANSWER_BYTES_MAX);
                let client = runtime.block_on(builder.build(url));
                let client = client.map_err(|error| LinkError::Unreachable(format!("{url}: {error}")))?;
                Ok(Self::WebSocket { url: url.clone(), client: Box::new(client), runtime })
            }
        }
    }

    /// Answers by a function.
    #[cfg(test)]
    pub(super) fn scripted(script: Script) -> Self {
        Self::Scripted(script)
    }

    /// Calls a method with a list of parameters.
    ///
    /// # Errors
    /// The node does not answer, or with an error.
    pub(super) fn call(&mut self, method: &str, params: Value) -> Result<Value, LinkError> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        match self {
            Self::Socket { path, stream } => {
                let unreachable = |problem: String| LinkError::Unreachable(format!("{}: {problem}", path.display()));
                let answer = exchange(stream, &request).map_err(|error| unreachable(error.to_string()))?;
                result_of(&answer, &path.display().to_string())
            }
            Self::Http { url, client, secret, runtime } => {
                let unreachable = |problem: String| LinkError::Unreachable(format!("{url}: {problem}"));
                let answer = runtime.block_on(post(client, url, secret.as_ref(), request)).map_err(unreachable)?;
                result_of(&answer, url)
            }
            Self::WebSocket { url, client, runtime } => runtime.block_on(async {
                let mut list = ArrayParams::new();
                for param in params.as_array().into_iter().flatten() {
                    list.insert(param).map_err(|error| LinkError::Unreachable(format!("{url}: {error}")))?;
                }
                client.request::<Value, _>(method, list).await.map_err(|error| match error {
                    WsError::Call(error) => LinkError::Node(error.message().to_owned()),
                    other => LinkError::Unreachable(format!("{url}: {other}")),
                })
            }),
            #[cfg(test)]
            Self::Scripted(script) => script(method, params).map_err(LinkError::Node),
        }
    }
}

fn open_socket(path: &Path) -> Result<Link, LinkError> {
    let unreachable = |error: std::io::Error| LinkError::Unreachable(format!("{}: {error}", path.display()));
    let stream = UnixStream::connect(path).map_err(unreachable)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(unreachable)?;
    Ok(Link::Socket { path: path.to_path_buf(), stream: BufReader::new(stream) })
}

/// One thread more than the console's, which answers pings while a person thinks.
fn runtime() -> Result<Runtime, LinkError> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    built.map_err(|error| LinkError::Unreachable(format!("the node: {error}")))
}

fn bearer(secret: &JwtSecret) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("Bearer {}", secret.token(crate::run::now_seconds()))).ok()
}

/// Sends one request and reads one line.
fn exchange(stream: &mut BufReader<UnixStream>, request: &str) -> std::io::Result<String> {
    stream.get_mut().write_all(request.as_bytes())?;
    let mut line = String::new();
    let most = u64::from(ANSWER_BYTES_MAX);
    if stream.take(most).read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line)
}

async fn post(
    client: &Client<HttpConnector, Full<Bytes>>,
    url: &str,
    secret: Option<&JwtSecret>,
    body: String,
) -> Result<String, String> {
    let mut request = Request::builder().method(Method::POST).uri(url).header(CONTENT_TYPE, "application/json");
    if let Some(bearer) = secret.and_then(bearer) {
        request = request.header(AUTHORIZATION, bearer);
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())?;
    let answering = async {
        let response = client.request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let most = usize::try_from(ANSWER_BYTES_MAX).unwrap_or(usize::MAX);
        let body = Limited::new(response.into_body(), most).collect().await.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        if status == StatusCode::OK { Ok(text) } else { Err(format!("{status}: {}", text.trim())) }
    };
    tokio::time::timeout(ANSWER_TIMEOUT, answering).await.map_err(|_| "it took too long".to_owned())?
}

/// Takes the result out of a response.
fn result_of(answer: &str, place: &str) -> Result<Value, LinkError> {
    let unreadable = |_| LinkError::Unreachable(format!("{place}: it is no JSON-RPC"));
    let mut answer: Value = serde_json::from_str(answer).map_err(unreadable)?;
    match answer.get("error").filter(|error| !error.is_null()) {
        Some(error) => Err(LinkError::Node(error["message"].as_str().unwrap_or("no words").to_owned())),
        None => Ok(answer.get_mut("result").map(Value::take).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        for (text, expected) in [
            ("node/drawbridge.ipc", Ok(Place::Socket("node/drawbridge.ipc".into()))),
            ("ipc:/tmp/x.ipc", Ok(Place::Socket("/tmp/x.ipc".into()))),
            ("ipc:///tmp/x.ipc", Ok(Place::Socket("/tmp/x.ipc".into()))),
            ("http://localhost:8545", Ok(Place::Http("http://localhost:8545".into()))),
            ("ws://localhost:8546/KEY", Ok(Place::WebSocket("ws://localhost:8546/KEY".into()))),
        ] {
            assert_eq!(Place::read(text), expected);
        }
        for text in ["https://node", "wss://node", "ftp://node"] {
            assert!(Place::read(text).is_err_and(|problem| problem.contains("is not understood")), "{text}");
        }
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(result_of(r#"{"id":1,"result":"0x1"}"#, "x"), Ok(json!("0x1")));
        assert_eq!(result_of(r#"{"id":1,"result":null}"#, "x"), Ok(Value::Null));
        let words = LinkError::Node("nonce too low".to_owned());
        assert_eq!(result_of(r#"{"id":1,"error":{"code":-32000,"message":"nonce too low"}}"#, "x"), Err(words));
        assert!(matches!(result_of("<html>", "x"), Err(LinkError::Unreachable(_))));
    }
}
