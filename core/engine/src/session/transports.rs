//! The transports of a session: the poll that waits, and the WebSocket that a task drives.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use ferrio_protocol::engine::TransportKind;

use crate::{
    layer::Layer,
    packet::{frame::Frame, outbox::Outbox},
    session::{
        Session,
        events::{SessionEvent, Watch},
        io::Io,
        poll::PendingPoll,
        timers::Timer,
        writer::{WebSocket, Writer},
    },
};

/// How long a poll that comes in the middle of an upgrade waits for the end of that, where the host carries the WebSocket:
/// the packet that ends it may have been sent before, and still be on its way through the host or, compressed, out of the
/// client. engine.io looks after polls every 100 ms, too.
const LATE_POLL_WAIT: Duration = Duration::from_millis(100);

/// A poll that the session does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PollRefused;

/// How a WebSocket ended, as its task sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WebSocketEnd {
    /// It is no longer the session's.
    Detached,
    /// Everything was written, the close frame last.
    Closed,
    /// It cannot be written to any more.
    Broken,
}

impl<L: Layer> Session<L> {
    /// Takes a poll: answers it at once when something waits, or keeps it. `Err` when it may not be.
    pub(crate) fn poll(self: &Arc<Self>, poll: PendingPoll) -> Result<(), PollRefused> {
        // The timer may be late.
        self.input(|machine| machine.handle_timeout(Instant::now()));
        let mut io = self.io.lock();
        if io.machine.transport() != TransportKind::Polling {
            return Err(PollRefused);
        }
        if !io.machine.is_open() {
            return Err(PollRefused);
        }
        if io.poll.is_some() {
            self.server.counters.peer_errors.add(1);
            io.fault = Some("overlap from client");
            io.machine.transport_lost(TransportKind::Polling, true);
            self.run(io);
            return Err(PollRefused);
        }
        io.poll = Some(poll);
        io.is_poll_late = io.machine.is_upgrading();
        self.write(&mut io);
        if io.machine.releases_polls() {
            if io.is_carried_by_host() {
                io.timers.set(Timer::LatePoll, Instant::now() + LATE_POLL_WAIT);
                self.keep_deadline(&mut io);
            }
            // Whoever drives the WebSocket answers it, once all is read that has come there: the client may have sent
            // the end of the upgrade first.
            self.waker.wake();
        }
        Ok(())
    }

    /// Whether a poll waits.
    pub(crate) fn has_poll(&self) -> bool {
        self.io.lock().poll.is_some()
    }

    /// Whether what a POST brings is still wanted: not when the session has ended, nor when it has moved to WebSocket.
    pub(crate) fn is_polling(&self) -> bool {
        let io = self.io.lock();
        io.machine.is_open() && io.machine.transport() == TransportKind::Polling
    }

    /// Begins a POST. Returns `false` while another is under way.
    pub(crate) fn begin_post(&self) -> bool {
        !std::mem::replace(&mut self.io.lock().is_posting, true)
    }

    pub(crate) fn end_post(&self) {
        self.io.lock().is_posting = false;
    }

