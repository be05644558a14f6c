//! Calls that take all the gas they may, with searches and traces beside, while the node imports blocks.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bench::Failure;
use bench::ipc::Ipc;
use serde_json::{Value, json};

use crate::abuse::Finding;
use crate::abuse::chain_file;
use crate::abuse::node::{Target, request};

/// How much longer an import may take, as a share.
const SLOWER_MAX: f64 = 0.10;
/// How often it is measured each way; the best counts.
const ROUNDS: usize = 2;
/// The most calls that wait for their answers; more are not sent.
const WAITING_MAX: usize = 2000;
/// Of so many calls one is a search or a trace.
const OTHER_SHARE: u32 = 10;

/// Measures imports with and without the storm.
pub(crate) fn imports(program: &Path, per_second: u32, blocks: u64, is_strict: bool) -> Result<Finding, Failure> {
    let mut finding = Finding::new(format!("{per_second} calls a second at the gas cap, {blocks} blocks imported"));
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("chain.rlp");
    chain_file::write(&file, blocks)?;
    let (mut quiet, mut stormy) = (Duration::MAX, Duration::MAX);
    let mut told = Tally::default();
    for _ in 0..ROUNDS {
        quiet = quiet.min(import(program, &file, None, &mut finding)?.0);
        let (time, tally) = import(program, &file, Some(per_second), &mut finding)?;
        stormy = stormy.min(time);
        told.add(&tally);
    }
    let slower = stormy.as_secs_f64() / quiet.as_secs_f64() - 1.0;
    finding.tell(format!(
        "{:.2} s alone, {:.2} s in the storm ({:+.1} %, at most {:+.0} %)",
        quiet.as_secs_f64(),
        stormy.as_secs_f64(),
        slower * 100.0,
        SLOWER_MAX * 100.0
    ));
    finding
        .tell(format!("{} calls sent, {} answered, {} of them refused as busy", told.sent, told.answered, told.busy));
    finding.promise(told.sent > 0 && told.answered > 0, format!("{}: no call was answered", finding.what));
    let is_kept = !is_strict || slower <= SLOWER_MAX;
    finding.promise(is_kept, format!("{}: imports are {:.1} % slower, at most 10", finding.what, slower * 100.0));
    Ok(finding)
}

/// Imports the file into a new node, in a storm or without, and returns how long that took.
fn import(
    program: &Path,
    file: &Path,
    storm: Option<u32>,
    finding: &mut Finding,
) -> Result<(Duration, Tally), Failure> {
    let mut target = Target::start(program)?;
    let stop = Arc::new(AtomicBool::new(false));
    let storm = match storm {
        Some(per_second) => {
            let (address, stopped) = (target.address()?, Arc::clone(&stop));
            let thread = std::thread::spawn(move || rage(address, per_second, &stopped));
            // The storm is there before the import begins.
            std::thread::sleep(Duration::from_secs(1));
            Some(thread)
        }
        None => None,
    };
    let socket = target.folder().join("node/drawbridge.ipc");
    let begun = Instant::now();
    Ipc::connect_for(&socket, Duration::from_secs(600))?.call("admin_importChain", json!([file]))?;
    let time = begun.elapsed();
    stop.store(true, Ordering::Relaxed);
    let tally = match storm {
        Some(thread) => thread.join().map_err(|_| "the storm panicked")??,
        None => Tally::default(),
    };
    finding.promise(!target.is_hurt()?, format!("{}: the node panicked", finding.what));
    target.stop()?;
    Ok((time, tally))
}

/// What became of the calls.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    sent: u64,
    answered: u64,
    busy: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.busy += other.busy;
    }
}

/// A call whose answer has not come.
struct Waiting {
    stream: TcpStream,
    answer: Vec<u8>,
}

/// Sends calls at a rate, whether they are answered or not, until it is told to stop.
fn rage(address: SocketAddr, per_second: u32, stop: &AtomicBool) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    let mut waiting: Vec<Waiting> = Vec::new();
    let begun = Instant::now();
    let mut number = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        let due = Duration::from_secs(1) * number / per_second.max(1);
        let early = due.saturating_sub(begun.elapsed());
        if !early.is_zero() {
            std::thread::sleep(early);
        }
        number += 1;
        if waiting.len() < WAITING_MAX {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(&question(number))?;
            stream.set_nonblocking(true)?;
            waiting.push(Waiting { stream, answer: Vec::new() });
            tally.sent += 1;
        }
        waiting.retain_mut(|call| !is_answered(call, &mut tally));
    }
    Ok(tally)
}

/// A loop without end, at the gas cap; now and then a search through all logs or a trace.
fn question(number: u32) -> Vec<u8> {
    let to = "0x00000000000000000000000000000000000000aa";
    // JUMPDEST, PUSH0, JUMP
    let endless = json!({ to: { "code": "0x5b5f56" } });
    let (method, params): (&str, Value) = match number % (2 * OTHER_SHARE) {
        0 => ("eth_getLogs", json!([{ "fromBlock": "earliest", "toBlock": "latest" }])),
        OTHER_SHARE => {
            ("debug_traceCall", json!([{ "to": to }, "latest", { "stateOverrides": endless, "tracer": "callTracer" }]))
        }
        _ => ("eth_call", json!([{ "to": to }, "latest", endless])),
    };
    request(method, &params)
}

/// Reads what has come of an answer; tells whether it is over.
fn is_answered(call: &mut Waiting, tally: &mut Tally) -> bool {
    let mut chunk = [0; 4096];
    loop {
        match call.stream.read(&mut chunk) {
            Ok(0) => return true,
            Ok(count) => {
                call.answer.extend_from_slice(&chunk[..count]);
                if call.answer.ends_with(b"}") {
                    tally.answered += 1;
                    tally.busy += u64::from(call.answer.windows(6).any(|window| window == b"-32005"));
                    return true;
                }
            }
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}
