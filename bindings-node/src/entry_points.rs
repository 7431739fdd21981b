//! The requests, byte streams and ports under way.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use ahash::HashMap;
use bytes::Bytes;
use ferrio::{Listener, RequestHead};
use ferrio_host::{BoxFuture, ByteChannel, Executor, Started, TaskHandle};
use http::Response;
use napi::Result;

use crate::{
    outgoing::{KeptRequest, Outgoing, OutgoingQueue},
    request,
    stream::StreamEnd,
    value::number,
    waker::Waker,
};

/// The requests and streams under way. All but the queue is touched by the thread of JavaScript alone.
pub(crate) struct EntryPoints {
    pub(crate) outgoing: Arc<OutgoingQueue>,
    /// Works on requests.
    executor: Executor<u64, Response<Bytes>>,
    pub(crate) exchanges: RefCell<HashMap<u64, Exchange>>,
    pub(crate) streams: RefCell<HashMap<u64, Arc<StreamEnd>>>,
    pub(crate) ports: RefCell<Vec<Listener>>,
    /// Ports of which it has yet to be told that others can have them.
    pub(crate) n_closing_ports: Cell<usize>,
}

/// A request that the core works on.
pub(crate) struct Exchange {
    /// `None` when it was answered at once. Dropped, the work is given up.
    _task: Option<TaskHandle<u64, Response<Bytes>>>,
    pub(crate) body: Option<Arc<ByteChannel>>,
}

impl EntryPoints {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        Self {
            outgoing: Arc::new(OutgoingQueue::new(waker.clone())),
            executor: Executor::new(move || waker.wake()),
            exchanges: RefCell::default(),
            streams: RefCell::default(),
            ports: RefCell::default(),
            n_closing_ports: Cell::new(0),
        }
    }

    /// What there is for Node's HTTP server, once every request that can go on has done so.
    pub(crate) fn take(&self) -> Vec<Outgoing> {
        let mut outgoing = self.outgoing.take();
        self.executor.run_ready(|task| {
            if let Some((tag, response)) = task.poll() {
                outgoing.push(Outgoing::Response { tag, response });
            }
        });
        for outgoing in &outgoing {
            self.finish(outgoing);
        }
        outgoing
    }

    /// Has the core answer a request. It is the thread of JavaScript that works on it: no other has to be woken, and
    /// most requests are answered at once.
    pub(crate) fn start(
        &self,
        tag: u64,
        answering: BoxFuture<Response<Bytes>>,
        body: Option<Arc<ByteChannel>>,
    ) {
        let task = match self.executor.start(answering) {
            Started::Pending(pending) => Some(pending.spawn(tag)),
            Started::Done(response) => {
                self.outgoing.push(Outgoing::Response { tag, response });
                None
            }
        };
        self.exchanges.borrow_mut().insert(tag, Exchange { _task: task, body });
    }

    /// Lets go of what is over once JavaScript knows.
    fn finish(&self, outgoing: &Outgoing) {
        match outgoing {
            Outgoing::Response { tag, .. } => _ = self.exchanges.borrow_mut().remove(tag),
            Outgoing::StreamEnd { tag } => self.end_stream(*tag),
            Outgoing::PortClosed => self.n_closing_ports.set(self.n_closing_ports.get() - 1),
            _ => {}
        }
    }

    pub(crate) fn end_stream(&self, tag: u64) {
        let stream = self.streams.borrow_mut().remove(&tag);
        if let Some(stream) = stream {
            stream.close();
        }
    }

    /// Whether nothing is under way that JavaScript will have to be woken for.
    pub(crate) fn is_idle(&self) -> bool {
        self.exchanges.borrow().is_empty()
            && self.streams.borrow().is_empty()
            && self.ports.borrow().is_empty()
            && self.n_closing_ports.get() == 0
            && !self.has_more()
    }

    /// How many requests and streams are under way.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.exchanges.borrow().len(), self.streams.borrow().len())
    }

    /// Whether there is more to take.
    pub(crate) fn has_more(&self) -> bool {
        !self.outgoing.is_empty() || self.executor.has_ready()
    }
}

impl EntryPoints {
    /// Reads a request's head. A number other than 0 is that of an object which JavaScript keeps.
    pub(crate) fn read_head(&self, head: &str, kept: f64) -> Result<RequestHead> {
        // First of all, so that a head that cannot be read is told of as well.
        let kept = (kept != 0.0).then(|| self.keep(number(kept)));
        let mut head = request::read_head(head)?;
        if let Some(kept) = kept {
            head.extensions.insert(kept);
        }
        Ok(head)
    }

    /// What tells JavaScript that nobody needs this request's object any more.
    pub(crate) fn keep(&self, tag: u64) -> Arc<KeptRequest> {
        Arc::new(KeptRequest { tag, outgoing: self.outgoing.clone() })
    }
}
