//! JSON-RPC over a node's local socket, which is reached from every network namespace.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::Failure;
use serde_json::{Value, json};

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// A connection to a node.
#[derive(Debug)]
pub struct Ipc {
    stream: BufReader<UnixStream>,
}

impl Ipc {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(path: &Path) -> Result<Self, Failure> {
        Self::connect_for(path, ANSWER_TIME_MAX)
    }

    /// Connects for calls that may take so long.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect_for(path: &Path, answer_time_max: Duration) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(answer_time_max))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Calls a method; the inner error is the node's own.
    ///
    /// # Errors
    /// The connection is gone, or the answer is no JSON-RPC.
    pub fn try_call(&mut self, method: &str, params: Value) -> Result<Result<Value, String>, Failure> {
        let answer = self.exchange(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))?;
        Ok(result_of(answer))
    }

    /// Calls a method that must succeed.
    ///
    /// # Errors
    /// As [`Ipc::try_call`], and where the node answers with an error.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        self.try_call(method, params)?.map_err(|error| format!("{method}: {error}").into())
    }

    /// Calls a method with each of these parameters, in one batch; all must succeed.
    ///
    /// # Errors
    /// As [`Ipc::call`], and where an answer is missing.
    pub fn call_all(&mut self, method: &str, params: impl Iterator<Item = Value>) -> Result<Vec<Value>, Failure> {
        let request = |(id, params)| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let batch: Vec<Value> = params.enumerate().map(request).collect();
        let count = batch.len();
        let answers = match self.exchange(&Value::Array(batch))? {
            Value::Array(answers) if answers.len() == count => answers,
            other => return Err(format!("{method}: not {count} answers but {other}").into()),
        };
        answers
            .into_iter()
            .map(|answer| result_of(answer).map_err(|error| format!("{method}: {error}").into()))
            .collect()
    }

    fn exchange(&mut self, request: &Value) -> Result<Value, Failure> {
        self.stream.get_mut().write_all(request.to_string().as_bytes())?;
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err("the node has closed the connection".into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

fn result_of(mut answer: Value) -> Result<Value, String> {
    match answer.get("error") {
        Some(error) => Err(error["message"].as_str().unwrap_or("?").to_owned()),
        None => Ok(answer["result"].take()),
    }
}

/// Reads a quantity.
///
/// # Errors
/// The value is none.
pub fn quantity(value: &Value) -> Result<u64, Failure> {
    let digits =
        value.as_str().and_then(|text| text.strip_prefix("0x")).ok_or_else(|| format!("no quantity: {value}"))?;
    Ok(u64::from_str_radix(digits, 16)?)
}
