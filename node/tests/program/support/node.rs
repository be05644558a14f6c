//! A running node, killed when the test is done with it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::{Client, Home};

/// How long a node may take to serve.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A signal, in the shell's name for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Term,
    Int,
    Kill,
}

/// How a node ended.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) code: Option<i32>,
    pub(crate) took: Duration,
    pub(crate) log: String,
}

/// A node that serves HTTP; it dereferences to its client.
pub(crate) struct Node {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
    client: Client,
    ipc: PathBuf,
    /// From the start of the process to the line that says where it serves.
    pub(crate) started_in: Duration,
}

impl Deref for Node {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Node {
    /// Starts a node with these arguments, which must serve HTTP, on a free port where none is given.
    #[track_caller]
    pub(crate) fn start(home: &Home, line: &str) -> Self {
        let begun = Instant::now();
        let mut node = Self::start_later(home, line);
        node.wait_served();
        node.started_in = begun.elapsed();
        node
    }

    /// The same, without waiting: [`Self::wait_served`] does.
    #[track_caller]
    pub(crate) fn start_later(home: &Home, line: &str) -> Self {
        let port = if line.contains("--http.port") { "" } else { " --http.port 0" };
        let mut command = home.program();
        command.args(format!("{line}{port} --color never").split_whitespace());
        Self::launch(command)
    }

    /// Starts a development chain in the data directory `node`.
    #[track_caller]
    pub(crate) fn dev(home: &Home, more: &str) -> Self {
        Self::start(home, &format!("--dev --datadir node {more}"))
    }

    /// Starts the chain of the data directory `node`, its account unlocked and all namespaces served.
    #[track_caller]
    pub(crate) fn chain(home: &Home, more: &str) -> Self {
        let apis = "--http --http.api eth,net,web3,txpool,miner,personal";
        let keys = "--unlock 0 --password pw.txt --allow-insecure-unlock --lightkdf";
        Self::start(home, &format!("--datadir node {apis} {keys} {more}"))
    }

    #[track_caller]
    pub(crate) fn spawn(command: Command) -> Self {
        let begun = Instant::now();
        let mut node = Self::launch(command);
        node.wait_served();
        node.started_in = begun.elapsed();
        node
    }

    /// Starts a program that serves nothing, or not yet.
    pub(crate) fn launch(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        // It ends with the node's standard error.
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let (client, log) = (Client { address }, Vec::new());
        Self { child, lines, log, client, ipc: PathBuf::new(), started_in: Duration::ZERO }
    }

    /// Waits until the node serves HTTP.
    #[track_caller]
    pub(crate) fn wait_served(&mut self) {
        let line = self.wait_line("JSON-RPC over HTTP url=http://");
        let address = line.rsplit("http://").next().unwrap().trim();
        self.client.address = address.parse().unwrap_or_else(|_| panic!("no address in: {line}"));
    }

    /// Waits until the log has a line with `text`, from the lines that nobody has waited for yet.
    #[track_caller]
    pub(crate) fn wait_line(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            match self.lines.recv_timeout(START_TIMEOUT.saturating_sub(begun.elapsed())) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no `{text}` in time:\n{}", self.log.join("\n")),
                Err(RecvTimeoutError::Disconnected) => panic!("the node ended:\n{}", self.log.join("\n")),
            }
        }
    }

    /// Waits for the line that names the local socket, and returns its path.
    #[track_caller]
    pub(crate) fn ipc(&mut self, home: &Home) -> PathBuf {
        if self.ipc.as_os_str().is_empty() {
            let line = self.wait_line("JSON-RPC over IPC path=");
            self.ipc = home.join(line.rsplit("path=").next().unwrap().trim());
        }
        self.ipc.clone()
    }

    /// Returns the lines of the log so far.
    pub(crate) fn log(&mut self) -> String {
        self.log.extend(self.lines.try_iter());
        self.log.join("\n")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal and waits for the end.
    #[track_caller]
    pub(crate) fn stop(self, signal: Signal) -> Stopped {
        self.signal(signal);
        self.wait_end()
    }

    /// Waits until the node has ended by itself.
    #[track_caller]
    pub(crate) fn wait_end(mut self) -> Stopped {
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < START_TIMEOUT, "the node does not stop:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        let (code, took) = (self.child.wait().unwrap().code(), begun.elapsed());
        self.log.extend(self.lines.iter());
        Stopped { code, took, log: self.log.join("\n") }
    }

    /// Sends a signal, by the shell's own `kill`, to this one process.
    pub(crate) fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::Term => "TERM",
            Signal::Int => "INT",
            Signal::Kill => "KILL",
        };
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.id())]).status().unwrap();
        assert!(status.success());
    }

    /// Stops the node as an operator would, and demands that it ends well and in time.
    #[track_caller]
    pub(crate) fn end(self) -> Stopped {
        let stopped = self.stop(Signal::Term);
        assert_eq!(stopped.code, Some(0), "{}", stopped.log);
        assert!(stopped.took < Duration::from_secs(2), "{stopped:?}");
        stopped
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the node:\n{}", self.log());
        }
    }
}
