//! One client: its Engine.IO session, what waits for it, and the sockets it has.
//!
//! A connection is shared by the transports that carry it, the sockets in it and the deadlines that watch over it.
//! Its two halves have locks of their own: [`Inbound`] is what a received packet needs, [`Io`] what a sent one does.

mod inbound;
mod transports;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use crate::{
    config::SlowReader,
    deadlines::{DeadlineKey, Due},
    encode::Encoder,
    frame::{Encoded, Frame},
    handshake::Handshake,
    outbox::{Class, Outbox},
    polling::{PendingPoll, PollAnswer},
    reason::DisconnectReason,
    selection::Flags,
    server::Shared,
    wire::{Flushed, Wire, Writer},
    writes::Writes,
};
use ferrio_protocol::{
    engine::{Action, CloseReason, Protocol, Session, TransportKind},
    socket::Assembler,
};

/// How long a WebSocket that the server closed may take to write what it still has, its close frame last.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// How long a session that the server closed waits for its last poll, as in engine.io.
const LINGER: Duration = Duration::from_secs(30);

/// How long nothing follows a CONNECT packet on a WebSocket. Simple clients, the public protocol suite among them, wait
/// for the one message and only then listen for the next, which they miss when both come in one read. An idle client
/// has read the first after a fraction of this.
const AFTER_CONNECT: Duration = Duration::from_millis(2);

/// How long a poll waits that came during an upgrade: the packet that ends the upgrade, which its client sent first, may
/// still be on its way. engine.io looks every 100 ms.
const LATE_POLL: Duration = Duration::from_millis(50);

pub(crate) use inbound::{Entry, Inbound};
pub(crate) use transports::WireEnd;

/// One client's Engine.IO session.
pub struct Connection {
    id: Arc<str>,
    server: Arc<Shared>,
    handshake: Arc<Handshake>,
    protocol: Protocol,
    io: Mutex<Io>,
    pub(crate) inbound: Mutex<Inbound>,
    /// Wakes the task that drives the WebSocket, if there is one.
    pub(crate) waker: AtomicWaker,
}

/// The sending half: the session machine, the outbox, and the transports.
struct Io {
    session: Session,
    outbox: Outbox,
    poll: Option<PendingPoll>,
    /// The WebSocket, with what is sent before it is the session's transport.
    wire: Option<(Wire, Outbox)>,
    next_wire_id: u32,
    /// The one entry among the server's deadlines.
    deadline: Option<DeadlineKey>,
    /// Until when a namespace has to be joined.
    join_by: Option<Instant>,
    /// Until when the attachments of a packet have to be complete.
    attachments_by: Option<Instant>,
    /// Until when a closed polling session waits for its last poll.
    linger_until: Option<Instant>,
    /// Until when a poll that came during an upgrade is kept.
    late_poll_until: Option<Instant>,
    /// Until when a WebSocket says nothing, having said CONNECT.
    quiet_until: Option<Instant>,
    /// After how many more frames that begins, where a host takes them one by one.
    n_until_quiet: usize,
    /// Until when a closed WebSocket may take to write what it still has.
    drop_wire_at: Option<Instant>,
    /// Whether the connection is in some [`Writes`] already.
    flush_is_due: bool,
    /// Whether a POST is being read.
    is_posting: bool,
}

impl Connection {
    pub(crate) fn new(
        id: Arc<str>,
        server: Arc<Shared>,
        handshake: Arc<Handshake>,
        protocol: Protocol,
        transport: TransportKind,
        now: Instant,
    ) -> Self {
        let session = Session::new(server.session_config(), protocol, transport, now);
        let join_by = Some(now + server.config.connect_timeout);
        Self {
            id,
            handshake,
            protocol,
            io: Mutex::new(Io {
                session,
                outbox: Outbox::default(),
                poll: None,
                wire: None,
                next_wire_id: 0,
                deadline: None,
                join_by,
                attachments_by: None,
                linger_until: None,
                late_poll_until: None,
                quiet_until: None,
                n_until_quiet: 0,
                drop_wire_at: None,
                flush_is_due: false,
                is_posting: false,
            }),
            inbound: Mutex::new(Inbound {
                entries: SmallVec::new(),
                assembler: Assembler::new(),
                is_open: true,
            }),
            waker: AtomicWaker::new(),
            server,
        }
    }

    /// The session's id, which is the client's secret: whoever knows it can take part in long-polling for it.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The request that opened the session.
    pub fn handshake(&self) -> &Arc<Handshake> {
        &self.handshake
    }

    /// The Engine.IO revision, pinned at the handshake.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The transport in use at the moment.
    pub fn transport(&self) -> TransportKind {
        self.io.lock().session.transport()
    }

    /// Whether the session is open.
    pub fn is_open(&self) -> bool {
        self.io.lock().session.is_open()
    }

    pub(crate) fn server(&self) -> &Arc<Shared> {
        &self.server
    }

    /// How packets are written for this client.
    pub(crate) fn encoder(&self) -> Encoder {
        Encoder { parser: self.server.config.parser, protocol: self.protocol }
    }

