//! The pages that load balancers and service managers ask: whether the node lives, and whether it is ready.
//!
//! `/livez` (Besu's `/liveness`), `/readyz` (Besu's `/readiness`) and `/health`, which is both. The status is 200 or 503, and 400
//! where a demand cannot be understood; `?verbose`
//! lists every criterion, and `?minPeers=` and `?maxBlocksBehind=` demand more or less than the default, as Besu's do.

use std::fmt::Write as _;
use std::str::FromStr;

use crate::operation::{Criterion, Health, ReadinessDemands};

/// A page about the node's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthPage {
    /// The status of HTTP: 200 where all is well, 503 where something is not, 400 where what is demanded cannot be understood.
    pub status: u16,
    /// The text.
    pub text: String,
}

/// Returns the page at `path` with `query`; `None`: there is no such page.
pub fn page(health: &dyn Health, path: &str, query: Option<&str>) -> Option<HealthPage> {
    let pairs: Vec<(&str, &str)> = query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    let given = |name: &str| pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    let demands = match (number(given("minPeers"), "minPeers"), number(given("maxBlocksBehind"), "maxBlocksBehind")) {
        (Ok(peers_min), Ok(blocks_behind_max)) => ReadinessDemands { peers_min, blocks_behind_max },
        (Err(text), _) | (_, Err(text)) => return is_page(path).then_some(HealthPage { status: 400, text }),
    };
    let criteria = match path {
        "/livez" | "/liveness" => health.alive(),
        "/readyz" | "/readiness" => health.ready(&demands),
        "/health" | "/healthz" => [health.alive(), health.ready(&demands)].concat(),
        _ => return None,
    };
    Some(show(&criteria, given("verbose").is_some()))
}

fn is_page(path: &str) -> bool {
    ["/livez", "/liveness", "/readyz", "/readiness", "/health", "/healthz"].contains(&path)
}

/// Reads what is demanded, where it is; a number that is not understood must not pass for the default.
fn number<T: FromStr>(value: Option<&str>, name: &str) -> Result<Option<T>, String> {
    let read =
        |value: &str| value.parse().map_err(|_| format!("{name}={value}: a whole number from 0 on is expected\n"));
    value.map(read).transpose()
}

fn show(criteria: &[Criterion], is_verbose: bool) -> HealthPage {
    let is_well = criteria.iter().all(|criterion| criterion.holds);
    let mut text = String::new();
    for criterion in criteria.iter().filter(|criterion| is_verbose || !criterion.holds) {
        let mark = if criterion.holds { "[+]" } else { "[-]" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{mark} {}: {}", criterion.name, criterion.detail);
    }
    text.push_str(if is_well { "ok\n" } else { "not ok\n" });
    HealthPage { status: if is_well { 200 } else { 503 }, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Peers(usize);

    impl Health for Peers {
        fn alive(&self) -> Vec<Criterion> {
            vec![Criterion { name: "ledger", holds: true, detail: "runs".to_owned() }]
        }

        fn ready(&self, demands: &ReadinessDemands) -> Vec<Criterion> {
            let least = demands.peers_min.unwrap_or(1);
            vec![Criterion { name: "peers", holds: self.0 >= least, detail: format!("{} of {least}", self.0) }]
        }
    }

    #[test]
    fn pages_say_what_does_not_hold_and_everything_on_demand() {
        let check = |peers: usize, path: &str, query: Option<&str>| {
            page(&Peers(peers), path, query).map(|page| (page.status, page.text))
        };
        let text = |is_well: bool, text: &str| Some((if is_well { 200 } else { 503 }, text.to_owned()));
        assert_eq!(check(0, "/livez", None), text(true, "ok\n"));
        assert_eq!(check(0, "/liveness", Some("verbose")), text(true, "[+] ledger: runs\nok\n"));
        assert_eq!(check(1, "/readyz", None), text(true, "ok\n"));
        assert_eq!(check(0, "/readyz", None), text(false, "[-] peers: 0 of 1\nnot ok\n"));
        assert_eq!(check(0, "/readiness", Some("minPeers=0&maxBlocksBehind=2")), text(true, "ok\n"));
        assert_eq!(check(1, "/readyz", Some("minpeers=2")), text(false, "[-] peers: 1 of 2\nnot ok\n"));
        assert_eq!(check(1, "/health", Some("verbose=1")), text(true, "[+] ledger: runs\n[+] peers: 1 of 1\nok\n"));
        for (query, name) in
            [("minPeers=abc", "minPeers=abc"), ("maxBlocksBehind=-1", "maxBlocksBehind=-1"), ("minPeers", "minPeers=")]
        {
            let (status, text) = check(1, "/readyz", Some(query)).expect("a page");
            assert!(status == 400 && text.starts_with(&format!("{name}: a whole number")), "{status} {text}");
        }
        assert_eq!(check(1, "/other", Some("minPeers=abc")), None);
        assert_eq!(check(1, "/other", None), None);
    }
}
