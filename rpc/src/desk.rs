//! The desk's files: the browser application, embedded when the program was built, served below `/desk/`.
//!
//! Files hold nothing secret and need no key; what the application asks for goes through JSON-RPC like everybody's requests.
//! `make` builds the desk before the program. A program that was built without it serves a page that says so.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::OnceLock;

use alloy_primitives::hex;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Bytes;
use jsonrpsee::server::HttpBody;
use rust_embed::RustEmbed;

/// Where the desk is.
pub(crate) const PLACE: &str = "/desk/";
/// The file that opens it, for every path of the application's own.
const ENTRY: &str = "index.html";
/// Files in this folder have a hash of their content in their name.
const HASHED: &str = "assets/";
/// Smaller files are not worth compressing.
const GZIP_BYTES_MIN: usize = 256;

/// What a page of the desk may do: load files of this origin, ask this origin, show and scan pictures; run no script that came in text.
/// WebAssembly is the fallback decoder of codes.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; \
    font-src 'self'; media-src 'self' blob: mediastream:; worker-src 'self' blob:; connect-src 'self'; manifest-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Of the browser's abilities the desk uses the camera and the clipboard.
const PERMISSIONS: &str =
    "camera=(self), clipboard-read=(self), clipboard-write=(self), microphone=(), geolocation=(), usb=(), payment=()";

/// What a program answers that was built without the desk.
const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Drawbridge</title></head><body><main>\
    <h1>The desk is not in this program</h1><p>It was built without the browser application. Run <code>make</code> in the source \
    folder, or <code>scripts/desk.sh</code> and then <code>cargo build --release --workspace</code>; Node.js 20 or newer is needed. \
    JSON-RPC works all the same.</p></main></body></html>\n";

#[derive(RustEmbed)]
#[folder = "../desk/dist"]
#[allow_missing = true]
#[exclude = "**/*.map"]
struct Built;

/// One file, ready to be sent.
struct File {
    bytes: Cow<'static, [u8]>,
    /// Made when it is first asked for; `None`: it would not be smaller.
    gzip: OnceLock<Option<Bytes>>,
    etag: HeaderValue,
    content_type: &'static str,
    is_hashed: bool,
}

/// All files of the desk, by their path below [`PLACE`].
pub(crate) struct Desk {
    files: BTreeMap<String, File>,
}

impl Desk {
    /// Returns the desk that was embedded when the program was built.
    pub(crate) fn embedded() -> Self {
        // Hidden files are the build's own notes.
        let shown = Built::iter().filter(|path| !path.split('/').any(|part| part.starts_with('.')));
        let files = shown.filter_map(|path| Some((path.to_string(), Built::get(&path)?)));
        Self::of(files.map(|(path, file)| (path, file.data, file.metadata.sha256_hash())))
    }

    /// Puts files together: path, content, SHA-256. Without an entry there is one page that says how to build the desk.
    fn of(files: impl Iterator<Item = (String, Cow<'static, [u8]>, [u8; 32])>) -> Self {
        let mut files: BTreeMap<String, File> = files
            .map(|(path, bytes, hash)| {
                let file = File::new(&path, bytes, &hex::encode(hash));
                (path, file)
            })
            .collect();
        if !files.contains_key(ENTRY) {
            files = BTreeMap::from([(
                ENTRY.to_owned(),
                File::new(ENTRY, Cow::Borrowed(NOT_BUILT.as_bytes()), "desk-not-built"),
            )]);
        }
        Self { files }
    }

    /// Answers a request below [`PLACE`] or to the place itself; `None`: the path is no concern of the desk.
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Option<Response<HttpBody>> {
        let path = request.uri().path();
        if path == PLACE.trim_end_matches('/') {
            return Some(redirect(StatusCode::PERMANENT_REDIRECT));
        }
        let path = path.strip_prefix(PLACE)?;
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(response);
        }
        let is_page = !path.rsplit('/').next().unwrap_or_default().contains('.');
        let found = self.files.get(path).or_else(|| is_page.then(|| self.files.get(ENTRY)).flatten());
        Some(match found {
            Some(file) => file.answer(request.headers()),
            None => text(StatusCode::NOT_FOUND, "the desk has no such file\n"),
        })
    }

