//! The life of a connection: what the session machine wants, and what is due at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ferrio_protocol::engine::{Action, CloseReason, Session, TransportKind};
use parking_lot::MutexGuard;

use crate::{
    connection::{Connection, io::Io, outgoing::noop_packet},
    deadlines::{DeadlineKey, Due},
    frame::Frame,
    outbox::Outbox,
    polling::{PendingPoll, PollAnswer},
    reason::DisconnectReason,
};

/// How long a session that the server closed waits for its last poll, as in engine.io.
const LINGER: Duration = Duration::from_secs(30);

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
                Action::ReleasePoll => self.write(&mut io),
                Action::Upgraded => self.upgraded(&mut io),
                Action::UpgradeFailed => {
                    self.server.counters.upgrades_failed.add(1);
                    tracing::debug!(remote = ?self.handshake.head.remote, "upgrade failed");
                    io.close_wire();
                    self.waker.wake();
                }
                Action::Closed(reason) => {
                    self.close_transports(&mut io, reason);
                    closed = Some(reason);
                }
            }
        }
        self.keep_deadline(&mut io);
        drop(io);
        if let Some(reason) = closed {
            tracing::debug!(remote = ?self.handshake.head.remote, %reason, "session closed");
            self.share.end();
            self.end(DisconnectReason::Connection(reason));
            self.server.connection_closed(self);
        }
    }

    pub(super) fn upgraded(self: &Arc<Self>, io: &mut Io) {
        if let Some((_, of_probe)) = &mut io.wire {
            // What the probe still had to send goes first; then what waited while polling paused.
            let mut waiting = std::mem::take(&mut io.outbox);
            io.outbox = std::mem::take(of_probe);
            io.outbox.append(&mut waiting);
        }
        // One that came after the new transport is refused, as it would be now.
        let is_late = io.late_poll_until.take().is_some();
        if let Some(poll) = io.poll.take()
            && !is_late
        {
            poll.answer(PollAnswer::noop(self.protocol));
        }
        tracing::debug!(remote = ?self.handshake.head.remote, "upgraded to WebSocket");
        let counters = &self.server.counters;
        counters.connections_polling.sub(1);
        counters.connections_websocket.add(1);
        self.write(io);
    }

    pub(super) fn close_transports(self: &Arc<Self>, io: &mut Io, reason: CloseReason) {
        let by_client = matches!(reason, CloseReason::TransportClose);
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
                    io.linger_until = Some(Instant::now() + LINGER);
                }
                Some(poll) => {
                    io.outbox.push_control(close_packet());
                    self.answer(io, poll);
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
                None => io.linger_until = Some(Instant::now() + LINGER),
            },
        }
        io.join_by = None;
        io.attachments_by = None;
        self.write(io);
        self.waker.wake();
    }

    /// Answers a poll of a session that is closed: with what was queued before its end, or else with the end.
    /// Returns whether that was the end.
    pub(super) fn answer_lingering(&self, io: &mut Io, poll: PendingPoll) -> bool {
        let is_last = io.outbox.is_empty();
        if is_last {
            io.outbox.push_control(noop_packet());
            io.outbox.push_control(close_packet());
        }
        let max_packets = if is_last { 2 } else { self.server.config.limits.max_packets_per_poll };
        let answer = PollAnswer::take(self.protocol, &mut io.outbox, poll.supports_binary, max_packets);
        poll.answer(answer);
        is_last
    }

    /// Whether the session is closed and its transport still has something to say.
    pub(crate) fn is_ending(&self) -> bool {
        let io = self.io.lock();
        io.linger_until.is_some() || io.drop_wire_at.is_some()
    }

    /// Whether the session is closed and still waits for the poll that will tell the client.
    pub(crate) fn is_lingering(&self) -> bool {
        self.io.lock().linger_until.is_some()
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
        if is_due(&mut io.linger_until) {
            drop(io);
            self.server.forget_connection(self);
            return;
        }
        let is_poll_late = is_due(&mut io.late_poll_until);
        if is_due(&mut io.quiet_until) || is_poll_late {
            self.write(&mut io);
        }
        if is_due(&mut io.drop_wire_at) {
            // Its peer does not read: dropped, it is reset.
            io.wire = None;
            self.waker.wake();
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
