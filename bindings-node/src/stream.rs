//! Streams that Node carries for the core, because they have no descriptor.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use ferrio_host::{ByteChannel, HIGH_WATER};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::outgoing::{Outgoing, OutgoingQueue};

/// Both directions of a stream, as Node sees it.
#[derive(Default)]
pub(crate) struct StreamEnd {
    pub(crate) incoming: ByteChannel,
    outgoing: Mutex<Unwritten>,
}

/// What was given to Node.
#[derive(Default)]
struct Unwritten {
    /// Bytes that it has not written yet.
    n_bytes: usize,
    is_closed: bool,
    writer: Option<Waker>,
}

impl StreamEnd {
    /// Node has written all that it was given.
    pub(crate) fn drained(&self) {
        let mut outgoing = self.outgoing.lock();
        outgoing.n_bytes = 0;
        let writer = outgoing.writer.take();
        drop(outgoing);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// Node's side is closed.
    pub(crate) fn close(&self) {
        self.outgoing.lock().is_closed = true;
        self.drained();
        self.incoming.end();
    }
}

/// A stream, as the core sees it.
pub(crate) struct CarriedStream {
    pub(crate) tag: u64,
    pub(crate) end: Arc<StreamEnd>,
    pub(crate) outgoing: Arc<OutgoingQueue>,
}

impl AsyncRead for CarriedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let resume = || self.outgoing.push(Outgoing::ResumeBody { tag: self.tag });
        let next = self.end.incoming.poll_next(buffer.remaining(), context, resume);
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
        let mut outgoing = self.end.outgoing.lock();
        if outgoing.is_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if outgoing.n_bytes >= HIGH_WATER {
            outgoing.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let n_bytes = slices.iter().map(|slice| slice.len()).sum();
        outgoing.n_bytes += n_bytes;
        drop(outgoing);
        let mut data = Vec::with_capacity(n_bytes);
        for slice in slices {
            data.extend_from_slice(slice);
        }
        self.outgoing.push(Outgoing::StreamData { tag: self.tag, data: Bytes::from(data) });
        Poll::Ready(Ok(n_bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.push(Outgoing::StreamEnd { tag: self.tag });
        Poll::Ready(Ok(()))
    }
}

impl Drop for CarriedStream {
    fn drop(&mut self) {
        self.outgoing.push(Outgoing::StreamEnd { tag: self.tag });
    }
}
