//! The reverse proxy in front of the nodes: an nginx configuration that gives TLS, a login for each device, limits, balancing with failover,
//! and retries of reads alone.
//!
//! Limits count by address, since nginx counts before it asks for the login: counted by name, whoever guesses passwords would use up a
//! device's share. What a device may ask is the nodes' own gate to decide, which sees methods and contracts.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// How long a node may take to accept a connection before the next one is asked, in milliseconds.
const CONNECT_MS: u32 = 500;
/// How long an answer may take, in seconds.
const READ_SECONDS: u32 = 30;
/// How long a WebSocket may be silent, in seconds: longer than the nodes' pings.
const WEBSOCKET_SECONDS: u32 = 300;
/// How long a node that failed is left alone, in seconds.
const FAIL_SECONDS: u32 = 2;

/// Says why there is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Nothing to balance.
    #[error("at least one node is needed")]
    NoNode,
    /// As many WebSocket addresses as nodes are needed.
    #[error("{http} nodes have {ws} WebSocket addresses")]
    WebSocket {
        /// Nodes.
        http: usize,
        /// Their WebSocket addresses.
        ws: usize,
    },
    /// A text that nginx would take for something else.
    #[error("{0:?} has characters that a value of nginx cannot have: quotes, `$`, `\\`, or the end of a line")]
    Text(String),
}

/// Says what the proxy is.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The nodes' HTTP addresses.
    pub nodes: Vec<SocketAddr>,
    /// The nodes' WebSocket addresses, in the same order; empty: those of HTTP.
    pub ws_nodes: Vec<SocketAddr>,
    /// Its certificate (PEM).
    pub certificate: PathBuf,
    /// The certificate's key (PEM).
    pub certificate_key: PathBuf,
    /// The devices' logins (htpasswd).
    pub logins: PathBuf,
    /// Requests that each address may send in a second.
    pub rate: u32,
    /// Requests beyond the rate that are taken at once.
    pub burst: u32,
    /// Connections that each address may hold.
    pub connections: u32,
    /// The largest request, in KiB.
    pub body_kib: u32,
    /// An API key of the nodes' gate that allows reads alone; it is sent with what comes to `/read`.
    pub read_key: Option<String>,
    /// A folder for a whole nginx.conf that runs in the foreground; `None`: a part for `conf.d`.
    pub standalone: Option<PathBuf>,
}

/// Returns the configuration.
///
/// # Errors
/// The settings contradict each other, or have texts that nginx would take for something else.
pub fn nginx(settings: &ProxySettings) -> Result<String, ProxyError> {
    if settings.nodes.is_empty() {
        return Err(ProxyError::NoNode);
    }
    let ws_nodes = if settings.ws_nodes.is_empty() { &settings.nodes } else { &settings.ws_nodes };
    if ws_nodes.len() != settings.nodes.len() {
        return Err(ProxyError::WebSocket { http: settings.nodes.len(), ws: ws_nodes.len() });
    }
    let mut part = String::new();
    limits(&mut part, settings);
    upstream(&mut part, "drawbridge_nodes", &settings.nodes, "keepalive 16;");
    upstream(&mut part, "drawbridge_websockets", ws_nodes, "");
    server(&mut part, settings)?;
    match &settings.standalone {
        Some(folder) => whole(folder, &part),
        None => Ok(part),
    }
}

/// Returns a text in quotes.
fn quoted(text: &str) -> Result<String, ProxyError> {
    if text.contains(['"', '\'', '$', '\\', '\n', '\r', '\0']) || text.is_empty() {
        return Err(ProxyError::Text(text.to_owned()));
    }
    Ok(format!("\"{text}\""))
}

fn path(path: &Path) -> Result<String, ProxyError> {
    quoted(&path.to_string_lossy())
}

/// Appends to the configuration; writing to a String cannot fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => {
        writeln!($out, $($text)*).expect("writing to a String cannot fail")
    };
}

fn limits(out: &mut String, settings: &ProxySettings) {
    put!(out, "# Made by `drawbridge proxy nginx`.");
    put!(out, "limit_req_zone $binary_remote_addr zone=drawbridge_requests:1m rate={}r/s;", settings.rate);
    put!(out, "limit_conn_zone $binary_remote_addr zone=drawbridge_connections:1m;");
    put!(out, "map $http_upgrade $drawbridge_connection {{ default upgrade; '' close; }}");
}

fn upstream(out: &mut String, name: &str, nodes: &[SocketAddr], more: &str) {
    put!(out, "upstream {name} {{\n  zone {name} 64k;\n  least_conn;");
    for node in nodes {
        put!(out, "  server {node} max_fails=1 fail_timeout={FAIL_SECONDS}s;");
    }
    if !more.is_empty() {
        put!(out, "  {more}");
    }
    put!(out, "}}");
}

