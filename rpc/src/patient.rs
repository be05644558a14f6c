//! A connection that does not wait for ever: a client that does not read what it asked for is cut off, and until it reads it is not
//! listened to either, so that it cannot pile up answers.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// A stream whose writes must get on.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    inner: S,
    patience: Duration,
    /// Runs from the first write that the client had no room for, until there is room.
    timer: Option<Pin<Box<Sleep>>>,
    /// Who wants to read meanwhile.
    reader: Option<Waker>,
}

impl<S> Patient<S> {
    /// Watches over a stream: a write may wait so long for the client to read anything at all.
    pub(crate) fn new(inner: S, patience: Duration) -> Self {
        Self { inner, patience, timer: None, reader: None }
    }

    /// Looks at what a write said, and ends the patience with a client that has not read for too long.
    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.timer = None;
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
            return written;
        }
        let patience = self.patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.timer.is_some() {
            this.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut this.inner).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(context, bytes);
        this.watch(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(context, slices);
        this.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures::FutureExt as _;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn who_does_not_read_is_cut_off() {
        let (_client, server) = duplex(10);
        let mut server = Patient::new(server, Duration::from_millis(20));
        let error = server.write_all(&[0; 11]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_reads_slowly_gets_all_of_it() {
        let (mut client, server) = duplex(10);
        let mut server = Patient::new(server, LONG);
        let writing = tokio::spawn(async move { server.write_all(&[7; 100]).await });
        let mut read = Vec::new();
        for _ in 0..100 {
            tokio::task::yield_now().await;
            read.push(client.read_u8().await.unwrap());
        }
        writing.await.unwrap().unwrap();
        assert_eq!(read, [7; 100]);
    }

    #[tokio::test]
    async fn who_does_not_read_is_not_listened_to() {
        let (mut client, server) = duplex(10);
        let mut server = Patient::new(server, LONG);
        client.write_all(b"more").await.unwrap();
        assert!(server.write_all(&[7; 11]).now_or_never().is_none(), "there is no room for the eleventh byte");
        let mut more = [0; 4];
        assert!(server.read_exact(&mut more).now_or_never().is_none(), "what came is left where it is");
        client.read_exact(&mut [0; 10]).await.unwrap();
        server.write_all(&[7]).await.unwrap();
        server.read_exact(&mut more).await.unwrap();
        assert_eq!(&more, b"more");
    }
}
