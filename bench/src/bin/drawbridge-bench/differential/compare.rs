//! Compares what two nodes tell of the same transactions: receipts, the accounts that they touched, and traces.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256};
use bench::Failure;
use bench::client::{Call, Client};
use serde_json::{Value, json};

use crate::differential::generate::Blocks;
use crate::differential::nodes::{Answer, Nodes, Pair};
use crate::differential::tolerated::Tally;

/// The fields of a receipt that both nodes must agree on.
const RECEIPT_FIELDS: [&str; 11] = [
    "status",
    "gasUsed",
    "cumulativeGasUsed",
    "contractAddress",
    "effectiveGasPrice",
    "type",
    "from",
    "to",
    "logsBloom",
    "transactionIndex",
    "blockNumber",
];
/// The fields that depend on the block.
const OF_THE_BLOCK: [&str; 4] = ["cumulativeGasUsed", "transactionIndex", "blockNumber", "effectiveGasPrice"];
/// The fields of a log that both nodes must agree on.
const LOG_FIELDS: [&str; 4] = ["address", "topics", "data", "logIndex"];
/// The fields of a block that both nodes must agree on.
const BLOCK_FIELDS: [&str; 8] =
    ["number", "timestamp", "baseFeePerGas", "gasLimit", "gasUsed", "logsBloom", "receiptsRoot", "transactionsRoot"];

/// The tracers that are compared, with their options.
fn tracers() -> [(&'static str, Value); 4] {
    [
        ("struct logs", json!({ "enableMemory": false, "enableReturnData": true })),
        ("callTracer", json!({ "tracer": "callTracer", "tracerConfig": { "withLog": true } })),
        ("prestateTracer", json!({ "tracer": "prestateTracer" })),
        (
            "prestateTracer with differences",
            json!({ "tracer": "prestateTracer", "tracerConfig": { "diffMode": true } }),
        ),
    ]
}

/// What was compared, and what differed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) differences: Vec<String>,
    pub(crate) traces: u64,
    pub(crate) traces_left_out: u64,
    pub(crate) accounts: u64,
    pub(crate) slots: u64,
    pub(crate) failed_transactions: u64,
    pub(crate) tolerated: Tally,
}

/// Compares one block's transactions on both nodes; `named` are accounts to look at besides those that were touched.
pub(crate) fn compare(
    nodes: &mut Nodes,
    pair: &Pair,
    named: &BTreeSet<Address>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    if nodes.blocks == Blocks::Equal {
        compare_blocks(nodes, pair, findings)?;
    }
    compare_receipts(nodes, pair, findings)?;
    let mut touched: BTreeMap<Address, BTreeSet<B256>> =
        named.iter().map(|address| (*address, BTreeSet::new())).collect();
    for hash in &pair.transactions {
        compare_traces(nodes, *hash, &mut touched, findings)?;
    }
    compare_state(nodes, &touched, findings)
}

fn compare_blocks(nodes: &mut Nodes, pair: &Pair, findings: &mut Findings) -> Result<(), Failure> {
    let calls = [("eth_getBlockByNumber", json!([format!("{:#x}", pair.number), false]))];
    for (own, other) in nodes.ask(&calls)? {
        let (own, other) = (kept(&own?, &BLOCK_FIELDS), kept(&other?, &BLOCK_FIELDS));
        findings.compare(&format!("block {}", pair.number), &own, &other);
    }
    Ok(())
}

fn compare_receipts(nodes: &mut Nodes, pair: &Pair, findings: &mut Findings) -> Result<(), Failure> {
    let calls: Vec<Call<'_>> =
        pair.transactions.iter().map(|hash| ("eth_getTransactionReceipt", json!([hash]))).collect();
    let fields: Vec<_> = match nodes.blocks {
        Blocks::Equal => RECEIPT_FIELDS.to_vec(),
        Blocks::Own => RECEIPT_FIELDS.into_iter().filter(|field| !OF_THE_BLOCK.contains(field)).collect(),
    };
    for (hash, (own, other)) in pair.transactions.iter().zip(nodes.ask(&calls)?) {
        let shown = |receipt: &Value| {
            let mut shown = kept(receipt, &fields);
            shown["logs"] =
                receipt["logs"].as_array().into_iter().flatten().map(|log| kept(log, &LOG_FIELDS)).collect();
            shown
        };
        let own = own?;
        findings.failed_transactions += u64::from(own["status"] == "0x0");
        findings.compare(&format!("receipt of {hash}"), &shown(&own), &shown(&other?));
    }
    Ok(())
}

fn kept(object: &Value, fields: &[&str]) -> Value {
    fields.iter().map(|field| ((*field).to_owned(), object[*field].clone())).collect()
}

fn compare_traces(
    nodes: &mut Nodes,
    hash: B256,
    touched: &mut BTreeMap<Address, BTreeSet<B256>>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let ask = |client: &mut Client, options: &Value| -> Answer {
        client.call("debug_traceTransaction", json!([hash, options])).map_err(|error| error.to_string())
    };
    for (name, options) in tracers() {
        let own = match ask(&mut nodes.own, &options) {
            Ok(own) => own,
            // This node has a limit of size and the reader one of depth; the transaction's other traces are compared.
            Err(error) if error.contains("response too large") || error.contains("recursion limit") => {
                findings.traces_left_out += 1;
                continue;
            }
            Err(error) => {
                findings.differences.push(format!("{name} of {hash}: this node answers {error}"));
                continue;
            }
        };
        if name.starts_with("prestateTracer") {
            collect_touched(&own, touched);
        }
        match ask(&mut nodes.other, &options) {
            Ok(other) => {
                findings.traces += 1;
                findings.compare_as(name, &format!("{name} of {hash}"), &own, &other);
            }
            Err(error) => findings.differences.push(format!("{name} of {hash}: the other node answers {error}")),
        }
    }
    Ok(())
}

