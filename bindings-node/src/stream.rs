//! Bytes that Node carries: the bodies of requests, and streams that have no descriptor.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::doors::{Outgoing, Outlet};

/// Bytes that may wait in one direction before the sender has to.
const HIGH_WATER: usize = 256 << 10;

/// Bytes on their way between Node and the core.
#[derive(Default)]
pub(crate) struct Carried {
    incoming: VecDeque<Bytes>,
    n_incoming: usize,
    has_ended: bool,
    /// Whether Node waits to be resumed.
    is_paused: bool,
    reader: Option<Waker>,
    /// Bytes given to Node that it has not written yet.
    n_outgoing: usize,
    is_closed: bool,
    writer: Option<Waker>,
}

impl Carried {
    /// A body, or the lack of one.
    pub(crate) fn body(is_there: bool) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { has_ended: !is_there, ..Self::default() }))
    }

    /// Node's side of a stream is closed.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        self.drained();
        self.end();
    }

    /// Takes bytes from Node. Returns whether it shall wait.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> bool {
        self.incoming.push_back(Bytes::copy_from_slice(chunk));
        self.n_incoming += chunk.len();
        self.is_paused = self.n_incoming >= HIGH_WATER;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        self.is_paused
    }

    pub(crate) fn end(&mut self) {
        self.has_ended = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    pub(crate) fn drained(&mut self) {
        self.n_outgoing = 0;
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// The next bytes from Node, at most `max` of them; `None` at the end.
    fn poll_next(&mut self, max: usize, context: &Context<'_>) -> Poll<Option<Bytes>> {
        let Some(first) = self.incoming.front_mut() else {
            if self.has_ended {
                return Poll::Ready(None);
            }
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        };
        let taken = first.split_to(max.min(first.len()));
        if first.is_empty() {
            self.incoming.pop_front();
        }
        self.n_incoming -= taken.len();
        Poll::Ready(Some(taken))
    }

    /// Whether Node shall be resumed now.
    fn must_resume(&mut self) -> bool {
        self.incoming.is_empty() && std::mem::take(&mut self.is_paused)
    }
}

/// The body of a request.
pub(crate) struct CarriedBody {
    pub(crate) tag: u64,
    pub(crate) carried: Arc<Mutex<Carried>>,
    pub(crate) outlet: Arc<Outlet>,
}

impl Body for CarriedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut carried = self.carried.lock();
        let next = carried.poll_next(usize::MAX, context);
        if carried.must_resume() {
            drop(carried);
            self.outlet.push(Outgoing::ResumeBody { tag: self.tag });
        }
        next.map(|next| next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        let carried = self.carried.lock();
        carried.has_ended && carried.incoming.is_empty()
    }
}

/// A stream, as the core sees it.
pub(crate) struct CarriedStream {
    pub(crate) tag: u64,
    pub(crate) carried: Arc<Mutex<Carried>>,
    pub(crate) outlet: Arc<Outlet>,
}

impl AsyncRead for CarriedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut carried = self.carried.lock();
        let next = carried.poll_next(buffer.remaining(), context);
        if carried.must_resume() {
            drop(carried);
            self.outlet.push(Outgoing::ResumeBody { tag: self.tag });
        }
        next.map(|next| {
            buffer.put_slice(&next.unwrap_or_default());
            Ok(())
        })
    }
}

impl AsyncWrite for CarriedStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    /// All frames that wait go in one chunk, of which Node makes one record of TLS and one write.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut carried = self.carried.lock();
        if carried.is_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if carried.n_outgoing >= HIGH_WATER {
            carried.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let n_bytes = slices.iter().map(|slice| slice.len()).sum();
        carried.n_outgoing += n_bytes;
        drop(carried);
        let mut data = Vec::with_capacity(n_bytes);
        for slice in slices {
            data.extend_from_slice(slice);
        }
        self.outlet.push(Outgoing::StreamData { tag: self.tag, data: Bytes::from(data) });
        Poll::Ready(Ok(n_bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outlet.push(Outgoing::StreamEnd { tag: self.tag });
        Poll::Ready(Ok(()))
    }
}

impl Drop for CarriedStream {
    fn drop(&mut self) {
        self.outlet.push(Outgoing::StreamEnd { tag: self.tag });
    }
}
