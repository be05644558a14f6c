//! HTTP and JSON-RPC on bare sockets, so that wrong requests can be sent as well as right ones.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// What an HTTP server answered.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl HttpAnswer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|problem| panic!("{problem}: {self:?}"))
    }
}

/// Sends a request of the given head (request line and headers, each line ended) and body; the server closes afterwards.
pub(crate) fn http(address: SocketAddr, head: &str, body: &[u8]) -> std::io::Result<HttpAnswer> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let head = format!("{head}Connection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    socket.write_all(&[head.as_bytes(), body].concat()[..head.len()])?;
    // A server that refuses a body by its length answers without reading it.
    let _ = socket.write_all(body);
    let mut answer = Vec::new();
    let read = socket.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        read?;
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
    Ok(HttpAnswer { status, body: body.to_owned() })
}

/// Asks a node over HTTP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
}

impl Client {
    /// Sends a body as it is.
    pub(crate) fn post(&self, body: &[u8]) -> std::io::Result<HttpAnswer> {
        let head = format!("POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n", self.address);
        http(self.address, &head, body)
    }

    /// Calls a method; the error is JSON-RPC's, or a null where the node is gone.
    pub(crate) fn try_call(&self, method: &str, params: Value) -> Result<Value, Value> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self.post(request.to_string().as_bytes()).map_err(|_| Value::Null)?;
        let mut answer: Value = serde_json::from_str(&answer.body).map_err(|_| Value::Null)?;
        match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["result"].take()),
        }
    }

    /// Calls a method that must succeed.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        self.try_call(method, params.clone()).unwrap_or_else(|error| panic!("{method} {params}: {error}"))
    }

    pub(crate) fn block_number(&self) -> u64 {
        number(&self.call("eth_blockNumber", json!([])))
    }

    /// Returns a block with its transactions' hashes.
    pub(crate) fn block(&self, number: u64) -> Value {
        self.call("eth_getBlockByNumber", json!([format!("{number:#x}"), false]))
    }

    /// Sends a transaction from an unlocked account and returns its hash.
    #[track_caller]
    pub(crate) fn send(&self, transaction: Value) -> String {
        self.call("eth_sendTransaction", json!([transaction])).as_str().unwrap().to_owned()
    }

    /// Asks every few milliseconds until there is an answer.
    #[track_caller]
    pub(crate) fn wait<T>(&self, what: &str, limit: Duration, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(answer) = ask(self) {
                return answer;
            }
            assert!(begun.elapsed() < limit, "waited {limit:?} for {what}");
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    #[track_caller]
    pub(crate) fn wait_receipt(&self, hash: &str, limit: Duration) -> Value {
        self.wait("a receipt", limit, |client| {
            Some(client.call("eth_getTransactionReceipt", json!([hash]))).filter(|receipt| !receipt.is_null())
        })
    }

    #[track_caller]
    pub(crate) fn wait_head(&self, number: u64, limit: Duration) -> u64 {
        self.wait("a head", limit, |client| Some(client.block_number()).filter(|head| *head >= number))
    }
}

/// Reads a JSON-RPC quantity.
#[track_caller]
pub(crate) fn number(value: &Value) -> u64 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).unwrap_or_else(|| panic!("{value}"));
    u64::from_str_radix(digits, 16).unwrap()
}

/// Returns bytes that look random, the same for the same seed.
pub(crate) fn random_bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}
