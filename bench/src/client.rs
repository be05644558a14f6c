//! A JSON-RPC client over one kept-alive HTTP/1.1 connection. It does as little as it can: client and node share the cores.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// Says why a request has no result.
#[derive(Debug)]
pub enum ClientError {
    /// The connection failed or ended.
    Connection(std::io::Error),
    /// The answer is not what JSON-RPC over HTTP gives.
    Malformed(String),
    /// The node answered with an error.
    Node {
        /// The JSON-RPC error code.
        code: i64,
        /// Its text.
        message: String,
    },
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "connection: {error}"),
            Self::Malformed(problem) => write!(f, "malformed answer: {problem}"),
            Self::Node { code, message } => write!(f, "error {code}: {message}"),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<std::io::Error> for ClientError {
    fn from(error: std::io::Error) -> Self {
        Self::Connection(error)
    }
}

/// Names one call: the method and its parameters.
pub type Call<'a> = (&'a str, Value);

/// Where a node listens: host with port, and the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    path: String,
}

impl Endpoint {
    /// Reads `http://HOST[:PORT][/PATH]`.
    ///
    /// # Errors
    /// Another scheme, or no host.
    pub fn parse(url: &str) -> Result<Self, ClientError> {
        let malformed = || ClientError::Malformed(format!("{url}: only http://HOST:PORT/PATH is understood"));
        let rest = url.strip_prefix("http://").ok_or_else(malformed)?;
        let (host, path) = rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, path.to_owned()));
        if host.is_empty() {
            return Err(malformed());
        }
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        Ok(Self { host, path: format!("/{path}") })
    }

    /// Returns it as a URL.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.host, self.path)
    }

    /// Returns the bytes of a whole HTTP request with this JSON body.
    pub fn frame(&self, body: &str) -> Vec<u8> {
        let (path, host, length) = (&self.path, &self.host, body.len());
        format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
            .into_bytes()
    }
}

/// Sends requests over one connection, one after the other.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects to `endpoint`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(endpoint: &Endpoint) -> Result<Self, ClientError> {
        let stream = TcpStream::connect(&endpoint.host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        Ok(Self { endpoint: endpoint.clone(), stream: BufReader::with_capacity(64 * 1024, stream) })
    }

    /// Sends a request that [`Endpoint::frame`] made and returns the body of the answer.
    ///
    /// # Errors
    /// The connection failed, or the answer is no HTTP.
    pub fn send_framed(&mut self, request: &[u8]) -> Result<String, ClientError> {
        self.stream.get_mut().write_all(request)?;
        self.read_answer()
    }

    /// Calls one method and returns its result.
    ///
    /// # Errors
    /// The connection failed, or the node answered with an error.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value, ClientError> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let answer = self.send_framed(&self.endpoint.frame(&body))?;
        result_of(parse(&answer)?)
    }

    /// Calls many methods in one batch and returns their results in order.
    ///
    /// # Errors
    /// The connection failed, or the batch as a whole was refused.
    pub fn batch(&mut self, calls: &[Call<'_>]) -> Result<Vec<Result<Value, ClientError>>, ClientError> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let with_ids = calls.iter().enumerate();
        let requests = with_ids
            .map(|(id, (method, params))| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        let body = Value::Array(requests.collect()).to_string();
        let Value::Array(answers) = parse(&self.send_framed(&self.endpoint.frame(&body))?)? else {
            return Err(ClientError::Malformed("a batch is answered by a list".to_owned()));
        };
        let missing = || Err(ClientError::Malformed("an answer of the batch is missing".to_owned()));
        let mut results: Vec<_> = calls.iter().map(|_| missing()).collect();
        for answer in answers {
            let id = answer.get("id").and_then(Value::as_u64).and_then(|id| usize::try_from(id).ok());
            if let Some(slot) = id.and_then(|id| results.get_mut(id)) {
                *slot = result_of(answer);
            }
        }
        Ok(results)
    }

    fn read_answer(&mut self) -> Result<String, ClientError> {
        let status = self.read_line()?;
        let (mut length, mut chunked) = (0usize, false);
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(|_| ClientError::Malformed(line.clone()))?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.contains("chunked");
            }
        }
        let body = if chunked { self.read_chunks()? } else { self.read_bytes(length)? };
        let body = String::from_utf8(body).map_err(|_| ClientError::Malformed("the body is no text".to_owned()))?;
        if status.split(' ').nth(1) == Some("200") {
            Ok(body)
        } else {
            Err(ClientError::Malformed(format!("{status}: {body}")))
        }
    }

    fn read_chunks(&mut self) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line()?;
            let length = usize::from_str_radix(line.trim(), 16).map_err(|_| ClientError::Malformed(line))?;
            body.extend(self.read_bytes(length)?);
            self.read_line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn read_bytes(&mut self, length: usize) -> Result<Vec<u8>, ClientError> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn read_line(&mut self) -> Result<String, ClientError> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(ClientError::Connection(std::io::ErrorKind::UnexpectedEof.into()));
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

