//! Corruption: a file of a closed database is damaged. The node recovers, or ends with the right code and a remedy; it never answers wrongly.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bench::Failure;
use bench::client::{Client, ClientError, quantity};
use bench::process::path_text;
use serde_json::{Value, json};

use crate::crash::checks::Ledger;
use crate::crash::damage::damage;
use crate::crash::run::{Cycle, Ran, Run, START_TIME_MAX, copy_directory, remove, wait_until};
use crate::crash::traffic::Traffic;

/// After how many cycles another database is made.
const ERA: u64 = 50;
/// How long each part of its load lasts, in milliseconds.
const LOAD_MS: (u64, u64) = (300, 800);
/// How many receipts are asked for in each cycle.
const RECEIPTS: usize = 40;
/// How long a node may take to end after its last answer.
const END_TIME: Duration = Duration::from_millis(300);
/// The program's code for a corrupt database.
const CORRUPT: i32 = 75;

/// A whole database and what a node answers from it.
struct Original {
    datadir: PathBuf,
    /// Its state before the second half of the load.
    older: PathBuf,
    /// Hashes of all blocks, by number.
    hashes: Vec<Value>,
    /// Questions with the right answers.
    answers: Vec<(&'static str, Value, Value)>,
}

/// Runs the cycles.
pub(crate) fn cycles(run: &mut Run, count: u64) -> Result<(), Failure> {
    let mut original = None;
    for number in 1..=count {
        if original.is_none() || number % ERA == 1 {
            original = Some(make_original(run)?);
        }
        if let Some(original) = &original {
            cycle(run, number, original)?;
        }
    }
    Ok(())
}

/// Makes a chain with tables in files and rows in the log, stopped as an operator does, and notes what a node answers.
fn make_original(run: &mut Run) -> Result<Original, Failure> {
    let (datadir, older) = (run.folder.join("original"), run.folder.join("older"));
    remove(&datadir)?;
    remove(&older)?;
    let mut traffic = Traffic::new(run.random.number())?;
    let mut ledger = Ledger::default();
    for part in 0..3 {
        let mut node = run.spawn(&datadir, &[])?;
        node.wait_for_answer(START_TIME_MAX)?;
        let running = traffic.begin(node.endpoint())?;
        run.sleep_between(LOAD_MS);
        running.stop();
        ledger.remember(running.end().receipts, Vec::new());
        node.stop()?;
        if part == 0 {
            run.must(&["db", "compact", "--datadir", path_text(&datadir)?])?;
        }
        if part == 1 {
            copy_directory(&datadir.join("chaindata"), &older)?;
        }
    }
    let mut original = Original { datadir, older, hashes: Vec::new(), answers: Vec::new() };
    // Asked on a copy: the original stays as the last stop left it.
    let copy = copy_of(run, &original.datadir)?;
    let mut node = run.spawn(&copy, &[])?;
    node.wait_for_answer(START_TIME_MAX)?;
    let mut client = Client::connect(node.endpoint())?;
    let head = quantity(&client.call("eth_blockNumber", json!([]))?)?;
    for number in 0..=head {
        let header = client.call("eth_getBlockByNumber", json!([format!("{number:#x}"), false]))?;
        original.hashes.push(header.get("hash").cloned().unwrap_or_default());
    }
    let mut ask = |method: &'static str, params: Value| -> Result<Value, Failure> {
        let answer = client.call(method, params.clone())?;
        original.answers.push((method, params, answer.clone()));
        Ok(answer)
    };
    ask("eth_getBlockByNumber", json!(["latest", true]))?;
    for _ in 0..RECEIPTS {
        let served = &ledger.receipts[run.random.index(ledger.receipts.len())];
        ask("eth_getTransactionReceipt", json!([served.hash]))?;
        let transaction = ask("eth_getTransactionByHash", json!([served.hash]))?;
        let number = format!("{:#x}", run.random.below(head + 1));
        ask("eth_getBalance", json!([transaction.get("from"), "latest"]))?;
        ask("eth_getBalance", json!([transaction.get("from"), number]))?;
        ask("eth_getTransactionCount", json!([transaction.get("from"), "latest"]))?;
        if transaction.get("to").is_some_and(Value::is_string) {
            ask("eth_getCode", json!([transaction.get("to"), "latest"]))?;
            ask("eth_getStorageAt", json!([transaction.get("to"), "0x0", "latest"]))?;
        }
        ask("eth_getBlockByNumber", json!([number, false]))?;
    }
    node.kill()?;
    Ok(original)
}

fn copy_of(run: &Run, datadir: &Path) -> Result<PathBuf, Failure> {
    let copy = run.folder.join("copy");
    remove(&copy)?;
    copy_directory(datadir, &copy)?;
    Ok(copy)
}

