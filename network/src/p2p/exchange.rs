//! Questions and answers between two peers: bytes one way, bytes back. What they mean is the machine's business; here they
//! have a length that is checked before anything is kept, and a time. An answer may be as long as its question allows.
//!
//! A message that is too long is not read. It comes out as no bytes at all, which are no message, so that the machine blames whoever
//! sent it: an error of the transport would blame nobody.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response::{self, ProtocolSupport};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::message::limits::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};
use crate::message::{Buffer, Request};

/// The protocol's name; nodes of other chains speak it too, so that the handshake can say why two nodes do not match.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/drawbridge/exchange/1");
/// How long an answer may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15);
/// How long a peer may take nothing of an answer: what it does not read is held here.
const STALLED_MAX: Duration = Duration::from_secs(3);
/// How many questions one connection may have open at a time.
const STREAMS_MAX: usize = 32;
/// Room for long requests that are being read, over all peers, in KiB; who comes later waits. One of the longest fits.
const REQUESTS_KIB_MAX: u32 = 2 * 1024;
/// The same for long responses.
const RESPONSES_KIB_MAX: u32 = 16 * 1024;
/// From how many bytes on a message takes of the room: no usual request is as long.
const LONG_BYTES: usize = 16 * 1024;
/// How many bytes are read at a time.
const STEP_BYTES: usize = 64 * 1024;

/// Returns the part of the swarm that asks and answers.
pub(crate) fn behaviour() -> request_response::Behaviour<Codec> {
    with(Codec::default())
}

/// Returns one that has no room for long answers, and so leaves them unread: a hostile peer's.
pub(crate) fn unreading() -> request_response::Behaviour<Codec> {
    with(Codec { responses: Arc::new(Semaphore::new(0)), ..Codec::default() })
}

fn with(codec: Codec) -> request_response::Behaviour<Codec> {
    let config =
        request_response::Config::default().with_request_timeout(TIMEOUT).with_max_concurrent_streams(STREAMS_MAX);
    request_response::Behaviour::with_codec(codec, [(PROTOCOL, ProtocolSupport::Full)], config)
}

/// A message, with the room that it takes as long as it is held.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) bytes: Buffer,
    /// None for one that is short, or our own.
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

impl From<Vec<u8>> for Parcel {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into(), room: None }
    }
}

/// Reads and writes bytes up to the limits. Clones share the room for long messages. Each question with its answer has a clone of its
/// own.
#[derive(Clone, Debug)]
pub(crate) struct Codec {
    requests: Arc<Semaphore>,
    responses: Arc<Semaphore>,
    /// How long the answer to the question that was written may be.
    response_max: usize,
}

impl Default for Codec {
    fn default() -> Self {
        let room = |kib: u32| Arc::new(Semaphore::new(usize::try_from(kib).unwrap_or(Semaphore::MAX_PERMITS)));
        let (requests, responses) = (room(REQUESTS_KIB_MAX), room(RESPONSES_KIB_MAX));
        Self { requests, responses, response_max: RESPONSE_BYTES_MAX }
    }
}

/// Reads a message: its length in four bytes, and so many bytes; one that is longer than `limit` is not read and comes out empty. A stream
/// that ends early is an error of the transport, of which the sender need not know: it is no message, and nobody is to blame.
async fn read(io: &mut (impl AsyncRead + Unpin + Send), limit: usize, room: &Arc<Semaphore>) -> io::Result<Parcel> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > limit {
        tracing::debug!(length, limit, "a message that is too long");
        return Ok(Vec::new().into());
    }
    let kib = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX);
    let room = if length > LONG_BYTES { Arc::clone(room).acquire_many_owned(kib).await.ok() } else { None };
    // Its place is found at once, so that it is never copied; a long one's memory is taken as bytes come, not as they are promised.
    let mut bytes = Buffer::zeroed(length);
    for step in bytes.chunks_mut(STEP_BYTES) {
        io.read_exact(step).await?;
    }
    Ok(Parcel { bytes, room })
}

/// Writes an answer, and gives it up where its reader takes nothing of it for `patience`.
async fn write_patiently(
    io: &mut (impl AsyncWrite + Unpin + Send),
    bytes: &[u8],
    patience: Duration,
) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let head = length.to_be_bytes();
    for step in std::iter::once(&head[..]).chain(bytes.chunks(STEP_BYTES)) {
        within(patience, io.write_all(step)).await?;
    }
    within(patience, io.close()).await
}

