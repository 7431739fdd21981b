//! WebSockets of which the host carries whole messages, as ASGI servers do.

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
    connection::Connection,
    frame::FrameKind,
    handshake::RequestHead,
    receive::{self, NoRoom, Received},
    request::{self, Place},
    server::Server,
    wire::Writer,
};

/// A WebSocket in the host's hands.
///
/// The host gives what it receives to [`receive_text`](Self::receive_text) and
/// [`receive_binary`](Self::receive_binary), one after the other, and sends what [`next`](Self::next) returns.
/// Dropping it means that the client has gone.
pub struct MessageSocket {
    connection: Arc<Connection>,
    wire_id: u32,
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

impl Server {
    /// Accepts a WebSocket whose messages the host carries, or answers with the error to send instead.
    ///
    /// Nothing is sent for the handshake itself: the host completes it when it gets `Ok`. The path is not looked at.
    ///
    /// # Errors
    /// The response for a request that is refused.
    pub async fn exchange_messages(&self, head: RequestHead) -> Result<MessageSocket, Response<Bytes>> {
        let place = request::upgrade(self, head).await?.place().ok_or_else(request::too_many)?;
        let (connection, wire_id) = match place {
            Place::Own(connection) => {
                let wire_id = connection.attach(Writer::Messages);
                connection.flush();
                (connection, wire_id)
            }
            // It is over before it begins.
            Place::Taken(connection) => {
                let wire_id = connection.foreign_wire_id();
                (connection, wire_id)
            }
        };
        let is_probe = AtomicBool::new(connection.transport() == TransportKind::Polling);
        Ok(MessageSocket { connection, wire_id, has_ended: AtomicBool::new(false), is_probe })
    }
}

impl MessageSocket {
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
        if let Err(NoRoom(wants)) = receive::websocket(&self.connection, received, None, Instant::now()) {
            let turn = self.connection.room(wants).await;
            let _ = receive::websocket(&self.connection, received, Some(&turn), Instant::now());
        }
    }

    /// Waits for messages to send, and returns all that may leave together; `None` when there will be no more. The last is
    /// [`Outgoing::Close`] unless the client closed first. Cancelling it loses nothing.
    pub async fn next(&self) -> Option<Vec<Outgoing>> {
        let mut n_turns = 0;
        poll_fn(|context| {
            // Asked first: nothing is queued behind a close frame.
            let close_code = self.connection.wire_close_code(self.wire_id);
            let mut messages = Vec::new();
            while let Some((frame, ends_write)) = self.connection.take_frame(self.wire_id, context) {
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
        if *n_turns < TURNS && self.connection.awaits_probe() {
            *n_turns += 1;
            context.waker().wake_by_ref();
            return;
        }
        *n_turns = 0;
        self.is_probe.store(self.connection.probe_is_read(self.wire_id), Ordering::Relaxed);
    }

    /// Takes note that the client has closed.
    pub fn closed(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
        self.connection.detach(self.wire_id, false);
        self.connection.waker.wake();
    }

    /// Whether a message is to be taken. The host's server has bounds of its own; this is the option's.
    fn fits(&self, len: usize) -> bool {
        if !self.connection.is_current(self.wire_id) {
            return false;
        }
        let fits = len <= self.connection.server().config.max_http_buffer_size;
        if !fits {
            self.connection.close_with_code(1009);
        }
        fits
    }
}

impl Drop for MessageSocket {
    fn drop(&mut self) {
        self.connection.detach(self.wire_id, false);
    }
}

impl fmt::Debug for MessageSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageSocket")
    }
}
