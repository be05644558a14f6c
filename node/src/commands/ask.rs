//! Asks a running node over its local socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// How long a node may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Sends a request or a batch and returns what comes back; none where no node answers.
pub(super) fn ask(socket: &Path, request: &str) -> Option<Value> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while answer.len() < ANSWER_BYTES_MAX && answer.last() != Some(&b'\n') {
        match stream.read(&mut chunk).ok()? {
            0 => return None,
            count => answer.extend_from_slice(&chunk[..count]),
        }
    }
    serde_json::from_slice(&answer).ok()
}

/// Calls one method; none where no node answers, or it answers with an error.
pub(super) fn call(socket: &Path, method: &str) -> Option<Value> {
    let request = format!(r#"{{"jsonrpc": "2.0", "id": 1, "method": "{method}", "params": []}}"#);
    ask(socket, &request)?.get_mut("result").map(Value::take)
}
