//! What a node counts, read from where it serves its metrics.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use bench::Failure;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Returns the value of a metric of the node that serves its metrics on `port` of this machine.
pub(crate) fn read(port: u16, name: &str) -> Result<u64, Failure> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    value(&page, name).ok_or_else(|| format!("no {name} among the metrics").into())
}

fn value(page: &str, name: &str) -> Option<u64> {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    // Counts are written as numbers with a fraction.
    line.split([' ', '.']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stands_behind_its_whole_name() {
        let page = "# TYPE a counter\na_total_more 7\na_total 12.0\nb_total 3 1700000000\n";
        assert_eq!(["a_total", "b_total", "a"].map(|name| value(page, name)), [Some(12), Some(3), None]);
    }
}
