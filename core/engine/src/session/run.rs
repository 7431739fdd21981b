//! The life of a session: what the state machine wants, and what is due at a time.

use std::{mem, sync::Arc, time::Instant};

use ferrio_protocol::engine::{
    self as protocol, Action, CloseReason, ControlPacket, Data, PacketType, TransportKind,
};
use parking_lot::MutexGuard;

use crate::{
    deadlines::{DeadlineKey, Due, Expire},
    layer::Layer,
    packet::{frame::Frame, outbox::Outbox},
    session::{
        Session,
        events::{SessionEvent, Watch},
        io::{Announcement, Io},
        poll::PollAnswer,
        timers::Timer,
    },
};

impl<L: Layer> Session<L> {
    /// Closes the session. What was queued before still leaves.
    pub fn close(self: &Arc<Self>, reason: CloseReason) {
        self.input(|machine| machine.close(reason));
    }

    /// Closes the session without what waits for it. A client that does not poll at the moment will find its session
    /// unknown.
    pub fn discard(self: &Arc<Self>, reason: CloseReason) {
        let mut io = self.io.lock();
        io.end_pause();
        io.outbox.clear();
        io.machine.close(reason);
        self.run(io);
        let ended = self.server.take_ended(&self.id);
        if ended.is_some() {
            // Nothing can be said on a WebSocket that is being probed either.
            self.input(|machine| machine.transport_lost(TransportKind::WebSocket, false));
        }
    }

    /// Takes note that a transport has failed, and of what was wrong.
    pub(crate) fn transport_failed(self: &Arc<Self>, which: TransportKind, fault: &'static str) {
        let mut io = self.io.lock();
        if io.machine.is_open() && io.machine.transport() == which {
            io.fault = Some(fault);
        }
        io.machine.transport_lost(which, true);
        self.run(io);
    }

    /// Closes the session because the peer broke a rule of WebSocket, with the status that says which.
    pub(crate) fn close_with_code(self: &Arc<Self>, code: u16) {
        self.server.counters.peer_errors.add(1);
        let mut io = self.io.lock();
        if let Some((websocket, _)) = &mut io.websocket {
            websocket.close_code = Some(code);
        }
        if io.machine.is_open() && io.machine.transport() == TransportKind::WebSocket {
            io.fault = Some(match code {
                1009 => "RangeError: Max payload size exceeded",
                _ => "Error: Invalid WebSocket frame",
            });
        }
        io.machine.transport_lost(TransportKind::WebSocket, true);
        self.run(io);
    }

    /// Gives the state machine an input, and carries out what it wants.
    pub(crate) fn input<R>(self: &Arc<Self>, input: impl FnOnce(&mut protocol::Session) -> R) -> R {
        let mut io = self.io.lock();
        let result = input(&mut io.machine);
        self.run(io);
        result
    }

    /// Carries out the state machine's actions, and keeps the session's deadline.
    pub(super) fn run(self: &Arc<Self>, mut io: MutexGuard<'_, Io>) {
        let mut closed = None;
        while let Some(action) = io.machine.poll_action() {
            match action {
                Action::Send { on, packet } => self.send_control(&mut io, on, packet),
                Action::ReleasePoll => {
                    self.tell(Watch::UPGRADING, || SessionEvent::Upgrading);
                    // Done by whoever drives the probed WebSocket, once all is read that has come there.
                    self.waker.wake();
                }
                Action::Upgraded => self.upgraded(&mut io),
                Action::UpgradeFailed => {
                    self.server.counters.upgrades_failed.add(1);
                    tracing::debug!(remote = ?self.handshake.head.remote, "upgrade failed");
                    self.tell(Watch::UPGRADING, || SessionEvent::UpgradeFailed);
                    io.close_websocket();
                    self.waker.wake();
                }
                Action::Closed(reason) => {
                    if reason == CloseReason::TransportError && io.fault.is_none() {
                        // Everything else has been noted where it was found: what is left is a mistake of the client's.
                        io.fault = Some("invalid heartbeat direction");
                    }
                    self.close_transports(&mut io, reason);
                    closed = Some((reason, io.counted_as));
                }
            }
        }
        self.keep_deadline(&mut io);
        if let Some((reason, counted_as)) = closed
            && !matches!(io.announcement, Announcement::Made)
        {
            io.announcement = Announcement::OpeningAndEnd(reason, counted_as);
            closed = None;
        }
        drop(io);
        if let Some((reason, counted_as)) = closed {
            self.tell_end(reason, counted_as);
        }
    }

