//! The chain as the device path sees it: a JSON-RPC client over HTTP or HTTPS with a pinned authority, and nothing more.
//!
//! Each question has a time limit and its answer a size limit. What the answers mean for orders stands in [`orders`]; sending the
//! release in [`sender`].

pub mod orders;
pub mod proven;
pub mod sender;

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, Bytes, hex};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};

/// The largest answer that is read, in bytes: an ownership proof is the largest that is asked for.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// The gas that a question about an order may take: the longest reads some ten words.
const CALL_GAS: u64 = 200_000;
/// How long an unused connection is kept.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// Unused connections that are kept.
const IDLE_CONNECTIONS_MAX: usize = 2;

/// Says why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The settings are wrong.
    #[error("{0}")]
    Settings(String),
    /// Nobody answered in time, or the connection failed: worth another try.
    #[error("no answer from the node: {0}")]
    Unreachable(String),
    /// Proxy or gate refused the request.
    #[error("the request was refused with HTTP status {status}: {remedy}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What to look at.
        remedy: &'static str,
    },
    /// The answer does not prove what it says.
    #[error("the node's answer is not proven: {0}")]
    Unproven(String),
    /// The node is on another chain.
    #[error("the node is on chain {actual}, not on {expected}")]
    OtherChain {
        /// The chain that is meant.
        expected: u64,
        /// The node's.
        actual: u64,
    },
    /// The node answered with an error.
    #[error("the node answered with error {code}: {message}")]
    Node {
        /// The JSON-RPC code.
        code: i64,
        /// Its text.
        message: String,
    },
    /// The answer is not what the method gives.
    #[error("{method}: the answer is malformed: {problem}")]
    Malformed {
        /// The method.
        method: String,
        /// What is wrong.
        problem: String,
    },
}

impl ChainError {
    /// Tells whether the same question may be answered later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            // The gate's budget for this second is used up.
            Self::Node { code, .. } => *code == -32005,
            Self::Settings(_) | Self::Unproven(_) | Self::OtherChain { .. } | Self::Malformed { .. } => false,
        }
    }

    fn malformed(method: &str, problem: impl ToString) -> Self {
        Self::Malformed { method: method.to_owned(), problem: problem.to_string() }
    }
}

/// Says where the node or its proxy is, and how to get in.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// `http://…` or `https://…`, with a path where there is one.
    pub url: String,
    /// The authority (PEM) that the server's certificate must come from; HTTPS needs one.
    pub ca_pem: Option<Vec<u8>>,
    /// Name and password for HTTP basic authentication.
    pub login: Option<(String, String)>,
    /// An API key, sent as `Authorization: Bearer …`.
    pub api_key: Option<String>,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// Names the block whose state is read: one that is deep enough to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// This many blocks below the head; 0 is the head itself.
    Depth(u64),
    /// The node's `safe` block.
    Safe,
    /// The node's `finalized` block.
    Finalized,
}

impl FromStr for Settled {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "safe" => Ok(Self::Safe),
            "finalized" => Ok(Self::Finalized),
            "latest" => Ok(Self::Depth(0)),
            depth => depth
                .parse()
                .map(Self::Depth)
                .map_err(|_| format!("{text:?} is none of safe, finalized, latest and a number of blocks")),
        }
    }
}