    /// Sends a person who opens the node's address in a browser to the desk; programs that look whether the node answers do not accept
    /// HTML by name.
    pub(crate) fn welcome(headers: &HeaderMap) -> Option<Response<HttpBody>> {
        let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok())?;
        accepted.contains("text/html").then(|| redirect(StatusCode::FOUND))
    }
}

impl File {
    fn new(path: &str, bytes: Cow<'static, [u8]>, tag: &str) -> Self {
        let etag = HeaderValue::from_str(&format!("\"{tag}\"")).expect("hexadecimal digits can stand in a header");
        Self {
            bytes,
            gzip: OnceLock::new(),
            etag,
            content_type: content_type(path),
            is_hashed: path.starts_with(HASHED),
        }
    }

    fn answer(&self, asked: &HeaderMap) -> Response<HttpBody> {
        let cache = if self.is_hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
        let mut response = Response::new(HttpBody::empty());
        let zipped = if accepts_gzip(asked) { self.gzip.get_or_init(|| gzip(&self.bytes)).clone() } else { None };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.etag.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        protect(headers);
        if asked.get(header::IF_NONE_MATCH).is_some_and(|known| matches(known, &self.etag)) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        let body = match zipped {
            Some(zipped) => {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                zipped
            }
            None => match &self.bytes {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => Bytes::copy_from_slice(bytes),
            },
        };
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        *response.body_mut() = HttpBody::new(http_body_util::Full::new(body));
        response
    }
}

