//! `network run`: all nodes of a network's folder on this machine, a table of how they are, and a clean end for all of them.

use std::fs;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::super::ask::ask;
use super::super::say;
use super::table::{QUESTIONS, Row, RowState, show};
use crate::cli::network_commands::RunArgs;
use crate::exit::Fatal;

/// How often the table is drawn.
const DRAW_EVERY: Duration = Duration::from_secs(1);
/// How often a line is written where there is no terminal to draw on.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How long a node may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(15);

/// How much of a line that a node writes to its standard error is looked at, in bytes.
const LINE_BYTES_MAX: u64 = 4096;

/// A node that runs; it is ended when this is dropped.
struct Running {
    name: String,
    child: Child,
    socket: PathBuf,
    /// Reads its standard error until it ends, and gives the reason and the remedy that it ended with.
    reader: Option<JoinHandle<LastWords>>,
}

/// What a node said last: the `error:` and `remedy:` lines of a program that could not go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LastWords {
    error: Option<String>,
    remedy: Option<String>,
}

impl LastWords {
    fn read(stderr: impl Read) -> Self {
        let (mut stderr, mut words, mut line) = (BufReader::new(stderr), Self::default(), Vec::new());
        // A part of a longer line is looked at as if it were one.
        while stderr.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            let text = String::from_utf8_lossy(&line);
            if let Some(error) = text.strip_prefix("error: ") {
                words = Self { error: Some(error.trim_end().to_owned()), remedy: None };
            } else if let Some(remedy) = text.strip_prefix("remedy: ") {
                words.remedy = Some(remedy.trim_end().to_owned());
            }
            line.clear();
        }
        words
    }
}

impl Running {
    /// Tells how the node ended, and what helps.
    fn explain(&mut self, status: std::process::ExitStatus) -> (String, String) {
        let words = self.reader.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        let log = self.socket.with_file_name("node.log");
        let cause = match words.error {
            Some(error) => format!("{}: {error} ({status})", self.name),
            None => format!("{} has ended by itself: {status}", self.name),
        };
        let more = format!("its log is {}", log.display());
        (cause, words.remedy.map_or_else(|| more.clone(), |remedy| format!("{remedy}; {more}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, save where this function ends early.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts all nodes and stays until Ctrl-C, a node's end, or the given time.
pub(super) fn run(args: &RunArgs, out: &mut dyn Write) -> Result<(), Fatal> {
    let program =
        std::env::current_exe().map_err(|error| Fatal::Internal { cause: format!("where is the program? {error}") })?;
    let stop = stop_flag()?;
    let mut nodes = Vec::new();
    for name in names(&args.folder)? {
        nodes.push(start(&program, &args.folder, &name)?);
    }
    let begun = Instant::now();
    let ended = watch(&mut nodes, args.seconds.map(Duration::from_secs), begun, &stop, out);
    say(out, "stopping")?;
    let stopped = end_all(nodes);
    ended?;
    stopped?;
    say(out, "all nodes have stopped cleanly")
}

/// Returns a flag that Ctrl-C and SIGTERM set.
fn stop_flag() -> Result<Arc<AtomicBool>, Fatal> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let internal = |error: std::io::Error| Fatal::Internal { cause: format!("no signals: {error}") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                use tokio::signal::unix::{SignalKind, signal};
                let (Ok(mut interrupted), Ok(mut terminated)) =
                    (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
                else {
                    return;
                };
                tokio::select! {
                    _ = interrupted.recv() => {}
                    _ = terminated.recv() => {}
                }
                flag.store(true, Ordering::Relaxed);
            });
        })
        .map_err(internal)?;
    Ok(stop)
}

/// Returns the nodes of a network's folder: the folders with a configuration, in the order of their names.
fn names(folder: &Path) -> Result<Vec<String>, Fatal> {
    let entries = fs::read_dir(folder).map_err(|error| Fatal::io(folder, &error))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join("node.toml").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    if names.is_empty() {
        let cause = format!("there is no node in {}", folder.display());
        return Err(Fatal::config(cause, "name the folder that `drawbridge network new` has made"));
    }
    Ok(names)
}

fn start(program: &Path, folder: &Path, name: &str) -> Result<Running, Fatal> {
    use std::os::unix::process::CommandExt;
    let config = format!("{name}/node.toml");
    let log = format!("{name}/node.log");
    // The nodes are ended by us, in order, and not by the terminal's Ctrl-C as well.
    let mut child = Command::new(program)
        .args(["--config", &config, "--log.file", &log])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| Fatal::io(program, &error))?;
    let reader = child.stderr.take().map(|stderr| std::thread::spawn(move || LastWords::read(stderr)));
    let socket = folder.join(name).join(crate::config::IPC_FILE);
    Ok(Running { name: name.to_owned(), child, socket, reader })
}

fn watch(
    nodes: &mut [Running],
    limit: Option<Duration>,
    begun: Instant,
    stop: &AtomicBool,
    out: &mut dyn Write,
) -> Result<(), Fatal> {
    let is_terminal = std::io::stdout().is_terminal();
    let mut drawn: Option<Instant> = None;
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let is_over = limit.is_some_and(|limit| begun.elapsed() >= limit);
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        for node in nodes.iter_mut() {
            if let Ok(Some(status)) = node.child.try_wait() {
                let (cause, remedy) = node.explain(status);
                return Err(Fatal::config(cause, remedy));
            }
        }
        let every = if is_terminal { DRAW_EVERY } else { LINE_EVERY };
        if is_over || drawn.is_none_or(|at| at.elapsed() >= every) {
            drawn = Some(Instant::now());
            let rows: Vec<Row> = nodes
                .iter()
                .map(|node| Row {
                    name: node.name.clone(),
                    state: ask(&node.socket, QUESTIONS).as_ref().and_then(RowState::of),
                })
                .collect();
            let table = show(&rows);
            if is_terminal {
                say(out, format_args!("\x1b[H\x1b[2J{table}\n{} s, Ctrl-C ends them", begun.elapsed().as_secs()))?;
            } else {
                say(out, format_args!("{} s\n{table}", begun.elapsed().as_secs()))?;
            }
            // Whoever reads may have gone away.
            let _ = out.flush();
        }
        if is_over {
            return Ok(());
        }
    }
}

