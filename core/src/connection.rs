//! One client: its Engine.IO session, what waits for it, and the sockets it has.
//!
//! A connection is shared by the transports that carry it, the sockets in it and the deadlines that watch over it.
//! Its two halves have locks of their own: [`Inbound`] is what a received packet needs, [`Io`] what a sent one does.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use crate::{
    config::SlowReader,
    deadlines::{DeadlineKey, Due},
    departure::Departure,
    frame::{Encoded, Frame},
    handshake::Handshake,
    outbox::{Class, Outbox},
    polling::{PendingPoll, PollAnswer},
    queue::HostEvent,
    reason::DisconnectReason,
    selection::Flags,
    server::Shared,
    socket::Socket,
    wire::{Flushed, Wire, Writer},
    writes::Writes,
};
use ferrio_protocol::{
    engine::{Action, CloseReason, Protocol, Session, TransportKind},
    socket::{self as codec, Assembler, Revision},
};

/// How long a session that the server closed waits for its last poll, as in engine.io.
const LINGER: Duration = Duration::from_secs(30);

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
    wire: Option<Wire>,
    /// The one entry among the server's deadlines.
    deadline: Option<DeadlineKey>,
    /// Until when a namespace has to be joined.
    join_by: Option<Instant>,
    /// Until when the attachments of a packet have to be complete.
    attachments_by: Option<Instant>,
    /// Until when a closed polling session waits for its last poll.
    linger_until: Option<Instant>,
    /// Whether the connection is in some [`Writes`] already.
    flush_is_due: bool,
    /// Whether a POST is being read.
    is_posting: bool,
    /// The status with which a WebSocket is closed.
    close_code: Option<u16>,
}

/// The receiving half: namespaces joined, and a packet whose attachments are on their way.
pub(crate) struct Inbound {
    pub(crate) entries: SmallVec<[(Arc<str>, Entry); 1]>,
    pub(crate) assembler: Assembler,
    pub(crate) is_open: bool,
}

/// How far a client is with joining a namespace.
pub(crate) enum Entry {
    /// The host is asked whether the namespace shall exist.
    Asking,
    /// The host is asked whether the client may join.
    Pending(Arc<Socket>),
    /// The client has joined.
    Joined(Arc<Socket>),
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
                deadline: None,
                join_by,
                attachments_by: None,
                linger_until: None,
                flush_is_due: false,
                is_posting: false,
                close_code: None,
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

    pub(crate) fn revision(&self) -> Revision {
        match self.protocol {
            Protocol::V3 => Revision::V4,
            Protocol::V4 => Revision::V5,
        }
    }

    /// Closes the whole connection.
    pub(crate) fn close(self: &Arc<Self>, reason: CloseReason) {
        self.input(|session| session.close(reason));
    }