/// Tells the browser to keep the page to itself.
fn protect(headers: &mut HeaderMap) {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn redirect(status: StatusCode) -> Response<HttpBody> {
    let mut response = text(status, "the desk is at /desk/\n");
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(PLACE));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn text(status: StatusCode, words: &'static str) -> Response<HttpBody> {
    let mut response = Response::new(HttpBody::from(words));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    protect(headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn accepts_gzip(asked: &HeaderMap) -> bool {
    let accepted = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

/// Tells whether a browser has the file: `*`, or one of its tags, strong or weak.
fn matches(known: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(known), Ok(etag)) = (known.to_str(), etag.to_str()) else { return false };
    known.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn gzip(bytes: &[u8]) -> Option<Bytes> {
    if bytes.len() < GZIP_BYTES_MIN {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::best());
    let zipped = encoder.write_all(bytes).and_then(|()| encoder.finish()).ok()?;
    (zipped.len() < bytes.len()).then(|| zipped.into())
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("webp") => "image/webp",
        Some("woff2") => "font/woff2",
        Some("wasm") => "application/wasm",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http_body_util::BodyExt as _;
    use std::io::Read as _;

    fn desk() -> Desk {
        let files = [
            ("index.html", "<!doctype html><title>desk</title>".to_owned()),
            ("assets/app-1a2b.js", "export const x = 1;\n".repeat(100)),
            ("assets/small.css", "a{}".to_owned()),
            ("sw.js", "self".to_owned()),
        ];
        let hash = |index: usize| [u8::try_from(index).unwrap(); 32];
        Desk::of(
            files
                .into_iter()
                .enumerate()
                .map(|(index, (path, text))| (path.to_owned(), text.into_bytes().into(), hash(index))),
        )
    }

    fn ask(desk: &Desk, path: &str, headers: &[(&str, &str)]) -> Option<Response<HttpBody>> {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        desk.answer(&request.body(()).unwrap())
    }

    fn head<'a>(response: &'a Response<HttpBody>, name: &str) -> &'a str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    async fn body(response: Response<HttpBody>) -> Vec<u8> {
        response.into_body().collect().await.unwrap().to_bytes().to_vec()
    }

    #[test]
    fn paths_lead_to_files_pages_and_refusals() {
        let desk = desk();
        for (path, status, kind) in [
            ("/desk/", 200, "text/html; charset=utf-8"),
            ("/desk/index.html", 200, "text/html; charset=utf-8"),
            ("/desk/orders/0x12/code", 200, "text/html; charset=utf-8"),
            ("/desk/assets/app-1a2b.js", 200, "text/javascript; charset=utf-8"),
            ("/desk/assets/small.css", 200, "text/css; charset=utf-8"),
            ("/desk/assets/gone-1a2b.js", 404, "text/plain; charset=utf-8"),
            ("/desk/../Cargo.toml", 404, "text/plain; charset=utf-8"),
            ("/desk", 308, "text/plain; charset=utf-8"),
        ] {
            let response = ask(&desk, path, &[]).unwrap();
            assert_eq!((response.status().as_u16(), head(&response, "content-type")), (status, kind), "{path}");
            assert_eq!(head(&response, "x-content-type-options"), "nosniff", "{path}");
            assert!(head(&response, "content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        }
        for path in ["/", "/livez", "/desks", "/desk.html"] {
            assert!(ask(&desk, path, &[]).is_none(), "{path}");
        }
        let posted = desk.answer(&Request::post("/desk/").body(()).unwrap()).unwrap();
        assert_eq!((posted.status(), head(&posted, "allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"));
    }

    #[test]
    fn hashed_files_are_kept_for_ever_and_others_are_asked_for_again() {
        let desk = desk();
        let hashed = ask(&desk, "/desk/assets/app-1a2b.js", &[]).unwrap();
        assert_eq!(head(&hashed, "cache-control"), "public, max-age=31536000, immutable");
        let entry = ask(&desk, "/desk/sw.js", &[]).unwrap();
        assert_eq!(head(&entry, "cache-control"), "no-cache");
        let etag = head(&entry, "etag").to_owned();
        for known in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
            let again = ask(&desk, "/desk/sw.js", &[("if-none-match", &known)]).unwrap();
            assert_eq!((again.status(), head(&again, "etag")), (StatusCode::NOT_MODIFIED, etag.as_str()), "{known}");
        }
        let other = ask(&desk, "/desk/sw.js", &[("if-none-match", "\"other\"")]).unwrap();
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn what_shrinks_is_compressed_for_those_who_take_it() {
        let desk = desk();
        let path = "/desk/assets/app-1a2b.js";
        let plain = body(ask(&desk, path, &[]).unwrap()).await;
        for (accepted, is_zipped) in
            [("gzip", true), ("br, GZIP;q=0.5", true), ("br", false), ("gzip;q=0", false), ("identity", false)]
        {
            let response = ask(&desk, path, &[("accept-encoding", accepted)]).unwrap();
            assert_eq!(head(&response, "content-encoding") == "gzip", is_zipped, "{accepted}");
            assert_eq!(head(&response, "vary"), "accept-encoding");
            let sent = body(response).await;
            if is_zipped {
                let mut text = Vec::new();
                flate2::read::GzDecoder::new(&sent[..]).read_to_end(&mut text).unwrap();
                assert!(text == plain && sent.len() < plain.len());
            } else {
                assert_eq!(sent, plain);
            }
        }
        let small = ask(&desk, "/desk/assets/small.css", &[("accept-encoding", "gzip")]).unwrap();
        assert_eq!(head(&small, "content-encoding"), "");
    }

    #[tokio::test]
    async fn a_program_without_the_desk_says_how_to_build_it() {
        let desk = Desk::of([("assets/left-over.js".to_owned(), Cow::Borrowed(&b"x"[..]), [0; 32])].into_iter());
        let page = String::from_utf8(body(ask(&desk, "/desk/", &[]).unwrap()).await).unwrap();
        assert!(page.contains("scripts/desk.sh"), "{page}");
        assert_eq!(ask(&desk, "/desk/assets/left-over.js", &[]).unwrap().status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn only_browsers_are_sent_to_the_desk() {
        let welcome = |accept: Option<&str>| {
            let mut headers = HeaderMap::new();
            accept.map(|accept| headers.insert(header::ACCEPT, accept.parse().unwrap()));
            Desk::welcome(&headers).map(|response| (response.status(), head(&response, "location").to_owned()))
        };
        let sent = Some((StatusCode::FOUND, "/desk/".to_owned()));
        assert_eq!(welcome(Some("text/html,application/xhtml+xml,*/*;q=0.8")), sent);
        for accept in [None, Some("*/*"), Some("application/json")] {
            assert_eq!(welcome(accept), None, "{accept:?}");
        }
    }
}
