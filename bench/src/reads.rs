//! Reads of a node: how many requests it answers in a second, and how long each takes, over one connection and over many.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, keccak256};
use serde_json::{Value, json};

use crate::Failure;
use crate::client::{Client, ClientError, Endpoint};
use crate::scene::Scene;
use crate::summary::{as_f64, millis, percentile};

/// An error stands in this many first bytes of an answer, if it is one.
const ERROR_WITHIN: usize = 256;

/// Names a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// `eth_call` of a sale's `verifyOwnership`, for the buyer.
    Ownership,
    /// `eth_getBalance`, of many accounts in turn.
    Balance,
    /// `eth_blockNumber`.
    Number,
    /// `eth_getBlockByNumber` with whole transactions, of many blocks in turn.
    Block,
    /// `eth_getLogs` of one token and one recipient.
    Logs,
}

/// All of them, in the order in which they are measured.
pub const READS: [Read; 5] = [Read::Ownership, Read::Balance, Read::Number, Read::Block, Read::Logs];

/// Holds what was seen of one read.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// How many requests were answered.
    pub requests: usize,
    /// Requests per second.
    pub per_second: f64,
    /// Milliseconds below which half of the answers came.
    pub p50_ms: f64,
    /// Milliseconds below which 99 of 100 came.
    pub p99_ms: f64,
    /// Bytes of an answer's body, the longest.
    pub answer_bytes: usize,
}

impl Read {
    /// Returns what it is called in a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ownership => "eth_call verifyOwnership",
            Self::Balance => "eth_getBalance",
            Self::Number => "eth_blockNumber",
            Self::Block => "eth_getBlockByNumber, full",
            Self::Logs => "eth_getLogs",
        }
    }

    /// Returns the parameters of each request that is sent in turn.
    fn parameters(self, scene: &Scene) -> (&'static str, Vec<Value>) {
        match self {
            Self::Ownership => {
                let selector = &keccak256(b"verifyOwnership(address)")[..4];
                let data = alloy_primitives::hex::encode_prefixed([selector, &scene.buyer.into_word()[..]].concat());
                ("eth_call", vec![json!([{"to": scene.sale, "data": data}, "latest"])])
            }
            Self::Balance => {
                ("eth_getBalance", scene.accounts.iter().map(|account| json!([account, "latest"])).collect())
            }
            Self::Number => ("eth_blockNumber", vec![json!([])]),
            Self::Block => {
                let numbers = scene.blocks.iter().map(|(number, _)| json!([format!("{number:#x}"), true]));
                ("eth_getBlockByNumber", numbers.collect())
            }
            Self::Logs => {
                let topics =
                    [json!(keccak256(b"Transfer(address,address,uint256)")), Value::Null, topic(scene.favourite)];
                let (from, to) = scene.range;
                let query = json!({
                    "address": scene.token, "fromBlock": format!("{from:#x}"), "toBlock": format!("{to:#x}"), "topics": topics,
                });
                ("eth_getLogs", vec![json!([query])])
            }
        }
    }

    /// Tells whether request `index` may have this result.
    fn expects(self, scene: &Scene, index: usize, result: &Value) -> bool {
        let list = |field: &Value| field.as_array().map(Vec::len);
        match self {
            Self::Ownership => result.as_str().is_some_and(|word| word.len() == 66 && word.ends_with('1')),
            Self::Balance | Self::Number => crate::client::quantity(result).is_ok() || result.is_string(),
            Self::Block => {
                let transactions = result.get("transactions");
                transactions.and_then(list) >= scene.blocks.get(index).map(|(_, count)| *count)
                    && transactions.and_then(|all| all.get(0)).is_some_and(|first| first.get("hash").is_some())
            }
            Self::Logs => list(result) == Some(scene.favoured),
        }
    }
}

fn topic(address: Address) -> Value {
    json!(address.into_word())
}

