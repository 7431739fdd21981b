//! The way of an event out: event → packet → encoded frame, once → receivers → outboxes.
//!
//! Read [`to_selection`] from top to bottom; each stage is one call that returns here. The frames are put on the
//! wire by [`Writes`], after a whole batch of emits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ferrio_protocol::engine::Protocol;

use crate::{
    ack::{self, Collector, Gathering},
    adapter::RemoteAcks,
    encode::Encoder,
    frame::Encoded,
    namespace::Namespace,
    outbox::Class,
    payload::Payload,
    rooms::Rooms,
    selection::{Flags, Selection},
    socket::Socket,
    writes::Writes,
};

/// Sends an event to every socket that is meant, here and on other nodes.
pub(crate) fn to_selection(
    namespace: &Arc<Namespace>,
    selection: &Selection,
    payload: &Payload,
    flags: Flags,
    writes: &mut Writes,
) {
    let mut rooms = namespace.rooms.lock();
    let event = Outgoing::positioned(namespace, &mut rooms, selection, payload, flags);
    // Queued under the lock, so that all receivers get a namespace's broadcasts in one order.
    rooms.select(selection, |socket| event.queue_for(socket, flags, writes));
    drop(rooms);
    if !flags.local {
        namespace.adapter.broadcast(selection, payload, flags);
    }
}

/// Sends an event to every socket that is meant, and gathers their acks for the host.
pub(crate) fn to_selection_with_ack(
    namespace: &Arc<Namespace>,
    selection: &Selection,
    payload: &Payload,
    flags: Flags,
    ack: AckRequest,
    writes: &mut Writes,
) -> Gathering {
    let server = &namespace.server;
    server.start();
    let id = ack::next_id(namespace);
    let event = Outgoing::new(namespace, payload, Some(id));
    let deadline = ack.deadline();
    let collector = Collector::new(server.clone(), ack.token, deadline);
    let rooms = namespace.rooms.lock();
    let mut n_local = 0;
    rooms.select(selection, |socket| {
        n_local += 1;
        socket.wait_for_many(id, &collector);
        event.queue_for(socket, flags, writes);
    });
    drop(rooms);
    let gathering = Gathering::new(&collector);
    let acks = RemoteAcks { collector, n_local };
    if flags.local {
        acks.expect(0);
    } else {
        namespace.adapter.broadcast_with_ack(selection, payload, flags, deadline, acks);
    }
    gathering
}

/// Sends an event to one socket.
pub(crate) fn to_socket(socket: &Arc<Socket>, payload: &Payload, flags: Flags, writes: &mut Writes) {
    let namespace = socket.namespace();
    if !namespace.keeps_events {
        return Outgoing::new(namespace, payload, None).queue_for(socket, flags, writes);
    }
    let mut rooms = namespace.rooms.lock();
    let selection = Selection::all().to(socket.id().clone());
    let event = Outgoing::positioned(namespace, &mut rooms, &selection, payload, flags);
    // A client that comes back gets it from the log, with the rest of what it missed, when it is let in.
    if rooms.contains(socket.key()) || socket.recovered().is_none() {
        event.queue_for(socket, flags, writes);
    }
}

/// Sends an event to one socket, and reports its ack to the host.
pub(crate) fn to_socket_with_ack(
    socket: &Arc<Socket>,
    payload: &Payload,
    flags: Flags,
    ack: AckRequest,
    writes: &mut Writes,
) {
    let server = &socket.namespace().server;
    server.start();
    let id = ack::next_id(socket.namespace());
    socket.wait_for(id, ack.token, ack.deadline());
    Outgoing::new(socket.namespace(), payload, Some(id)).queue_for(socket, flags, writes);
}

/// How the host wants an ack reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckRequest {
    /// The number under which [`HostEvent::Ack`](crate::HostEvent::Ack) reports the outcome.
    pub token: u64,
    /// How long to wait. `None`: until the socket leaves.
    pub timeout: Option<Duration>,
}

impl AckRequest {
    /// Until when to wait. A time beyond all clocks is none.
    fn deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(self.timeout?)
    }
}

/// An event on its way, encoded once for all receivers.
struct Outgoing {
    encoded: Encoded,
    /// The older protocol's form of the attachments, or of the whole when the newer one has an offset in it.
    older: std::cell::OnceCell<Encoded>,
    namespace: Arc<Namespace>,
    payload: Payload,
    /// The payload without its offset, which clients of the older protocol would take for an argument.
    plain: Option<Payload>,
    id: Option<u64>,
    position: u64,
}

impl Outgoing {
    fn new(namespace: &Arc<Namespace>, payload: &Payload, id: Option<u64>) -> Self {
        Self {
            encoded: encode(namespace, Protocol::V4, payload, id),
            older: std::cell::OnceCell::new(),
            namespace: namespace.clone(),
            payload: payload.clone(),
            plain: None,
            id,
            position: 0,
        }
    }

    /// An event with its position, if the namespace keeps events; kept, unless it is volatile.
    fn positioned(
        namespace: &Arc<Namespace>,
        rooms: &mut Rooms,
        selection: &Selection,
        payload: &Payload,
        flags: Flags,
    ) -> Self {
        let Some(log) = &mut rooms.log else { return Self::new(namespace, payload, None) };
        let position = log.advance();
        if !flags.volatile {
            let now = Instant::now();
            log.keep(payload, selection, now);
            namespace.watch(log, now);
        }
        let with_offset = log.with_offset(payload, position);
        Self { position, plain: Some(payload.clone()), ..Self::new(namespace, &with_offset, None) }
    }

    fn queue_for(&self, socket: &Arc<Socket>, flags: Flags, writes: &mut Writes) {
        let needs_older = socket.connection().protocol() == Protocol::V3
            && (self.plain.is_some() || self.encoded.has_binary());
        let packet = if needs_older { self.older() } else { &self.encoded };
        if self.position > 0 {
            socket.addressed(self.position);
        }
        socket.push_event(packet, flags, writes);
    }

    fn older(&self) -> &Encoded {
        let payload = self.plain.as_ref().unwrap_or(&self.payload);
        self.older.get_or_init(|| encode(&self.namespace, Protocol::V3, payload, self.id))
    }
}

fn encode(namespace: &Namespace, protocol: Protocol, payload: &Payload, id: Option<u64>) -> Encoded {
    Encoder { parser: namespace.server.config.parser, protocol }.event(namespace.name(), id, payload)
}

/// Sends the events a returning client missed, before its CONNECT packet.
pub(crate) fn replay(socket: &Arc<Socket>, missed: impl Iterator<Item = Payload>, writes: &mut Writes) {
    for payload in missed {
        let packet = socket.connection().encoder().event(socket.namespace().name(), None, &payload);
        // No policy may drop it: the client could not know that something is missing.
        socket.connection().push(&packet, Class::Control, Flags::default(), writes);
    }
}
