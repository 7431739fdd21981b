//! Time limits for a peer that stops in the middle of a request's body or of reading an answer.
//!
//! The clock runs only while nothing moves: a slow peer is served, one that stands still is not. hyper limits the
//! time of a request's head itself, and neither of these.

use std::{
    error::Error,
    fmt,
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Fires when it was waited for during `limit` without [`IdleTimer::reset`].
struct IdleTimer {
    limit: Duration,
    /// Made only when something has to wait: most requests and answers pass at once.
    timer: Option<Pin<Box<Sleep>>>,
}

impl IdleTimer {
    fn new(limit: Duration) -> Self {
        Self { limit, timer: None }
    }

    fn reset(&mut self) {
        self.timer = None;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        self.timer.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(context)
    }
}

/// A stream whose writes fail with [`io::ErrorKind::TimedOut`] once the peer has taken nothing for too long.
pub(crate) struct TimedStream<T> {
    inner: T,
    timer: IdleTimer,
}

impl<T> TimedStream<T> {
    pub(crate) fn new(inner: T, limit: Duration) -> Self {
        Self { inner, timer: IdleTimer::new(limit) }
    }

    pub(crate) fn into_inner(self) -> T {
        self.inner
    }

    fn limited<R>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.timer.reset();
            return written;
        }
        ready!(self.timer.poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for TimedStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for TimedStream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.limited(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.limited(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        self.limited(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(context);
        self.limited(context, shut)
    }
}

/// A body that ends with [`BodyError::TimedOut`] once nothing of it has come for too long.
pub(crate) struct TimedBody<B> {
    inner: B,
    timer: IdleTimer,
}

impl<B> TimedBody<B> {
    pub(crate) fn new(inner: B, limit: Duration) -> Self {
        Self { inner, timer: IdleTimer::new(limit) }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for TimedBody<B> {
    type Data = Bytes;
    type Error = BodyError<B::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            self.timer.reset();
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)));
        }
        ready!(self.timer.poll(context));
        Poll::Ready(Some(Err(BodyError::TimedOut)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Why a body did not end well: the peer's fault, and the end of its request.
#[derive(Debug)]
pub(crate) enum BodyError<E> {
    /// Nothing came for too long.
    TimedOut,
    /// The body was cut off or is no HTTP.
    Broken(E),
}

impl<E> fmt::Display for BodyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "the body stopped coming",
            Self::Broken(_) => "the body is broken",
        })
    }
}

impl<E: Error + 'static> Error for BodyError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::TimedOut => None,
            Self::Broken(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full, StreamBody};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Short enough for a test to wait for, and nothing is asserted about how long it takes.
    const LIMIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_write_that_nobody_reads_fails() {
        let (ours, _theirs) = duplex(16);
        let mut ours = TimedStream::new(ours, LIMIT);
        let error = ours.write_all(&[0; 64]).await.expect_err("the peer reads nothing");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_write_that_is_read_slowly_succeeds() {
        let (ours, mut theirs) = duplex(16);
        let mut ours = TimedStream::new(ours, Duration::from_mins(1));
        let reader = tokio::spawn(async move {
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).await.map(|_| received)
        });
        ours.write_all(&[7; 1000]).await.unwrap();
        ours.shutdown().await.unwrap();
        assert_eq!(reader.await.unwrap().unwrap(), vec![7; 1000]);
    }

    #[tokio::test]
    async fn a_body_that_stops_ends_with_an_error() {
        let start =
            futures_util::stream::iter([Ok::<_, io::Error>(Frame::data(Bytes::from_static(b"begin")))]);
        let endless = futures_util::StreamExt::chain(start, futures_util::stream::pending());
        let mut body = TimedBody::new(StreamBody::new(endless), LIMIT);
        let first = body.frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "begin");
        let error = body.frame().await.unwrap().expect_err("no more comes");
        assert!(matches!(error, BodyError::TimedOut));
    }

    #[tokio::test]
    async fn a_whole_body_passes() {
        let body = TimedBody::new(Full::new(Bytes::from_static(b"4hello")), LIMIT);
        assert_eq!(body.size_hint().exact(), Some(6));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "4hello");
    }
}
