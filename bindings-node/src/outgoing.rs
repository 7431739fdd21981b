//! What the core has for Node's HTTP server.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use parking_lot::Mutex;

use crate::waker::Waker;

/// Something for Node's HTTP server.
pub(crate) enum Outgoing {
    /// The answer to a request.
    Response { tag: u64, response: Response<Bytes> },
    /// What was sent of a body or stream is taken: more may come.
    ResumeBody { tag: u64 },
    /// Bytes for a stream.
    StreamData { tag: u64, data: Bytes },
    /// A stream is to be ended.
    StreamEnd { tag: u64 },
    /// Nobody needs a request's object any more.
    Forget { tag: u64 },
    /// The core's own port is free again.
    PortClosed,
}

/// What waits for Node's HTTP server. It is bounded by what Node has open: an answer for a request, and for a stream
/// what its [`StreamEnd`](crate::stream::StreamEnd) lets through.
pub(crate) struct OutgoingQueue {
    waiting: Mutex<Vec<Outgoing>>,
    waker: Arc<Waker>,
}

impl OutgoingQueue {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        Self { waiting: Mutex::default(), waker }
    }

    pub(crate) fn push(&self, outgoing: Outgoing) {
        let mut waiting = self.waiting.lock();
        waiting.push(outgoing);
        let is_first = waiting.len() == 1;
        drop(waiting);
        if is_first {
            self.waker.wake();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    pub(crate) fn take(&self) -> Vec<Outgoing> {
        std::mem::take(&mut *self.waiting.lock())
    }
}

/// A request whose object JavaScript keeps, by its number. It goes with the heads of requests and handshakes in the core:
/// when the last copy is dropped, JavaScript is told to let its object go as well.
pub(crate) struct KeptRequest {
    pub(crate) tag: u64,
    pub(crate) outgoing: Arc<OutgoingQueue>,
}

impl Drop for KeptRequest {
    fn drop(&mut self) {
        self.outgoing.push(Outgoing::Forget { tag: self.tag });
    }
}