/// Tells all nodes to end, and waits for them.
fn end_all(nodes: Vec<Running>) -> Result<(), Fatal> {
    for node in &nodes {
        terminate(node.child.id());
    }
    let begun = Instant::now();
    let mut failed = Vec::new();
    for mut node in nodes {
        loop {
            match node.child.try_wait() {
                Ok(Some(status)) if status.success() => break,
                Ok(Some(status)) => {
                    failed.push(node.explain(status).0);
                    break;
                }
                Ok(None) if begun.elapsed() < END_TIMEOUT => std::thread::sleep(Duration::from_millis(20)),
                Ok(None) | Err(_) => {
                    failed.push(format!("{}: does not end, and was killed", node.name));
                    break;
                }
            }
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Fatal::config(failed.join("; "), "the log in the node's folder says why")),
    }
}

/// Sends SIGTERM to a process of ours, by the shell's own `kill`.
fn terminate(id: u32) {
    // It may have ended already.
    let _ = Command::new("sh").args(["-c", "kill -TERM \"$0\" 2>/dev/null", &id.to_string()]).status();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_a_node_are_its_error_and_the_remedy() {
        let check = |text: &str, error: Option<&str>, remedy: Option<&str>| {
            let expected = LastWords { error: error.map(str::to_owned), remedy: remedy.map(str::to_owned) };
            assert_eq!(LastWords::read(text.as_bytes()), expected, "{text}");
        };
        check("", None, None);
        check("INFO a line\n", None, None);
        check(
            "INFO a line\nerror: port 1 is taken\nremedy: another --port\n",
            Some("port 1 is taken"),
            Some("another --port"),
        );
        check("error: one\nremedy: first\nerror: two\n", Some("two"), None);
        check(&format!("{}\nerror: after a long line", "x".repeat(10_000)), Some("after a long line"), None);
    }
}
