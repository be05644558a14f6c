//! The index of addresses and events: what it costs an import, how long building it takes, and how fast pages are answered from it.

use std::path::Path;
use std::time::{Duration, Instant};

use bench::Failure;
use bench::client::{Client, Endpoint, quantity};
use bench::recorded::{Recorded, Size, open_store};
use bench::summary::{median, millis, row, table};
use chain::{LedgerConfig, index};
use serde_json::{Value, json};
use storage::{Store, Table};

/// How often each page is asked for.
const ASKED: usize = 200;
/// What a page may take, in milliseconds.
const TARGET_MS: f64 = 50.0;

/// Imports a recorded chain with and without the index, in turns, and builds it afterwards.
pub(crate) fn measure(size: Size, rounds: usize) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let recorded = Recorded::make(&folder.path().join("recording"), size)?;
    println!("Index: {} blocks of {} ERC-20 transfers among {} holders", size.blocks, size.transfers, size.holders);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..rounds.max(1) {
        for (wanted, times) in [(false, &mut without), (true, &mut with)] {
            let config = LedgerConfig { index: Some(wanted), ..LedgerConfig::default() };
            let ledger = recorded.fresh_ledger_with(&folder.path().join(format!("{wanted}-{round}")), config)?;
            times.push(recorded.import(&ledger)?);
            ledger.shut_down()?;
        }
    }
    let (without, with) = (median(&without), median(&with));
    let more = (with.as_secs_f64() / without.as_secs_f64() - 1.0) * 100.0;
    println!("  import without it   {:8.0} ms  (median of {rounds})", millis(without));
    println!("  import with it      {:8.0} ms  ({more:+.1} %)", millis(with));
    build(&folder.path().join("false-0"))?;
    Ok(())
}

fn build(folder: &Path) -> Result<(), Failure> {
    let store = open_store(folder)?;
    let begun = Instant::now();
    let built = index::build(&*store, |_, _| {})?;
    println!("  building it         {:8.0} ms  for {} blocks that are there", millis(begun.elapsed()), built.blocks);
    store.compact()?;
    for table in [Table::AddressIndex, Table::EventIndex] {
        let size = store.size(table)?;
        println!("  {:<18}  {:8} rows, {} kB", table.name(), size.rows, size.bytes / 1000);
    }
    println!();
    Ok(())
}

/// Asks a node for the pages of an account and of a contract that its newest blocks name.
pub(crate) fn measure_pages(url: &str) -> Result<(), Failure> {
    let mut client = Client::connect(&Endpoint::parse(url)?)?;
    let status = client.call("drawbridge_status", json!([]))?;
    let (sender, contract) = parties(&mut client, &status)?;
    println!("Pages of {sender} and {contract} at {url}, each {ASKED} times; index: {}", status["indexes"]);
    let page = json!({ "limit": 25 });
    let mut rows = vec![row([&"page", &"p50 ms", &"p99 ms", &"worst ms", &"items"])];
    let mut slow = Vec::new();
    for (name, method, what) in [
        ("account: transactions", "drawbridge_addressTransactions", sender.clone()),
        ("account: tokens", "drawbridge_tokenTransfers", sender),
        ("contract: transactions", "drawbridge_addressTransactions", contract.clone()),
        ("contract: events", "drawbridge_events", json!({ "address": contract })),
        ("contract: one kind of event", "drawbridge_events", json!({ "address": contract, "topics": [TRANSFER] })),
    ] {
        let (times, items) = ask(&mut client, method, &what, &page)?;
        let at = |share: usize| millis(times[(times.len() - 1) * share / 100]);
        let worst = at(100);
        rows.push(row([&name, &format!("{:.2}", at(50)), &format!("{:.2}", at(99)), &format!("{worst:.2}"), &items]));
        if at(99) > TARGET_MS {
            slow.push(name);
        }
    }
    println!("{}", table(&rows));
    println!(
        "target: p99 at most {TARGET_MS} ms: {}\n",
        if slow.is_empty() { "met".to_owned() } else { format!("not met by {slow:?}") }
    );
    Ok(())
}

const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/// Asks for a page again and again, and returns the sorted times and how many items it has.
fn ask(client: &mut Client, method: &str, what: &Value, page: &Value) -> Result<(Vec<Duration>, usize), Failure> {
    let mut times = Vec::with_capacity(ASKED);
    let mut items = 0;
    for _ in 0..ASKED {
        let begun = Instant::now();
        let answer = client.call(method, json!([what, page]))?;
        times.push(begun.elapsed());
        items = answer["items"].as_array().map_or(0, Vec::len);
    }
    times.sort_unstable();
    Ok((times, items))
}

/// Returns a sender and a called address of the newest block that has transactions.
fn parties(client: &mut Client, status: &Value) -> Result<(Value, Value), Failure> {
    for number in (0..=quantity(&status["head"]["number"])?).rev() {
        let block = client.call("eth_getBlockByNumber", json!([format!("{number:#x}"), true]))?;
        let called = block["transactions"].as_array().and_then(|all| all.iter().find(|tx| tx["to"].is_string()));
        if let Some(tx) = called {
            return Ok((tx["from"].clone(), tx["to"].clone()));
        }
    }
    Err("the chain has no transaction".into())
}