fn cycle(run: &mut Run, number: u64, original: &Original) -> Result<(), Failure> {
    let damaged = run.folder.join("damaged");
    remove(&damaged)?;
    copy_directory(&original.datadir, &damaged)?;
    let (kind, text) = damage(&damaged.join("chaindata"), &original.older, &mut run.random)?;

    let mut problems = Vec::new();
    let copy = copy_of(run, &damaged)?;
    let verified = run.command(&["db", "verify", "--datadir", path_text(&copy)?])?;
    let is_whole = verified.code == Some(0);
    if is_whole {
        problems.extend(head_problem(&verified, original, Head::Same));
    } else {
        problems.extend(verified.refusal_problem(&[CORRUPT]));
    }
    let started = start(run, &damaged, original, is_whole, &mut problems)?;
    let recovered = if is_whole { "" } else { recover(run, &damaged, original, &mut problems)? };
    let outcome = if problems.is_empty() {
        format!("{}{started}{recovered}", if is_whole { "whole, " } else { "found, " })
    } else {
        "violation".to_owned()
    };
    run.end_cycle(Cycle { number, kind, outcome, text, start: None, problems });
    Ok(())
}

/// Which head a database may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    Same,
    SameOrOlder,
}

/// Says what is wrong with the head that `db verify` or `db recover` shows.
fn head_problem(ran: &Ran, original: &Original, allowed: Head) -> Option<String> {
    let (number, hash) = ran.field("head ")?.split_once(' ')?;
    let place = number.parse::<usize>().ok()?;
    let newest = original.hashes.len().saturating_sub(1);
    if original.hashes.get(place).and_then(Value::as_str) != Some(hash.trim()) {
        return Some(format!("the head {number} {hash} is none of the chain"));
    }
    (allowed == Head::Same && place != newest)
        .then(|| format!("blocks {} to {newest} are gone without a word", place + 1))
}

/// Starts a node on the damaged database: it answers rightly or with errors, and goes on or ends with its reason.
fn start(
    run: &Run,
    damaged: &Path,
    original: &Original,
    is_whole: bool,
    problems: &mut Vec<String>,
) -> Result<&'static str, Failure> {
    let copy = copy_of(run, damaged)?;
    remove(&run.log())?;
    let mut node = run.spawn(&copy, &[])?;
    let answers = node.wait_for_answer(START_TIME_MAX).is_ok();
    let mut is_right = true;
    if answers {
        is_right = match Client::connect(node.endpoint()) {
            Ok(mut client) => compare(&mut client, original, is_whole, problems)?,
            Err(_) => false,
        };
    }
    if !is_right {
        // It may be about to end, because of what it met.
        wait_until(END_TIME, || Ok(node.ended()?.is_some()))?;
    }
    let ended = node.kill_or_ended()?;
    let text = std::fs::read_to_string(run.log()).unwrap_or_default();
    match ended {
        Some(status) => {
            problems.extend(Ran { code: status.code(), text }.refusal_problem(&[CORRUPT]));
            if is_whole {
                problems.push(format!("db verify finds it whole, and the node ends: {status}"));
            }
            Ok("refused")
        }
        None if !answers => {
            problems.push("the node neither answers nor ends".to_owned());
            Ok("")
        }
        None => {
            if text.contains("panicked") {
                problems.push(format!("it panicked: {text}"));
            }
            Ok(if is_right { "answers" } else { "answers with errors" })
        }
    }
}

/// Asks all questions; tells whether none was answered with an error.
fn compare(
    client: &mut Client,
    original: &Original,
    is_whole: bool,
    problems: &mut Vec<String>,
) -> Result<bool, Failure> {
    let mut errors = 0;
    for part in original.answers.chunks(50) {
        let calls: Vec<_> = part.iter().map(|(method, params, _)| (*method, params.clone())).collect();
        let answers = match client.batch(&calls) {
            Ok(answers) => answers,
            // The node met the damage and ended, for a reason that is looked at next.
            Err(ClientError::Connection(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        for ((method, params, expected), answer) in part.iter().zip(answers) {
            match answer {
                Ok(answer) if answer == *expected => {}
                Ok(answer) => problems.push(format!("{method} {params} answers {answer}, right is {expected}")),
                Err(error) if is_whole => problems.push(format!("{method} {params}: {error}")),
                Err(_) => errors += 1,
            }
        }
    }
    Ok(errors == 0)
}

/// Runs `db recover`: it ends with a whole database on the same chain, or says that it cannot.
fn recover(
    run: &Run,
    damaged: &Path,
    original: &Original,
    problems: &mut Vec<String>,
) -> Result<&'static str, Failure> {
    let copy = copy_of(run, damaged)?;
    let ran = run.command(&["db", "recover", "--datadir", path_text(&copy)?])?;
    if ran.code != Some(0) {
        problems.extend(ran.refusal_problem(&[CORRUPT]));
        return Ok("");
    }
    problems.extend(head_problem(&ran, original, Head::SameOrOlder));
    problems.extend(run.verify(&copy)?);
    Ok(", recovered")
}
