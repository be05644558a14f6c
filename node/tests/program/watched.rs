//! Metrics and health, as monitoring sees them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{ADDRESS, Home, HttpAnswer, Node, RECEIVER, http};

const SOON: Duration = Duration::from_secs(20);

fn get(address: SocketAddr, path: &str) -> HttpAnswer {
    http(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n"), b"").unwrap()
}

/// Starts a node with a network and metrics; returns it and where its metrics are.
fn start(home: &Home, more: &str) -> (Node, SocketAddr) {
    let apis = "--http --http.api eth,net,admin";
    let keys = "--unlock 0 --password pw.txt --allow-insecure-unlock --lightkdf";
    let mut node = Node::start_later(
        home,
        &format!("--datadir node {apis} {keys} --metrics --metrics.port 0 --p2p.addr 127.0.0.1 --port 0 {more}"),
    );
    let line = node.wait_line("metrics url=http://");
    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    node.wait_served();
    (node, address)
}

/// Returns the names of all samples in a scrape.
fn names(scrape: &str) -> BTreeSet<&str> {
    let samples = scrape.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    samples.map(|line| line.split(['{', ' ']).next().unwrap()).collect()
}

/// Returns the value of a sample without labels.
fn value(scrape: &str, name: &str) -> f64 {
    let line = scrape.lines().find(|line| line.split(' ').next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name} in {scrape}")).split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn metrics_say_what_the_node_does() {
    let home = Home::with_chain(json!({"empty_blocks": "never"}));
    let (node, address) = start(&home, "--mine");
    for _ in 0..3 {
        let hash = node.send(json!({"from": ADDRESS, "to": RECEIVER, "value": "0x1"}));
        node.wait_receipt(&hash, SOON);
    }
    // Facts are counted beside the import: a receipt may be told a moment before.
    let deadline = Instant::now() + SOON;
    let scrape = loop {
        let scrape = get(address, "/metrics");
        assert_eq!(scrape.status, 200);
        if value(&scrape.body, "drawbridge_mined_gas_total") >= 63_000.0 || Instant::now() > deadline {
            break scrape;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let text = &scrape.body;
    for (name, expected) in [
        ("ethereum_blockchain_height", 3.0),
        ("ethereum_best_known_block_number", 3.0),
        ("ethereum_peer_count", 0.0),
        ("ethereum_peer_limit", 50.0),
        ("drawbridge_imported_blocks_total", 3.0),
        ("drawbridge_mined_transactions_total", 3.0),
        ("drawbridge_mined_gas_total", 63_000.0),
        ("drawbridge_pool_added_total", 3.0),
        ("drawbridge_mining", 1.0),
        ("drawbridge_sync_behind_blocks", 0.0),
    ] {
        assert_eq!(value(text, name), expected, "{name}");
    }
    assert!(text.contains("drawbridge_pool_transactions{kind=\"pending\"} 0"), "{text}");
    assert!(text.contains("drawbridge_database_size_bytes{table=\"headers\"}"), "{text}");
    assert!(text.ends_with("# EOF\n"));
    // Each metric says what it is.
    for line in text.lines().filter(|line| line.starts_with("# HELP ")) {
        assert!(line.split(' ').count() > 4, "{line}");
    }
    assert_eq!(get(address, "/nothing").status, 404);
    node.end();
}

/// Collects every expression of a dashboard.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match (name.as_str(), value) {
            ("expr", Value::String(text)) => found.push(text.clone()),
            (_, value) => expressions(value, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

#[test]
fn every_query_of_the_dashboard_finds_its_metrics_in_a_scrape() {
    let home = Home::with_chain(json!({"empty_blocks": "never"}));
    let (node, address) = start(&home, "");
    let scrape = get(address, "/metrics").body;
    let known = names(&scrape);
    let board: Value = serde_json::from_str(include_str!("../../../docs/grafana/drawbridge.json")).unwrap();
    let mut found = Vec::new();
    expressions(&board, &mut found);
    assert!(found.len() >= 15, "{} queries", found.len());
    for expression in &found {
        let words = expression.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_'));
        let metrics: Vec<&str> = words
            .filter(|word| word.contains('_') && !word.starts_with("__") && *word != "histogram_quantile")
            .collect();
        assert!(!metrics.is_empty(), "{expression}");
        for metric in metrics {
            assert!(known.contains(metric), "{metric} of `{expression}` is in no scrape");
        }
    }
    node.end();
}

#[test]
fn health_lists_its_criteria_and_a_lonely_node_is_not_ready() {
    let home = Home::with_chain(json!({"empty_blocks": "never"}));
    let (node, metrics) = start(&home, "");
    for address in [metrics, node.address] {
        let alive = get(address, "/livez?verbose");
        assert_eq!((alive.status, alive.body.contains("[+] ledger")), (200, true), "{alive:?}");
        let ready = get(address, "/readyz");
        assert_eq!(ready.status, 503);
        assert!(ready.body.contains("[-] peers: 0, at least 1"), "{ready:?}");
        for demand in ["minPeers=abc", "maxBlocksBehind=-1"] {
            let refused = get(address, &format!("/readyz?{demand}"));
            assert!(refused.status == 400 && refused.body.starts_with(demand), "{refused:?}");
        }
        let content = get(address, "/readiness?minPeers=0&verbose");
        assert_eq!(content.status, 200, "{content:?}");
        for criterion in ["node", "peers", "sync", "head", "disk"] {
            assert!(content.body.contains(&format!("[+] {criterion}: ")), "{criterion}: {content:?}");
        }
        assert_eq!(get(address, "/health").status, 503);
        assert_eq!(get(address, "/nothing").status, 404);
    }
    assert_eq!(get(node.address, "/").status, 200);
    node.end();
}
