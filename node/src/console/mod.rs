//! `drawbridge attach`: a console for JSON-RPC, with the names of web3 and of geth's console.

mod evaluate;
mod helpers;
mod link;
mod names;
mod show;
mod syntax;
mod typing;
mod value;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use rpc::JwtSecret;
use rustyline::config::{CompletionType, Configurer};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use serde_json::Value as Json;

use crate::commands::say;
use crate::config::NodeConfig;
use crate::exit::Fatal;
use evaluate::Session;
use link::{Link, Place};
use typing::Typing;
use value::Value;

/// How many lines the history keeps.
const HISTORY_LINES_MAX: usize = 1000;
/// The name of the history in the data directory.
const HISTORY_FILE: &str = "console-history";

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attach {
    /// URL or socket; none: the socket of the data directory.
    pub endpoint: Option<String>,
    /// What to run instead of asking a person.
    pub exec: Option<String>,
    /// The file with the secret of tokens.
    pub jwt_secret_file: Option<PathBuf>,
}

/// Attaches to a node.
///
/// # Errors
/// The node cannot be reached, or what was to be run failed.
pub fn run(attach: &Attach, config: &NodeConfig, out: &mut dyn Write) -> Result<(), Fatal> {
    let place = match &attach.endpoint {
        Some(text) => Place::read(text).map_err(|cause| Fatal::Usage { cause })?,
        None => Place::Socket(config.ipc.path.clone()),
    };
    let secret = attach.jwt_secret_file.as_deref().map(read_secret).transpose()?;
    let is_typed = attach.exec.is_none() && std::io::stdin().is_terminal();
    let unreachable = |error: link::LinkError| {
        let cause = format!("{place}: {}", error.to_string().trim_start_matches("Error: "));
        Fatal::config(cause, remedy_of(&error))
    };
    let link = Link::open(&place, secret).map_err(unreachable)?;
    let ask = is_typed.then_some(ask_password as evaluate::AskPassword);
    let mut session = Session::begin(link, ask).map_err(unreachable)?;
    if let Some(line) = &attach.exec {
        return execute(&mut session, line, out);
    }
    if is_typed {
        say(out, welcome(&mut session))?;
        return type_lines(&mut session, config.data.dir.join(HISTORY_FILE), out);
    }
    for line in std::io::stdin().lines() {
        let line = line.map_err(|error| Fatal::disk(format!("standard input: {error}")))?;
        execute(&mut session, &line, out)?;
    }
    Ok(())
}

fn remedy_of(error: &link::LinkError) -> &'static str {
    match error {
        link::LinkError::Unreachable(cause) if cause.contains("401") => {
            "name the file with the secret of the node's tokens by --jwtsecret, or ask over its local socket"
        }
        _ => "start the node, or name its socket, or its address as http://HOST:PORT or ws://HOST:PORT",
    }
}

fn ask_password(prompt: &str) -> std::io::Result<String> {
    rpassword::prompt_password(prompt)
}

fn read_secret(path: &std::path::Path) -> Result<JwtSecret, Fatal> {
    let text = std::fs::read_to_string(path).map_err(|error| Fatal::io(path, &error))?;
    JwtSecret::read(&text).map_err(|error| {
        Fatal::config(format!("{}: {error}", path.display()), "name the file that --rpc.jwtsecret names")
    })
}

/// Runs a line and prints what it comes to.
fn execute(session: &mut Session, line: &str, out: &mut dyn Write) -> Result<(), Fatal> {
    if line.trim().is_empty() {
        return Ok(());
    }
    match session.line(line) {
        Ok(value) => say(out, show::show(&value)),
        Err(trouble) => Err(Fatal::Usage { cause: trouble.to_string() }),
    }
}

/// Asks a person for lines until the end.
fn type_lines(session: &mut Session, history: PathBuf, out: &mut dyn Write) -> Result<(), Fatal> {
    let failed = |error: ReadlineError| Fatal::Internal { cause: format!("the terminal: {error}") };
    let settings = Config::builder().completion_type(CompletionType::List).build();
    let mut editor: Editor<Typing, FileHistory> = Editor::with_config(settings).map_err(failed)?;
    editor.set_max_history_size(HISTORY_LINES_MAX).map_err(failed)?;
    editor.set_helper(Some(Typing::new(session)));
    // The first time there is none.
    let _ = editor.load_history(&history);
    loop {
        match editor.readline("> ") {
            Ok(line) if ["exit", "quit"].contains(&line.trim().trim_end_matches(';')) => break,
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => {
                if typing::may_be_kept(&line) {
                    let _ = editor.add_history_entry(&line);
                }
                match session.line(&line) {
                    Ok(value) => say(out, show::show(&value))?,
                    Err(trouble) => say(out, trouble)?,
                }
                editor.set_helper(Some(Typing::new(session)));
            }
            Err(ReadlineError::Interrupted) => say(out, "(to exit, press ctrl-d or type exit)")?,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        }
    }
    if let Err(error) = editor.save_history(&history) {
        eprintln!("warning: {}: {error}", history.display());
    }
    Ok(())
}

/// Says what was reached, in the words of geth's console.
fn welcome(session: &mut Session) -> String {
    let text = |value: Option<Json>| value.and_then(|value| value.as_str().map(str::to_owned));
    let mut lines = vec!["Welcome to the Drawbridge console!".to_owned(), String::new()];
    if let Some(version) = text(session.ask("web3_clientVersion")) {
        lines.push(format!("instance: {version}"));
    }
    if let Some(coinbase) = text(session.ask("eth_coinbase")) {
        lines.push(format!("coinbase: {coinbase}"));
    }
    if let Ok(Value::Integer(number)) = session.line("eth.blockNumber") {
        lines.push(format!("at block: {number}"));
    }
    if let Some(datadir) = text(session.ask("admin_datadir")) {
        lines.push(format!(" datadir: {datadir}"));
    }
    let modules: Vec<_> = session.namespaces.iter().map(|name| format!("{name}:1.0")).collect();
    lines.push(format!(" modules: {}", modules.join(" ")));
    lines.push("\nTo exit, press ctrl-d or type exit".to_owned());
    lines.join("\n")
}