/// Sends one read over `connections` connections for `time`, each with one request under way. The first answer to each request is
/// compared with what stands on the chain, and is not counted.
///
/// # Errors
/// The node does not answer, answers with an error, or answers wrongly.
pub fn measure(
    endpoint: &Endpoint,
    read: Read,
    scene: &Scene,
    connections: usize,
    time: Duration,
) -> Result<Figure, Failure> {
    let (method, parameters) = read.parameters(scene);
    let mut client = Client::connect(endpoint)?;
    for (index, params) in parameters.iter().enumerate() {
        let result = client.call(method, params.clone())?;
        if !read.expects(scene, index, &result) {
            return Err(format!("{}: wrong answer to {params}: {result}", read.name()).into());
        }
    }
    let frames: Vec<Vec<u8>> = parameters
        .iter()
        .map(|params| {
            endpoint.frame(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string())
        })
        .collect();
    let clients = (0..connections).map(|_| Client::connect(endpoint)).collect::<Result<Vec<_>, _>>()?;
    let start = Barrier::new(connections);
    let begun = Instant::now();
    let seen: Vec<Result<Seen, ClientError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(number, client)| {
                let (frames, start) = (&frames, &start);
                scope.spawn(move || ask(client, frames, number, start, time))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a reader does not panic")).collect()
    });
    let seconds = begun.elapsed().as_secs_f64();
    let mut all = Seen::default();
    for one in seen {
        let one = one?;
        all.times.extend(one.times);
        all.answer_bytes = all.answer_bytes.max(one.answer_bytes);
    }
    Ok(Figure {
        requests: all.times.len(),
        per_second: as_f64(all.times.len()) / seconds,
        p50_ms: millis(percentile(&all.times, 0.5)),
        p99_ms: millis(percentile(&all.times, 0.99)),
        answer_bytes: all.answer_bytes,
    })
}

#[derive(Default)]
struct Seen {
    times: Vec<Duration>,
    answer_bytes: usize,
}

/// Sends the requests in turn, beginning with another one on each connection, until `time` is over.
fn ask(
    mut client: Client,
    frames: &[Vec<u8>],
    number: usize,
    start: &Barrier,
    time: Duration,
) -> Result<Seen, ClientError> {
    let mut seen = Seen::default();
    start.wait();
    let begun = Instant::now();
    for frame in frames.iter().cycle().skip(number % frames.len().max(1)) {
        let asked = Instant::now();
        let answer = client.send_framed(frame)?;
        seen.times.push(asked.elapsed());
        seen.answer_bytes = seen.answer_bytes.max(answer.len());
        if is_error(&answer) {
            return Err(ClientError::Malformed(answer));
        }
        if begun.elapsed() >= time {
            break;
        }
    }
    Ok(seen)
}

/// Looks at the beginning alone: a search through long answers would be time of the client that both share the cores with.
fn is_error(answer: &str) -> bool {
    let beginning = &answer.as_bytes()[..answer.len().min(ERROR_WITHIN)];
    beginning.windows(7).any(|window| window == b"\"error\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene() -> Scene {
        Scene {
            sale: Address::repeat_byte(1),
            buyer: Address::repeat_byte(2),
            accounts: vec![Address::repeat_byte(3), Address::repeat_byte(4)],
            token: Address::repeat_byte(5),
            favourite: Address::repeat_byte(6),
            favoured: 2,
            range: (7, 9),
            blocks: vec![(7, 2), (9, 1)],
        }
    }

    #[test]
    fn wrong_answers_are_told_from_right_ones() {
        let transaction = json!({"hash": "0x00"});
        let yes = format!("0x{:064x}", 1);
        let no = format!("0x{:064x}", 0);
        for (read, index, result, expected) in [
            (Read::Ownership, 0, json!(yes), true),
            (Read::Ownership, 0, json!(no), false),
            (Read::Ownership, 0, json!("0x"), false),
            (Read::Balance, 1, json!("0xde0b6b3a7640000"), true),
            (Read::Number, 0, Value::Null, false),
            (Read::Block, 0, json!({"transactions": [transaction, transaction]}), true),
            (Read::Block, 0, json!({"transactions": [transaction]}), false),
            (Read::Block, 1, json!({"transactions": ["0x00"]}), false),
            (Read::Block, 1, Value::Null, false),
            (Read::Logs, 0, json!([1, 2]), true),
            (Read::Logs, 0, json!([1]), false),
        ] {
            assert_eq!(read.expects(&scene(), index, &result), expected, "{read:?} {result}");
        }
    }

    #[test]
    fn errors_are_seen_at_the_beginning_of_an_answer() {
        assert!(is_error(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000}}"#));
        assert!(!is_error(r#"{"jsonrpc":"2.0","id":1,"result":"0x"}"#));
        assert!(!is_error(&format!(r#"{{"result":"{}"}}"#, "ü".repeat(ERROR_WITHIN))));
    }
}
