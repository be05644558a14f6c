//! Questions and answers between two peers: bytes one way, bytes back. What they mean is the machine's business; here they
//! have a length that is checked before anything is kept, and a time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response::{self, ProtocolSupport};
use tokio::sync::Semaphore;

use crate::message::limits::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};

/// The protocol's name; nodes of other chains speak it too, so that the handshake can say why two nodes do not match.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/drawbridge/exchange/1");
/// How long an answer may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15);
/// How many questions one connection may have open at a time.
const STREAMS_MAX: usize = 32;
/// Room for long requests that are being read, over all peers, in KiB; who comes later waits. One of the longest fits.
const REQUESTS_KIB_MAX: u32 = 8 * 1024;
/// The same for long responses.
const RESPONSES_KIB_MAX: u32 = 16 * 1024;
/// From how many bytes on a message takes of the room: no usual request is as long.
const LONG_BYTES: usize = 16 * 1024;

/// Returns the part of the swarm that asks and answers.
pub(crate) fn behaviour() -> request_response::Behaviour<Codec> {
    let config =
        request_response::Config::default().with_request_timeout(TIMEOUT).with_max_concurrent_streams(STREAMS_MAX);
    request_response::Behaviour::with_codec(Codec::default(), [(PROTOCOL, ProtocolSupport::Full)], config)
}

/// Reads and writes bytes up to the limits. Clones share the room for long messages.
#[derive(Clone, Debug)]
pub(crate) struct Codec {
    requests: Arc<Semaphore>,
    responses: Arc<Semaphore>,
}

impl Default for Codec {
    fn default() -> Self {
        let room = |kib: u32| Arc::new(Semaphore::new(usize::try_from(kib).unwrap_or(Semaphore::MAX_PERMITS)));
        Self { requests: room(REQUESTS_KIB_MAX), responses: room(RESPONSES_KIB_MAX) }
    }
}

/// Reads a message: its length in four bytes, and so many bytes. A stream that ends early is an error of the transport, of which the
/// sender need not know: it is no message, and nobody is to blame.
async fn read(io: &mut (impl AsyncRead + Unpin + Send), limit: usize, room: &Semaphore) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{length} bytes, at most {limit}")));
    }
    let kib = u32::try_from(length / 1024).unwrap_or(u32::MAX);
    let _held = if length > LONG_BYTES { room.acquire_many(kib).await.ok() } else { None };
    let mut bytes = Vec::new();
    while bytes.len() < length {
        // Memory is taken as bytes come, not as they are promised: twice what is here, and no more than the message.
        let next = bytes.len().max(LONG_BYTES).min(length - bytes.len());
        let start = bytes.len();
        bytes.reserve_exact(next);
        bytes.resize(start + next, 0);
        io.read_exact(&mut bytes[start..]).await?;
    }
    Ok(bytes)
}

async fn write(io: &mut (impl AsyncWrite + Unpin + Send), bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(bytes).await?;
    io.close().await
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        read(io, REQUEST_BYTES_MAX, &self.requests).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        read(io, RESPONSE_BYTES_MAX, &self.responses).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Vec<u8>,
    ) -> io::Result<()> {
        write(io, &request).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Vec<u8>,
    ) -> io::Result<()> {
        write(io, &response).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn written(bytes: &[u8]) -> Vec<u8> {
        let mut io = futures::io::Cursor::new(Vec::new());
        write(&mut io, bytes).await.unwrap();
        io.into_inner()
    }

    #[tokio::test]
    async fn messages_come_back_and_those_beyond_the_limit_are_refused() {
        for size in [0, 1, 4] {
            let message = vec![7; size];
            assert_eq!(read(&mut &written(&message).await[..], 4, &Semaphore::new(0)).await.unwrap(), message);
        }
        let refused = read(&mut &written(&[7; 5]).await[..], 4, &Semaphore::new(0)).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_stream_that_ends_early_is_no_message() {
        let whole = written(&[7; 4]).await;
        for cut in 0..whole.len() {
            let error = read(&mut &whole[..cut], 4, &Semaphore::new(0)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{cut} bytes");
        }
    }

    #[tokio::test]
    async fn long_messages_wait_for_room_and_short_ones_do_not() {
        use futures::FutureExt;
        let room = Semaphore::new(64);
        let (long, short) = (written(&vec![7; 40 * 1024]).await, written(&vec![7; LONG_BYTES]).await);
        let held = room.acquire_many(40).await.unwrap();
        assert!(read(&mut &long[..], 1 << 20, &room).now_or_never().is_none());
        assert!(read(&mut &short[..], 1 << 20, &room).now_or_never().is_some());
        drop(held);
        for _ in 0..3 {
            assert_eq!(read(&mut &long[..], 1 << 20, &room).now_or_never().unwrap().unwrap().len(), 40 * 1024);
        }
    }

    #[test]
    fn one_of_the_longest_messages_has_room() {
        let kib = |bytes: usize| u32::try_from(bytes / 1024).unwrap();
        assert!(kib(REQUEST_BYTES_MAX) <= REQUESTS_KIB_MAX && kib(RESPONSE_BYTES_MAX) <= RESPONSES_KIB_MAX);
    }
}