/// Asks one node, or the proxy in front of several.
#[derive(Clone, Debug)]
pub struct ChainClient {
    http: Client<HttpsConnector<HttpConnector>, Full<hyper::body::Bytes>>,
    uri: Uri,
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

impl ChainClient {
    /// Prepares a client; nothing is asked yet.
    ///
    /// # Errors
    /// The URL, the authority or the login cannot be used.
    pub fn new(endpoint: &Endpoint) -> Result<Self, ChainError> {
        let settings = |problem: String| ChainError::Settings(problem);
        let uri = Uri::from_str(&endpoint.url).map_err(|error| settings(format!("{}: {error}", endpoint.url)))?;
        let roots = match (uri.scheme_str(), &endpoint.ca_pem) {
            (Some("https"), Some(pem)) => roots_of(pem)?,
            (Some("http"), _) => RootCertStore::empty(),
            (Some("https"), None) => {
                return Err(settings("HTTPS needs the authority that signed the server's certificate".to_owned()));
            }
            _ => return Err(settings(format!("{}: neither http:// nor https://", endpoint.url))),
        };
        let config = tls_config(roots)?.with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(endpoint.timeout));
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(tcp);
        let http = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self { http, uri, authorization: authorization(endpoint)?, timeout: endpoint.timeout })
    }

    /// Calls a method.
    ///
    /// # Errors
    /// There is no answer, or it is an error.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, ChainError> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut answer = self.post(method, &body).await?;
        result_of(method, &mut answer)
    }

    /// Calls several methods in one request; each has its own result, in order.
    ///
    /// # Errors
    /// The batch as a whole has no answer.
    pub async fn batch(&self, calls: &[(&str, Value)]) -> Result<Vec<Result<Value, ChainError>>, ChainError> {
        let body = calls
            .iter()
            .enumerate()
            .map(|(id, (method, params))| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        let mut answer = self.post("batch", &body.collect()).await?;
        if answer.is_object() {
            result_of("batch", &mut answer)?;
        }
        let answers = answer.as_array_mut().ok_or_else(|| ChainError::malformed("batch", "no array"))?;
        let mut results = Vec::with_capacity(calls.len());
        for (id, (method, _)) in calls.iter().enumerate() {
            let one = answers.iter_mut().find(|answer| answer["id"] == json!(id));
            results.push(match one {
                Some(one) => result_of(method, one),
                None => Err(ChainError::malformed(method, "the batch's answer leaves it out")),
            });
        }
        Ok(results)
    }

    /// Returns the chain's id.
    ///
    /// # Errors
    /// There is no answer, or it is an error.
    pub async fn chain_id(&self) -> Result<u64, ChainError> {
        quantity("eth_chainId", &self.call("eth_chainId", json!([])).await?)
    }

    /// Returns the block parameter that names the settled block now.
    ///
    /// # Errors
    /// The head is needed for it, and there is no answer.
    pub async fn settled(&self, settled: Settled) -> Result<Value, ChainError> {
        Ok(match settled {
            Settled::Safe => json!("safe"),
            Settled::Finalized => json!("finalized"),
            Settled::Depth(0) => json!("latest"),
            Settled::Depth(depth) => {
                let head = quantity("eth_blockNumber", &self.call("eth_blockNumber", json!([])).await?)?;
                json!(format!("{:#x}", head.saturating_sub(depth)))
            }
        })
    }

    async fn post(&self, method: &str, body: &Value) -> Result<Value, ChainError> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.uri.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::from(body.to_string()))
            .map_err(|error| ChainError::Settings(error.to_string()))?;
        if let Some(value) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
        let exchange = async {
            let unreachable = |error: &dyn std::error::Error| ChainError::Unreachable(chain_of(error));
            let response = self.http.request(request).await.map_err(|error| unreachable(&error))?;
            let status = response.status();
            let bytes = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| {
                match error.is::<LengthLimitError>() {
                    true => ChainError::malformed(method, format!("more than {ANSWER_BYTES_MAX} bytes")),
                    false => ChainError::Unreachable(error.to_string()),
                }
            })?;
            Ok((status, bytes.to_bytes()))
        };
        let (status, bytes) = tokio::time::timeout(self.timeout, exchange)
            .await
            .map_err(|_| ChainError::Unreachable(format!("nothing within {:?}", self.timeout)))??;
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(answer) if status == StatusCode::OK || answer.get("jsonrpc").is_some() => Ok(answer),
            Err(problem) if status == StatusCode::OK => Err(ChainError::malformed(method, problem)),
            _ => Err(ChainError::Refused { status: status.as_u16(), remedy: remedy(status) }),
        }
    }
}