    /// Takes note that the layer knows of the session. If it has ended meanwhile, the layer hears of that now.
    pub(crate) fn announced(self: &Arc<Self>) {
        let announcement = mem::replace(&mut self.io.lock().announcement, Announcement::Made);
        if let Announcement::OpeningAndEnd(reason, counted_as) = announcement {
            self.tell_end(reason, counted_as);
        }
    }

    fn tell_end(self: &Arc<Self>, reason: CloseReason, counted_as: TransportKind) {
        tracing::debug!(remote = ?self.handshake.head.remote, %reason, "session closed");
        L::closed(self, reason);
        self.server.session_closed(self, reason, counted_as);
    }

    fn send_control(self: &Arc<Self>, io: &mut Io, on: TransportKind, packet: ControlPacket) {
        io.outbox_of(on).push_once(Frame::control(packet));
        if on == io.machine.transport() {
            let kind = if packet == ControlPacket::Ping { PacketType::Ping } else { PacketType::Pong };
            self.tell(Watch::PACKET_CREATE, || SessionEvent::PacketCreate(kind, &Data::Text(""), true));
        }
        self.write(io);
        if io.outbox.bytes() > 2 * self.server.config.outbox.max_bytes {
            io.machine.close(CloseReason::SlowReader);
        }
    }

    fn upgraded(self: &Arc<Self>, io: &mut Io) {
        if let Some((_, of_probe)) = &mut io.websocket {
            // What the probe still had to send goes first; then what waited while polling paused.
            let mut waiting = mem::take(&mut io.outbox);
            io.outbox = mem::take(of_probe);
            io.outbox.append(&mut waiting);
        }
        if !io.machine.is_open() {
            return self.tell_end_on_websocket(io);
        }
        // One that came after the new transport is refused, as it would be now.
        if let Some(poll) = io.poll.take()
            && !io.is_poll_late
        {
            poll.answer(PollAnswer::noop(self.protocol));
        }
        tracing::debug!(remote = ?self.handshake.head.remote, "upgraded to WebSocket");
        let counters = &self.server.counters;
        counters.connections_polling.sub(1);
        counters.connections_websocket.add(1);
        io.counted_as = TransportKind::WebSocket;
        self.tell(Watch::UPGRADE, || SessionEvent::Upgrade);
        self.write(io);
    }

    /// The client of a session that has ended has come to the WebSocket: it is told the rest there.
    fn tell_end_on_websocket(self: &Arc<Self>, io: &mut Io) {
        if let Some(mut ended) = self.server.take_ended(&self.id) {
            io.outbox.append(&mut ended.outbox);
        }
        io.close_websocket();
        self.write(io);
    }