/// Returns the body of a request that sends raw transactions (hexadecimal): one call, or a batch where there are more.
pub fn send_raw_body(raw: &[String]) -> String {
    let call = |id: usize, raw: &str| {
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"eth_sendRawTransaction\",\"params\":[\"{raw}\"]}}")
    };
    if let [only] = raw {
        return call(0, only);
    }
    let mut body = String::from("[");
    for (id, raw) in raw.iter().enumerate() {
        let separator = if id == 0 { "" } else { "," };
        write!(body, "{separator}{}", call(id, raw)).expect("writing to a String cannot fail");
    }
    body.push(']');
    body
}

/// Reads a quantity (hexadecimal with 0x) of at most 64 bits.
///
/// # Errors
/// It is not one.
pub fn quantity(value: &Value) -> Result<u64, ClientError> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| ClientError::Malformed(format!("{value} is no quantity")))
}

fn parse(body: &str) -> Result<Value, ClientError> {
    serde_json::from_str(body).map_err(|error| ClientError::Malformed(error.to_string()))
}

fn result_of(mut answer: Value) -> Result<Value, ClientError> {
    if let Some(error) = answer.get("error") {
        let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
        return Err(ClientError::Node { code, message });
    }
    match answer.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => Err(ClientError::Malformed("neither result nor error".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one connection with the given bytes, one piece for each request.
    fn serve(pieces: Vec<String>) -> (Endpoint, std::thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for piece in pieces {
                let mut buffer = [0; 4096];
                assert!(stream.read(&mut buffer).unwrap() > 0);
                stream.write_all(piece.as_bytes()).unwrap();
            }
        });
        (endpoint, server)
    }

    fn sized(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn results_errors_batches_and_chunks_are_read_from_one_connection() {
        let (endpoint, server) = serve(vec![
            sized(r#"{"id":1,"result":"0x10"}"#),
            sized(r#"{"id":1,"error":{"code":-32000,"message":"nonce too low"}}"#),
            sized(r#"[{"id":1,"result":2},{"id":0,"result":1}]"#),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"id\":1,\r\nb\r\n\"result\":7}\r\n0\r\n\r\n"
                .to_owned(),
        ]);
        let mut client = Client::connect(&endpoint).unwrap();
        assert_eq!(quantity(&client.call("a", json!([])).unwrap()).unwrap(), 16);
        let error = client.call("a", json!([])).unwrap_err();
        assert_eq!(error.to_string(), "error -32000: nonce too low");
        let results: Vec<_> =
            client.batch(&[("a", json!([])), ("b", json!([]))]).unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(results, [json!(1), json!(2)]);
        assert_eq!(client.call("a", json!([])).unwrap(), json!(7));
        server.join().unwrap();
        assert!(matches!(client.call("a", json!([])), Err(ClientError::Connection(_))));
    }

    #[test]
    fn endpoints_are_read_and_refused() {
        let endpoint = Endpoint::parse("http://localhost:8545/x").unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.path.as_str()), ("localhost:8545", "/x"));
        assert_eq!(Endpoint::parse("http://node").unwrap().host, "node:80");
        for url in ["https://localhost", "localhost:8545", "http://"] {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn one_transaction_is_a_call_and_more_are_a_batch() {
        let body = send_raw_body(&["0x01".to_owned()]);
        assert!(serde_json::from_str::<Value>(&body).unwrap().is_object());
        let body = send_raw_body(&["0x01".to_owned(), "0x02".to_owned()]);
        let batch: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&batch[1]["id"], &batch[1]["params"][0]), (&json!(1), &json!("0x02")));
    }
}
