//! HTTP requests and byte streams that Node carries, and connections that it hands over.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker as TaskWaker},
};

use ahash::HashMap;
use bytes::Bytes;
use ferrio::{ListenOptions, Listener, RequestHead, Responder, runtime};
use ferrio_host::duplicate;
use http::Response;
use napi::{Result, bindgen_prelude::Uint8ArraySlice};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::{
    callback::Waker,
    carried::{Carried, CarriedBody, CarriedStream},
    client_files::ClientFiles,
    server::{NativeServer, number},
    value,
};

/// Something for Node's HTTP server.
pub(crate) enum Outgoing {
    /// A request is to be worked on again.
    Proceed { tag: u64 },
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
/// what a [`Carried`] lets through.
pub(crate) struct Outlet {
    waiting: Mutex<Vec<Outgoing>>,
    waker: Arc<Waker>,
}

impl Outlet {
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

    fn take(&self) -> Vec<Outgoing> {
        std::mem::take(&mut *self.waiting.lock())
    }
}

/// The requests and streams under way. All but the outlet is touched by the thread of JavaScript alone.
pub(crate) struct Doors {
    outlet: Arc<Outlet>,
    exchanges: RefCell<HashMap<u64, Exchange>>,
    streams: RefCell<HashMap<u64, Arc<Mutex<Carried>>>>,
    ports: RefCell<Vec<Listener>>,
    /// Ports of which it has yet to be told that others can have them.
    n_closing_ports: Cell<usize>,
}

/// A request that the core works on. It is the thread of JavaScript that does: no other has to be woken for a request,
/// and most are answered at once.
struct Exchange {
    /// `None` when the answer is on its way.
    work: Option<Answering>,
    proceed: Arc<Proceed>,
    body: Option<Arc<Mutex<Carried>>>,
}

type Answering = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

impl Doors {
    pub(crate) fn new(outlet: Arc<Outlet>) -> Self {
        Self {
            outlet,
            exchanges: RefCell::default(),
            streams: RefCell::default(),
            ports: RefCell::default(),
            n_closing_ports: Cell::new(0),
        }
    }

    /// What there is for Node's HTTP server, once every request that can go on has done so.
    pub(crate) fn take(&self) -> Vec<Outgoing> {
        let mut outgoing = self.outlet.take();
        for outgoing in &mut outgoing {
            if let Outgoing::Proceed { tag } = *outgoing
                && let Some(response) = self.proceed(tag)
            {
                *outgoing = Outgoing::Response { tag, response };
            }
            self.told(outgoing);
        }
        outgoing
    }

    /// Lets go of what is over once JavaScript knows.
    fn told(&self, outgoing: &Outgoing) {
        match outgoing {
            Outgoing::Response { tag, .. } => _ = self.exchanges.borrow_mut().remove(tag),
            Outgoing::StreamEnd { tag } => self.end_stream(*tag),
            Outgoing::PortClosed => self.n_closing_ports.set(self.n_closing_ports.get() - 1),
            _ => {}
        }
    }

    fn end_stream(&self, tag: u64) {
        let stream = self.streams.borrow_mut().remove(&tag);
        if let Some(stream) = stream {
            stream.lock().close();
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
        !self.outlet.waiting.lock().is_empty()
    }

    /// Works on a request as far as it goes now.
    fn proceed(&self, tag: u64) -> Option<Response<Bytes>> {
        let mut exchanges = self.exchanges.borrow_mut();
        let Exchange { work, proceed, .. } = exchanges.get_mut(&tag)?;
        let answering = work.as_mut()?;
        proceed.is_due.store(false, Ordering::Release);
        let runtime = runtime();
        let _entered = runtime.enter();
        let waker = TaskWaker::from(proceed.clone());
        let Poll::Ready(response) = answering.as_mut().poll(&mut Context::from_waker(&waker)) else {
            return None;
        };
        *work = None;
        Some(response)
    }

    /// Works on a request, and keeps the answer if that was all.
    fn advance(&self, tag: u64) {
        if let Some(response) = self.proceed(tag) {
            self.outlet.push(Outgoing::Response { tag, response });
        }
    }
}

/// A request whose object JavaScript keeps, by its number. It goes with the heads of requests and handshakes in the core:
/// when the last copy is dropped, JavaScript is told to let its object go as well.
pub(crate) struct KeptRequest {
    pub(crate) tag: u64,
    outlet: Arc<Outlet>,
}

impl Drop for KeptRequest {
    fn drop(&mut self) {
        self.outlet.push(Outgoing::Forget { tag: self.tag });
    }
}

impl Doors {
    /// Reads a request's head. A number other than 0 is that of an object which JavaScript keeps.
    fn read_head(&self, head: &str, kept: f64) -> Result<RequestHead> {
        // First of all, so that a head that cannot be read is told of as well.
        let kept = (kept != 0.0).then(|| KeptRequest { tag: number(kept), outlet: self.outlet.clone() });
        let mut head = value::read_head(head)?;
        if let Some(kept) = kept {
            head.extensions.insert(Arc::new(kept));
        }
        Ok(head)
    }
}

/// Has a request worked on again.
struct Proceed {
    tag: u64,
    is_due: AtomicBool,
    outlet: Arc<Outlet>,
}

impl Wake for Proceed {
    fn wake(self: Arc<Self>) {
        if !self.is_due.swap(true, Ordering::AcqRel) {
            self.outlet.push(Outgoing::Proceed { tag: self.tag });
        }
    }
}

#[napi]
impl NativeServer {
    /// Serves a port that Node has opened. With a folder, the browser's client is served from there.
    #[napi(catch_unwind)]
    #[cfg(unix)]
    pub fn listen(
        &self,
        descriptor: i32,
        client_folder: Option<String>,
        client_version: Option<String>,
    ) -> Result<()> {
        let owned = duplicate(descriptor).map_err(|error| crate::error::system(&error))?;
        let responder = client_folder.map(|folder| {
            let version = client_version.unwrap_or_default();
            let files = Arc::new(ClientFiles::new(self.server.config(), folder, &version));
            Responder::new(move |head| Some(Box::pin(files.clone().respond(head)?)))
        });
        let options = ListenOptions { responder, ..ListenOptions::default() };
        let listener =
            self.server.listen_on(owned.into(), options).map_err(|error| crate::error::system(&error))?;
        self.doors.ports.borrow_mut().push(listener);
        Ok(())
    }