async fn within(patience: Duration, written: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    tokio::time::timeout(patience, written).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn write(io: &mut (impl AsyncWrite + Unpin + Send), bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(bytes).await?;
    io.close().await
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Parcel;
    type Response = Parcel;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Parcel> {
        read(io, REQUEST_BYTES_MAX, &self.requests).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Parcel> {
        read(io, self.response_max, &self.responses).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Parcel,
    ) -> io::Result<()> {
        self.response_max = Request::response_bytes_max(&request.bytes);
        write(io, &request.bytes).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Parcel,
    ) -> io::Result<()> {
        write_patiently(io, &response.bytes, STALLED_MAX).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;

    fn room(kib: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(kib))
    }

    async fn written(bytes: &[u8]) -> Vec<u8> {
        let mut io = futures::io::Cursor::new(Vec::new());
        write(&mut io, bytes).await.unwrap();
        io.into_inner()
    }

    #[tokio::test]
    async fn messages_come_back_and_those_beyond_the_limit_come_as_none() {
        for size in [0, 1, 4] {
            let message = vec![7; size];
            assert_eq!(read(&mut &written(&message).await[..], 4, &room(0)).await.unwrap().bytes[..], message);
        }
        // Nothing but the length is read.
        let long = written(&[7; 5]).await;
        let mut rest = &long[..];
        assert_eq!((read(&mut rest, 4, &room(0)).await.unwrap().bytes.len(), rest.len()), (0, 5));
        assert!(Request::decode(&[]).is_err() && crate::message::Response::decode(&[]).is_err());
    }

    #[tokio::test]
    async fn an_answer_is_as_long_as_its_question_allows() {
        use crate::message::limits::STATUS_BYTES_MAX;
        use request_response::Codec as _;
        let shared = Codec::default();
        let body = Request::Bodies(vec![alloy_primitives::B256::ZERO]).encode();
        for (request, max) in [(vec![0xc2, 0x80, 0xc0], STATUS_BYTES_MAX), (body, RESPONSE_BYTES_MAX)] {
            let mut codec = shared.clone();
            codec.write_request(&PROTOCOL, &mut futures::io::sink(), request.into()).await.unwrap();
            for (length, expected) in [(max, max), (max + 1, 0)] {
                let answer = written(&vec![7; length]).await;
                let read = codec.read_response(&PROTOCOL, &mut &answer[..]).await.unwrap();
                assert_eq!(read.bytes.len(), expected, "{length} bytes, at most {max}");
            }
        }
    }

    /// A line whose reader takes so many bytes and no more.
    struct Line {
        left: usize,
    }

    impl AsyncWrite for Line {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.left);
            self.left -= taken;
            if taken == 0 { Poll::Pending } else { Poll::Ready(Ok(taken)) }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.left == 0 { Poll::Pending } else { Poll::Ready(Ok(())) }
        }
    }

    #[tokio::test]
    async fn an_answer_of_which_nothing_is_taken_is_given_up() {
        let answer = vec![7; 10 * STEP_BYTES];
        // The last one takes all, and then not the end.
        for left in [0, 4, STEP_BYTES, answer.len(), answer.len() + 4] {
            let error = write_patiently(&mut Line { left }, &answer, Duration::from_millis(1)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{left} bytes are taken");
        }
        let mut reader = Line { left: answer.len() + 5 };
        write_patiently(&mut reader, &answer, STALLED_MAX).await.unwrap();
    }

    #[tokio::test]
    async fn a_stream_that_ends_early_is_no_message() {
        let whole = written(&[7; 4]).await;
        for cut in 0..whole.len() {
            let error = read(&mut &whole[..cut], 4, &room(0)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{cut} bytes");
        }
    }

    #[tokio::test]
    async fn long_messages_wait_for_room_and_short_ones_do_not() {
        use futures::FutureExt;
        let room = room(64);
        let (long, short) = (written(&vec![7; 40 * 1024]).await, written(&vec![7; LONG_BYTES]).await);
        let held = room.acquire_many(40).await.unwrap();
        assert!(read(&mut &long[..], 1 << 20, &room).now_or_never().is_none());
        assert!(read(&mut &short[..], 1 << 20, &room).now_or_never().is_some());
        drop(held);
        // It takes its room for as long as it is held.
        let first = read(&mut &long[..], 1 << 20, &room).now_or_never().unwrap().unwrap();
        assert!(read(&mut &long[..], 1 << 20, &room).now_or_never().is_none());
        drop(first);
        for _ in 0..3 {
            assert_eq!(read(&mut &long[..], 1 << 20, &room).now_or_never().unwrap().unwrap().bytes.len(), 40 * 1024);
        }
    }

    #[test]
    fn one_of_the_longest_messages_has_room() {
        let kib = |bytes: usize| u32::try_from(bytes / 1024).unwrap();
        assert!(kib(REQUEST_BYTES_MAX) <= REQUESTS_KIB_MAX && kib(RESPONSE_BYTES_MAX) <= RESPONSES_KIB_MAX);
    }
}
