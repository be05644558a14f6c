//! Others: a client that does nothing wrong, and how long it waits while somebody else does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bench::Failure;
use bench::client::{Client, ClientError, Endpoint};
use bench::summary::{millis, percentile};
use serde_json::{Value, json};

use crate::abuse::Finding;

/// How long others may wait for a call, at the 99th percentile.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// Time between two calls.
const PAUSE: Duration = Duration::from_millis(2);

/// A client that calls one after the other.
pub(crate) struct Others {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Duration>, ClientError>>,
}

/// A contract's question that takes little: it returns one word.
fn small_call() -> Value {
    let to = "0x00000000000000000000000000000000000000aa";
    // PUSH1 1, PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN
    json!([{ "to": to, "gas": "0x30d40" }, "latest", { to: { "code": "0x60015f5260205ff3" } }])
}

impl Others {
    /// Begins to call.
    pub(crate) fn begin(endpoint: Endpoint) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut client = Client::connect(&endpoint)?;
            let mut times = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                client.call("eth_call", small_call())?;
                times.push(begun.elapsed());
                std::thread::sleep(PAUSE);
            }
            Ok(times)
        });
        Self { stop, thread }
    }

    /// Ends, and tells how long the calls took; none may fail.
    pub(crate) fn end(self, finding: &mut Finding, is_strict: bool) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let answered = self.thread.join().map_err(|_| "the thread of the other client panicked")?;
        match answered {
            Ok(times) => {
                let (middle, late) = (percentile(&times, 0.5), percentile(&times, 0.99));
                finding.tell(format!(
                    "{} calls of others p50 {:.1} ms p99 {:.1} ms",
                    times.len(),
                    millis(middle),
                    millis(late)
                ));
                finding.promise(!times.is_empty(), format!("{}: others called nothing", finding.what));
                let is_kept = !is_strict || late <= WAIT_MAX;
                finding.promise(
                    is_kept,
                    format!("{}: others wait {:.1} ms (p99), at most 50", finding.what, millis(late)),
                );
            }
            Err(error) => finding.promise(false, format!("{}: a call of others failed: {error}", finding.what)),
        }
        Ok(())
    }
}
