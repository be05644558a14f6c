//! The shadows' data API over HTTPS, with AWS IoT's paths, statuses and exceptions. The client's certificate says who asks; its
//! policy is looked up for each request.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tracing::debug;

use crate::broker::{Peer, Quality, Shared};
use crate::policy::{Action, Grants, Identity};
use crate::registry::Thing;
use crate::shadow::parse_request_topic;
use crate::shadow::{Job, Operation, REQUEST_BYTES_MAX, ShadowError, ShadowName, is_thing_name, now_seconds};

/// How long the head of a request may take.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// How long the body of a request may take.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// Names on a page where the client does not say, and at the most (AWS IoT data API).
const PAGE_SIZE: usize = 25;
const PAGE_SIZE_MAX: usize = 100;

type Reply = Response<Full<Bytes>>;

/// Why a request is refused: the exception's name, its status and a text.
struct Refused {
    status: StatusCode,
    exception: &'static str,
    message: String,
}

impl Refused {
    fn new(status: StatusCode, exception: &'static str, message: impl Into<String>) -> Self {
        Self { status, exception, message: message.into() }
    }

    fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "ForbiddenException", "Forbidden")
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequestException", message)
    }

    fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", message)
    }

    fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowedException", "Method not allowed")
    }
}

impl From<ShadowError> for Refused {
    fn from(error: ShadowError) -> Self {
        let status = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, error.exception(), error.to_string())
    }
}

