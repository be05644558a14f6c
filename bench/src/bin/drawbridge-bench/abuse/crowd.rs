//! Many connections that want nothing, ask slowly, or read slowly.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bench::Failure;
use serde_json::json;

use crate::abuse::Finding;
use crate::abuse::node::{Target, request};
use crate::abuse::others::Others;

/// How much more memory 10,000 idle connections may take, in MiB; fewer may take their share, and a little to begin with.
const IDLE_MIB_MAX: u64 = 400;
/// How many idle connections that is for.
const IDLE_CONNECTIONS: u64 = 10_000;
/// What a measurement of memory may be off by, in MiB.
const SLACK_MIB: u64 = 30;
/// How much more memory answers may take that nobody reads, in MiB: the node's budget, twice while they are written, and slack.
const UNREAD_MIB_MAX: u64 = 2 * 256 + 100;
/// How long a connection may take to be made.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long idle connections are watched at least.
const WATCH: Duration = Duration::from_secs(3);

fn connect_all(target: &Target, count: usize) -> Result<Vec<TcpStream>, Failure> {
    (0..count).map(|_| target.connect(PATIENCE)).collect()
}

/// Opens connections that ask nothing.
pub(crate) fn idle(target: &mut Target, count: usize, is_strict: bool) -> Result<Finding, Failure> {
    let mut finding = Finding::new(format!("{count} idle connections"));
    // The first calls make the node load what it needs.
    target.call("eth_blockNumber", json!([]))?;
    let before = target.resident_mib()?;
    let mut connections = connect_all(target, count)?;
    let others = Others::begin(target.endpoint());
    std::thread::sleep(WATCH);
    let more = target.resident_mib()?.saturating_sub(before);
    others.end(&mut finding, is_strict)?;
    let most = (IDLE_MIB_MAX * u64::try_from(count)?).div_ceil(IDLE_CONNECTIONS) + SLACK_MIB;
    finding.tell(format!("{more} MiB more (at most {most})"));
    finding.promise(more <= most, format!("{}: {more} MiB more, at most {most}", finding.what));
    // The last one was not shut out: it can still ask.
    let last = connections.pop().ok_or("no connection")?;
    finding.promise(asks(last)?, format!("{}: the last one gets no answer", finding.what));
    finding.promise(!target.is_hurt()?, format!("{}: the node panicked", finding.what));
    Ok(finding)
}

/// Asks a short question on a connection.
fn asks(mut stream: TcpStream) -> Result<bool, Failure> {
    stream.write_all(&request("eth_chainId", &json!([])))?;
    let mut answer = [0; 12];
    Ok(stream.read_exact(&mut answer).is_ok() && answer == *b"HTTP/1.1 200")
}

/// Sends a byte of a request on each connection, each second.
pub(crate) fn slow_requests(
    target: &mut Target,
    count: usize,
    time: Duration,
    is_strict: bool,
) -> Result<Finding, Failure> {
    let mut finding = Finding::new(format!("{count} slow requests for {} s", time.as_secs()));
    let mut connections = connect_all(target, count)?;
    let others = Others::begin(target.endpoint());
    let endless = b"POST / HTTP/1.1\r\nhost: localhost\r\nx: ".iter().copied().chain(std::iter::repeat(b'a'));
    let mut bytes = endless;
    let begun = Instant::now();
    while begun.elapsed() < time {
        let second = Instant::now();
        let byte = bytes.next().ok_or("an endless request ended")?;
        connections.retain_mut(|stream| stream.write_all(&[byte]).is_ok());
        std::thread::sleep(Duration::from_secs(1).saturating_sub(second.elapsed()));
    }
    finding.tell(format!("{} still open", connections.len()));
    others.end(&mut finding, is_strict)?;
    finding.promise(asks(target.connect(PATIENCE)?)?, format!("{}: a new client gets no answer", finding.what));
    finding.promise(!target.is_hurt()?, format!("{}: the node panicked", finding.what));
    Ok(finding)
}

/// Asks for eight megabytes on each connection, and reads a byte of them each second.
pub(crate) fn slow_readers(target: &mut Target, count: usize, time: Duration) -> Result<Finding, Failure> {
    let mut finding = Finding::new(format!("{count} slow readers for {} s", time.as_secs()));
    let before = target.resident_mib()?;
    let to = "0x00000000000000000000000000000000000000aa";
    // PUSH3 0x3f0000, PUSH0, RETURN
    let large = request("eth_call", &json!([{ "to": to }, "latest", { to: { "code": "0x623f00005ff3" } }]));
    let mut connections = connect_all(target, count)?;
    for stream in &mut connections {
        stream.write_all(&large)?;
        stream.set_nonblocking(true)?;
    }
    let (begun, mut most, mut read) = (Instant::now(), 0, 0_u64);
    while begun.elapsed() < time {
        let second = Instant::now();
        connections.retain_mut(|stream| match stream.read(&mut [0]) {
            Ok(0) => false,
            Ok(_) => {
                read += 1;
                true
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        });
        most = most.max(target.resident_mib()?.saturating_sub(before));
        std::thread::sleep(Duration::from_secs(1).saturating_sub(second.elapsed()));
    }
    finding.tell(format!(
        "{read} bytes read, {} still open, at most {most} MiB more (at most {UNREAD_MIB_MAX})",
        connections.len()
    ));
    finding.promise(most <= UNREAD_MIB_MAX, format!("{}: {most} MiB more, at most {UNREAD_MIB_MAX}", finding.what));
    finding.promise(asks(target.connect(PATIENCE)?)?, format!("{}: a new client gets no answer", finding.what));
    finding.promise(!target.is_hurt()?, format!("{}: the node panicked", finding.what));
    Ok(finding)
}