/// Returns what the operator can look at.
fn remedy(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "check the name and password, or the API key",
        StatusCode::FORBIDDEN => "the proxy or the node's gate does not allow this to this device",
        StatusCode::PAYLOAD_TOO_LARGE => "the proxy allows less than one request",
        StatusCode::TOO_MANY_REQUESTS => "the device asks more often than the proxy or the gate allows",
        _ => "see the log of the proxy",
    }
}

fn authorization(endpoint: &Endpoint) -> Result<Option<HeaderValue>, ChainError> {
    let text = match (&endpoint.login, &endpoint.api_key) {
        (Some((name, _)), _) if name.contains(':') => {
            return Err(ChainError::Settings("a name for basic authentication has no colon".to_owned()));
        }
        (Some((name, password)), _) => format!("Basic {}", base64(format!("{name}:{password}").as_bytes())),
        (None, Some(key)) => format!("Bearer {key}"),
        (None, None) => return Ok(None),
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| ChainError::Settings("the login has characters that no header takes".to_owned()))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Writes bytes as Base64 (RFC 4648), for the one header that needs it.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |place: usize| group.get(place).copied().unwrap_or(0);
        let sextets = [at(0) >> 2, (at(0) & 3) << 4 | at(1) >> 4, (at(1) & 15) << 2 | at(2) >> 6, at(2) & 63];
        for (place, sextet) in sextets.into_iter().enumerate() {
            text.push(if place <= group.len() { char::from(ALPHABET[usize::from(sextet)]) } else { '=' });
        }
    }
    text
}

/// Reads the certificates of a PEM file.
///
/// # Errors
/// The file cannot be read.
pub fn read_pem(path: &Path) -> Result<Vec<u8>, ChainError> {
    std::fs::read(path).map_err(|error| ChainError::Settings(format!("{}: {error}", path.display())))
}

/// Returns the authorities of a PEM text, at least one.
pub(crate) fn roots_of(pem: &[u8]) -> Result<RootCertStore, ChainError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| ChainError::Settings(format!("the authority: {error}")))?;
        roots.add(certificate).map_err(|error| ChainError::Settings(format!("the authority: {error}")))?;
    }
    if roots.is_empty() {
        return Err(ChainError::Settings("there is no certificate in the authority's file".to_owned()));
    }
    Ok(roots)
}

/// Begins a TLS configuration with ring, whatever other providers the program has.
pub(crate) fn tls_config(
    roots: RootCertStore,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, ChainError> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(roots))
        .map_err(|error| ChainError::Settings(error.to_string()))
}

/// Returns an error with its causes.
fn chain_of(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn result_of(method: &str, answer: &mut Value) -> Result<Value, ChainError> {
    if let Some(error) = answer.get("error") {
        let message = error["message"].as_str().unwrap_or("no text").chars().take(200).collect();
        return Err(ChainError::Node { code: error["code"].as_i64().unwrap_or(0), message });
    }
    match answer.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => Err(ChainError::malformed(method, "neither result nor error")),
    }
}

/// Reads a quantity (`0x…`).
pub(crate) fn quantity(method: &str, value: &Value) -> Result<u64, ChainError> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| ChainError::malformed(method, "no quantity"))
}

/// Reads bytes (`0x…`).
pub(crate) fn bytes(method: &str, value: &Value) -> Result<Bytes, ChainError> {
    let text = value.as_str().filter(|text| text.starts_with("0x"));
    text.and_then(|text| hex::decode(text).ok())
        .map(Bytes::from)
        .ok_or_else(|| ChainError::malformed(method, "no bytes"))
}

/// Returns the parameters of an `eth_call`. It says how much gas it may take, so that a gate can count it.
pub(crate) fn call_params(to: Address, data: &[u8], at: &Value) -> Value {
    json!([{"to": to, "data": hex::encode_prefixed(data), "gas": format!("{CALL_GAS:#x}")}, at])
}

#[cfg(test)]
mod tests;
