//! A node process on loopback, asked over its local socket.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Failure;
use crate::ipc::{Ipc, quantity};
use crate::process::path_text;

/// How long a node may take to serve.
const START_MAX: Duration = Duration::from_secs(60);

/// A node; dropping it kills it.
#[derive(Debug)]
pub struct Node {
    child: Child,
    datadir: PathBuf,
}

impl Node {
    /// Starts a node in `datadir` that calls `peers`, and waits until it serves.
    ///
    /// # Errors
    /// It ends at once, or does not serve in time.
    pub fn start(
        program: &Path,
        datadir: &Path,
        chain_file: &Path,
        peers: &[String],
        more: &[&str],
    ) -> Result<Self, Failure> {
        std::fs::create_dir_all(datadir)?;
        let log = File::create(datadir.join("output.log"))?;
        let peers = peers.join(",");
        let child = Command::new(program)
            .args(["--datadir", path_text(datadir)?, "--genesis", path_text(chain_file)?, "--color", "never"])
            .args(["--port", "0", "--p2p.addr", "127.0.0.1", "--nodiscover", "--p2p.static", &peers])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut node = Self { child, datadir: datadir.to_owned() };
        let begun = Instant::now();
        while Ipc::connect(&node.socket()).is_err() {
            if let Some(status) = node.child.try_wait()? {
                return Err(format!("a node has ended: {status}\n{}", node.log()?).into());
            }
            if begun.elapsed() > START_MAX {
                return Err("a node does not serve".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(node)
    }

    /// Returns the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns its local socket.
    pub fn socket(&self) -> PathBuf {
        self.datadir.join("drawbridge.ipc")
    }

    /// Connects to its local socket.
    ///
    /// # Errors
    /// It has ended.
    pub fn ipc(&self) -> Result<Ipc, Failure> {
        Ipc::connect(&self.socket())
    }

    /// Returns where others reach it.
    ///
    /// # Errors
    /// It does not answer, or has no address in time.
    pub fn address(&self) -> Result<String, Failure> {
        let begun = Instant::now();
        loop {
            let info = self.ipc()?.call("admin_nodeInfo", json!([]))?;
            match info["enode"].as_str().filter(|address| !address.is_empty()) {
                Some(address) => return Ok(address.to_owned()),
                None if begun.elapsed() > START_MAX => return Err("a node has no address".into()),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Waits until its head is at `number`, for as long as it grows.
    ///
    /// # Errors
    /// It does not answer, or its head stands still.
    pub fn wait_head(&self, number: u64) -> Result<(), Failure> {
        let (mut last, mut moved) = (0, Instant::now());
        let mut ipc = self.ipc()?;
        loop {
            let head = quantity(&ipc.call("eth_blockNumber", json!([]))?)?;
            if head >= number {
                return Ok(());
            }
            if head > last {
                (last, moved) = (head, Instant::now());
            }
            if moved.elapsed() > START_MAX {
                return Err(format!("a node stands at block {head} of {number}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until `is_there` says that something is there.
    ///
    /// # Errors
    /// It is not within `time_max`, or the node does not answer.
    pub fn wait(
        &self,
        what: &str,
        time_max: Duration,
        mut is_there: impl FnMut(&mut Ipc) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let (mut ipc, begun) = (self.ipc()?, Instant::now());
        while !is_there(&mut ipc)? {
            if begun.elapsed() > time_max {
                return Err(format!("waited {time_max:?} for {what}").into());
            }
            // The socket tells nobody of changes in the pool.
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Returns what it has logged.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> Result<String, Failure> {
        Ok(std::fs::read_to_string(self.datadir.join("output.log"))?)
    }

    /// Stops it as an operator does.
    ///
    /// # Errors
    /// It ends with another exit code than 0.
    pub fn stop(mut self) -> Result<(), Failure> {
        Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status()?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("a node stopped with {status}").into()) }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the time of day of the first line of a log that has all of `texts`, with microseconds.
///
/// # Errors
/// There is no such line.
pub fn time_of(log: &str, texts: &[&str]) -> Result<Duration, Failure> {
    let line = log.lines().find(|line| texts.iter().all(|text| line.contains(text)));
    let line = line.ok_or_else(|| format!("no line with {texts:?} in the log"))?;
    parse_time(line).ok_or_else(|| format!("no time in `{line}`").into())
}

/// Reads `2026-11-22T19:36:40.966515Z` as the time of its day.
fn parse_time(line: &str) -> Option<Duration> {
    let clock = line.split('T').nth(1)?.split('Z').next()?;
    let mut parts = clock.split([':', '.']);
    let mut next = || parts.next()?.parse::<u64>().ok();
    let (hours, minutes, seconds, micros) = (next()?, next()?, next()?, next()?);
    Some(Duration::from_secs(hours * 3600 + minutes * 60 + seconds) + Duration::from_micros(micros))
}

/// Returns the time between two times of day, over midnight too.
pub fn between(first: Duration, last: Duration) -> Duration {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    last.checked_sub(first).unwrap_or_else(|| last + DAY - first)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_are_read_from_lines_and_midnight_is_no_wall() {
        let at = |clock: &str| parse_time(&format!("2026-11-22T{clock}Z  INFO x")).unwrap();
        assert_eq!(between(at("10:00:00.000001"), at("10:00:01.500001")), Duration::from_millis(1500));
        assert_eq!(between(at("23:59:59.000000"), at("00:00:01.000000")), Duration::from_secs(2));
        assert_eq!(parse_time("no time"), None);
    }
}