/// Notes the accounts and slots that a prestate tracer tells of.
fn collect_touched(trace: &Value, touched: &mut BTreeMap<Address, BTreeSet<B256>>) {
    for accounts in [trace, &trace["pre"], &trace["post"]] {
        for (address, account) in accounts.as_object().into_iter().flatten() {
            let Ok(address) = address.parse::<Address>() else { continue };
            let slots = account["storage"].as_object().into_iter().flatten();
            let slots = slots.filter_map(|(slot, _)| slot.parse::<B256>().ok());
            touched.entry(address).or_default().extend(slots);
        }
    }
}

fn compare_state(
    nodes: &mut Nodes,
    touched: &BTreeMap<Address, BTreeSet<B256>>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let mut calls: Vec<Call<'_>> = Vec::new();
    for (address, slots) in touched {
        findings.accounts += 1;
        for method in ["eth_getBalance", "eth_getTransactionCount", "eth_getCode"] {
            calls.push((method, json!([address, "latest"])));
        }
        for slot in slots {
            findings.slots += 1;
            calls.push(("eth_getStorageAt", json!([address, slot, "latest"])));
        }
    }
    for part in calls.chunks(500) {
        let answers = nodes.ask(part)?;
        for ((method, params), (own, other)) in part.iter().zip(answers) {
            let differs_with_blocks = nodes.blocks == Blocks::Own && *method == "eth_getBalance";
            let root = if differs_with_blocks { "own-blocks" } else { "" };
            findings.compare_as(root, &format!("{method} {params}"), &own?, &other?);
        }
    }
    Ok(())
}

impl Findings {
    /// Notes the first difference of two answers.
    fn compare(&mut self, what: &str, own: &Value, other: &Value) {
        self.compare_as("", what, own, other);
    }

    /// Notes the first difference of two answers, whose paths begin with `root` for what is tolerated there.
    fn compare_as(&mut self, root: &str, what: &str, own: &Value, other: &Value) {
        if let Some(difference) = self.first_difference(root, own, other) {
            let below = difference.strip_prefix(root).unwrap_or(&difference);
            self.differences.push(format!("{what}{below}"));
        }
    }

    fn first_difference(&mut self, path: &str, own: &Value, other: &Value) -> Option<String> {
        if own == other {
            return None;
        }
        match (own, other) {
            (Value::Object(fields), Value::Object(others)) => {
                let names: BTreeSet<&String> = fields.keys().chain(others.keys()).collect();
                let value =
                    |fields: &serde_json::Map<String, Value>, name| fields.get(name).cloned().unwrap_or_default();
                names.into_iter().find_map(|name| {
                    if self.tolerated.tolerates_field(path, name, own, other) {
                        return None;
                    }
                    self.first_difference(&format!("{path}.{name}"), &value(fields, name), &value(others, name))
                })
            }
            (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
                let mut pairs = items.iter().zip(others).enumerate();
                pairs.find_map(|(index, (own, other))| self.first_difference(&format!("{path}[{index}]"), own, other))
            }
            _ if self.tolerated.tolerates(path, own, other) => None,
            (Value::Array(items), Value::Array(others)) => {
                Some(format!("{path}: {} entries here, {} there", items.len(), others.len()))
            }
            _ => Some(format!("{path}: here {}, there {}", short(own), short(other))),
        }
    }
}

fn short(value: &Value) -> String {
    /// Longer values tell nothing more at a glance.
    const LENGTH: usize = 300;
    value.to_string().chars().take(LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named_by_its_place() {
        for (own, other, expected) in [
            (json!({ "a": [1, { "b": 2 }] }), json!({ "a": [1, { "b": 3 }] }), Some(".a[1].b: here 2, there 3")),
            (json!({ "a": 1 }), json!({ "a": 1, "b": null }), None),
            (json!({ "a": 1 }), json!({ "b": 1 }), Some(".a: here 1, there null")),
            (json!([1]), json!([1, 2]), Some(": 1 entries here, 2 there")),
            (
                json!({ "structLogs": [{ "refund": 1 }] }),
                json!({ "structLogs": [{ "refund": 0 }] }),
                Some(".structLogs[0].refund: here 1, there 0"),
            ),
        ] {
            let mut findings = Findings::default();
            assert_eq!(findings.first_difference("", &own, &other).as_deref(), expected, "{own} {other}");
        }
    }

    #[test]
    fn touched_accounts_are_those_of_both_sides_of_a_difference() {
        let (a, b) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let slot = B256::with_last_byte(7);
        let trace = json!({
            "pre": { a.to_string(): { "balance": "0x1" } },
            "post": { b.to_string(): { "storage": { slot.to_string(): slot } } },
        });
        let mut touched = BTreeMap::new();
        collect_touched(&trace, &mut touched);
        assert_eq!(touched, [(a, BTreeSet::new()), (b, [slot].into_iter().collect())].into_iter().collect());
    }
}
