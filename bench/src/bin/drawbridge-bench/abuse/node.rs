//! The node that is abused, and how it is asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bench::Failure;
use bench::client::{Client, Endpoint};
use bench::process::NodeProcess;
use serde_json::{Value, json};

/// How long a node may take to start.
const START_TIME_MAX: Duration = Duration::from_secs(120);
/// What a panic writes.
const PANIC: &str = "panicked at";

/// A node that runs, in a folder of its own.
pub(crate) struct Target {
    process: NodeProcess,
    folder: tempfile::TempDir,
}

impl Target {
    /// Starts a development chain that does not mine.
    pub(crate) fn start(program: &Path) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let (datadir, log) = (folder.path().join("node"), folder.path().join("log"));
        let mut process = NodeProcess::drawbridge_in(program, &datadir, &["--mine=false"], &[], &log)?;
        process.wait_for_answer(START_TIME_MAX)?;
        Ok(Self { process, folder })
    }

    /// Returns where it serves.
    pub(crate) fn endpoint(&self) -> Endpoint {
        self.process.endpoint().clone()
    }

    /// Returns the address.
    pub(crate) fn address(&self) -> Result<SocketAddr, Failure> {
        let url = self.process.endpoint().url();
        let host = url.trim_start_matches("http://").trim_end_matches('/');
        Ok(host.parse()?)
    }

    /// Returns a connection whose reads and writes wait for at most `patience`.
    pub(crate) fn connect(&self, patience: Duration) -> Result<TcpStream, Failure> {
        let stream = TcpStream::connect(self.address()?)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(stream)
    }

    /// Returns the memory that is resident, in MiB.
    pub(crate) fn resident_mib(&self) -> Result<u64, Failure> {
        Ok(self.process.resident_bytes()? >> 20)
    }

    /// Calls a method on a connection of its own.
    pub(crate) fn call(&self, method: &str, params: Value) -> Result<Value, Failure> {
        Ok(Client::connect(self.process.endpoint())?.call(method, params)?)
    }

    /// Returns the folder beside the node's.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_path_buf()
    }

    /// Tells whether the node has panicked or ended.
    pub(crate) fn is_hurt(&mut self) -> Result<bool, Failure> {
        let log = std::fs::read(self.folder.path().join("log"))?;
        let has_panicked = String::from_utf8_lossy(&log).contains(PANIC);
        Ok(has_panicked || self.process.ended()?.is_some())
    }

    /// Stops the node as an operator does.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.process.stop()?;
        Ok(())
    }
}

/// Returns the bytes of a request over HTTP.
pub(crate) fn request(method: &str, params: &Value) -> Vec<u8> {
    frame(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string().as_bytes())
}

/// Puts HTTP's head before a body.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Sends bytes that ask for the connection's end, and returns what came back until then.
pub(crate) fn exchange(mut stream: TcpStream, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    // Who is refused early may be cut off while it still sends. The sending side stays open: to close it means to wait for no answer.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Ok(answer)
}