    /// Waits for the end of the session, on behalf of a POST. There is one at a time.
    pub(crate) fn poll_ended(&self, context: &Context<'_>) -> Poll<()> {
        self.poster.register(context.waker());
        if self.is_open() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Attaches a WebSocket, on which messages of at least `compress_from` bytes are compressed if there is such a bound: by
    /// the task that drives it.
    pub(crate) fn attach(&self, writer: Writer, compress_from: Option<usize>) -> u32 {
        let mut io = self.io.lock();
        let id = io.attach(writer, compress_from);
        // The task of a former WebSocket, if there is one, has to notice that it is no longer the session's.
        self.waker.wake();
        id
    }

    /// An id for a WebSocket that never is the session's.
    pub(crate) fn unattached_websocket_id(&self) -> u32 {
        self.io.lock().new_websocket_id()
    }

    /// Writes what waits for a WebSocket, on behalf of the task that drives it.
    ///
    /// Pending while there is more to come; otherwise the WebSocket is over.
    pub(crate) fn poll_websocket(
        self: &Arc<Self>,
        websocket_id: u32,
        context: &mut Context<'_>,
    ) -> Poll<WebSocketEnd> {
        let mut io = self.io.lock();
        let is_open = io.machine.is_open();
        let Some((websocket, outbox)) = io.websocket_of(websocket_id) else {
            return Poll::Ready(WebSocketEnd::Detached);
        };
        // Under the lock, and only for the WebSocket that is the session's: what is queued later wakes this task.
        self.waker.register(context.waker());
        if websocket.is_blocked {
            match ready!(websocket.writer.poll_flush(outbox, context)) {
                Ok(()) => {
                    websocket.is_blocked = false;
                    self.tell_drain(is_open);
                }
                Err(_) => return Poll::Ready(WebSocketEnd::Broken),
            }
        }
        if websocket.is_closing { Poll::Ready(WebSocketEnd::Closed) } else { Poll::Pending }
    }

    /// The next frame that the task of a WebSocket has to compress, which it does without holding any lock.
    pub(crate) fn next_raw(&self, websocket_id: u32) -> Option<Frame> {
        self.io.lock().websocket_of(websocket_id)?.1.next_raw()
    }

    /// Takes note of what a frame was compressed to, `None` if that is no gain. Returns whether it will leave.
    pub(crate) fn set_compressed(&self, websocket_id: u32, raw: &Frame, compressed: Option<Frame>) -> bool {
        let mut io = self.io.lock();
        let websocket = io.websocket_of(websocket_id);
        websocket.is_some_and(|(_, outbox)| outbox.set_compressed(raw, compressed))
    }

    /// Takes note that all is read that has come on a WebSocket for now. Returns whether it is still being probed.
    pub(crate) fn probe_is_read(&self, websocket_id: u32) -> bool {
        let mut io = self.io.lock();
        if io.websocket_of(websocket_id).is_none() || !io.machine.is_upgrading() {
            return false;
        }
        if io.machine.releases_polls()
            && !io.timers.is_set(Timer::LatePoll)
            && let Some(poll) = io.poll.take()
        {
            self.answer(&mut io, poll);
        }
        true
    }

    /// Whether a poll waits until all is read that has come on a WebSocket.
    pub(crate) fn awaits_probe(&self) -> bool {
        let io = self.io.lock();
        io.machine.releases_polls() && io.poll.is_some()
    }

    /// Queues the answer to a WebSocket ping. The task that drives the WebSocket flushes once for all pings of a read.
    pub(crate) fn pong(self: &Arc<Self>, websocket_id: u32, data: &[u8]) {
        let mut io = self.io.lock();
        let Some((websocket, outbox)) = io.websocket_of(websocket_id) else { return };
        if !websocket.is_closing && outbox.push_pong(Frame::pong(data)) && !websocket.is_blocked {
            self.write(&mut io);
        }
    }

    /// Wakes whoever drives the WebSocket.
    pub(crate) fn wake_driver(&self) {
        self.waker.wake();
    }

    /// Takes the WebSocket away when its task has ended, and returns its writer unless it stopped within a frame.
    pub(crate) fn detach(self: &Arc<Self>, websocket_id: u32, is_error: bool) -> Option<Writer> {
        let mut io = self.io.lock();
        let is_mid_frame = io.websocket_of(websocket_id)?.1.is_mid_frame();
        let websocket = io.drop_websocket()?;
        if !websocket.is_closing {
            if is_error && io.machine.is_open() && io.machine.transport() == TransportKind::WebSocket {
                io.fault = Some("Error: the WebSocket cannot be written to");
            }
            io.machine.transport_lost(TransportKind::WebSocket, is_error);
        }
        self.run(io);
        (!is_mid_frame).then_some(websocket.writer)
    }

    /// Whether a WebSocket is still the session's, and not being closed.
    pub(crate) fn is_current(&self, websocket_id: u32) -> bool {
        self.io.lock().websocket_of(websocket_id).is_some_and(|(websocket, _)| !websocket.is_closing)
    }

    /// Takes the next frame for a host that carries the WebSocket itself, or arranges for it to be woken. With it comes
    /// whether the next has to leave in another write.
    pub(crate) fn take_frame(
        self: &Arc<Self>,
        websocket_id: u32,
        context: &Context<'_>,
    ) -> Option<(Frame, bool)> {
        let mut io = self.io.lock();
        let is_open = io.machine.is_open();
        let (websocket, outbox) = io.websocket_of(websocket_id)?;
        self.waker.register(context.waker());
        let ends_write = outbox.ends_write();
        let frame = outbox.pop();
        websocket.is_blocked = !outbox.is_empty();
        if frame.is_some() && outbox.is_empty() {
            self.tell_drain(is_open);
        }
        frame.map(|(frame, _)| (frame, ends_write))
    }

    /// Tells that everything has left that waited, unless it was what is left of a session that is over.
    fn tell_drain(self: &Arc<Self>, is_open: bool) {
        if is_open {
            self.tell(Watch::DRAIN, || SessionEvent::Drain);
        }
    }

    /// The status with which a WebSocket is closed, `None` while it is not.
    pub(crate) fn websocket_close_code(&self, websocket_id: u32) -> Option<u16> {
        let mut io = self.io.lock();
        match io.websocket_of(websocket_id) {
            Some((websocket, _)) if !websocket.is_closing => None,
            Some((websocket, _)) => Some(websocket.close_code.unwrap_or(1000)),
            None => Some(1000),
        }
    }
}

impl Io {
    /// The WebSocket of this id, if it is still the session's.
    fn websocket_of(&mut self, websocket_id: u32) -> Option<(&mut WebSocket, &mut Outbox)> {
        self.websocket_mut().filter(|(websocket, _)| websocket.id == websocket_id)
    }
}
