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

async fn read(io: &mut (impl AsyncRead + Unpin + Send), limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    io.take(most).read_to_end(&mut bytes).await?;
    if bytes.len() > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("more than {limit} bytes")));
    }
    Ok(bytes)
}

async fn write(io: &mut (impl AsyncWrite + Unpin + Send), bytes: &[u8]) -> io::Result<()> {
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

    #[tokio::test]
    async fn bytes_beyond_the_limit_are_refused_and_not_kept() {
        let check =
            async |given: usize, limit: usize| read(&mut &vec![7; given][..], limit).await.map(|bytes| bytes.len());
        assert_eq!(check(0, 4).await.unwrap(), 0);
        assert_eq!(check(4, 4).await.unwrap(), 4);
        assert_eq!(check(5, 4).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
