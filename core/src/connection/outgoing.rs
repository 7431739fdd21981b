//! What a connection sends: packets into its outbox, and from there onto the wire.

use std::sync::Arc;

use ferrio_protocol::engine::{CloseReason, TransportKind};

use crate::{
    config::SlowReader,
    connection::{Connection, io::Io},
    frame::{Encoded, Frame},
    outbox::Class,
    polling::{PendingPoll, PollAnswer},
    selection::Flags,
    wire::Flushed,
    writes::Writes,
};

impl Connection {
    /// Queues a packet; `writes` will see to it that it leaves.
    pub(crate) fn push(self: &Arc<Self>, packet: &Encoded, class: Class, flags: Flags, writes: &mut Writes) {
        let counters = &self.server.counters;
        let mut io = self.io.lock();
        if !io.session.is_open() {
            return;
        }
        if flags.volatile && !(io.is_writable() && io.is_new_turn(writes.turn())) {
            counters.volatile_dropped.add(1);
            return;
        }
        if !self.make_room(&mut io, packet.len(), class) {
            return;
        }
        io.outbox.push(packet, class, flags.compress);
        if writes.turn() != 0 {
            io.last_turn = writes.turn();
        }
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
    pub(super) fn make_room(self: &Arc<Self>, io: &mut Io, len: usize, class: Class) -> bool {
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

    pub(super) fn write(self: &Arc<Self>, io: &mut Io) {
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