fn server(out: &mut String, settings: &ProxySettings) -> Result<(), ProxyError> {
    put!(out, "server {{\n  listen {} ssl;", settings.listen);
    put!(out, "  ssl_certificate {};", path(&settings.certificate)?);
    put!(out, "  ssl_certificate_key {};", path(&settings.certificate_key)?);
    put!(out, "  ssl_protocols TLSv1.2 TLSv1.3;\n  ssl_session_cache shared:drawbridge_tls:1m;");
    put!(out, "  server_tokens off;");
    put!(out, "  auth_basic \"drawbridge\";\n  auth_basic_user_file {};", path(&settings.logins)?);
    put!(out, "  client_max_body_size {0}k;\n  client_body_buffer_size {0}k;", settings.body_kib);
    put!(
        out,
        "  client_header_timeout 10s;\n  client_body_timeout 10s;\n  send_timeout 10s;\n  keepalive_timeout 65s;"
    );
    put!(out, "  limit_req zone=drawbridge_requests burst={} nodelay;\n  limit_req_status 429;", settings.burst);
    put!(out, "  limit_conn drawbridge_connections {};\n  limit_conn_status 429;", settings.connections);
    put!(
        out,
        "  proxy_http_version 1.1;\n  proxy_connect_timeout {CONNECT_MS}ms;\n  proxy_read_timeout {READ_SECONDS}s;"
    );
    put!(out, "  proxy_next_upstream_tries 3;\n  proxy_next_upstream_timeout 5s;");
    put!(out, "  # Everything: sent to one node; to another one only where none was reached.");
    location(out, "= /", "\"\"", "error timeout");
    put!(out, "  # Reads: asked again elsewhere when a node fails in the middle.");
    let retried = "error timeout http_502 http_503 http_504 non_idempotent";
    let key = settings.read_key.as_ref().map_or(Ok("\"\"".to_owned()), |key| quoted(&format!("Bearer {key}")))?;
    location(out, "= /read", &key, retried);
    put!(out, "  location = /ws {{\n    proxy_pass http://drawbridge_websockets/;");
    put!(out, "    proxy_set_header Upgrade $http_upgrade;\n    proxy_set_header Connection $drawbridge_connection;");
    put!(out, "    proxy_set_header Authorization \"\";\n    proxy_set_header Host localhost;");
    put!(out, "    proxy_set_header X-Remote-User $remote_user;\n    proxy_read_timeout {WEBSOCKET_SECONDS}s;\n  }}");
    put!(out, "  # The desk's files; what its pages ask goes to / and /ws.");
    put!(out, "  location /desk/ {{\n    limit_except GET {{ deny all; }}\n    proxy_pass http://drawbridge_nodes;");
    put!(out, "    proxy_set_header Connection \"\";\n    proxy_set_header Host localhost;");
    put!(out, "    proxy_set_header Authorization \"\";\n  }}");
    put!(out, "  location = /healthz {{\n    auth_basic off;\n    access_log off;\n    return 200 \"ok\\n\";\n  }}");
    put!(out, "  location / {{ return 404; }}\n}}");
    Ok(())
}

fn location(out: &mut String, place: &str, authorization: &str, retried: &str) {
    put!(out, "  location {place} {{\n    limit_except POST {{ deny all; }}\n    proxy_pass http://drawbridge_nodes/;");
    put!(out, "    proxy_set_header Connection \"\";\n    proxy_set_header Host localhost;");
    put!(out, "    proxy_set_header Authorization {authorization};\n    proxy_set_header X-Remote-User $remote_user;");
    put!(out, "    proxy_next_upstream {retried};\n  }}");
}

/// Lays the rest of an nginx.conf around the part, with all files in one folder.
fn whole(folder: &Path, part: &str) -> Result<String, ProxyError> {
    let file = |name: &str| path(&folder.join(name));
    let mut out = String::new();
    put!(out, "daemon off;\nworker_processes 1;\npid {};\nerror_log {} warn;", file("nginx.pid")?, file("error.log")?);
    put!(out, "events {{ worker_connections 1024; }}\nhttp {{\naccess_log {};", file("access.log")?);
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        put!(out, "{kind}_temp_path {};", file(kind)?);
    }
    out.push_str(part);
    put!(out, "}}");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ProxySettings {
        ProxySettings {
            listen: "127.0.0.1:8443".parse().unwrap(),
            nodes: vec!["127.0.0.1:8545".parse().unwrap(), "[::1]:8547".parse().unwrap()],
            ws_nodes: Vec::new(),
            certificate: "/etc/proxy.pem".into(),
            certificate_key: "/etc/proxy key.pem".into(),
            logins: "/etc/htpasswd".into(),
            rate: 20,
            burst: 40,
            connections: 8,
            body_kib: 128,
            read_key: None,
            standalone: None,
        }
    }

    #[test]
    fn braces_are_closed_and_the_parts_are_there() {
        for standalone in [None, Some(PathBuf::from("/run/proxy"))] {
            let text = nginx(&ProxySettings { standalone, ..settings() }).unwrap();
            assert_eq!(text.matches('{').count(), text.matches('}').count());
            for part in [
                "server [::1]:8547",
                "rate=20r/s",
                "client_max_body_size 128k",
                "\"/etc/proxy key.pem\"",
                "location = /ws",
                "location /desk/",
            ] {
                assert!(text.contains(part), "{part} is not in {text}");
            }
        }
    }

    #[test]
    fn only_reads_are_asked_again_after_they_were_sent() {
        let text = nginx(&settings()).unwrap();
        let of = |place: &str| {
            text.split(&format!("location {place} {{")).nth(1).unwrap().split("  }\n").next().unwrap().to_owned()
        };
        assert!(of("= /read").contains("non_idempotent") && !of("= /").contains("non_idempotent"));
        let text = nginx(&ProxySettings { read_key: Some("secret".to_owned()), ..settings() }).unwrap();
        assert_eq!(text.matches("Bearer secret").count(), 1);
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let error = |change: fn(&mut ProxySettings)| {
            let mut changed = settings();
            change(&mut changed);
            nginx(&changed).unwrap_err()
        };
        assert_eq!(error(|s| s.nodes.clear()), ProxyError::NoNode);
        assert_eq!(error(|s| s.ws_nodes = vec![s.nodes[0]]), ProxyError::WebSocket { http: 2, ws: 1 });
        for text in ["a\"b", "a;\n}", "$http_x", "", "a\\b"] {
            let wrong = ProxySettings { certificate: text.into(), ..settings() };
            assert_eq!(nginx(&wrong).unwrap_err(), ProxyError::Text(text.to_owned()));
        }
    }
}
