//! The way of an event out: event → packet → encoded frame, once → receivers → outboxes.
//!
//! Read [`emit`] from top to bottom; each stage is one call that returns there. The frames are put on the wire by
//! [`Writes`], after a whole batch of emits.

use std::{
    cell::OnceCell,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use ferrio_engine::{Encoded, Protocol};

use crate::{
    Writes,
    acks::{
        collector::{Collector, Gathering},
        relay::Relay,
        waiters::Collect,
    },
    adapter::RemoteAcks,
    config::Parser,
    event::Observed,
    namespace::Namespace,
    packet::{encode::Encoder, payload::Payload},
    rooms::{
        index::Rooms,
        selection::{Flags, Selection},
    },
    socket::Socket,
};

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

impl Namespace {
    /// Sends an event to every socket that is meant.
    pub fn emit(
        self: &Arc<Self>,
        selection: &Selection,
        payload: &Payload,
        flags: Flags,
        writes: &mut Writes,
    ) {
        emit(self, To::Selection(selection), payload, flags, &Acks::None, writes);
    }

    /// Sends an event to every socket that is meant, and reports their acks together as
    /// [`HostEvent::Ack`](crate::HostEvent::Ack). Who gives up the wait for them says so to the result.
    pub fn emit_with_ack(
        self: &Arc<Self>,
        selection: &Selection,
        payload: &Payload,
        flags: Flags,
        ack: AckRequest,
        writes: &mut Writes,
    ) -> Gathering {
        let until = ack.deadline();
        let collector = Collector::new(self.server.clone(), ack.token, until);
        let gathering = Gathering::new(&collector);
        let acks = Acks::OfMany { id: self.ack_id(&ack), collector, until };
        emit(self, To::Selection(selection), payload, flags, &acks, writes);
        gathering
    }

    /// Sends an event to every socket of this node that is meant, and reports each of their acks by itself, with
    /// [`AckStatus::OneOfMany`](crate::AckStatus::OneOfMany), as it comes. A last report without an answer follows when all
    /// have answered or left, or the time is up. Returns how many were asked.
    pub fn emit_with_each_ack(
        self: &Arc<Self>,
        selection: &Selection,
        payload: &Payload,
        flags: Flags,
        ack: AckRequest,
        writes: &mut Writes,
    ) -> usize {
        let until = ack.deadline();
        let relay = Relay::new(self.server.clone(), ack.token, until);
        let acks = Acks::OfMany { id: self.ack_id(&ack), collector: relay.clone(), until };
        emit(self, To::Selection(selection), payload, Flags { local: true, ..flags }, &acks, writes);
        relay.n_asked()
    }

    fn ack_id(&self, ack: &AckRequest) -> u64 {
        if self.server.config.parser == Parser::Application { ack.token } else { self.next_ack_id() }
    }

    /// A number for an ack, which is used for no other: for hosts that make packets themselves. One counter serves all
    /// sockets, so that a broadcast that wants acks is still encoded once.
    pub fn next_ack_id(&self) -> u64 {
        // Relaxed: nothing hangs on the order of two ids, only that they differ.
        self.ack_ids.fetch_add(1, Ordering::Relaxed)
    }
}

impl Socket {
    /// Sends an event to this client.
    pub fn emit(self: &Arc<Self>, payload: &Payload, flags: Flags, writes: &mut Writes) {
        emit(self.namespace(), To::Socket(self), payload, flags, &Acks::None, writes);
    }

    /// Sends an event to this client, and reports its ack as [`HostEvent::Ack`](crate::HostEvent::Ack).
    pub fn emit_with_ack(
        self: &Arc<Self>,
        payload: &Payload,
        flags: Flags,
        ack: AckRequest,
        writes: &mut Writes,
    ) {
        let acks = Acks::OfOne { id: self.namespace().ack_id(&ack), token: ack.token, until: ack.deadline() };
        emit(self.namespace(), To::Socket(self), payload, flags, &acks, writes);
    }
}

/// Whom an event is for.
#[derive(Clone, Copy)]
enum To<'a> {
    Selection(&'a Selection),
    Socket(&'a Arc<Socket>),
}

/// Whose acks an event wants.
enum Acks {
    None,
    OfOne { id: u64, token: u64, until: Option<Instant> },
    OfMany { id: u64, collector: Arc<dyn Collect>, until: Option<Instant> },
}

/// Sends an event to its receivers, here and on other nodes.
#[inline]
fn emit(
    namespace: &Arc<Namespace>,
    to: To<'_>,
    payload: &Payload,
    flags: Flags,
    acks: &Acks,
    writes: &mut Writes,
) {
    // An event that wants acks is not kept for clients that come back, as in socket.io.
    let is_kept = namespace.keeps_events() && matches!(acks, Acks::None);
    // A lone receiver is found without them.
    let mut rooms = (is_kept || matches!(to, To::Selection(_))).then(|| namespace.rooms.lock());
    let event = match rooms.as_deref_mut().filter(|_| is_kept) {
        Some(rooms) => Outgoing::kept(namespace, rooms, to, payload, flags),
        None => Outgoing::new(namespace, to, payload, acks.id()),
    };
    let is_shown = namespace.shows_events();
    let mut n_local = 0;
    let mut send = |socket: &Arc<Socket>| {
        n_local += 1;
        acks.wait_for(socket);
        event.queue_for(socket, flags, writes);
        if is_shown {
            namespace.observe_event(socket, payload, Observed::Sent);
        }
    };
    match (to, &rooms) {
        // Queued under the lock, so that all receivers get a namespace's broadcasts in one order.
        (To::Selection(selection), Some(rooms)) => rooms.select(selection, send),
        // A client that comes back gets it from the log, with the rest of what it missed, when it is let in.
        (To::Socket(socket), Some(rooms))
            if !rooms.contains(socket.key()) && socket.recovered().is_some() => {}
        (To::Socket(socket), _) => send(socket),
        (To::Selection(_), None) => {}
    }
    drop(rooms);
    if let To::Selection(selection) = to {
        acks.tell_others(namespace, selection, payload, flags, n_local);
    }
}

impl Acks {
    fn id(&self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::OfOne { id, .. } | Self::OfMany { id, .. } => Some(*id),
        }
    }

    /// Begins to wait for the ack of a socket that is sent the event.
    fn wait_for(&self, socket: &Arc<Socket>) {
        match self {
            Self::None => {}
            Self::OfOne { id, token, until } => socket.wait_for(*id, *token, *until),
            Self::OfMany { id, collector, .. } => socket.wait_for_many(*id, collector),
        }
    }

    /// Sends the event on to the other nodes of a cluster.
    fn tell_others(
        &self,
        namespace: &Namespace,
        selection: &Selection,
        payload: &Payload,
        flags: Flags,
        n_local: usize,
    ) {
        match self {
            Self::OfMany { collector, until, .. } => {
                let acks = RemoteAcks { collector: collector.clone(), n_local };
                if flags.local {
                    acks.expect(0);
                } else {
                    namespace.adapter.broadcast_with_ack(selection, payload, flags, *until, acks);
                }
            }
            _ if !flags.local => namespace.adapter.broadcast(selection, payload, flags),
            _ => {}
        }
    }
}

/// An event on its way, encoded once for all receivers.
struct Outgoing {
    encoded: Encoded,
    /// The older protocol's form of the attachments, or of the whole when the newer one has an offset in it.
    older: OnceCell<Encoded>,
    namespace: Arc<Namespace>,
    payload: Payload,
    /// The payload without its offset, which clients of the older protocol would take for an argument.
    plain: Option<Payload>,
    id: Option<u64>,
    position: u64,
    /// Whether it is compressed once for all receivers.
    is_for_many: bool,
}

impl Outgoing {
    fn new(namespace: &Arc<Namespace>, to: To<'_>, payload: &Payload, id: Option<u64>) -> Self {
        let is_for_many =
            matches!(to, To::Selection(_)) && namespace.server.config.engine.per_message_deflate.is_some();
        let mut encoded = encode(namespace, Protocol::V4, payload, id);
        if is_for_many {
            encoded.set_for_many();
        }
        Self {
            encoded,
            older: OnceCell::new(),
            namespace: namespace.clone(),
            payload: payload.clone(),
            plain: None,
            id,
            position: 0,
            is_for_many,
        }
    }

    /// An event with its position, kept for clients that come back unless it is volatile.
    fn kept(
        namespace: &Arc<Namespace>,
        rooms: &mut Rooms<Socket>,
        to: To<'_>,
        payload: &Payload,
        flags: Flags,
    ) -> Self {
        let Some(log) = &mut rooms.log else { return Self::new(namespace, to, payload, None) };
        let position = log.advance();
        if !flags.volatile {
            let now = Instant::now();
            match to {
                To::Selection(selection) => log.keep(payload, selection, now),
                To::Socket(socket) => log.keep(payload, &Selection::all().to(socket.id().clone()), now),
            }
            namespace.watch(log, now);
        }
        let with_offset = log.with_offset(payload, position);
        Self { position, plain: Some(payload.clone()), ..Self::new(namespace, to, &with_offset, None) }
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
        self.older.get_or_init(|| {
            let mut encoded = encode(&self.namespace, Protocol::V3, payload, self.id);
            if self.is_for_many {
                encoded.set_for_many();
            }
            encoded
        })
    }
}

fn encode(namespace: &Namespace, protocol: Protocol, payload: &Payload, id: Option<u64>) -> Encoded {
    Encoder { parser: namespace.server.config.parser, protocol }.event(namespace.name(), id, payload)
}
