//! Malformed bytes on bare sockets, below everything that libp2p checks.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bench::Failure;
use bench::random::Random;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a connection may stay open.
const OPEN_MAX: Duration = Duration::from_secs(15);

/// Returns one malformed beginning of a connection.
pub(crate) fn draw(random: &mut Random) -> Vec<u8> {
    let noise = |random: &mut Random, words: usize| -> Vec<u8> { (0..words).flat_map(|_| random.word().0).collect() };
    let hello = b"\x13/multistream/1.0.0\n".to_vec();
    match random.below(6) {
        0 => noise(random, 1024),
        // A length that no frame of the protocol has.
        1 => [vec![0xff; 16], noise(random, 64)].concat(),
        2 => [hello, vec![0xff; 8], noise(random, 1024)].concat(),
        // The right beginning, and then a handshake that is none: a length, a key, and a payload with a field that no payload has. (With noise
        // alone one in 30,000 would be a payload of unknown fields, and so the beginning of a handshake.)
        3 => {
            let handshake = [noise(random, 1), vec![0x00], noise(random, 263)].concat();
            [hello, b"\x07/noise\n".to_vec(), vec![0x01, 0x00], handshake].concat()
        }
        4 => b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(600),
        _ => b"\x00".repeat(32 * 1024),
    }
}

/// Sends it, and returns how long the node keeps the connection; `None`: too long.
pub(crate) async fn send(target: SocketAddr, bytes: &[u8]) -> Result<Option<Duration>, Failure> {
    let mut stream = TcpStream::connect(target).await?;
    let begun = Instant::now();
    // The node may close before all is written.
    let _ = stream.write_all(bytes).await;
    let mut answer = vec![0; 4096];
    let closed = async { while !matches!(stream.read(&mut answer).await, Ok(0) | Err(_)) {} };
    Ok(timeout(OPEN_MAX, closed).await.ok().map(|()| begun.elapsed()))
}
