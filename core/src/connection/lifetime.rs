//! The life of a connection: what the session machine wants, and what is due at a time.

use std::{mem, sync::Arc, time::Instant};

use ferrio_protocol::engine::{Action, CloseReason, Session, TransportKind};
use parking_lot::MutexGuard;

use crate::{
    connection::{Connection, io::Io},
    deadlines::{DeadlineKey, Due},
    frame::Frame,
    outbox::Outbox,
    polling::PollAnswer,
    reason::DisconnectReason,
};

impl Connection {
    /// Gives the session machine an input, and carries out what it wants.
    pub(crate) fn input<R>(self: &Arc<Self>, input: impl FnOnce(&mut Session) -> R) -> R {
        let mut io = self.io.lock();
        let result = input(&mut io.session);
        self.settle(io);
        result
    }

    /// Carries out the session's actions, and keeps its deadline.
    pub(super) fn settle(self: &Arc<Self>, mut io: MutexGuard<'_, Io>) {
        let mut closed = None;
        while let Some(action) = io.session.poll_action() {
            match action {
                Action::Send { on, packet } => {
                    let frame = Frame::text(8, |out| out.push_str(packet.as_text()));
                    io.outbox_of(on).push_once(frame);
                    self.write(&mut io);
                    if io.outbox.bytes() > 2 * self.server.config.outbox.max_bytes {
                        io.session.close(CloseReason::SlowReader);
                    }
                }
                // Done by whoever drives the probed WebSocket, once all is read that has come there.
                Action::ReleasePoll => self.waker.wake(),
                Action::Upgraded => self.upgraded(&mut io),
                Action::UpgradeFailed => {
                    self.server.counters.upgrades_failed.add(1);
                    tracing::debug!(remote = ?self.handshake.head.remote, "upgrade failed");
                    io.close_wire();
                    self.waker.wake();
                }
                Action::Closed(reason) => {
                    self.close_transports(&mut io, reason);
                    closed = Some((reason, io.counted_as));
                }
            }
        }
        self.keep_deadline(&mut io);
        drop(io);
        if let Some((reason, counted_as)) = closed {
            tracing::debug!(remote = ?self.handshake.head.remote, %reason, "session closed");
            self.share.end();
            self.end(DisconnectReason::Connection(reason));
            self.server.connection_closed(self, counted_as);
        }
    }

    pub(super) fn upgraded(self: &Arc<Self>, io: &mut Io) {
        if let Some((_, of_probe)) = &mut io.wire {
            // What the probe still had to send goes first; then what waited while polling paused.
            let mut waiting = mem::take(&mut io.outbox);
            io.outbox = mem::take(of_probe);
            io.outbox.append(&mut waiting);
        }
        if !io.session.is_open() {
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
        self.write(io);
    }

    /// The client of a session that has ended has come to the WebSocket: it hears the last words there.
    fn tell_end_on_websocket(self: &Arc<Self>, io: &mut Io) {
        if let Some(mut farewell) = self.server.end_farewell(&self.id) {
            io.outbox.append(&mut farewell.outbox);
        }
        io.close_wire();
        self.write(io);
    }

    pub(super) fn close_transports(self: &Arc<Self>, io: &mut Io, reason: CloseReason) {
        let by_client = matches!(reason, CloseReason::TransportClose);
        io.end_pause();
        match io.session.transport() {
            TransportKind::WebSocket => {
                if matches!(reason, CloseReason::SlowReader | CloseReason::TransportError) {
                    io.outbox.clear();
                }
                io.close_wire();
            }
            TransportKind::Polling => match io.poll.take() {
                Some(poll) if by_client => poll.answer(PollAnswer::noop(self.protocol)),
                // Official clients take a close before the events that came in the same answer, so those go first.
                Some(poll) if !io.outbox.is_empty() => {
                    self.answer(io, poll);
                    self.server.bid_farewell(self, mem::take(&mut io.outbox));
                }
                Some(poll) => {
                    io.outbox.push_control(close_packet());
                    self.answer(io, poll);
                    // That was the end: a WebSocket that is being probed is of no use any more.
                    io.session.transport_lost(TransportKind::WebSocket, false);
                }
                // Nobody waits for a last word who left, was silent for too long, or was told so by another answer.
                None if by_client
                    || matches!(
                        reason,
                        CloseReason::TransportError | CloseReason::PingTimeout | CloseReason::ParseError
                    ) =>
                {
                    io.outbox = Outbox::default();
                }
                None => self.server.bid_farewell(self, mem::take(&mut io.outbox)),
            },
        }
        io.join_by = None;
        io.attachments_by = None;
        self.write(io);
        self.waker.wake();
        self.poster.wake();
    }

    /// Whether the session is closed and a WebSocket of it is not.
    pub(crate) fn is_ending(&self) -> bool {
        let io = self.io.lock();
        io.drop_wire_at.is_some() || (!io.session.is_open() && io.session.is_upgrading())
    }

    /// Sees to it that there is an entry no later than the next thing that is due.
    ///
    /// An entry that has become too early stays: moving it for each packet would cost more than one idle wake-up.
    pub(super) fn keep_deadline(self: &Arc<Self>, io: &mut Io) {
        let Some(next) = io.next_deadline() else {
            if let Some(unneeded) = io.deadline.take() {
                self.server.deadlines.cancel(unneeded);
            }
            return;
        };
        if io.deadline.is_some_and(|(at, _)| at <= next) {
            return;
        }
        if let Some(later) = io.deadline.take() {
            self.server.deadlines.cancel(later);
        }
        io.deadline = Some(self.server.deadlines.add(next, Due::Connection(Arc::downgrade(self))));
    }

    /// Does what is due; `entry` is the one that fired.
    pub(crate) fn deadline_reached(self: &Arc<Self>, entry: DeadlineKey, now: Instant) {
        let mut io = self.io.lock();
        // Another thread may have put an earlier one in its place meanwhile, which stays.
        if io.deadline == Some(entry) {
            io.deadline = None;
        }
        // What is due is taken: left in the past, it would be due again at once.
        let is_due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if is_due(&mut io.drop_wire_at) {
            // Its peer does not read: dropped, it is reset.
            io.wire = None;
            self.waker.wake();
        }
        if io.pause.as_ref().is_some_and(|pause| pause.0 <= now) {
            io.end_pause();
            self.write(&mut io);
        }
        let has_not_joined = is_due(&mut io.join_by);
        if is_due(&mut io.attachments_by) || has_not_joined {
            io.session.close(CloseReason::ForcedClose);
        }
        io.session.handle_timeout(now);
        self.settle(io);
    }

    /// Notes whether attachments are due, so that they cannot be awaited for ever.
    pub(crate) fn expect_attachments(self: &Arc<Self>, are_due: bool, now: Instant) {
        let mut io = self.io.lock();
        if are_due != io.attachments_by.is_some() {
            io.attachments_by = are_due.then(|| now + self.server.config.limits.attachments_timeout);
            self.settle(io);
        }
    }

    /// Notes that a namespace was joined.
    pub(crate) fn has_joined(&self) {
        self.io.lock().join_by = None;
    }
}

fn close_packet() -> Frame {
    Frame::text(1, |out| out.push('1'))
}
