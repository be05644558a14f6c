//! Questions and answers between two peers: bytes one way, bytes back. What they mean is the machine's business; here they
//! have a length that is checked before anything is kept, and a time.

use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response::{self, ProtocolSupport};

use crate::message::limits::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};

/// The protocol's name; nodes of other chains speak it too, so that the handshake can say why two nodes do not match.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/drawbridge/exchange/1");
/// How long an answer may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15);
/// How many questions one connection may have open at a time.
const STREAMS_MAX: usize = 32;

/// Returns the part of the swarm that asks and answers.
pub(crate) fn behaviour() -> request_response::Behaviour<Codec> {
    let config =
        request_response::Config::default().with_request_timeout(TIMEOUT).with_max_concurrent_streams(STREAMS_MAX);
    request_response::Behaviour::new([(PROTOCOL, ProtocolSupport::Full)], config)
}

/// Reads and writes bytes up to the limits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Codec;

/// Reads a message: its length in four bytes, and so many bytes. A stream that ends early is an error of the transport, of which the
/// sender need not know: it is no message, and nobody is to blame.
async fn read(io: &mut (impl AsyncRead + Unpin + Send), limit: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{length} bytes, at most {limit}")));
    }
    // Room is made as bytes come, not as they are promised.
    let mut bytes = Vec::new();
    io.take(u64::try_from(length).unwrap_or(u64::MAX)).read_to_end(&mut bytes).await?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
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
        read(io, REQUEST_BYTES_MAX).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        read(io, RESPONSE_BYTES_MAX).await
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
            assert_eq!(read(&mut &written(&message).await[..], 4).await.unwrap(), message);
        }
        let refused = read(&mut &written(&[7; 5]).await[..], 4).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_stream_that_ends_early_is_no_message() {
        let whole = written(&[7; 4]).await;
        for cut in 0..whole.len() {
            let error = read(&mut &whole[..cut], 4).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{cut} bytes");
        }
    }
}