/// Serves a connection until it ends.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    shared: Arc<Shared>,
    stream: S,
    peer: Peer,
    mut stopped: watch::Receiver<bool>,
) {
    let service = service_fn(move |request| {
        let (shared, peer) = (shared.clone(), peer.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(&shared, &peer, request).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(16 * 1024);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "an HTTPS connection ended");
    }
}

async fn answer(shared: &Shared, peer: &Peer, request: Request<Incoming>) -> Reply {
    let done = handle(shared, peer, request).await;
    let (status, exception, body) = match done {
        Ok(body) => (StatusCode::OK, None, body),
        Err(refused) => {
            let body = json!({ "message": refused.message }).to_string().into_bytes();
            (refused.status, Some(refused.exception), body)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(exception) = exception {
        headers.insert("x-amzn-errortype", header::HeaderValue::from_static(exception));
    }
    response
}

async fn handle(shared: &Shared, peer: &Peer, request: Request<Incoming>) -> Result<Vec<u8>, Refused> {
    // A revoked certificate ends here also on a connection that is open.
    let (thing, _) = shared
        .registry
        .accept(&peer.certificate, now_seconds())
        .map_err(|_| Refused::new(StatusCode::UNAUTHORIZED, "UnauthorizedException", "Unauthorized"))?;
    let policy = thing.role.policy().map_err(|_| Refused::forbidden())?;
    let certificate_id = peer.certificate.to_string();
    let grants = policy.bind(Identity { thing: &thing.name, client_id: None, certificate_id: &certificate_id });
    let caller = Caller { shared, thing: &thing, grants };

    let path: Vec<String> =
        request.uri().path().split('/').skip(1).map(decode).collect::<Option<_>>().ok_or_else(malformed)?;
    let query = Query::parse(request.uri().query().unwrap_or_default()).ok_or_else(malformed)?;
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["things", thing, "shadow"] => caller.shadow(thing, &query, request).await,
        ["api", "things", "shadow", "ListNamedShadowsForThing", thing] => match *request.method() {
            Method::GET => caller.list(thing, &query),
            _ => Err(Refused::method()),
        },
        ["topics", topic @ ..] if !topic.is_empty() => match *request.method() {
            Method::POST => caller.publish(topic.join("/"), &query, request).await,
            _ => Err(Refused::method()),
        },
        ["retainedMessage", topic @ ..] if !topic.is_empty() => match *request.method() {
            Method::GET => caller.retained(&topic.join("/")),
            _ => Err(Refused::method()),
        },
        _ => Err(Refused::not_found("There is no such path")),
    }
}

struct Caller<'a> {
    shared: &'a Shared,
    thing: &'a Thing,
    grants: Grants,
}

impl Caller<'_> {
    async fn shadow(&self, thing: &str, query: &Query, request: Request<Incoming>) -> Result<Vec<u8>, Refused> {
        let name = ShadowName::new(thing, query.get("name"))?;
        let (operation, action) = match *request.method() {
            Method::GET => (Operation::Get, Action::GetThingShadow),
            Method::POST => (Operation::Update, Action::UpdateThingShadow),
            Method::DELETE => (Operation::Delete, Action::DeleteThingShadow),
            _ => return Err(Refused::method()),
        };
        if !self.grants.allows(action, &name.to_string()) {
            return Err(Refused::forbidden());
        }
        let payload = match operation {
            Operation::Update => body(request).await?,
            Operation::Get | Operation::Delete => Vec::new(),
        };
        Ok(self.shared.shadows.ask(name, operation, payload, self.thing.writes).await?)
    }

    fn list(&self, thing: &str, query: &Query) -> Result<Vec<u8>, Refused> {
        if !is_thing_name(thing) {
            return Err(ShadowError::InvalidName.into());
        }
        if !self.grants.allows(Action::ListNamedShadowsForThing, thing) {
            return Err(Refused::forbidden());
        }
        let page_size = match query.get("pageSize") {
            None => PAGE_SIZE,
            Some(text) => text
                .parse()
                .ok()
                .filter(|size| (1..=PAGE_SIZE_MAX).contains(size))
                .ok_or_else(|| Refused::invalid("Invalid pageSize"))?,
        };
        let page = self.shared.shadows.list(thing, query.get("nextToken"), page_size)?;
        let mut document = json!({ "results": page.names, "timestamp": now_seconds() });
        if let (Some(next), Some(object)) = (page.next, document.as_object_mut()) {
            object.insert("nextToken".into(), Value::String(next));
        }
        Ok(document.to_string().into_bytes())
    }

    async fn publish(&self, topic: String, query: &Query, request: Request<Incoming>) -> Result<Vec<u8>, Refused> {
        let quality = match query.get("qos") {
            None | Some("0") => Quality::AtMostOnce,
            Some("1") => Quality::AtLeastOnce,
            Some(_) => return Err(Refused::invalid("Invalid qos")),
        };
        let retain = matches!(query.get("retain"), Some("" | "true" | "1"));
        let payload = body(request).await?;
        if !crate::broker::is_topic(&topic) || topic.starts_with('$') && retain {
            return Err(Refused::invalid("Invalid topic"));
        }
        let shadow_request = parse_request_topic(&topic);
        if !self.grants.allows(Action::Publish, &topic)
            || retain && !self.grants.allows(Action::RetainPublish, &topic)
            || topic.starts_with('$') && shadow_request.is_none()
        {
            return Err(Refused::forbidden());
        }
        if let Some((name, operation)) = shadow_request {
            let writes = self.thing.writes;
            let job = Job { name, operation, payload: payload.clone(), writes, reply: None, place: None };
            self.shared.shadows.send(job).await?;
        }
        self.shared.publish_as(&self.thing.name, topic, payload, quality, retain);
        Ok(json!({ "message": "OK" }).to_string().into_bytes())
    }

    fn retained(&self, topic: &str) -> Result<Vec<u8>, Refused> {
        // Who may receive a topic may read what is retained there.
        if !self.grants.allows(Action::Receive, topic) {
            return Err(Refused::forbidden());
        }
        let (payload, quality) =
            self.shared.retained(topic).ok_or_else(|| Refused::not_found("No message is retained"))?;
        let document =
            json!({ "topic": topic, "payload": base64(&payload), "qos": u8::from(quality == Quality::AtLeastOnce) });
        Ok(document.to_string().into_bytes())
    }
}

async fn body(request: Request<Incoming>) -> Result<Vec<u8>, Refused> {
    let read = Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_TIME_MAX, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(ShadowError::TooLarge.into()),
        Ok(Err(_)) => Err(Refused::invalid("The body cannot be read")),
        Err(_) => Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "InvalidRequestException", "The body took too long")),
    }
}

struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Option<Self> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        });
        pairs.collect::<Option<_>>().map(Self)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Undoes the percent encoding of a part of a URL.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok())?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| usize::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[value]) } else { '=' });
        }
    }
    text
}

fn malformed() -> Refused {
    Refused::invalid("The URL is malformed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_decoded() {
        assert_eq!(decode("%24aws").as_deref(), Some("$aws"));
        assert_eq!(decode("a%2Fb%C3%A4").as_deref(), Some("a/bä"));
        for bad in ["%", "%2", "%zz", "%+1", "%ff"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn bytes_are_written_in_base64() {
        let written = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(written, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }
}
