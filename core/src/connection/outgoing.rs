//! What a connection sends: packets into its outbox, and from there onto the wire.

use std::{sync::Arc, time::Instant};

use ferrio_protocol::engine::{CloseReason, TransportKind};

use crate::{
    config::SlowReader,
    connection::{Connection, io::Io},
    frame::{Encoded, Frame},
    outbox::{Class, Outbox},
    polling::{PendingPoll, PollAnswer},
    selection::Flags,
    wire::Flushed,
    writes::Writes,
};

impl Connection {
    /// Queues a packet; `writes` will see to it that it leaves.
    pub(crate) fn push(self: &Arc<Self>, packet: &Encoded, class: Class, flags: Flags, writes: &mut Writes) {
        self.queue(&mut self.io.lock(), packet, class, flags, writes);
    }

    /// Queues the packet that lets a client in. It leaves at once and in a write of its own, as it does in socket.io:
    /// simple clients, the public protocol suite among them, wait for this one message and only then listen for the
    /// next, which they can miss when both come in one read.
    pub(crate) fn push_connect(self: &Arc<Self>, packet: &Encoded, writes: &mut Writes) {
        let mut io = self.io.lock();
        io.end_pause();
        self.queue(&mut io, packet, Class::Control, Flags::default(), writes);
        io.outbox.end_write();
        self.write(&mut io);
        let pause = self.server.config.connect_pause;
        if !pause.is_zero() && io.session.is_open() && io.session.transport() == TransportKind::WebSocket {
            io.pause = Some(Box::new((Instant::now() + pause, Outbox::default())));
            self.keep_deadline(&mut io);
        }
    }

    fn queue(
        self: &Arc<Self>,
        io: &mut Io,
        packet: &Encoded,
        class: Class,
        flags: Flags,
        writes: &mut Writes,
    ) {
        let counters = &self.server.counters;
        if !io.session.is_open() {
            return;
        }
        if flags.volatile && !(io.is_writable() && io.is_new_turn(writes.turn())) {
            counters.volatile_dropped.add(1);
            return;
        }
        if !self.make_room(io, packet.len(), class) {
            return;
        }
        let outbox = io.pause.as_mut().map_or(&mut io.outbox, |pause| &mut pause.1);
        outbox.push(packet, class, flags.compress);
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

    /// Applies the slow-reader policy when the outbox is full. Returns whether the packet may be queued.
    pub(super) fn make_room(self: &Arc<Self>, io: &mut Io, len: usize, class: Class) -> bool {
        let limits = &self.server.config.outbox;
        if io.pause.as_ref().is_some_and(|pause| pause.1.bytes() + len > limits.max_bytes) {
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

    /// Takes note that the flush that was due will not come.
    pub(crate) fn flush_was_lost(&self) {
        self.io.lock().flush_is_due = false;
    }

    pub(super) fn write(self: &Arc<Self>, io: &mut Io) {
        if let Some((wire, outbox)) = io.wire_mut() {
            if wire.writer.try_flush(outbox) != Flushed::All {
                wire.is_blocked = true;
                self.waker.wake();
            } else if wire.is_closing {
                self.waker.wake();
            }
        }
        if io.session.transport() == TransportKind::Polling
            && !io.outbox.is_empty()
            && let Some(poll) = io.poll.take()
        {
            self.answer(io, poll);
        }
    }

    /// Answers a poll with what waits, or with a noop.
    pub(super) fn answer(&self, io: &mut Io, poll: PendingPoll) {
        if io.outbox.is_empty() {
            io.outbox.push_control(noop_packet());
        }
        let max_packets = self.server.config.limits.max_packets_per_poll;
        let answer = PollAnswer::take(self.protocol, &mut io.outbox, poll.supports_binary, max_packets);
        poll.answer(answer);
    }
}

/// The packet that says nothing.
pub(super) fn noop_packet() -> Frame {
    Frame::text(1, |out| out.push('6'))
}
