//! The live table of a cluster: one line per node.

use std::fmt::Write as _;

use serde_json::Value;

/// What one node says of itself; none: it does not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) state: Option<RowState>,
}

/// What a node that answers says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RowState {
    pub(super) height: u64,
    pub(super) head: String,
    pub(super) peers: u64,
    pub(super) hash_rate: u64,
    pub(super) pending: u64,
    pub(super) queued: u64,
}

impl RowState {
    /// Reads the answers to [`QUESTIONS`], in any order.
    pub(super) fn of(answers: &Value) -> Option<Self> {
        let answers = answers.as_array()?;
        let answer = |id: u64| answers.iter().find(|answer| answer["id"] == id).map(|answer| &answer["result"]);
        let number = |value: &Value| u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok();
        let head = answer(1)?;
        let pool = answer(4)?;
        Some(Self {
            height: number(&head["number"])?,
            head: head["hash"].as_str()?.to_owned(),
            peers: number(answer(2)?)?,
            hash_rate: number(answer(3)?)?,
            pending: number(&pool["pending"])?,
            queued: number(&pool["queued"])?,
        })
    }
}

/// What each node is asked, as one batch.
pub(super) const QUESTIONS: &str = r#"[
    {"jsonrpc": "2.0", "id": 1, "method": "eth_getHeaderByNumber", "params": ["latest"]},
    {"jsonrpc": "2.0", "id": 2, "method": "net_peerCount", "params": []},
    {"jsonrpc": "2.0", "id": 3, "method": "eth_hashrate", "params": []},
    {"jsonrpc": "2.0", "id": 4, "method": "txpool_status", "params": []}]"#;

/// Writes the table.
pub(super) fn show(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<8}{:>8}  {:<14}{:>6}{:>14}{:>9}{:>8}\n",
        "node", "height", "head", "peers", "hash rate", "pending", "queued"
    );
    for row in rows {
        let line = match &row.state {
            Some(state) => {
                let head: String = state.head.chars().take(12).collect();
                let rate = hash_rate(state.hash_rate);
                format!(
                    "{:<8}{:>8}  {head:<14}{:>6}{rate:>14}{:>9}{:>8}",
                    row.name, state.height, state.peers, state.pending, state.queued
                )
            }
            None => format!("{:<8}{:>8}", row.name, "starting"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Writes hashes per second with three digits.
fn hash_rate(rate: u64) -> String {
    let (unit, divisor) = match rate {
        0..1_000 => return format!("{rate} H/s"),
        1_000..1_000_000 => ("kH/s", 1_000),
        1_000_000..1_000_000_000 => ("MH/s", 1_000_000),
        _ => ("GH/s", 1_000_000_000),
    };
    let tenths = rate / (divisor / 10);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_become_a_line_in_any_order() {
        let answers = json!([
            {"id": 4, "result": {"pending": "0x2", "queued": "0x0"}},
            {"id": 1, "result": {"number": "0x10", "hash": "0x1234567890abcdef"}},
            {"id": 3, "result": "0x1312d0"},
            {"id": 2, "result": "0x4"},
        ]);
        let state = RowState::of(&answers);
        let rows = [Row { name: "node1".to_owned(), state }, Row { name: "rpc1".to_owned(), state: None }];
        let text = show(&rows);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["node1", "16", "0x1234567890", "4", "1.2", "MH/s", "2", "0"]);
        assert_eq!(lines[2], ["rpc1", "starting"]);
        assert_eq!(RowState::of(&json!([{"id": 1, "error": {}}])), None);
    }

    #[test]
    fn rates_have_units() {
        for (rate, expected) in
            [(0, "0 H/s"), (999, "999 H/s"), (1_000, "1.0 kH/s"), (7_750_000, "7.7 MH/s"), (3_000_000_000, "3.0 GH/s")]
        {
            assert_eq!(hash_rate(rate), expected);
        }
    }
}
