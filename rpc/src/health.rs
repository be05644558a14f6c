//! The pages that load balancers and service managers ask: whether the node lives, and whether it is ready.
//!
//! `/livez` (Besu's `/liveness`), `/readyz` (Besu's `/readiness`) and `/health`, which is both. The status is 200 or 503; `?verbose`
//! lists every criterion, and `?minPeers=` and `?maxBlocksBehind=` demand more or less than the default, as Besu's do.

use std::fmt::Write as _;

use crate::operation::{Criterion, Health, ReadinessDemands};

/// A page about the node's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthPage {
    /// Whether all is well: status 200, else 503.
    pub is_well: bool,
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
    let demands = ReadinessDemands {
        peers_min: given("minPeers").and_then(|value| value.parse().ok()),
        blocks_behind_max: given("maxBlocksBehind").and_then(|value| value.parse().ok()),
    };
    let criteria = match path {
        "/livez" | "/liveness" => health.alive(),
        "/readyz" | "/readiness" => health.ready(&demands),
        "/health" | "/healthz" => [health.alive(), health.ready(&demands)].concat(),
        _ => return None,
    };
    Some(show(&criteria, given("verbose").is_some()))
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
    HealthPage { is_well, text }
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
            page(&Peers(peers), path, query).map(|page| (page.is_well, page.text))
        };
        let text = |is_well: bool, text: &str| Some((is_well, text.to_owned()));
        assert_eq!(check(0, "/livez", None), text(true, "ok\n"));
        assert_eq!(check(0, "/liveness", Some("verbose")), text(true, "[+] ledger: runs\nok\n"));
        assert_eq!(check(1, "/readyz", None), text(true, "ok\n"));
        assert_eq!(check(0, "/readyz", None), text(false, "[-] peers: 0 of 1\nnot ok\n"));
        assert_eq!(check(0, "/readiness", Some("minPeers=0&maxBlocksBehind=2")), text(true, "ok\n"));
        assert_eq!(check(1, "/readyz", Some("minpeers=2")), text(false, "[-] peers: 1 of 2\nnot ok\n"));
        assert_eq!(check(1, "/health", Some("verbose=1")), text(true, "[+] ledger: runs\n[+] peers: 1 of 1\nok\n"));
        assert_eq!(check(1, "/other", None), None);
    }
}
