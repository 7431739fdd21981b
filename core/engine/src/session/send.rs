//! What a session sends: packets into its outbox, and from there onto the wire.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ferrio_protocol::engine::{CloseReason, ControlPacket, Data, TransportKind};

use crate::{
    config::SlowReader,
    layer::Layer,
    packet::{
        frame::{Encoded, Frame},
        outbox::SendOptions,
    },
    session::{
        Session,
        events::{SessionEvent, Watch},
        io::Io,
        poll::{PendingPoll, PollAnswer},
        timers::Timer,
        writer::Flushed,
        writes::Writes,
    },
};

impl<L: Layer> Session<L> {
    /// Sends one message at once. For many, [`push`](Self::push) with one [`Writes`] is cheaper.
    pub fn send(self: &Arc<Self>, message: &Data<'_>, options: SendOptions) {
        let frame = match message {
            Data::Text(text) => Frame::message_text(text),
            Data::Binary(bytes) => Frame::binary(self.protocol, bytes),
        };
        self.push(&frame.into(), options, &mut Writes::new());
    }

    /// Queues the open packet, and the first message if there is one. They leave when the transport is attached.
    pub(crate) fn begin(self: &Arc<Self>, open: Frame, greeting: Option<Frame>) {
        let mut writes = Writes::new();
        let options = SendOptions::default();
        self.push(&open.into(), options, &mut writes);
        if let Some(greeting) = greeting {
            self.push(&greeting.into(), options, &mut writes);
        }
    }

    /// Queues a packet; `writes` will see to it that it leaves.
    pub fn push(self: &Arc<Self>, packet: &Encoded, options: SendOptions, writes: &mut Writes<L>) {
        self.queue(&mut self.io.lock(), packet, options, writes);
    }

    /// Queues a packet that leaves at once and in a write of its own, behind what waits. On a WebSocket nothing follows it
    /// for the length of `pause`.
    pub fn push_alone(self: &Arc<Self>, packet: &Encoded, pause: Duration, writes: &mut Writes<L>) {
        let mut io = self.io.lock();
        io.end_pause();
        self.queue(&mut io, packet, SendOptions::default(), writes);
        io.outbox.end_write();
        self.write(&mut io);
        if !pause.is_zero() && io.machine.is_open() && io.machine.transport() == TransportKind::WebSocket {
            io.kept_back = Some(Box::default());
            io.timers.set(Timer::Pause, Instant::now() + pause);
            self.keep_deadline(&mut io);
        }
    }

    fn queue(self: &Arc<Self>, io: &mut Io, packet: &Encoded, options: SendOptions, writes: &mut Writes<L>) {
        let counters = &self.server.counters;
        if !io.machine.is_open() {
            return;
        }
        if options.volatile && !(io.is_writable() && io.is_new_turn(writes.turn())) {
            counters.volatile_dropped.add(1);
            return;
        }
        if !self.make_room(io, packet.len(), options.is_droppable) {
            return;
        }
        let outbox = io.kept_back.as_deref_mut().unwrap_or(&mut io.outbox);
        outbox.push(packet, options);
        if options.is_told && self.watches(Watch::PACKET_CREATE) {
            self.tell_created(packet, options.compress);
        }
        if writes.turn() != 0 {
            io.last_turn = writes.turn();
        }
        counters.packets_out.add(packet.n_frames());
        counters.bytes_out.add(packet.len());
        if !std::mem::replace(&mut io.flush_is_due, true) {
            if io.is_light() {
                writes.add_light(self.clone());
            } else {
                writes.add(self.clone());
            }
        }
    }

    #[cold]
    fn tell_created(self: &Arc<Self>, packet: &Encoded, compress: bool) {
        for frame in std::iter::once(&packet.head).chain(&packet.attachments) {
            let (kind, data) = frame.parts(self.protocol);
            L::event(self, SessionEvent::PacketCreate(kind, &data, compress));
        }
    }

    /// Applies the slow-reader policy when the outbox is full. Returns whether the packet may be queued.
    pub(super) fn make_room(self: &Arc<Self>, io: &mut Io, len: usize, is_droppable: bool) -> bool {
        let limits = &self.server.config.outbox;
        if io.kept_back.as_ref().is_some_and(|kept_back| kept_back.bytes() + len > limits.max_bytes) {
            io.end_pause();
        }
        if io.outbox.bytes() + len <= limits.max_bytes || io.outbox.is_empty() {
            return true;
        }
        // A burst of one turn may have filled it although the client reads well: first see what the kernel takes.
        self.write(io);
        if io.outbox.bytes() + len <= limits.max_bytes || io.outbox.is_empty() {
            return true;
        }
        match limits.policy {
            SlowReader::DropNewest if is_droppable => {
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
        // What others rely on can exceed the bound alone when events are dropped; it gets as much again.
        if limits.policy != SlowReader::Disconnect && io.outbox.bytes() + len <= 2 * limits.max_bytes {
            return true;
        }
        self.server.counters.slow_readers_closed.add(1);
        tracing::warn!(remote = ?self.handshake.head.remote, bytes = io.outbox.bytes(), "closing a slow reader");
        // Carried out by the flush that is due: locks are held here that closing needs.
        io.machine.close(CloseReason::SlowReader);
        true
    }

    /// Puts what waits on the wire, as far as the transport takes it without waiting.
    pub fn flush(self: &Arc<Self>) {
        let mut io = self.io.lock();
        io.flush_is_due = false;
        self.write(&mut io);
        self.run(io);
    }

    /// Takes note that the flush that was due will not come.
    pub(crate) fn flush_was_lost(&self) {
        self.io.lock().flush_is_due = false;
    }

    /// Writes as far as that can be done without waiting: the driving task does the rest.
    pub(super) fn write(self: &Arc<Self>, io: &mut Io) {
        let is_watched = self.watches(Watch::FLUSH | Watch::DRAIN)
            && io.machine.is_open()
            && !io.outbox.is_empty()
            && io.is_transport_ready();
        if is_watched {
            self.tell(Watch::FLUSH, || SessionEvent::Flush);
        }
        if let Some((websocket, outbox)) = io.websocket_mut() {
            if websocket.writer.try_flush(outbox) != Flushed::All {
                websocket.is_blocked = true;
                self.waker.wake();
            } else if websocket.is_closing {
                self.waker.wake();
            }
        }
        if io.machine.transport() == TransportKind::Polling
            && !io.outbox.is_empty()
            && let Some(poll) = io.poll.take()
        {
            self.answer(io, poll);
        }
        if is_watched && io.outbox.is_empty() {
            self.tell(Watch::DRAIN, || SessionEvent::Drain);
        }
    }

    /// Answers a poll with what waits, or with a noop.
    pub(super) fn answer(&self, io: &mut Io, poll: PendingPoll) {
        if io.outbox.is_empty() {
            io.outbox.push_control(Frame::control(ControlPacket::Noop));
        }
        let max_packets = self.server.config.limits.max_packets_per_poll;
        let answer = PollAnswer::take(self.protocol, &mut io.outbox, poll.supports_binary, max_packets);
        poll.answer(answer);
    }
}
