//! Node processes: started on a free port, killed or stopped, measured from outside.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Failure;
use crate::client::{Client, Endpoint};

/// A node that runs as another process; dropping it kills it.
#[derive(Debug)]
pub struct NodeProcess {
    child: Child,
    endpoint: Endpoint,
    spawned: Instant,
}

/// Returns a port that nobody listens on.
///
/// # Errors
/// There is none.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl NodeProcess {
    /// Starts `program`, which is to serve on `port`; its output goes to the end of the file `log`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(program: &Path, arguments: &[String], port: u16, log: &Path) -> Result<Self, Failure> {
        Self::start_in(program, arguments, &[], port, log)
    }

    /// Starts `program` as [`NodeProcess::start`] does, with these variables in its environment.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start_in(
        program: &Path,
        arguments: &[String],
        environment: &[(String, String)],
        port: u16,
        log: &Path,
    ) -> Result<Self, Failure> {
        let log = File::options().create(true).append(true).open(log)?;
        let errors = log.try_clone()?;
        let spawned = Instant::now();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(log).stderr(errors);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(Self { child, endpoint: Endpoint::parse(&format!("http://127.0.0.1:{port}"))?, spawned })
    }

    /// Starts a Drawbridge development chain in `datadir`.
    ///
    /// # Errors
    /// As [`NodeProcess::start`].
    pub fn drawbridge(program: &Path, datadir: &Path, log: &Path) -> Result<Self, Failure> {
        Self::drawbridge_in(program, datadir, &[], &[], log)
    }

    /// Starts a Drawbridge development chain in `datadir` with more flags and these variables in its environment.
    ///
    /// # Errors
    /// As [`NodeProcess::start`].
    pub fn drawbridge_in(
        program: &Path,
        datadir: &Path,
        flags: &[&str],
        environment: &[(String, String)],
        log: &Path,
    ) -> Result<Self, Failure> {
        let port = free_port()?;
        let mut arguments =
            ["--dev", "--datadir", path_text(datadir)?, "--http.port", &port.to_string()].map(str::to_owned).to_vec();
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        Self::start_in(program, &arguments, environment, port, log)
    }

    /// Returns how the process ended, where it has.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Kills the process (SIGKILL) where it still runs, and returns how it had ended by itself before.
    ///
    /// # Errors
    /// The system does not obey.
    pub fn kill_or_ended(mut self) -> std::io::Result<Option<ExitStatus>> {
        let ended = self.child.try_wait()?;
        if ended.is_none() {
            self.child.kill()?;
            self.child.wait()?;
        }
        Ok(ended)
    }

    /// Returns where it serves.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Waits for the first answer to `eth_blockNumber` and returns the time since the start.
    ///
    /// # Errors
    /// The process ended, or `time_max` has passed.
    pub fn wait_for_answer(&mut self, time_max: Duration) -> Result<Duration, Failure> {
        loop {
            let answer =
                Client::connect(&self.endpoint).and_then(|mut client| client.call("eth_blockNumber", json!([])));
            if answer.is_ok() {
                return Ok(self.spawned.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the node ended before it answered: {status}").into());
            }
            if self.spawned.elapsed() > time_max {
                return Err(format!("no answer from the node within {time_max:?}").into());
            }
            // A port that nobody listens on yet tells nobody when that changes.
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills the process (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// It had already ended by itself.
    pub fn kill(mut self) -> Result<(), Failure> {
        if let Some(status) = self.child.try_wait()? {
            return Err(format!("the node ended by itself: {status}").into());
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops the process as an operator does (SIGTERM) and returns how long that took.
    ///
    /// # Errors
    /// It ended with another exit code than 0.
    pub fn stop(mut self) -> Result<Duration, Failure> {
        let begun = Instant::now();
        // The standard library sends no other signal than SIGKILL.
        let status = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status()?;
        if !status.success() {
            return Err("the node cannot be told to stop".into());
        }
        let status = self.child.wait()?;
        if status.success() { Ok(begun.elapsed()) } else { Err(format!("the node stopped with {status}").into()) }
    }

    /// Returns the bytes of memory that are resident now.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn resident_bytes(&self) -> Result<u64, Failure> {
        resident_bytes(self.child.id())
    }
}

/// Returns the bytes of memory of process `id` that are resident now.
///
/// # Errors
/// There is no such process, or the system does not tell.
pub fn resident_bytes(id: u32) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")).ok_or("no VmRSS in /proc")?;
    Ok(kibibytes.trim().parse::<u64>()?.saturating_mul(1024))
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command of `program` to its end, its output at the end of the file `log`.
///
/// # Errors
/// It cannot be started.
pub fn run(program: &Path, arguments: &[&str], log: &Path) -> Result<ExitStatus, Failure> {
    let log = File::options().create(true).append(true).open(log)?;
    let errors = log.try_clone()?;
    Ok(Command::new(program).args(arguments).stdin(Stdio::null()).stdout(log).stderr(errors).status()?)
}

/// What a command did until it was killed or had ended.
#[derive(Clone, Copy, Debug)]
pub enum KilledCommand {
    /// It was killed.
    Killed,
    /// It had ended before.
    Ended(ExitStatus),
}

/// Runs a command of `program` and kills it (SIGKILL) after `time`, its output at the end of the file `log`.
///
/// # Errors
/// It cannot be started.
pub fn run_and_kill(
    program: &Path,
    arguments: &[&str],
    environment: &[(String, String)],
    log: &Path,
    time: Duration,
) -> Result<KilledCommand, Failure> {
    let log = File::options().create(true).append(true).open(log)?;
    let errors = log.try_clone()?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(log).stderr(errors);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let mut child = command.spawn()?;
    let begun = Instant::now();
    while begun.elapsed() < time {
        if let Some(status) = child.try_wait()? {
            return Ok(KilledCommand::Ended(status));
        }
        std::thread::sleep(Duration::from_millis(1).min(time.saturating_sub(begun.elapsed())));
    }
    if let Some(status) = child.try_wait()? {
        return Ok(KilledCommand::Ended(status));
    }
    child.kill()?;
    child.wait()?;
    Ok(KilledCommand::Killed)
}

/// Returns a path as text.
///
/// # Errors
/// It is not UTF-8.
pub fn path_text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()).into())
}

/// Returns the bytes that all files below `folder` take.
///
/// # Errors
/// A folder cannot be read.
pub fn folder_bytes(folder: &Path) -> std::io::Result<u64> {
    let mut pending: Vec<PathBuf> = vec![folder.to_owned()];
    let mut bytes = 0;
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            // A running node may have removed a file since it was listed.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                pending.push(entry.path());
            } else {
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes)
}
