//! WebSockets that a server of the host terminates, which passes on whole messages, as ASGI servers do.

use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use ferrio_protocol::engine::TransportKind;
use http::Response;

use crate::{
    http::upgrade::{self, Assigned},
    layer::Layer,
    packet::frame::FrameKind,
    request::RequestHead,
    server::Server,
    session::{Session, receive::Received, writer::Writer},
};

/// A WebSocket in the host's hands.
///
/// The host gives what it receives to [`receive_text`](Self::receive_text) and
/// [`receive_binary`](Self::receive_binary), one after the other, and sends what [`next`](Self::next) returns.
/// Dropping it means that the client has gone.
pub struct MessageSocket<L: Layer> {
    session: Arc<Session<L>>,
    websocket_id: u32,
    has_ended: AtomicBool,
    /// Whether it may still become the transport of a polling session.
    is_probe: AtomicBool,
}

/// How many turns a host gets to pass on what it has read of a WebSocket, when a poll waits for that.
const TURNS: usize = 4;

/// A message for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// Text; the bytes are UTF-8.
    Text(Bytes),
    /// Binary.
    Binary(Bytes),
    /// The WebSocket is to be closed with this status. Nothing follows.
    Close(u16),
}

impl<L: Layer> Server<L> {
    /// Accepts a WebSocket whose messages the host carries, or answers with the error to send instead.
    ///
    /// Nothing is sent for the handshake itself: the host completes it when it gets `Ok`, and what it agrees on with the
    /// client, compression of messages for one, is between the two. The path is not looked at.
    ///
    /// # Errors
    /// The response for a request that is refused.
    pub async fn serve_messages(&self, head: RequestHead) -> Result<MessageSocket<L>, Response<Bytes>> {
        let ticket = upgrade::upgrade(self, head).await?;
        let assigned = ticket.place().map_err(|refusal| refusal.websocket_response())?;
        let (session, websocket_id) = match assigned {
            Assigned::Own(session) => {
                let websocket_id = session.attach(Writer::Messages, None);
                session.flush();
                (session, websocket_id)
            }
            // It is over before it begins.
            Assigned::Taken(session) => {
                let websocket_id = session.unattached_websocket_id();
                (session, websocket_id)
            }
        };
        let is_probe = AtomicBool::new(session.transport() == TransportKind::Polling);
        Ok(MessageSocket { session, websocket_id, has_ended: AtomicBool::new(false), is_probe })
    }
}

impl<L: Layer> MessageSocket<L> {
    /// Takes a text message. Returns when the server is ready for the next.
    pub async fn receive_text(&self, text: &str) {
        if self.fits(text.len()) {
            self.receive(Received::Text(text)).await;
        }
    }

    /// Takes a binary message. Returns when the server is ready for the next.
    pub async fn receive_binary(&self, data: &[u8]) {
        if self.fits(data.len()) {
            self.receive(Received::Binary(data)).await;
        }
    }

    async fn receive(&self, received: Received<'_>) {
        if let Err(wait) = self.session.receive(received, false, Instant::now()) {
            let _turn = self.session.wait(wait).await;
            let _ = self.session.receive(received, true, Instant::now());
        }
    }

    /// Waits for messages to send, and returns all that may leave together; `None` when there will be no more. The last is
    /// [`Outgoing::Close`] unless the client closed first. Cancelling it loses nothing.
    pub async fn next(&self) -> Option<Vec<Outgoing>> {
        let mut n_turns = 0;
        poll_fn(|context| {
            // Asked first: nothing is queued behind a close frame.
            let close_code = self.session.websocket_close_code(self.websocket_id);
            let mut messages = Vec::new();
            while let Some((frame, ends_write)) = self.session.take_frame(self.websocket_id, context) {
                messages.push(match frame.kind() {
                    FrameKind::Text => Outgoing::Text(frame.body()),
                    FrameKind::Binary | FrameKind::Control => Outgoing::Binary(frame.body()),
                });
                if ends_write {
                    return Poll::Ready(Some(messages));
                }
            }
            if let Some(code) = close_code
                && !self.has_ended.swap(true, Ordering::Relaxed)
            {
                messages.push(Outgoing::Close(code));
            }
            match (messages.is_empty(), self.has_ended.load(Ordering::Relaxed)) {
                (false, _) => Poll::Ready(Some(messages)),
                (true, true) => Poll::Ready(None),
                (true, false) => {
                    self.let_poll_go(&mut n_turns, context);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Answers a poll that waits in the middle of an upgrade, once the host has passed on what it has read.
    fn let_poll_go(&self, n_turns: &mut usize, context: &Context<'_>) {
        if !self.is_probe.load(Ordering::Relaxed) {
            return;
        }
        if *n_turns < TURNS && self.session.awaits_probe() {
            *n_turns += 1;
            context.waker().wake_by_ref();
            return;
        }
        *n_turns = 0;
        self.is_probe.store(self.session.probe_is_read(self.websocket_id), Ordering::Relaxed);
    }

    /// Takes note that the client has closed.
    pub fn closed(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
        self.session.detach(self.websocket_id, false);
        self.session.wake_driver();
    }

    /// Whether a message is to be taken. The host's server has bounds of its own; this is the option's.
    fn fits(&self, len: usize) -> bool {
        if !self.session.is_current(self.websocket_id) {
            return false;
        }
        let fits = len <= self.session.server().current().max_http_buffer_size;
        if !fits {
            self.session.close_with_code(1009);
        }
        fits
    }
}

impl<L: Layer> Drop for MessageSocket<L> {
    fn drop(&mut self) {
        self.session.detach(self.websocket_id, false);
    }
}

impl<L: Layer> fmt::Debug for MessageSocket<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageSocket")
    }
}
