//! HTTP requests and byte streams that Node carries, connections that it hands over, and ports of the core's own.

use std::sync::Arc;

use bytes::Bytes;
use ferrio::{AnswerInHand, ListenOptions, runtime};
use ferrio_host::{ByteChannel, RequestBody, duplicate};
use napi::{Result, bindgen_prelude::Uint8ArraySlice};
use napi_derive::napi;

use crate::{
    client_files::ClientFiles,
    outgoing::Outgoing,
    server::NativeServer,
    stream::{CarriedStream, StreamEnd},
    value::number,
};

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
            ClientFiles::new(self.server.config(), folder, &version).responder()
        });
        let options = ListenOptions { responder, ..ListenOptions::default() };
        let listener = self
            .server
            .engine()
            .listen_on(owned.into(), options)
            .map_err(|error| crate::error::system(&error))?;
        self.entry_points.ports.borrow_mut().push(listener);
        Ok(())
    }

    /// Closes the ports of the core's own. A record tells when others can have them.
    #[napi(catch_unwind)]
    pub fn close_port(&self) {
        let listeners = std::mem::take(&mut *self.entry_points.ports.borrow_mut());
        let outgoing = self.entry_points.outgoing.clone();
        self.entry_points.n_closing_ports.set(self.entry_points.n_closing_ports.get() + 1);
        // Ends as soon as the tasks that accept connections have ended.
        runtime().spawn(async move {
            for listener in listeners {
                listener.close();
                listener.closed().await;
            }
            outgoing.push(Outgoing::PortClosed);
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
        let head = self.entry_points.read_head(&head, kept)?;
        let adopted = duplicate(descriptor).and_then(|owned| {
            self.server.engine().take_over(owned, head, Bytes::copy_from_slice(&read_already))
        });
        adopted.map_err(|error| crate::error::system(&error))
    }

    /// Has the core answer a request; the answer comes with a later batch. Returns whether there is something to
    /// drain.
    #[napi(catch_unwind)]
    pub fn request(&self, head: String, tag: f64, kept: f64, has_body: bool) -> Result<bool> {
        let tag = number(tag);
        let mut head = self.entry_points.read_head(&head, kept)?;
        if self.server.engine().asks_for_headers() {
            // JavaScript tells of them when it sends the answer.
            head.extensions.insert(AnswerInHand);
        }
        let channel = Arc::new(if has_body { ByteChannel::default() } else { ByteChannel::ended() });
        let outgoing = self.entry_points.outgoing.clone();
        let body = RequestBody::new(channel.clone(), move || outgoing.push(Outgoing::ResumeBody { tag }));
        let server = self.server.clone();
        let answering = Box::pin(async move { server.engine().handle(head, body).await });
        Ok(self.waker.inside(|| self.entry_points.start(tag, answering, has_body.then_some(channel))).1)
    }

    /// A piece of a request's body. Returns whether the sender shall wait until it is resumed.
    #[napi(catch_unwind)]
    pub fn request_body(&self, tag: f64, chunk: Uint8ArraySlice<'_>) -> bool {
        let exchanges = self.entry_points.exchanges.borrow();
        let body = exchanges.get(&number(tag)).and_then(|exchange| exchange.body.as_ref());
        body.is_some_and(|body| body.push(Bytes::copy_from_slice(&chunk)))
    }

    /// A request's body is complete. Returns whether there is something to drain.
    #[napi(catch_unwind)]
    pub fn request_end(&self, tag: f64) -> bool {
        let exchanges = self.entry_points.exchanges.borrow();
        let body = exchanges.get(&number(tag)).and_then(|exchange| exchange.body.as_ref());
        // If the request waits for this, it is woken, and goes on when the batch is drained.
        body.is_some_and(|body| self.waker.inside(|| body.end()).1)
    }

    /// The client of a request has gone before it was answered.
    #[napi(catch_unwind)]
    pub fn request_abort(&self, tag: f64) {
        let exchange = self.entry_points.exchanges.borrow_mut().remove(&number(tag));
        // Ends the session of a poll, so not before others can have the map again.
        drop(exchange);
        self.retire();
    }

    /// Has the core serve a WebSocket request on a stream that Node carries.
    #[napi(catch_unwind)]
    pub fn stream(&self, head: String, tag: f64, kept: f64, read_already: Uint8ArraySlice<'_>) -> Result<()> {
        let tag = number(tag);
        let head = self.entry_points.read_head(&head, kept)?;
        let end = Arc::new(StreamEnd::default());
        self.entry_points.streams.borrow_mut().insert(tag, end.clone());
        let stream = CarriedStream { tag, end, outgoing: self.entry_points.outgoing.clone() };
        self.server.engine().serve_channel(stream, head, Bytes::copy_from_slice(&read_already));
        Ok(())
    }

    /// Bytes of a stream. Returns whether the sender shall wait until it is resumed.
    #[napi(catch_unwind)]
    pub fn stream_data(&self, tag: f64, chunk: Uint8ArraySlice<'_>) -> bool {
        let streams = self.entry_points.streams.borrow();
        streams.get(&number(tag)).is_some_and(|stream| stream.incoming.push(Bytes::copy_from_slice(&chunk)))
    }

    /// Node has written what it was given for a stream.
    #[napi(catch_unwind)]
    pub fn stream_drained(&self, tag: f64) {
        if let Some(stream) = self.entry_points.streams.borrow().get(&number(tag)) {
            stream.drained();
        }
    }

    /// A stream is closed.
    #[napi(catch_unwind)]
    pub fn stream_end(&self, tag: f64) {
        self.entry_points.end_stream(number(tag));
        self.retire();
    }
}