    fn close_transports(self: &Arc<Self>, io: &mut Io, reason: CloseReason) {
        let by_client = matches!(reason, CloseReason::TransportClose);
        io.end_pause();
        match io.machine.transport() {
            TransportKind::WebSocket => {
                if matches!(reason, CloseReason::SlowReader | CloseReason::TransportError) {
                    io.outbox.clear();
                }
                io.close_websocket();
            }
            TransportKind::Polling => match io.poll.take() {
                Some(poll) if by_client => poll.answer(PollAnswer::noop(self.protocol)),
                // Official clients take a close before the events that came in the same answer, so those go first.
                Some(poll) if !io.outbox.is_empty() => {
                    self.answer(io, poll);
                    self.server.keep_ended(self, mem::take(&mut io.outbox));
                }
                Some(poll) => {
                    io.outbox.push_control(Frame::control(ControlPacket::Close));
                    self.answer(io, poll);
                    // That was the end: a WebSocket that is being probed is of no use any more.
                    io.machine.transport_lost(TransportKind::WebSocket, false);
                }
                // Nobody waits for a last packet who left, was silent for too long, or was told so by another answer.
                None if by_client
                    || matches!(
                        reason,
                        CloseReason::TransportError | CloseReason::PingTimeout | CloseReason::ParseError
                    ) =>
                {
                    io.outbox = Outbox::default();
                }
                None => self.server.keep_ended(self, mem::take(&mut io.outbox)),
            },
        }
        io.timers.clear(Timer::Layer);
        self.write(io);
        self.waker.wake();
        self.poster.wake();
    }

    /// Has the layer woken by [`Layer::timeout`] at this time, and not at the one that was named before. The layer keeps its
    /// own list of what is due, and names the first.
    pub fn wake_layer_at(self: &Arc<Self>, at: Instant) {
        let mut io = self.io.lock();
        if io.machine.is_open() {
            io.timers.set(Timer::Layer, at);
            self.keep_deadline(&mut io);
        }
    }

    /// Sees to it that there is an entry no later than the next thing that is due.
    ///
    /// An entry that has become too early stays: moving it for each packet would cost more than one idle wake-up.
    pub(super) fn keep_deadline(self: &Arc<Self>, io: &mut Io) {
        let deadlines = &self.server.deadlines;
        let Some(next) = io.next_deadline() else {
            if let Some(unneeded) = io.deadline.take() {
                deadlines.cancel(unneeded);
            }
            return;
        };
        if io.deadline.is_some_and(|(at, _)| at <= next) {
            return;
        }
        if let Some(later) = io.deadline.take() {
            deadlines.cancel(later);
        }
        let session: Arc<dyn Expire> = self.clone();
        io.deadline = Some(deadlines.add(next, Due::Weak(Arc::downgrade(&session), 0)));
    }

    /// Does what is due.
    fn fire(self: &Arc<Self>, io: &mut Io, timer: Timer) {
        match timer {
            Timer::CloseLimit => {
                // Its peer does not read: dropped, it is reset.
                io.drop_websocket();
                self.waker.wake();
            }
            Timer::Pause => {
                io.end_pause();
                self.write(io);
            }
            Timer::LatePoll => {
                if io.machine.releases_polls()
                    && let Some(poll) = io.poll.take()
                {
                    self.answer(io, poll);
                }
            }
            // Told without the lock.
            Timer::Layer => {}
        }
    }

    /// Tells an event to those who ask for it.
    #[inline]
    pub(super) fn tell<'a>(self: &Arc<Self>, which: Watch, event: impl FnOnce() -> SessionEvent<'a>) {
        if self.watches(which) {
            L::event(self, event());
        }
    }
}

impl<L: Layer> Expire for Session<L> {
    fn expired(self: Arc<Self>, _: u64, key: DeadlineKey, now: Instant) {
        let mut io = self.io.lock();
        // Another thread may have put an earlier one in its place meanwhile, which stays.
        if io.deadline == Some(key) {
            io.deadline = None;
        }
        let mut is_layer_due = false;
        while let Some(timer) = io.timers.take_due(now) {
            is_layer_due |= timer == Timer::Layer;
            self.fire(&mut io, timer);
        }
        io.machine.handle_timeout(now);
        self.run(io);
        if is_layer_due && self.is_open() {
            L::timeout(&self, now);
        }
    }

    /// A session that has yet to say its last on a WebSocket keeps its time.
    fn server_closed(self: Arc<Self>, _: u64) -> bool {
        let io = self.io.lock();
        io.timers.is_set(Timer::CloseLimit) || (!io.machine.is_open() && io.machine.is_upgrading())
    }
}

#[cfg(test)]
mod tests;
