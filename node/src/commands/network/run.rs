//! `network run`: all nodes of a network's folder on this machine, a table of how they are, and a clean end for all of them.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// A node that runs; it is ended when this is dropped.
struct Running {
    name: String,
    child: Child,
    socket: PathBuf,
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
    let child = Command::new(program)
        .args(["--config", &config, "--log.file", &log])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| Fatal::io(program, &error))?;
    let socket = folder.join(name).join(crate::config::IPC_FILE);
    Ok(Running { name: name.to_owned(), child, socket })
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
                let cause = format!("{} has ended by itself: {status}", node.name);
                return Err(Fatal::config(
                    cause,
                    format!("its log says why: {}", node.socket.with_file_name("node.log").display()),
                ));
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
                    failed.push(format!("{}: {status}", node.name));
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
