//! What a lasting connection (WebSocket) has lying in the node's memory: a message of which a part has come, requests that are not
//! answered, answers that the client has not read. All connections share budgets for it; what a usual client has there is free, so that
//! it is served also while others use the budgets up.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::budget::{Budget, Budgets, Share};

/// How many bytes of a kind each connection has free.
const FREE_BYTES: usize = 64 << 10;

/// Counts the bytes of one connection.
pub(crate) struct Flow {
    /// Whether the connection lasts; requests over HTTP are counted where they are read.
    lasts: AtomicBool,
    coming: Mutex<Pile>,
    asked: Mutex<Pile>,
    unread: Mutex<Pile>,
}

/// Bytes that lie somewhere; those beyond the free ones are a share of a budget.
struct Pile {
    bytes: usize,
    share: Share,
}

impl Pile {
    fn new(budget: &Arc<Budget>) -> Mutex<Self> {
        Mutex::new(Self { bytes: 0, share: budget.share() })
    }

    /// Tells whether there was room.
    fn set(&mut self, bytes: usize) -> bool {
        let has_room = self.share.resize(bytes.saturating_sub(FREE_BYTES));
        if has_room {
            self.bytes = bytes;
        }
        has_room
    }

    fn add(&mut self, bytes: usize) -> bool {
        self.set(self.bytes.saturating_add(bytes))
    }

    fn remove(&mut self, bytes: usize) {
        // A smaller pile always has room.
        self.set(self.bytes.saturating_sub(bytes));
    }
}

impl Flow {
    /// Begins to count for a connection.
    pub(crate) fn new(budgets: &Budgets) -> Arc<Self> {
        Arc::new(Self {
            lasts: AtomicBool::new(false),
            coming: Pile::new(&budgets.requests),
            asked: Pile::new(&budgets.requests),
            unread: Pile::new(&budgets.answers),
        })
    }

    /// From now on messages come and go.
    pub(crate) fn last(&self) {
        self.lasts.store(true, Ordering::Relaxed);
    }

    fn lasts(&self) -> bool {
        self.lasts.load(Ordering::Relaxed)
    }

    /// Notes that bytes have come; tells whether there is room for them.
    fn has_come(&self, bytes: usize) -> bool {
        !self.lasts() || self.coming.lock().add(bytes)
    }

    /// Notes that bytes have gone.
    fn has_gone(&self, bytes: usize) {
        if self.lasts() {
            self.unread.lock().remove(bytes);
        }
    }

    /// Notes that a message of so many bytes has come whole, and counts it until the guard is dropped; `None` where there is no room.
    pub(crate) fn ask(self: &Arc<Self>, bytes: usize) -> Option<Asked> {
        self.coming.lock().set(0);
        self.asked.lock().add(bytes).then(|| Asked { flow: Arc::clone(self), bytes })
    }

    /// Counts an answer until it is read; tells whether there is room for it.
    pub(crate) fn answer(&self, bytes: usize) -> bool {
        self.unread.lock().add(bytes)
    }
}

/// A message that is not answered yet.
pub(crate) struct Asked {
    flow: Arc<Flow>,
    bytes: usize,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.flow.asked.lock().remove(self.bytes);
    }
}

/// A stream whose bytes are counted. It ends where there is no room for what comes.
pub(crate) struct Counted<S> {
    inner: S,
    flow: Arc<Flow>,
}

impl<S> Counted<S> {
    /// Counts what comes and goes through a stream.
    pub(crate) fn new(inner: S, flow: Arc<Flow>) -> Self {
        Self { inner, flow }
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.flow.has_gone(*bytes);
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(context, into);
        if matches!(read, Poll::Ready(Ok(()))) && !this.flow.has_come(into.filled().len() - before) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::OutOfMemory, "too many requests wait")));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(context, bytes);
        this.count(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(context, slices);
        this.count(written)
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
    use crate::config::RpcLimits;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    fn budgets(bytes: usize) -> Budgets {
        Budgets::new(&RpcLimits { pending_request_bytes: bytes, pending_answer_bytes: bytes, ..RpcLimits::default() })
    }

    #[test]
    fn connections_share_what_is_beyond_the_free_bytes() {
        let budgets = budgets(100);
        let (first, second) = (Flow::new(&budgets), Flow::new(&budgets));
        let asked = first.ask(FREE_BYTES + 60).unwrap();
        assert!(second.ask(FREE_BYTES + 60).is_none());
        let small = second.ask(FREE_BYTES).unwrap();
        assert!(second.ask(41).is_none() && second.ask(40).is_some());
        drop((asked, small));
        assert!(second.ask(FREE_BYTES + 100).is_some());

        assert!(first.answer(FREE_BYTES + 100) && !second.answer(FREE_BYTES + 1) && second.answer(FREE_BYTES));
        first.last();
        first.has_gone(60);
        assert!(!second.answer(61) && second.answer(60));
        drop(second);
        assert!(first.answer(60));
    }

    #[tokio::test]
    async fn a_message_has_room_until_it_is_whole() {
        let budgets = budgets(1000);
        let flow = Flow::new(&budgets);
        let (mut client, server) = duplex(4 * FREE_BYTES);
        let mut server = Counted::new(server, Arc::clone(&flow));
        let mut buffer = vec![0; FREE_BYTES];
        let part = vec![7; FREE_BYTES];
        client.write_all(&part).await.unwrap();
        server.read_exact(&mut buffer).await.unwrap();
        flow.last();
        for _ in 0..3 {
            client.write_all(&part).await.unwrap();
            server.read_exact(&mut buffer).await.unwrap();
            drop(flow.ask(1).unwrap());
        }
        client.write_all(&part).await.unwrap();
        server.read_exact(&mut buffer).await.unwrap();
        client.write_all(&part).await.unwrap();
        let error = server.read_exact(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }
}