    /// Closes the ports of the core's own. A record tells when others can have them.
    #[napi(catch_unwind)]
    pub fn close_port(&self) {
        let listeners = std::mem::take(&mut *self.doors.ports.borrow_mut());
        let outlet = self.doors.outlet.clone();
        self.doors.n_closing_ports.set(self.doors.n_closing_ports.get() + 1);
        // Ends as soon as the tasks that accept connections have ended.
        runtime().spawn(async move {
            for listener in listeners {
                listener.close();
                listener.closed().await;
            }
            outlet.push(Outgoing::PortClosed);
        });
    }

    /// Takes over the connection of a WebSocket request.
    #[napi(catch_unwind)]
    #[cfg(unix)]
    pub fn adopt(
        &self,
        head: String,
        kept: f64,
        descriptor: i32,
        read_already: Uint8ArraySlice<'_>,
    ) -> Result<()> {
        let head = self.doors.read_head(&head, kept)?;
        let adopted = duplicate(descriptor)
            .and_then(|owned| self.server.adopt(owned, head, Bytes::copy_from_slice(&read_already)));
        adopted.map_err(|error| crate::error::system(&error))
    }

    /// Has the core answer a request; the answer comes with a later batch. Returns whether there is something to
    /// drain.
    #[napi(catch_unwind)]
    pub fn request(&self, head: String, tag: f64, kept: f64, has_body: bool) -> Result<bool> {
        let tag = number(tag);
        let head = self.doors.read_head(&head, kept)?;
        let outlet = self.doors.outlet.clone();
        let carried = Carried::body(has_body);
        let body = CarriedBody { tag, carried: carried.clone(), outlet: outlet.clone() };
        let server = self.server.clone();
        let answering = async move { server.handle(head, body).await };
        let proceed = Arc::new(Proceed { tag, is_due: AtomicBool::new(false), outlet });
        let exchange =
            Exchange { work: Some(Box::pin(answering)), proceed, body: has_body.then_some(carried) };
        self.doors.exchanges.borrow_mut().insert(tag, exchange);
        Ok(self.waker.inside(|| self.doors.advance(tag)).1)
    }

    /// A piece of a request's body. Returns whether the sender shall wait until it is resumed.
    #[napi(catch_unwind)]
    pub fn request_body(&self, tag: f64, chunk: Uint8ArraySlice<'_>) -> bool {
        let exchanges = self.doors.exchanges.borrow();
        let body = exchanges.get(&number(tag)).and_then(|exchange| exchange.body.as_ref());
        body.is_some_and(|body| body.lock().push(&chunk))
    }

    /// A request's body is complete. Returns whether there is something to drain.
    #[napi(catch_unwind)]
    pub fn request_end(&self, tag: f64) -> bool {
        let tag = number(tag);
        let end = || {
            let body = self.doors.exchanges.borrow().get(&tag).and_then(|exchange| exchange.body.clone());
            if let Some(body) = body {
                body.lock().end();
                self.doors.advance(tag);
            }
        };
        self.waker.inside(end).1
    }

    /// The client of a request has gone before it was answered.
    #[napi(catch_unwind)]
    pub fn request_abort(&self, tag: f64) {
        let exchange = self.doors.exchanges.borrow_mut().remove(&number(tag));
        // Ends the session of a poll, so not before others can have the map again.
        drop(exchange);
        self.retire();
    }

    /// Has the core serve a WebSocket request on a stream that Node carries.
    #[napi(catch_unwind)]
    pub fn stream(&self, head: String, tag: f64, kept: f64, read_already: Uint8ArraySlice<'_>) -> Result<()> {
        let tag = number(tag);
        let head = self.doors.read_head(&head, kept)?;
        let carried = Arc::new(Mutex::new(Carried::default()));
        self.doors.streams.borrow_mut().insert(tag, carried.clone());
        let stream = CarriedStream { tag, carried, outlet: self.doors.outlet.clone() };
        self.server.exchange_stream(stream, head, Bytes::copy_from_slice(&read_already));
        Ok(())
    }

    /// Bytes of a stream. Returns whether the sender shall wait until it is resumed.
    #[napi(catch_unwind)]
    pub fn stream_data(&self, tag: f64, chunk: Uint8ArraySlice<'_>) -> bool {
        let streams = self.doors.streams.borrow();
        streams.get(&number(tag)).is_some_and(|stream| stream.lock().push(&chunk))
    }

    /// Node has written what it was given for a stream.
    #[napi(catch_unwind)]
    pub fn stream_drained(&self, tag: f64) {
        if let Some(stream) = self.doors.streams.borrow().get(&number(tag)) {
            stream.lock().drained();
        }
    }

    /// A stream is closed.
    #[napi(catch_unwind)]
    pub fn stream_end(&self, tag: f64) {
        self.doors.end_stream(number(tag));
        self.retire();
    }
}