    /// Closes the whole connection.
    pub(crate) fn close(self: &Arc<Self>, reason: CloseReason) {
        self.input(|session| session.close(reason));
    }

    /// Closes the connection because the peer broke a rule of WebSocket, with the status that says which.
    pub(crate) fn close_with_code(self: &Arc<Self>, code: u16) {
        self.server.counters.peer_errors.add(1);
        let mut io = self.io.lock();
        if let Some((wire, _)) = &mut io.wire {
            wire.close_code = Some(code);
        }
        io.session.transport_lost(TransportKind::WebSocket, true);
        self.settle(io);
    }

    // What a received packet does to the session.

    /// Gives the session machine an input, and carries out what it wants.
    pub(crate) fn input<R>(self: &Arc<Self>, input: impl FnOnce(&mut Session) -> R) -> R {
        let mut io = self.io.lock();
        let result = input(&mut io.session);
        self.settle(io);
        result
    }

    /// Carries out the session's actions, and keeps its deadline.
    fn settle(self: &Arc<Self>, mut io: MutexGuard<'_, Io>) {
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
            self.end(DisconnectReason::Connection(reason));
            self.server.connection_closed(self);
        }
    }

    fn upgraded(self: &Arc<Self>, io: &mut Io) {
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

    fn close_transports(self: &Arc<Self>, io: &mut Io, reason: CloseReason) {
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
                // Nobody waits for a last word who left, or was silent for too long.
                None if by_client
                    || matches!(reason, CloseReason::TransportError | CloseReason::PingTimeout) =>
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
    fn answer_lingering(&self, io: &mut Io, poll: PendingPoll) -> bool {
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

    // Deadlines.

    /// Sees to it that there is an entry no later than the next thing that is due.
    ///
    /// An entry that has become too early stays: moving it for each packet would cost more than one idle wake-up.
    fn keep_deadline(self: &Arc<Self>, io: &mut Io) {
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
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(io.linger_until) {
            io.linger_until = None;
            drop(io);
            self.server.forget_connection(self);
            return;
        }
        if is_due(io.late_poll_until) || is_due(io.quiet_until) {
            self.write(&mut io);
        }
        if is_due(io.drop_wire_at) {
            // Its peer does not read: dropped, it is reset.
            io.drop_wire_at = None;
            io.wire = None;
            self.waker.wake();
        }
        if is_due(io.join_by) || is_due(io.attachments_by) {
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

    // Sending.

    /// Queues a packet; `writes` will see to it that it leaves.
    pub(crate) fn push(self: &Arc<Self>, packet: &Encoded, class: Class, flags: Flags, writes: &mut Writes) {
        let counters = &self.server.counters;
        let mut io = self.io.lock();
        if !io.session.is_open() {
            return;
        }
        if flags.volatile && !io.is_writable() {
            counters.volatile_dropped.add(1);
            return;
        }
        if !self.make_room(&mut io, packet.len(), class) {
            return;
        }
        io.outbox.push(packet, class, flags.compress);
        counters.packets_out.add(packet.n_frames());
        counters.bytes_out.add(packet.len());
        if !std::mem::replace(&mut io.flush_is_due, true) {
            writes.add(self.clone());
        }
    }

    /// Queues the packet that lets a client in, and lets nothing follow it at once.
    pub(crate) fn push_connect(self: &Arc<Self>, packet: &Encoded, writes: &mut Writes) {
        self.push(packet, Class::Control, Flags::default(), writes);
        let mut io = self.io.lock();
        self.write(&mut io);
        if io.session.transport() == TransportKind::WebSocket {
            io.n_until_quiet = io.outbox.n_frames();
            io.begin_quiet();
        }
    }

    /// Applies the slow-reader policy when the outbox is full. Returns whether the packet may be queued.
    fn make_room(self: &Arc<Self>, io: &mut Io, len: usize, class: Class) -> bool {
        let limits = &self.server.config.outbox;
        if io.outbox.bytes() + len <= limits.max_bytes || io.outbox.is_empty() {
            return true;
        }
        // A burst of one turn may have filled it although the client reads well: first see what the kernel takes.
        io.quiet_until = None;
        self.write(io);
        if io.outbox.bytes() + len <= limits.max_bytes || io.outbox.is_empty() {
            return true;
        }
        match limits.policy {
            SlowReader::DropNewest if class == Class::Event => {
                self.server.counters.outbox_dropped.add(1);
                return false;
            }
            SlowReader::DropOldest => {
                let n_dropped = io.outbox.drop_oldest(limits.max_bytes.saturating_sub(len));
                self.server.counters.outbox_dropped.add(usize::try_from(n_dropped).unwrap_or(usize::MAX));
                if io.outbox.bytes() + len <= limits.max_bytes {
                    return true;
                }
            }
            SlowReader::Disconnect | SlowReader::DropNewest => {}
        }
        // Acks and control packets alone can exceed the bound when events are dropped; they get as much again.
        if limits.policy != SlowReader::Disconnect && io.outbox.bytes() + len <= 2 * limits.max_bytes {
            return true;
        }
        self.server.counters.slow_readers_closed.add(1);
        tracing::warn!(remote = ?self.handshake.head.remote, bytes = io.outbox.bytes(), "closing a slow reader");
        // Carried out by the flush that is due: locks are held here that closing needs.
        io.session.close(CloseReason::SlowReader);
        true
    }

    /// Puts what waits on the wire, as far as the transport takes it without waiting.
    pub(crate) fn flush(self: &Arc<Self>) {
        let mut io = self.io.lock();
        io.flush_is_due = false;
        self.write(&mut io);
        self.settle(io);
    }

    fn write(self: &Arc<Self>, io: &mut Io) {
        if io.is_quiet() {
            return self.keep_deadline(io);
        }
        if let Some((wire, outbox)) = io.wire_mut() {
            if wire.writer.try_flush(outbox) != Flushed::All {
                wire.is_blocked = true;
                self.waker.wake();
            } else if wire.is_closing {
                self.waker.wake();
            }
        }
        if io.session.transport() == TransportKind::Polling
            && (!io.outbox.is_empty() || (io.session.releases_polls() && !io.keeps_late_poll()))
            && let Some(poll) = io.poll.take()
        {
            io.late_poll_until = None;
            self.answer(io, poll);
        }
    }

    /// Answers a poll with what waits, or with a noop.
    fn answer(&self, io: &mut Io, poll: PendingPoll) {
        if io.outbox.is_empty() {
            io.outbox.push_control(noop_packet());
        }
        let max_packets = self.server.config.limits.max_packets_per_poll;
        let answer = PollAnswer::take(self.protocol, &mut io.outbox, poll.supports_binary, max_packets);
        poll.answer(answer);
    }
}

impl Io {
    fn next_deadline(&self) -> Option<Instant> {
        [
            self.session.poll_timeout(),
            self.join_by,
            self.attachments_by,
            self.linger_until,
            self.late_poll_until,
            self.quiet_until.filter(|_| !self.outbox.is_empty()),
            self.drop_wire_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Begins the silence after a CONNECT packet, if that has left.
    fn begin_quiet(&mut self) {
        if self.n_until_quiet == 0 {
            self.quiet_until = Some(Instant::now() + AFTER_CONNECT);
        }
    }

    /// Whether what waits for the WebSocket has to wait a moment more.
    fn is_quiet(&mut self) -> bool {
        if self.quiet_until.is_some_and(|until| until <= Instant::now()) {
            self.quiet_until = None;
        }
        self.quiet_until.is_some()
    }

    /// Whether a poll that came during an upgrade has to wait a moment more.
    fn keeps_late_poll(&mut self) -> bool {
        if self.late_poll_until.is_some_and(|until| until <= Instant::now()) {
            self.late_poll_until = None;
        }
        self.late_poll_until.is_some()
    }

    /// Whether a packet would leave at once, which is what a volatile event needs.
    fn is_writable(&self) -> bool {
        self.outbox.is_empty()
            && match self.session.transport() {
                TransportKind::Polling => self.poll.is_some(),
                TransportKind::WebSocket => self.wire.as_ref().is_some_and(|(wire, _)| !wire.is_blocked),
            }
    }

    /// The WebSocket, and the outbox that it empties at the moment.
    fn wire_mut(&mut self) -> Option<(&mut Wire, &mut Outbox)> {
        let is_transport = self.session.transport() == TransportKind::WebSocket;
        let (wire, of_probe) = self.wire.as_mut()?;
        Some((wire, if is_transport { &mut self.outbox } else { of_probe }))
    }

    fn outbox_of(&mut self, transport: TransportKind) -> &mut Outbox {
        match &mut self.wire {
            Some((_, of_probe)) if transport != self.session.transport() => of_probe,
            _ => &mut self.outbox,
        }
    }

    fn new_wire_id(&mut self) -> u32 {
        let id = self.next_wire_id;
        self.next_wire_id = id.wrapping_add(1);
        id
    }

    fn attach(&mut self, writer: Writer) -> u32 {
        let id = self.new_wire_id();
        let wire = Wire { id, writer, is_blocked: false, is_closing: false, close_code: None };
        self.wire = Some((wire, Outbox::default()));
        self.drop_wire_at = None;
        let is_wanted = self.session.transport() == TransportKind::WebSocket || self.session.is_upgrading();
        if !self.session.is_open() || !is_wanted {
            // The session ended, or gave up waiting, while the handshake was under way.
            self.close_wire();
        }
        id
    }

    /// Queues the WebSocket's close frame.
    fn close_wire(&mut self) {
        let Some((wire, outbox)) = self.wire_mut() else { return };
        if std::mem::replace(&mut wire.is_closing, true) {
            return;
        }
        outbox.push_control(Frame::close(wire.close_code));
        // Whoever drives the WebSocket writes it, and then knows that this was the last.
        wire.is_blocked = true;
        self.quiet_until = None;
        self.drop_wire_at = Some(Instant::now() + CLOSE_LIMIT);
    }
}

fn noop_packet() -> Frame {
    Frame::text(1, |out| out.push('6'))
}

fn close_packet() -> Frame {
    Frame::text(1, |out| out.push('1'))
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the id, which is a secret.
        f.debug_struct("Connection").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}
