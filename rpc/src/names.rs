//! Names that requests come under: the hosts that they are addressed to, and the origins of the pages that send them.

use std::net::IpAddr;

use http::Request;
use http::header::{self, HeaderMap, HeaderValue};

use crate::exposure::is_local;

/// A list of names; `*` is every name.
pub(crate) struct Names {
    /// Whether it is every name.
    pub(crate) any: bool,
    names: Vec<String>,
}

impl Names {
    /// Makes a list; case and spaces around do not count.
    pub(crate) fn new(names: Vec<String>) -> Self {
        let names: Vec<String> = names.into_iter().map(|name| name.trim().to_ascii_lowercase()).collect();
        Self { any: names.iter().any(|name| name == "*"), names }
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn contain(&self, name: &str) -> bool {
        self.any || self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Tells whether a header's value is one of the names.
    pub(crate) fn allow(&self, value: &HeaderValue) -> bool {
        value.to_str().is_ok_and(|name| self.contain(name))
    }
}

/// Tells whether a request is addressed to an IP address or a listed name. HTTP/1.0 names no host.
pub(crate) fn host_is_allowed<B>(request: &Request<B>, vhosts: &Names) -> bool {
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

/// Tells whether a page asks the very host and port that it came from. Behind a proxy that rewrites the host it does not look so.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    origin.is_some_and(|origin| text(header::HOST).is_some_and(|host| host.eq_ignore_ascii_case(origin)))
}

/// Programs send no origin; pages must come from a listed one, or, where none is listed, from this machine.
pub(crate) fn origin_is_allowed(headers: &HeaderMap, origins: &Names) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    if origins.is_empty() {
        let host = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host_of(host));
        return host.is_some_and(is_local);
    }
    origins.allow(origin)
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
