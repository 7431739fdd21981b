//! The writing side of a WebSocket, reachable by whoever has something to send.

use std::{
    fmt,
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

#[cfg(unix)]
use tokio::net::unix;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    net::tcp,
};

use crate::packet::outbox::Outbox;

/// A WebSocket, as the session keeps it.
pub(crate) struct WebSocket {
    /// Tells a task whether this is still the WebSocket it drives.
    pub(crate) id: u32,
    pub(crate) writer: Writer,
    /// Whether the driving task has to write: nobody else does until it is done.
    pub(crate) is_blocked: bool,
    /// Whether a close frame is the last thing to write.
    pub(crate) is_closing: bool,
    /// The status with which it is closed, when there is one to tell.
    pub(crate) close_code: Option<u16>,
}

/// Where a WebSocket's bytes go.
pub(crate) enum Writer {
    /// A TCP socket, written to by any thread without waking the task that drives it.
    Tcp(tcp::OwnedWriteHalf),
    /// A Unix domain socket, likewise.
    #[cfg(unix)]
    Unix(unix::OwnedWriteHalf),
    /// A stream that is written by its task: TLS.
    Stream(Pin<Box<dyn AsyncWrite + Send>>),
    /// A byte channel of the host, which takes bytes from any thread.
    Channel(Pin<Box<dyn AsyncWrite + Send>>),
    /// A host that takes whole messages.
    Messages,
}

/// How far a write without waiting came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing waits any more.
    All,
    /// The task has to carry on: the kernel's buffer is full, only the task may write, or it has to compress first.
    Blocked,
}

/// Frames in one vectored write: more than a batch for one connection usually has, few enough for the stack.
const MAX_SLICES: usize = 32;

impl Writer {
    /// Writes what can be written at once.
    pub(crate) fn try_flush(&mut self, outbox: &mut Outbox) -> Flushed {
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let n_slices = outbox.slices(&mut slices);
            if n_slices == 0 {
                return Flushed::Blocked;
            }
            let slices = &slices[..n_slices];
            let written = match self {
                Self::Tcp(half) => half.try_write_vectored(slices),
                #[cfg(unix)]
                Self::Unix(half) => half.try_write_vectored(slices),
                Self::Channel(stream) => {
                    // Whoever gets no further wakes the task, which then waits with a waker of its own.
                    let mut context = Context::from_waker(Waker::noop());
                    match stream.as_mut().poll_write_vectored(&mut context, slices) {
                        Poll::Ready(written) => written,
                        Poll::Pending => return Flushed::Blocked,
                    }
                }
                Self::Stream(_) | Self::Messages => return Flushed::Blocked,
            };
            match written {
                Ok(n) if n > 0 => outbox.advance(n),
                // An error is the task's to find: it reports it when it writes in turn.
                Ok(_) | Err(_) => return Flushed::Blocked,
            }
        }
        Flushed::All
    }

    /// Writes everything, and arranges for the task to be woken when that takes time.
    pub(crate) fn poll_flush(
        &mut self,
        outbox: &mut Outbox,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let n_slices = outbox.slices(&mut slices);
            if n_slices == 0 {
                // The task compresses some each time it is woken, so that others have their turn between.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let slices = &slices[..n_slices];
            let written = match self {
                Self::Tcp(half) => ready!(Pin::new(half).poll_write_vectored(context, slices)),
                #[cfg(unix)]
                Self::Unix(half) => ready!(Pin::new(half).poll_write_vectored(context, slices)),
                Self::Stream(stream) | Self::Channel(stream) => {
                    ready!(stream.as_mut().poll_write_vectored(context, slices))
                }
                Self::Messages => return Poll::Pending,
            };
            match written? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                n => outbox.advance(n),
            }
        }
        match self {
            // What TLS has encrypted still has to leave.
            Self::Stream(stream) | Self::Channel(stream) => stream.as_mut().poll_flush(context),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Tells the peer that nothing more will come.
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(half) => half.shutdown().await,
            #[cfg(unix)]
            Self::Unix(half) => half.shutdown().await,
            Self::Stream(stream) | Self::Channel(stream) => stream.shutdown().await,
            Self::Messages => Ok(()),
        }
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("id", &self.id)
            .field("is_closing", &self.is_closing)
            .finish_non_exhaustive()
    }
}
