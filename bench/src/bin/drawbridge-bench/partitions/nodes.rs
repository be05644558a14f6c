//! The five nodes: made by `network new`, each run in its namespace.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use bench::Failure;
use bench::process::path_text;

use crate::partitions::BLOCK_MS;
use crate::partitions::lab::Lab;
use bench::ipc::Ipc;

/// How many there are.
pub(crate) const NODES: usize = 5;
/// How long a node may take to answer after its start.
const START_MAX: Duration = Duration::from_secs(20);
/// How long a node may take to end.
const STOP_MAX: Duration = Duration::from_secs(15);

/// The nodes; dropping it kills those that run.
pub(crate) struct Nodes {
    program: PathBuf,
    folder: PathBuf,
    running: Vec<Option<Child>>,
}

impl Nodes {
    /// Makes the network's folder; `funded` accounts have ether.
    pub(crate) fn make(program: &Path, folder: &Path, _: &Lab, funded: &[Address]) -> Result<Self, Failure> {
        let network = folder.join("network");
        let hosts = (0..NODES).map(Lab::address).collect::<Vec<_>>().join(",");
        let funded = funded.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let (count, block_ms) = (NODES.to_string(), BLOCK_MS.to_string());
        let output = Command::new(program)
            .args(["network", "new", "--nodes", &count, "--rpc-nodes", "0", "--lightkdf", "--miner-cpu", "10"])
            .args(["--block-ms", &block_ms, "--hosts", &hosts, "--fund", &funded, "--out", path_text(&network)?])
            .output()?;
        if !output.status.success() {
            return Err(format!("network new: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let program = std::path::absolute(program)?;
        Ok(Self { program, folder: network, running: (0..NODES).map(|_| None).collect() })
    }

    fn datadir(&self, node: usize) -> PathBuf {
        self.folder.join(format!("node{}", node + 1))
    }

    /// Returns a node's local socket.
    pub(crate) fn socket(&self, node: usize) -> PathBuf {
        self.datadir(node).join("drawbridge.ipc")
    }

    /// Tells whether a node runs.
    pub(crate) fn is_running(&self, node: usize) -> bool {
        self.running[node].is_some()
    }

    /// Starts all nodes.
    pub(crate) fn start_all(&mut self, lab: &Lab) -> Result<(), Failure> {
        (0..NODES).try_for_each(|node| self.start(lab, node))
    }

    /// Starts a node and waits until it answers.
    pub(crate) fn start(&mut self, lab: &Lab, node: usize) -> Result<(), Failure> {
        let log = File::options().create(true).append(true).open(self.datadir(node).join("output.log"))?;
        let config = format!("node{}/node.toml", node + 1);
        let mut child = Command::new("ip")
            .args([
                "netns",
                "exec",
                &lab.space(node),
                path_text(&self.program)?,
                "--config",
                &config,
                "--color",
                "never",
            ])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let begun = Instant::now();
        while Ipc::connect(&self.socket(node)).is_err() {
            if let Some(status) = child.try_wait()? {
                return Err(format!("node{} has ended: {status}", node + 1).into());
            }
            if begun.elapsed() > START_MAX {
                return Err(format!("node{} does not answer", node + 1).into());
            }
            // A socket that is not there yet tells nobody when that changes.
            std::thread::sleep(Duration::from_millis(10));
        }
        self.running[node] = Some(child);
        Ok(())
    }

    /// Kills a node (SIGKILL).
    pub(crate) fn kill(&mut self, node: usize) -> Result<(), Failure> {
        // `ip netns exec` becomes the program that it runs, so that its process is the node's.
        if let Some(mut child) = self.running[node].take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Stops all nodes as an operator does; returns what went wrong.
    pub(crate) fn stop_all(&mut self) -> Result<Vec<String>, Failure> {
        let mut problems = Vec::new();
        for child in self.running.iter().flatten() {
            Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status()?;
        }
        for (node, child) in self.running.iter_mut().enumerate() {
            let Some(mut child) = child.take() else { continue };
            let begun = Instant::now();
            let status = loop {
                match child.try_wait()? {
                    Some(status) => break Some(status),
                    None if begun.elapsed() > STOP_MAX => break None,
                    None => std::thread::sleep(Duration::from_millis(10)),
                }
            };
            match status {
                Some(status) if status.success() => {}
                Some(status) => problems.push(format!("node{} stopped with {status}", node + 1)),
                None => {
                    child.kill()?;
                    child.wait()?;
                    problems.push(format!("node{} did not stop", node + 1));
                }
            }
        }
        Ok(problems)
    }

    /// Prints the end of each node's log.
    pub(crate) fn show_logs(&self) {
        for node in 0..NODES {
            let text = std::fs::read_to_string(self.datadir(node).join("output.log")).unwrap_or_default();
            let lines: Vec<_> =
                text.lines().filter(|line| !line.contains("mined a block") && !line.contains("new head")).collect();
            eprintln!("the end of the log of node{}:", node + 1);
            lines.iter().skip(lines.len().saturating_sub(20)).for_each(|line| eprintln!("  {line}"));
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            // They may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