    /// Closes the connection because the peer broke a rule of WebSocket, with the status that says which.
    pub(crate) fn close_with_code(self: &Arc<Self>, code: u16) {
        self.server.counters.peer_errors.add(1);
        let mut io = self.io.lock();
        io.close_code = Some(code);
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
                    io.outbox_of(on).push_control(frame);
                    self.write(&mut io);
                }
                Action::ReleasePoll => self.write(&mut io),
                Action::Upgraded => self.upgraded(&mut io),
                Action::UpgradeFailed => {
                    self.server.counters.upgrades_failed.add(1);
                    io.close_wire(None);
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
            self.end(DisconnectReason::Connection(reason));
            self.server.connection_closed(self);
        }
    }

    fn upgraded(self: &Arc<Self>, io: &mut Io) {
        if let Some(wire) = &mut io.wire {
            // What the probe still had to send goes first; then what waited while polling paused.
            let mut waiting = std::mem::take(&mut io.outbox);
            io.outbox = std::mem::take(&mut wire.outbox);
            io.outbox.append(&mut waiting);
        }
        if let Some(poll) = io.poll.take() {
            poll.answer(PollAnswer::noop(self.protocol));
        }
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
                let code = io.close_code;
                io.close_wire(code);
            }
            TransportKind::Polling => match io.poll.take() {
                Some(poll) if by_client => poll.answer(PollAnswer::noop(self.protocol)),
                Some(poll) => {
                    io.outbox.push_control(close_packet());
                    let answer = self.take_answer(io, &poll, usize::MAX);
                    poll.answer(answer);
                }
                None if by_client || reason == CloseReason::TransportError => io.outbox = Outbox::default(),
                None => {
                    io.outbox.push_control(noop_packet());
                    io.outbox.push_control(close_packet());
                    io.linger_until = Some(Instant::now() + LINGER);
                }
            },
        }
        io.join_by = None;
        io.attachments_by = None;
        self.write(io);
        self.waker.wake();
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
        let Some(next) = io.next_deadline() else { return };
        if io.deadline.is_some_and(|(at, _)| at <= next) {
            return;
        }
        if let Some(later) = io.deadline.take() {
            self.server.deadlines.cancel(later);
        }
        io.deadline = Some(self.server.deadlines.add(next, Due::Connection(Arc::downgrade(self))));
    }

    /// Does what is due.
    pub(crate) fn deadline_reached(self: &Arc<Self>, now: Instant) {
        let mut io = self.io.lock();
        io.deadline = None;
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(io.linger_until) {
            io.linger_until = None;
            drop(io);
            self.server.forget_connection(self);
            return;
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

    /// Notes that a namespace was joined, or that the last was left.
    pub(crate) fn expect_join(self: &Arc<Self>, is_due: bool) {
        let mut io = self.io.lock();
        io.join_by =
            (is_due && io.session.is_open()).then(|| Instant::now() + self.server.config.connect_timeout);
        self.settle(io);
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

    /// Applies the slow-reader policy when the outbox is full. Returns whether the packet may be queued.
    fn make_room(self: &Arc<Self>, io: &mut Io, len: usize, class: Class) -> bool {
        let limits = &self.server.config.outbox;
        if io.outbox.bytes() + len <= limits.max_bytes || io.outbox.is_empty() {
            return true;
        }
        // A burst of one turn may have filled it although the client reads well: first see what the kernel takes.
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
        tracing::debug!(connection = %self.id, bytes = io.outbox.bytes(), "closing a slow reader");
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
        if let Some(wire) = &mut io.wire {
            let is_transport = io.session.transport() == TransportKind::WebSocket;
            let outbox = if is_transport { &mut io.outbox } else { &mut wire.outbox };
            if wire.writer.try_flush(outbox) != Flushed::All {
                wire.is_blocked = true;
                self.waker.wake();
            } else if wire.is_closing {
                self.waker.wake();
            }
        }
        if io.session.transport() == TransportKind::Polling
            && (!io.outbox.is_empty() || io.session.releases_polls())
            && let Some(poll) = io.poll.take()
        {
            let answer = self.take_answer(io, &poll, self.server.config.limits.max_packets_per_poll);
            poll.answer(answer);
        }
    }

    fn take_answer(&self, io: &mut Io, poll: &PendingPoll, max_packets: usize) -> PollAnswer {
        if io.outbox.is_empty() {
            io.outbox.push_control(noop_packet());
        }
        PollAnswer::take(self.protocol, &mut io.outbox, poll.supports_binary, max_packets)
    }

    // Long-polling.

    /// Takes a poll: answers it at once when something waits, or keeps it. `Err` when it may not be.
    pub(crate) fn poll(self: &Arc<Self>, poll: PendingPoll) -> Result<(), PollRefused> {
        let mut io = self.io.lock();
        if io.session.transport() != TransportKind::Polling {
            return Err(PollRefused);
        }
        if io.linger_until.take().is_some() {
            let answer = self.take_answer(&mut io, &poll, usize::MAX);
            poll.answer(answer);
            drop(io);
            self.server.forget_connection(self);
            return Ok(());
        }
        if !io.session.is_open() {
            return Err(PollRefused);
        }
        if io.poll.is_some() {
            self.server.counters.peer_errors.add(1);
            io.session.transport_lost(TransportKind::Polling, true);
            self.settle(io);
            return Err(PollRefused);
        }
        io.poll = Some(poll);
        self.write(&mut io);
        Ok(())
    }

    /// Begins a POST. Returns `false` while another is under way.
    pub(crate) fn begin_post(&self) -> bool {
        !std::mem::replace(&mut self.io.lock().is_posting, true)
    }

    pub(crate) fn end_post(&self) {
        self.io.lock().is_posting = false;
    }

    // WebSocket.

    /// Attaches the WebSocket of a session that begins with it.
    pub(crate) fn attach(&self, writer: Writer) -> u32 {
        let mut io = self.io.lock();
        io.attach(writer)
    }

    /// Writes what waits for a WebSocket, on behalf of the task that drives it.
    ///
    /// Pending while there is more to come; otherwise the WebSocket is over.
    pub(crate) fn poll_wire(&self, wire_id: u32, context: &mut Context<'_>) -> Poll<WireEnd> {
        let mut io = self.io.lock();
        let io = &mut *io;
        let is_transport = io.session.transport() == TransportKind::WebSocket;
        let Some(wire) = io.wire.as_mut().filter(|wire| wire.id == wire_id) else {
            return Poll::Ready(WireEnd::Gone);
        };
        if wire.is_blocked {
            let outbox = if is_transport { &mut io.outbox } else { &mut wire.outbox };
            match wire.writer.poll_flush(outbox, context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => wire.is_blocked = false,
                Poll::Ready(Err(_)) => return Poll::Ready(WireEnd::Broken),
            }
        }
        if wire.is_closing { Poll::Ready(WireEnd::Closed) } else { Poll::Pending }
    }

    /// Answers a WebSocket ping.
    pub(crate) fn pong(self: &Arc<Self>, wire_id: u32, data: &[u8]) {
        let mut io = self.io.lock();
        let is_transport = io.session.transport() == TransportKind::WebSocket;
        let Some(wire) = io.wire.as_mut().filter(|wire| wire.id == wire_id && !wire.is_closing) else {
            return;
        };
        // A peer that pings and never reads must not fill the outbox: one answer at a time is enough.
        if wire.is_blocked {
            return;
        }
        let frame = Frame::pong(data);
        if is_transport {
            io.outbox.push_control(frame)
        } else {
            wire.outbox.push_control(frame)
        }
        self.write(&mut io);
    }

    /// Takes the WebSocket away when its task has ended, and returns its writer.
    pub(crate) fn detach(self: &Arc<Self>, wire_id: u32, is_error: bool) -> Option<Writer> {
        let mut io = self.io.lock();
        if io.wire.as_ref().is_none_or(|wire| wire.id != wire_id) {
            return None;
        }
        let wire = io.wire.take()?;
        if !wire.is_closing {
            io.session.transport_lost(TransportKind::WebSocket, is_error);
        }
        self.settle(io);
        Some(wire.writer)
    }

    /// Takes the next frame for a host that carries the WebSocket itself.
    pub(crate) fn take_frame(&self, wire_id: u32) -> Option<Frame> {
        let mut io = self.io.lock();
        let io = &mut *io;
        let is_transport = io.session.transport() == TransportKind::WebSocket;
        let wire = io.wire.as_mut().filter(|wire| wire.id == wire_id)?;
        let outbox = if is_transport { &mut io.outbox } else { &mut wire.outbox };
        let frame = outbox.pop();
        wire.is_blocked = !outbox.is_empty();
        frame.map(|(frame, _)| frame)
    }

    /// The status with which a WebSocket is closed, `None` while it is not.
    pub(crate) fn wire_close_code(&self, wire_id: u32) -> Option<u16> {
        let io = self.io.lock();
        match &io.wire {
            Some(wire) if wire.id == wire_id && !wire.is_closing => None,
            _ => Some(io.close_code.unwrap_or(1000)),
        }
    }

    // The sockets of the connection.

    /// Marks a socket as joined. Returns whether its client is still there.
    pub(crate) fn joined(self: &Arc<Self>, socket: &Arc<Socket>) -> bool {
        let mut inbound = self.inbound.lock();
        let Some(entry) = inbound.entry(socket.namespace().name()) else { return false };
        match entry {
            Entry::Pending(pending) if Arc::ptr_eq(pending, socket) => *entry = Entry::Joined(socket.clone()),
            _ => return false,
        }
        drop(inbound);
        self.server.counters.sockets.add(1);
        self.expect_join(false);
        true
    }

    /// Tells the client that it may not join a namespace, and forgets that it asked.
    pub(crate) fn refuse(
        self: &Arc<Self>,
        name: &str,
        message: &str,
        data: Option<&str>,
        writes: &mut Writes,
    ) {
        let message = serde_json::Value::from(message).to_string();
        let text = match (self.protocol, data) {
            (Protocol::V3, data) => data.unwrap_or(&message).to_owned(),
            (Protocol::V4, None) => format!(r#"{{"message":{message}}}"#),
            (Protocol::V4, Some(data)) => format!(r#"{{"message":{message},"data":{data}}}"#),
        };
        self.refuse_with(name, text, writes);
    }

    /// Tells the client that it may not join a namespace, in a text of its own.
    pub(crate) fn refuse_with(self: &Arc<Self>, name: &str, text: String, writes: &mut Writes) {
        let removed = self.inbound.lock().remove(name);
        if let Some(Entry::Pending(socket)) = removed {
            socket.left();
        }
        self.send_refusal(name, text, writes);
    }

    /// Queues a `CONNECT_ERROR` packet.
    pub(crate) fn send_refusal(self: &Arc<Self>, name: &str, text: String, writes: &mut Writes) {
        let packet = if self.server.is_msgpack() {
            let payload = crate::payload::Payload::new(text, Vec::new());
            crate::emit::encode_msgpack(self.protocol, codec::PacketType::ConnectError, name, None, &payload)
        } else {
            Frame::text(text.len() + name.len() + 8, |out| {
                out.push('4');
                codec::encode_connect_error(out, name, &text);
            })
            .into()
        };
        self.push(&packet, Class::Control, Flags::default(), writes);
    }

    /// Puts the client out of one namespace.
    pub(crate) fn disconnect(
        self: &Arc<Self>,
        socket: &Arc<Socket>,
        writes: &mut Writes,
    ) -> Option<Departure> {
        let mut inbound = self.inbound.lock();
        let name = socket.namespace().name().clone();
        match inbound.entry(&name) {
            Some(Entry::Joined(joined)) if Arc::ptr_eq(joined, socket) => inbound.remove(&name),
            _ => return None,
        };
        let was_joined = socket.left();
        drop(inbound);
        self.send_disconnect(&name, writes);
        was_joined.then(|| socket.depart(DisconnectReason::ServerNamespaceDisconnect))
    }

    /// Puts the client out of every namespace, and closes the connection.
    pub(crate) fn disconnect_all(self: &Arc<Self>, writes: &mut Writes) -> Vec<Departure> {
        let sockets = self.inbound.lock().joined();
        let departures = sockets.iter().filter_map(|socket| self.disconnect(socket, writes)).collect();
        self.close(CloseReason::ForcedClose);
        departures
    }

    fn send_disconnect(self: &Arc<Self>, name: &str, writes: &mut Writes) {
        let packet = if self.server.is_msgpack() {
            let payload = crate::payload::Payload::default();
            crate::emit::encode_msgpack(self.protocol, codec::PacketType::Disconnect, name, None, &payload)
        } else {
            Frame::text(name.len() + 4, |out| {
                out.push('4');
                codec::encode_disconnect(out, name);
            })
            .into()
        };
        self.push(&packet, Class::Control, Flags::default(), writes);
    }

    /// Ends every socket of the connection, and tells the host.
    pub(crate) fn end(self: &Arc<Self>, reason: DisconnectReason) {
        let mut inbound = self.inbound.lock();
        inbound.is_open = false;
        inbound.assembler = Assembler::new();
        for (_, entry) in std::mem::take(&mut inbound.entries) {
            if let Entry::Pending(socket) | Entry::Joined(socket) = entry
                && socket.left()
            {
                // Under the lock, so that no event of the socket can come after its disconnect.
                self.server.queue.push(HostEvent::Disconnect(socket.depart(reason)));
            }
        }
    }
}

impl Io {
    fn next_deadline(&self) -> Option<Instant> {
        [self.session.poll_timeout(), self.join_by, self.attachments_by, self.linger_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether a packet would leave at once, which is what a volatile event needs.
    fn is_writable(&self) -> bool {
        self.outbox.is_empty()
            && match self.session.transport() {
                TransportKind::Polling => self.poll.is_some(),
                TransportKind::WebSocket => self.wire.as_ref().is_some_and(|wire| !wire.is_blocked),
            }
    }

    fn outbox_of(&mut self, transport: TransportKind) -> &mut Outbox {
        match &mut self.wire {
            Some(wire) if transport != self.session.transport() => &mut wire.outbox,
            _ => &mut self.outbox,
        }
    }

    fn attach(&mut self, writer: Writer) -> u32 {
        let id = self.wire.as_ref().map_or(0, |former| former.id.wrapping_add(1));
        self.wire = Some(Wire::new(id, writer));
        id
    }

    /// Queues the WebSocket's close frame.
    fn close_wire(&mut self, code: Option<u16>) {
        let is_transport = self.session.transport() == TransportKind::WebSocket;
        let Some(wire) = &mut self.wire else { return };
        if std::mem::replace(&mut wire.is_closing, true) {
            return;
        }
        let outbox = if is_transport { &mut self.outbox } else { &mut wire.outbox };
        outbox.push_control(Frame::close(code));
        // Whoever drives the WebSocket writes it, and then knows that this was the last.
        wire.is_blocked = true;
    }
}

impl Inbound {
    /// The entry of a namespace.
    pub(crate) fn entry(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|(known, _)| **known == *name).map(|(_, entry)| entry)
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Entry> {
        let idx = self.entries.iter().position(|(known, _)| **known == *name)?;
        Some(self.entries.swap_remove(idx).1)
    }

    fn joined(&self) -> Vec<Arc<Socket>> {
        let joined = |(_, entry): &(Arc<str>, Entry)| match entry {
            Entry::Joined(socket) => Some(socket.clone()),
            Entry::Asking | Entry::Pending(_) => None,
        };
        self.entries.iter().filter_map(joined).collect()
    }
}

/// A poll that the session does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PollRefused;

/// How a WebSocket ended, as its task sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireEnd {
    /// It is no longer the connection's.
    Gone,
    /// Everything was written, the close frame last.
    Closed,
    /// It cannot be written to any more.
    Broken,
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
